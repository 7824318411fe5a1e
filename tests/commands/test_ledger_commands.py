"""`soup ledger`: what an auditor does, with a ledger of one's own, a stranger's, and a damaged one."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ledger.events.ledger import LedgerExported
from tests.runner import BOM, A, Soup, digest, tree_of


def answers(place: Path) -> list[list[Any]]:
    """Run each statement that an export's README gives, in a plain DuckDB; give their rows."""
    text = (place / "README.txt").read_text()
    statements = re.findall(r"^    SELECT .*?;$", text, re.MULTILINE | re.DOTALL)
    with duckdb.connect(":memory:") as db:
        db.execute(f"SET file_search_path = '{place}'")
        return [db.execute(statement).fetchall() for statement in statements]


@dataclass(frozen=True)
class HandedOver:
    """A ledger in an auditor's hands, beside what its owner told them by other means; the auditor has a home of their own."""

    owner: Soup
    auditor: Soup
    copy: Path
    root: Path

    def verify(self, *more: str | Path) -> Any:
        return self.auditor("ledger", "verify", "--ledger", self.copy, *more)


@pytest.fixture
def owner(soup: Soup) -> Soup:
    soup.ok(*BOM, "--base-sha", A, "--output", "m.json")
    soup.ok("ledger", "checkpoint", "--output", "early.checkpoint")
    soup.ok("keys", "list")
    return soup


@pytest.fixture
def handed(owner: Soup, tmp_path: Path) -> HandedOver:
    place = tmp_path / "handed over"
    owner.ok("ledger", "export", "--format", "sqlite", "--output", place / "ledger.db")
    owner.ok("keys", "export", "--trust-root", "--output", place / "root.json")
    desk = tmp_path / "desk"
    desk.mkdir()
    return HandedOver(owner, Soup(tmp_path / "auditor" / ".soup", desk), place / "ledger.db", place / "root.json")


def tampered(path: Path, statement: str) -> None:
    """Edit a ledger as somebody with a SQLite shell would: the triggers go and come back."""
    connection = sqlite3.connect(path, isolation_level=None)
    triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    connection.execute("BEGIN")
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    assert connection.execute(statement).rowcount == 1
    for _, sql in triggers:
        connection.execute(sql)
    connection.execute("COMMIT")
    connection.close()


# Verification.


def test_ones_own_ledger_verifies_under_ones_own_keys_and_head(owner: Soup) -> None:
    outcome = owner.ok("ledger", "verify", "--json")
    assert outcome.json["verdict"] == "verified"
    assert outcome.json["trusted"] == ["ledger id", "log key", "root author key"]
    assert outcome.json["heads_compared"] == 1
    assert outcome.json["not_checked"] == []
    assert outcome.json["entries"] == len(owner.records()) - 1
    for word in ("checked", "trusted", "heads", "not proven", "verdict     verified"):
        assert word in owner.ok("ledger", "verify").out


def test_a_strangers_ledger_is_never_more_than_incomplete_without_a_trust_root(handed: HandedOver) -> None:
    outcome = handed.verify()
    assert outcome.code == 4
    assert "verdict     incomplete" in outcome.out
    assert "give the trust root" in outcome.err


def test_a_strangers_ledger_verifies_under_their_trust_root(handed: HandedOver) -> None:
    outcome = handed.verify("--key", handed.root)
    assert outcome.code == 0
    assert "not checked truncation: no head kept elsewhere was given (--against)" in outcome.out


def test_the_authors_verifier_key_names_the_ledger_and_so_is_a_trust_root(handed: HandedOver) -> None:
    assert handed.verify("--key", handed.owner.ok("keys", "export", "author").out.strip()).code == 0


@pytest.mark.parametrize(("role", "form"), [("author", "hex"), ("author", "pem"), ("log", "vkey")])
def test_a_bare_key_is_not_the_whole_trust_root(handed: HandedOver, role: str, form: str) -> None:
    handed.owner.ok("keys", "export", role, "--format", form, "--output", handed.auditor.work / "key")
    outcome = handed.verify("--key", "key")
    assert outcome.code == 4
    assert f"{role} key" in outcome.out


