"""The benchmark: `run.py [--only NAME ...] [--quick]`. One table; nothing is asserted, and a busy machine is no failure.

What is true here:

- Each row holds a measurement, and beside it a peer or a limit that was measured in the same run; targets are stated for
  ratios of the two wherever there is a peer, so that the machine cancels out.
- A rate without a peer is compared as it would be on the reference machine: multiplied by what an Ed25519 check cost in the
  same process, over what it costs there. The rate as measured stands beside it.
- Values are medians, with the quartiles in brackets. `met` is decided by the wall clock, where the row names nothing else;
  the ratio of CPU seconds stands beside it.
- A row that cannot be measured says why; the others go on.
"""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from measure import LONG_RUNS, FailedError, Runs, Sample, interleave, watched, workload
from surroundings import BOTH_BOMS, DIGEST, ONE_BOM, RECORDS, Surroundings, surroundings

MILLION, QUICK_MILLION = 1_000_000, 100_000
COMMIT_BLOCKS = 21
MEGABYTE = 1_000_000
REFERENCE_CHECK = 55e-6
"""Seconds that checking an Ed25519 signature takes on the machine for which absolute rates are asked."""
TAIL = ("audit-log", "tail", "--limit", "100")
ATTEST = (
    *("attest", "emit", "--stage", "train", "--subject", "adapter.safetensors", "--sha", DIGEST),
    *("--builder", "soup-cli", "--invocation", "soup train --config soup.yaml", "--sign", "unsigned"),
    *("--output", "./attestations/train.json"),
)


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for: a bound, on which side of it, and how it is written."""

    text: str
    bound: float
    at_least: bool = True

    def met(self, value: float) -> str:
        """Say `yes` or `no`."""
        return "yes" if (value >= self.bound) == self.at_least or value == self.bound else "no"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    what: str
    measured: str
    against: str = "-"
    ratio: str = "-"
    target: str = "-"
    met: str = "-"


def start(here: Surroundings) -> Iterator[Row]:
    """`soup --help` against the peer's."""
    ours, theirs = interleave(here.soup_with_records().command("--help"), here.peer_with_records().command("--help"))
    yield _faster("soup --help", ours, theirs, Target(">= 3 times as fast", 3))


def tail(here: Surroundings) -> Iterator[Row]:
    """`soup audit-log tail` on 1,000 records against the peer's."""
    ours, theirs = interleave(here.soup_with_records().command(*TAIL), here.peer_with_records().command(*TAIL))
    yield _faster(f"soup {' '.join(TAIL)}, {RECORDS:,} records", ours, theirs, Target(">= 3 times as fast", 3))


def attest(here: Surroundings) -> Iterator[Row]:
    """`soup attest emit` against the peer's."""
    ours, theirs = interleave(here.soup_with_records().command(*ATTEST), here.peer_with_records().command(*ATTEST))
    yield _faster("soup attest emit --sign unsigned", ours, theirs, Target(">= 2 times as fast", 2))


def bom(here: Surroundings) -> Iterator[Row]:
    """`soup bom emit`, one format and both, against one format of the peer."""
    soup, peer = here.soup_with_records(), here.peer_with_records()
    one, both, theirs = interleave(soup.command(*ONE_BOM), soup.command(*BOTH_BOMS), peer.command(*ONE_BOM))
    yield _slower("soup bom emit --format cyclonedx", one, theirs, Target("<= 1 times the time", 1, at_least=False))
    yield _slower("soup bom emit --format both", both, theirs, Target("<= 1.3 times one format", 1.3, at_least=False))


def tail_scale(here: Surroundings) -> Iterator[Row]:
    """`soup audit-log tail` on a million records against a thousand."""
    large = here.soup(here.home_of_commands(here.million)).command(*TAIL)
    small = here.soup_with_records().command(*TAIL)
    ours, few = interleave(large, small)
    what = f"soup {' '.join(TAIL)}, {here.million:,} records"
    row = _slower(what, ours, few, Target("<= 1.2 times the time", 1.2, at_least=False), peer=f"{RECORDS:,} records")
    yield row
    yield Row("  its memory", f"{_megabytes(watched(large))}", f"{RECORDS:,} records {_megabytes(watched(small))}")


