"""Whatever repeats the entries (head row, command index, high-water mark, SQLite's own indexes) must say the same.

What is true here: each copy is rebuilt from what verification has walked, or compared row by row, and none is trusted.

Not known here: signatures. A copy that lies proves that somebody wrote to the file, not that an entry was changed.
"""

from __future__ import annotations

from ledger.errors import AlteredError
from ledger.events.command import CommandFinished, CommandStarted
from ledger.reader import Reader
from ledger.tree import Frontier

_STARTED = "SELECT name FROM command_index WHERE started = ?"
_FINISHED = """
SELECT i.finished, i.exit_code FROM command_index AS i
WHERE i.started = (SELECT e.rowid FROM entries AS e WHERE e.originator_id = ? AND e.originator_version = 1)
"""


def check_started(reader: Reader, position: int, event: CommandStarted) -> None:
    """Demand that the command index lists this beginning."""
    if reader.execute(_STARTED, (position,)).fetchone() != (event.command,):
        raise AlteredError("the command index does not list it", position=position, attack="index edited")


def check_finished(reader: Reader, position: int, stream: str, event: CommandFinished) -> bool:
    """Demand that the command index lists this end, or an earlier one of the same command. Tells whether it is this one."""
    row = reader.execute(_FINISHED, (stream,)).fetchone()
    if row is None or row == (position, event.exit_code):
        return row is not None
    if not row[0] or row[0] >= position:
        raise AlteredError("the command index lists another end of it", position=position, attack="index edited")
    return False


def check_copies(reader: Reader, last: bytes, frontier: Frontier, commands: tuple[int, int]) -> None:
    """Compare what stands beside the entries; `last` is the newest hash, `commands` how many began and ended."""
    size = frontier.size
    marks = reader.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    if marks != [("entries", size)]:
        raise AlteredError(
            f"is missing: the file once held another number ({marks})", position=size + 1, attack="truncated"
        )
    head = reader.execute("SELECT one, size, hash, frontier FROM head").fetchall()
    if head != [(1, size, last, frontier.to_bytes())]:
        raise AlteredError("the head row is not what the entries give", attack="index edited")
    # Each entry had its payload; positions are the key of both tables, so one more can only lie outside of 1 to size.
    outside = (
        "SELECT position FROM payloads WHERE position < 1 UNION ALL SELECT position FROM payloads WHERE position > ?"
    )
    if reader.execute(outside, (size,)).fetchone():
        raise AlteredError("there are payloads without an entry", attack="inserted")
    index = reader.execute("SELECT count(*), count(finished), count(exit_code) FROM command_index").fetchone()
    if index != (commands[0], commands[1], commands[1]):
        raise AlteredError("the command index lists commands that no entry records", attack="index edited")
    # Indexes are copies of columns, kept by SQLite: one that leaves a row out would hide it from whoever reads a stream.
    (sound,) = reader.execute("PRAGMA integrity_check(1)").fetchone()
    if sound != "ok":
        raise AlteredError(f"the file contradicts itself: {sound}", attack="index edited")
