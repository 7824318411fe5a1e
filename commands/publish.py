"""Atomic outputs: a document stands under its name whole, or what stood there before still does.

Invariants, on Linux file systems:

* Whoever opens a name sees the old bytes or the new bytes, never a part of either, whenever this process dies. Bytes
  are durable (fsync) before the name leads to them, and the name is durable before `commit` returns.
* Several documents are one publication: after a reported failure each name leads to what it led to before, and no
  temporary file is left. Only a kill between two renames can leave new beside old: nothing can rename two files at
  once. The ledger then says *rendered, not published*, and publishing again completes it.
* What stood under a name when `commands.target` checked it must still stand there at the rename. Two processes that
  publish to one name exclude each other by a lock on the earlier file, or by link(2), which never replaces, where
  there was none; the second is refused. (Where the file system knows no locks, the comparison is all there is.)
* Temporaries are called `.<name>.soup-new-<16 hex>` (staged) and `.<name>.soup-old-<16 hex>` (the earlier document,
  during a commit). A staged file is locked as long as its process lives, so those of a killed one are recognised.

Deliberately unknown here: what a document says, and the ledger. The caller records between `stage` and `commit`.
"""

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from commands.errors import OutputError, quoted
from commands.observe import StrPath
from commands.staged import READ, Staged, stage, temporary_name
from commands.target import Target, aim, check_overwrite, opened_directory, reporting

__all__ = [
    "Publication",
    "Staged",
    "Target",
    "aim",
    "check_overwrite",
    "clear_leftovers",
    "find_leftovers",
    "write_plain",
]

_TOKEN = re.compile(r"\.soup-(new|old)-([0-9a-f]{16})\Z")


class Publication:
    """Documents that appear together: `stage` each, record the event that explains them, then `commit`.

    A context manager: leaving it without `commit` removes what was staged.
    """

    def __init__(self) -> None:
        self._staged: list[Staged] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.abort()

    def stage(self, target: Target, data: bytes | Iterable[bytes], mode: int = 0o666) -> Staged:
        """Write a document, durably, beside its target; permissions are `mode` less the umask. Raises OutputError."""
        chunks = (data,) if isinstance(data, bytes) else data
        with reporting(target.path), opened_directory(target.path, make=True) as directory:
            if any(staged.stands_in(directory, target.path.name) for staged in self._staged):
                raise OutputError(f"{quoted(target.path)} is named for two documents", "give each a name of its own")
            self._staged.append(stage(directory, target, chunks, mode))
        return self._staged[-1]

    def commit(self) -> None:
        """Publish all that was staged, or nothing. Raises OutputError.

        In the order of durability. 1 is behind us: each document's bytes, and (the caller's part) the event.
        """
        steps = (
            Staged.claim,  # 2. what stood there has a second name: from here on every step can be taken back
            Staged.put,  # 3. no return for onlookers, name by name: they see the new document
            Staged.settle,  # 4. no return at all, after the last: the names outlive a power cut
        )
        try:
            for step in steps:
                for staged in self._staged:
                    with reporting(staged.target.path):
                        step(staged)
        except BaseException:
            self._roll_back()
            raise
        for staged in self._staged:  # 5. tidying up: its failure is no failure of the publication
            staged.release("new", "old")
        self._staged.clear()

    def abort(self) -> None:
        """Remove what was staged and is not published; what stood under the names stays untouched."""
        while self._staged:
            self._staged.pop().release("new", "old")

    def _roll_back(self) -> None:
        stuck: list[str] = []
        while self._staged:
            staged = self._staged.pop()
            try:
                staged.restore()
            except OSError as error:
                stuck.append(staged.stuck(error))
                staged.release("new")  # not "old": it is the only name that the earlier document has left
            else:
                staged.release("new", "old")
        if stuck:
            raise OutputError(f"published in part: {'; '.join(stuck)}", "put it right by hand, then run again")


def write_plain(path: StrPath, data: bytes, *, force: bool = False) -> Staged:
    """Publish one file that the ledger does not track (a key, a checkpoint, a receipt, an export).

    Replacing a file takes `force`, unless it holds these very bytes. Raises OutputError, InputError.
    """
    target = aim(path)
    check_overwrite(target, lambda standing: standing == hashlib.sha256(data).hexdigest(), force=force)
    with Publication() as publication:
        staged = publication.stage(target, data)
        publication.commit()
    return staged


def find_leftovers(path: StrPath) -> tuple[Path, ...]:
    """Return the temporaries that killed processes left beside `path`; none while a living one may be publishing.

    Raises OutputError.
    """
    with reporting(target := Path(path)):
        try:
            with opened_directory(target) as directory:
                return tuple(target.with_name(name) for name in _leftovers(directory, target.name))
        except FileNotFoundError:
            return ()


def clear_leftovers(path: StrPath) -> tuple[Path, ...]:
    """Remove what `find_leftovers` finds, and return it. Raises OutputError."""
    leftovers = find_leftovers(path)
    if leftovers:
        with reporting(target := Path(path)), opened_directory(target) as directory:
            for leftover in leftovers:
                with suppress(FileNotFoundError):  # another process tidied up as well
                    os.unlink(leftover.name, dir_fd=directory)
    return leftovers


def _leftovers(directory: int, name: str) -> list[str]:
    present = os.listdir(directory)
    left = sorted(
        file for file in present if (token := _TOKEN.search(file)) and file == temporary_name(name, *token.groups())
    )
    # After its rename a living process's staged file, and with it the lock, is found under the document's own name.
    at_work = [name] if name in present else []
    return [] if any(_in_use(directory, file) for file in (*left, *at_work)) else left


def _in_use(directory: int, name: str) -> bool:
    """Say whether a process holds this file; in doubt, one does."""
    try:
        if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            return True
        descriptor = os.open(name, READ, dir_fd=directory)
    except OSError:  # renamed a moment ago, or not ours to open
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # held, or no locks on this file system
        return True
    finally:
        os.close(descriptor)
    return False
