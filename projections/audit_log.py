"""The audit log's JSONL line, and the joined view of one command. Pure: a record in, bytes or a row out.

A line holds one ledger entry: its position and hash come first, so that any line can be checked against the ledger.
Needs no DuckDB: `soup audit-log tail` reads a few entries through the command index.
"""

from __future__ import annotations

import shlex
from typing import Any, TypeVar

import msgspec

from ledger import canonical
from ledger.entry import time_text
from ledger.errors import NotCanonicalError
from ledger.events.base import Event
from ledger.events.command import Base64Argument, CommandFinished, CommandStarted
from ledger.reader import Record

FORMAT = "soup-audit/1"
MAX_LINE = 8 * 1024 * 1024

E = TypeVar("E", bound=Event)


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry as the audit log shows it."""

    command: str
    event: msgspec.Raw
    format: str
    hash: str
    ledger: str
    logged: str
    position: int
    stream: str
    time: str
    type: str


_decoder = msgspec.json.Decoder(Line)
_encoder = msgspec.json.Encoder()


def line(ledger: str, record: Record) -> bytes:
    """Render one entry as a line with its newline. The payload stands as the exact bytes that were hashed."""
    return (
        _encoder.encode(
            Line(
                command=record.command,
                event=msgspec.Raw(record.payload or b"null"),
                format=FORMAT,
                hash=record.hash.hex(),
                ledger=ledger,
                logged=time_text(record.logged),
                position=record.position,
                stream=record.stream,
                time=time_text(record.time),
                type=record.type,
            )
        )
        + b"\n"
    )


def parse_line(raw: bytes) -> Line | None:
    """Read a whole line back; None where it is not one of an audit log."""
    try:
        parsed = _decoder.decode(raw)
        canonical.decode(bytes(parsed.event), max_bytes=MAX_LINE)
    except (msgspec.DecodeError, NotCanonicalError, UnicodeDecodeError):
        return None
    return parsed if parsed.format == FORMAT else None


def command_row(started: Record, finished: Record | None) -> dict[str, Any]:
    """Join both ends of a command into the row that `tail` shows; `outcome` is `open` where there is no end."""
    begin = _as(started, CommandStarted)
    end = _as(finished, CommandFinished) if finished else None
    return {
        "position": started.position,
        "time": time_text(started.time),
        "command": begin.command,
        "argv": [arg if isinstance(arg, str) else msgspec.to_builtins(arg) for arg in begin.argv],
        "outcome": "open" if end is None else "done" if end.exit_code == 0 else "failed",
        "exit_code": None if end is None else end.exit_code,
        "duration_ms": None if end is None else end.duration_us // 1000,
        "error": None if end is None else end.error,
        "operator": msgspec.to_builtins(begin.operator),
        "process": msgspec.to_builtins(begin.process),
        "directory": begin.directory,
        "soup_version": begin.soup_version,
        "redactions": _sum(begin.redactions, end.redactions if end else {}),
        "command_id": started.command,
        "hash": started.hash.hex(),
        "finished_position": finished.position if finished else None,
        "finished_hash": finished.hash.hex() if finished else None,
    }


def argument_text(argument: str | Base64Argument | dict[str, Any]) -> str:
    """Give an argument as one word for people, quoted as a shell would need it."""
    if isinstance(argument, str):
        return shlex.quote(argument)
    return f"base64:{argument['base64'] if isinstance(argument, dict) else argument.base64}"


def _as(record: Record, kind: type[E]) -> E:
    event = record.event()
    if not isinstance(event, kind):
        raise TypeError(f"entry {record.position} is {record.type}, not {kind.TYPE}")
    return event


def _sum(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
    return {rule: a.get(rule, 0) + b.get(rule, 0) for rule in sorted({*a, *b})}
