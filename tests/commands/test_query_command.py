"""`soup query`: questions in SQL that only read, answers that can be checked, and a cache that cannot lie about them."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ledger.events.query import QueryExecuted, ReceiptIssued
from projections import catalog
from tests.runner import BOM, A, B, Soup, digest, tree_of

TOKEN = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
COUNT = "SELECT count(*) AS n FROM events"


@pytest.fixture
def used(soup: Soup) -> Soup:
    """A user with two bills of materials and an attestation."""
    soup.ok(*BOM, "--base-sha", A, "--output", "a.json")
    soup.ok(*BOM, "--base-sha", B, "--output", "b.json")
    soup.ok("attest", "emit", "--stage", "train", "--subject", "x", "--sha", A, "--builder", "b", "--output", "t.json")
    return soup


def ask(soup: Soup, sql: str, *more: str | Path) -> Any:
    """Give the answer as JSON."""
    return soup.ok("query", sql, "--format", "json", *more).json


# The views.


def test_alone_it_lists_the_views_with_a_line_each(soup: Soup) -> None:
    rows = soup.ok("query", "--format", "json").json
    assert [row["view"] for row in rows] == list(catalog.VIEWS)
    assert {"audit_log", "documents", "boms", "attestations", "artifacts", "keys", "events"} <= set(catalog.VIEWS)
    assert all(row["description"] for row in rows)
    assert len(soup.ok("query").out.splitlines()) == len(catalog.VIEWS) + 1


@pytest.mark.parametrize("view", catalog.VIEWS)
def test_each_view_can_be_asked_of_a_ledger_with_nothing_in_it(soup: Soup, view: str) -> None:
    soup.ok("query", f"FROM {view}", "--format", "json")
    soup.ok("query", f"DESCRIBE {view}")


def test_the_views_say_what_the_documents_say(used: Soup) -> None:
    boms = ask(used, "SELECT name, base_sha256, base_origin, cyclonedx_sha256 FROM boms ORDER BY position")
    expected = [digest((used.work / name).read_bytes()) for name in ("a.json", "b.json")]
    assert [row["cyclonedx_sha256"] for row in boms] == expected
    assert [(row["name"], row["base_sha256"], row["base_origin"]) for row in boms] == [
        ("m", A, "declared"),
        ("m", B, "declared"),
    ]
    (attestation,) = ask(used, "FROM attestations")
    assert attestation["stage"] == "train"
    assert len(ask(used, "FROM documents")) == 3
    assert {row["role"] for row in ask(used, "FROM keys")} == {"author", "log"}


def test_the_audit_log_view_says_what_tail_says(used: Soup) -> None:
    used("bom", "emit")
    rows = ask(used, "SELECT command, exit_code FROM audit_log ORDER BY position")
    tail = used.ok("audit-log", "tail", "--json").rows[: len(rows)]
    assert [(row["command"], row["exit_code"]) for row in rows] == [(row["command"], row["exit_code"]) for row in tail]


# Answers.


def test_a_question_is_asked_of_the_ledger_as_it_was_before_it(used: Soup) -> None:
    before = len(used.records())
    assert ask(used, COUNT) == [{"n": before}]
    assert ask(used, COUNT) == [{"n": before + 3}]  # started, query.executed, finished


def test_the_ledger_can_be_asked_as_of_a_position_or_a_time(used: Soup) -> None:
    assert ask(used, COUNT, "--as-of", "5") == [{"n": 5}]
    logged = ask(used, "SELECT max(logged) AS t FROM events WHERE position <= 5")[0]["t"]
    assert ask(used, COUNT, "--as-of", logged)[0]["n"] >= 5
    assert ask(used, "SELECT count(*) AS n FROM boms", "--as-of", "5") == [{"n": 0}]
    assert ask(used, COUNT, "--as-of", "1970-01-01T00:00:00Z") == [{"n": 0}]


@pytest.mark.parametrize("moment", ["yesterday", "-1", "99999", "1e3", "2026-13-01T00:00:00Z", "9" * 30])
def test_a_moment_that_is_none_is_refused(used: Soup, moment: str) -> None:
    outcome = used("query", COUNT, f"--as-of={moment}")
    assert outcome.code in {1, 2}
    assert outcome.raw == b""
    assert "a fault in soup itself" not in outcome.err


def test_each_format_holds_the_same_rows(used: Soup) -> None:
    sql = "SELECT position, type FROM events WHERE position <= 3 ORDER BY position"
    expected = [(1, "ledger.created/1"), (2, "key.registered/1"), (3, "key.registered/1")]
    assert [(row["position"], row["type"]) for row in ask(used, sql)] == expected
    rows = list(csv.DictReader(io.StringIO(used.ok("query", sql, "--format", "csv").out)))
    assert [(int(row["position"]), row["type"]) for row in rows] == expected
    assert used.ok("query", sql).out.splitlines()[1:] == [f"{position}\t{kind}" for position, kind in expected]
    assert all(f"| {kind}" in used.ok("query", sql, "--format", "markdown").out for _, kind in expected)
    used.ok("query", sql, "--format", "parquet", "--output", "answer.parquet")
    with duckdb.connect(":memory:") as db:
        assert db.execute(f"FROM '{used.work}/answer.parquet'").fetchall() == expected


def test_no_cell_acts_on_a_terminal(soup: Soup) -> None:
    soup("ledger", "show", "\x1b[2J\r\n\u202e")
    sql = "SELECT argv FROM audit_log"
    for form in ("table", "markdown"):
        out = soup.ok("query", sql, "--format", form).out
        assert not {"\x1b", "\r", "\u202e"} & set(out)


def test_a_statement_may_come_from_stdin(used: Soup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(COUNT))
    assert ask(used, "-", "--as-of", "4") == [{"n": 4}]


def test_an_answer_in_a_file_replaces_nothing_unasked(used: Soup) -> None:
    used.write("answer.csv", "theirs")
    assert used("query", COUNT, "--format", "csv", "--output", "answer.csv").code == 1
    assert (used.work / "answer.csv").read_text() == "theirs"
    outcome = used.ok("query", COUNT, "--format", "csv", "--output", "answer.csv", "--force")
    assert outcome.raw == b""
    assert (used.work / "answer.csv").read_text().splitlines()[0] == "n"


def test_a_question_is_on_the_record_without_its_secrets(used: Soup) -> None:
    used.ok("query", f"SELECT '{TOKEN}' AS t", "--format", "json")
    (event,) = used.events(QueryExecuted)
    assert "[redacted:" in event.sql
    assert event.sql_sha256 == digest(f"SELECT '{TOKEN}' AS t")
    assert event.rows == 1
    assert TOKEN.encode() not in used.stored()
    assert [row["rows"] for row in ask(used, "FROM queries")] == [1]


# Only reading.


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE x (a INT)",
        "DELETE FROM entries",
        "UPDATE entries SET position = 0",
        "INSERT INTO entries SELECT * FROM entries",
        "DROP VIEW events",
        "COPY (SELECT 1) TO '{place}/out.csv'",
        "EXPORT DATABASE '{place}/out'",
        "ATTACH '{place}/x.db'",
        "ATTACH '{ledger}' (TYPE sqlite)",
        "INSTALL httpfs",
        "LOAD sqlite",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "BEGIN",
        "FROM read_text('{secret}')",
        "FROM read_csv('{secret}')",
        "FROM '{secret}'",
        "SELECT * FROM glob('/*')",
        "SELECT getenv('HOME')",
        "SELECT content FROM (SELECT * FROM read_blob('{secret}'))",
        "WITH x AS (FROM read_text('{secret}')) FROM x",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{place}/out.csv'",
        "EXPLAIN ANALYZE DELETE FROM entries",
        "SELECT 1; DELETE FROM entries",
        "",
        ";",
        "/* nothing */",
        "SELEC",
        "SELECT * FROM nothing",
        "SELECT 1/",
        "SELECT '\udce9' FROM nothing",
    ],
    ids=ascii,
)
def test_what_does_not_read_the_views_is_refused(soup: Soup, tmp_path: Path, sql: str) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("not for you")
    place = tmp_path / "place"
    place.mkdir()
    outcome = soup("query", sql.format(place=place, secret=secret, ledger=soup.ledger))
    assert outcome.code == 1
    assert outcome.raw == b""
    assert "not for you" not in outcome.err
    assert "a fault in soup itself" not in outcome.err
    assert tree_of(place) == {}
    assert soup.events(QueryExecuted) == []


def test_a_variable_of_soups_own_is_no_table(used: Soup) -> None:
    assert used("query", "SELECT * FROM session").code == 1


# Receipts.


def receipt_of(soup: Soup, sql: str = "SELECT position, type FROM events ORDER BY position") -> Path:
    soup.ok("query", sql, "--format", "json", "--receipt", "answer.receipt")
    return soup.work / "answer.receipt"


def payload_of(path: Path) -> dict[str, Any]:
    found = json.loads(base64.b64decode(json.loads(path.read_bytes())["payload"]))
    assert isinstance(found, dict)
    return found


def test_a_receipt_names_the_question_the_head_and_the_rows(used: Soup) -> None:
    sql = "SELECT position, type FROM events ORDER BY position"
    size = len(used.records())
    text = json.dumps(payload_of(receipt_of(used, sql)))
    assert sql in text
    assert digest(sql) in text
    (event,) = used.events(ReceiptIssued)
    assert (event.sha256, event.position) == (digest((used.work / "answer.receipt").read_bytes()), size)


def test_a_receipt_is_confirmed_however_long_the_ledger_has_grown(used: Soup) -> None:
    receipt_of(used)
    for _ in range(2):
        outcome = used.ok("query", "--check", "answer.receipt")
        assert outcome.out.startswith("confirmed: the ledger gives the same ")


def test_an_auditor_confirms_a_receipt_with_the_ledger_and_the_key_alone(used: Soup, tmp_path: Path) -> None:
    receipt = receipt_of(used)
    used.ok("ledger", "export", "--format", "sqlite", "--output", tmp_path / "copy.db")
    used.ok("keys", "export", "--output", tmp_path / "author")
    auditor = Soup(tmp_path / "auditor", used.work)
    auditor.ok("query", "--check", receipt, "--key", tmp_path / "author", "--ledger", tmp_path / "copy.db")
    assert not auditor.home.exists()


def test_a_receipt_under_no_trusted_key_is_not_confirmed(used: Soup, tmp_path: Path) -> None:
    receipt = receipt_of(used)
    auditor = Soup(tmp_path / "auditor", used.work)
    outcome = auditor("query", "--check", receipt, "--ledger", used.ledger)
    assert outcome.code in {3, 4, 74}
    assert outcome.raw == b""
    assert "a fault in soup itself" not in outcome.err


def test_an_edited_receipt_is_found(used: Soup) -> None:
    receipt = receipt_of(used)
    envelope = json.loads(receipt.read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b"ledger.created/1", b"ledger.created/2")
    receipt.write_text(json.dumps({**envelope, "payload": base64.b64encode(payload).decode()}))
    outcome = used("query", "--check", "answer.receipt")
    assert (outcome.code, outcome.raw) == (3, b"")


def test_a_receipt_of_another_ledger_is_not_confirmed(used: Soup, tmp_path: Path) -> None:
    receipt = receipt_of(used)
    used.ok("keys", "export", "--output", "author")
    other = Soup(tmp_path / "other", used.work)
    for _ in range(12):
        other.ok("keys", "list")
    outcome = other("query", "--check", receipt, "--key", "author")
    assert outcome.code == 3
    assert outcome.raw == b""


def test_a_ledger_that_gives_another_answer_is_found(used: Soup, tmp_path: Path) -> None:
    """A copy whose payload was edited: the receipt stands, the ledger does not."""
    receipt = receipt_of(used, "SELECT name FROM boms ORDER BY position")
    copy = tmp_path / "copy.db"
    used.ok("ledger", "export", "--format", "sqlite", "--output", copy)
    with sqlite3.connect(copy) as connection:
        connection.execute("DROP TRIGGER payloads_keep")
        connection.execute(
            'UPDATE payloads SET body = CAST(replace(CAST(body AS TEXT), \'"name":"m"\', \'"name":"n"\') AS BLOB)'
        )
        connection.execute(
            "CREATE TRIGGER payloads_keep BEFORE UPDATE ON payloads BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        )
    connection.close()
    outcome = used("query", "--check", receipt, "--ledger", copy)
    assert outcome.code == 3
    assert "entry 6: its payload does not hash" in outcome.err


def test_a_receipt_is_refused_where_the_answer_cannot_be_given_twice(used: Soup) -> None:
    for sql in ("SELECT now()", "SELECT random()", "SELECT uuid()"):
        outcome = used("query", sql, "--receipt", "r")
        assert outcome.code == 1, sql
        assert not (used.work / "r").exists()


def test_a_receipt_replaces_nothing_unasked(used: Soup) -> None:
    used.write("r", "theirs")
    assert used("query", COUNT, "--receipt", "r").code == 1
    assert (used.work / "r").read_text() == "theirs"
    assert used.events(QueryExecuted) == []


@pytest.mark.parametrize("raw", [b"", b"{}", b"notes", b"\xff"])
def test_what_is_no_receipt_is_an_error(used: Soup, raw: bytes) -> None:
    used.write("r", raw)
    outcome = used("query", "--check", "r")
    assert outcome.code == 1
    assert "is no receipt" in outcome.err


def test_a_signed_statement_of_another_kind_is_no_receipt(used: Soup) -> None:
    outcome = used("query", "--check", "t.json")
    assert outcome.code == 1
    assert "not a query receipt" in outcome.err


# The projection file.


def cache_of(soup: Soup) -> Path:
    (path,) = (soup.home / "projections").glob("*.duckdb")
    return path


@pytest.fixture
def cached(used: Soup) -> Soup:
    """A user whose projection file has been built."""
    used.ok("rebuild")
    return used


def all_events(soup: Soup) -> list[tuple[int, str]]:
    rows = ask(soup, "SELECT position, type FROM events ORDER BY position")
    return [(row["position"], row["type"]) for row in rows]


def answers_what_the_ledger_says(soup: Soup) -> bool:
    expected = [(record.position, record.type) for record in soup.records()]
    return all_events(soup) == expected


def test_an_answer_through_the_projection_file_is_the_same(cached: Soup) -> None:
    assert cache_of(cached).stat().st_mode & 0o777 == 0o600
    assert answers_what_the_ledger_says(cached)
    cached.ok("keys", "list")
    assert answers_what_the_ledger_says(cached)


def deleted(path: Path, _: Path) -> None:
    path.unlink()


def stamp_deleted(path: Path, _: Path) -> None:
    path.with_suffix(".json").unlink()


def torn(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def rubbish(path: Path, _: Path) -> None:
    path.write_bytes(b"notes\n" * 1000)


def a_directory(path: Path, _: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link_to_anothers(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)


def of_another_ledger(path: Path, other: Path) -> None:
    shutil.copy(other, path)


def with_its_stamp_of_another_ledger(path: Path, other: Path) -> None:
    shutil.copy(other, path)
    shutil.copy(other.with_suffix(".json"), path.with_suffix(".json"))


def edited(path: Path, _: Path) -> None:
    with duckdb.connect(str(path)) as db:
        db.execute("UPDATE entries SET type = 'edited/1'")


@pytest.mark.parametrize(
    "harm",
    [deleted, stamp_deleted, torn, rubbish, a_directory, a_link_to_anothers, of_another_ledger,
     with_its_stamp_of_another_ledger, edited],
    ids=lambda harm: harm.__name__,
)  # fmt: skip
def test_whatever_happens_to_the_projection_file_the_answer_is_the_ledgers(
    cached: Soup, tmp_path: Path, harm: Any
) -> None:
    other = Soup(tmp_path / "other", cached.work)
    other.ok("rebuild")
    theirs = cache_of(other)
    before = theirs.read_bytes()
    harm(cache_of(cached), theirs)
    assert answers_what_the_ledger_says(cached)
    assert theirs.read_bytes() == before


def test_a_cache_edited_together_with_its_stamp_lies_to_no_receipt_and_is_found_by_check(cached: Soup) -> None:
    path = cache_of(cached)
    edited(path, path)
    stamp = json.loads(path.with_suffix(".json").read_bytes())
    path.with_suffix(".json").write_text(json.dumps({**stamp, "sha256": digest(path.read_bytes())}))
    assert (
        "edited/1" in cached.ok("query", "SELECT DISTINCT type FROM events").out
    )  # the lie works where nothing checks
    receipt = receipt_of(cached)
    assert "edited/1" not in json.dumps(payload_of(receipt))
    cached.ok("query", "--check", receipt)
    assert cached("rebuild", "--check").code == 3
    cached.ok("rebuild")
    cached.ok("rebuild", "--check")


def test_a_projection_file_locked_by_another_program_is_done_without(cached: Soup) -> None:
    with duckdb.connect(str(cache_of(cached))):
        outcome = cached.process("query", COUNT, "--format", "json")
    assert outcome.code == 0
    assert outcome.json[0]["n"] > 0


def test_a_home_whose_projections_cannot_be_written_still_answers(used: Soup) -> None:
    (used.home / "projections").write_text("in the way")
    assert answers_what_the_ledger_says(used)


def test_asking_a_strangers_ledger_leaves_no_trace(used: Soup, tmp_path: Path) -> None:
    stranger = Soup(tmp_path / "stranger", used.work)
    before = tree_of(used.home)
    assert len(ask(stranger, "FROM boms", "--ledger", str(used.ledger))) == 2
    assert not stranger.home.exists()
    assert tree_of(used.home) == before


@pytest.mark.slow
def test_a_reader_that_had_enough_is_no_failure(used: Soup) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    outcome = used.process("query", "SELECT * FROM events", "--format", "csv", stdout=writing)
    os.close(writing)
    assert (outcome.code, outcome.err) == (0, "")