def commit(here: Surroundings) -> Iterator[Row]:
    """One durable commit of one event against one durable row of bare SQLite."""
    found, _ = workload("commit", here.scratch, COMMIT_BLOCKS)
    ours, bare = Sample(found["ours"]), Sample(found["bare"])
    ratio, target = ours.middle / bare.middle, Target(">= half the rate", 0.5)
    yield Row(
        "one durable commit of one event",
        _rate(ours, "commits"),
        f"SQLite {_rate(bare, 'rows')}",
        f"{ratio:.2f}",
        target.text,
        target.met(ratio),
    )


def append(here: Surroundings) -> Iterator[Row]:
    """Appending in commits of 1,000, and what it leaves on the disk."""
    found, peak = workload("append", here.scratch, here.million)
    rates, cores, bare = (Sample(found[name]) for name in ("ours", "cores", "bare"))
    size, rate, bytes_each = found["bytes"], Target(">= 50,000/s", 50_000), Target("<= 450 bytes", 450, at_least=False)
    there, note = _on_reference(found["ours"], found["checks"])
    yield Row(
        f"append {here.million:,} events, commits of 1,000",
        _rate(rates, "events"),
        f"a core {cores.middle:,.0f}/s; SQLite {bare.middle:,.0f} rows/s; {note}",
        ratio=f"{there / rate.bound:.2f}",
        target=rate.text,
        met=rate.met(there),
    )
    yield Row(
        "  file size an event, payload of 100 bytes",
        f"{size:.0f} bytes",
        ratio=f"{size / bytes_each.bound:.2f}",
        target=bytes_each.text,
        met=bytes_each.met(size),
    )
    yield Row("  its memory", _megabytes(peak))


