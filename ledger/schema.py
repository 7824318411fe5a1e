"""The SQLite schema of a ledger, and the demand that a file has exactly this one.

A hostile file can carry triggers, views and virtual tables that act when it is read; so `check` compares the whole of
`sqlite_schema` with a database made here from `schema.sql`, before anything else is asked of the file.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path

from ledger.errors import MalformedError, TooNewError

APPLICATION_ID = 0x736F7570  # "soup"
USER_VERSION = 1
PRAGMAS = (f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {USER_VERSION}")


@cache
def statements() -> tuple[str, ...]:
    """Give the statements of schema.sql, in order."""
    text = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
    return tuple(part.strip().removesuffix(";") for part in text.split(";\n\n")[0:] if "CREATE" in part)


def check(connection: sqlite3.Connection) -> None:
    """Demand our schema literally. Raises TooNewError for a newer one of ours, MalformedError for any other."""
    application, version = (
        connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in ("application_id", "user_version")
    )
    if application != APPLICATION_ID:
        raise MalformedError("the file is not a soup ledger")
    if version > USER_VERSION:
        raise TooNewError(
            f"the ledger has schema version {version}; this soup reads up to {USER_VERSION}. Upgrade soup."
        )
    if version != USER_VERSION or _objects(connection) != _expected():
        raise MalformedError("the file's schema is not that of a soup ledger; refusing to read it")


def _objects(connection: sqlite3.Connection) -> frozenset[tuple[str, ...]]:
    """Every object of the database; bounded, since a hostile file may list millions."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT 100").fetchall()
    return frozenset(tuple(str(column) for column in row) for row in rows)


@cache
def _expected() -> frozenset[tuple[str, ...]]:
    connection = sqlite3.connect(":memory:")
    try:
        for statement in statements():
            connection.execute(statement)
        return _objects(connection)
    finally:
        connection.close()
