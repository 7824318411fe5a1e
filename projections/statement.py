"""Judging a statement before it runs: DuckDB's own parser says what it is, a closed list says what it may reach.

What is true here:

- One statement, and only reading nodes in its tree: a CTE that deletes, or copies to a file, is found wherever it hides.
- Table functions come from a closed list, since others reach files, settings or memory. The locked connection and its
  read-only transaction stand behind this, not before it.
- A statement that cannot give the same answer twice is told apart: no receipt is made of it.

Not known here: what a statement is for, and what its answer looks like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from projections.engine import View
from projections.errors import ProjectionError

if TYPE_CHECKING:
    from duckdb import Statement as DuckDBStatement

MAX_SQL = 65_536  # characters; as long as a recorded text may be
MAX_LINE = 500  # of an error, which may quote the statement

READING_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
TABLE_FUNCTIONS = frozenset(
    {"range", "generate_series", "unnest", "repeat", "json_each", "json_tree"}
    | {"duckdb_columns", "duckdb_functions", "duckdb_tables", "duckdb_views", "pragma_table_info"}
)
CLOCKS = frozenset({"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"})
"""Written like columns, without parentheses (SQL:2016 part 2, 6.36), and so no functions in the tree."""

_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(ANALYZE\s+)?(?=\w)", re.IGNORECASE)


class QueryError(ProjectionError):
    """A statement that cannot be run as it stands, in one line."""


class NotReadingError(QueryError):
    """A statement that does more than read the views, or reads past them."""

    def __init__(self, finding: str) -> None:
        """Say what it is that a query may not hold."""
        super().__init__(f"a query is one SQL statement that only reads: {finding}")


class Statement(NamedTuple):
    """A statement found to be reading. `unstable` names what in it gives another answer each time."""

    sql: str
    is_select: bool
    ordered: bool
    unstable: tuple[str, ...]


def inspect(view: View, sql: str) -> Statement:
    """Judge a statement without running it. Raises NotReadingError, or QueryError where it is no SQL."""
    text = _single(sql)
    explain = _EXPLAIN.match(text)
    with view.reading() as connection, one_line():
        body = text[explain.end() :] if explain else text
        row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [body]).fetchone()
        tree = _tree(row[0] if row else "")
        if tree["error"]:
            raise NotReadingError("it is none of SELECT, VALUES, DESCRIBE, SHOW, SUMMARIZE, and EXPLAIN of these")
        found = _walk(tree["statements"])
        functions = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() "
            "WHERE stability <> 'CONSISTENT' AND list_contains(?, function_name) ORDER BY ALL",
            [sorted(found.functions)],
        ).fetchall()
    ordered = any(modifier["type"] == "ORDER_MODIFIER" for modifier in tree["statements"][0]["node"]["modifiers"])
    unstable = tuple(sorted({name for (name,) in functions} | found.unstable))
    return Statement(text, explain is None, ordered, unstable)


def _tree(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError:
        raise QueryError("the statement is nested too deeply") from None


class _Found:
    """What a walk through the tree has met."""

    def __init__(self) -> None:
        self.functions: set[str] = set()
        self.unstable: set[str] = set()


def _single(sql: str) -> str:
    """Give the one statement in `sql`, without what ends it."""
    import duckdb

    if len(sql) > MAX_SQL or "\x00" in sql:
        raise NotReadingError(f"it has more than {MAX_SQL} characters, or a NUL")
    if any("\ud800" <= letter <= "\udfff" for letter in sql):
        raise QueryError("the statement is not UTF-8")
    with one_line():
        statements = duckdb.extract_statements(sql)
        if len(statements) != 1:
            raise NotReadingError(f"{len(statements)} statements were given")
        kind = _kind(statements[0])
        if kind not in {"SELECT", "EXPLAIN"}:
            raise NotReadingError(f"{kind} is none of SELECT, VALUES, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN")
        return _unterminated(sql).strip()


def _kind(statement: DuckDBStatement) -> str:
    try:
        return statement.type.name
    except ValueError:  # the Python client has no name for the newest kinds, such as CONNECT
        return "this kind of statement"


def _unterminated(sql: str) -> str:
    """Cut off a closing semicolon and what follows it, so that the statement can stand in parentheses."""
    import duckdb

    raw = sql.encode()
    ends = (at for at, kind in duckdb.tokenize(sql) if kind == duckdb.token_type.operator and raw[at : at + 1] == b";")
    return raw[: next(ends, len(raw))].decode()


def _walk(tree: Any) -> _Found:
    """Visit every node of a serialised statement; refuse what does not read. Iterative, since a tree may be deep."""
    found, pending = _Found(), [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            _visit(node, found)
            pending.extend(node.values())
    return found


def _visit(node: dict[str, Any], found: _Found) -> None:
    kind = node.get("type")
    if isinstance(kind, str) and kind.endswith("_NODE") and kind not in READING_NODES:
        raise NotReadingError(f"{kind.removesuffix('_NODE').removesuffix('_QUERY')} changes something")
    if kind == "TABLE_FUNCTION":
        name = node["function"].get("function_name", "").lower()
        if name not in TABLE_FUNCTIONS:
            raise NotReadingError(f"the table function {name} is not among {', '.join(sorted(TABLE_FUNCTIONS))}")
    if node.get("class") == "FUNCTION":
        found.functions.add(node["function_name"].lower())
    elif node.get("class") == "COLUMN_REF":
        found.unstable |= CLOCKS & {node["column_names"][-1].lower()}
    if node.get("sample"):
        found.unstable.add("SAMPLE")


@contextmanager
def one_line() -> Iterator[None]:
    """Turn DuckDB's errors into one line of ours: what is wrong, and the names it would suggest."""
    import duckdb

    try:
        yield
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except duckdb.Error as error:
        lines = [line for line in str(error).split("\n\nLINE")[0].splitlines() if line.strip()]
        raise QueryError((" ".join(lines[:2]) or type(error).__name__)[:MAX_LINE]) from None
