"""Views over a prefix of the ledger, in a DuckDB that can do nothing but answer.

What is true here:

- A view shows entries up to a position and no other: `of_streams` those of a few streams, whose cost does not grow with the
  ledger; `of_prefix` all of them, straight from the ledger and never from a cache.
- The connection is locked before anybody's SQL runs: no file, no network, no extension, no Python variable, no setting can be
  reached; it spills nothing to disk. What reads runs in a read-only transaction.
- Time zone UTC; views that documents and receipts stand on use one thread, since floating-point sums depend on their order.
- This module imports DuckDB only inside functions: importing it costs 0.1 s that most commands need not spend.

Not known here: who is asking, what for, and whether the ledger verifies.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from ledger.errors import AlteredError
from ledger.events.ledger import LedgerCreated
from ledger.reader import Reader, Record
from projections import catalog, load
from projections.errors import ProjectionError
from projections.load import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LARGE = 2 * load.SPAN
"""Entries from which on a prefix lies in a private file instead of in memory (1 kB an entry there, 150 bytes here)."""
Source = Literal["ledger", "cache"]


class ViewBusyError(ProjectionError):
    """A second question was asked before the answer to the first was read to its end."""

    def __init__(self) -> None:
        super().__init__("a view answers one question at a time; read the first answer to its end")


class View:
    """The catalog's views over one prefix. Use as a context manager; one question at a time."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        stack: ExitStack,
        *,
        last: int,
        source: Source,
        exports: Path | None = None,
    ) -> None:
        """Take a connection in which `entries` exists; create the views and lock it.

        `exports` is an empty private directory, the only one that may be written to: for Parquet.
        """
        self.last, self.source = last, source
        self._connection, self._stack = connection, stack
        self._busy = False
        for file in catalog.VIEWS.values():
            connection.execute(catalog.statement(file))
        lock(connection, exports)

    @classmethod
    def of_streams(cls, reader: Reader, streams: Iterable[str], last: int) -> View:
        """Show the entries of `streams` up to position `last`. Raises AlteredError at one that does not hold."""
        found = [reader.stream(stream, last) for stream in sorted(set(streams))]
        return cls._in_memory(merge(*found, key=lambda record: record.position), min(last, reader.size))

    @classmethod
    def of_prefix(cls, reader: Reader, last: int, *, exports: Path | None = None) -> View:
        """Show all entries up to position `last`. Raises AlteredError at one that does not hold."""
        last = min(last, reader.size)
        if last < LARGE:
            return cls._in_memory(reader.records(1, last), last, exports)
        with ExitStack() as stack:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soup-view-"))) / "entries.duckdb"
            load.fill(path, reader, load.Span(1, last))
            connection = stack.enter_context(connect(threads=1))
            attach(connection, path)
            connection.execute("CREATE VIEW entries AS FROM built.entries")
            return cls(connection, stack.pop_all(), last=last, source="ledger", exports=exports)

    @classmethod
    def _in_memory(cls, records: Iterator[Record], last: int, exports: Path | None = None) -> View:
        with ExitStack() as stack:
            connection = stack.enter_context(connect(threads=1))
            load.create(connection)
            load.append(connection, records)
            return cls(connection, stack.pop_all(), last=last, source="ledger", exports=exports)

    def rows(self, sql: str, parameters: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement of ours and give all its rows; times must be cast, DuckDB's own need a library for their zone."""
        with self.reading() as connection:
            return connection.execute(sql, list(parameters)).fetchall()

    @contextmanager
    def reading(self) -> Iterator[DuckDBPyConnection]:
        """Give the connection, in a transaction that cannot write. Raises ViewBusyError while an answer is being read."""
        import duckdb

        if self._busy:  # DuckDB would drop the first answer without a word
            raise ViewBusyError
        self._connection.execute("BEGIN TRANSACTION READ ONLY")
        self._busy = True
        try:
            yield self._connection
        finally:
            self._busy = False
            with suppress(duckdb.ConnectionException):  # closed meanwhile, and the transaction with it
                self._connection.rollback()

    def close(self) -> None:
        """Close the database, and remove the private file of a large one."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def genesis(reader: Reader) -> LedgerCreated:
    """Give the ledger's first event, which names it. Raises AlteredError where it does not."""
    record = reader.record(1)
    event = record.event() if record else None
    if not isinstance(event, LedgerCreated):
        raise AlteredError("the first entry is not ledger.created", position=1, attack="forged")
    return event


def connect(*, threads: int | None = None) -> DuckDBPyConnection:
    """Open an empty database in memory, with `threads` (default: all). Not locked yet."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "allow_community_extensions": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",  # or a query could read the variables of this program
        "python_scan_all_frames": "false",
    }
    if threads is not None:
        config["threads"] = threads
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET temp_directory = ''")
    return connection


def attach(connection: DuckDBPyConnection, path: Path) -> None:
    """Attach a database file for reading, as `built`. Raises duckdb.Error where it is locked or no database."""
    connection.execute(f"ATTACH '{quoted(path)}' AS built (READ_ONLY)")


def lock(connection: DuckDBPyConnection, exports: Path | None = None) -> None:
    """Take everything away from the connection but answering, and writing to `exports`. Cannot be undone."""
    if exports is not None:
        connection.execute(f"SET allowed_directories = ['{quoted(exports)}/']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
