"""DSSE 1.0.2 envelopes: a payload, its type, and signatures over both (secure-systems-lab/dsse, protocol and envelope).

What is signed is PAE(type, payload), where every length counts bytes:

    DSSEv1 29 http://example.com/HelloWorld 11 hello world

True here:

- `encode` writes one form: compact JSON, keys sorted (RFC 8785), standard base64; `decode_strict` accepts no other;
- `decode` reads what others write: either base64 alphabet, unknown fields, any JSON layout, but no duplicate key,
  on which parsers disagree;
- a key id is a hint which key to try first, and never decides anything;
- `verify` returns the very bytes that were verified or raises; without a key it raises.

Not known here: what payloads mean, which keys deserve trust, where private keys live (signing is a function passed in).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Final, NoReturn

import msgspec

from ledger.errors import AlteredError, MalformedError
from ledger.note import decode_base64, verify_signature

MAX_SIZE: Final = 64 << 20  # bytes of an envelope, unless the caller knows better
MAX_SIGNATURES: Final = 100
_URL_SAFE: Final = str.maketrans("-_", "+/")


class Signature(msgspec.Struct, frozen=True):
    """One signature, unverified; `keyid` is "" where none was given."""

    keyid: str
    sig: bytes


class Envelope(msgspec.Struct, frozen=True, rename={"payload_type": "payloadType"}):
    """A payload and its signatures. The fields stand in the order of their JSON keys."""

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]


class _ForeignSignature(msgspec.Struct, frozen=True):
    """A signature as others write it: the key id may be unset, the base64 is read by `_decode_either_base64`."""

    sig: str
    keyid: str = ""


class _ForeignEnvelope(msgspec.Struct, frozen=True):
    """An envelope as others write it; unknown fields are ignored (DSSE envelope, "Parsing rules")."""

    payload: str
    payloadType: str  # noqa: N815 - the name in the JSON
    signatures: Annotated[tuple[_ForeignSignature, ...], msgspec.Meta(max_length=MAX_SIGNATURES)]


_encoder = msgspec.json.Encoder()
_strict_decoder = msgspec.json.Decoder(Envelope)


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding, the bytes that are signed (DSSE protocol, "Signature Definition")."""
    type_bytes = _utf8(payload_type)
    return b"DSSEv1 %d %b %d %b" % (len(type_bytes), type_bytes, len(payload), payload)


def encode(envelope: Envelope) -> bytes:
    """Return the one form in which we write an envelope; `MalformedError` where a string has lone surrogates."""
    try:
        return _encoder.encode(envelope)
    except UnicodeEncodeError:
        raise MalformedError("an envelope whose type or key id has lone surrogates") from None


def decode_strict(raw: bytes, max_size: int = MAX_SIZE) -> Envelope:
    """Read an envelope of at most `max_size` bytes that `encode` wrote; `MalformedError` for any other bytes.

    Encoding again and comparing is the whole rule: it leaves no room for layout, unknown or duplicate keys, escapes,
    or stray base64 padding bits.
    """
    _check_size(raw, max_size)
    try:
        envelope = _strict_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"not a DSSE envelope: {error}") from None
    if _encoder.encode(envelope) != raw:
        raise MalformedError("a DSSE envelope, but not in the form we write")
    return envelope


def decode(raw: bytes, max_size: int = MAX_SIZE) -> Envelope:
    """Read an envelope of at most `max_size` bytes as others may write it; `MalformedError` where it is none."""
    _check_size(raw, max_size)
    try:
        # Decoded apart: json.loads would guess UTF-16 and UTF-32 from bytes, and DSSE is UTF-8.
        parsed = json.loads(raw.decode("utf-8"), object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)
        foreign = msgspec.convert(parsed, _ForeignEnvelope)
    except (ValueError, RecursionError) as error:  # the errors of json, msgspec and UTF-8 are all ValueErrors
        raise MalformedError(f"not a DSSE envelope: {error}") from None
    return Envelope(
        _decode_either_base64(foreign.payload),
        foreign.payloadType,
        tuple(Signature(each.keyid, _decode_either_base64(each.sig)) for each in foreign.signatures),
    )


def sign(payload_type: str, payload: bytes, keyid: str, sign: Callable[[bytes], bytes]) -> Envelope:
    """Return an envelope with one signature; `sign` makes the raw Ed25519 signature of the bytes it is given."""
    return Envelope(payload, payload_type, (Signature(keyid, sign(pae(payload_type, payload))),))


def verify(envelope: Envelope, keys: Mapping[str, bytes] | Sequence[bytes]) -> bytes:
    """Return the payload, which at least one of the public keys (32 bytes each) signed together with its type.

    A mapping names keys by key id: the named one is tried first, then all others, since the name is outside of what
    is signed. Raise `AlteredError` where no signature holds under any key, `MalformedError` where a key is none.
    The caller still has to compare `envelope.payload_type` with the one it expects.
    """
    message = pae(envelope.payload_type, envelope.payload)
    for signature in envelope.signatures:
        for public in _candidates(signature.keyid, keys):
            try:
                verify_signature(public, message, signature.sig)
            except AlteredError:
                continue
            return envelope.payload
    if not keys:
        raise AlteredError("no trusted key was given to verify the envelope with", attack="foreign key")
    if not envelope.signatures:
        raise AlteredError("the envelope carries no signature", attack="stripped")
    raise AlteredError("no signature of the envelope holds under a trusted key", attack="forged")


def _candidates(keyid: str, keys: Mapping[str, bytes] | Sequence[bytes]) -> Iterable[bytes]:
    """Put the key that the hint names first; leave none out."""
    if not isinstance(keys, Mapping):
        return keys
    return [keys[name] for name in sorted(keys, key=lambda name: name != keyid)]


def _decode_either_base64(text: str) -> bytes:
    """Decode the standard or the URL-safe alphabet (RFC 4648 sections 4 and 5), the padding written out or left off."""
    if ("-" in text or "_" in text) and ("+" in text or "/" in text):
        raise MalformedError(f"base64 in two alphabets at once: {text[:80]!r}")
    padding = "" if text.endswith("=") else "=" * (-len(text) % 4)
    return decode_base64(text.translate(_URL_SAFE) + padding)


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedError("a JSON object with a duplicate key")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedError(f"{name} is not JSON")


def _check_size(raw: bytes, max_size: int) -> None:
    if len(raw) > max_size:
        raise MalformedError(f"an envelope of {len(raw)} bytes, more than {max_size}")


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedError("a payload type with lone surrogates has no bytes to sign") from None
