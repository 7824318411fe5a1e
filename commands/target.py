"""Where an output may go: the checks before a name is written to.

Invariants:

* The last component is never a symbolic link, a directory, a pipe or a device: what will be replaced is a regular file.
* A path that was typed relative, or that lies in the working tree, does not leave the working tree through a symbolic
  link. An absolute path elsewhere may pass through links: it says itself that it leads elsewhere (`/tmp` is one on
  some systems). So does `../`, as long as no link has a part in it.
* A directory is entered step by step along the path that was checked, without following a link (openat(2), O_NOFOLLOW),
  and used through its descriptor: nobody can swap one for a link between check and use.
* Missing directories are made, durably (fsync of the parent), with the permissions that the umask leaves; they stay,
  also after a failure: an empty directory claims nothing.
* A file that is no earlier document of ours is replaced only on demand (`--force`).

Deliberately unknown here: how bytes get there.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from commands.errors import OutputError, because, quoted
from commands.observe import StrPath, kind_of, observe_file

_ENTER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # O_PATH: passing through needs no right to list
_HOLD = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_ELSEWHERE = "choose a place that you may write to"
_HINTS = {
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EROFS: _ELSEWHERE,
    errno.ENOSPC: "free some space or choose another place, then run again",
    errno.EDQUOT: "free some of your quota or choose another place, then run again",
    errno.EFBIG: "raise the limit on file sizes (`ulimit -f`), then run again",
    errno.ENAMETOOLONG: "choose a shorter name: a temporary one, 26 bytes longer, stands beside it for a moment",
}


class Identity(NamedTuple):
    """Which file stood under a name, and in which state (`modified` in nanoseconds)."""

    device: int
    inode: int
    size: int
    modified: int


@dataclass(frozen=True, slots=True)
class Target:
    """A name fit to be published to, and the file that stood there when it was checked, if any."""

    path: Path
    existing: Identity | None


def aim(path: StrPath) -> Target:
    """Check where a document is to go; nothing is made and nothing written. Raises OutputError."""
    text = os.fspath(path)
    if text.rpartition(os.sep)[2] in {"", os.curdir, os.pardir}:
        raise OutputError(f"{quoted(text)} names a directory, not a file", "name the file to be written")
    if "\0" in text:
        raise OutputError(f"no file can have the name {quoted(text)}")
    target = Path(text)
    with reporting(target):
        try:
            with opened_directory(target) as directory:
                return Target(target, standing(directory, target))
        except FileNotFoundError:
            return Target(target, None)


def check_overwrite(target: Target, is_ours: Callable[[str], bool], *, force: bool) -> None:
    """Refuse to replace a file unless `is_ours` knows its SHA-256 or the user insists.

    Raises OutputError; InputError where the standing file cannot be read.
    """
    if target.existing and not force and not is_ours(observe_file(target.path).sha256):
        raise OutputError(
            f"{quoted(target.path)} exists and is no earlier document of this ledger",
            "choose another name, or replace it with --force",
        )


def standing(directory: int, path: Path) -> Identity | None:
    """Return which regular file stands under the path's last component; refuse anything else that does."""
    try:
        status = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise OutputError(f"{quoted(path)} is {kind_of(status)}", "name a regular file, or one that does not exist yet")
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@contextmanager
def opened_directory(path: Path, *, make: bool = False) -> Iterator[int]:
    """Hold the directory that `path` lies in, made where it is missing if `make`; its descriptor can be synced."""
    passage = _passage(path, make=make)
    try:
        directory = os.open(os.curdir, _HOLD, dir_fd=passage)
    finally:
        os.close(passage)
    try:
        yield directory
    finally:
        os.close(directory)


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn the system's refusals into a sentence."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {quoted(path)}: {because(error)}", _HINTS.get(error.errno or 0)) from error


def _passage(path: Path, *, make: bool) -> int:
    """Walk to the directory that `path` lies in and return a descriptor that is good for walking on only."""
    start, steps = _way(path)
    directory = os.open(start, _ENTER)
    for step in steps:
        before, directory = directory, -1
        try:
            directory = _enter(before, step, make=make)
        finally:
            os.close(before)
    return directory


def _way(path: Path) -> tuple[str, tuple[str, ...]]:
    """Return a start, and the real directories from there on, refusing a link out of the working tree."""
    here = Path.cwd()
    literal = Path(os.path.abspath(path.parent))  # noqa: PTH100 -- Path.resolve follows links, the comparison's point
    real = Path(os.path.realpath(path.parent))  # Path.resolve raises RuntimeError on a loop (Python 3.11 and 3.12)
    inside = real.is_relative_to(here)
    led_astray = real != literal and not inside
    if led_astray and (literal.is_relative_to(here) or not path.is_absolute()):
        raise OutputError(
            f"{quoted(path)} leads out of the working tree through a symbolic link, to {quoted(real)}",
            "name the place itself, as an absolute path, if it is meant",
        )
    # From the working directory where possible: it may lie below directories that this user cannot pass.
    return (os.curdir, real.relative_to(here).parts) if inside else (os.sep, real.parts[1:])


def _enter(directory: int, step: str, *, make: bool) -> int:
    try:
        return os.open(step, _ENTER, dir_fd=directory)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # another process was faster
        os.mkdir(step, dir_fd=directory)
    parent = os.open(os.curdir, _HOLD, dir_fd=directory)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
    return os.open(step, _ENTER, dir_fd=directory)
