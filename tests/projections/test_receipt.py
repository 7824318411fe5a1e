"""A receipt gives the same answer again from the same entries, and a changed one or a changed ledger is found out."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import canonical, note
from ledger.errors import AlteredError
from ledger.reader import Reader
from projections import cache, catalog, receipt_form
from projections import receipt as receipts
from projections.engine import View
from projections.query import run
from projections.receipt import Receipt, ReceiptError, check_receipt, make_receipt, parse_receipt
from tests.projections import ledgers
from tests.simulator import Saboteur, SmallLedger

SQL = "SELECT position, command, exit_code, duration_ms / 1000 AS seconds FROM audit_log ORDER BY position"


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> SmallLedger:
    return ledgers.make(tmp_path_factory.mktemp("receipt"))


@pytest.fixture(scope="module")
def reader(ledger: SmallLedger):
    with Reader.open_foreign(ledger.path) as opened:
        yield opened


def issue(reader: Reader, sql: str = SQL, last: int = ledgers.SIZE) -> bytes:
    with View.of_prefix(reader, last) as view:
        return make_receipt(reader, sql, last, run(view, sql))


@pytest.fixture(scope="module")
def raw(reader: Reader) -> bytes:
    return issue(reader)


def test_a_receipt_says_what_was_asked_of_what_and_what_came_out(reader: Reader, ledger: SmallLedger, raw: bytes):
    receipt = parse_receipt(raw)
    checkpoint = note.parse_checkpoint_body(note.parse_note(receipt.head.checkpoint).body)
    assert (receipt.ledger, receipt.origin) == (ledger.identity.ledger, ledger.identity.origin)
    assert (receipt.sql, receipt.sql_sha256) == (SQL, sha256(SQL.encode()).hexdigest())
    assert (receipt.as_of, receipt.head.size, receipt.head.root) == (20, 20, checkpoint.root.hex())
    assert receipt.head.checkpoint == reader.checkpoint(20)
    assert [(field.name, field.type) for field in receipt.columns] == [
        ("position", "BIGINT"),
        ("command", "VARCHAR"),
        ("exit_code", "INTEGER"),
        ("seconds", "DOUBLE"),
    ]
    assert receipt.rows == [[4, "bom emit", 0, "1.234"], [12, "attest emit", 1, "1.234"], [17, "query", None, None]]
    assert (receipt.row_count, receipt.rows_sha256) == (3, sha256(canonical.encode(receipt.rows)).hexdigest())
    scanned = receipt.scanned
    assert (scanned.events, scanned.first, scanned.last, scanned.gaps, scanned.erased) == (20, 1, 20, [], 0)
    assert (scanned.silence_us, scanned.silence_before) == (1_000_001, 4)
    assert receipt.views == catalog.digest()
    assert canonical.encode(receipt) == raw


def test_a_receipt_is_the_same_bytes_when_made_again_and_when_the_ledger_has_grown(
    ledger: SmallLedger, tmp_path: Path, raw: bytes
):
    copy = ledger.copy_to(tmp_path / "copy")
    ledgers.lengthen(copy, ledgers.SIZE, 30)
    with Reader.open_own(copy.path) as grown:
        assert issue(grown) == raw
        assert check_receipt(grown, parse_receipt(raw)).differences == []


def test_a_receipt_within_a_commit_stands_on_the_head_that_covers_it(reader: Reader):
    receipt = parse_receipt(issue(reader, "SELECT count(*) FROM events", 6))
    assert (receipt.as_of, receipt.head.size, receipt.rows) == (6, 7, [[6]])
    assert check_receipt(reader, receipt) == (
        [],
        ["the statement has no ORDER BY, so rows were compared without regard to their order"],
    )


def test_a_true_receipt_holds(reader: Reader, raw: bytes):
    assert check_receipt(reader, parse_receipt(raw)) == ([], [])


def test_values_beyond_the_domain_of_canonical_json_are_exact_texts(reader: Reader):
    sql = "SELECT 9007199254740991, 9007199254740992, 0.1::DOUBLE, 1e300::DOUBLE, 'nan'::DOUBLE, 1.10::DECIMAL(9,2), {'a': [1.5]}, '\\xFF'::BLOB, true, NULL"
    receipt = parse_receipt(issue(reader, sql))
    assert receipt.rows == [
        [9007199254740991, "9007199254740992", "0.1", "1e+300", "NaN", "1.10", '{"a":[1.5]}', "ff", True, None]
    ]
    assert check_receipt(reader, receipt).differences == []


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT now()", "now may give another answer"),
        ("SELECT random() FROM events", "random may give another answer"),
        ("FROM events USING SAMPLE 2", "SAMPLE may give another answer"),
        ("EXPLAIN SELECT 1", "EXPLAIN"),
        ("SELECT chr(0)", "U\\+0000"),
        ("FROM range(100001)", "more than 100000 rows"),
    ],
)
def test_no_receipt_is_made_of_what_it_could_not_prove(reader: Reader, sql: str, reason: str):
    with pytest.raises(ReceiptError, match=reason):
        issue(reader, sql)


def test_no_receipt_is_made_of_a_cut_answer(reader: Reader):
    with View.of_prefix(reader, ledgers.SIZE) as view, pytest.raises(ReceiptError, match="cut"):
        make_receipt(reader, SQL, ledgers.SIZE, run(view, SQL, max_rows=1))


def test_no_receipt_is_larger_than_may_be_read(reader: Reader):
    with pytest.raises(ReceiptError, match="bytes"):
        issue(reader, "SELECT repeat('x', 1000) FROM range(20000)")


def test_no_receipt_stands_on_the_projection_file_or_on_another_prefix(
    ledger: SmallLedger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cache, "TAIL", 5)
    with Reader.open_foreign(ledger.path) as reader:
        with (
            cache.cached_view(reader, tmp_path / "p", 20, print) as view,
            pytest.raises(ReceiptError, match="straight from the ledger"),
        ):
            make_receipt(reader, SQL, 20, run(view, SQL))
        with View.of_prefix(reader, 19) as view, pytest.raises(ReceiptError, match="straight from the ledger"):
            make_receipt(reader, SQL, 20, run(view, SQL))


# Forgeries that agree with themselves: what is changed, and where the check finds it.


def forged(raw: bytes, **changes: Any) -> Receipt:
    """Change a receipt, and make everything in it that repeats the change say the same."""
    value = {**msgspec.json.decode(raw), **changes}
    value["sql_sha256"] = sha256(value["sql"].encode()).hexdigest()
    value["row_count"] = len(value["rows"])
    value["rows_sha256"] = sha256(canonical.encode(value["rows"])).hexdigest()
    return parse_receipt(canonical.encode(value))


def scanned(raw: bytes, **changes: Any) -> dict[str, Any]:
    return {"scanned": {**msgspec.json.decode(raw)["scanned"], **changes}}


FORGERIES: dict[str, tuple[Callable[[bytes], dict[str, Any]], str]] = {
    "a value": (
        lambda _: {"rows": [[4, "bom emit", 0, "1.234"], [12, "attest emit", 0, "1.234"], [17, "query", None, None]]},
        "rows[2]",
    ),
    "a type": (
        lambda _: {"rows": [["4", "bom emit", 0, "1.234"], [12, "attest emit", 1, "1.234"], [17, "query", None, None]]},
        "rows[1]",
    ),
    "a row less": (lambda _: {"rows": [[4, "bom emit", 0, "1.234"], [12, "attest emit", 1, "1.234"]]}, "row_count"),
    "a row more": (lambda raw: {"rows": [*msgspec.json.decode(raw)["rows"], [18, "x", 0, "1"]]}, "row_count"),
    "rows in another order": (lambda raw: {"rows": msgspec.json.decode(raw)["rows"][::-1]}, "rows[1]"),
    "another statement": (
        lambda _: {"sql": SQL.replace("ORDER BY position", "WHERE position < 17 ORDER BY position")},
        "row_count",
    ),
    "no statement": (lambda _: {"sql": "DROP VIEW audit_log"}, "sql"),
    "a file read": (lambda _: {"sql": "FROM read_text('/etc/passwd')"}, "sql"),
    "an endless row count": (lambda _: {"sql": "SELECT range, '', 0, '' FROM range(1000000000000)"}, "columns"),
    "another prefix": (lambda _: {"as_of": 16}, "head.size"),
    "a column": (
        lambda raw: {"columns": [*msgspec.json.decode(raw)["columns"][:3], {"name": "s", "type": "DOUBLE"}]},
        "columns",
    ),
    "entries scanned": (lambda raw: scanned(raw, events=21), "scanned"),
    "a gap": (lambda raw: scanned(raw, gaps=[[3, 4]]), "scanned"),
    "a silence": (lambda raw: scanned(raw, silence_us=1), "scanned"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_receipt_is_found_where_it_lies(reader: Reader, raw: bytes, name: str):
    change, field = FORGERIES[name]
    differences = check_receipt(reader, forged(raw, **change(raw))).differences
    assert differences[0].field == field
    assert differences[0].receipt != differences[0].ledger


def test_without_order_by_rows_are_a_multiset(reader: Reader):
    raw = issue(reader, "SELECT type, count(*) FROM events GROUP BY type")
    rows = msgspec.json.decode(raw)["rows"]
    assert check_receipt(reader, forged(raw, rows=rows[::-1])).differences == []
    twice = check_receipt(reader, forged(raw, rows=[rows[0], *rows[:-1]])).differences
    assert [difference.field for difference in twice] == ["rows"]


def test_a_receipt_of_another_ledger_is_told_apart(raw: bytes, tmp_path: Path):
    other = ledgers.make(tmp_path / "other")
    with Reader.open_foreign(other.path) as reader:
        assert [difference.field for difference in check_receipt(reader, parse_receipt(raw)).differences] == [
            "ledger",
            "origin",
        ]


def test_a_truncated_ledger_does_not_hold_what_was_asked(ledger: SmallLedger, raw: bytes, tmp_path: Path):
    copy = ledger.copy_to(tmp_path / "copy")
    Saboteur(copy).truncate(16)
    with Reader.open_foreign(copy.path) as reader:
        assert check_receipt(reader, parse_receipt(raw)).differences == [("as_of", "20", "16 entries")]


def test_an_edited_ledger_is_named_by_its_entry(ledger: SmallLedger, raw: bytes, tmp_path: Path):
    copy = ledger.copy_to(tmp_path / "copy")
    Saboteur(copy).edit(
        "payloads", "body", "position = 16", "CAST(replace(body, '\"exit_code\":1', '\"exit_code\":0') AS BLOB)"
    )
    with Reader.open_foreign(copy.path) as reader, pytest.raises(AlteredError, match="entry 16"):
        check_receipt(reader, parse_receipt(raw))


def test_another_version_is_a_note_and_no_false_alarm(reader: Reader, raw: bytes):
    check = check_receipt(reader, forged(raw, duckdb="2.0.1", soup="9.9", views=ledgers.sha(1)))
    assert check.differences == []
    assert [line.split()[2] for line in check.notes] == ["duckdb", "soup", "views"]


def test_gaps_and_silences_are_found_in_what_was_scanned(reader: Reader):
    with View.of_streams(reader, [ledgers.stream(1), f"document/{ledgers.sha(21)}"], 20) as view:
        found = receipts._scan(view)
    assert (found.events, found.first, found.last) == (4, 4, 11)
    assert found.gaps == [(1, 3), (5, 6), (8, 8), (10, 10), (12, 20)]
    assert (found.silence_us, found.silence_before) == (1_000_001, 7)


def test_an_empty_prefix_has_no_receipt(reader: Reader):
    with pytest.raises(ReceiptError, match="no entry 0"):
        issue(reader, "SELECT 1", 0)


# Bytes from a stranger.


@pytest.mark.parametrize(
    "change",
    [
        {"sql_sha256": ledgers.sha(1)},
        {"sql": "SELECT 2"},
        {"rows": []},
        {"rows": [[1], [2], [3]]},
        {"row_count": 2},
        {"rows_sha256": ledgers.sha(1)},
        {"ledger": ledgers.sha(1)},
        {"origin": "soup-ledger/" + ledgers.sha(1)},
        {"as_of": 21},
        {"as_of": -1},
        {"format": "soup-query-receipt/2"},
        {"rows": [[4, "bom emit", 0, ["nested"]]]},
        {"head": {"checkpoint": "x", "root": ledgers.sha(1), "size": 20}},
        {"more": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_receipt_that_does_not_agree_with_itself_is_none(raw: bytes, change: dict[str, Any]):
    with pytest.raises(ReceiptError):
        parse_receipt(canonical.encode({**msgspec.json.decode(raw), **change}))


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'"' + b"x" * canonical.MAX_BYTES + b'"']
)
def test_bytes_that_are_no_receipt_are_refused(raw: bytes):
    with pytest.raises(ReceiptError):
        parse_receipt(raw)


@settings(deadline=None)
@given(st.data())
def test_a_changed_byte_makes_another_receipt_or_none(raw: bytes, data: st.DataObject):
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:at] + bytes([data.draw(st.integers(0, 255))]) + raw[at + 1 :]
    try:
        parsed = parse_receipt(changed)
    except ReceiptError:
        return
    assert receipt_form.encode(parsed) == changed
