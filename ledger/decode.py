"""Payload bytes to events, by the closed table. Verify first: this trusts the bytes it is given to be the signed ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from ledger.errors import MalformedError, TooNewError
from ledger.events import EVENT_TYPES, Event

_decoders: dict[str, Callable[[bytes], Event]] = {}
"""Made when first needed: all of them cost more than a short command."""


def decode_event(event_type: str, payload: bytes) -> Event:
    """Read a payload. Raises TooNewError, or MalformedError for an unknown type or a payload that does not fit it."""
    try:
        decode = _decoders.get(event_type) or _decoder(event_type)
        return decode(payload)
    except msgspec.DecodeError as error:
        raise MalformedError(f"the payload is no {event_type}: {error}") from None


def decode_events(event_types: Sequence[str], payloads: Sequence[bytes]) -> list[Event]:
    """Read many payloads. Raises as `decode_event` does, without saying at which."""
    try:
        decoders = {event_type: _decoders.get(event_type) or _decoder(event_type) for event_type in set(event_types)}
        return [decoders[event_type](payload) for event_type, payload in zip(event_types, payloads, strict=True)]
    except msgspec.DecodeError as error:
        raise MalformedError(f"a payload is not of its type: {error}") from None


def _decoder(event_type: str) -> Callable[[bytes], Event]:
    if event_type not in EVENT_TYPES:
        raise _unknown(event_type)
    _decoders[event_type] = decode = msgspec.json.Decoder(EVENT_TYPES[event_type]).decode
    return decode


def _unknown(event_type: str) -> MalformedError | TooNewError:
    """Tell a type that a newer soup may have written from one that nobody has."""
    name, _, version = event_type.partition("/")
    known = {known.partition("/")[0] for known in EVENT_TYPES}
    if name in known and re.fullmatch(r"[1-9][0-9]{0,3}", version):
        return TooNewError(f"event type {event_type!r} was written by a newer soup. Upgrade soup to read it.")
    return MalformedError(f"event type {event_type!r:.100} is not in this soup's table")