def test_another_ledgers_trust_root_is_a_foreign_key(handed: HandedOver) -> None:
    handed.auditor.ok("keys", "export", "--trust-root", "--output", "mine.json")
    outcome = handed.verify("--key", "mine.json")
    assert outcome.code == 3
    assert "than the trust root" in outcome.err


def test_a_foreign_key_alone_confirms_nothing(handed: HandedOver) -> None:
    assert handed.verify("--key", "ab" * 32).code == 4


@pytest.mark.parametrize(
    ("statement", "position"),
    [
        ("UPDATE payloads SET body = x'7b7d' WHERE position = 5", 5),
        ("UPDATE payloads SET body = CAST(replace(CAST(body AS TEXT), 'soup', 'soap') AS BLOB) WHERE position = 4", 4),
        ("UPDATE entries SET time = time + 1 WHERE rowid = 6", 6),
        ("UPDATE entries SET hash = CAST(x'00' || substr(hash, 2) AS BLOB) WHERE rowid = 7", 7),
        (
            (
                "UPDATE commits SET checkpoint = substr(checkpoint, 1, length(checkpoint) - 9)"
                " || CASE substr(checkpoint, -9, 1) WHEN 'A' THEN 'B' ELSE 'A' END || substr(checkpoint, -8) WHERE first = 4"
            ),
            4,
        ),
        ("DELETE FROM payloads WHERE position = 5", 5),
    ],
)
def test_one_edit_of_a_copy_is_found_and_the_entry_named(handed: HandedOver, statement: str, position: int) -> None:
    tampered(handed.copy, statement)
    for key in ((), ("--key", handed.root)):
        outcome = handed.verify(*key)
        assert outcome.code == 3
        assert f"entry {position}: " in outcome.err
        assert "verdict" not in outcome.out


@pytest.mark.slow
def test_any_flipped_byte_of_a_payload_is_found(handed: HandedOver) -> None:
    """A byte of the file, with a hex editor. The auditor is told in one line, and sees no trace of our own making."""
    raw = bytearray(handed.copy.read_bytes())
    at = raw.index(b'"soup_version":"')
    raw[at + 3] ^= 1
    handed.copy.write_bytes(raw)
    outcome = handed.auditor.process("ledger", "verify", "--ledger", handed.copy)
    assert outcome.code == 3
    assert re.fullmatch(r"soup: entry \d+: its payload is not the one that was recorded\n", outcome.err)


def test_a_head_seen_earlier_is_contained(handed: HandedOver) -> None:
    early = handed.owner.work / "early.checkpoint"
    outcome = handed.verify("--key", handed.root, "--against", early, "--json")
    assert outcome.code == 0
    assert (outcome.json["heads_compared"], outcome.json["not_checked"]) == (1, [])


def test_a_head_of_another_ledger_is_refused(handed: HandedOver) -> None:
    handed.auditor.ok("ledger", "checkpoint", "--output", "mine.checkpoint")
    outcome = handed.verify("--key", handed.root, "--against", "mine.checkpoint")
    assert outcome.code == 3
    assert "of another ledger" in outcome.err


def test_two_ledgers_heads_do_not_mix(handed: HandedOver) -> None:
    """The body of one ledger's head under the other's signature."""
    handed.auditor.ok("ledger", "checkpoint", "--output", "mine.checkpoint")
    mine = (handed.auditor.work / "mine.checkpoint").read_text()
    theirs = (handed.owner.work / "early.checkpoint").read_text()
    body, signature = theirs.partition("\n\n")[0], mine.partition("\n\n")[2]
    handed.auditor.write("mixed", f"{body}\n\n{signature}")
    assert handed.verify("--key", handed.root, "--against", "mixed").code == 3


