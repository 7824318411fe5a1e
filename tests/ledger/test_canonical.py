"""Laws of canonical JSON: within the domain we are RFC 8785, outside of it nothing passes."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import canonical
from ledger.canonical import MAX_BYTES, MAX_DEPTH, MAX_INTEGER
from ledger.decode import decode_event
from ledger.errors import LedgerError, NotCanonicalError
from ledger.events import EVENT_TYPES, Event
from ledger.events.base import Time
from ledger.mapper import encode_event
from tests.simulator import declared, finished, started
from tests.strategies import events, events_of, values


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


class Number(enum.IntEnum):
    """An integer that is more than one."""

    ONE = 1


class Loose(msgspec.Struct):
    """A struct whose types do not keep to the domain; no event is one."""

    any: Any


@given(values())
def test_the_encoding_is_that_of_rfc_8785(value: Any) -> None:
    assert canonical.encode(value) == rfc8785.dumps(value)


@given(values())
def test_decoding_gives_back_what_was_encoded(value: Any) -> None:
    assert canonical.decode(canonical.encode(value)) == value


@given(values())
def test_a_struct_that_holds_a_value_is_encoded_like_the_object(value: Any) -> None:
    assert canonical.encode(Loose(value)) == rfc8785.dumps({"any": value})


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(1.5, id="a float"),
        pytest.param(1.0, id="a float that is whole"),
        pytest.param(-0.0, id="negative zero"),
        pytest.param(1e16, id="a float without a point"),
        pytest.param(1e-7, id="a small float"),
        pytest.param(5e-324, id="the smallest float"),
        pytest.param(float("nan"), id="NaN"),
        pytest.param(float("inf"), id="infinity"),
        pytest.param(2**53, id="2^53"),
        pytest.param(-(2**53), id="-2^53"),
        pytest.param(2**64, id="2^64"),
        pytest.param(10**400, id="an integer no double comes near"),
        pytest.param("a\x00b", id="U+0000"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param({"ä": 1}, id="a key outside of ASCII"),
        pytest.param({"\x00": 1}, id="U+0000 in a key"),
        pytest.param({1: 2}, id="a key that is no string"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param({1, 2}, id="a set"),
        pytest.param(Decimal("1.5"), id="a Decimal"),
        pytest.param(object(), id="any object"),
        pytest.param(Number.ONE, id="an enumeration"),
        pytest.param(nested(MAX_DEPTH + 1), id="too deep"),
        pytest.param(nested(100_000), id="deep enough for the stack"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"a": [value]}], ids=["bare", "inside"])
def test_a_value_outside_the_domain_is_not_encoded(value: Any, wrap: Any) -> None:
    with pytest.raises(NotCanonicalError):
        canonical.encode(wrap(value))


def test_a_cycle_is_refused() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(NotCanonicalError):
        canonical.encode(cycle)


def test_depth_and_integers_are_accepted_up_to_their_bound() -> None:
    for value in (nested(MAX_DEPTH), MAX_INTEGER, -MAX_INTEGER):
        raw = canonical.encode(value)
        assert canonical.decode(raw) == value
        assert canonical.is_canonical(raw)


OTHER_SPELLINGS = {
    "a blank": b'{"a": 1}',
    "a final newline": b'{"a":1}\n',
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "keys unsorted": b'{"b":1,"a":2}',
    "a duplicate key": b'{"a":1,"a":1}',
    "a duplicate key, two values": b'{"a":1,"a":2}',
    "an escaped letter": b'"\\u0061"',
    "an escaped solidus": b'"\\/"',
    "an upper-case escape": b'"\\u001F"',
    "a long escape of a newline": b'"\\u000a"',
    "an escaped astral character": b'"\\ud83d\\ude00"',
    "minus zero": b"-0",
    "a float": b"1.5",
    "a whole float": b"1.0",
    "an exponent": b"1e2",
    "a capital exponent": b"1E2",
    "an exponent inside": b'{"a":[1e2]}',
    "2^53": b"9007199254740992",
    "-2^53": b"-9007199254740992",
    "2^63": b"9223372036854775808",
    "a number without end": b"1" * 400,
    "U+0000": b'"\\u0000"',
    "U+0000 in a key": b'{"\\u0000":1}',
    "a key outside of ASCII": '{"ä":1}'.encode(),
    "a key outside of ASCII, escaped": b'{"\\u00e4":1}',
    "a lone surrogate": b'"\\ud800"',
    "a lone surrogate in CESU-8": b'"\xed\xa0\x80"',
    "bytes that are not UTF-8": b'"\xff"',
    "an overlong encoding": b'"\xc0\xaf"',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "nothing": b"",
    "NaN": b"NaN",
    "a bare word": b"nul",
    "two values": b"1 2",
    "half a value": b'{"a":',
    "too deep": b"[" * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1),
    "deep enough for the stack": b"[" * 200_000 + b"]" * 200_000,
}


@pytest.mark.parametrize("raw", OTHER_SPELLINGS.values(), ids=OTHER_SPELLINGS)
def test_another_spelling_is_not_read(raw: bytes) -> None:
    with pytest.raises(NotCanonicalError):
        canonical.decode(raw)


@pytest.mark.parametrize("raw", OTHER_SPELLINGS.values(), ids=OTHER_SPELLINGS)
def test_the_fast_test_refuses_what_the_decoder_refuses(raw: bytes) -> None:
    assert not canonical.is_canonical(raw)


def test_a_value_larger_than_the_bound_is_not_read() -> None:
    with pytest.raises(NotCanonicalError):
        canonical.decode(b'"' + b"x" * MAX_BYTES + b'"')
    with pytest.raises(NotCanonicalError):
        canonical.decode(b'"abcd"', max_bytes=5)


@st.composite
def nearly_canonical(draw: st.DrawFn) -> bytes:
    """Canonical bytes with a few of them replaced, taken out or put in."""
    raw = bytearray(canonical.encode(draw(values())))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 2))] = draw(
            st.sampled_from([b"", b" ", b"0", b"\\", b"e", b'"', b",", b"\xff"])
        )
    return bytes(raw)


@given(nearly_canonical() | st.binary(max_size=30))
def test_both_tests_of_canonical_form_agree_and_what_they_accept_is_rfc_8785(raw: bytes) -> None:
    try:
        value = canonical.decode(raw)
    except NotCanonicalError:
        assert not canonical.is_canonical(raw)
    else:
        assert canonical.is_canonical(raw)
        assert rfc8785.dumps(value) == raw


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=EVENT_TYPES)
@settings(max_examples=20)
@given(data=st.data())
def test_every_event_of_the_table_reads_back_from_its_payload(kind: type[Event], data: st.DataObject) -> None:
    event = data.draw(events_of(kind))
    payload = encode_event(event)
    assert decode_event(kind.TYPE, payload) == event
    assert canonical.is_canonical(payload)


@given(events())
def test_a_payload_is_rfc_8785(event: Event) -> None:
    assert encode_event(event) == rfc8785.dumps(msgspec.to_builtins(event))


MISTYPED = {
    "a float": msgspec.structs.replace(finished(), exit_code=1.5),
    "NaN": msgspec.structs.replace(finished(), duration_us=float("nan")),
    "2^53": msgspec.structs.replace(finished(), duration_us=2**53),
    "a negative count": msgspec.structs.replace(finished(), duration_us=-1),
    "U+0000": msgspec.structs.replace(finished(), error="a\x00b"),
    "a lone surrogate": msgspec.structs.replace(finished(), error="\udc80"),
    "bytes": msgspec.structs.replace(finished(), error=b"bytes"),
    "a long text": msgspec.structs.replace(finished(), error="x" * 65_537),
    "a key outside of ASCII": msgspec.structs.replace(finished(), redactions={"\u00e4": 1}),
    "U+0000 in a key": msgspec.structs.replace(finished(), redactions={"\x00": 1}),
    "a key that is no string": msgspec.structs.replace(finished(), redactions={1: 1}),
    "U+0000 in a list": msgspec.structs.replace(started(), argv=["a\x00b"]),
    "another type in a list": msgspec.structs.replace(started(), argv=[1]),
    "a digest in capitals": msgspec.structs.replace(declared(1), sha256="AB" * 32),
    "a digest and a newline": msgspec.structs.replace(declared(1), sha256="ab" * 32 + "\n"),
    "a role that is none": msgspec.structs.replace(declared(1), role="pet"),
    "4 MiB": msgspec.structs.replace(started(), argv=["x" * 65_000] * 65),
}


@pytest.mark.parametrize("event", MISTYPED.values(), ids=MISTYPED)
def test_an_event_with_a_value_that_its_type_does_not_admit_has_no_payload(event: Event) -> None:
    with pytest.raises(LedgerError):
        encode_event(event)


def test_an_event_that_is_not_in_the_table_has_no_payload() -> None:
    class Imposter(Event, frozen=True, kw_only=True):
        TYPE = "command.finished/1"

    for stranger in (Imposter(), Event()):
        with pytest.raises(LedgerError):
            encode_event(stranger)


@pytest.mark.parametrize(
    "text",
    ["\N{ARABIC-INDIC DIGIT TWO}026-11-22T20:00:00.000000Z", "2026-11-22T20:00:00.000000Z\n", "2026-11-22T20:00:00Z"],
)
def test_a_time_in_an_event_has_one_spelling(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Time)
