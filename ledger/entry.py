"""The entry header, and the hash that the chain and the Merkle tree share.

What is true here:

- A header is canonical JSON in two parts: `content`, what the author claims, and `log`, what the log decides.
- The bytes are assembled from a template, because every field is of a closed character set (`check_fields`) that needs no
  JSON escape; `ledger/README.md` gives the grammar, and a property test compares the template with the canonical encoder.
- `hash = SHA-256(0x00 || header)` is the leaf hash of RFC 6962 section 2.1.

Not known here: signatures, storage, and what a payload says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256

from ledger.errors import MalformedError

FORMAT = 1
ZERO = bytes(32)
"""`previous` of the first entry."""
SALT_BYTES = 32
MAX_PAYLOAD = 4 * 1024 * 1024

STREAM = re.compile(r"[a-z][a-z-]{0,31}/[A-Za-z0-9._:-]{1,200}", re.ASCII)
EVENT_TYPE = re.compile(r"[a-z_]+\.[a-z_]+/[1-9][0-9]{0,3}", re.ASCII)
COMMAND_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
MIN_TIME = 0
MAX_TIME = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z in microseconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=64)
def time_text(microseconds: int) -> str:
    """RFC 3339, UTC, six digits: `2026-11-22T20:00:00.000001Z`. Entries of a commit share their time, hence the cache."""
    if not MIN_TIME <= microseconds <= MAX_TIME:
        raise MalformedError(f"time {microseconds} is not between 1970 and 9999")
    second, fraction = divmod(microseconds, 1_000_000)
    return f"{_second_text(second)}.{fraction:06d}Z"


@lru_cache(maxsize=64)
def _second_text(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S")


def parse_time(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time in UTC, written as `time_text` writes it or with fewer digits."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d{1,6})?Z", text, re.ASCII)
    if match is None:
        raise MalformedError(f"{text!r} is not a UTC time like 2026-11-22T20:00:00Z")
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}+00:00")
    except ValueError as error:
        raise MalformedError(f"{text!r} is not a UTC time: {error}") from None
    return (moment - _EPOCH) // timedelta(microseconds=1) + int((match[3] or ".")[1:].ljust(6, "0"))


def check_fields(stream: str, event_type: str, command: str) -> None:
    """Refuse what would need an escape, or is no name of ours. Raises MalformedError."""
    for pattern, value, what in (
        (STREAM, stream, "stream"),
        (EVENT_TYPE, event_type, "event type"),
        (COMMAND_ID, command, "command id"),
    ):
        if not pattern.fullmatch(value):
            raise MalformedError(f"{value!r} is no {what}")


def content_bytes(
    stream: str, version: int, event_type: str, time: int, command: str, author: str, payload: str, size: int
) -> bytes:
    """Give the author's part. `author` and `payload` are hex; `time` is in microseconds; `size` in bytes."""
    fields = (stream,), (version,), (event_type,), (time,), (bytes.fromhex(payload),), (size,)
    return contents(*fields, command=command, author=author)[0]


def contents(
    streams: Iterable[str],
    versions: Iterable[int],
    event_types: Iterable[str],
    times: Iterable[int],
    payloads: Iterable[bytes],
    sizes: Iterable[int],
    *,
    command: str,
    author: str,
) -> list[bytes]:
    """Give the author's parts of entries of one command, from their columns. `payloads` are digests, `author` is hex."""
    head = f'{{"author":"{author}","command":"{command}","format":{FORMAT},"payload":"'
    return [
        f'{head}{payload.hex()}","size":{size},"stream":"{stream}","time":"{time_text(time)}",'
        f'"type":"{event_type}","version":{version}}}'.encode("ascii")
        for stream, version, event_type, time, payload, size in zip(
            streams, versions, event_types, times, payloads, sizes, strict=True
        )
    ]


def header_bytes(
    content: bytes, position: int, previous: str, logged: str, index: int, count: int, commit: str
) -> bytes:
    """Give the whole header. `previous` and `commit` are hex; `logged` is the log's time as text."""
    before, first = bytes.fromhex(previous), position - index
    return headers([content], [before], [position], first=first, logged=logged, count=count, commit=commit)[0]


def headers(
    contents: Iterable[bytes],
    previous: Iterable[bytes],
    positions: Iterable[int],
    *,
    first: int,
    logged: str,
    count: int,
    commit: str,
) -> list[bytes]:
    """Give the headers of entries of the commit that starts at `first`; `previous` are the hashes before each."""
    head, middle = _log_parts(logged, count, commit)
    return [
        b'{"content":%b%b'
        % (content, f'{head}{position - first}{middle}{position},"previous":"{before.hex()}"}}}}'.encode())
        for content, before, position in zip(contents, previous, positions, strict=True)
    ]


def chain(
    contents: Iterable[bytes], previous: bytes, *, position: int, logged: str, count: int, commit: str
) -> list[bytes]:
    """Give the hashes of all entries of a new commit, whose headers name each other's hash from `previous` on."""
    head, middle = _log_parts(logged, count, commit)
    hashes = []
    for index, content in enumerate(contents):
        log = f'{head}{index}{middle}{position + index},"previous":"{previous.hex()}"}}}}'
        previous = sha256(b'\x00{"content":%b%b' % (content, log.encode())).digest()
        hashes.append(previous)
    return hashes


def _log_parts(logged: str, count: int, commit: str) -> tuple[str, str]:
    """Give what stands before `index`, and between it and `position`."""
    return f',"log":{{"commit":"{commit}","count":{count},"index":', f',"logged":"{logged}","position":'


def payload_digest(salt: bytes, payload: bytes) -> bytes:
    """`SHA-256(salt || payload)`: the salt keeps a guessable payload from being confirmed once it is erased."""
    return sha256(salt + payload).digest()


def leaf(data: bytes) -> bytes:
    """RFC 6962 section 2.1 leaf hash."""
    return sha256(b"\x00" + data).digest()


def leaves(data: Iterable[bytes]) -> list[bytes]:
    """Give the leaf hashes of many; written out, since a call would cost a quarter of a hash."""
    return [sha256(b"\x00" + each).digest() for each in data]
