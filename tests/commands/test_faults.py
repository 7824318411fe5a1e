"""A command that cannot be recorded does not run, and a fault costs neither the record nor what stood there before."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ledger import heads
from ledger.events.command import CommandFinished
from ledger.events.document import BomDeclared2
from tests.runner import BOM, SCRIPT, A, B, Outcome, Soup, tree_of

EMIT = (*BOM, "--base-sha", A, "--output", "m.json")
NOTHING_DONE = "nothing was done: a command that cannot be recorded does not run"
LIBC = ctypes.CDLL(None)
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


def without_privilege() -> None:
    """From the next exec on, obey permission bits also as root (capabilities(7), the bounding set).

    Not another uid: the interpreter may lie where only its owner may read.
    """
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def refused(outcome: Outcome, soup: Soup, *, saying: str, hint: str = NOTHING_DONE) -> None:
    """The law of exit code 74: one sentence, a hint, and no trace of work."""
    assert outcome.code == 74, outcome
    assert outcome.raw == b""
    assert saying in outcome.err
    assert hint in outcome.err
    assert "Traceback" not in outcome.err
    assert "a fault in soup itself" not in outcome.err
    assert tree_of(soup.work) == {}


@pytest.fixture
def founded(soup: Soup) -> Soup:
    """A user whose ledger is there, with its head written back from the WAL."""
    soup.ok("keys", "list")
    return soup


# The home and the ledger.


@pytest.mark.slow
def test_nothing_runs_where_the_home_cannot_be_made(soup: Soup) -> None:
    soup.home.parent.mkdir(mode=0o500)
    outcome = soup.process(*EMIT, preexec_fn=without_privilege)
    refused(outcome, soup, saying="Permission denied", hint="set SOUP_HOME to a directory of yours")
    assert not soup.home.exists()


@pytest.mark.slow
def test_nothing_runs_where_the_home_cannot_be_written(soup: Soup) -> None:
    soup.home.mkdir(parents=True, mode=0o500)
    outcome = soup.process(*EMIT, preexec_fn=without_privilege)
    refused(outcome, soup, saying="Permission denied", hint="set SOUP_HOME to a directory of yours")
    assert tree_of(soup.home) == {}


@pytest.mark.slow
@pytest.mark.parametrize("line", [EMIT, ("audit-log", "rotate"), ("bom", "verify", "x"), ("ledger", "no-such-command")])
def test_nothing_runs_where_the_ledger_is_read_only(founded: Soup, line: tuple[str, ...]) -> None:
    founded.ledger.chmod(0o400)
    before = founded.ledger.read_bytes()
    refused(founded.process(*line, preexec_fn=without_privilege), founded, saying="Permission denied")
    assert founded.ledger.read_bytes() == before


@pytest.mark.slow
def test_an_auditor_may_still_look_at_a_read_only_ledger_and_is_told_that_it_is_unrecorded(founded: Soup) -> None:
    founded.ledger.chmod(0o400)
    outcome = founded.process("ledger", "verify", preexec_fn=without_privilege)
    assert outcome.code == 0
    assert "soup: unrecorded: " in outcome.err
    assert b"verdict     verified" in outcome.raw


def a_text_file(path: Path) -> None:
    path.write_text("notes, years of them\n" * 100)


def a_directory(path: Path) -> None:
    path.mkdir()


def a_symlink(path: Path) -> None:
    path.symlink_to("/dev/null")


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def another_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (line TEXT)")
        connection.execute("INSERT INTO notes VALUES ('years of them')")
    connection.close()


@pytest.mark.parametrize(
    "make",
    [a_text_file, a_directory, a_symlink, a_dangling_link, a_fifo, another_database],
    ids=lambda make: make.__name__,
)
def test_what_is_no_ledger_is_left_as_it_was(soup: Soup, tmp_path: Path, make: Callable[[Path], None]) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    make(place / "file")
    before = tree_of(place)
    refused(soup.with_env(SOUP_LEDGER=place / "file")(*EMIT), soup, saying=str(place / "file"))
    assert tree_of(place) == before


def test_a_strangers_ledger_takes_no_entry(founded: Soup, tmp_path: Path) -> None:
    stranger = Soup(tmp_path / "stranger", founded.work, {"SOUP_LEDGER": str(founded.ledger)})
    before = founded.records()
    refused(stranger(*EMIT), stranger, saying="belongs to other keys")
    assert founded.records() == before


def test_an_empty_ledger_file_is_what_a_kill_during_the_first_command_leaves(soup: Soup) -> None:
    soup.home.mkdir(parents=True)
    soup.ledger.touch()
    soup.ok(*EMIT)
    soup.ok("ledger", "verify")


@pytest.mark.parametrize("place", [":memory:", "file::memory:?mode=memory"])
def test_a_ledger_in_memory_is_none(soup: Soup, place: str) -> None:
    outcome = soup.with_env(SOUP_LEDGER=place)(*EMIT)
    assert outcome.code == 74
    assert tree_of(soup.work) == {}


def test_a_database_server_is_refused_in_words(soup: Soup) -> None:
    outcome = soup.with_env(SOUP_LEDGER="postgresql://u:secret-word@host/db")(*EMIT)
    assert outcome.code == 1
    assert "PostgreSQL is not supported yet" in outcome.err
    assert "secret-word" not in outcome.err
    assert tree_of(soup.work) == {}


def test_the_environment_cannot_turn_the_ledger_into_memory(soup: Soup) -> None:
    for module in ("eventsourcing.popo", "os", "nothing.at.all"):
        hostile = soup.with_env(PERSISTENCE_MODULE=module, INFRASTRUCTURE_FACTORY="x:y", SQLITE_DBNAME=":memory:")
        hostile.ok("keys", "list")
    assert len(soup.events(CommandFinished)) == 3
    soup.ok("ledger", "verify")


def test_a_restored_backup_takes_no_entry(founded: Soup, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    founded.ok("ledger", "export", "--format", "sqlite", "--output", backup)
    founded.ok("keys", "list")
    for leftover in founded.home.glob("ledger.db*"):
        leftover.unlink()
    shutil.copy(backup, founded.ledger)
    before = founded.ledger.read_bytes()
    refused(founded(*EMIT), founded, saying="does not contain the head of")
    assert founded.ledger.read_bytes() == before


def test_a_ledger_of_a_newer_soup_is_named_as_such(founded: Soup) -> None:
    with sqlite3.connect(founded.ledger) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    refused(founded(*EMIT), founded, saying="this soup reads up to 1. Upgrade soup.")
    looked = founded("ledger", "verify")
    assert looked.code == 4
    assert "schema version 2" in looked.err


def test_a_damaged_ledger_takes_no_entry(founded: Soup) -> None:
    raw = bytearray(founded.ledger.read_bytes())
    raw[100:120] = bytes(20)
    founded.ledger.write_bytes(raw)
    refused(founded(*EMIT), founded, saying="run: soup ledger verify")


def test_without_a_home_directory_nothing_runs(soup: Soup, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    outcome = soup.with_env(SOUP_HOME="")(*EMIT)
    assert outcome.code == 1
    assert "set SOUP_HOME" in outcome.err
    assert tree_of(soup.work) == {}


@pytest.mark.slow
def test_in_a_directory_that_is_gone_nothing_runs(founded: Soup) -> None:
    code = "import os, sys; os.rmdir(os.getcwd()); from commands.cli import main; main(sys.argv[1:])"
    outcome = founded.python(code, "keys", "list")
    assert outcome.code == 1
    assert "the current directory no longer exists" in outcome.err
    founded.work.mkdir()
    founded.ok("ledger", "verify")


# Keys.


def test_a_key_that_others_may_read_signs_nothing_and_the_remedy_is_named(founded: Soup) -> None:
    key = founded.home / "keys" / "author.key"
    key.chmod(0o644)
    refused(founded(*EMIT), founded, saying=f"run: chmod 600 {key}")
    key.chmod(0o600)
    founded.ok(*EMIT)


@pytest.mark.slow
def test_a_key_that_cannot_be_read_signs_nothing(founded: Soup) -> None:
    (founded.home / "keys" / "log.key").chmod(0)
    refused(founded.process(*EMIT, preexec_fn=without_privilege), founded, saying="log.key: Permission denied")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_users_key_signs_nothing(founded: Soup) -> None:
    os.chown(founded.home / "keys" / "author.key", 12345, -1)
    refused(founded(*EMIT), founded, saying="belongs to another user (uid 12345)")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100, b"x" * 5000, b'{"format":"soup-key/9"}'])
def test_a_damaged_key_signs_nothing(founded: Soup, content: bytes) -> None:
    (founded.home / "keys" / "author.key").write_bytes(content)
    refused(founded(*EMIT), founded, saying="is no soup key file, or it is damaged")


def test_swapped_keys_sign_nothing(founded: Soup) -> None:
    keys = founded.home / "keys"
    (keys / "author.key").rename(keys / "x")
    (keys / "log.key").rename(keys / "author.key")
    (keys / "x").rename(keys / "log.key")
    refused(founded(*EMIT), founded, saying="holds the log key, not the author key")


def test_a_key_behind_a_link_signs_nothing(founded: Soup) -> None:
    key = founded.home / "keys" / "author.key"
    key.rename(key.with_suffix(".real"))
    key.symlink_to(key.with_suffix(".real"))
    refused(founded(*EMIT), founded, saying="author.key")


def test_a_lost_key_is_not_silently_replaced(founded: Soup) -> None:
    (founded.home / "keys" / "author.key").unlink()
    refused(founded(*EMIT), founded, saying="belongs to other keys")


@pytest.fixture
def locked(soup: Soup, tmp_path: Path) -> Soup:
    """A user whose keys are under a passphrase."""
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse\n")
    return soup.with_env(SOUP_KEY_PASSPHRASE_FILE=passphrase)


def test_keys_made_under_a_passphrase_need_it(locked: Soup, soup: Soup) -> None:
    locked.ok("keys", "list")
    assert all(row["locked"] for row in locked.ok("keys", "list", "--json").json)
    refused(soup(*EMIT), soup, saying="is locked with a passphrase; set SOUP_KEY_PASSPHRASE_FILE")
    locked.ok(*EMIT)
    locked.ok("ledger", "verify")


@pytest.mark.parametrize(
    ("passphrase", "saying"),
    [(b"wrong horse", "wrong passphrase"), (b"", "is empty"), (b"x" * 2000, "more than the 1024")],
)
def test_a_wrong_passphrase_signs_nothing(locked: Soup, tmp_path: Path, passphrase: bytes, saying: str) -> None:
    locked.ok("keys", "list")
    (tmp_path / "passphrase").write_bytes(passphrase)
    refused(locked(*EMIT), locked, saying=saying, hint="")
    assert b"horse" not in locked.stored()


def test_a_passphrase_file_that_is_missing_signs_nothing(locked: Soup, tmp_path: Path) -> None:
    locked.ok("keys", "list")
    (tmp_path / "passphrase").unlink()
    refused(locked(*EMIT), locked, saying="No such file", hint="")


# A full disk.


def _limited(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 5_000, 40_000])
def test_a_first_command_on_a_full_disk_leaves_nothing_that_a_second_could_not_use(soup: Soup, size: int) -> None:
    outcome = soup.process(*EMIT, preexec_fn=partial(_limited, size))
    assert outcome.code == 74, outcome
    assert outcome.raw == b""
    assert "Traceback" not in outcome.err
    assert tree_of(soup.work) == {}
    soup.ok(*EMIT)
    soup.ok("ledger", "verify")


@pytest.mark.slow
@pytest.mark.parametrize("share", [0, 0.3, 0.6, 0.9])
def test_on_a_full_disk_both_documents_appear_or_neither(founded: Soup, tmp_path: Path, share: float) -> None:
    """The limit lies between what the ledger needs at least and what the larger document has."""
    model = tmp_path / "model"
    model.mkdir()
    for number in range(400):
        (model / f"{number:03}.bin").write_bytes(b"%d" % number)
    line = (*BOM, "--model", str(model), "--format", "both", "--output", "m")
    founded.ok("ledger", "export", "--format", "sqlite", "--output", tmp_path / "all.db")
    rehearsal = Soup(tmp_path / "rehearsal", tmp_path)
    rehearsal.ok(*line)
    largest = max(path.stat().st_size for path in tmp_path.glob("m.*.json"))
    outcome = founded.process(*line, preexec_fn=partial(_limited, int(largest * share) + 200))
    assert outcome.code in {1, 74}, outcome
    assert outcome.raw == b""
    assert "Traceback" not in outcome.err
    assert tree_of(founded.work) == {}
    founded.ok("ledger", "verify")
    founded.ok(*line)
    assert set(tree_of(founded.work)) == {"m.cdx.json", "m.spdx.json"}


def test_an_end_that_cannot_be_recorded_is_said_and_the_outputs_are_named(
    founded: Soup, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ledger.errors import UnwritableError
    from ledger.events import Event
    from ledger.writer import Writer

    append = Writer.append

    def failing(self: Writer, command: str, events: list[tuple[str, Event]]) -> object:
        if any(isinstance(event, CommandFinished) for _, event in events):
            raise UnwritableError("the disk is full")
        return append(self, command, events)

    monkeypatch.setattr(Writer, "append", failing)
    outcome = founded(*EMIT)
    assert outcome.code == 74
    assert "the disk is full" in outcome.err
    assert "its end is not on the record; it wrote m.json" in outcome.err
    assert (founded.work / "m.json").exists()


# Kills. SIGKILL at the door of each step, so nothing is tidied up.

STEPS = {
    "before the bracket opens": "commands.record:_started",
    "before the facts are declared": "commands.bom:decide",
    "before the documents are rendered": "projections.documents:render",
    "before a document is staged": "commands.publish:Publication.stage",
    "before the rename": "commands.publish:Publication.commit",
    "before the bracket closes": "commands.record:_finish",
    "before the audit file follows": "commands.audit_file:follow",
}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_leaves_a_ledger_that_verifies_and_a_command_that_can_be_repeated(
    founded: Soup, step: str
) -> None:
    founded.killed_at(STEPS[step], *EMIT)
    declared = len(founded.events(BomDeclared2))
    published = (founded.work / "m.json").exists()
    assert published == (step in {"before the bracket closes", "before the audit file follows"})
    assert declared or not published
    founded.ok("ledger", "verify")
    founded.ok("rebuild", "--publish")
    assert founded.ok("rebuild", "--publish").out == "nothing waits to be published\n"
    founded.ok(*EMIT)
    assert [path.name for path in founded.work.iterdir()] == ["m.json"]
    lines = founded.audit.read_bytes().count(b"\n")
    assert lines == len(founded.records())


def test_a_head_that_another_process_made_a_moment_ago_is_no_sign_of_a_restored_backup(
    founded: Soup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever compares the ledger with the highest head seen must look at the head first: the ledger only grows."""
    load, others = heads.load, [("keys", "list")]

    def load_late(directory: Path, ledger: str) -> object:
        while others:
            founded.ok(*others.pop())
        return load(directory, ledger)

    monkeypatch.setattr(heads, "load", load_late)
    founded.ok(*EMIT)


