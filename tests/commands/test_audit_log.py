"""`soup audit-log`: a file that follows the ledger, and can be lost, torn or taken for another without harm."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import audit_file
from ledger.events.audit_log import AuditSegmentSealed
from tests.runner import BOM, A, Outcome, Soup, digest

HEAVY = ("duckdb", "cyclonedx", "spdx_tools", "torch", "jsonschema_rs", "pydantic", "rich")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def follows(soup: Soup, path: Path | None = None) -> bool:
    """Whether the file says of every entry what the ledger says, in order."""
    expected = [(record.position, record.hash.hex(), record.type, record.command) for record in soup.records()]
    return [
        (row["position"], row["hash"], row["type"], row["command"]) for row in lines(path or soup.audit)
    ] == expected


@pytest.fixture
def used(soup: Soup) -> Soup:
    """A user with a few commands behind them: a success, a usage error, a failure."""
    soup.ok(*BOM, "--base-sha", A)
    soup("bom", "emit")
    soup("bom", "verify", "nothing.json")
    return soup


# The file.


def test_each_entry_is_a_line_with_its_position_and_hash(used: Soup) -> None:
    assert follows(used)
    assert used.audit.stat().st_mode & 0o777 == 0o600
    assert [row["event"] for row in lines(used.audit)] == [json.loads(r.payload or b"") for r in used.records()]


def test_wider_permissions_are_taken_back(used: Soup) -> None:
    used.audit.chmod(0o666)
    used.ok("keys", "list")
    assert used.audit.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("cut", [1, 2, 100, 10**9])
def test_a_torn_tail_is_repaired_by_the_next_command(used: Soup, cut: int) -> None:
    whole = used.audit.read_bytes()
    used.audit.write_bytes(whole[: max(0, len(whole) - cut)])
    assert used.ok("keys", "list").err == ""
    assert follows(used)


@pytest.mark.parametrize("kept", [0, 1, 60])
def test_a_torn_first_line_is_repaired(used: Soup, kept: int) -> None:
    used.audit.write_bytes(used.audit.read_bytes()[:kept])
    assert used.ok("keys", "list").err == ""
    assert follows(used)


def test_a_missing_file_is_made_again(used: Soup) -> None:
    used.audit.unlink()
    used.ok("keys", "list")
    assert follows(used)


def test_a_file_that_is_far_behind_catches_up_and_says_so(used: Soup, monkeypatch: pytest.MonkeyPatch) -> None:
    used.audit.unlink()
    monkeypatch.setattr(audit_file, "MAX_LINES", 5)
    assert re.search(r"warning: the audit log is \d+ entries behind", used.ok("keys", "list").err)
    for _ in range(10):
        used.ok("keys", "list")
    assert follows(used)


def test_the_file_may_lie_elsewhere(soup: Soup, tmp_path: Path) -> None:
    soup.with_env(SOUP_AUDIT_LOG_PATH=tmp_path / "elsewhere.jsonl").ok("keys", "list")
    assert follows(soup, tmp_path / "elsewhere.jsonl")
    assert not soup.audit.exists()


def notes(path: Path) -> None:
    path.write_bytes(b"notes, years of them\n" * 50)


def notes_without_an_end(path: Path) -> None:
    path.write_bytes(b"one line without an end")


def json_lines(path: Path) -> None:
    path.write_bytes(b'{"position":1}\n{"position":2}\n')


def half_a_line_like_ours(path: Path) -> None:
    path.write_bytes(b'{"command":"make')


def a_symlink(path: Path) -> None:
    path.with_name("target").write_bytes(b"theirs")
    path.symlink_to(path.with_name("target"))


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def a_hard_link(path: Path) -> None:
    path.with_name("first").write_bytes(b"")
    path.hardlink_to(path.with_name("first"))


def a_directory(path: Path) -> None:
    path.mkdir()


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_missing_directory(path: Path) -> None:
    path.parent.rmdir()


@pytest.mark.parametrize(
    "make",
    [notes, notes_without_an_end, json_lines, half_a_line_like_ours, a_symlink, a_dangling_link, a_hard_link, a_directory, a_fifo,
     a_missing_directory],
    ids=lambda make: make.__name__,
)  # fmt: skip
def test_what_is_no_audit_log_is_left_as_it_was_and_the_command_succeeds(
    soup: Soup, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    make(place / "file")
    before = state_of(place)
    outcome = soup.with_env(SOUP_AUDIT_LOG_PATH=place / "file").ok(*BOM, "--base-sha", A, "--output", "m.json")
    assert "soup: warning: " in outcome.err
    assert str(place / "file") in outcome.err
    assert state_of(place) == before
    assert (soup.work / "m.json").exists()


def state_of(place: Path) -> list[tuple[Any, ...]]:
    """Everything a write could have changed."""
    found: list[tuple[Any, ...]] = []
    for path in sorted(place.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found.append((path.name, status.st_mode, status.st_nlink, status.st_size, status.st_mtime_ns, content))
    return found


@pytest.mark.parametrize("where", ["first", "last"])
def test_an_edited_file_is_left_as_it_was_with_a_warning(used: Soup, where: str) -> None:
    rows = used.audit.read_bytes().splitlines(keepends=True)
    at = 0 if where == "first" else -1
    rows[at] = rows[at].replace(b'"position":', b'"position": ', 1)
    edited = b"".join(rows)
    used.audit.write_bytes(edited)
    outcome = used.ok("keys", "list")
    assert "is not an audit log of this ledger, so it was left untouched" in outcome.err
    assert used.audit.read_bytes() == edited


def test_another_ledgers_audit_log_is_left_as_it_was(used: Soup, tmp_path: Path) -> None:
    other = Soup(tmp_path / "other", used.work)
    before = used.audit.read_bytes()
    outcome = other.with_env(SOUP_AUDIT_LOG_PATH=used.audit).ok("keys", "list")
    assert "left untouched" in outcome.err
    assert used.audit.read_bytes() == before


def test_the_ledger_itself_is_no_audit_log(used: Soup) -> None:
    outcome = used.with_env(SOUP_AUDIT_LOG_PATH=used.ledger).ok("keys", "list")
    assert "left untouched" in outcome.err
    used.ok("ledger", "verify")


def test_a_key_is_no_audit_log(used: Soup) -> None:
    key = used.home / "keys" / "author.key"
    before = key.read_bytes()
    used.with_env(SOUP_AUDIT_LOG_PATH=key).ok("keys", "list")
    assert key.read_bytes() == before
    used.ok("ledger", "verify")


# Rotation.


def sealed(soup: Soup) -> list[Path]:
    return sorted(soup.home.glob("audit-*.jsonl"))


def test_a_small_file_is_not_rotated(used: Soup) -> None:
    outcome = used.ok("audit-log", "rotate", "--cap-mb", "500")
    assert outcome.out.startswith("nothing to rotate")
    assert sealed(used) == []


def test_a_sealed_segment_is_named_by_its_positions_and_its_digest_is_on_the_record(used: Soup) -> None:
    outcome = used.ok("audit-log", "rotate", "--cap-mb", "0", "--json")
    (segment,), (event,) = sealed(used), used.events(AuditSegmentSealed)
    assert outcome.json["segment"] == segment.name == event.name
    rows = lines(segment)
    assert segment.name == f"audit-{rows[0]['position']:012d}-{rows[-1]['position']:012d}.jsonl"
    assert (event.first, event.last, event.lines) == (1, len(rows), len(rows))
    assert (event.sha256, event.size) == (digest(segment.read_bytes()), segment.stat().st_size)


def test_no_line_is_lost_or_said_twice_over_many_rotations(used: Soup) -> None:
    for _ in range(3):
        used.ok("audit-log", "rotate", "--cap-mb", "0")
        used.ok("keys", "list")
    rows = [row for path in (*sealed(used), used.audit) for row in lines(path)]
    assert len(sealed(used)) == 3
    assert [row["position"] for row in rows] == [record.position for record in used.records()]
    assert [row["hash"] for row in rows] == [record.hash.hex() for record in used.records()]


def test_after_a_rotation_a_lost_file_begins_behind_the_last_segment(used: Soup) -> None:
    used.ok("audit-log", "rotate", "--cap-mb", "0")
    used.audit.unlink()
    used.ok("keys", "list")
    (segment,) = sealed(used)
    assert lines(used.audit)[0]["position"] == lines(segment)[-1]["position"] + 1


@pytest.mark.slow
def test_a_rotation_that_was_killed_after_its_record_is_completed_by_the_next_command(used: Soup) -> None:
    used.killed_at("commands.audit_file:close_segment", "audit-log", "rotate", "--cap-mb", "0")
    assert sealed(used) == []
    used.ok("keys", "list")
    (segment,), (event,) = sealed(used), used.events(AuditSegmentSealed)
    assert (segment.name, digest(segment.read_bytes())) == (event.name, event.sha256)
    rows = [row["position"] for path in (segment, used.audit) for row in lines(path)]
    assert rows == [record.position for record in used.records()]


@pytest.mark.slow
def test_a_rotation_that_was_killed_after_its_rename_loses_no_line(used: Soup) -> None:
    """The segment has its own name, and the audit log has none until the next command."""
    used.killed_at("commands.audit_file:_sync", "audit-log", "rotate", "--cap-mb", "0")
    (segment,) = sealed(used)
    assert segment.stat().st_nlink == 1
    assert not used.audit.exists()
    used.ok("keys", "list")
    rows = [row["position"] for path in (segment, used.audit) for row in lines(path)]
    assert rows == [record.position for record in used.records()]


def test_a_file_in_the_way_of_a_segment_is_not_replaced(used: Soup) -> None:
    last = len(used.records()) + 1
    (used.home / f"audit-{1:012d}-{last:012d}.jsonl").write_text("theirs")
    outcome = used("audit-log", "rotate", "--cap-mb", "0")
    assert outcome.code == 1
    assert "is in the way of a sealed segment" in outcome.err
    assert [path.read_text() for path in sealed(used)] == ["theirs"]


def test_a_foreign_file_is_not_rotated(used: Soup, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("theirs\n")
    outcome = used.with_env(SOUP_AUDIT_LOG_PATH=tmp_path / "notes")("audit-log", "rotate", "--cap-mb", "0")
    assert outcome.code == 1
    assert (tmp_path / "notes").read_text() == "theirs\n"


# tail.


def tail(soup: Soup, *options: str) -> Outcome:
    return soup.ok("audit-log", "tail", "--json", *options)


def test_tail_shows_the_newest_commands_oldest_first_and_leaves_itself_out(used: Soup) -> None:
    assert [(row["command"], row["outcome"], row["exit_code"]) for row in tail(used).rows] == [
        ("bom emit", "done", 0),
        ("bom emit", "failed", 2),
        ("bom verify", "failed", 1),
    ]
    assert [row["command"] for row in tail(used, "--limit", "2").rows] == ["bom verify", "audit-log tail"]


def test_a_row_can_be_checked_against_the_ledger(used: Soup) -> None:
    records = {record.position: record for record in used.records()}
    for row in tail(used).rows:
        assert records[row["position"]].hash.hex() == row["hash"]
        assert records[row["finished_position"]].hash.hex() == row["finished_hash"]


def test_tail_selects_by_command_group_and_failure(used: Soup) -> None:
    assert {row["command"] for row in tail(used, "--command", "bom").rows} == {"bom emit", "bom verify"}
    assert [row["command"] for row in tail(used, "--command", "bom verify").rows] == ["bom verify"]
    assert [row["exit_code"] for row in tail(used, "--failed").rows] == [2, 1]
    assert tail(used, "--command", "bo").rows == []
    assert tail(used, "--command", "%").rows == []


def test_tail_selects_by_time(used: Soup) -> None:
    second = tail(used).rows[1]["time"]
    assert [row["time"] >= second for row in tail(used, "--since", second, "--command", "bom").rows] == [True, True]
    assert tail(used, "--since", "2999-01-01T00:00:00Z").rows == []
    assert len(tail(used, "--since", "1970-01-01T00:00:00Z", "--command", "bom").rows) == 3


def test_as_a_table_control_characters_are_neutralised(soup: Soup) -> None:
    soup("ledger", "show", "\x1b[2J\x07\r\n\t\u202e\u2028\x9b31m\x7f")
    out = soup.ok("audit-log", "tail").out
    assert len(out.splitlines()) == 2
    assert "\\u001b[2J\\u0007" in out
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]", out) is None


def test_as_json_control_characters_are_escaped_and_each_row_is_one_line(soup: Soup) -> None:
    soup("ledger", "show", "\x1b[2J\x07\r\n\x7f")
    outcome = tail(soup)
    assert len(outcome.raw.splitlines()) == 1
    assert re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", outcome.raw) is None
    assert outcome.rows[0]["argv"][-1] == "\x1b[2J\x07\r\n\x7f"


def test_in_a_pipe_there_are_no_colours(used: Soup) -> None:
    assert "\x1b" not in used.ok("audit-log", "tail").out


@pytest.mark.slow
@pytest.mark.parametrize("no_colour", [True, False])
def test_on_a_terminal_a_table_is_drawn_and_no_color_is_obeyed(used: Soup, no_colour: bool) -> None:
    environ = {"TERM": "xterm-256color", "COLUMNS": "200", **({"NO_COLOR": "1"} if no_colour else {})}
    primary, secondary = os.openpty()
    process = used.with_env(**environ).start("audit-log", "tail", stdout=secondary)
    os.close(secondary)
    shown = b""
    try:
        while chunk := os.read(primary, 65_536):
            shown += chunk
    except OSError:  # EIO: the other end is closed
        pass
    os.close(primary)
    assert process.wait(60) == 0
    process.communicate()
    assert b"bom verify" in shown
    assert (b"\x1b[31m" in shown) is not no_colour


def test_tail_reads_a_strangers_ledger(used: Soup, tmp_path: Path) -> None:
    rows = tail(used).rows
    stranger = Soup(tmp_path / "stranger", used.work)
    assert tail(stranger, "--ledger", str(used.ledger)).rows[:3] == rows
    assert not stranger.home.exists()


@pytest.mark.slow
@pytest.mark.parametrize("line", [("--help",), ("audit-log", "tail"), ("audit-log", "tail", "--json")])
def test_nothing_heavy_is_loaded_for(used: Soup, line: tuple[str, ...]) -> None:
    code = """
import sys
from commands.cli import run
code = run(sys.argv[2:])
print(code, *sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1].split(","))), file=sys.stderr)
"""
    outcome = used.python(code, ",".join((*HEAVY, *(("nacl", "eventsourcing") if line[0] == "--help" else ()))), *line)
    assert outcome.err.splitlines()[-1] == "0", sys.version
