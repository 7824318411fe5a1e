r"""Look at input files: what was hashed here is *observed*, what was typed is only *declared*.

Invariants:

* Every named input is hostile until checked. Only regular files are read; a pipe, a socket, a device or a directory
  in a file's place is refused at once, without blocking and without opening it.
* Reading is bounded by the size seen at opening, in constant memory. A file that grows, shrinks, is written to or
  replaced while it is read is refused: its digest would describe bytes that never stood there together.
* A named path may be a symbolic link; what counts is what it leads to. Inside of a directory a link to a regular file
  is followed and recorded under its own name (Hugging Face snapshots consist of links into `../../blobs`); a link to
  a directory, a dangling link and a loop are refused, so no file is reached twice and the walk ends.
* A directory's digest is the SHA-256 over the lines `<hex>  <relative path>\n`, sorted by path: the listing of Go's
  dirhash (`golang.org/x/mod/sumdb/dirhash`, Hash1), which `sha256sum` prints and can check. As there, a newline in a
  name is refused. Empty directories, modes and times are not part of it.

Deliberately unknown here: file formats, the ledger, and what the digest is for.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from commands.errors import InputError, UsageProblem, because, quoted

MAX_FILES = 100_000
"""Most files, and most directories, that one observed directory may hold."""
MAX_DEPTH = 32
"""Deepest nesting of directories below an observed one."""

StrPath = str | os.PathLike[str]

_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_CHUNK = 1 << 18  # stays in the cache of the processor: 1 MiB was a third slower
_THREADS = 2
_HEX = frozenset("0123456789abcdef")
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
_OTHER_DIGESTS = {32: "an MD5", 40: "a SHA-1 or a Git revision", 96: "a SHA-384", 128: "a SHA-512"}


@dataclass(frozen=True, slots=True)
class ObservedFile:
    """One regular file: its path (as named, or relative to its directory), lower-case hex digest, size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class ObservedDirectory:
    """A directory: its path as named, listing digest, bytes of all files, and the files in order of their paths."""

    path: str
    sha256: str
    size: int
    files: tuple[ObservedFile, ...]


def observe(path: StrPath) -> ObservedFile | ObservedDirectory:
    """Hash a file or every file of a directory. Raises InputError."""
    with _reading(path):
        is_directory = stat.S_ISDIR(Path(path).stat().st_mode)
    return observe_directory(path) if is_directory else observe_file(path)


def observe_file(path: StrPath, max_bytes: int | None = None) -> ObservedFile:
    """Hash one regular file of at most `max_bytes` bytes. Raises InputError."""
    digest = hashlib.sha256()
    size = _consume(path, max_bytes, digest.update)
    return ObservedFile(os.fspath(path), digest.hexdigest(), size)


def read_small(path: StrPath, max_bytes: int) -> bytes:
    """Return the bytes of a key, an envelope or a receipt of at most `max_bytes` bytes. Raises InputError."""
    content = bytearray()
    _consume(path, max_bytes, content.extend)
    return bytes(content)


def observe_directory(path: StrPath) -> ObservedDirectory:
    """Hash every file below `path`. Raises InputError, also when there is none or the directory changes meanwhile."""
    names = _listing(path)
    if not names:
        raise InputError(f"{quoted(path)} holds no file", "name a directory with the files to be observed")
    files = tuple(_observe_members(Path(path), names))
    if _listing(path) != names:
        raise _changed(path)
    listing = hashlib.sha256()
    for file in files:
        listing.update(f"{file.sha256}  {file.path}\n".encode())
    return ObservedDirectory(os.fspath(path), listing.hexdigest(), sum(file.size for file in files), files)


def match(declared: str | None, observed: str, declared_by: str, observed_by: str) -> None:
    """Demand that a typed digest, if there is one, is the observed one; the last two are option names for the sentence.

    Both digests are lower-case hex. Raises InputError.
    """
    if declared is None or declared == observed:
        return
    length = 12 if declared[:12] != observed[:12] else 64
    raise InputError(
        f"{declared_by} says {declared[:length]} but {observed_by} has {observed[:length]} (SHA-256)",
        f"leave {declared_by} out to record what was observed, or name the file that was meant",
    )


def parse_sha256(text: str, option: str) -> str:
    """Return a typed SHA-256 as 64 lower-case hex characters; a `sha256:` prefix is allowed. Raises UsageProblem."""
    digest = text.lower().removeprefix("sha256:")
    for position, character in enumerate(digest, start=1):
        if character not in _HEX:
            raise UsageProblem(
                f"{option} is not a SHA-256: {quoted(character)} at position {position} is no hexadecimal digit"
            )
    if len(digest) != hashlib.sha256().digest_size * 2:
        other = _OTHER_DIGESTS.get(len(digest))
        raise UsageProblem(
            f"{option} is not a SHA-256: it has {len(digest)} hexadecimal digits, not 64",
            other and f"that is the length of {other}; `sha256sum FILE` prints a SHA-256",
        )
    return digest


