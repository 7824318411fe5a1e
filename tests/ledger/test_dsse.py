"""Laws of DSSE envelopes; signatures are checked a second time by OpenSSL, the form by an RFC 8785 encoder."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from ledger.dsse import MAX_SIGNATURES, Envelope, Signature, decode, decode_strict, encode, pae, sign, verify
from ledger.errors import AlteredError, LedgerError, MalformedError

KEY = SigningKey(b"a" * 32)
PUBLIC = bytes(KEY.verify_key)
STRANGER = bytes(SigningKey(b"s" * 32).verify_key)
TYPE = "application/vnd.in-toto+json"
PAYLOAD = b'{"_type":"https://in-toto.io/Statement/v1"}'


def signed_by(key: SigningKey, message: bytes) -> bytes:
    return key.sign(message).signature


ENVELOPE = sign(TYPE, PAYLOAD, "author", lambda message: signed_by(KEY, message))
RAW = encode(ENVELOPE)

texts = st.text(st.characters(codec="utf-8"))
envelopes = st.builds(
    Envelope,
    payload=st.binary(max_size=200),
    payload_type=texts,
    signatures=st.lists(st.builds(Signature, keyid=texts, sig=st.binary(max_size=70)), max_size=3).map(tuple),
)


def foreign(**changes: object) -> dict[str, object]:
    """The envelope as a tree that a test may bend."""
    members: dict[str, object] = json.loads(RAW)
    return members | changes


# What is signed


def test_the_encoding_is_that_of_the_specification() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_lengths_count_bytes_and_not_characters() -> None:
    assert pae("é/☃", "☃".encode()) == "DSSEv1 6 é/☃ 3 ☃".encode()
    assert pae("", b"") == b"DSSEv1 0  0 "


@given(texts, st.binary(), texts, st.binary())
def test_two_messages_never_encode_alike(type1: str, payload1: bytes, type2: str, payload2: bytes) -> None:
    assert (pae(type1, payload1) == pae(type2, payload2)) == ((type1, payload1) == (type2, payload2))


def test_bytes_moved_between_type_and_payload_change_what_is_signed() -> None:
    assert pae("a 1 b", b"c") != pae("a", b"b 1 c")


# The form we write


@given(envelopes)
def test_an_envelope_comes_back_whole_in_the_strict_and_in_the_liberal_reading(envelope: Envelope) -> None:
    raw = encode(envelope)
    assert decode_strict(raw) == decode(raw) == envelope


@given(envelopes)
def test_the_form_is_canonical_json(envelope: Envelope) -> None:
    members: Any = {
        "payload": base64.b64encode(envelope.payload).decode(),
        "payloadType": envelope.payload_type,
        "signatures": [{"keyid": s.keyid, "sig": base64.b64encode(s.sig).decode()} for s in envelope.signatures],
    }
    assert encode(envelope) == rfc8785.dumps(members)


@given(envelopes, st.data())
def test_a_changed_byte_gives_another_envelope_or_none(envelope: Envelope, data: st.DataObject) -> None:
    raw = bytearray(encode(envelope))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        again = decode_strict(bytes(raw))
    except MalformedError:
        return
    assert again != envelope
    assert encode(again) == bytes(raw)


def test_no_flipped_bit_of_a_signed_envelope_verifies_but_in_the_hint() -> None:
    hint = RAW.index(b'"author"')
    harmless = range((hint + 1) * 8, (hint + 1 + len("author")) * 8)
    for bit in set(range(len(RAW) * 8)) - set(harmless):
        flipped = bytearray(RAW)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((AlteredError, MalformedError)):
            verify(decode_strict(bytes(flipped)), [PUBLIC])


@pytest.mark.parametrize(
    "raw",
    [
        RAW + b"\n",
        b" " + RAW,
        RAW.replace(b'":', b'": '),
        RAW.replace(b"author", b"\\u0061uthor"),
        RAW.replace(b"application/", b"application\\/"),
        RAW.replace(b'{"payload":', b'{"extra":1,"payload":'),
        RAW.replace(b'{"payload":', b'{"payload":"","payload":'),
        RAW.replace(b'"keyid":"author",', b""),
        json.dumps(dict(reversed(foreign().items())), separators=(",", ":")).encode(),
        b"\xef\xbb\xbf" + RAW,
        RAW.decode().encode("utf-16"),
    ],
)
def test_any_other_layout_is_refused_by_the_strict_reading(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_strict(raw)


@pytest.mark.parametrize("text", ["QR==", "QQF=", "QQ", "QQ==\\n"])
def test_base64_that_is_not_canonical_is_refused_by_the_strict_reading(text: str) -> None:
    with pytest.raises(MalformedError):
        decode_strict(b'{"payload":"%b","payloadType":"t","signatures":[]}' % text.encode())


@pytest.mark.parametrize("envelope", [Envelope(b"", "\ud800", ()), Envelope(b"", "t", (Signature("\udfff", b""),))])
def test_text_without_bytes_is_malformed(envelope: Envelope) -> None:
    with pytest.raises(MalformedError):
        encode(envelope)


def test_a_type_without_bytes_cannot_be_signed() -> None:
    with pytest.raises(MalformedError):
        pae("\ud800", b"")


# The forms that others write


def test_url_safe_base64_is_read_but_not_by_the_strict_reading() -> None:
    payload = b"\xfb\xff\xfe?"
    raw = encode(Envelope(payload, "t", (Signature("", payload * 16),)))
    assert b"+" in raw
    assert b"/" in raw
    url_safe = raw.replace(b"+", b"-").replace(b"/", b"_")
    assert decode(url_safe) == decode(url_safe.replace(b"=", b"")) == decode_strict(raw)
    with pytest.raises(MalformedError):
        decode_strict(url_safe)


def test_unknown_fields_are_ignored_and_an_unset_key_id_is_empty() -> None:
    signature = {"sig": "QQ==", "cert": {"a": [1, 2.5, None]}}
    raw = json.dumps(foreign(extra={"payload": "x"}, signatures=[signature]), indent=2).encode() + b"\n"
    assert decode(raw) == Envelope(PAYLOAD, TYPE, (Signature("", b"A"),))


def test_escapes_are_read_as_what_they_mean() -> None:
    assert decode(RAW.replace(b"application", b"\\u0061pplication")) == ENVELOPE


@pytest.mark.parametrize(
    "raw",
    [
        RAW.replace(b'{"payload":', b'{"payload":"","payload":'),
        RAW.replace(b'{"payload":', b'{"payl\\u006fad":"","payload":'),
        RAW.replace(b'{"keyid":', b'{"keyid":"","keyid":'),
        RAW.replace(b'{"payload":', b'{"extra":{"a":1,"a":1},"payload":'),
    ],
)
def test_a_duplicate_key_anywhere_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedError, match="duplicate"):
        decode(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"x"',
        RAW[:-1],
        RAW + b"x",
        RAW + RAW,
        b"\xff" + RAW,
        b"\xef\xbb\xbf" + RAW,
        RAW.decode().encode("utf-16"),
        b"[" * 100_000,
        b'{"extra":' * 100_000,
        b'{"extra":' + b"9" * 10_000 + b"}",
        RAW.replace(b'{"payload":', b'{"extra":NaN,"payload":'),
        json.dumps(foreign(payload=None)).encode(),
        json.dumps(foreign(payload=1)).encode(),
        json.dumps(foreign(payloadType=["t"])).encode(),
        json.dumps(foreign(payload="Q")).encode(),
        json.dumps(foreign(payload="QR==")).encode(),
        json.dumps(foreign(payload="QQ=")).encode(),
        json.dumps(foreign(payload="QQ\n==")).encode(),
        json.dumps(foreign(payload="+-8=")).encode(),
        json.dumps(foreign(payload="\u00e9")).encode(),
        json.dumps(foreign(signatures=None)).encode(),
        json.dumps(foreign(signatures={})).encode(),
        json.dumps(foreign(signatures=["QQ=="])).encode(),
        json.dumps(foreign(signatures=[{"keyid": "k"}])).encode(),
        json.dumps(foreign(signatures=[{"sig": "QQ==", "keyid": 1}])).encode(),
        json.dumps(foreign(signatures=[{"sig": "QQ=="}] * (MAX_SIGNATURES + 1))).encode(),
    ],
)
def test_what_is_no_envelope_is_malformed_and_nothing_else_escapes(raw: bytes) -> None:
    for reading in (decode, decode_strict):
        with pytest.raises(MalformedError):
            reading(raw)


@given(st.binary())
def test_reading_is_total(raw: bytes) -> None:
    for reading in (decode, decode_strict):
        with pytest.raises(MalformedError):
            reading(raw)


@pytest.mark.parametrize("reading", [decode, decode_strict])
def test_an_envelope_has_at_most_its_size_in_bytes(reading: Callable[..., Envelope]) -> None:
    assert reading(RAW, max_size=len(RAW)) == ENVELOPE
    with pytest.raises(MalformedError):
        reading(RAW, max_size=len(RAW) - 1)


# Verification


def test_a_signature_is_valid_for_another_implementation() -> None:
    other = Ed25519PublicKey.from_public_bytes(PUBLIC)
    other.verify(ENVELOPE.signatures[0].sig, pae(TYPE, PAYLOAD))
    with pytest.raises(InvalidSignature):
        other.verify(ENVELOPE.signatures[0].sig, pae(TYPE, PAYLOAD + b" "))


@given(texts, st.binary(max_size=100), texts)
def test_a_signature_of_another_implementation_is_valid_here(payload_type: str, payload: bytes, keyid: str) -> None:
    other = Ed25519PrivateKey.from_private_bytes(b"b" * 32)
    public = other.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    envelope = sign(payload_type, payload, keyid, other.sign)
    assert verify(decode(encode(envelope)), [public]) == payload


@pytest.mark.parametrize(
    "keys",
    [
        [PUBLIC],
        [STRANGER, PUBLIC],
        {"author": PUBLIC},
        {"someone": PUBLIC},
        {"author": STRANGER, "someone": PUBLIC},
        {"": PUBLIC, "author": STRANGER},
    ],
)
def test_a_key_id_never_decides(keys: list[bytes] | dict[str, bytes]) -> None:
    assert verify(ENVELOPE, keys) == PAYLOAD


def test_the_key_that_the_hint_names_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    monkeypatch.setattr("ledger.dsse.verify_signature", lambda public, _message, _signature: tried.append(public))
    verify(ENVELOPE, {"a": STRANGER, "author": PUBLIC, "z": STRANGER})
    assert tried == [PUBLIC]


def test_one_good_signature_among_others_suffices() -> None:
    strange = (Signature("author", b""), Signature("author", bytes(64)), Signature("ecdsa", b"0" * 71))
    envelope = Envelope(PAYLOAD, TYPE, (*strange, *ENVELOPE.signatures))
    assert verify(envelope, {"author": PUBLIC}) == PAYLOAD


@pytest.mark.parametrize(
    ("envelope", "attack"),
    [
        (Envelope(PAYLOAD + b" ", TYPE, ENVELOPE.signatures), "forged"),
        (Envelope(PAYLOAD, TYPE + " ", ENVELOPE.signatures), "forged"),
        (Envelope(PAYLOAD, TYPE, (Signature("author", signed_by(KEY, PAYLOAD)),)), "forged"),
        (Envelope(PAYLOAD, TYPE, (Signature("author", ENVELOPE.signatures[0].sig[:63]),)), "forged"),
        (Envelope(PAYLOAD, TYPE, (Signature("author", ENVELOPE.signatures[0].sig + b"\x00"),)), "forged"),
        (Envelope(PAYLOAD, TYPE, ()), "stripped"),
    ],
)
def test_an_altered_envelope_does_not_verify(envelope: Envelope, attack: str) -> None:
    with pytest.raises(AlteredError) as found:
        verify(envelope, {"author": PUBLIC})
    assert found.value.attack == attack


@pytest.mark.parametrize("keys", [[STRANGER], {"author": STRANGER}])
def test_a_strangers_key_verifies_nothing(keys: list[bytes] | dict[str, bytes]) -> None:
    with pytest.raises(AlteredError):
        verify(ENVELOPE, keys)


@pytest.mark.parametrize("keys", [[], (), {}])
@pytest.mark.parametrize("envelope", [ENVELOPE, Envelope(PAYLOAD, TYPE, ())])
def test_without_a_key_nothing_verifies(envelope: Envelope, keys: list[bytes] | dict[str, bytes]) -> None:
    with pytest.raises(AlteredError) as found:
        verify(envelope, keys)
    assert found.value.attack == "foreign key"


def test_a_key_of_another_length_is_malformed() -> None:
    with pytest.raises(MalformedError):
        verify(ENVELOPE, [PUBLIC[:31]])


@given(envelopes)
def test_an_envelope_that_nobody_signed_never_verifies(envelope: Envelope) -> None:
    with pytest.raises(LedgerError):
        verify(envelope, [PUBLIC])