@pytest.mark.slow
def test_eight_processes_keep_one_chain(founded: Soup) -> None:
    running = [founded.start(*BOM, "--base-sha", A, "--output", f"m{number}.json") for number in range(8)]
    assert [process.wait(120) for process in running] == [0] * 8
    for process in running:
        process.communicate()
    founded.ok("ledger", "verify")
    assert len(founded.events(BomDeclared2)) == 8
    founded.ok("keys", "list")
    assert founded.audit.read_bytes().count(b"\n") == len(founded.records())


@pytest.mark.slow
def test_two_first_commands_make_one_ledger_and_one_pair_of_keys(soup: Soup) -> None:
    running = [soup.start(*BOM, "--base-sha", B) for _ in range(4)]
    assert [process.wait(120) for process in running] == [0] * 4
    for process in running:
        process.communicate()
    assert [record.type for record in soup.records()].count("ledger.created/1") == 1
    soup.ok("ledger", "verify")


@pytest.mark.slow
def test_a_second_interrupt_does_not_cost_the_record(founded: Soup) -> None:
    """SIGINT during the closing commit is held back until the end is durable."""
    code = f"""
import os, signal, sys
from ledger.writer import Writer
from ledger import heads
from ledger.events.command import CommandFinished
append = Writer.append
def nervous(self, command, events):
    if any(isinstance(event, CommandFinished) for _, event in events):
        os.kill(os.getpid(), signal.SIGINT)
    return append(self, command, events)
Writer.append = nervous
sys.argv[0] = {str(SCRIPT)!r}
from commands.cli import main
main(sys.argv[1:])
"""
    outcome = founded.python(code, "keys", "list")
    assert outcome.code in {0, 128 + signal.SIGINT}
    assert len(founded.events(CommandFinished)) == 2
