"""One document on its way: complete and durable under a temporary name, then under its own, or gone without a trace.

Invariants:

* Everything happens in one directory, held open, and by names in it: nothing is looked up along a path again.
* A staged file's bytes are durable before it exists for anyone else, and it is locked as long as its process lives.
* `claim`, `put`, `settle` lead forward in this order; before or after each of them `restore` leads back, and finds
  out by itself how far it had come: it compares files, it trusts no flag that an interrupt could have left unset.
* The earlier document keeps a second name during the change, so that the way back is one rename, too.

Deliberately unknown here: the other documents of the publication. Methods raise OSError as the system does, and
OutputError where what stands under the name is not what was checked.
"""

import fcntl
import hashlib
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from commands.errors import OutputError, because, quoted
from commands.target import Target, standing

READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 18


@dataclass(slots=True)
class Staged:
    """One document on its way; `sha256` and `size` (bytes) are of what was written."""

    target: Target
    sha256: str
    size: int
    _directory: int = field(repr=False)
    _descriptor: int = field(repr=False)  # of the staged file: its lock says that this process lives
    _token: str = field(repr=False)
    _earlier: int | None = field(default=None, repr=False)

    def stands_in(self, directory: int, name: str) -> bool:
        """Say whether this document is to have that name in that directory."""
        return self.target.path.name == name and os.path.sameopenfile(self._directory, directory)

    def _path(self, kind: str) -> str:
        return temporary_name(self.target.path.name, kind, self._token)

    def _demand_unchanged(self) -> None:
        if standing(self._directory, self.target.path) != self.target.existing:
            raise _overtaken(self.target.path)

    def claim(self) -> None:
        """Lock the earlier document and keep it under a second name."""
        if self.target.existing is not None:
            self._earlier = os.open(self.target.path.name, READ, dir_fd=self._directory)
            if not _lock(self._earlier):
                raise _overtaken(self.target.path)
            self._keep(self._earlier)
        self._demand_unchanged()

    def _keep(self, earlier: int) -> None:
        with suppress(OSError):
            _link(self._directory, self.target.path.name, self._path("old"))
            return
        # No hard links here (FAT), or none to another user's file (fs.protected_hardlinks): keep a copy.
        copy = os.open(self._path("old"), _CREATE, 0o600, dir_fd=self._directory)
        try:
            _write(copy, iter(lambda: os.read(earlier, _CHUNK), b""))
            os.fchmod(copy, stat.S_IMODE(os.fstat(earlier).st_mode))
        finally:
            os.close(copy)

    def put(self) -> None:
        """Let the name lead to the new document."""
        self._demand_unchanged()
        new, name = self._path("new"), self.target.path.name
        if self.target.existing is None:
            try:
                _link(self._directory, new, name)
            except FileExistsError as error:
                raise _overtaken(self.target.path) from error
            except OSError:  # no hard links here (FAT): replace below, though it would not refuse a newcomer
                pass
            else:
                return
        _replace(self._directory, new, name)

    def settle(self) -> None:
        """Make the name durable."""
        os.fsync(self._directory)

    def restore(self) -> None:
        """Let the name lead to what it led to before `put`; someone else's newer document stays."""
        name = self.target.path.name
        try:
            now = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not os.path.samestat(now, os.fstat(self._descriptor)):
            return
        if self.target.existing is None:
            os.unlink(name, dir_fd=self._directory)
        else:
            _replace(self._directory, self._path("old"), name)
        with suppress(OSError):
            self.settle()

    def stuck(self, error: OSError) -> str:
        """Say what stands under the name after a `restore` that failed."""
        if self.target.existing is None:
            return f"{quoted(self.target.path)} is new and could not be removed: {because(error)}"
        kept = self.target.path.with_name(self._path("old"))
        return f"{quoted(self.target.path)} is new, its earlier content is kept as {quoted(kept)}: {because(error)}"

    def release(self, *kinds: str) -> None:
        """Remove the temporaries of these kinds and let go of everything; a second time does nothing."""
        if self._directory < 0:
            return
        for kind in kinds:
            with suppress(OSError):  # usually gone already; what cannot be removed is a leftover, and recognised
                os.unlink(self._path(kind), dir_fd=self._directory)
        for descriptor in (self._earlier, self._descriptor, self._directory):
            if descriptor is not None:
                os.close(descriptor)
        self._directory = -1


def stage(directory: int, target: Target, chunks: Iterable[bytes], mode: int) -> Staged:
    """Write the document into the opened directory under a temporary name, locked; nothing is left on failure."""
    token = os.urandom(8).hex()
    temporary = temporary_name(target.path.name, "new", token)
    descriptor = os.open(temporary, _CREATE, mode, dir_fd=directory)
    try:
        _lock(descriptor)
        sha256, size = _write(descriptor, chunks)
        return Staged(target, sha256, size, os.dup(directory), descriptor, token)
    except BaseException:
        os.close(descriptor)
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise


def _write(descriptor: int, chunks: Iterable[bytes]) -> tuple[str, int]:
    """Write all of it, durably; return its SHA-256 and size."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)
    return digest.hexdigest(), size


def temporary_name(name: str, kind: str, token: str) -> str:
    """Return what a temporary of the document `name` is called: `kind` is new or old, `token` 16 hex digits."""
    return f".{name}.soup-{kind}-{token}"


def _lock(descriptor: int) -> bool:
    """Say whether nobody else holds this file, which is ours now; without locks nobody can."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # EBADF: NFS locks for writing only what is open for writing; ENOLCK, EOPNOTSUPP: none at all
        return True
    return True


def _link(directory: int, source: str, name: str) -> None:
    os.link(source, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)


def _replace(directory: int, source: str, name: str) -> None:
    os.replace(source, name, src_dir_fd=directory, dst_dir_fd=directory)


def _overtaken(path: Path) -> OutputError:
    return OutputError(f"{quoted(path)} was changed by another process meanwhile", "look at it, then run again")
