"""What runs in a process of its own, so that its time and memory are its own: `workloads.py NAME ARGUMENT...`.

What is true here:

- Each workload prints one JSON object. Only the work itself is timed, not the interpreter's start and not the imports.
- Ledgers are made through `ledger.writer`, by the same calls as in `soup`, and with its ids.
- An event of the scale rows has a payload of exactly 100 bytes (see `BODY`), in the stream of a run that has 10,000 of them.

Not known here: targets, tables, and which of the numbers will be believed.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair

from commands.context import Context
from commands.version import VERSION
from ledger import canonical, keys, writer
from ledger.events import Event
from ledger.events.command import CommandFinished, CommandStarted, Operator, Process
from ledger.events.document import DocumentPublished

COMMIT = 1_000
RUN = 10_000
BLOCK = 50
"""Commits that are timed together."""
EVENT = DocumentPublished(sha256="ab" * 32, target="a.spdx.json")
BODY = canonical.encode(EVENT)
Pair = tuple[str, Event]


def open_ledger(home: Path) -> writer.Writer:
    """Open the ledger of `home`, made with its keys as the first command makes it."""
    (home / "keys").mkdir(mode=0o700, parents=True, exist_ok=True)
    keys.generate_pair(home / "keys", None)
    opened, _ = writer.open_or_found(
        home / "ledger.db",
        author=keys.load(home / "keys" / "author.key", "author", lambda: None),
        log=keys.load(home / "keys" / "log.key", "log", lambda: None),
        heads_directory=home / "heads",
        clock=Context.clock,
        command=Context.new_id(),
        version=VERSION,
    )
    return opened


def commands(home: str, count: str, line: str) -> dict[str, Any]:
    """Record `count` commands, each begun and ended, with the arguments of `line` (JSON)."""
    pairs = _brackets(int(count), json.loads(line))
    with closing(open_ledger(Path(home))) as ledger:
        _append_all(ledger, pairs, COMMIT)
    return {"records": int(count)}


def events(home: str, count: str, size: str) -> dict[str, Any]:
    """Append `count` events in commits of `size`."""
    with closing(open_ledger(Path(home))) as ledger:
        _append_all(ledger, _observations(int(count)), int(size))
    return {"events": int(count)}


def append(scratch: str, count: str) -> dict[str, Any]:
    """Time appending to a fresh ledger, in turns with bare SQLite; give events/s, and the ledger's bytes an event."""
    pairs, ours, cores, bare, checks = _observations(int(count)), [], [], [], []
    with TemporaryDirectory(dir=scratch) as name:
        home = Path(name)
        with closing(open_ledger(home)) as ledger, closing(_bare(home)) as plain:
            rows = [(BODY,)] * COMMIT
            for _ in range(int(count) // (COMMIT * BLOCK)):
                command = Context.new_id()
                # Events are made one commit ahead: a heap full of waiting ones would be charged to the ledger by the collector.
                times = [_timed(ledger.append, [(command, list(islice(pairs, COMMIT)))]) for _ in range(BLOCK)]
                ours.append(COMMIT * BLOCK / sum(wall for wall, _ in times))
                cores.append(COMMIT * BLOCK / sum(cpu for _, cpu in times))
                bare.append(COMMIT * BLOCK / _timed(_insert, [(plain, rows)] * BLOCK)[0])
                checks.append(_ed25519_check())
        # Closing the last connection has moved the WAL into the file and removed it.
        size = (home / "ledger.db").stat().st_size / int(count)
        return {"ours": ours, "cores": cores, "bare": bare, "checks": checks, "bytes": size}


def commit(scratch: str, blocks: str) -> dict[str, Any]:
    """Time durable commits of one event, in turns with bare SQLite; give commits/s of each block. The first is a warm-up."""
    ours, bare = [], []
    with (
        TemporaryDirectory(dir=scratch) as name,
        closing(open_ledger(Path(name))) as ledger,
        closing(_bare(Path(name))) as plain,
    ):
        pairs, command = _observations(BLOCK * (int(blocks) + 1)), Context.new_id()
        for _ in range(int(blocks) + 1):
            batch = [(command, [pair]) for pair in islice(pairs, BLOCK)]
            ours.append(BLOCK / _timed(ledger.append, batch)[0])
            bare.append(BLOCK / _timed(_insert, [(plain, [(BODY,)])] * BLOCK)[0])
    return {"ours": ours[1:], "bare": bare[1:]}


def verify(home: str) -> dict[str, Any]:
    """Walk the whole ledger of `home` as an auditor does."""
    from ledger.reader import Reader
    from ledger.verify import verify as walk

    with Reader.open_foreign(Path(home) / "ledger.db") as reader:
        before, begin = _ed25519_check(), _clocks()
        found = walk(reader)
        wall, cpu = _since(begin)
    check = (before + _ed25519_check()) / 2
    return {"entries": found.size, "commits": found.commits, "wall": wall, "cpu": cpu, "check": check}


def rebuild(home: str, scratch: str) -> dict[str, Any]:
    """Build the projection file from nothing, and open it."""
    from ledger.reader import Reader
    from projections.cache import cached_view

    with TemporaryDirectory(dir=scratch) as name, Reader.open_foreign(Path(home) / "ledger.db") as reader:
        before, begin = _ed25519_check(), _clocks()
        with cached_view(reader, Path(name) / "projections", reader.size, lambda _: None) as view:
            wall, cpu = _since(begin)
            ((rows,),) = view.rows("SELECT count(*) FROM events")
        if (rows, view.source) != (reader.size, "cache"):
            raise ValueError(f"{rows} of {reader.size} entries are in the view, which comes from the {view.source}")
        return {"entries": rows, "wall": wall, "cpu": cpu, "check": (before + _ed25519_check()) / 2}


def _brackets(count: int, argv: list[str]) -> Iterator[Pair]:
    operator = Operator(uid=os.getuid(), user="operator", claimed={"USER": "operator"})
    process = Process(host="host", pid=os.getpid(), boot_id=None, started_ticks=None)
    started = CommandStarted(
        command="bom emit",
        argv=list(argv),
        directory="~/project",
        operator=operator,
        process=process,
        soup_version=VERSION,
        redactions={},
    )
    finished = CommandFinished(exit_code=0, duration_us=250_000, error=None, redactions={})
    for _ in range(count):
        stream = f"command/{Context.new_id()}"
        yield stream, started
        yield stream, finished


def _observations(count: int) -> Iterator[Pair]:
    stream = ""
    for number in range(count):
        if number % RUN == 0:
            stream = f"run/{Context.new_id()}"
        yield stream, EVENT


def _append_all(ledger: writer.Writer, pairs: Iterator[Pair], size: int) -> None:
    command = Context.new_id()
    while batch := list(islice(pairs, size)):
        ledger.append(command, batch)


def _bare(directory: Path) -> sqlite3.Connection:
    """Open the least that SQLite can durably do: one table, no index but its key."""
    connection = sqlite3.connect(directory / "bare.db", isolation_level=None)
    for statement in ("journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {statement}")
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    return connection


def _insert(connection: sqlite3.Connection, rows: Sequence[tuple[bytes]]) -> None:
    if len(rows) == 1:
        connection.execute("INSERT INTO rows (body) VALUES (?)", rows[0])  # commits by itself
        return
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO rows (body) VALUES (?)", rows)
    connection.execute("COMMIT")


def _ed25519_check(times: int = 1_000) -> float:
    """Seconds of CPU that one check of a signature over 400 bytes costs here and now: the floor of a commit of one."""
    public, secret = crypto_sign_seed_keypair(bytes(32))
    signed = crypto_sign(bytes(400), secret)
    _, cpu = _timed(crypto_sign_open, [(signed, public)] * times)
    return cpu / times


def _timed(action: Callable[..., object], calls: Sequence[tuple[Any, ...]]) -> tuple[float, float]:
    """Make all calls; give the seconds by the wall, and of CPU."""
    begin = _clocks()
    for arguments in calls:
        action(*arguments)
    return _since(begin)


def _clocks() -> tuple[float, float]:
    own, children = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
    return perf_counter(), sum(usage.ru_utime + usage.ru_stime for usage in (own, children))


def _since(begin: tuple[float, float]) -> tuple[float, float]:
    now = _clocks()
    return now[0] - begin[0], now[1] - begin[1]


WORKLOADS: dict[str, Callable[..., dict[str, Any]]] = {
    function.__name__: function for function in (commands, events, append, commit, verify, rebuild)
}

if __name__ == "__main__":
    print(json.dumps(WORKLOADS[sys.argv[1]](*sys.argv[2:])))
