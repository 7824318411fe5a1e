"""Laws of the entry header: the template is canonical JSON, and nothing that would break it gets in."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger import canonical
from ledger.entry import (
    COMMAND_ID,
    EVENT_TYPE,
    FORMAT,
    MAX_TIME,
    MIN_TIME,
    STREAM,
    check_fields,
    content_bytes,
    header_bytes,
    leaf,
    parse_time,
    payload_digest,
    time_text,
)
from ledger.errors import MalformedError
from ledger.events import EVENT_TYPES
from tests.simulator import ROOT
from tests.strategies import streams

hex32 = st.binary(min_size=32, max_size=32).map(bytes.hex)
counts = st.integers(1, 2**53 - 1)
times = st.integers(MIN_TIME, MAX_TIME)
command_ids = st.uuids().map(str)


@given(
    stream=streams(),
    version=counts,
    event_type=st.from_regex(EVENT_TYPE, fullmatch=True),
    time=times,
    command=command_ids,
    author=hex32,
    payload=hex32,
    size=st.integers(0, 2**53 - 1),
    position=counts,
    previous=hex32,
    logged=times,
    index=st.integers(0, 2**53 - 1),
    count=counts,
    commit=hex32,
)
def test_the_header_template_is_the_canonical_encoding(
    stream: str,
    version: int,
    event_type: str,
    time: int,
    command: str,
    author: str,
    payload: str,
    size: int,
    position: int,
    previous: str,
    logged: int,
    index: int,
    count: int,
    commit: str,
) -> None:
    content = content_bytes(stream, version, event_type, time, command, author, payload, size)
    header = header_bytes(content, position, previous, time_text(logged), index, count, commit)
    author_part = {
        "author": author,
        "command": command,
        "format": FORMAT,
        "payload": payload,
        "size": size,
        "stream": stream,
        "time": time_text(time),
        "type": event_type,
        "version": version,
    }
    log_part = {
        "commit": commit,
        "count": count,
        "index": index,
        "logged": time_text(logged),
        "position": position,
        "previous": previous,
    }
    assert content == canonical.encode(author_part)
    assert header == canonical.encode({"content": author_part, "log": log_part})


@given(times)
@example(MIN_TIME)
@example(MAX_TIME)
def test_reading_a_time_undoes_writing_it(microseconds: int) -> None:
    assert parse_time(time_text(microseconds)) == microseconds


@given(times)
def test_a_time_is_the_one_that_the_standard_library_writes(microseconds: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    assert time_text(microseconds) == moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


@pytest.mark.parametrize("microseconds", [-1, -1_000_000, -(10**18), MAX_TIME + 1, 2**63, 10**30])
@pytest.mark.parametrize("before", [None, 0, MAX_TIME])
def test_a_time_outside_of_1970_to_9999_is_refused_whatever_was_written_before(
    microseconds: int, before: int | None
) -> None:
    if before is not None:
        time_text(before)
    with pytest.raises(MalformedError):
        time_text(microseconds)


def test_a_time_before_1970_is_refused_as_the_first_that_a_process_writes() -> None:
    code = "from ledger.entry import time_text; print(time_text(-1))"
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "MalformedError" in child.stderr, f"gave {child.stdout!r}"


def test_threads_do_not_mix_up_each_others_times() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            wrong = sum(pool.map(_wrong_times, [[second, second + 1] * 20_000 for second in range(4)]))
    finally:
        sys.setswitchinterval(interval)
    assert wrong == 0


def _wrong_times(seconds: list[int]) -> int:
    texts = {second: f"1970-01-01T00:00:{second:02d}.000000Z" for second in seconds}
    return sum(time_text(second * 1_000_000) != texts[second] for second in seconds)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01 00:00:01Z", 1_000_000),
        ("1970-01-01T00:00:00.1Z", 100_000),
        ("1970-01-01T00:00:00.000001Z", 1),
    ],
)
def test_a_time_may_be_written_with_fewer_digits(text: str, microseconds: int) -> None:
    assert parse_time(text) == microseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T20:00:00",
        "2026-11-22T20:00:00+00:00",
        "2026-11-22T20:00:00.Z",
        "2026-11-22T20:00:00.0000001Z",
        "2026-11-22T24:00:01Z",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-11-22T20:00:60Z",
        "2026-11-22T20:00:00Z\n",
        " 2026-11-22T20:00:00Z",
        "٢٠٢٦-11-22T20:00:00Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_what_is_no_utc_time_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_time(text)


HOSTILE_NAMES = [
    "",
    "/",
    "run",
    "run/",
    "/1",
    "run/1/2",
    "run/1\n",
    "\nrun/1",
    "Run/1",
    "run/a b",
    'run/1","time":"x',
    "run/\\u0061",
    "run/\x00",
    "run/ä",
    "run/\N{ARABIC-INDIC DIGIT ONE}",
    "run/\N{FULLWIDTH LATIN SMALL LETTER A}",
    "run/" + "a" * 201,
    "a" * 33 + "/1",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_stream_name_that_would_need_an_escape_is_refused(name: str) -> None:
    assert not STREAM.fullmatch(name)
    with pytest.raises(MalformedError):
        check_fields(name, "run.started/1", "0190a1b2-0000-7000-8000-000000000001")


@pytest.mark.parametrize(
    "name",
    ["", "os:system", "run.started", "run.started/0", "run.started/01", "run.started/10000", "run.started/1\n",
     "run.started/\N{ARABIC-INDIC DIGIT ONE}", 'run.started/1"', "Run.started/1", "run/1", "run..started/1"],
    ids=ascii,
)  # fmt: skip
def test_an_event_type_that_is_no_name_of_ours_is_refused(name: str) -> None:
    assert not EVENT_TYPE.fullmatch(name)
    with pytest.raises(MalformedError):
        check_fields("run/1", name, "0190a1b2-0000-7000-8000-000000000001")


@pytest.mark.parametrize(
    "name", ["", "x", "0190A1B2-0000-7000-8000-000000000001", "0190a1b2-0000-7000-8000-000000000001\n", '"' * 36]
)
def test_a_command_id_that_is_no_uuid_is_refused(name: str) -> None:
    assert not COMMAND_ID.fullmatch(name)
    with pytest.raises(MalformedError):
        check_fields("run/1", "run.started/1", name)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_event_of_the_table_has_a_name_that_a_header_takes(name: str) -> None:
    assert EVENT_TYPE.fullmatch(name)
    check_fields("run/1", name, "0190a1b2-0000-7000-8000-000000000001")


@given(streams(), command_ids)
def test_a_name_that_is_accepted_needs_no_escape(stream: str, command: str) -> None:
    check_fields(stream, "run.started/1", command)
    for name in (stream, command):
        assert canonical.encode(name) == b'"%b"' % name.encode("ascii")


@given(st.binary(max_size=100), st.binary(min_size=32, max_size=32))
def test_payload_digest_and_leaf_are_plain_sha256_that_any_tool_can_check(payload: bytes, salt: bytes) -> None:
    assert payload_digest(salt, payload) == sha256(salt + payload).digest()
    assert leaf(payload) == sha256(b"\x00" + payload).digest()
