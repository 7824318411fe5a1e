"""An officer's SQL: checked to be one statement that reads, run on a locked view, answered in exact values.

What is true here:

- A statement is judged (`statement`) before it runs; the locked, read-only connection stands behind.
- Every value of an answer is None, a boolean, an integer, a double or text. What Python could not hold exactly (decimals,
  times, intervals, bytes, lists, structs) is put into text by DuckDB itself, before it gets here; see `_TEXT`.
- Rows keep the statement's order, and are computed as they are read.

Not known here: how an answer is laid out (`formats`), and who may ask.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.entry import MAX_TIME, parse_time
from ledger.errors import MalformedError
from ledger.reader import Reader
from projections import catalog
from projections.engine import View
from projections.errors import ProjectionError
from projections.statement import QueryError, Statement, inspect, one_line

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

BATCH = 1_000

Value = None | bool | int | float | str

_PLAIN = re.compile(r'BOOLEAN|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|VARCHAR|JSON|DOUBLE|FLOAT|"NULL"')
_NESTED = re.compile(r".*\]|(STRUCT|MAP|UNION)\(.*", re.DOTALL)
_TEXT = {
    "TIMESTAMP WITH TIME ZONE": "strftime(#{0}, '%Y-%m-%dT%H:%M:%S.%fZ')",  # RFC 3339, as the ledger writes it
    "TIMESTAMP": "strftime(#{0}, '%Y-%m-%dT%H:%M:%S.%f')",
    "BLOB": "lower(hex(#{0}))",
}
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,6})?([+-]\d\d:\d\d)", re.ASCII)


class AsOfError(ProjectionError):
    """Neither a position of this ledger nor a time."""


class Column(NamedTuple):
    """A column of an answer: its name, DuckDB's name of its type, and whether its text is JSON."""

    name: str
    type: str
    is_json: bool


class Answer:
    """Columns, and rows to be iterated over once. `truncated` is known when the rows are at an end."""

    def __init__(self, view: View, statement: Statement, columns: tuple[Column, ...], rows: Iterator[Any]) -> None:
        """Take what `run` has prepared."""
        self.view, self.statement, self.columns = view, statement, columns
        self.truncated = False
        self.count = 0
        self._rows = rows

    def __iter__(self) -> Iterator[tuple[Value, ...]]:
        for row in self._rows:
            self.count += 1
            yield row


def list_views() -> list[tuple[str, str]]:
    """Give each view's name and what it holds, in one line."""
    return [(name, catalog.description(name)) for name in catalog.VIEWS]


def run(view: View, sql: str, max_rows: int | None = None) -> Answer:
    """Check `sql` and start it on `view`; rows are computed as they are iterated over, up to `max_rows`.

    Raises QueryError here or while iterating. One answer at a time: a view holds one result.
    """
    statement = inspect(view, sql)
    with view.reading() as connection, one_line():
        columns = _columns(connection, statement)
    answer = Answer(view, statement, columns, iter(()))
    answer._rows = _rows(answer, _exact(statement.sql, columns), max_rows)  # noqa: SLF001 - it is built here
    return answer


def parse_as_of(reader: Reader, text: str) -> int:
    """Give the position that `text` names: a position, or the longest prefix logged not after an RFC 3339 time.

    Raises AsOfError.
    """
    if text.isascii() and text.isdigit() and len(text) < 20:  # noqa: PLR2004 - 64 bits are 19 digits
        position = int(text)
        if position > reader.size:
            raise AsOfError(f"the ledger has {reader.size} entries, so there is none at {position}")
        return position
    return reader.position_at(_microseconds(text))


def write_parquet(view: View, sql: str, path: str) -> int:
    """Write an answer to `path`, in the directory that `view` was given for it; give the number of rows.

    The same view, statement and DuckDB give the same bytes where the statement has an ORDER BY. Raises QueryError.
    """
    statement = inspect(view, sql)
    if not statement.is_select:
        raise QueryError("an EXPLAIN has no rows to write as Parquet")
    with view.reading() as connection, one_line():
        demand_distinct(_columns(connection, statement))
        quoted = path.replace("'", "''")
        row = connection.execute(
            f"COPY ({statement.sql}\n) TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)"
        ).fetchone()
    return int(row[0]) if row else 0


def demand_distinct(columns: tuple[Column, ...]) -> None:
    """Refuse two columns of one name, where a format addresses values by it."""
    names = [column.name for column in columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise QueryError(f"two columns are called {twice!r}; tell them apart with AS")


def _columns(connection: DuckDBPyConnection, statement: Statement) -> tuple[Column, ...]:
    if not statement.is_select:
        return (Column("explain_key", "VARCHAR", is_json=False), Column("explain_value", "VARCHAR", is_json=False))
    relation = connection.sql(statement.sql)
    return tuple(
        Column(name, str(kind), is_json=str(kind) == "JSON" or bool(_NESTED.fullmatch(str(kind))))
        for name, kind in zip(relation.columns, relation.types, strict=True)
    )


def _exact(sql: str, columns: tuple[Column, ...]) -> str:
    """Wrap a statement so that DuckDB writes out what Python could not hold; its order is kept."""
    if all(_PLAIN.fullmatch(column.type) for column in columns):
        return sql
    return f"SELECT {', '.join(map(_expression, range(1, len(columns) + 1), columns))} FROM ({sql}\n)"  # noqa: S608 - checked


def _expression(number: int, column: Column) -> str:
    if _PLAIN.fullmatch(column.type):
        return f"#{number}"
    if column.is_json:
        return f"to_json(#{number})::VARCHAR"
    return _TEXT.get(column.type, "CAST(#{0} AS VARCHAR)").format(number)


def _rows(answer: Answer, sql: str, max_rows: int | None) -> Iterator[tuple[Value, ...]]:
    with answer.view.reading() as connection, one_line():
        result = connection.execute(sql)
        while batch := result.fetchmany(BATCH):
            for row in batch:
                if answer.count == max_rows:
                    answer.truncated = True
                    return
                yield row


def _microseconds(text: str) -> int:
    match = _RFC3339.fullmatch(text)
    try:
        if match is None:
            return parse_time(text.upper())
        offset = datetime.fromisoformat(f"{match[1]}T{match[2]}{match[4]}").utcoffset() or timedelta()
        local = parse_time(f"{match[1]}T{match[2]}{match[3] or ''}Z")
    except (MalformedError, ValueError):
        raise AsOfError(f"{text!r} is neither a position nor a time like 2026-11-22T20:00:00Z") from None
    return max(0, min(local - offset // timedelta(microseconds=1), MAX_TIME))