def verify(here: Surroundings) -> Iterator[Row]:
    """Verifying a ledger, in commits of 1,000 and of one event."""
    many = here.ledger_of_events(here.million, 1_000)
    yield from _verified(
        f"verify {here.million:,} entries, commits of 1,000",
        [workload("verify", many) for _ in range(LONG_RUNS)],
        Target(">= 100,000/s a core", 100_000),
    )
    single = here.ledger_of_events(here.million // 10, 1)
    what = f"verify {here.million // 10:,} entries, commits of one"
    yield from _verified(what, [workload("verify", single) for _ in range(LONG_RUNS)], None)


def rebuild(here: Surroundings) -> Iterator[Row]:
    """Building the projection file from nothing."""
    home = here.ledger_of_events(here.million, 1_000)
    answers = [workload("rebuild", home, here.scratch) for _ in range(LONG_RUNS)]
    rates = Sample([found["entries"] / found["wall"] for found, _ in answers])
    cores = Sample([found["entries"] / found["cpu"] for found, _ in answers])
    target = Target(">= 100,000/s", 100_000)
    there, note = _on_reference(rates.values, [found["check"] for found, _ in answers])
    yield Row(
        f"rebuild the projection file, {here.million:,} events",
        _rate(rates, "events"),
        f"a core {cores.middle:,.0f}/s; {note}",
        f"{there / target.bound:.2f}",
        target.text,
        target.met(there),
    )
    yield _memory(max(peak for _, peak in answers), Target("< 1,000 MB", 1_000, at_least=False))


BENCHMARKS: dict[str, Callable[[Surroundings], Iterator[Row]]] = {
    "help": start,
    "tail": tail,
    "attest": attest,
    "bom": bom,
    "tail-scale": tail_scale,
    "commit": commit,
    "append": append,
    "verify": verify,
    "rebuild": rebuild,
}


def _verified(what: str, answers: list[tuple[dict[str, float], int]], target: Target | None) -> Iterator[Row]:
    wall = Sample([found["entries"] / found["wall"] for found, _ in answers])
    core = Sample([found["entries"] / found["cpu"] for found, _ in answers])
    there, note = _on_reference(core.values, [found["check"] for found, _ in answers])
    yield Row(
        what,
        _rate(wall, "entries"),
        f"a core {core.middle:,.0f}/s; {note}",
        f"{there / target.bound:.2f}" if target else "-",
        target.text if target else "reported apart",
        target.met(there) if target else "-",
    )
    yield _memory(max(peak for _, peak in answers), Target("< 300 MB", 300, at_least=False))


def _on_reference(rates: Sequence[float], checks: Sequence[float]) -> tuple[float, str]:
    """Give the median rate of the reference machine, and what to print about it: each rate times the check beside it."""
    there = median(rate * check / REFERENCE_CHECK for rate, check in zip(rates, checks, strict=True))
    return there, f"Ed25519 check {median(checks) * 1e6:.0f} us; at {REFERENCE_CHECK * 1e6:.0f} us {there:,.0f}/s"


def _memory(peak: int, target: Target) -> Row:
    value = peak / MEGABYTE
    ratio = f"{value / target.bound:.2f}"
    return Row("  its memory", _megabytes(peak), ratio=ratio, target=target.text, met=target.met(value))


def _faster(what: str, ours: Runs, theirs: Runs, target: Target) -> Row:
    wall, cpu = theirs.wall.middle / ours.wall.middle, theirs.cpu.middle / ours.cpu.middle
    return _compared(what, ours, f"soup-cli {_seconds(theirs.wall)}", (wall, cpu), target)


def _slower(what: str, ours: Runs, theirs: Runs, target: Target, peer: str = "soup-cli") -> Row:
    wall, cpu = ours.wall.middle / theirs.wall.middle, ours.cpu.middle / theirs.cpu.middle
    return _compared(what, ours, f"{peer} {_seconds(theirs.wall)}", (wall, cpu), target)


def _compared(what: str, ours: Runs, against: str, ratios: tuple[float, float], target: Target) -> Row:
    wall, cpu = ratios
    return Row(what, _seconds(ours.wall), against, f"{wall:.2f} (CPU {cpu:.2f})", target.text, target.met(wall))


def _seconds(sample: Sample) -> str:
    first, third = sample.quartiles
    return f"{sample.middle:.3f} s ({first:.3f}-{third:.3f})"


def _rate(sample: Sample, unit: str) -> str:
    first, third = sample.quartiles
    return f"{sample.middle:,.0f} {unit}/s ({first:,.0f}-{third:,.0f})"


def _megabytes(size: int) -> str:
    return f"{size / MEGABYTE:.0f} MB"


def _rows(here: Surroundings, name: str) -> Iterator[Row]:
    try:
        yield from BENCHMARKS[name](here)
    except (FailedError, subprocess.CalledProcessError, OSError) as error:
        yield Row(name, f"not measured: {error}", met="no")


def _print_table(rows: list[Row]) -> None:
    head = Row("what", "measured: median (quartiles)", "against", "ratio", "target", "met")
    table = [_cells(row) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    table.insert(1, tuple("-" * width for width in widths))
    for cells in table:
        print(" | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _cells(row: Row) -> tuple[str, ...]:
    return (row.what, row.measured, row.against, row.ratio, row.target, row.met)


def _load() -> str:
    return "load average " + ", ".join(f"{value:.2f}" for value in os.getloadavg())


def main() -> None:
    """Measure what was asked for, and print the table."""
    parser = argparse.ArgumentParser(description="Measure soup against soup-cli, SQLite and its own targets.")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="100,000 events instead of 1,000,000")
    options = parser.parse_args()
    os.umask(0o077)
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.platform()}, "
        f"{len(os.sched_getaffinity(0))} cores; {_load()}"
    )
    rows: list[Row] = []
    with surroundings(QUICK_MILLION if options.quick else MILLION) as here:
        for name in BENCHMARKS:
            if options.only is None or name in options.only:
                print(f"measuring {name} ...", file=sys.stderr, flush=True)
                rows.extend(_rows(here, name))
    _print_table(rows)
    print(_load())


if __name__ == "__main__":
    main()
