"""The projection file: entries that were loaded before, so that an officer's query need not load them again.

What is true here:

- It is a cache and nothing else. Deleted, stale, of another ledger, torn, edited or locked: the answer is the same, a note
  says why it took longer. Receipts, `--check` and documents never look at it.
- Beside `<ledger id>.duckdb` lies `<ledger id>.json`, its stamp (`stamp`). A file that its stamp does not describe, or that
  stands on a head which the ledger does not confirm, is thrown away and built again.
- It is never changed in place: a copy is extended and `os.replace`d, so readers keep what they opened. One process extends at
  a time; the others do without. Files have mode 0600; nothing is read or written through a symbolic link.

What it cannot see: somebody with the operator's rights who edits file and stamp together. `check_cache` can.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path

from ledger.reader import Reader
from projections import catalog, load
from projections.engine import View, attach, connect, genesis
from projections.errors import ProjectionError
from projections.stamp import (
    Place,
    Stamp,
    UnusableError,
    digest_of,
    discard,
    hash_at,
    status_fields,
    usable,
    write_stamp,
)

TAIL = 5_000
"""Entries that are quicker loaded (0.1 s) than kept; below it there is no file."""

Note = Callable[[str], None]


class CacheUnbuildableError(ProjectionError):
    """The projection file cannot be built; queries do without."""

    def __init__(self, path: Path, reason: str) -> None:
        """Say why the file at `path` was not built."""
        super().__init__(f"the projection file {path} was not built: {reason}")


class CacheAlteredError(ProjectionError):
    """The projection file says something else than the ledger."""

    def __init__(self, path: Path, finding: str, position: int | None = None) -> None:
        """Say `finding` about the file; `position` is the first entry that differs, where one does."""
        self.position = position
        super().__init__(f"the projection file {path} {finding}; delete it, the next query rebuilds it")


def cached_view(reader: Reader, directory: Path, last: int, note: Note, *, exports: Path | None = None) -> View:
    """Show all entries up to position `last`, through the projection file in `directory` where it helps.

    `note` takes a line for the user where the file was not used or is being built. Raises AlteredError at an entry that
    does not hold; never fails because of the file.
    """
    import duckdb

    last = min(last, reader.size)
    place = Place(directory, genesis(reader).ledger)
    stamp = None
    try:
        stamp = _current(reader, place, last, note)
        if stamp is not None:
            return _united(reader, place, stamp, last, exports)
    except (OSError, duckdb.Error) as error:
        reason = _line(error)
        note(f"the projection file is not used ({reason}); reading the ledger instead")
        if stamp is not None and "lock" not in reason:
            discard(place)
    return View.of_prefix(reader, last, exports=exports)


def check_cache(reader: Reader, directory: Path) -> None:
    """Compare every row of the projection file with the ledger. No file is fine: it will be built from the ledger.

    Raises CacheAlteredError naming the first position that differs, AlteredError where the ledger itself does not hold.
    """
    import duckdb

    place = Place(directory, genesis(reader).ledger)
    try:
        stamp = usable(reader, place)
        if stamp is not None:
            _compare(reader, place, stamp)
    except UnusableError as error:
        raise CacheAlteredError(place.file, str(error)) from None
    except (OSError, duckdb.Error) as error:
        raise CacheAlteredError(place.file, f"cannot be read ({_line(error)})") from None


def rebuild(reader: Reader, directory: Path) -> None:
    """Build the projection file from nothing, up to the ledger's head. Raises CacheUnbuildableError."""
    import duckdb

    place = Place(directory, genesis(reader).ledger)
    try:
        _demand_directory(directory)
        with _locked(place.lock) as mine:
            if not mine:
                raise CacheUnbuildableError(place.file, "another process is building it")
            discard(place)
            _extend(reader, place, None, reader.size, lambda _: None)
    except (OSError, duckdb.Error) as error:
        raise CacheUnbuildableError(place.file, _line(error)) from None


def _current(reader: Reader, place: Place, last: int, note: Note) -> Stamp | None:
    """Give the stamp of a file fit for `last`: the one that is there, or a longer one where the tail has grown long."""
    try:
        stamp, faulty = usable(reader, place), False
    except UnusableError:
        stamp, faulty = None, True  # or between another process's two replacements: looked at again under the lock
    if not faulty and _fits(stamp, last):
        return stamp
    _demand_directory(place.directory)
    with _locked(place.lock) as mine:
        if not mine:
            return stamp
        try:
            stamp = usable(reader, place)
        except UnusableError as error:
            note(f"the projection file {error}; it is built again from the ledger")
            discard(place)
            stamp = None
        return stamp if _fits(stamp, last) else _extend(reader, place, stamp, last, note)


def _line(error: Exception) -> str:
    return str(error).split("\n", maxsplit=1)[0] or type(error).__name__


def _fits(stamp: Stamp | None, last: int) -> bool:
    covered = stamp.entries if stamp else 0
    return last - covered <= max(TAIL, covered // 10)


def _united(reader: Reader, place: Place, stamp: Stamp, last: int, exports: Path | None) -> View:
    with ExitStack() as stack:
        connection = stack.enter_context(connect())
        attach(connection, place.file)
        covered = min(stamp.entries, last)
        connection.execute("CREATE TABLE tail AS FROM built.entries LIMIT 0")
        load.append(connection, reader.records(covered + 1, last), "tail")
        connection.execute(
            f"CREATE VIEW entries AS FROM built.entries WHERE position <= {covered:d} UNION ALL FROM tail"
        )
        return View(connection, stack.pop_all(), last=last, source="cache", exports=exports)


def _extend(reader: Reader, place: Place, stamp: Stamp | None, last: int, note: Note) -> Stamp:
    """Build the file up to `last` on a copy of what is there, and put it in place. The caller holds the lock."""
    for left in place.directory.glob(".build-*"):  # by processes that were killed
        shutil.rmtree(left, ignore_errors=True)
    covered = stamp.entries if stamp else 0
    if last - covered >= load.SPAN:
        note(f"loading {last - covered} entries into the projection file; the next query is quick")
    with tempfile.TemporaryDirectory(prefix=".build-", dir=place.directory) as scratch:
        built = Path(scratch) / "entries.duckdb"
        if stamp is not None:
            shutil.copyfile(place.file, built)
            if digest_of(built) != stamp.sha256:
                note("the projection file was changed by somebody else; rebuilding it from the ledger")
                built.unlink()
                covered = 0
        load.fill(built, reader, load.Span(covered + 1, last))
        built.chmod(0o600)
        _sync(built)
        digest = digest_of(built)
        built.replace(place.file)
    made = Stamp(
        format="soup-projection/1",
        ledger=place.ledger,
        entries=last,
        hash=hash_at(reader, last),
        schema=catalog.digest(),
        duckdb=version("duckdb"),
        sha256=digest,
        **status_fields(place.file.lstat()),
    )
    return write_stamp(place, made)


def _compare(reader: Reader, place: Place, stamp: Stamp) -> None:
    with connect(threads=1) as connection:
        attach(connection, place.file)
        result = connection.execute("FROM built.entries")
        rows = (row for batch in iter(lambda: result.fetchmany(load.BATCH), []) for row in batch)
        truth = map(load.row, reader.records(1, stamp.entries))
        for position, (row, true) in enumerate(zip_longest(rows, truth), 1):
            if row != true:
                raise CacheAlteredError(place.file, f"differs from the ledger at entry {position}", position)


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Tell whether this process may extend; never wait."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _demand_directory(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise NotADirectoryError(f"{directory} is no directory of this user")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