def kind_of(status: os.stat_result) -> str:
    """Return what this is, if it is no regular file, with its article."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")


def _observe_members(root: Path, names: Sequence[str]) -> Iterator[ObservedFile]:
    def observe_member(name: str) -> ObservedFile:
        file = observe_file(root / name)
        return ObservedFile(name, file.sha256, file.size)

    if len(names) == 1:
        yield observe_member(names[0])
        return
    from concurrent.futures import ThreadPoolExecutor

    # hashlib releases the GIL on large updates: two threads hash two shards of a model in the time of one.
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(observe_member, names)


def _listing(root: StrPath) -> list[str]:
    """Return the POSIX paths, relative to `root` and in code point order, of everything that is no directory."""
    files: list[str] = []
    directories = [""]
    for directory in directories:  # grows while it is walked: breadth first, no recursion
        with _reading(Path(root, directory)), os.scandir(Path(root, directory)) as entries:
            for entry in entries:
                _demand_name(root, directory, entry.name)
                kind = directories if _is_directory(entry) else files
                kind.append(directory + entry.name + ("/" if kind is directories else ""))
                if len(kind) > MAX_FILES:
                    raise InputError(f"{quoted(root)} holds more than {MAX_FILES} files or directories")
        if directory.count("/") > MAX_DEPTH:
            raise InputError(f"{quoted(root)} is nested more than {MAX_DEPTH} directories deep")
    return sorted(files)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    with _reading(entry.path):
        linked = entry.is_symlink() and entry.is_dir()
    if linked:
        raise InputError(
            f"{quoted(entry.path)} is a symbolic link to a directory",
            "links to files are followed, links to directories are not: replace it by what it leads to",
        )
    return entry.is_dir(follow_symlinks=False)


def _demand_name(root: StrPath, directory: str, name: str) -> None:
    """Refuse what a line of the listing cannot hold."""
    try:
        name.encode()
    except UnicodeEncodeError:
        problem = "is not UTF-8"
    else:
        if "\n" not in name:
            return
        problem = "has a newline in it"
    raise InputError(
        f"the file name {quoted(Path(root, directory, name))} {problem}",
        "rename it: a directory's digest is over lines of text, one a file",
    )


def _consume(path: StrPath, limit: int | None, take: Callable[[memoryview], object]) -> int:
    """Hand every byte of a regular file to `take` and return their number."""
    with _reading(path):
        # Before opening, too: opening alone makes some devices act (a watchdog arms itself, a tape rewinds).
        _demand_regular(path, (file := Path(path)).stat())
        descriptor = os.open(file, _OPEN)
        try:
            before = os.fstat(descriptor)
            _demand_regular(path, before)
            if limit is not None and before.st_size > limit:
                raise InputError(f"{quoted(path)} has {before.st_size} bytes, more than the {limit} allowed here")
            size = _drain(descriptor, before.st_size, take)
        finally:
            os.close(descriptor)
        if size != before.st_size or _fingerprint(file.stat()) != _fingerprint(before):
            raise _changed(path)
    return size


def _drain(descriptor: int, expected: int, take: Callable[[memoryview], object]) -> int:
    """Read to the end, but never further than one chunk past `expected`: files of /proc have no size and may not end.

    Our own loop, since hashlib.file_digest has no bound and spins on a descriptor that would block (CPython 3.11).
    """
    buffer = memoryview(bytearray(min(expected + 1, _CHUNK)))
    size = 0
    while size <= expected and (count := os.readv(descriptor, [buffer])):
        take(buffer[:count])
        size += count
    return size


def _fingerprint(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _demand_regular(path: StrPath, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{quoted(path)} is {kind_of(status)}", "name a regular file")


def _changed(path: StrPath) -> InputError:
    return InputError(f"{quoted(path)} changed while it was read", "wait until nothing writes to it, then run again")


@contextmanager
def _reading(path: StrPath) -> Iterator[None]:
    """Turn the system's refusals into a sentence."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError) and Path(path).is_symlink():
            raise InputError(f"{quoted(path)} is a symbolic link that leads nowhere") from error
        raise InputError(f"cannot read {quoted(path)}: {because(error)}") from error
    except ValueError as error:  # a NUL or a lone surrogate: no file can have that name
        raise InputError(f"cannot read {quoted(path)}: no file can have that name") from error
