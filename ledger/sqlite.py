"""The SQLite recorder: eventsourcing's classic application recorder, with a seal in its transaction.

What is true here:

- A write transaction opens with BEGIN IMMEDIATE: the head is read, sealed upon and replaced under one lock. The stock
  recorder's deferred BEGIN would fail with SQLITE_BUSY_SNAPSHOT when another process commits in between.
- WAL with synchronous=FULL: when `insert_events` returns, the commit survives a loss of power.
- Positions are assigned here, not by AUTOINCREMENT, whose high-water mark only betrays a tail that was cut off.
- A head that does not agree with the last entry, the last checkpoint or the high-water mark takes no further entry.

Not known here: keys' files, events' meaning (but for the two that the command index counts), and any other store.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from eventsourcing.persistence import OperationalError, StoredEvent
from eventsourcing.sqlite import (
    SQLiteApplicationRecorder,
    SQLiteConnection,
    SQLiteConnectionPool,
    SQLiteCursor,
    SQLiteDatastore,
    SQLiteTransaction,
)

from ledger import note, schema, tree
from ledger.command_index import INDEXED, index_statement
from ledger.commit import Commit, Draft, Head, Signer, seal
from ledger.entry import SALT_BYTES
from ledger.errors import MalformedError, UnwritableError

LOCK_TIMEOUT = 30
"""Seconds that a writer waits for another's commit."""
ROWS = 100
"""Rows of one INSERT: far below the 32,766 parameters that SQLite takes."""
NIL_COMMAND = "00000000-0000-0000-0000-000000000000"


class _Transaction(SQLiteTransaction):
    def __enter__(self) -> SQLiteCursor:
        if not self.commit:
            return super().__enter__()
        cursor = self.connection.cursor()
        try:
            cursor.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise OperationalError(error) from error
        return cursor


class _Connection(SQLiteConnection):
    @contextmanager
    def transaction(self, *, commit: bool) -> Iterator[SQLiteCursor]:
        with _Transaction(self, commit=commit) as cursor, cursor:
            yield cursor


class _Pool(SQLiteConnectionPool):
    def _create_connection(self) -> SQLiteConnection:
        plain = super()._create_connection()._sqlite_conn  # noqa: SLF001 - the library offers no hook for pragmas
        plain.execute("PRAGMA synchronous = FULL")
        plain.execute("PRAGMA trusted_schema = OFF")
        return _Connection(plain, max_age=self.max_age)


class LedgerDatastore(SQLiteDatastore):
    """One SQLite file, opened for durable, serialised writing."""

    def __init__(self, path: str) -> None:
        """Open `path`, an absolute path."""
        super().__init__(path, originator_id_type="text")
        self.pool = _Pool(db_name=path, lock_timeout=LOCK_TIMEOUT)


