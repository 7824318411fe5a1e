"""Laws of company: many processes append to one ledger, others read meanwhile, and two first commands make one ledger."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ledger.errors import ConflictError
from ledger.reader import LedgerUnreadableError, Reader
from ledger.verify import verify
from ledger.writer import open_or_found
from tests.processes import start
from tests.simulator import SIZE, SmallLedger, declared, found, make, signer, ticking

PROCESSES, EVENTS = 8, 250


def _command(number: int) -> str:
    return f"0190a1b2-0000-7000-8000-{number:012x}"


def append_many(path: str, number: str, count: str, stream: str) -> None:
    """Wait for a line on standard input, then append `count` events one by one; print how many were acknowledged."""
    ledger = SmallLedger(Path(path), signer("author"), signer("log"), identity=None)  # type: ignore[arg-type]
    sys.stdin.readline()
    writer = ledger.open(ticking())
    written = 0
    for each in range(int(count)):
        try:
            writer.append(_command(int(number)), [(stream, declared(each))])
        except ConflictError:
            continue
        written += 1
    writer.close()
    sys.stdout.write(str(written))


def found_at_once(directory: str) -> None:
    """Wait for a line on standard input, then found a ledger or open it; print its id."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    writer, founded = open_or_found(
        Path(directory) / "ledger.db",
        author=signer("author"),
        log=signer("log"),
        heads_directory=Path(directory) / "heads",
        clock=ticking(),
        command=_command(1),
        version="0.1.0",
    )
    writer.close()
    sys.stdout.write(f"{writer.identity.ledger} {founded}\n")


@pytest.mark.slow
def test_many_processes_append_without_losing_an_event_while_others_read(tmp_path: Path) -> None:
    ledger = make(tmp_path / "own")
    sizes: list[int] = []
    children = [
        start("tests.ledger.test_concurrency:append_many", ledger.path, number, EVENTS, f"run/writer-{number}")
        for number in range(PROCESSES)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    while any(child.poll() is None for child in children):
        with Reader.open_own(ledger.path) as reader:
            sizes.append(reader.size)
            assert verify(reader, trust=ledger.identity, heads=ledger.heads).size == reader.size
            assert reader.size == sum(1 for _ in reader.records())
    written = [int(child.communicate()[0]) for child in children]
    assert [child.returncode for child in children] == [0] * PROCESSES
    assert written == [EVENTS] * PROCESSES
    assert sizes == sorted(sizes)
    assert len(sizes) > 3
    assert ledger.verify(heads=ledger.heads).size == SIZE + PROCESSES * EVENTS
    with Reader.open_own(ledger.path) as reader:
        for number in range(PROCESSES):
            events = [record.event() for record in reader.stream(f"run/writer-{number}")]
            assert events == [declared(each) for each in range(EVENTS)]


@pytest.mark.slow
def test_a_strangers_look_at_a_ledger_in_motion_is_a_snapshot_or_an_honest_refusal(tmp_path: Path) -> None:
    ledger = make(tmp_path / "own")
    child = start("tests.ledger.test_concurrency:append_many", ledger.path, 0, EVENTS, "run/writer")
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    looks = 0
    while child.poll() is None:
        looks += 1
        try:
            with Reader.open_foreign(ledger.path) as reader:
                assert verify(reader, trust=ledger.identity, heads=ledger.heads).size == reader.size
        except LedgerUnreadableError as error:
            assert "keeps changing" in str(error)  # noqa: PT017 - the other of the two answers
    assert child.communicate()[0] == str(EVENTS)
    assert looks > 0
    assert ledger.verify().size == SIZE + EVENTS


@pytest.mark.slow
def test_many_processes_share_one_stream_and_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    ledger = make(tmp_path / "own")
    children = [
        start("tests.ledger.test_concurrency:append_many", ledger.path, number, 50, "run/shared") for number in range(4)
    ]
    written = [int(child.communicate("go\n")[0]) for child in children]
    assert [child.returncode for child in children] == [0] * 4
    total = sum(written)
    with Reader.open_own(ledger.path) as reader:
        assert [record.version for record in reader.stream("run/shared")] == list(range(1, total + 1))
        for number in range(4):
            assert sum(1 for _ in reader.of_command(_command(number))) == written[number]
    assert ledger.verify().size == SIZE + total
    assert min(written) > 0


@pytest.mark.parametrize("attempt", range(3))
def test_processes_that_found_at_once_make_one_ledger(tmp_path: Path, attempt: int) -> None:
    children = [start("tests.ledger.test_concurrency:found_at_once", tmp_path) for _ in range(4)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.communicate()[0].split() for child in children]
    assert [child.returncode for child in children] == [0] * 4
    assert len({ledger for ledger, _ in answers}) == 1
    assert sorted(founded for _, founded in answers) == ["False"] * 3 + ["True"]
    with Reader.open_own(tmp_path / "ledger.db") as reader:
        assert verify(reader).size == 3


def test_doors_of_one_process_on_two_ledgers_do_not_mix(tmp_path: Path) -> None:
    ledgers = [found(tmp_path / name) for name in "ab"]
    doors = [ledger.open() for ledger in ledgers]
    for number in range(4):
        doors[number % 2].append(_command(number), [("run/1", declared(number))])
    for door in doors:
        door.close()
    for ledger in ledgers:
        assert ledger.verify().size == 5
