"""Documents that were rendered, and not published: what a kill leaves between the record and the rename."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from commands import origin
from ledger.errors import LedgerError
from ledger.events.command import CommandStarted
from ledger.events.document import DocumentPublished, DocumentRendered
from ledger.reader import Reader, Record

LOOK_BACK = 100
"""Interrupted commands that are looked at, newest first: this runs before every command."""

_OPEN = "SELECT started FROM command_index WHERE finished IS NULL ORDER BY started DESC LIMIT ?"


@dataclass(frozen=True, slots=True)
class Pending:
    """A document on the record that does not stand at its target."""

    record: Record
    event: DocumentRendered


def pending(reader: Reader, but: str) -> Iterator[Pending]:
    """Find what interrupted commands have rendered and not published; `but` is the command that asks."""
    for (started,) in reader.execute(_OPEN, (LOOK_BACK,)).fetchall():
        record = reader.record(started)
        if record is None or record.command == but or not _interrupted(record):
            continue
        for entry in reader.of_command(record.command):
            if entry.type == DocumentRendered.TYPE and (document := _unpublished(reader, entry)):
                yield document


def _interrupted(record: Record) -> bool:
    try:
        event = record.event()
    except LedgerError:
        return False
    return isinstance(event, CommandStarted) and origin.outcome_of_open(event.process) == "interrupted"


def _unpublished(reader: Reader, entry: Record) -> Pending | None:
    event = entry.event()
    if not isinstance(event, DocumentRendered) or event.target is None:
        return None
    later = (record.event() for record in reader.stream(entry.stream) if record.position > entry.position)
    done = any(isinstance(other, DocumentPublished) and other.target == event.target for other in later)
    return None if done else Pending(entry, event)
