"""Every command is on the record: started before the work, finished after it, redacted before it was hashed."""

from __future__ import annotations

import base64
import getpass
import os
import signal
import socket
from pathlib import Path

import pytest

from commands.record import MAX_ARGUMENT
from commands.registry import COMMANDS
from ledger.events import EVENT_TYPES
from ledger.events.base import Event
from ledger.events.command import Base64Argument, CommandFinished, CommandStarted
from tests.runner import ATTEST, BOM, A, B, C, Outcome, Soup, finish

# None of these has ever opened anything; they only look as if they could.
SECRETS = {
    "github-token": "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "aws-access-key": "AKIA" + "IOSFODNN7EXAMPLQ",
    "hf-token": "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345",
    "e-mail": "jane.doe@" + "example.org",
    "option": "correct-horse-" + "battery-staple",
}


def started(soup: Soup) -> list[CommandStarted]:
    return soup.events(CommandStarted)


def finished(soup: Soup) -> list[CommandFinished]:
    return soup.events(CommandFinished)


def outcomes(soup: Soup) -> dict[str, str]:
    """What `tail` makes of each command so far; the newest of a name wins."""
    return {row["command"]: row["outcome"] for row in soup.ok("audit-log", "tail", "--json").rows}


def test_the_first_command_makes_keys_and_genesis_and_says_so(soup: Soup) -> None:
    outcome = soup.ok("keys", "list")
    assert f"made the author's and the log's signing key in {soup.home / 'keys'}" in outcome.err
    assert "founded the ledger" in outcome.err
    assert [record.type for record in soup.records()[:3]] == [
        "ledger.created/1",
        "key.registered/1",
        "key.registered/1",
    ]
    assert soup.home.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in soup.home.rglob("*.key")} == {0o600}
    assert soup.ledger.stat().st_mode & 0o777 == 0o600


def test_the_second_command_founds_nothing(soup: Soup) -> None:
    soup.ok("keys", "list")
    assert soup.ok("keys", "list").err == ""
    assert sum(record.type == "ledger.created/1" for record in soup.records()) == 1


def test_a_command_is_started_before_its_own_events_and_finished_after_them(soup: Soup) -> None:
    soup.ok(*BOM, "--base-sha", A, "--output", "m.json")
    types = [record.type for record in soup.records()[3:]]
    assert types == [
        "command.started/1",
        "artifact.declared/1",
        "bom.declared/2",
        "document.rendered/1",
        "document.published/1",
        "command.finished/1",
    ]
    assert len({record.command for record in soup.records()}) == 1


def test_the_record_holds_who_where_and_what(soup: Soup) -> None:
    soup.with_env(USER="forged").ok("keys", "show", "log")
    (begin,), (end,) = started(soup), finished(soup)
    assert (begin.command, begin.argv) == ("keys show", ["soup", "keys", "show", "log"])
    assert (begin.process.host, begin.process.pid) == (socket.gethostname(), os.getpid())
    assert begin.directory.endswith("/work")
    assert (end.exit_code, end.error) == (0, None)
    assert end.duration_us > 0


def test_the_operator_is_the_uids_and_the_environments_word_stays_a_claim(soup: Soup) -> None:
    soup.with_env(USER="forged", LOGNAME="forged too").ok("keys", "list")
    (begin,) = started(soup)
    assert begin.operator.uid == os.getuid()
    assert begin.operator.user != "forged"
    assert begin.operator.claimed == {"USER": "forged", "LOGNAME": "forged too"}


def test_the_name_of_the_operator_comes_from_the_password_database(soup: Soup, monkeypatch: pytest.MonkeyPatch) -> None:
    soup.ok("keys", "list")
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert started(soup)[0].operator.user == getpass.getuser()


@pytest.mark.parametrize("line", [["--help"], ["-h"], ["--version"], ["bom", "--help"], ["bom", "emit", "-h"], []])
def test_help_and_version_are_no_commands(soup: Soup, line: list[str]) -> None:
    outcome = soup(*line)
    assert outcome.code == (0 if line else 2)
    assert outcome.out
    assert not soup.home.exists()


def test_shell_completion_is_no_command(soup: Soup) -> None:
    completing = soup.with_env(_SOUP_COMPLETE="bash_complete", COMP_WORDS="soup ledg", COMP_CWORD="1")
    outcome = completing.process("ledg")
    assert outcome.code == 0
    assert not soup.home.exists()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (["bom", "emit", "--name", "m"], "bom emit"),
        (["bom", "emit", "--no-such-option"], "bom emit"),
        (["bom", "emti"], "bom"),
        (["ledgr", "verify"], "soup"),
        (["audit-log", "tail", "--limit", "0"], "audit-log tail"),
        (["audit-log", "tail", "--since", "yesterday"], "audit-log tail"),
        (["ledger", "show", "one"], "ledger show"),
        ([*BOM, "--base-sha", "123"], "bom emit"),
        ([*BOM, "--format", "swid"], "bom emit"),
        ([*ATTEST[:3], "cook", *ATTEST[4:]], "attest emit"),
        (["--no-such-option"], "soup"),
    ],
)
def test_a_usage_error_is_recorded_with_exit_code_2(soup: Soup, line: list[str], name: str) -> None:
    outcome = soup(*line)
    assert outcome.code == 2
    assert outcome.raw == b""
    (begin,), (end,) = started(soup), finished(soup)
    assert (begin.command, begin.argv) == (name, ["soup", *line])
    assert end.exit_code == 2
    assert end.error


