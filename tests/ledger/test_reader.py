"""Laws of reading: a stranger's file is looked at without a trace, and nothing in it acts, hides or crashes."""

from __future__ import annotations

import gc
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import repeat
from pathlib import Path

import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.entry import parse_time
from ledger.errors import AlteredError, LedgerError, MalformedError, TooNewError
from ledger.reader import MAX_BLOB, EntryRow, LedgerUnreadableError, Reader
from ledger.verify import verify
from tests.processes import become_nobody, call
from tests.simulator import COMMAND_A, COMMAND_B, ROOT, SIZE, Saboteur, SmallLedger, declared, instead

Listing = Callable[[Path], list[tuple[str, int, int, int]]]


def read_all(ledger: SmallLedger) -> int:
    """Everything that an auditor reads."""
    with Reader.open_foreign(ledger.path) as reader:
        verify(reader, trust=ledger.identity)
        return len([record.event() for record in reader.records()])


# Without a trace.


def test_a_foreign_ledger_is_read_without_a_trace(ledger: SmallLedger, listing: Listing) -> None:
    before = listing(ledger.path.parent)
    assert [each[0] for each in before] == ["ledger.db"]
    assert read_all(ledger) == SIZE
    assert listing(ledger.path.parent) == before


def test_a_foreign_ledger_that_is_being_written_is_read_with_its_wal_and_without_a_trace(
    ledger: SmallLedger, listing: Listing, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path_factory.mktemp("temporary")  # of our own: other tests copy ledgers at the same time
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    writer = ledger.open()
    writer.append(COMMAND_A, [("run/new", declared(1))])
    before = listing(ledger.path.parent)
    assert "ledger.db-wal" in [each[0] for each in before]
    assert read_all(ledger) == SIZE + 1
    assert listing(ledger.path.parent) == before
    assert list(temporary.iterdir()) == []
    writer.close()


def test_a_copy_made_with_its_wal_holds_what_the_wal_holds(
    ledger: SmallLedger, tmp_path: Path, listing: Listing
) -> None:
    writer = ledger.open()
    writer.append(COMMAND_A, [("run/new", declared(1))])
    copy = tmp_path / "copy"
    copy.mkdir()
    for suffix in ("", "-wal"):
        shutil.copyfile(f"{ledger.path}{suffix}", copy / f"ledger.db{suffix}")
    writer.close()
    before = listing(copy)
    with Reader.open_foreign(copy / "ledger.db") as reader:
        assert reader.size == SIZE + 1
        verify(reader)
    assert listing(copy) == before


def read_as_nobody(path: str) -> None:
    """Prove that the directory cannot be written, then read the ledger in it."""
    become_nobody()
    try:
        Path(path).with_name("probe").touch()
    except PermissionError:
        sys.stdout.write("premise holds; ")
    with Reader.open_foreign(Path(path)) as reader:
        verify(reader)
        sys.stdout.write(f"read {reader.size}")


@pytest.mark.parametrize("live", [False, True], ids=["closed", "with a WAL"])
def test_a_foreign_ledger_in_a_directory_that_cannot_be_written_is_read(
    public_directory: Path, template: SmallLedger, live: bool, listing: Listing
) -> None:
    ledger = template.copy_to(public_directory)
    writer = ledger.open(heads=public_directory / "heads")
    writer.append(COMMAND_A, [("run/new", declared(1))])
    if not live:
        writer.close()
    for each in public_directory.glob("ledger.db*"):
        each.chmod(0o444)
    public_directory.chmod(0o555)
    before = listing(public_directory)
    try:
        output = call("tests.ledger.test_reader:read_as_nobody", ledger.path)
        assert listing(public_directory) == before
    finally:
        public_directory.chmod(0o755)
        writer.close()
    assert output == f"premise holds; read {SIZE + 1}"


def test_an_own_ledger_is_read_beside_its_writer(ledger: SmallLedger) -> None:
    writer = ledger.open()
    with Reader.open_own(ledger.path) as before:
        writer.append(COMMAND_A, [("run/new", declared(1))])
        assert (before.size, len(list(before.records()))) == (SIZE, SIZE)
        assert verify(before).size == SIZE
        with Reader.open_own(ledger.path) as after:
            assert (after.size, len(list(after.records()))) == (SIZE + 1, SIZE + 1)
    writer.close()


def test_a_reader_cannot_write(ledger: SmallLedger) -> None:
    for opened in (Reader.open_own, Reader.open_foreign):
        for statement in ("UPDATE head SET size = 1", "INSERT INTO command_index VALUES (1, 1, 'x', 1)", "VACUUM"):
            with opened(ledger.path) as reader, pytest.raises(LedgerUnreadableError):
                reader.execute(statement)
    assert read_all(ledger) == SIZE


def test_reading_and_verifying_never_load_the_recorder() -> None:
    code = (
        "import sys, ledger.reader, ledger.verify, ledger.identity; "
        "print([name for name in sys.modules if name.startswith(('eventsourcing', 'ledger.sqlite', 'ledger.writer'))])"
    )
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert child.stdout == "[]\n"


# What is no ledger of ours.


def _schema(*statements: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    return change


FOREIGN_SCHEMAS: dict[str, Callable[[Path], None]] = {
    "a trigger more": _schema("CREATE TRIGGER more AFTER INSERT ON entries BEGIN DELETE FROM head; END"),
    "a temporary-looking view": _schema("CREATE VIEW more AS SELECT load_extension('x')"),
    "a table more": _schema("CREATE TABLE more (x)"),
    "an index more": _schema("CREATE INDEX more ON entries (time)"),
    "a virtual table": _schema("CREATE VIRTUAL TABLE more USING fts5(x)"),
    "statistics": _schema("ANALYZE"),
    "a column more": _schema("ALTER TABLE entries ADD COLUMN more TEXT"),
    "a generated column more": _schema("ALTER TABLE entries ADD COLUMN more AS (rowid)"),
    "a trigger less": _schema("DROP TRIGGER entries_keep"),
    "an index less": _schema("DROP INDEX entries_stream"),
    "a view that is another": _schema("DROP VIEW stored_events", "CREATE VIEW stored_events AS SELECT 1"),
    "a trigger that is another": _schema(
        "DROP TRIGGER entries_keep", "CREATE TRIGGER entries_keep BEFORE UPDATE ON entries BEGIN SELECT 1; END"
    ),
    "another spelling": _schema("UPDATE sqlite_schema SET sql = sql || ' ' WHERE name = 'entries_keep'"),
    "another table's index": _schema("UPDATE sqlite_schema SET tbl_name = 'commits' WHERE name = 'entries_stream'"),
    "two hundred tables more": _schema("BEGIN", *(f"CREATE TABLE more{number} (x)" for number in range(200))),
    "another application": _schema("PRAGMA application_id = 1"),
    "no application": _schema("PRAGMA application_id = 0"),
    "an older version": _schema("PRAGMA user_version = 0"),
    "a negative version": _schema("PRAGMA user_version = -1"),
    "nonsense as a schema": _schema("UPDATE sqlite_schema SET sql = 'CREATE nonsense' WHERE name = 'entries'"),
}


@pytest.mark.parametrize("change", FOREIGN_SCHEMAS.values(), ids=FOREIGN_SCHEMAS)
@pytest.mark.parametrize("opened", [Reader.open_own, Reader.open_foreign], ids=["own", "foreign"])
def test_a_schema_that_is_not_literally_ours_is_refused(
    ledger: SmallLedger, change: Callable[[Path], None], opened: Callable[[Path], Reader]
) -> None:
    change(ledger.path)
    with pytest.raises(LedgerError) as refusal:
        opened(ledger.path)
    assert type(refusal.value) in {MalformedError, LedgerUnreadableError}


def test_a_newer_schema_is_for_a_newer_soup(ledger: SmallLedger) -> None:
    _schema("PRAGMA user_version = 2", "CREATE TABLE more (x)")(ledger.path)
    with pytest.raises(TooNewError, match="Upgrade"):
        Reader.open_foreign(ledger.path)


NO_DATABASES: dict[str, Callable[[Path], object]] = {
    "nothing": Path.unlink,
    "a directory": instead(Path.mkdir),
    "a FIFO": instead(os.mkfifo),
    "a device": instead(lambda path: path.symlink_to("/dev/zero")),
    "a symlink to itself": instead(lambda path: path.symlink_to(path.name)),
    "an empty file": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"Dear diary\n" * 5000),
    "a header and nothing": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "a header and noise": lambda path: path.write_bytes(path.read_bytes()[:100] + b"\xa5" * 50_000),
    "noise": lambda path: path.write_bytes(sha256(b"").digest() * 1000),
    "an encrypted-looking header": lambda path: path.write_bytes(b"\xff" * 16 + path.read_bytes()[16:]),
}


@pytest.mark.parametrize("make", NO_DATABASES.values(), ids=NO_DATABASES)
@pytest.mark.parametrize("opened", [Reader.open_own, Reader.open_foreign], ids=["own", "foreign"])
def test_what_is_no_database_is_refused(
    ledger: SmallLedger, make: Callable[[Path], object], opened: Callable[[Path], Reader]
) -> None:
    make(ledger.path)
    with pytest.raises(LedgerError):
        opened(ledger.path)


def test_a_path_that_is_not_utf8_is_read_or_refused(ledger: SmallLedger) -> None:
    path = Path(os.fsdecode(os.fsencode(ledger.path.parent) + b"/\xff.db"))
    shutil.copyfile(ledger.path, path)
    for opened in (Reader.open_own, Reader.open_foreign):
        with suppress(LedgerError), opened(path) as reader:
            assert reader.size == SIZE


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize(
    "content", [b"", b"noise", b"\xa5" * 5000, None], ids=["empty", "short", "noise", "a directory"]
)
def test_what_lies_beside_a_foreign_ledger_never_changes_what_it_says(
    ledger: SmallLedger, suffix: str, content: bytes | None, listing: Listing
) -> None:
    beside = ledger.path.with_name(ledger.path.name + suffix)
    if content is None:
        beside.mkdir()
    else:
        beside.write_bytes(content)
    before = listing(ledger.path.parent)
    with suppress(LedgerError):
        assert read_all(ledger) == SIZE
    assert listing(ledger.path.parent) == before


# What is in a hostile one.


def test_a_stored_topic_is_never_imported(saboteur: Saboteur) -> None:
    """The strongest forger: holds both keys, and seals a topic that eventsourcing would import."""
    ledger = saboteur.ledger
    with saboteur.recorder() as recorder:
        recorder.record([StoredEvent("run/x", 1, "this:s", b"{}"), StoredEvent("run/y", 1, "os:system", b'"true"')])
    with Reader.open_foreign(ledger.path) as reader:
        for position in (SIZE + 1, SIZE + 2):
            record = reader.record(position)
            assert record is not None
            with pytest.raises(MalformedError, match="not in this soup's table"):
                record.event()
        with pytest.raises(AlteredError) as found:
            verify(reader)
    assert (found.value.position, found.value.attack) == (SIZE + 1, "forged")
    assert "this" not in sys.modules


def test_an_event_of_a_newer_version_is_for_a_newer_soup(saboteur: Saboteur) -> None:
    with saboteur.recorder() as recorder:
        recorder.record([StoredEvent("run/x", 1, "command.started/2", b"{}")])
    with Reader.open_foreign(saboteur.ledger.path) as reader, pytest.raises(TooNewError, match="Upgrade"):
        verify(reader)


@pytest.mark.parametrize(
    ("table", "column", "where"),
    [
        ("payloads", "body", "position = 5"),
        ("payloads", "salt", "position = 5"),
        ("commits", "envelope", "first = 5"),
        ("commits", "checkpoint", "first = 5"),
        ("entries", "originator_id", "rowid = 5"),
        ("head", "frontier", "one = 1"),
    ],
)
def test_a_huge_value_is_refused(saboteur: Saboteur, table: str, column: str, where: str) -> None:
    kind = "TEXT" if column in {"checkpoint", "originator_id"} else "BLOB"
    saboteur.run(f"UPDATE {table} SET {column} = CAST(zeroblob({MAX_BLOB + 1}) AS {kind}) WHERE {where}")
    with pytest.raises(LedgerError):
        read_all(saboteur.ledger)


def test_a_record_of_an_edited_entry_is_not_given(saboteur: Saboteur) -> None:
    saboteur.edit("entries", "time", "rowid = 6")
    with Reader.open_foreign(saboteur.ledger.path) as reader:
        assert reader.record(5) is not None
        with pytest.raises(AlteredError) as found:
            reader.record(6)
        with pytest.raises(AlteredError):
            list(reader.records())
    assert found.value.position == 6


def test_a_record_of_an_edited_payload_is_not_given(saboteur: Saboteur) -> None:
    saboteur.edit("payloads", "body", "position = 6")
    with Reader.open_foreign(saboteur.ledger.path) as reader:
        assert reader.record(5) is not None
        with pytest.raises(AlteredError) as found:
            reader.record(6)
    assert found.value.position == 6


def test_a_value_beyond_the_bound_is_refused_before_it_is_read(saboteur: Saboteur) -> None:
    saboteur.run(f"UPDATE payloads SET body = zeroblob({MAX_BLOB + 1}) WHERE position = 6")
    with Reader.open_foreign(saboteur.ledger.path) as reader, pytest.raises(MalformedError, match="larger"):
        reader.record(6)


def _fetched(reader: Reader) -> Iterator[list[EntryRow]]:
    return map(reader.entries(), repeat(1))


def test_a_reader_that_is_closed_in_the_middle_leaves_nothing_behind(ledger: SmallLedger) -> None:
    """A generator that outlives its connection must not complain when it is collected: warnings are errors here."""
    for opened in (Reader.commits, Reader.records, _fetched):
        reader = Reader.open_foreign(ledger.path)
        rows = opened(reader)
        next(rows)
        reader.close()
        del rows, reader
        gc.collect()


# Torn.


def _torn(template: SmallLedger, directory: Path, content: bytes) -> LedgerError | None:
    path = directory / "torn.db"
    path.write_bytes(content)
    try:
        with Reader.open_foreign(path) as reader:
            verify(reader, trust=template.identity)
            for record in reader.records():
                record.event()
    except LedgerError as error:
        return error
    return None


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("torn")


@settings(max_examples=200)
@given(data=st.data())
def test_a_truncated_file_never_verifies_and_never_crashes(
    bench: Path, template: SmallLedger, data: st.DataObject
) -> None:
    whole = template.path.read_bytes()
    size = data.draw(st.integers(0, len(whole) - 1) | st.sampled_from(range(0, len(whole), 4096)))
    assert _torn(template, bench, whole[:size]) is not None


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_file_never_crashes_and_verifies_only_if_it_says_the_same(
    bench: Path, template: SmallLedger, data: st.DataObject
) -> None:
    whole = bytearray(template.path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= data.draw(st.integers(1, 255))
    if _torn(template, bench, bytes(whole)) is None:
        assert said(bench / "torn.db") == said(template.path)


def said(path: Path) -> list[object]:
    """All that a ledger says, by every way of asking."""
    with Reader.open_foreign(path) as reader:
        answers: list[object] = [
            reader.execute(f"SELECT * FROM {table} NOT INDEXED ORDER BY 1").fetchall()
            for table in ("entries", "commits", "payloads", "head", "command_index", "sqlite_sequence")
        ]
        records = list(reader.records())
        answers += records
        for stream in sorted({record.stream for record in records}):
            answers += [list(reader.stream(stream)), reader.version(stream), reader.latest(stream)]
        for command in (COMMAND_A, COMMAND_B):
            answers += list(reader.of_command(command))
        answers += reader.execute(
            "SELECT started FROM command_index WHERE finished IS NULL ORDER BY started"
        ).fetchall()
        return answers


# What one may ask.


def test_streams_and_versions_are_found_by_name(ledger: SmallLedger) -> None:
    with Reader.open_foreign(ledger.path) as reader:
        assert [record.position for record in reader.stream("run/1")] == [8, 9]
        assert [record.position for record in reader.stream("run/1", last=8)] == [8]
        assert (reader.version("run/1"), reader.version("run/none")) == (2, 0)
        latest = reader.latest("run/1")
        assert latest is not None
        assert latest.position == 9
        assert reader.latest("run/none") is None
        assert reader.record(0) is None
        assert reader.record(SIZE + 1) is None


def test_a_commands_entries_are_found_in_all_streams(ledger: SmallLedger) -> None:
    with Reader.open_foreign(ledger.path) as reader:
        assert [record.position for record in reader.of_command(COMMAND_A)] == list(range(1, 11))
        assert [record.position for record in reader.of_command(COMMAND_B)] == [11]


def test_a_prefix_is_the_longest_that_was_logged_by_then(ledger: SmallLedger) -> None:
    with Reader.open_foreign(ledger.path) as reader:
        logged = {record.position: record.logged for record in reader.records()}
        for time in {moment + shift for moment in logged.values() for shift in (-1, 0, 1)}:
            expected = max((position for position, moment in logged.items() if moment <= time), default=0)
            assert reader.position_at(time) == expected
        assert reader.position_at(0) == 0
        assert reader.position_at(parse_time("9999-12-31T23:59:59Z")) == SIZE


def test_a_checkpoint_is_found_by_its_size(ledger: SmallLedger) -> None:
    with Reader.open_foreign(ledger.path) as reader:
        sizes = (3, 4, 7, 9, 10, 11)
        assert [reader.checkpoint(size) for size in sizes] == list(ledger.heads)
        assert reader.checkpoint() == ledger.heads[-1]
        assert [reader.checkpoint(size) for size in range(20) if size not in sizes] == [""] * 14


def test_a_handed_over_copy_is_one_file_that_verifies(ledger: SmallLedger, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with Reader.open_own(ledger.path) as reader:
        reader.copy_to(tmp_path / "out" / "copy.db")
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["copy.db"]
    with Reader.open_foreign(tmp_path / "out" / "copy.db") as reader:
        assert verify(reader, trust=ledger.identity, heads=ledger.heads).size == SIZE