class SealingRecorder(SQLiteApplicationRecorder):
    """Inserts events as sealed commits. One recorder signs for one author and one log key."""

    def __init__(self, datastore: SQLiteDatastore, *, ledger: str, origin: str, author: Signer, log: Signer) -> None:
        """Take the ledger's id (hex) and origin, and the two keys that sign in it."""
        super().__init__(datastore)
        self.ledger, self.origin, self.author, self.log = ledger, origin, author, log
        self._last: Commit | None = None  # what this recorder sealed last; believed only where the file says the same

    def construct_create_table_statements(self) -> list[str]:
        """Give our schema, where the library has its own single table."""
        return [*schema.statements(), *schema.PRAGMAS]

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Insert as one commit; see `record`."""
        if not stored_events:
            return []
        return [entry.position for entry in self.record(stored_events, **kwargs).entries]

    def record(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Commit:
        """Seal and store `stored_events` atomically and durably; give the commit.

        Keywords: `command` (UUID text), `times` (microseconds, one an event), `now` (microseconds).
        Raises the library's IntegrityError where a stream has that version already, UnwritableError where the head is in doubt.
        """
        with self.datastore.transaction(commit=True) as cursor:
            return self._record(cursor, stored_events, **kwargs)

    def found(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Commit | None:
        """Create the tables and the genesis commit in one transaction; None where a ledger is there already."""
        with self.datastore.transaction(commit=True) as cursor:
            cursor.execute("SELECT count(*) FROM sqlite_schema")
            if cursor.fetchone()[0]:
                return None
            self._create_table(cursor)
            cursor.execute("INSERT INTO head VALUES (1, 0, ?, ?)", (Head().hash, b""))
            return self._record(cursor, stored_events, **kwargs)

    def create_table(self) -> None:
        """Create the tables and an empty head."""
        with self.datastore.transaction(commit=True) as cursor:
            self._create_table(cursor)
            cursor.execute("INSERT INTO head VALUES (1, 0, ?, ?)", (Head().hash, b""))

    def _record(
        self,
        cursor: SQLiteCursor,
        stored_events: Sequence[StoredEvent],
        *,
        command: str = NIL_COMMAND,
        times: Sequence[int] = (),
        now: int | None = None,
    ) -> Commit:
        now = time.time_ns() // 1000 if now is None else now
        # 1. The head, under the write lock.
        head = self._head(cursor)
        # 2. Both signatures, over bytes that exist nowhere else yet.
        salts = os.urandom(SALT_BYTES * len(stored_events))
        commit = seal(
            head,
            [
                Draft(
                    _stream(stored),
                    stored.originator_version,
                    stored.topic,
                    when,
                    stored.state,
                    salts[SALT_BYTES * n : SALT_BYTES * (n + 1)],
                )
                for n, (stored, when) in enumerate(zip(stored_events, times or [now] * len(stored_events), strict=True))
            ],
            ledger=self.ledger,
            origin=self.origin,
            command=command,
            author=self.author,
            log=self.log,
            previous=self._previous(cursor, head),
            now=now,
        )
        self._last = commit
        # 3. All rows of the commit. They are durable when the surrounding COMMIT returns, and not before.
        _insert(cursor, commit)
        return commit

    def _head(self, cursor: SQLiteCursor) -> Head:
        cursor.execute("SELECT size, hash, frontier FROM head")
        row = cursor.fetchone()
        if row is None:
            raise UnwritableError("the ledger has lost its head row; run: soup ledger verify")
        size, last, frontier = row
        cursor.execute(
            "SELECT (SELECT max(rowid) FROM entries), (SELECT seq FROM sqlite_sequence WHERE name = 'entries')"
        )
        if any((value or 0) != size for value in cursor.fetchone()):
            raise UnwritableError("entries are missing at the end of the ledger; run: soup ledger verify")
        if size == 0:
            return Head()
        cursor.execute("SELECT hash FROM entries WHERE rowid = ?", (size,))
        if cursor.fetchone()[0] != last:
            raise UnwritableError("the ledger's head is not its last entry; run: soup ledger verify")
        cursor.execute("SELECT logged, checkpoint FROM commits ORDER BY first DESC LIMIT 1")
        logged, text = cursor.fetchone() or (0, "")
        own = self._last
        if own is not None and (own.head, own.checkpoint) == (Head(size, last, frontier, logged), text):
            return own.head
        try:
            root = tree.Frontier.from_bytes(size, frontier).root()
            sealed = note.parse_checkpoint_body(note.parse_note(text).body)
        except MalformedError as error:
            raise UnwritableError(f"the ledger's head is damaged ({error}); run: soup ledger verify") from None
        if (sealed.size, sealed.root) != (size, root):
            raise UnwritableError("the ledger's head is not what was last sealed; run: soup ledger verify")
        return Head(size, last, frontier, logged)

    def _previous(self, cursor: SQLiteCursor, head: Head) -> str | None:
        if self._last is not None and self._last.head is head:
            return sha256(self._last.envelope).hexdigest()
        cursor.execute(
            "SELECT envelope FROM commits WHERE author = ? ORDER BY first DESC LIMIT 1",
            (bytes.fromhex(self.author.key_id),),
        )
        row = cursor.fetchone()
        return None if row is None else sha256(row[0]).hexdigest()


def _insert(cursor: SQLiteCursor, commit: Commit) -> None:
    cursor.execute(
        "INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            commit.first,
            len(commit.entries),
            bytes.fromhex(commit.author),
            commit.command,
            commit.logged,
            commit.envelope,
            commit.checkpoint,
        ),
    )
    first = commit.first
    _insert_rows(
        cursor,
        "entries",
        [
            (e.position, d.stream, d.version, d.event_type, first, d.time, e.payload_digest, len(d.payload), e.hash)
            for e in commit.entries
            for d in (e.draft,)
        ],
    )
    _insert_rows(cursor, "payloads", [(e.position, e.draft.salt, e.draft.payload) for e in commit.entries])
    for entry in commit.entries:
        if entry.draft.event_type not in INDEXED:
            continue
        statement = index_statement(entry.draft.event_type, entry.position, entry.draft.stream, entry.draft.payload)
        if statement is not None:
            cursor.execute(*statement)
    head = commit.head
    cursor.execute("UPDATE head SET size = ?, hash = ?, frontier = ?", (head.size, head.hash, head.frontier))


def _insert_rows(cursor: SQLiteCursor, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert many rows a statement: AUTOINCREMENT rewrites its high-water mark once for each statement."""
    one = f"({', '.join('?' * len(rows[0]))})"
    for start in range(0, len(rows), ROWS):
        chunk = rows[start : start + ROWS]
        statement = f"INSERT INTO {table} VALUES {', '.join([one] * len(chunk))}"  # noqa: S608 - a table of ours
        cursor.execute(statement, [value for row in chunk for value in row])


def _stream(stored: StoredEvent) -> str:
    """Give the stream as text; the library's own tests use UUIDs."""
    name = stored.originator_id
    return name if isinstance(name, str) else name.hex