def test_a_failure_is_recorded_with_its_code_and_its_redacted_reason(soup: Soup) -> None:
    outcome = soup(*BOM, "--model", f"{SECRETS['github-token']}.gguf")
    assert outcome.code == 1
    (end,) = finished(soup)
    assert end.exit_code == 1
    assert end.error is not None
    assert "[redacted:" in end.error
    assert sum(end.redactions.values()) == 1


def test_a_secret_on_a_command_line_is_nowhere_below_the_home(soup: Soup) -> None:
    soup(
        *BOM,
        "--license",
        SECRETS["github-token"],
        "--task",
        f"mail {SECRETS['e-mail']}",
        "--api-key",
        SECRETS["option"],
    )
    soup(*BOM, "--name", SECRETS["hf-token"], "--base-sha", A, "--base-model", f"https://u:{SECRETS['option']}@host/m")
    soup("ledger", "show", SECRETS["aws-access-key"])
    soup("--token", SECRETS["option"])
    assert {name for name, secret in SECRETS.items() if secret.encode() in soup.stored()} == set()
    assert b"[redacted:" in soup.stored()


def test_hits_are_counted_by_rule_in_the_record_and_in_the_audit_log(soup: Soup) -> None:
    soup(*BOM, "--license", SECRETS["github-token"], "--task", SECRETS["e-mail"], "--base-sha", A)
    (begin,) = started(soup)
    assert sum(begin.redactions.values()) == 2
    assert len(begin.redactions) == 2
    placeholders = [argument for argument in begin.argv if isinstance(argument, str) and "[redacted:" in argument]
    assert placeholders == [f"[redacted:{rule}]" for rule in sorted(begin.redactions, key=lambda r: "mail" in r)]
    (row,) = soup.ok("audit-log", "tail", "--json").rows
    assert sum(row["redactions"].values()) >= 2


def test_the_environments_claims_are_redacted(soup: Soup) -> None:
    soup.with_env(USER=SECRETS["github-token"]).ok("keys", "list")
    assert SECRETS["github-token"].encode() not in soup.stored()


def test_ones_home_directory_is_a_placeholder_that_can_be_undone(soup: Soup) -> None:
    at_home = Soup(soup.home, soup.home.parent / "project")
    at_home.work.mkdir(parents=True)
    at_home.ok(*BOM, "--base-sha", A, "--output", "m.json")
    assert started(at_home)[0].directory == "[home]/project"
    assert str(soup.home.parent).encode() not in b"".join(record.payload or b"" for record in at_home.records())


