"""Ledger records into DuckDB's table `entries`: through its Appender, or, for many, by several processes into one file.

What is true here:

- Rows lie in the order of positions, so that a scan is ordered and zone maps find a prefix.
- Every record has passed the Reader's own check, and its payload has one reading only: parsers disagree on duplicate keys
  (Python takes the last, DuckDB the first), so a payload that re-encodes to other bytes is refused, not interpreted.
- Memory does not grow with the ledger where a file is filled: rows travel in batches, DuckDB writes full row groups out.

Not known here: whether the chain holds and who signed (`ledger.verify`), and what the views make of the rows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice, pairwise, repeat
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ledger.errors import AlteredError
from ledger.reader import Reader, Record
from projections.catalog import ENTRIES, statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BATCH = 10_000
SPAN = 50_000
"""Entries below which a second process costs more than it saves: starting one takes a third of a second."""
MAX_PROCESSES = 8
MEMORY = "256MB"
"""Of one process's DuckDB; what is written is dropped from memory, so more only keeps what nobody reads."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="sorted").encode


class Span(NamedTuple):
    """Positions `first` to `last`, both included."""

    first: int
    last: int


def create(connection: DuckDBPyConnection) -> None:
    """Create the empty table `entries`, unless it is there."""
    connection.execute(statement(ENTRIES))


def append(connection: DuckDBPyConnection, records: Iterable[Record], table: str = "entries") -> None:
    """Append `records`, in position order, to `table`. Raises AlteredError for a payload that is not canonical."""
    appender = connection.appender(table)
    rows = map(row, records)
    while batch := list(islice(rows, BATCH)):
        appender.append_rows(batch)
        appender.flush()


def row(record: Record) -> tuple[Any, ...]:
    """Give a record as a row of `entries`, in the order of its columns."""
    (
        position, stream, version, event_type, time, command, author, digest, size, _, payload,
        previous, own, _, logged, index, count, commit,
    ) = record  # fmt: skip
    return (
        position, stream, version, event_type, time, logged, command, author, commit, index, count,
        digest, size, previous, own, payload if payload is None else _text(position, payload),
    )  # fmt: skip


def fill(path: Path, reader: Reader, span: Span) -> None:
    """Append the records of `span` to the database file at `path`, created where there is none.

    Parts are built beside it, in a directory that nobody else writes to, and removed by whoever owns that directory.
    """
    first, *others = split(span)
    if not others:
        _fill(path, reader, span)
        return
    parts = [path.with_name(f"part-{number}.duckdb") for number in range(len(others))]
    # A forked child would inherit DuckDB's locks without the threads that hold them.
    try:
        with ProcessPoolExecutor(len(others), mp_context=get_context("spawn")) as pool:
            running = list(map(pool.submit, repeat(_fill_part), parts, repeat(_source(reader)), others))
            _fill(path, reader, first)
            for part in running:
                part.result()
    except BrokenProcessPool:  # killed for memory, or this program cannot be started a second time
        _fill(path, reader, Span(max(first.first, _filled(path) + 1), span.last))
    else:
        _merge(path, parts)


def split(span: Span, processes: int | None = None) -> list[Span]:
    """Cut a span into one for each process worth starting; the parts tile it."""
    size = span.last - span.first + 1
    count = max(1, min(processes or _processes(), MAX_PROCESSES, size // SPAN))
    cuts = [span.first + size * n // count for n in range(count + 1)]
    return [Span(low, high - 1) for low, high in pairwise(cuts)]


def connect_file(path: Path) -> DuckDBPyConnection:
    """Open or create a database file for filling; a kill leaves it unpublished, so its own log is not needed."""
    import duckdb

    connection = duckdb.connect(
        str(path),
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "python_enable_replacements": "false",
            "memory_limit": MEMORY,
            "threads": str(_processes()),
        },
    )
    connection.execute("SET temp_directory = ''")
    return connection


def _fill(path: Path, reader: Reader, span: Span) -> None:
    with connect_file(path) as connection:
        # One transaction: full row groups go straight to the file, and not a second time through its log.
        connection.execute("BEGIN")
        create(connection)
        append(connection, reader.records(*span))
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")


def _filled(path: Path) -> int:
    with connect_file(path) as connection:
        create(connection)
        row = connection.execute("SELECT max(position) FROM entries").fetchone()
    return int(row[0] or 0) if row else 0


def _fill_part(path: Path, source: Path, span: Span) -> None:
    """Fill one part; runs in a process of its own, with a snapshot of its own."""
    with _reopen(source) as reader:
        _fill(path, reader, span)


def _merge(path: Path, parts: list[Path]) -> None:
    with connect_file(path) as connection:
        for number, part in enumerate(parts):
            connection.execute(f"ATTACH '{quoted(part)}' AS part{number} (READ_ONLY)")
        connection.execute("BEGIN")
        for number in range(len(parts)):
            connection.execute(f"INSERT INTO entries SELECT * FROM part{number}.entries")  # noqa: S608 - a number
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")


def _source(reader: Reader) -> Path:
    """Give the file that the reader really reads: its own path, or its private copy."""
    return Path(reader.execute("PRAGMA database_list").fetchone()[2])


def _reopen(source: Path) -> Reader:
    """Open the file that another process reads, as it does: a live ledger has a WAL beside it, a resting one does not."""
    live = source.with_name(f"{source.name}-wal").exists()
    return Reader.open_own(source) if live else Reader.open_foreign(source)


def _text(position: int, payload: bytes) -> str:
    try:
        if _encode(_decode(payload)) == payload:
            return payload.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    raise AlteredError("its payload is not canonical JSON", position=position)


def _processes() -> int:
    return min(len(os.sched_getaffinity(0)), MAX_PROCESSES)


def quoted(path: Path) -> str:
    """Give a path for use between the quotes of a statement, where no parameter can stand."""
    return str(path).replace("'", "''")