def test_a_head_with_another_root_is_refused(handed: HandedOver) -> None:
    theirs = (handed.owner.work / "early.checkpoint").read_text().splitlines(keepends=True)
    theirs[2] = "A" * 43 + "=\n"
    handed.auditor.write("forged", "".join(theirs))
    assert handed.verify("--key", handed.root, "--against", "forged").code == 3


@pytest.mark.parametrize("raw", [b"", b"notes\n", b"\xff\xfe", b"x" * 70_000])
def test_what_is_no_checkpoint_is_an_error(handed: HandedOver, raw: bytes) -> None:
    handed.auditor.write("notes", raw)
    outcome = handed.verify("--key", handed.root, "--against", "notes")
    assert outcome.code == 1  # the input is at fault, and the ledger was not judged
    assert "ledger" not in outcome.err.replace(str(handed.copy), "")
    assert "a fault in soup itself" not in outcome.err


def truncate(path: Path, size: int) -> None:
    """Cut the tail off after a commit as the log's own key could have sealed it, and make every index agree."""
    from tests.simulator import Saboteur, SmallLedger

    ledger = SmallLedger(path, None, None, None)  # type: ignore[arg-type]  # truncation needs no key
    Saboteur(ledger).truncate(size)


def test_a_cut_off_tail_is_only_seen_against_a_head_kept_elsewhere(handed: HandedOver) -> None:
    handed.owner.ok("ledger", "checkpoint", "--output", "late.checkpoint")
    late = handed.owner.work / "late.checkpoint"
    truncate(handed.copy, 4)
    assert handed.verify("--key", handed.root).code == 0
    outcome = handed.verify("--key", handed.root, "--against", late)
    assert outcome.code == 3
    assert "entry 5: is missing: a head of" in outcome.err


def test_ones_own_cut_off_ledger_is_seen_against_the_head_this_machine_kept(owner: Soup) -> None:
    shutil.copy(owner.ledger, owner.work / "copy.db")
    for leftover in owner.home.glob("ledger.db-*"):
        leftover.unlink()
    truncate(owner.ledger, 4)
    outcome = owner("ledger", "verify")
    assert outcome.code == 3
    assert "soup: unrecorded: " in outcome.err
    assert "is missing: a head of" in outcome.err


def test_a_damaged_ledger_of_ones_own_is_verified_unrecorded(owner: Soup) -> None:
    tampered(owner.ledger, "UPDATE payloads SET body = x'7b7d' WHERE position = 2")
    size = len(owner.audit.read_bytes())
    outcome = owner("ledger", "verify")
    assert outcome.code == 3
    assert re.search(r"soup: unrecorded: the ledger .* is damaged", outcome.err)
    assert "entry 2: " in outcome.err
    assert len(owner.audit.read_bytes()) == size
    refused = owner(*BOM, "--base-sha", A)
    assert refused.code == 74


def test_damage_in_the_middle_does_not_hide_what_lies_around_it(owner: Soup) -> None:
    tampered(owner.ledger, "UPDATE payloads SET body = x'7b7d' WHERE position = 6")
    assert owner("ledger", "verify").code == 3
    assert "entry 6: " in owner("ledger", "log").err
    assert owner("ledger", "show", "5").code == 0
    assert owner("ledger", "show", "6").code == 3


def test_reading_a_strangers_ledger_leaves_no_trace_beside_it_or_at_home(handed: HandedOver) -> None:
    before = [(path, path.stat().st_mtime_ns) for path in sorted(handed.copy.parent.iterdir())]
    handed.verify("--key", handed.root)
    for line in (("log",), ("show", "4"), ("checkpoint",)):
        handed.auditor.ok("ledger", *line, "--ledger", handed.copy)
    assert [(path, path.stat().st_mtime_ns) for path in sorted(handed.copy.parent.iterdir())] == before
    assert not handed.auditor.home.exists()


