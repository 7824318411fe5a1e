"""Opening a ledger for reading, and iterating over it. Never imports eventsourcing, never writes.

What is true here:

- One reader sees one snapshot: a transaction is open from the first statement to `close`.
- A foreign ledger is opened without leaving a trace: in place and immutable where it has no WAL, else from a private copy
  made together with its WAL; opening it in place would create files beside it or ignore what the WAL holds.
- The schema must be ours literally, before any table of it is read.
- A `Record` has been checked on its own: its header is rebuilt from its fields and hashes to the stored hash, its payload
  to the digest in the header. Whether that hash belongs in the chain, and who signed it, is for `ledger.verify` to say.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from hashlib import sha256
from itertools import chain, groupby, islice, repeat
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import quote

from ledger import schema
from ledger.decode import decode_event
from ledger.entry import MAX_PAYLOAD, ZERO, contents, headers, leaves, payload_digest, time_text
from ledger.errors import AlteredError, LedgerError, MalformedError
from ledger.events import Event

MAX_BLOB = MAX_PAYLOAD + 65_536
COPY_ATTEMPTS = 10
MAX_FETCH = 1_000
"""Entries that are read and checked together."""

_RECORDS = """
SELECT e.rowid, e.originator_id, e.originator_version, e.topic, e."commit", e.time, e.payload, e.size, e.hash, p.salt, p.body
FROM entries AS e LEFT JOIN payloads AS p ON p.position = e.rowid
"""
_COMMIT = "SELECT count, author, command, logged, envelope FROM commits WHERE first = ?"
_HASH = "SELECT hash FROM entries WHERE rowid = ?"
_COMMITS = "SELECT first, count, author, command, logged, envelope, checkpoint FROM commits ORDER BY first"
_ENTRIES = """
SELECT e.rowid, e.originator_id, e.originator_version, e.topic, e."commit", e.time, e.payload, e.size, e.hash, p.salt, p.body
FROM entries AS e LEFT JOIN payloads AS p ON p.position = e.rowid ORDER BY e.rowid
"""


_commit_of = itemgetter(4)
"""The position at which an entry's commit starts."""


class LedgerUnreadableError(LedgerError):
    """The ledger is not there, or SQLite cannot read it."""


class Record(NamedTuple):
    """An entry, with header and payload as they were hashed. Times in microseconds, digests as bytes or hex."""

    position: int
    stream: str
    version: int
    type: str
    time: int
    command: str
    author: str
    payload_sha256: bytes
    size: int
    salt: bytes | None
    payload: bytes | None
    previous: bytes
    hash: bytes
    header: bytes
    logged: int
    commit_index: int
    commit_size: int
    commit: str

    def event(self) -> Event:
        """Decode the payload by the closed table."""
        if self.payload is None:
            raise AlteredError("its payload is missing", position=self.position, attack="missing")
        return decode_event(self.type, self.payload)


class CommitRow(NamedTuple):
    """A commit as stored."""

    first: int
    size: int
    author: bytes
    command: str
    logged: int
    envelope: bytes
    checkpoint: str


EntryRow = tuple[int, str, int, str, int, int, bytes, int, bytes, bytes | None, bytes | None]
"""An entry as stored: position, stream, version, type, commit, time, payload digest, size, hash, and salt and body of its
payload. A plain tuple: a million of them are made in a verification. Nothing has been checked."""


