r"""A ledger as rows, for handing over: entries with the bytes that were hashed, commits with the bytes that were signed.

Digests are lower-case hex, so that plain SQL checks the chain: `sha256('\x00'::BLOB || header)` equals `hash`, and
`previous` equals the `hash` of the row before. The header's bytes stand as text: they are ASCII by construction.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ledger.entry import time_text
from ledger.events.key import KeyRegistered
from ledger.reader import Reader

ENTRY_COLUMNS = {
    "position": "BIGINT",
    "hash": "VARCHAR",
    "previous": "VARCHAR",
    "header": "BLOB",
    "salt": "VARCHAR",
    "payload": "VARCHAR",
    "stream": "VARCHAR",
    "version": "BIGINT",
    "type": "VARCHAR",
    "logged": "VARCHAR",
    "commit": "VARCHAR",
}
COMMIT_COLUMNS = {
    "first": "BIGINT",
    "count": "BIGINT",
    "author": "VARCHAR",
    "command": "VARCHAR",
    "logged": "VARCHAR",
    "envelope": "VARCHAR",
    "checkpoint": "VARCHAR",
}
TABLES = {"entries": ENTRY_COLUMNS, "commits": COMMIT_COLUMNS}
BATCH = 5_000


def rows(reader: Reader, table: str) -> Iterator[tuple[Any, ...]]:
    """Give the rows of one table, in order; entries are checked one by one on the way."""
    if table == "commits":
        for row in reader.commits():
            yield (
                row.first, row.size, row.author.hex(), row.command, time_text(row.logged),
                row.envelope.decode("ascii"), row.checkpoint,
            )  # fmt: skip
        return
    for r in reader.records():
        yield (
            r.position, r.hash.hex(), r.previous.hex(), r.header, None if r.salt is None else r.salt.hex(),
            None if r.payload is None else r.payload.decode(), r.stream, r.version, r.type, time_text(r.logged), r.commit,
        )  # fmt: skip


def jsonl(reader: Reader, table: str) -> Iterator[bytes]:
    """Give one table as JSON Lines, in chunks."""
    names = list(TABLES[table])
    chunk: list[str] = []
    for row in rows(reader, table):
        values = [value.decode("ascii") if isinstance(value, bytes) else value for value in row]
        chunk.append(json.dumps(dict(zip(names, values, strict=True)), separators=(",", ":")))
        if len(chunk) == BATCH:
            yield ("\n".join(chunk) + "\n").encode()
            chunk.clear()
    if chunk:
        yield ("\n".join(chunk) + "\n").encode()


def parquet(reader: Reader, table: str, path: Path) -> None:
    """Write one table as Parquet (zstd) to `path`, a file of our own in a private directory."""
    import duckdb

    columns = TABLES[table]
    listing = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    with duckdb.connect(
        ":memory:", config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    ) as db:
        db.execute(f"CREATE TABLE t ({listing})")
        appender = db.appender("t")
        batch: list[tuple[Any, ...]] = []
        for row in rows(reader, table):
            batch.append(row)
            if len(batch) == BATCH:
                appender.append_rows(batch)
                batch.clear()
        appender.append_rows(batch)
        appender.flush()
        order = next(iter(columns))
        target = str(path).replace("'", "''")
        db.execute(f"COPY (SELECT * FROM t ORDER BY \"{order}\") TO '{target}' (FORMAT parquet, COMPRESSION zstd)")  # noqa: S608 - names of this module


def keys(reader: Reader) -> bytes:
    """Give the registered keys as JSON Lines: role, verifier key, and the position from which it is valid."""
    found = []
    statement = "SELECT rowid FROM entries WHERE topic = ? ORDER BY rowid"
    for (position,) in reader.execute(statement, (KeyRegistered.TYPE,)).fetchall():
        record = reader.record(position)
        event = record.event() if record else None
        if isinstance(event, KeyRegistered):
            found.append({"position": position, "role": event.role, "key": event.key, "vkey": event.name})
    return "".join(json.dumps(row) + "\n" for row in found).encode()
