"""Documents: records of a few streams, up to a position, rendered to bytes. The same bytes whoever rebuilds them.

What is true here:

- A document is a pure function of the records in its input streams up to `position`: no clock, no file, no network.
- Each kind has one renderer with a version. Bytes are compared only where version and libraries are the recorded ones.
- The records are folded here as typed events, not in DuckDB: its start costs a quarter of a second, more than all the rest
  of an emission. The SQL views tell the same facts to people; a test holds the two against each other.

Not known here: where a document is published, and who signs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from typing import cast

from ledger.events.document import DocumentRendered
from ledger.reader import Reader, Record
from projections.errors import ProjectionError
from projections.kinds import DOCUMENTS, DocumentKind


@dataclass(frozen=True, slots=True)
class Sources:
    """What a renderer sees: the ledger's origin, and the records of the input streams in position order."""

    origin: str
    records: tuple[Record, ...]


class UnknownKindError(ProjectionError):
    """A ledger names a kind of document that this soup does not render."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"this soup renders no document of the kind {kind!r}; a newer one may")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A document rendered again. `verdict`: identical, different, or not comparable (with the reason)."""

    record: Record
    event: DocumentRendered
    verdict: str
    reason: str
    document: bytes | None


def kind_of(name: str) -> DocumentKind:
    """Look a kind up. Raises UnknownKindError."""
    try:
        return DOCUMENTS[name]
    except KeyError:
        raise UnknownKindError(name) from None


def libraries(kind: str) -> dict[str, str]:
    """Give the versions of the libraries that shape the bytes of this kind."""
    return {name: version(name) for name in kind_of(kind).libraries}


def sources(reader: Reader, origin: str, streams: Iterable[str], position: int) -> Sources:
    """Gather the records of `streams` up to `position`."""
    records = [record for stream in dict.fromkeys(streams) for record in reader.stream(stream, position)]
    return Sources(origin, tuple(sorted(records, key=lambda record: record.position)))


def render(kind: str, inputs: Sources) -> bytes:
    """Render a document. Raises ProjectionError."""
    return _renderer(kind_of(kind))(inputs)


def compare(reader: Reader, origin: str, record: Record) -> Comparison:
    """Render a recorded document again, at the position it was emitted from, and compare."""
    event = cast("DocumentRendered", record.event())
    try:
        kind = kind_of(event.kind)
    except UnknownKindError as error:
        return Comparison(record, event, "not comparable", str(error), None)
    if kind.renderer != event.renderer:
        return Comparison(
            record, event, "not comparable", f"rendered by {event.renderer}, this is {kind.renderer}", None
        )
    document = render(event.kind, sources(reader, origin, event.streams, event.position))
    if sha256(document).hexdigest() == event.sha256:
        return Comparison(record, event, "identical", "", document)
    here = libraries(event.kind)
    if here != event.libraries:
        return Comparison(record, event, "not comparable", f"rendered with {event.libraries}, this has {here}", None)
    return Comparison(
        record, event, "different", f"the ledger says {event.sha256[:16]}..., these bytes differ", document
    )


def rendered(reader: Reader, last: int | None = None) -> list[Record]:
    """Give every `document.rendered` up to `last`, in order."""
    positions = reader.execute(
        "SELECT rowid FROM entries WHERE topic = ? AND rowid <= ? ORDER BY rowid",
        (DocumentRendered.TYPE, reader.size if last is None else last),
    ).fetchall()
    return [record for (position,) in positions if (record := reader.record(position))]


@cache
def _renderer(kind: DocumentKind) -> Callable[[Sources], bytes]:
    module, _, function = kind.function.partition(":")
    return cast("Callable[[Sources], bytes]", getattr(importlib.import_module(module), function))


__all__: Sequence[str] = ("Comparison", "Sources", "compare", "kind_of", "libraries", "render", "rendered", "sources")