class Reader:
    """A read-only snapshot of a ledger. Use as a context manager."""

    def __init__(self, connection: sqlite3.Connection, path: Path, stack: ExitStack) -> None:
        """Take an opened connection; `open_own` and `open_foreign` make one."""
        self._connection, self._stack, self.path = connection, stack, path
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BLOB)
        with _foreign_errors(path):
            for pragma in ("query_only = ON", "trusted_schema = OFF", "cell_size_check = ON", "cache_size = -16384"):
                connection.execute(f"PRAGMA {pragma}")
            connection.execute("BEGIN")
            schema.check(connection)
            self.size: int = connection.execute("SELECT coalesce(max(rowid), 0) FROM entries").fetchone()[0]

    @classmethod
    def open_own(cls, path: Path) -> Reader:
        """Open the ledger of this machine in place, beside its writers."""
        _demand_file(path)
        return cls._open(f"file:{quote(os.fsencode(path.absolute()))}?mode=rw", path, ExitStack())

    @classmethod
    def open_foreign(cls, path: Path) -> Reader:
        """Open somebody else's ledger, leaving nothing beside it. Raises LedgerUnreadableError, MalformedError, TooNewError."""
        _demand_file(path)
        stack = ExitStack()
        try:
            if not _wal(path).exists() or _wal(path).stat().st_size == 0:
                return cls._open(f"file:{quote(os.fsencode(path.absolute()))}?immutable=1", path, stack)
            return cls._open(f"file:{quote(os.fsencode(_private_copy(path, stack)))}?mode=rw", path, stack)
        except BaseException:
            stack.close()
            raise

    @classmethod
    def _open(cls, uri: str, path: Path, stack: ExitStack) -> Reader:
        with _foreign_errors(path):
            connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30, check_same_thread=False)
        stack.callback(connection.close)
        try:
            return cls(connection, path, stack)
        except BaseException:
            stack.close()
            raise

    def close(self) -> None:
        """Let the snapshot go, and remove a private copy."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a reading statement of ours on the snapshot."""
        with _foreign_errors(self.path):
            return self._connection.execute(statement, parameters)

    def commits(self) -> Iterator[CommitRow]:
        """Iterate over the commits in order, unchecked."""
        return map(CommitRow._make, self._all(_COMMITS))

    def entries(self) -> Callable[[int], list[EntryRow]]:
        """Give a function that fetches the next so many of the stored entries in order, unchecked."""
        cursor = self.execute(_ENTRIES)

        def fetch(count: int) -> list[EntryRow]:
            with _foreign_errors(self.path):
                return cursor.fetchmany(count)

        return fetch

    def records(self, first: int = 1, last: int | None = None) -> Iterator[Record]:
        """Iterate over positions `first` to `last`, each checked on its own. Raises AlteredError at the first that fails."""
        last = self.size if last is None else min(last, self.size)
        return self._records("WHERE e.rowid BETWEEN ? AND ? ORDER BY e.rowid", (first, last))

    def stream(self, stream: str, last: int | None = None) -> Iterator[Record]:
        """Iterate over one stream in its order, up to position `last`."""
        return self._records(
            "WHERE e.originator_id = ? AND e.rowid <= ? ORDER BY e.originator_version",
            (stream, self.size if last is None else last),
        )

    def record(self, position: int) -> Record | None:
        """Give one entry, None where there is none."""
        return next(self.records(position, position), None)

    def version(self, stream: str) -> int:
        """Give the number of events in a stream."""
        row = self.execute("SELECT max(originator_version) FROM entries WHERE originator_id = ?", (stream,)).fetchone()
        return int(row[0] or 0)

    def checkpoint(self, size: int | None = None) -> str:
        """Give the stored checkpoint of the tree of `size` entries (default: the newest), unverified. '' where none ends there."""
        size = self.size if size is None else size
        row = self.execute(
            "SELECT checkpoint FROM commits WHERE first <= ? AND first + count - 1 = ? ORDER BY first DESC LIMIT 1",
            (size, size),
        ).fetchone()
        return str(row[0]) if row else ""

    def position_at(self, logged: int) -> int:
        """Give the longest prefix whose `logged` is not after the given microseconds; 0 where there is none.

        `logged` never decreases, so a binary search over commits finds it without an index.
        """
        low, high = 0, self.size  # the answer lies in [low, high]
        while low < high:
            middle = (low + high + 1) // 2
            row = self.execute(
                "SELECT first, count, logged FROM commits WHERE first <= ? ORDER BY first DESC LIMIT 1", (middle,)
            ).fetchone()
            if row is None:
                raise AlteredError("its commit is missing", position=middle, attack="missing")
            if row[2] <= logged:
                low = max(middle, row[0] + row[1] - 1)
            else:
                high = row[0] - 1
        return low

    def of_command(self, command: str) -> Iterator[Record]:
        """Iterate over all entries that one command recorded, in any stream."""
        for first, count in self.execute(
            "SELECT first, count FROM commits WHERE command = ? ORDER BY first", (command,)
        ).fetchall():
            yield from self.records(first, first + count - 1)

    def latest(self, stream: str) -> Record | None:
        """Give the newest entry of a stream."""
        return next(
            self._records("WHERE e.originator_id = ? ORDER BY e.originator_version DESC LIMIT 1", (stream,)), None
        )

    def copy_to(self, path: Path) -> None:
        """Copy the snapshot into a fresh SQLite file without a WAL, for handing over."""
        target = sqlite3.connect(path, isolation_level=None)
        try:
            with _foreign_errors(path):
                self._connection.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
        finally:
            target.close()

    def _all(self, statement: str) -> Iterator[Any]:
        with _foreign_errors(self.path):
            # chain, since `yield from` would close the cursor itself, after the connection has gone
            yield from chain(self._connection.execute(statement))

    def _records(self, where: str, parameters: tuple[Any, ...]) -> Iterator[Record]:
        at, last, size = 0, ZERO, 1
        with _foreign_errors(self.path):
            cursor = self._connection.execute(_RECORDS + where, parameters)
            while rows := cursor.fetchmany(size):
                for first, group in groupby(rows, _commit_of):
                    entries = list(group)
                    records, altered = self._check(first, entries, at, last)
                    yield from records
                    if altered is not None:
                        raise altered
                    at, last = entries[-1][0], entries[-1][8]
                size = min(2 * size, MAX_FETCH)  # who asks for one entry does not wait for a thousand

    def _check(
        self, first: int, rows: Sequence[EntryRow], at: int, last: bytes
    ) -> tuple[Iterator[Record], AlteredError | None]:
        """Check entries of one commit, column by column. `last` is the hash of entry `at`, the one read before them.

        Gives the records before the first that fails, and what is wrong with that one.
        """
        positions, streams, versions, types, _, times, digests, sizes, stored, salts, bodies = zip(*rows, strict=True)
        count, author, command, logged, logged_text, envelope = self._commit(first, positions[0])
        claims = contents(streams, versions, types, times, digests, sizes, command=command, author=author)
        previous = [
            before if position == neighbour + 1 else self._hash_before(position)
            for position, neighbour, before in zip(positions, (at, *positions), (last, *stored), strict=False)
        ]
        made = headers(claims, previous, positions, first=first, logged=logged_text, count=count, commit=envelope)
        hashes = leaves(made)
        payloads = [
            digest if body is None else payload_digest(salt, body)
            for salt, body, digest in zip(salts, bodies, digests, strict=True)
        ]
        records = map(
            tuple.__new__,  # a NamedTuple's own __new__ costs twice as much
            repeat(Record),
            zip(
                positions, streams, versions, types, times, repeat(command), repeat(author), digests, sizes, salts,
                bodies, previous, stored, made, repeat(logged), [position - first for position in positions],
                repeat(count), repeat(envelope), strict=False,
            ),
        )  # fmt: skip
        if hashes == list(stored) and payloads == list(digests):
            return records, None
        wrong = next(n for n in range(len(rows)) if hashes[n] != stored[n] or payloads[n] != digests[n])
        what = "header does not hash to its hash"
        if hashes[wrong] == stored[wrong]:
            what = "payload does not hash to the digest in its header"
        return islice(records, wrong), AlteredError(f"its {what}", position=positions[wrong])

    def _commit(self, first: int, position: int) -> tuple[int, str, str, int, str, str]:
        """Give what the headers of a commit's entries share: count, author, command, logged (twice), digest."""
        row = self._connection.execute(_COMMIT, (first,)).fetchone()
        if row is None:
            raise AlteredError("its commit is missing", position=position, attack="missing")
        count, author, command, logged, envelope = row
        return count, author.hex(), command, logged, time_text(logged), sha256(envelope).hexdigest()

    def _hash_before(self, position: int) -> bytes:
        if position == 1:
            return ZERO
        row = self._connection.execute(_HASH, (position - 1,)).fetchone()
        return row[0] if row else b""


