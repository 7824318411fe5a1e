"""The projection file changes how long an answer takes, and never the answer."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import msgspec
import pytest

from ledger.reader import Reader
from projections import cache, catalog, load
from projections.cache import CacheAlteredError, CacheUnbuildableError, cached_view, check_cache, rebuild
from projections.engine import View
from projections.query import run
from projections.stamp import Stamp, digest_of, status_fields
from tests.projections import ledgers
from tests.simulator import Saboteur, SmallLedger


@pytest.fixture(autouse=True)
def short_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file from six entries on: what is tested does not depend on the number."""
    monkeypatch.setattr(cache, "TAIL", 5)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> SmallLedger:
    return ledgers.make(tmp_path_factory.mktemp("cache"))


@dataclass
class Desk:
    """An officer's desk: a ledger, the directory of projection files, and what was noted."""

    ledger: SmallLedger
    directory: Path
    notes: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.directory / f"{self.ledger.identity.ledger}.duckdb"

    @property
    def stamp_file(self) -> Path:
        return self.directory / f"{self.ledger.identity.ledger}.json"

    @property
    def stamp(self) -> Stamp:
        return msgspec.json.decode(self.stamp_file.read_bytes(), type=Stamp)

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        with Reader.open_own(self.ledger.path) as reader:
            yield reader

    def ask(self, last: int | None = None) -> tuple[str, dict[str, list[tuple[object, ...]]]]:
        """Everything that the views say, and whether the file was used for it."""
        with (
            self.reader() as reader,
            cached_view(reader, self.directory, reader.size if last is None else last, self.notes.append) as view,
        ):
            return view.source, contents(view)

    def truth(self, last: int | None = None) -> dict[str, list[tuple[object, ...]]]:
        with self.reader() as reader, View.of_prefix(reader, reader.size if last is None else last) as view:
            return contents(view)

    def restamp(self) -> None:
        """Make the stamp fit an edited file, as somebody with the operator's rights can."""
        fields = {**status_fields(self.file.lstat()), "sha256": digest_of(self.file)}
        self.stamp_file.write_bytes(msgspec.json.encode(msgspec.structs.replace(self.stamp, **fields)))

    def edit(self, sql: str) -> None:
        with duckdb.connect(str(self.file)) as connection:
            connection.execute(sql)


def contents(
    view: View, names: Iterable[str] = ("events", "audit_log", "documents")
) -> dict[str, list[tuple[object, ...]]]:
    return {name: list(run(view, f"FROM {name}")) for name in names}


@pytest.fixture
def desk(template: SmallLedger, tmp_path: Path) -> Desk:
    return Desk(template.copy_to(tmp_path / "ledger"), tmp_path / "projections")


def test_a_short_ledger_needs_no_file(desk: Desk):
    assert desk.ask(5) == ("ledger", desk.truth(5))
    assert not desk.directory.exists()
    assert desk.notes == []


def test_every_view_says_the_same_through_the_file(desk: Desk):
    with desk.reader() as reader, cached_view(reader, desk.directory, reader.size, desk.notes.append) as cached:
        with View.of_prefix(reader, reader.size) as fresh:
            assert contents(cached, catalog.VIEWS) == contents(fresh, catalog.VIEWS)
        assert cached.source == "cache"


def test_a_long_one_gets_a_file_that_only_its_owner_may_read(desk: Desk):
    assert desk.ask() == ("cache", desk.truth())
    assert sorted(path.name for path in desk.directory.iterdir()) == [
        f"{desk.ledger.identity.ledger}.{end}" for end in ("duckdb", "json", "lock")
    ]
    assert {path.stat().st_mode & 0o777 for path in desk.directory.iterdir()} == {0o600}
    assert desk.directory.stat().st_mode & 0o777 == 0o700
    assert desk.stamp.entries == ledgers.SIZE
    assert desk.notes == []


def test_a_file_is_used_again_as_it_is(desk: Desk):
    desk.ask()
    before = desk.file.stat()
    assert desk.ask() == ("cache", desk.truth())
    assert desk.file.stat() == before or desk.file.stat().st_mtime_ns == before.st_mtime_ns
    assert desk.file.stat().st_ino == before.st_ino