def test_a_secret_longer_than_what_is_kept_is_not_cut_in_two(soup: Soup) -> None:
    long = "x " * (MAX_ARGUMENT // 2 - 10) + SECRETS["github-token"]
    soup("ledger", "show", long)
    assert SECRETS["github-token"][:12].encode() not in soup.stored()


def test_a_long_argument_is_shortened_and_says_by_how_much(soup: Soup) -> None:
    soup("ledger", "show", "y" * (MAX_ARGUMENT + 5))
    kept = started(soup)[0].argv[-1]
    assert isinstance(kept, str)
    assert kept == "y" * MAX_ARGUMENT + "[5 more characters]"


def test_five_thousand_arguments_are_recorded(soup: Soup) -> None:
    outcome = soup.process("ledger", "show", *["0123456789"] * 5000)
    assert outcome.code == 2
    (begin,) = started(soup)
    assert len(begin.argv) == 5003
    assert soup.ok("audit-log", "tail", "--json").rows[0]["argv"] == begin.argv


def test_arguments_beyond_all_measure_are_counted_not_kept(soup: Soup) -> None:
    outcome = soup("ledger", "show", *["z" * 10_000] * 150)
    assert outcome.code == 2
    (begin,) = started(soup)
    last = begin.argv[-1]
    assert isinstance(last, str)
    assert last.endswith("more arguments]")


def test_an_argument_that_is_not_utf8_travels_as_tagged_base64(soup: Soup) -> None:
    outcome = soup.process(*BOM, "--task", b"caf\xe9", "--base-sha", A)
    (begin,) = started(soup)
    argument = begin.argv[begin.argv.index("--task") + 1]
    assert isinstance(argument, Base64Argument)
    assert base64.b64decode(argument.base64) == b"caf\xe9"
    assert outcome.code == 0
    assert "base64:Y2Fm6Q==" in soup.ok("audit-log", "tail").out


def test_a_secret_in_an_argument_that_is_not_utf8_is_hidden_too(soup: Soup) -> None:
    soup.process("ledger", "show", b"\xff " + SECRETS["github-token"].encode())
    stored = soup.stored()
    assert SECRETS["github-token"].encode() not in stored
    for argument in started(soup)[0].argv:
        if isinstance(argument, Base64Argument):
            assert SECRETS["github-token"].encode() not in base64.b64decode(argument.base64)


def test_an_argument_with_a_nul_or_control_characters_is_recorded(soup: Soup) -> None:
    assert soup("ledger", "show", "\x1b[2J\x07\r\n\u202e").code == 2
    assert started(soup)[0].argv[-1] == "\x1b[2J\x07\r\n\u202e"


@pytest.mark.slow
def test_a_live_command_shows_as_running_and_a_killed_one_as_interrupted(soup: Soup) -> None:
    watch = soup.start("audit-log", "tail", "--follow")
    assert watch.stdout is not None
    assert watch.stdout.readline()  # the header of its table: it is at work, and so on the record
    assert outcomes(soup)["audit-log tail"] == "running"
    watch.kill()
    finish(watch)
    assert soup.ok("audit-log", "tail", "--json").rows[0]["outcome"] == "interrupted"
    assert [begin.argv[-1] for begin in started(soup)].count("--follow") == 1
    assert soup.ok("ledger", "verify").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_with_its_code_on_the_record(soup: Soup, number: signal.Signals, code: int) -> None:
    watch = soup.start("audit-log", "tail", "--follow")
    assert watch.stdout is not None
    assert watch.stdout.readline()
    watch.send_signal(number)
    outcome = finish(watch)
    assert outcome.code == code
    assert "Traceback" not in outcome.err
    assert finished(soup)[-1].exit_code == code


def watching(soup: Soup, monkeypatch: pytest.MonkeyPatch, *meanwhile: tuple[str, ...]) -> Outcome:
    """Watch while other commands run, one at each pause, until interrupted."""
    waiting = list(meanwhile)

    def pause(_: float) -> None:
        if not waiting:
            raise KeyboardInterrupt
        soup.ok(*waiting.pop(0))

    monkeypatch.setattr("commands.audit_log.time.sleep", pause)
    return soup("audit-log", "tail", "--follow", "--json", "--command", "bom")


def test_a_watch_shows_each_command_as_it_ends(soup: Soup, monkeypatch: pytest.MonkeyPatch) -> None:
    soup.ok(*BOM, "--base-sha", A)
    outcome = watching(soup, monkeypatch, (*BOM, "--base-sha", B), ("keys", "list"), (*BOM, "--base-sha", C))
    assert outcome.code == 130
    assert [row["argv"][-1] for row in outcome.rows] == [A, B, C]


def test_a_watch_loses_no_command_that_ends_while_it_begins(soup: Soup, monkeypatch: pytest.MonkeyPatch) -> None:
    from commands import audit_log

    show = audit_log._show

    def show_and_run_another(rows: list[dict[str, object]], *, as_json: bool) -> None:
        show(rows, as_json=as_json)
        soup.ok(*BOM, "--base-sha", B)

    monkeypatch.setattr(audit_log, "_show", show_and_run_another)
    soup.ok(*BOM, "--base-sha", A)
    outcome = watching(soup, monkeypatch, ("keys", "list"))
    assert [row["argv"][-1] for row in outcome.rows] == [A, B]


@pytest.mark.slow
def test_a_reader_that_had_enough_is_no_failure(soup: Soup) -> None:
    soup.ok("keys", "list")
    reading, writing = os.pipe()
    os.close(reading)
    outcome = soup.process("ledger", "log", "--json", stdout=writing)
    os.close(writing)
    assert (outcome.code, outcome.err) == (0, "")
    assert finished(soup)[-1].exit_code == 0


def test_reading_ones_own_ledger_is_recorded_and_reading_a_strangers_is_not(soup: Soup, tmp_path: Path) -> None:
    soup.ok("ledger", "log")
    size = len(soup.records())
    stranger = Soup(tmp_path / "stranger", soup.work)
    stranger.ok("ledger", "log", "--ledger", soup.ledger)
    assert not stranger.home.exists()
    assert len(soup.records()) == size
    soup.ok("ledger", "log", "--ledger", soup.ledger)
    assert len(soup.records()) == size + 2


def test_an_error_is_one_line_and_a_hint_and_json_where_asked_for(soup: Soup) -> None:
    plain = soup("ledger", "show", "99")
    assert plain.code == 1
    assert plain.err.splitlines()[-1] == "soup: there is no entry 99; the ledger has 4"
    asked = soup("bom", "verify", "nothing.json", "--json")
    assert '{"error": {"code": 1, "message": "cannot read' in asked.err
    assert asked.raw == b""


def test_debug_shows_the_trace(soup: Soup) -> None:
    assert "Traceback" not in soup("bom", "verify", "nothing.json").err
    assert "Traceback" in soup("--debug", "bom", "verify", "nothing.json").err


def test_every_command_of_the_table_answers_for_itself() -> None:
    assert all(row.line.endswith(".") and len(row.line) < 80 for row in COMMANDS.values())


def test_every_recorded_event_is_of_the_closed_table(soup: Soup) -> None:
    soup.ok(*BOM, "--base-sha", A)
    assert all(isinstance(record.event(), Event) and record.type in EVENT_TYPES for record in soup.records())
