"""Canonical JSON (RFC 8785) over a domain in which a fast encoder and the RFC agree.

What is true here:

- ASCII object keys, strings, booleans, null, arrays, objects, and integers up to 2^53-1 in magnitude. No floats at all:
  a non-integer travels as its shortest round-trip decimal in a string.
- U+0000, lone surrogates, duplicate keys, NaN, infinities and larger integers are refused by writer and reader alike.
- `decode(raw)` accepts `raw` only if `encode` would give exactly these bytes back.

Not known here: what the values mean, and who signed them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from ledger.errors import NotCanonicalError

MAX_INTEGER = 2**53 - 1  # RFC 8785 section 3.2.2.3 follows ECMAScript: larger integers are not exact
MAX_DEPTH = 64
MAX_BYTES = 16 * 1024 * 1024

T = TypeVar("T")

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode
# The one thing outside the domain that typed fields let through: a NUL, which every encoder must escape.
_NUL = b"\\u0000"


def encode(value: object) -> bytes:
    """Give the canonical bytes of plain JSON values or of a msgspec Struct.

    Raises NotCanonicalError for a value outside the domain.
    """
    try:
        raw = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:  # lone surrogates, foreign types, cycles
        raise NotCanonicalError(f"cannot be written as canonical JSON: {error}") from None
    if not isinstance(value, msgspec.Struct):
        _check(value, 0)
    elif _NUL in raw:  # fields of a struct are typed: no float, bounded integers, ASCII keys
        _check(_decode(raw), 0)
    return raw


def are_encodings(values: Iterable[msgspec.Struct], raws: Sequence[bytes]) -> bool:
    """Tell whether each of `raws` is the canonical form of the struct that was decoded from it with its declared types."""
    if list(map(_encode, values)) != list(raws):
        return False
    return _NUL not in b"".join(raws) or all(map(is_canonical, raws))


def decode(raw: bytes, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read canonical bytes back into plain values; refuse any other spelling of the same values."""
    if len(raw) > max_bytes:
        raise NotCanonicalError(f"{len(raw)} bytes are more than the {max_bytes} allowed")
    try:
        value = _decode(raw)
        _check(value, 0)
        again = _encode(value)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError) as error:
        raise NotCanonicalError(f"not canonical JSON: {error}") from None
    if again != raw:
        raise NotCanonicalError("not canonical JSON: re-encoding gives other bytes")
    return value


def is_canonical(raw: bytes) -> bool:
    """Tell whether `decode` would accept `raw`."""
    try:
        decode(raw)
    except NotCanonicalError:
        return False
    return True


def sha256(raw: bytes) -> bytes:
    """SHA-256 (FIPS 180-4), 32 bytes."""
    return hashlib.sha256(raw).digest()


def _check(value: Any, depth: int) -> None:  # noqa: C901 - one branch a type of JSON
    """Walk a decoded value and refuse what RFC 8785 and this encoder would not spell alike."""
    if depth > MAX_DEPTH:
        raise NotCanonicalError(f"nested deeper than {MAX_DEPTH}")
    kind = type(value)  # exactly: a subclass may encode as something else
    if kind is str:
        if "\x00" in value:
            raise NotCanonicalError("U+0000 in a string")
    elif kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise NotCanonicalError(f"an integer of {value.bit_length()} bits is beyond 2^53-1")
    elif kind is dict:
        for key, item in value.items():
            _check_key(key)
            _check(item, depth + 1)
    elif kind in {list, tuple}:
        for item in value:
            _check(item, depth + 1)
    elif kind is float:
        raise NotCanonicalError(f"{value!r} is a float; write it as a decimal string")
    elif value is not None and kind is not bool and not isinstance(value, msgspec.Struct):
        raise NotCanonicalError(f"{kind.__name__} is not a JSON value of the domain")


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key.isascii() or "\x00" in key:
        raise NotCanonicalError(f"object key {key!r} is not ASCII")
