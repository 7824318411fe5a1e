"""Laws of the single door: a ledger is founded whole, grows only from a head that is its own, or stays as it is."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import heads
from ledger.errors import LedgerError, MalformedError, NotCanonicalError, UnwritableError
from ledger.events import Event
from ledger.events.key import KeyRegistered
from ledger.events.ledger import LedgerCreated
from ledger.mapper import LedgerMapper
from ledger.reader import Reader
from ledger.writer import open_or_found
from tests.processes import become_nobody, call
from tests.simulator import (
    COMMAND_A,
    FIRST_TICK,
    SIZE,
    Saboteur,
    SmallLedger,
    declared,
    finished,
    found,
    make,
    signer,
    started,
    ticking,
)
from tests.strategies import events_of

RUN = "run/new"


def content(ledger: SmallLedger) -> list[tuple[object, ...]]:
    """Every row of every table."""
    connection = sqlite3.connect(ledger.path)
    try:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return [(name, *row) for name in names for row in connection.execute(f"SELECT * FROM {name}")]
    finally:
        connection.close()


def append_one(ledger: SmallLedger) -> int:
    """Open, append an event, close; give the size that results."""
    writer = ledger.open()
    try:
        commit = writer.append(COMMAND_A, [(RUN, declared(1))])
    finally:
        writer.close()
    return commit.head.size


def test_a_ledger_is_founded_with_genesis_and_both_keys(tmp_path: Path) -> None:
    ledger = found(tmp_path)
    with Reader.open_own(ledger.path) as reader:
        records = list(reader.records())
        created, *keys = (record.event() for record in records)
    assert isinstance(created, LedgerCreated)
    assert (created.ledger, created.origin) == (ledger.identity.ledger, f"soup-ledger/{created.ledger}")
    assert [record.stream.partition("/")[0] for record in records] == ["ledger", "key", "key"]
    assert [key.role for key in keys if isinstance(key, KeyRegistered)] == ["author", "log"]
    assert {record.commit for record in records} == {records[0].commit}
    assert ledger.verify().trusted == ["ledger id", "log key", "root author key"]


def test_a_ledger_is_readable_by_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ledger = found(tmp_path)
        writer = ledger.open()
        writer.append(COMMAND_A, [(RUN, declared(1))])
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
        writer.close()
    finally:
        os.umask(before)
    assert {name: mode & 0o077 for name, mode in modes.items()} == dict.fromkeys(modes, 0)
    assert set(modes) >= {"ledger.db", "ledger.db-wal", "heads"}


def test_every_ledger_has_an_id_of_its_own(tmp_path: Path) -> None:
    assert found(tmp_path / "a").identity.ledger != found(tmp_path / "b").identity.ledger


def test_a_ledger_is_founded_once(ledger: SmallLedger) -> None:
    assert append_one(ledger) == SIZE + 1
    assert ledger.verify().size == SIZE + 1


@pytest.mark.parametrize("name", ["a b", "a?b=c#d", "a%41", "ä", "file:x", "a'b\"c", "a\nb", "x?mode=ro"])
def test_a_ledger_may_have_any_name_that_a_file_may_have(tmp_path: Path, name: str) -> None:
    ledger = found(tmp_path / name)
    assert append_one(ledger) == 4
    assert ledger.verify().size == 4


def test_a_name_that_is_not_utf8_is_a_ledger_or_refused(tmp_path: Path) -> None:
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    try:
        assert append_one(found(directory)) == 4
    except LedgerError:
        assert not any(directory.iterdir())


def test_the_environment_cannot_move_the_ledger_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PERSISTENCE_MODULE": "eventsourcing.popo",
        "SQLITE_DBNAME": ":memory:",
        "IS_SNAPSHOTTING_ENABLED": "y",
        "COMPRESSOR_TOPIC": "zlib",
        "CIPHER_TOPIC": "eventsourcing.cipher:AESCipher",
        "ORIGINATOR_ID_TYPE": "uuid",
        "SQLITE_LOCK_TIMEOUT": "0",
    }.items():
        monkeypatch.setenv(name, value)
    ledger = make(tmp_path / "environment")
    monkeypatch.undo()
    plain = sqlite3.connect(ledger.path)
    assert plain.execute("SELECT count(*) FROM entries").fetchone() == (SIZE,)
    assert plain.execute("SELECT CAST(body AS TEXT) FROM payloads WHERE position = 5").fetchone()[0].startswith("{")
    plain.close()
    assert ledger.verify().size == SIZE


def test_an_acknowledged_commit_is_durable_by_sqlites_own_account(ledger: SmallLedger) -> None:
    writer = ledger.open()
    with writer._recorder.datastore.transaction(commit=True) as cursor:
        settings_ = {}
        for pragma in ("synchronous", "journal_mode", "trusted_schema"):
            cursor.execute(f"PRAGMA {pragma}")
            settings_[pragma] = cursor.fetchone()[0]
    writer.close()
    assert settings_ == {"synchronous": 2, "journal_mode": "wal", "trusted_schema": 0}


# Old copies, cut tails, strangers.


def test_a_restored_backup_takes_no_entry(tmp_path: Path) -> None:
    ledger = make(tmp_path / "own")
    backup = shutil.copyfile(ledger.path, tmp_path / "backup.db")
    assert append_one(ledger) == SIZE + 1
    shutil.copyfile(backup, ledger.path)
    before = content(ledger)
    with pytest.raises(UnwritableError, match="old copy"):
        append_one(ledger)
    assert content(ledger) == before


def test_a_truncated_tail_takes_no_entry(tmp_path: Path) -> None:
    ledger = make(tmp_path / "own")
    Saboteur(ledger).truncate(10)
    before = content(ledger)
    with pytest.raises(UnwritableError, match="cut off"):
        append_one(ledger)
    assert content(ledger) == before


def test_a_tail_cut_off_while_the_mark_remembers_takes_no_entry_even_without_a_head(ledger: SmallLedger) -> None:
    Saboteur(ledger).truncate(10, forget=False)
    with pytest.raises(UnwritableError, match="missing at the end"):
        append_one(ledger)


def test_a_ledger_that_a_writer_holds_open_may_be_cut_and_still_takes_no_entry(ledger: SmallLedger) -> None:
    writer = ledger.open()
    writer.append(COMMAND_A, [(RUN, declared(1))])
    Saboteur(ledger).run("DELETE FROM entries WHERE rowid = 12", "DELETE FROM payloads WHERE position = 12")
    with pytest.raises(UnwritableError):
        writer.append(COMMAND_A, [(RUN, declared(2))])
    writer.close()


def test_two_ledgers_heads_mixed_take_no_entry(ledger: SmallLedger, sibling: SmallLedger) -> None:
    ledger.heads_directory.mkdir()
    (ledger.heads_directory / ledger.identity.ledger).write_text(sibling.heads[-1])
    with pytest.raises(UnwritableError):
        append_one(ledger)
    assert ledger.verify().size == SIZE


def test_a_torn_head_file_does_not_lock_the_owner_out(ledger: SmallLedger) -> None:
    ledger.heads_directory.mkdir()
    (ledger.heads_directory / ledger.identity.ledger).write_text(ledger.heads[-1][:50])
    assert append_one(ledger) == SIZE + 1


def test_the_highest_head_is_kept_when_the_door_closes(ledger: SmallLedger) -> None:
    writer = ledger.open(lambda: FIRST_TICK + 10**9)
    for number in range(3):
        checkpoint = writer.append(COMMAND_A, [(RUN, declared(number))]).checkpoint
    writer.close()
    kept = heads.load(ledger.heads_directory, ledger.identity.ledger)
    assert kept is not None
    assert kept.size == SIZE + 3
    assert (ledger.heads_directory / ledger.identity.ledger).read_text() == checkpoint


def test_a_lower_head_does_not_replace_a_higher_one(ledger: SmallLedger) -> None:
    for head in (ledger.heads[-1], ledger.heads[0]):
        heads.save(ledger.heads_directory, ledger.identity.ledger, head)
    kept = heads.load(ledger.heads_directory, ledger.identity.ledger)
    assert kept is not None
    assert kept.size == SIZE


@pytest.mark.parametrize(
    ("author", "log"), [("other", "log"), ("author", "other"), ("other", "another"), ("log", "author")]
)
def test_a_ledger_of_other_keys_takes_no_entry(ledger: SmallLedger, author: str, log: str) -> None:
    before = content(ledger)
    with pytest.raises(UnwritableError, match="other keys"):
        open_or_found(
            ledger.path,
            author=signer(author),
            log=signer(log),
            heads_directory=ledger.heads_directory,
            clock=ticking(),
            command=COMMAND_A,
            version="0.1.0",
        )
    assert content(ledger) == before


HEAD_DAMAGE = {
    "its size": "UPDATE head SET size = 10",
    "its hash": "UPDATE head SET hash = zeroblob(32)",
    "its frontier": "UPDATE head SET frontier = zeroblob(96)",
    "a frontier too short": "UPDATE head SET frontier = x''",
    "itself": "DELETE FROM head",
    "the last checkpoint": "UPDATE commits SET checkpoint = 'x' WHERE first = 11",
    "the last commit": "DELETE FROM commits WHERE first = 11",
    "the last entry": "DELETE FROM entries WHERE rowid = 11",
    "the last entry's hash": "UPDATE entries SET hash = zeroblob(32) WHERE rowid = 11",
    "the high-water mark": "UPDATE sqlite_sequence SET seq = 12",
    "no high-water mark": "DELETE FROM sqlite_sequence",
}


@pytest.mark.parametrize("statement", HEAD_DAMAGE.values(), ids=HEAD_DAMAGE)
def test_a_head_in_doubt_takes_no_entry(saboteur: Saboteur, statement: str) -> None:
    saboteur.run(statement)
    before = content(saboteur.ledger)
    with pytest.raises(UnwritableError):
        append_one(saboteur.ledger)
    assert content(saboteur.ledger) == before


# What stands at the path.


PLACES: dict[str, Callable[[Path, Path], object]] = {
    "a symlink to a ledger": lambda path, real: path.symlink_to(real),
    "a symlink to nowhere": lambda path, real: path.symlink_to("nowhere"),
    "a FIFO": lambda path, real: os.mkfifo(path),
    "a directory": lambda path, real: path.mkdir(),
    "a device": lambda path, real: path.symlink_to("/dev/null"),
    "a text file": lambda path, real: path.write_text("Dear diary\n" * 1000),
    "a short text file": lambda path, real: path.write_text("x"),
    "half a ledger": lambda path, real: path.write_bytes(real.read_bytes()[:10_000]),
    "another database": lambda path, real: _database(path, "CREATE TABLE mine (x)"),
    "another application's database": lambda path, real: _database(
        path, "CREATE TABLE mine (x)", "PRAGMA application_id = 1"
    ),
}


def _database(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_what_is_no_ledger_is_not_made_one(
    ledger: SmallLedger, tmp_path: Path, place: Callable[[Path, Path], object]
) -> None:
    path = tmp_path / "place" / "ledger.db"
    path.parent.mkdir()
    place(path, ledger.path)
    before = (path.lstat().st_mode, path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None)
    with pytest.raises(UnwritableError):
        found(path.parent)
    assert (path.lstat().st_mode, path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None) == before
    assert not (path.parent / "nowhere").exists()
    assert ledger.verify().size == SIZE


@pytest.mark.parametrize("name", [":memory:", "file::memory:", "file:x?mode=memory"])
def test_a_ledger_in_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnwritableError):
        open_or_found(
            Path(name),
            author=signer("author"),
            log=signer("log"),
            heads_directory=tmp_path / "heads",
            clock=ticking(),
            command=COMMAND_A,
            version="0.1.0",
        )
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()
    assert append_one(found(tmp_path)) == 4


@pytest.mark.parametrize("directory", ["nowhere/below", "a-file"])
def test_a_directory_that_is_none_is_said_so(tmp_path: Path, directory: str) -> None:
    (tmp_path / "a-file").touch()
    with pytest.raises(UnwritableError):
        open_or_found(
            tmp_path / directory / "ledger.db",
            author=signer("author"),
            log=signer("log"),
            heads_directory=tmp_path / "heads",
            clock=ticking(),
            command=COMMAND_A,
            version="0.1.0",
        )


def found_as_nobody(directory: str) -> None:
    """Prove that the directory cannot be written, then try to found a ledger in it."""
    become_nobody()
    try:
        (Path(directory) / "probe").touch()
    except PermissionError:
        sys.stdout.write("premise holds; ")
    try:
        found(Path(directory))
    except UnwritableError as error:
        sys.stdout.write(f"refused: {error}")


def append_as_nobody(directory: str) -> None:
    """Prove that the file cannot be written, then try to append to it."""
    become_nobody()
    ledger = SmallLedger(Path(directory) / "ledger.db", signer("author"), signer("log"), identity=None)  # type: ignore[arg-type]
    try:
        ledger.path.open("ab").close()
    except PermissionError:
        sys.stdout.write("premise holds; ")
    try:
        append_one(ledger)
    except UnwritableError as error:
        sys.stdout.write(f"refused: {error}")


def test_an_unwritable_directory_is_said_so(public_directory: Path) -> None:
    public_directory.chmod(0o555)
    try:
        output = call("tests.ledger.test_writer:found_as_nobody", public_directory)
    finally:
        public_directory.chmod(0o755)
    assert output.startswith("premise holds; refused: cannot create the ledger")
    assert list(public_directory.iterdir()) == []


def test_an_unwritable_ledger_is_said_so(public_directory: Path, template: SmallLedger) -> None:
    ledger = template.copy_to(public_directory)
    ledger.path.chmod(0o444)
    public_directory.chmod(0o555)
    try:
        output = call("tests.ledger.test_writer:append_as_nobody", public_directory)
    finally:
        public_directory.chmod(0o755)
    assert output.startswith("premise holds; refused: cannot write the ledger")
    assert [each.name for each in public_directory.iterdir()] == ["ledger.db"]


# What may be appended.


class Stranger(Event, frozen=True, kw_only=True):
    """An event that nobody entered in the table."""

    TYPE = "stranger.appeared/1"


REFUSED: dict[str, tuple[str, Event, type[LedgerError]]] = {
    "not in the table": (RUN, Stranger(), MalformedError),
    "without a type": (RUN, Event(), MalformedError),
    "U+0000": (RUN, msgspec.structs.replace(started(), directory="a\x00b"), NotCanonicalError),
    "a lone surrogate": (RUN, msgspec.structs.replace(started(), directory="\udcff"), NotCanonicalError),
    "a float": (RUN, msgspec.structs.replace(finished(), duration_us=1.5), LedgerError),
    "2^53": (RUN, msgspec.structs.replace(finished(), duration_us=2**53), LedgerError),
    "a digest that is none": (RUN, msgspec.structs.replace(declared(1), sha256="x"), LedgerError),
    "too large": (RUN, msgspec.structs.replace(started(), argv=["x" * 65_000] * 65), LedgerError),
    "a stream without a noun": ("new", declared(1), MalformedError),
    "a stream with a quote": ('run/"', declared(1), MalformedError),
    "a stream with a newline": ("run/new\n", declared(1), MalformedError),
    "an empty stream": ("", declared(1), MalformedError),
}


@pytest.mark.parametrize(("stream", "event", "error"), REFUSED.values(), ids=REFUSED)
def test_what_may_not_be_appended_is_refused_and_nothing_is_appended(
    ledger: SmallLedger, stream: str, event: Event, error: type[LedgerError]
) -> None:
    before = content(ledger)
    writer = ledger.open()
    with pytest.raises(error):
        writer.append(COMMAND_A, [(RUN, declared(1)), (stream, event), (RUN, declared(2))])
    assert content(ledger) == before
    assert writer.append(COMMAND_A, [(RUN, declared(3))]).head.size == SIZE + 1
    writer.close()
    assert ledger.verify().size == SIZE + 1


@pytest.mark.parametrize("command", ["", "x", "bom", COMMAND_A.upper(), COMMAND_A + "\n", '","count":"', "ä" * 36])
def test_a_command_id_that_is_none_is_refused_and_nothing_is_appended(ledger: SmallLedger, command: str) -> None:
    before = content(ledger)
    writer = ledger.open()
    with pytest.raises(LedgerError):
        writer.append(command, [(RUN, declared(1))])
    writer.close()
    assert content(ledger) == before
    assert ledger.verify().size == SIZE


@pytest.mark.parametrize("now", [-1, 2**60, 2**70])
def test_a_clock_out_of_range_is_refused_and_nothing_is_appended(ledger: SmallLedger, now: int) -> None:
    before = content(ledger)
    writer = ledger.open(lambda: now)
    with pytest.raises(LedgerError):
        writer.append(COMMAND_A, [(RUN, declared(1))])
    writer.close()
    assert content(ledger) == before


def test_an_append_of_nothing_leaves_the_ledger_able_to_take_the_next(ledger: SmallLedger) -> None:
    writer = ledger.open()
    with suppress(LedgerError):
        writer.append(COMMAND_A, [])
    assert writer.append(COMMAND_A, [(RUN, declared(1))]).head.size == SIZE + 1
    writer.close()
    assert ledger.verify().size == SIZE + 1


def test_a_clock_that_is_set_back_keeps_the_logs_time_from_decreasing(ledger: SmallLedger) -> None:
    writer = ledger.open(lambda: FIRST_TICK - 10**12)
    commit = writer.append(COMMAND_A, [(RUN, declared(1))])
    writer.close()
    with Reader.open_own(ledger.path) as reader:
        *_, before, last = reader.records()
    assert last.time == FIRST_TICK - 10**12
    assert last.logged == commit.logged == before.logged
    assert ledger.verify().size == SIZE + 1


def test_one_commit_may_hold_several_events_of_a_stream(ledger: SmallLedger) -> None:
    writer = ledger.open()
    writer.append(COMMAND_A, [(RUN, declared(1)), ("run/other", declared(2)), (RUN, declared(3))])
    writer.append(COMMAND_A, [(RUN, declared(4))])
    writer.close()
    with Reader.open_own(ledger.path) as reader:
        assert [record.version for record in reader.stream(RUN)] == [1, 2, 3]
        assert reader.version(RUN) == 3
    assert ledger.verify().size == SIZE + 4


def test_two_open_doors_append_to_one_stream_in_turn(ledger: SmallLedger) -> None:
    doors = [ledger.open(), ledger.open()]
    for number in range(6):
        doors[number % 2].append(COMMAND_A, [(RUN, declared(number))])
    for door in doors:
        door.close()
    with Reader.open_own(ledger.path) as reader:
        assert [record.version for record in reader.stream(RUN)] == [1, 2, 3, 4, 5, 6]
    assert ledger.verify().size == SIZE + 6


SIMPLE = [type(event) for event in (declared(1), started(), finished())]


@settings(max_examples=40)
@given(st.data())
def test_whatever_the_door_lets_in_verifies(
    tmp_path_factory: pytest.TempPathFactory, template: SmallLedger, data: st.DataObject
) -> None:
    """Brackets out of order, ends without a start, two ends: odd, and for a projection to show, but no tampering."""
    names = [f"command/{COMMAND_A}", "command/x", "run/x"]
    batch = st.lists(
        st.tuples(st.sampled_from(names), st.sampled_from(SIMPLE).flatmap(events_of)), min_size=1, max_size=4
    )
    ledger = template.copy_to(tmp_path_factory.mktemp("let-in"))
    writer = ledger.open()
    size = SIZE
    try:
        for batch_of_events in data.draw(st.lists(batch, min_size=1, max_size=3)):
            try:
                writer.append(COMMAND_A, batch_of_events)
            except LedgerError:
                continue
            size += len(batch_of_events)
    finally:
        writer.close()
        assert ledger.verify().size == size
        shutil.rmtree(ledger.path.parent)


def test_the_mapper_never_imports_what_a_stored_topic_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for topic in ("os:system", "this:s", "ledger.events.command:CommandStarted", "command.started"):
        with pytest.raises(MalformedError):
            LedgerMapper().to_domain_event(StoredEvent("run/1", 1, topic, b"{}"))
    assert "this" not in sys.modules