class _foreign_errors:  # noqa: N801 - reads as a statement; a class, since a generator cannot wrap a `yield from` cheaply
    """Turn SQLite's errors into ours."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, sqlite3.NotSupportedError | sqlite3.DataError):
            raise MalformedError(f"{self.path} holds a value larger than an entry may have: {error}") from None
        if type(error) is sqlite3.DatabaseError or "decode to UTF-8" in str(error):
            raise MalformedError(f"{self.path} is damaged, or no SQLite file: {error}") from None
        if isinstance(error, sqlite3.Error):
            raise LedgerUnreadableError(f"{self.path} cannot be read as a ledger: {error}") from None
        if isinstance(error, TypeError | AttributeError | ValueError | OverflowError):
            raise MalformedError(f"{self.path} holds a value of the wrong type: {error}") from None


def _demand_file(path: Path) -> None:
    try:
        status = path.stat()
    except OSError as error:
        raise LedgerUnreadableError(f"cannot open the ledger {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise LedgerUnreadableError(f"{path} is not a regular file, so it is no ledger")


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _private_copy(path: Path, stack: ExitStack) -> Path:
    """Copy database and WAL until neither changed meanwhile."""
    import shutil
    import tempfile

    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soup-ledger-")))
    copy = directory / "ledger.db"
    for _ in range(COPY_ATTEMPTS):
        before = _fingerprint(path)
        try:
            shutil.copyfile(path, copy)
            with suppress(FileNotFoundError):
                _wal(copy).unlink()
            with suppress(FileNotFoundError):
                shutil.copyfile(_wal(path), _wal(copy))
        except OSError as error:
            raise LedgerUnreadableError(f"cannot copy the ledger {path}: {error.strerror}") from None
        if _fingerprint(path) == before:
            return copy
    raise LedgerUnreadableError(f"{path} keeps changing; ask its owner for: soup ledger export --format sqlite")


def _fingerprint(path: Path) -> tuple[Any, ...]:
    marks: list[Any] = []
    for part in (path, _wal(path)):
        try:
            status = part.stat()
            marks.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except FileNotFoundError:
            marks.append(None)
    return tuple(marks)
