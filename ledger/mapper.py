"""Events to stored bytes and back, through the closed table.

The stock mapper of eventsourcing resolves a stored topic by importing it (`os:system` resolves), and works on `vars(event)`,
which a msgspec struct does not have. This one knows `EVENT_TYPES` and nothing else, and what it writes it has read back.
"""

from __future__ import annotations

from functools import cache, lru_cache
from operator import eq
from typing import TYPE_CHECKING, Any

import msgspec
from eventsourcing.persistence import Mapper, StoredEvent

from ledger import canonical
from ledger.decode import decode_event
from ledger.entry import MAX_PAYLOAD, STREAM
from ledger.errors import MalformedError
from ledger.events import EVENT_TYPES, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Placed(msgspec.Struct, frozen=True):
    """An event and its place: stream and version in it. What eventsourcing calls a domain event."""

    originator_id: str
    originator_version: int
    event: Event


class LedgerMapper(Mapper[str]):
    """The closed table as eventsourcing's mapper."""

    def __init__(self) -> None:
        """Take no transcoder: the table is the transcoder."""

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        """Encode canonically, and demand that the typed decoder reads the same event back.

        Raises MalformedError for a stream or an event outside the table, NotCanonicalError for a value outside the domain.
        """
        check_stream(domain_event.originator_id)
        event = domain_event.event
        return StoredEvent(domain_event.originator_id, domain_event.originator_version, event.TYPE, encode_event(event))

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Decode what has been verified. Raises MalformedError for a topic that is not in the table."""
        event = decode_event(stored_event.topic, stored_event.state)
        return Placed(str(stored_event.originator_id), stored_event.originator_version, event)


@lru_cache(maxsize=64)
def check_stream(stream: str) -> None:
    """Refuse what is no stream name. Raises MalformedError."""
    if not STREAM.fullmatch(stream):
        raise MalformedError(f"{stream!r} is no stream name")


def encode_event(event: Event) -> bytes:
    """Give the canonical payload of an event of the table."""
    return encode_events([event])[0]


def encode_events(events: Sequence[Event]) -> list[bytes]:
    """Give the canonical payloads of events of the table.

    Raises MalformedError for one outside the table, or that would not be read back as it was.
    """
    for kind in {type(event) for event in events}:
        if EVENT_TYPES.get(kind.TYPE) is not kind:
            raise MalformedError(f"{kind.__name__} is not in the event table")
    raws = list(map(canonical.encode, events))
    try:
        again = [_decoder(type(event))(raw) for event, raw in zip(events, raws, strict=True)]
    except msgspec.DecodeError as error:
        raise MalformedError(f"an event would not be readable: {error}") from None
    for event, raw, same in zip(events, raws, map(eq, again, events), strict=True):
        if not same:
            raise MalformedError(f"{event.TYPE} would read back as another event")
        if len(raw) > MAX_PAYLOAD:
            raise MalformedError(f"{event.TYPE} of {len(raw)} bytes is larger than the {MAX_PAYLOAD} an entry takes")
    return raws


@cache
def _decoder(kind: type[Event]) -> Callable[[bytes], Event]:
    return msgspec.json.Decoder(kind).decode
