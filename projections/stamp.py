"""The stamp beside a projection file: what the file is, so that another one put in its place is not taken for it.

What is true here:

- A stamp names ledger, entries, hash of the last of them, digest of the SQL, DuckDB's version, and of the file SHA-256, inode,
  size and times. The ledger must confirm the hash: the chain makes it stand for all entries before.
- Where only inode or times differ (a restored backup) the file's digest decides. A change's time cannot be set back by
  ordinary means, so an edit is seen without reading the file each time.
- A log beside the file condemns it: DuckDB would replay it over the digested bytes.

Not known here: how the file is made. Somebody with the operator's rights can edit file and stamp together; this does not see
it, `cache.check_cache` does.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import msgspec

from ledger.events.base import Count, Hex32
from ledger.reader import Reader
from projections import catalog

MAX_STAMP = 4096


class Stamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What describes a projection file. `entries` and `hash` are position and hash of its last entry; times in ns."""

    changed: int
    duckdb: str
    entries: Count
    format: Literal["soup-projection/1"]
    hash: Hex32
    inode: int
    ledger: Hex32
    modified: int
    schema: Hex32
    sha256: Hex32
    size: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ledger's projection file lies."""

    directory: Path
    ledger: str

    @property
    def file(self) -> Path:
        """The entries."""
        return self.directory / f"{self.ledger}.duckdb"

    @property
    def log(self) -> Path:
        """What DuckDB would leave beside a file it wrote to, and replay."""
        return self.directory / f"{self.ledger}.duckdb.wal"

    @property
    def stamp(self) -> Path:
        """What the file is."""
        return self.directory / f"{self.ledger}.json"

    @property
    def lock(self) -> Path:
        """Held by whoever builds."""
        return self.directory / f"{self.ledger}.lock"


class UnusableError(Exception):
    """The file cannot be used; the message says why, to follow "the projection file "."""


def usable(reader: Reader, place: Place) -> Stamp | None:
    """Give the stamp of the file if it may be used, None where there is no file. Raises UnusableError."""
    if not place.file.is_symlink() and not place.file.exists():
        return None
    try:
        status = place.file.lstat()
        stamp = msgspec.json.decode(_read_small(place.stamp), type=Stamp)
    except (OSError, msgspec.DecodeError):
        raise UnusableError("has no stamp that can be read") from None
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise UnusableError("is no regular file of this user")
    if place.log.exists():
        raise UnusableError("was opened by another program, which left its log beside it")
    if stamp.ledger != place.ledger:
        raise UnusableError("is of another ledger")
    if (stamp.schema, stamp.duckdb) != (catalog.digest(), version("duckdb")):
        raise UnusableError("was made by another version of soup")
    if hash_at(reader, stamp.entries) != stamp.hash:
        raise UnusableError("stands on a head that the ledger does not confirm")
    if _marks(status) != (stamp.size, stamp.inode, stamp.modified, stamp.changed):
        if digest_of(place.file) != stamp.sha256:
            raise UnusableError("was changed by somebody else")
        stamp = msgspec.structs.replace(stamp, **status_fields(status))
        with suppress(OSError):  # it only saves the next one the digest
            write_stamp(place, stamp)
    return stamp


def write_stamp(place: Place, stamp: Stamp) -> Stamp:
    """Put the stamp in place, after the file: a kill between leaves a file that is not used."""
    descriptor, name = tempfile.mkstemp(prefix=".stamp-", dir=place.directory)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(msgspec.json.encode(stamp, order="sorted") + b"\n")
        Path(name).replace(place.stamp)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return stamp


def discard(place: Place) -> None:
    """Throw the file away; what cannot be removed is not used either."""
    for path in (place.stamp, place.file, place.log):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def hash_at(reader: Reader, position: int) -> str:
    """Give the hash of an entry in hex, '' where there is none. Raises AlteredError at one that does not hold."""
    record = reader.record(position)
    return record.hash.hex() if record else ""


def _read_small(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(MAX_STAMP)


def _marks(status: os.stat_result) -> tuple[int, int, int, int]:
    return (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def status_fields(status: os.stat_result) -> dict[str, int]:
    """Give the fields of a stamp that describe the file as the system sees it."""
    return dict(zip(("size", "inode", "modified", "changed"), _marks(status), strict=True))


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