def test_new_entries_are_united_with_the_file_and_many_extend_it(desk: Desk):
    desk.ask()
    inode = desk.file.stat().st_ino
    ledgers.lengthen(desk.ledger, ledgers.SIZE, ledgers.SIZE + 5)
    assert desk.ask() == ("cache", desk.truth())
    assert (desk.stamp.entries, desk.file.stat().st_ino) == (ledgers.SIZE, inode)
    ledgers.lengthen(desk.ledger, ledgers.SIZE + 5, ledgers.SIZE + 6)
    assert desk.ask() == ("cache", desk.truth())
    assert desk.stamp.entries == ledgers.SIZE + 6
    assert desk.file.stat().st_ino != inode
    with desk.reader() as reader:
        check_cache(reader, desk.directory)
    assert desk.notes == []


@pytest.mark.parametrize("last", range(0, ledgers.SIZE + 2, 3))
def test_as_of_a_position_the_answer_is_that_of_the_prefix(desk: Desk, last: int):
    desk.ask()
    assert desk.ask(last) == ("cache", desk.truth(last))
    assert desk.stamp.entries == ledgers.SIZE


def test_a_file_reaches_as_far_as_was_asked_and_no_further(desk: Desk):
    desk.ask(8)
    assert desk.stamp.entries == 8
    assert desk.ask() == ("cache", desk.truth())


def test_the_ledger_may_grow_while_a_view_is_open(desk: Desk):
    with desk.reader() as reader, cached_view(reader, desk.directory, reader.size, desk.notes.append) as view:
        before = contents(view)
        ledgers.lengthen(desk.ledger, ledgers.SIZE, ledgers.SIZE + 9)
        desk.ask()
        assert desk.stamp.entries == ledgers.SIZE + 9
        assert contents(view) == before


# Each way a file can be bad: what is done to it, and a word of the note. The answer is always the ledger's.


def deleted(desk: Desk) -> None:
    desk.file.unlink()


def without_stamp(desk: Desk) -> None:
    desk.stamp_file.unlink()


def torn(desk: Desk) -> None:
    os.truncate(desk.file, desk.file.stat().st_size // 2)


def emptied(desk: Desk) -> None:
    os.truncate(desk.file, 0)


def one_byte(desk: Desk) -> None:
    """One byte, and its time set back."""
    status = desk.file.stat()
    raw = bytearray(desk.file.read_bytes())
    raw[len(raw) // 2] ^= 1
    desk.file.write_bytes(raw)
    os.utime(desk.file, ns=(status.st_atime_ns, status.st_mtime_ns))


def edited(desk: Desk) -> None:
    desk.edit("UPDATE entries SET author = 'somebody else'")


def torn_stamp(desk: Desk) -> None:
    desk.stamp_file.write_bytes(desk.stamp_file.read_bytes()[:40])


def stamp_of_a_newer_format(desk: Desk) -> None:
    desk.stamp_file.write_text(json.dumps({**json.loads(desk.stamp_file.read_bytes()), "format": "soup-projection/2"}))


def stamp_of_other_views(desk: Desk) -> None:
    desk.stamp_file.write_bytes(msgspec.json.encode(msgspec.structs.replace(desk.stamp, schema=ledgers.sha(1))))


def stamp_of_another_duckdb(desk: Desk) -> None:
    desk.stamp_file.write_bytes(msgspec.json.encode(msgspec.structs.replace(desk.stamp, duckdb="1.5.5")))


def stamp_of_another_head(desk: Desk) -> None:
    desk.stamp_file.write_bytes(msgspec.json.encode(msgspec.structs.replace(desk.stamp, hash=ledgers.sha(1))))


def stamp_beyond_the_head(desk: Desk) -> None:
    desk.stamp_file.write_bytes(msgspec.json.encode(msgspec.structs.replace(desk.stamp, entries=ledgers.SIZE + 1)))


def of_another_ledger(desk: Desk) -> None:
    other = Desk(ledgers.make(desk.directory.parent / "other"), desk.directory)
    other.ask()
    other.file.replace(desk.file)
    other.stamp_file.replace(desk.stamp_file)


def of_another_ledger_with_our_name_in_its_stamp(desk: Desk) -> None:
    of_another_ledger(desk)
    desk.stamp_file.write_bytes(
        msgspec.json.encode(msgspec.structs.replace(desk.stamp, ledger=desk.ledger.identity.ledger))
    )


def a_symbolic_link(desk: Desk) -> None:
    kept = desk.directory.parent / "kept.duckdb"
    desk.file.replace(kept)
    desk.file.symlink_to(kept)


def a_dangling_link(desk: Desk) -> None:
    desk.file.unlink()
    desk.file.symlink_to(desk.directory.parent / "nowhere")


def a_fifo_for_a_stamp(desk: Desk) -> None:
    desk.stamp_file.unlink()
    os.mkfifo(desk.stamp_file)


def a_log_beside_it(desk: Desk) -> None:
    """What DuckDB would replay over the file: made by a writer that was killed."""
    program = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]); c.execute(\"SET checkpoint_threshold = '1GB'\"); "
        "c.execute(\"UPDATE entries SET author = 'x'\"); os._exit(0)"
    )
    kept, status = desk.file.read_bytes(), desk.file.stat()
    subprocess.run([sys.executable, "-c", program, str(desk.file)], check=True)
    desk.file.write_bytes(kept)
    os.utime(desk.file, ns=(status.st_atime_ns, status.st_mtime_ns))
    desk.restamp()
    assert desk.file.with_name(f"{desk.file.name}.wal").exists()