def test_a_strangers_live_ledger_is_read_with_its_wal_and_left_alone(owner: Soup, tmp_path: Path) -> None:
    place = tmp_path / "live"
    place.mkdir()
    connection = sqlite3.connect(owner.ledger)  # an open connection keeps the WAL where it is
    connection.execute("SELECT count(*) FROM entries").fetchone()
    try:
        owner.ok("keys", "list")
        for path in owner.home.glob("ledger.db*"):
            shutil.copy(path, place / path.name)
    finally:
        connection.close()
    (place / "ledger.db-shm").unlink()
    assert (place / "ledger.db-wal").stat().st_size > 0
    before = tree_of(place)
    auditor = Soup(tmp_path / "auditor", owner.work)
    outcome = auditor("ledger", "verify", "--ledger", place / "ledger.db", "--json")
    assert outcome.json["entries"] == len(owner.records())
    assert tree_of(place) == before


@pytest.mark.parametrize("content", [b"", b"notes\n" * 100, b"SQLite format 3\x00" + bytes(4080)])
def test_what_is_no_ledger_is_no_evidence(soup: Soup, content: bytes) -> None:
    soup.write("file", content)
    for line, code in ((("verify",), 3), (("log",), 1), (("checkpoint",), 1)):
        outcome = soup("ledger", *line, "--ledger", "file")
        assert (outcome.code, outcome.raw) == (code, b"")
        assert "a fault in soup itself" not in outcome.err
    assert tree_of(soup.work) == {"file": content}


@pytest.mark.parametrize(
    "smuggled",
    [
        "CREATE TABLE notes (line TEXT)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE INDEX i ON entries (time)",
        "PRAGMA user_version = 0",
    ],
)
def test_a_schema_that_is_not_ours_literally_is_refused(handed: HandedOver, smuggled: str) -> None:
    with sqlite3.connect(handed.copy) as connection:
        connection.execute(smuggled)
    connection.close()
    outcome = handed.verify("--key", handed.root)
    assert outcome.code == 3
    assert "schema" in outcome.err


def test_a_ledger_of_a_newer_soup_cannot_be_judged_and_says_so(handed: HandedOver) -> None:
    with sqlite3.connect(handed.copy) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    outcome = handed.verify("--key", handed.root)
    assert outcome.code == 4
    assert "schema version 2; this soup reads up to 1. Upgrade soup." in outcome.err


# Reading.


def test_log_lists_entries_and_with_json_their_payloads(owner: Soup) -> None:
    rows = owner.ok("ledger", "log", "--json").rows
    records = owner.records()
    assert [(row["position"], row["hash"]) for row in rows] == [
        (r.position, r.hash.hex()) for r in records[: len(rows)]
    ]
    assert rows[0]["payload"]["ledger"] == owner.ok("ledger", "verify", "--json").json["ledger"]
    assert [row["position"] for row in owner.ok("ledger", "log", "--limit", "2", "--json").rows] == [
        len(records) + 2,
        len(records) + 3,
    ]
    assert len(owner.ok("ledger", "log", "--limit", "3").out.splitlines()) == 4


def test_log_lists_one_stream(owner: Soup) -> None:
    rows = owner.ok("ledger", "log", "--stream", f"model/{A}", "--json").rows
    assert [row["header"]["content"]["type"] for row in rows] == ["artifact.declared/1"]
    assert owner.ok("ledger", "log", "--stream", "run/none", "--json").rows == []


def test_show_gives_an_entry_that_can_be_hashed_by_hand(owner: Soup) -> None:
    shown = owner.ok("ledger", "show", "4").json
    record = owner.records()[3]
    assert hashlib.sha256(b"\x00" + record.header).hexdigest() == shown["hash"]
    assert json.loads(record.header) == shown["header"]
    assert shown["envelope"]["payloadType"] == "application/vnd.soup.commit.v1+json"
    assert shown["checkpoint"].startswith("soup-ledger/")


