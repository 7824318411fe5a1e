"""Payload bytes to events, by the closed table. Verify first: this trusts the bytes it is given to be the signed ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import msgspec

from ledger.errors import MalformedError, TooNewError
from ledger.events import EVENT_TYPES, Event


def check_type(event_type: str) -> None:
    """Refuse a type that the table does not hold; say so where it looks like one of a newer soup."""
    if event_type in EVENT_TYPES:
        return
    name, _, version = event_type.partition("/")
    known = {known.partition("/")[0] for known in EVENT_TYPES}
    if name in known and re.fullmatch(r"[1-9][0-9]{0,3}", version):
        raise TooNewError(f"event type {event_type!r} was written by a newer soup. Upgrade soup to read it.")
    raise MalformedError(f"event type {event_type!r} is not in this soup's table")


def decode_event(event_type: str, payload: bytes) -> Event:
    """Read a payload. Raises TooNewError, or MalformedError for an unknown type or a payload that does not fit it."""
    check_type(event_type)
    try:
        return _decoder(event_type)(payload)
    except msgspec.DecodeError as error:
        raise MalformedError(f"the payload is no {event_type}: {error}") from None


@cache
def _decoder(event_type: str) -> Callable[[bytes], Event]:
    return msgspec.json.Decoder(EVENT_TYPES[event_type]).decode
