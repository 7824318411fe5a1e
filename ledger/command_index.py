"""The command index: one small row a command, so that the audit log's tail is found without a scan.

It repeats what the entries say. It is written in the same transaction, rebuilt and compared by verification, and never
trusted: whoever reads it goes on to read and check the entries it points at.
"""

from __future__ import annotations

from typing import Any

from ledger.decode import decode_event
from ledger.errors import LedgerError
from ledger.events.command import CommandFinished, CommandStarted

INDEXED = frozenset({CommandStarted.TYPE, CommandFinished.TYPE})
_START = "INSERT INTO command_index VALUES (?, NULL, ?, NULL)"
_FINISH = (
    "UPDATE command_index SET finished = ?, exit_code = ? WHERE finished IS NULL AND started = "
    "(SELECT rowid FROM entries WHERE originator_id = ? AND originator_version = 1 AND topic = 'command.started/1')"
)


def index_statement(event_type: str, position: int, stream: str, payload: bytes) -> tuple[str, tuple[Any, ...]] | None:
    """Give the statement that an entry adds to the index, None for all but the two events of a bracket."""
    if event_type not in INDEXED:
        return None
    try:
        event = decode_event(event_type, payload)
    except LedgerError:
        return None  # the recorder stores bytes; whether they are an event is the mapper's business
    if isinstance(event, CommandStarted):
        return _START, (position, event.command)
    if isinstance(event, CommandFinished):
        return _FINISH, (position, event.exit_code, stream)
    return None
