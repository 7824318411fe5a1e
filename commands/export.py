"""Writing a ledger's copy: rendered whole, on the record, then renamed into place."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from commands.emit import aim_file
from commands.publish import Publication
from commands.record import Session
from ledger.events.base import FileDigest
from ledger.events.ledger import LedgerExported
from ledger.identity import read_identity, trust_root
from ledger.reader import Reader
from projections import export

CHUNK = 1024 * 1024
README = """\
A soup ledger, handed over.

entries     one row an entry: header (the bytes that were hashed), hash, previous, salt, payload
commits     one row a commit: the author's DSSE envelope, the log's checkpoint (C2SP signed note)
checkpoint  the newest checkpoint; keys.jsonl the registered public keys; trust-root.json what to compare with what you
            were told by other means

The chain in plain SQL (DuckDB); it returns no row when every header hashes to its hash and names the one before:

    SELECT position FROM (
      SELECT position, hash, previous, header, lag(hash, 1, repeat('0', 64)) OVER (ORDER BY position) AS before
      FROM '{entries}')
    WHERE (sha256('\\x00'::BLOB || header::BLOB) = hash AND previous = before) IS NOT TRUE;

The payloads likewise: SHA-256 over salt and payload is content.payload in the header.

    SELECT position FROM '{entries}'
    WHERE (sha256(unhex(salt) || encode(payload)) = (decode(header::BLOB)::JSON->>'$.content.payload')) IS NOT TRUE;
"""


def write_export(session: Session, form: str, output: Path, *, force: bool) -> list[Path]:
    """Export the ledger the session is about. Gives the paths. Raises OutputError."""
    with session.reader() as reader, tempfile.TemporaryDirectory(prefix="soup-export-") as scratch:
        parts = list(_parts(reader, form, output, Path(scratch)))
        with Publication() as publication:
            staged = [publication.stage(aim_file(path, force=force), content, mode=0o600) for path, content in parts]
            if session.writer is not None:  # record, then publish
                files = [FileDigest(path=one.target.path.name, sha256=one.sha256, size=one.size) for one in staged]
                event = LedgerExported(format=form, size=reader.size, checkpoint=reader.checkpoint(), files=files)
                session.append([(session.stream, event)])
            publication.commit()
    paths = [path for path, _ in parts]
    session.outputs += [str(path) for path in paths]
    return paths


def _parts(reader: Reader, form: str, output: Path, scratch: Path) -> Iterator[tuple[Path, bytes | Iterable[bytes]]]:
    identity = read_identity(reader)
    if form == "sqlite":
        copy = scratch / "ledger.db"
        reader.copy_to(copy)
        yield output, _chunks(copy)
        return
    for table in export.TABLES:
        path = output / f"{table}.{form}"
        if form == "parquet":
            export.parquet(reader, table, scratch / path.name)
            yield path, _chunks(scratch / path.name)
        else:
            yield path, export.jsonl(reader, table)
    yield output / "checkpoint", reader.checkpoint().encode()
    yield output / "keys.jsonl", export.keys(reader)
    yield output / "trust-root.json", trust_root(identity)
    yield output / "README.txt", README.format(entries=f"entries.{form}").encode()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk
