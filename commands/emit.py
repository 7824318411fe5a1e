"""Record, then publish: the one way a document leaves soup.

The road, in the order of durability:

1. The declaration is in the ledger (the caller has appended it).
2. The documents are rendered from the ledger, checked, and staged beside their targets, fsynced.
3. `document.rendered`, with their digests, is in the ledger: from here on they can be explained, and completed.
4. os.replace: all of them, or none.
5. `document.published` shares the commit that ends the command.

A kill between 3 and 5 leaves *rendered, not published*: the next command says so, `soup rebuild --publish` completes it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from commands.errors import OutputError, quoted
from commands.publish import Publication
from commands.record import Session, printable
from commands.redaction import expand_home
from commands.target import Target, aim, check_overwrite
from ledger.events.document import DocumentPublished, DocumentRendered
from ledger.reader import Reader
from projections import documents


@dataclass(frozen=True, slots=True)
class Wanted:
    """A document to be emitted: its kind, and where to; None for standard output."""

    kind: str
    target: Target | None


def aim_all(wanted: Sequence[tuple[str, Path | None]], session: Session, *, force: bool) -> list[Wanted]:
    """Open the road to each target before anything is recorded. Raises OutputError."""
    aimed = [Wanted(kind, None if path is None else aim(path)) for kind, path in wanted]
    with session.reader() as reader:
        for document in aimed:
            if document.target is not None:
                check_overwrite(document.target, lambda digest: is_ours(reader, digest), force=force)
    return aimed


def is_ours(reader: Reader, digest: str) -> bool:
    """Tell whether the ledger has rendered a document with this SHA-256."""
    return reader.version(f"document/{digest}") > 0


def emit(
    session: Session,
    wanted: Sequence[Wanted],
    streams: Sequence[str],
    position: int,
    check: Callable[[str, bytes], None] = lambda _kind, _document: None,
) -> list[DocumentRendered]:
    """Render, record and publish `wanted` from `streams` up to `position`. Gives what was recorded."""
    with session.reader() as reader:
        inputs = documents.sources(reader, origin_of(session), streams, position)
    rendered = [(document, documents.render(document.kind, inputs)) for document in wanted]
    for document, raw in rendered:
        check(document.kind, raw)
    with Publication() as publication:
        for document, raw in rendered:
            if document.target is not None:
                publication.stage(document.target, raw)
        events = [_event(session, document, raw, streams, position) for document, raw in rendered]
        session.append([(f"document/{event.sha256}", event) for event in events])
        publication.commit()
    for document, raw in rendered:
        if document.target is None:
            sys.stdout.buffer.write(raw)
        else:
            session.outputs.append(str(document.target.path))
    session.at_the_end(
        [(f"document/{event.sha256}", DocumentPublished(sha256=event.sha256, target=event.target)) for event in events]
    )
    return events


def aim_file(path: Path, same: str = "", *, force: bool) -> Target:
    """Aim at a file that is no document of the ledger; one with the SHA-256 `same` may be written again."""
    target = aim(path)
    check_overwrite(target, lambda digest: digest == same, force=force)
    return target


def recorded_path(session: Session, path: Path) -> str:
    """Give a path as the ledger keeps it: absolute, one's home as a placeholder."""
    return printable(session.redactor.text(os.path.normpath(Path.cwd() / path)))


def restore_path(recorded: str) -> Path:
    """Give the path that was recorded. Raises OutputError where redaction took more than one's own home from it."""
    restored = expand_home(recorded, str(Path.home()))
    if restored is None:
        raise OutputError(f"the path {quoted(recorded)} was redacted and cannot be restored", "emit the document again")
    return Path(restored)


def _event(session: Session, document: Wanted, raw: bytes, streams: Sequence[str], position: int) -> DocumentRendered:
    kind = documents.kind_of(document.kind)
    target = None if document.target is None else recorded_path(session, document.target.path)
    return DocumentRendered(
        kind=document.kind,
        renderer=kind.renderer,
        libraries=documents.libraries(document.kind),
        media_type=kind.media_type,
        sha256=sha256(raw).hexdigest(),
        size=len(raw),
        position=position,
        streams=list(streams),
        target=target,
        restorable=target is not None and expand_home(target, str(Path.home())) is not None,
    )


def origin_of(session: Session) -> str:
    """Give the origin of one's own ledger. Raises OutputError on another."""
    if session.writer is None:
        raise OutputError("documents are emitted from one's own ledger only")
    return session.writer.identity.origin
