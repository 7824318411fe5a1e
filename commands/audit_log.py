"""`soup audit-log`: the record of every command, as people and log collectors read it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from commands import audit_file, origin, terminal
from commands.cli import SETTINGS, recorded
from commands.errors import OutputError, UsageProblem
from commands.record import Session
from ledger.entry import parse_time
from ledger.errors import MalformedError
from ledger.events.command import CommandStarted
from ledger.reader import Reader
from projections.audit_log import argument_text, command_row

POLL_SECONDS = 0.5
MEGABYTE = 1_000_000
STYLES = ("failed=red", "interrupted=yellow", "running=cyan")


@click.group(name="audit-log", context_settings=SETTINGS)
def audit_log() -> None:
    """Show and rotate the audit log of every soup command."""


@audit_log.command()
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 1_000_000), help="Newest commands to show."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--follow", is_flag=True, help="Go on showing commands as they end.")
@click.option("--since", metavar="TIME", help="Only commands started at or after this UTC time (2026-11-22T20:00:00Z).")
@click.option("--command", "name", metavar="NAME", help='Only this command, for example "bom emit" or "bom".')
@click.option("--failed", is_flag=True, help="Only commands that failed or were interrupted.")
@click.option(
    "--ledger", type=click.Path(exists=True, dir_okay=False), help="Read this ledger instead; leaves no trace."
)
@recorded(tolerant=True)
def tail(session: Session, **options: Any) -> None:
    """Show the newest commands, oldest first.

    The command that shows them is left out of its own list.
    """
    since = _since(options["since"])
    with session.reader() as reader:
        seen = reader.size
        newest = islice(_newest(reader, since, options, session.command), options["limit"])
        rows = list(newest)[::-1]
    _show(rows, as_json=options["as_json"])
    if options["follow"]:
        _follow(session, options, seen)


@audit_log.command()
@click.option(
    "--cap-mb", default=500, show_default=True, type=click.IntRange(0), help="Rotate only a file of this size or more."
)
@click.option("--json", "as_json", is_flag=True, help="Say what was done as JSON.")
@recorded()
def rotate(session: Session, cap_mb: int, as_json: bool) -> None:
    """Seal the JSONL file as a segment and begin another; nothing is ever deleted."""
    path, cap = session.context.audit_log, cap_mb * MEGABYTE
    segment = None
    try:
        with audit_file.opened(path, session.reader, wait=True) as file:
            if file is not None:
                audit_file.append(file)
                size = path.stat().st_size
                if size >= cap and file.first:
                    segment = audit_file.seal(file)
                    session.append([(audit_file.SEGMENTS, segment)])  # record, then publish
                    audit_file.close_segment(path, segment)
    except audit_file.AuditFileError as error:
        raise OutputError(str(error)) from None
    if as_json:
        terminal.show_json({"rotated": bool(segment), "size": size, "cap": cap, "segment": segment and segment.name})
    elif segment:
        click.echo(f"sealed {segment.name}: entries {segment.first} to {segment.last}, {size} bytes")
    else:
        click.echo(f"nothing to rotate: {path} has {size} bytes, the cap is {cap}")


def _since(text: str | None) -> int:
    if text is None:
        return 0
    try:
        return parse_time(text)
    except MalformedError as error:
        raise UsageProblem(f"--since: {error}") from None


def _newest(reader: Reader, since: int, options: dict[str, Any], but: str) -> Iterator[dict[str, Any]]:
    """Walk the command index backwards; every row is read from the entries it points at, and checked."""
    floor = reader.position_at(since - 1) if since else 0
    name = options["name"] or ""
    for started, finished in reader.execute(_NEWEST, (floor, name, name, name, options["failed"])):
        row = _row(reader, started, finished)
        if row is not None and _wanted(row, options, but):
            yield row


_NEWEST = """
SELECT started, finished FROM command_index
WHERE started > ? AND (? = '' OR name = ? OR name LIKE ? || ' %') AND (NOT ? OR exit_code IS NOT 0)
ORDER BY started DESC
"""


def _row(reader: Reader, started: int, finished: int | None) -> dict[str, Any] | None:
    begin = reader.record(started)
    if begin is None or begin.type != CommandStarted.TYPE:
        return None  # the index is never trusted; `soup ledger verify` names the fault
    end = reader.record(finished) if finished else None
    row = command_row(begin, end)
    if row["outcome"] == "open":
        event = begin.event()
        if isinstance(event, CommandStarted):
            row["outcome"] = origin.outcome_of_open(event.process)
    return row


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            terminal.show_json(row)
        return
    columns = ("position", "time (UTC)", "outcome", "exit", "ms", "operator", "command line")
    terminal.show_table(columns, [_cells(row) for row in rows], styles=STYLES)


def _cells(row: dict[str, Any]) -> tuple[object, ...]:
    operator = row["operator"]
    return (
        row["position"],
        row["time"][:19].replace("T", " "),
        row["outcome"],
        "" if row["exit_code"] is None else row["exit_code"],
        "" if row["duration_ms"] is None else row["duration_ms"],
        operator["user"] or operator["uid"],
        " ".join(argument_text(argument) for argument in row["argv"]),
    )


def _follow(session: Session, options: dict[str, Any], seen: int) -> None:
    """Show commands as they end, until interrupted. One bracket records the whole watch."""
    while True:
        time.sleep(POLL_SECONDS)
        with session.reader() as reader:
            ended = reader.execute(
                "SELECT started, finished FROM command_index WHERE finished > ? ORDER BY finished", (seen,)
            ).fetchall()
            rows = [row for pair in ended if (row := _row(reader, *pair)) and _wanted(row, options, session.command)]
            seen = reader.size
        _show_new(rows, as_json=options["as_json"])


def _wanted(row: dict[str, Any], options: dict[str, Any], but: str) -> bool:
    name = options["name"]
    return (
        row["command_id"] != but
        and (not name or row["command"] == name or row["command"].startswith(f"{name} "))
        and not (options["failed"] and row["outcome"] in {"done", "running"})
    )


def _show_new(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    for row in rows:
        if as_json:
            terminal.show_json(row)
        else:
            click.echo("\t".join(terminal.neutral(cell) for cell in _cells(row)))
    sys.stdout.flush()
