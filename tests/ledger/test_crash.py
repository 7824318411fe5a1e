"""Kill -9 at every statement: afterwards the ledger opens, verifies, and takes the next entry; a commit is all there or not.

A child process counts the statements that SQLite begins, on every connection it opens, and kills itself at the k-th; k counts
up until a child survives. One nursery process forks them, since a test runner with threads had better not.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger import keys
from ledger.errors import KeyUnavailableError
from ledger.reader import Reader
from ledger.verify import verify
from tests.processes import call
from tests.simulator import COMMAND_A, SIZE, SmallLedger, declared, finished, found, make, signer

BATCH = 5
BATCH_SIZE = 4


def append_a_batch(directory: Path) -> None:
    """One commit of several events, one of which moves the command index."""
    ledger = _ledger(directory)
    writer = ledger.open()
    events = [(f"run/{number}", declared(number)) for number in range(BATCH_SIZE - 1)]
    writer.append(COMMAND_A, [*events, ("command/0190a1b2-0000-7000-8000-00000000000b", finished())])
    writer.close()


def found_one(directory: Path) -> None:
    """The first command ever: both keys, then the genesis."""
    keys.generate_pair(directory, None)
    found(directory)


def _ledger(directory: Path) -> SmallLedger:
    return SmallLedger(directory / "ledger.db", signer("author"), signer("log"), identity=None)  # type: ignore[arg-type]


def nursery(work: str, template: str, directory: str) -> None:
    """Run `work` in children that die at statement 1, 2, 3 ... each on a copy of `template`; print how many died."""
    task: Callable[[Path], None] = globals()[work]
    for k in range(1, 500):
        home = Path(directory) / str(k)
        home.mkdir()
        if template:
            shutil.copyfile(template, home / "ledger.db")
        child = os.fork()
        if child == 0:
            _die_at(k)
            task(home)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            sys.stdout.write(str(k - 1))
            return
        assert os.WTERMSIG(status) == signal.SIGKILL, f"child {k} ended with {status}"
    raise AssertionError("no child survived")


def _die_at(k: int) -> None:
    """Watch every connection that is opened from here on."""
    left = k
    plain = sqlite3.connect

    def count(statement: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def connect(*arguments: object, **options: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = plain(*arguments, **options)  # type: ignore[call-overload]
        connection.set_trace_callback(count)
        return connection

    sqlite3.connect = connect  # type: ignore[assignment]


def killed(work: str, template: Path | None, directory: Path) -> int:
    """Give the number of children that died; the home of the k-th is `directory / str(k)`."""
    return int(call("tests.ledger.test_crash:nursery", work, template or "", directory))


@pytest.mark.slow
def test_a_kill_at_any_statement_of_an_append_leaves_all_of_it_or_nothing(
    template: SmallLedger, tmp_path: Path
) -> None:
    deaths = killed("append_a_batch", template.path, tmp_path)
    sizes = []
    for k in range(1, deaths + 2):
        ledger = _ledger(tmp_path / str(k))
        with Reader.open_foreign(ledger.path) as reader:
            sizes.append(reader.size)
            assert len([record.event() for record in reader.records()]) == reader.size
        _lives_on(ledger, template, sizes[-1])
    assert set(sizes) == {SIZE, SIZE + BATCH_SIZE}, "an acknowledged commit stays, and half a commit is none"
    assert sizes == sorted(sizes), "once it is durable it stays so"
    assert deaths > 20, "the premise: there were statements to die at"


@pytest.mark.slow
def test_a_kill_at_any_statement_of_the_founding_leaves_a_ledger_or_none(tmp_path: Path) -> None:
    deaths = killed("found_one", None, tmp_path)
    sizes = []
    for k in range(1, deaths + 2):
        home = tmp_path / str(k)
        with sqlite3.connect(home / "ledger.db") as plain:
            tables = plain.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            sizes.append(plain.execute("SELECT count(*) FROM entries").fetchone()[0] if tables else 0)
        plain.close()
        ledger = _ledger(home)
        if sizes[-1] == 0:
            found(home)
        _lives_on(ledger, None, 3)
        for role in keys.ROLES:
            keys.load(home / f"{role}.key", role, lambda: None)
    assert set(sizes) == {0, 3}
    assert sizes == sorted(sizes)
    assert deaths > 20


def _lives_on(ledger: SmallLedger, template: SmallLedger | None, size: int) -> None:
    """It opens, takes another entry, and verifies."""
    with Reader.open_own(ledger.path) as reader:
        assert reader.size == size
    writer = ledger.open()
    writer.append(COMMAND_A, [("run/after", declared(1))])
    writer.close()
    assert ledger_verifies(ledger, template) == size + 1


def ledger_verifies(ledger: SmallLedger, template: SmallLedger | None) -> int:
    with Reader.open_foreign(ledger.path) as reader:
        trust, heads = (template.identity, template.heads) if template else (None, ())
        return verify(reader, trust=trust, heads=heads).size


# Keys: the files are the first thing that the first command makes.


def make_keys(directory: Path) -> None:
    keys.generate_pair(directory, None)


CALLS = ("open", "fsync", "link", "unlink", "close")


def key_nursery(directory: str) -> None:
    """Like `nursery`, at every system call by which keys are written."""
    for k in range(1, 100):
        home = Path(directory) / str(k)
        home.mkdir()
        child = os.fork()
        if child == 0:
            _die_at_call(k)
            make_keys(home)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            sys.stdout.write(str(k - 1))
            return


def _die_at_call(k: int) -> None:
    left = k

    def counting(real: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return counted

    for name in CALLS:
        setattr(os, name, counting(getattr(os, name)))


def test_a_kill_at_any_step_of_making_keys_leaves_whole_keys_or_none(tmp_path: Path) -> None:
    deaths = int(call("tests.ledger.test_crash:key_nursery", tmp_path))
    assert deaths > 6
    for k in range(1, deaths + 2):
        home = tmp_path / str(k)
        before = {role: _public(home / f"{role}.key") for role in keys.ROLES}
        keys.generate_pair(home, None)
        after = {role: _public(home / f"{role}.key") for role in keys.ROLES}
        assert None not in after.values()
        assert all(before[role] in {None, after[role]} for role in keys.ROLES), "a whole key stays"


def _public(path: Path) -> bytes | None:
    try:
        return keys.load(path, "log" if path.name == "log.key" else "author", lambda: None).public
    except KeyUnavailableError:
        assert not path.exists(), "half a key"
        return None


# What a kill in the file system may leave.


@pytest.mark.parametrize("keep", [0, 1, 31, 32, 33, 4096, -1], ids=lambda keep: f"{keep} bytes")
def test_a_torn_wal_costs_the_torn_commits_and_nothing_before(template: SmallLedger, tmp_path: Path, keep: int) -> None:
    """Each frame of a WAL carries a checksum; SQLite takes the whole commits before the first that does not fit."""
    live = template.copy_to(tmp_path / "live")
    writer = live.open()
    for number in range(3):
        writer.append(COMMAND_A, [("run/torn", declared(number))])
    torn = template.copy_to(tmp_path / "torn")
    wal = live.path.with_name("ledger.db-wal").read_bytes()
    torn.path.with_name("ledger.db-wal").write_bytes(wal[:keep])
    writer.close()
    with Reader.open_foreign(torn.path) as reader:
        assert SIZE <= reader.size < SIZE + 3
    _lives_on(torn, template, reader.size)


def test_a_sealed_commit_is_written_before_its_checkpoint_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No checkpoint leaves the process before COMMIT has returned: the statement log shows COMMIT before the head is saved."""
    ledger = make(tmp_path / "own")
    writer = ledger.open(lambda: 2**50)
    steps: list[str] = []
    with writer._recorder.datastore.get_connection(commit=True) as connection:
        connection._sqlite_conn.set_trace_callback(lambda statement: steps.append(statement.split()[0]))
    keep = writer._keep_head

    def keep_and_say(checkpoint: str, now: int) -> None:
        steps.append("KEEP")
        keep(checkpoint, now)

    monkeypatch.setattr(writer, "_keep_head", keep_and_say)
    writer.append(COMMAND_A, [("run/new", declared(1))])
    writer.close()
    assert re.search(r"BEGIN .*INSERT .*UPDATE .*COMMIT KEEP", " ".join(steps))