FAULTS: dict[Callable[[Desk], None], str] = {
    deleted: "",
    without_stamp: "no stamp",
    torn: "changed by somebody else",
    emptied: "changed by somebody else",
    one_byte: "changed by somebody else",
    edited: "changed by somebody else",
    torn_stamp: "no stamp",
    stamp_of_a_newer_format: "no stamp",
    stamp_of_other_views: "another version of soup",
    stamp_of_another_duckdb: "another version of soup",
    stamp_of_another_head: "does not confirm",
    stamp_beyond_the_head: "does not confirm",
    of_another_ledger: "another ledger",
    of_another_ledger_with_our_name_in_its_stamp: "does not confirm",
    a_symbolic_link: "no regular file",
    a_dangling_link: "no regular file",
    a_fifo_for_a_stamp: "no stamp",
    a_log_beside_it: "left its log",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_bad_file_is_noted_and_built_again(desk: Desk, fault: Callable[[Desk], None]):
    desk.ask()
    fault(desk)
    with desk.reader() as reader:
        if fault is not deleted:
            with pytest.raises(CacheAlteredError):
                check_cache(reader, desk.directory)
    assert desk.ask() == ("cache", desk.truth())
    assert [note for note in desk.notes if FAULTS[fault] not in note or "\n" in note] == []
    assert len(desk.notes) == (fault is not deleted)
    desk.notes.clear()
    assert desk.ask() == ("cache", desk.truth())
    assert desk.notes == []
    assert desk.file.is_file()
    assert not desk.file.is_symlink()
    with desk.reader() as reader:
        check_cache(reader, desk.directory)


def test_nothing_is_written_through_a_symbolic_link(desk: Desk):
    desk.ask()
    a_symbolic_link(desk)
    kept = desk.directory.parent / "kept.duckdb"
    before = kept.read_bytes()
    desk.ask()
    assert kept.read_bytes() == before


@pytest.mark.parametrize("target", ["lock", "directory"])
def test_a_symbolic_link_in_the_way_is_not_followed(desk: Desk, target: str):
    elsewhere = desk.directory.parent / "elsewhere"
    if target == "directory":
        elsewhere.mkdir()
        desk.directory.symlink_to(elsewhere)
    else:
        desk.directory.mkdir()
        desk.file.with_suffix(".lock").symlink_to(elsewhere)
    assert desk.ask() == ("ledger", desk.truth())
    assert len(desk.notes) == 1
    assert not elsewhere.exists() or list(elsewhere.iterdir()) == []


def test_a_shorter_ledger_in_place_of_a_longer_one_is_noticed(desk: Desk):
    desk.ask()
    Saboteur(desk.ledger).truncate(16)
    assert desk.ask() == ("cache", desk.truth())
    assert "does not confirm" in desk.notes[0]


def test_a_restored_backup_of_the_file_is_used_after_its_digest(desk: Desk):
    desk.ask()
    shutil.copy(desk.file, desk.directory / "backup")
    (desk.directory / "backup").replace(desk.file)
    inode = desk.file.stat().st_ino
    assert desk.stamp.inode != inode
    assert desk.ask() == ("cache", desk.truth())
    assert desk.stamp.inode == desk.file.stat().st_ino == inode
    assert desk.notes == []


def test_a_changed_file_is_never_extended(desk: Desk):
    desk.ask()
    edited(desk)
    fields = status_fields(desk.file.lstat())
    desk.stamp_file.write_bytes(
        msgspec.json.encode(msgspec.structs.replace(desk.stamp, **fields))
    )  # only its digest is missing
    ledgers.lengthen(desk.ledger, ledgers.SIZE, ledgers.SIZE + 9)
    assert desk.ask() == ("cache", desk.truth())
    assert "changed by somebody else" in desk.notes[0]


@pytest.mark.parametrize(
    ("sql", "position"),
    [
        ("UPDATE entries SET author = 'x' WHERE position = 7", 7),
        ("UPDATE entries SET payload = replace(payload, 'llama', 'other') WHERE position = 7", 7),
        ("UPDATE entries SET time_us = time_us + 1 WHERE position = 20", 20),
        ("DELETE FROM entries WHERE position = 5", 5),
        ("DELETE FROM entries WHERE position = 20", 20),
        ("INSERT INTO entries SELECT * REPLACE (21 AS position) FROM entries WHERE position = 20", 21),
        ("UPDATE entries SET payload = NULL WHERE position = 1", 1),
    ],
)
def test_a_file_edited_together_with_its_stamp_is_found_by_the_check_and_seen_by_no_one_who_must_be_believed(
    desk: Desk, sql: str, position: int
):
    truth = desk.truth()
    desk.ask()
    desk.edit(sql)
    desk.restamp()
    assert desk.ask()[0] == "cache"
    with desk.reader() as reader, pytest.raises(CacheAlteredError) as found:
        check_cache(reader, desk.directory)
    assert found.value.position == position
    assert str(position) in str(found.value)
    assert desk.truth() == truth


def test_a_check_is_silent_where_there_is_nothing_or_nothing_wrong(desk: Desk):
    with desk.reader() as reader:
        check_cache(reader, desk.directory)
        rebuild(reader, desk.directory)
        check_cache(reader, desk.directory)


def test_a_file_that_is_no_database_is_noted_even_with_a_fitting_stamp(desk: Desk):
    desk.ask()
    desk.file.write_bytes(b"no database" * 1000)
    desk.restamp()
    with desk.reader() as reader, pytest.raises(CacheAlteredError, match="cannot be read"):
        check_cache(reader, desk.directory)
    assert desk.ask() == ("ledger", desk.truth())
    assert len(desk.notes) == 1
    assert desk.ask() == ("cache", desk.truth())


def test_a_file_that_another_process_writes_to_is_left_alone(desk: Desk):
    desk.ask()
    program = f"import duckdb, sys; c = duckdb.connect({str(desk.file)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        assert desk.ask() == ("ledger", desk.truth())
        other.communicate("")
    assert len(desk.notes) == 1
    assert "lock" in desk.notes[0]
    assert desk.file.exists()


def test_a_file_that_others_read_is_read(desk: Desk):
    desk.ask()
    with duckdb.connect(str(desk.file), read_only=True):
        program = (
            "import sys; sys.path[:0] = ['.']\n"
            "from pathlib import Path; from ledger.reader import Reader; from projections.cache import cached_view\n"
            "with Reader.open_own(Path(sys.argv[1])) as r, cached_view(r, Path(sys.argv[2]), r.size, print) as v: print(v.source)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(desk.ledger.path), str(desk.directory)],
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout == "cache\n"


def test_while_another_process_builds_nobody_waits(desk: Desk):
    desk.directory.mkdir(mode=0o700)
    with desk.file.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert desk.ask() == ("ledger", desk.truth())
        with desk.reader() as reader, pytest.raises(CacheUnbuildableError, match="another process"):
            rebuild(reader, desk.directory)
    assert not desk.file.exists()
    assert desk.ask() == ("cache", desk.truth())


def test_what_a_killed_build_left_is_swept(desk: Desk):
    desk.directory.mkdir(mode=0o700)
    left = desk.directory / ".build-left"
    left.mkdir()
    (left / "entries.duckdb").write_bytes(b"half")
    desk.ask()
    assert not left.exists()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), duckdb.IOException("IO Error: disk full\n\nmore")]
)
def test_a_full_disk_costs_time_and_no_answer(desk: Desk, error: Exception, monkeypatch: pytest.MonkeyPatch):
    desk.ask()
    stamp = desk.stamp
    ledgers.lengthen(desk.ledger, ledgers.SIZE, ledgers.SIZE + 9)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(load, "fill", fail)
    assert desk.ask() == ("ledger", desk.truth())
    assert len(desk.notes) == 1
    assert "\n" not in desk.notes[0]
    assert desk.stamp == stamp
    assert not list(desk.directory.glob(".build-*"))


def test_a_rebuilt_file_says_what_the_old_one_said(desk: Desk):
    desk.ask()
    edited(desk)
    with desk.reader() as reader:
        rebuild(reader, desk.directory)
        check_cache(reader, desk.directory)
    assert desk.ask() == ("cache", desk.truth())
    assert desk.notes == []