@pytest.mark.parametrize(("position", "code"), [("0", 2), ("-1", 2), ("999", 1), ("99999999999999999999", 1)])
def test_show_knows_which_entries_there_are(owner: Soup, position: str, code: int) -> None:
    outcome = owner("ledger", "show", "--", position)
    assert (outcome.code, outcome.raw) == (code, b"")
    assert "a fault in soup itself" not in outcome.err


def test_a_checkpoint_is_a_signed_note_of_the_head(owner: Soup) -> None:
    text = owner.ok("ledger", "checkpoint").out
    origin, size, root, blank, signature = text.splitlines()
    assert origin == f"soup-ledger/{owner.ok('ledger', 'verify', '--json').json['ledger']}"
    assert int(size) > 0
    assert len(root) == 44
    assert blank == ""
    assert signature.startswith(f"\u2014 {origin} ")
    owner.write("now", text)
    owner.ok("ledger", "verify", "--against", "now")


# Handing over.


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_the_statements_in_an_exports_readme_find_nothing_wrong_with_it(owner: Soup, form: str) -> None:
    listed = owner.ok("ledger", "export", "--format", form, "--output", "out").out.split()
    place = owner.work / "out"
    assert {Path(path).name for path in listed} == {path.name for path in place.iterdir()}
    assert answers(place) == [[], []]
    with duckdb.connect(":memory:") as db:
        db.execute(f"SET file_search_path = '{place}'")
        positions = [row[0] for row in db.execute(f"FROM 'entries.{form}' SELECT position").fetchall()]
        columns = {column[0] for column in db.execute(f"FROM 'commits.{form}' LIMIT 0").description or ()}
    assert positions == [record.position for record in owner.records()][:-2]  # without the export's own end
    assert {"envelope", "checkpoint"} <= columns


@pytest.mark.parametrize(
    ("old", "new"),
    [('bom.declared/2\\"', 'bom.declared/1\\"'), ('\\"origin\\":\\"declared', '\\"origin\\":\\"observed')],
)
def test_the_statements_in_an_exports_readme_find_an_edited_row(owner: Soup, old: str, new: str) -> None:
    owner.ok("ledger", "export", "--format", "jsonl", "--output", "out")
    entries = owner.work / "out" / "entries.jsonl"
    text = entries.read_text()
    assert old in text
    entries.write_text(text.replace(old, new, 1))
    assert sum(len(rows) for rows in answers(owner.work / "out")) == 1


def test_an_export_carries_keys_head_and_trust_root(owner: Soup) -> None:
    owner.ok("ledger", "export", "--format", "jsonl", "--output", "out")
    out = owner.work / "out"
    assert [json.loads(line)["role"] for line in (out / "keys.jsonl").read_text().splitlines()] == ["author", "log"]
    assert (out / "trust-root.json").read_bytes() == owner.ok("keys", "export", "--trust-root").raw
    owner.ok("ledger", "verify", "--against", out / "checkpoint")


def test_what_left_the_house_is_on_the_record(owner: Soup) -> None:
    owner.ok("ledger", "export", "--format", "jsonl", "--output", "out")
    (event,) = owner.events(LedgerExported)
    found = {file.path: file.sha256 for file in event.files}
    assert found == {path.name: digest(path.read_bytes()) for path in (owner.work / "out").iterdir()}


def test_an_export_replaces_nothing_unasked(owner: Soup) -> None:
    owner.write("out/entries.jsonl", "theirs")
    assert owner("ledger", "export", "--format", "jsonl", "--output", "out").code == 1
    assert tree_of(owner.work / "out") == {"entries.jsonl": b"theirs"}
    owner.ok("ledger", "export", "--format", "jsonl", "--output", "out", "--force")


def test_a_strangers_ledger_can_be_exported_unrecorded(handed: HandedOver) -> None:
    handed.auditor.ok("ledger", "export", "--format", "parquet", "--output", "out", "--ledger", handed.copy)
    assert not handed.auditor.home.exists()
    assert len(list((handed.auditor.work / "out").iterdir())) == 6
