"""The JSONL file that follows the ledger, and its sealed segments.

What is true here:

- The file is a projection: each line is an entry, in position order, written after COMMIT and under a lock. Its own last
  whole line says how far it got; what is torn or missing is written again from the ledger.
- A file that is not an audit log of this ledger is never touched: first and last whole line must be what the ledger gives.
- Rotation records the segment's digest, then renames. A kill in between is completed by the next command. Nothing is deleted.
- A trouble here is a warning. The ledger is the record; this file is a convenience for tools that tail files.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from io import FileIO
from pathlib import Path
from typing import BinaryIO, cast

from ledger.errors import LedgerError
from ledger.events.audit_log import AuditSegmentSealed
from ledger.identity import read_identity
from ledger.reader import Reader
from projections.audit_log import MAX_LINE, line, parse_line

SEGMENTS = "audit-log/segments"
CHUNK = 1024 * 1024
MAX_LINES = 20_000
"""Lines that one command writes at most."""


class AuditFileError(Exception):
    """The file cannot follow; the sentence says why and what to do."""


@dataclass
class AuditFile:
    """An open and locked audit file, positioned at its end. `last` is the position of its last line."""

    path: Path
    stream: BinaryIO
    reader: Reader
    ledger: str
    first: int
    last: int


def follow(path: Path, open_reader: Callable[[], Reader]) -> int:
    """Write the lines that are missing, some; give how many entries the file is still behind. Raises AuditFileError.

    It waits for nobody: where another process holds the file, the next command goes on. Nor does it hold up a command:
    a file that is far behind catches up over several.
    """
    with opened(path, open_reader, wait=False) as file:
        if file is None:
            return 0
        append(file, file.last + MAX_LINES)
        return file.reader.size - file.last


def append(file: AuditFile, until: int | None = None) -> None:
    """Write the missing lines up to position `until` (default: the head)."""
    buffer = bytearray()
    for record in file.reader.records(file.last + 1, until):
        buffer += line(file.ledger, record)
        if len(buffer) > CHUNK:
            file.stream.write(buffer)
            buffer.clear()
        file.first, file.last = file.first or record.position, record.position
    file.stream.write(buffer)
    file.stream.flush()


@contextmanager
def opened(path: Path, open_reader: Callable[[], Reader], *, wait: bool) -> Iterator[AuditFile | None]:
    """Lock the file, then look at the ledger, then repair the file. None where it is locked and `wait` is false.

    Raises AuditFileError, having changed nothing.
    """
    try:
        while True:
            with _locked(path, wait=wait) as stream:
                if stream is None:
                    yield None
                    return
                with open_reader() as reader:  # behind the lock: an older snapshot would not know the newest seal
                    segment = _newest_seal(reader)
                    if segment is not None and _is_segment(stream, segment):
                        close_segment(path, segment)  # a rotation that was killed before its rename
                        continue
                    yield _repaired(path, stream, reader, segment.last if segment else 0)
                    return
    except OSError as error:
        raise AuditFileError(f"cannot write the audit log {path}: {error.strerror}") from None
    except LedgerError as error:
        raise AuditFileError(f"the audit log {path} does not follow: {error}") from None


def seal(file: AuditFile) -> AuditSegmentSealed:
    """Describe the file as it stands as a closed segment."""
    file.stream.flush()
    os.fsync(file.stream.fileno())
    return AuditSegmentSealed(
        first=file.first,
        last=file.last,
        lines=file.last - file.first + 1,
        size=_size(file.stream),
        sha256=_digest(file.stream),
        name=f"{file.path.stem}-{file.first:012d}-{file.last:012d}{file.path.suffix}",
    )


def close_segment(path: Path, segment: AuditSegmentSealed) -> Path:
    """Give the sealed file its own name, replacing nothing. The caller holds its lock."""
    target = path.with_name(Path(segment.name).name)
    if os.path.lexists(target):  # the lock keeps other soups out; a link and an unlink could be torn apart by a kill
        raise AuditFileError(f"{target} is in the way of a sealed segment of the audit log; move it away")
    path.rename(target)
    _sync(path.parent)
    return target


def _newest_seal(reader: Reader) -> AuditSegmentSealed | None:
    record = reader.latest(SEGMENTS)
    event = record.event() if record else None
    return event if isinstance(event, AuditSegmentSealed) else None


def _is_segment(stream: BinaryIO, segment: AuditSegmentSealed) -> bool:
    return _size(stream) == segment.size and _digest(stream) == segment.sha256


def _repaired(path: Path, stream: BinaryIO, reader: Reader, start: int) -> AuditFile:
    """Find the last whole line that the ledger confirms, and cut a torn one off behind it."""
    ledger = read_identity(reader).ledger
    size = _size(stream)
    first, end, last = _first_line(path, stream, size, reader, ledger, start), 0, start
    if first:
        end, raw = _last_line(stream, size)
        last = _confirmed(path, raw, reader, ledger)
    if end != size:
        stream.truncate(end)
    os.fchmod(stream.fileno(), 0o600)
    stream.seek(0, os.SEEK_END)
    return AuditFile(path, stream, reader, ledger, first, last)


def _first_line(path: Path, stream: BinaryIO, size: int, reader: Reader, ledger: str, start: int) -> int:
    """Give the position of the first whole line; 0 where there is none. Whatever is not ours is left untouched."""
    if size == 0:
        return 0
    stream.seek(0)
    raw = stream.readline(MAX_LINE)
    if raw.endswith(b"\n"):
        return _confirmed(path, raw, reader, ledger)
    record = reader.record(start + 1)
    if record is None or size > MAX_LINE or not line(ledger, record).startswith(raw):
        raise _foreign(path)
    return 0  # our own first line, torn


def _confirmed(path: Path, raw: bytes, reader: Reader, ledger: str) -> int:
    parsed = parse_line(raw)
    record = reader.record(parsed.position) if parsed and parsed.ledger == ledger else None
    if record is None or line(ledger, record) != raw:
        raise _foreign(path)
    return record.position


def _last_line(stream: BinaryIO, size: int) -> tuple[int, bytes]:
    """Give the end of the last whole line, and the line."""
    window = 65_536
    while True:
        begin = max(0, size - window)
        stream.seek(begin)
        tail = stream.read(size - begin)
        end = tail.rfind(b"\n") + 1
        before = tail.rfind(b"\n", 0, end - 1) if end else -1
        if end and (before >= 0 or begin == 0):
            return begin + end, tail[before + 1 : end]
        if begin == 0 or window > MAX_LINE:
            return 0, b""
        window *= 8


def _foreign(path: Path) -> AuditFileError:
    return AuditFileError(
        f"{path} is not an audit log of this ledger, so it was left untouched; move it away, or set SOUP_AUDIT_LOG_PATH"
    )


@contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[BinaryIO | None]:
    while True:
        with _open(path) as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield None
                return
            try:
                same = os.path.samestat(path.lstat(), os.fstat(stream.fileno()))
            except FileNotFoundError:
                same = False
            if same:  # else another process rotated it while we waited
                yield stream
                return


def _open(path: Path) -> BinaryIO:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        reason = "it is a symbolic link" if path.is_symlink() else error.strerror
        raise AuditFileError(f"cannot write the audit log {path}: {reason}") from None
    stream = os.fdopen(descriptor, "r+b", buffering=0) if _is_plain(descriptor) else None
    if stream is None:
        os.close(descriptor)
        raise AuditFileError(f"{path} is no regular file of its own, so it was left untouched")
    return cast(BinaryIO, stream)


def _is_plain(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _digest(stream: BinaryIO) -> str:
    stream.seek(0)
    return file_digest(cast("FileIO", stream), "sha256").hexdigest()


def _size(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_size


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
