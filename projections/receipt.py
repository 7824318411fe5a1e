"""Receipts: what an auditor needs to ask the same question of the same entries, and to see that the answer is the same.

What is true here:

- A receipt is a pure function of a prefix of the ledger, the statement and the versions it names: made twice, it is the same
  bytes. It stands on a view made straight from the ledger, never on the projection file.
- No receipt is made of a statement that cannot give the same answer twice (clocks, random numbers, samples), nor of a cut
  answer.
- A check takes nothing from the receipt but the question; head, entries scanned, columns and rows are found anew. Rows are
  compared one by one where the statement orders them, else as a multiset: SQL promises no order then. Another version of
  DuckDB, soup or the views is a note, never a difference: rows decide.

Not known here: who signed a receipt, and whether the ledger verifies. Ask both first: a check compares with whatever the ledger
says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from importlib.metadata import version
from typing import NamedTuple

import msgspec

from ledger import canonical, note
from ledger.reader import Reader
from projections import catalog
from projections.engine import View, genesis
from projections.formats import text_of
from projections.query import Answer, Value, run
from projections.receipt_form import (
    MAX_ROWS,
    PAYLOAD_TYPE,
    Exact,
    Field,
    Head,
    Receipt,
    ReceiptError,
    Scanned,
    digest,
    encode,
    parse_receipt,
)
from projections.statement import QueryError, inspect

DISTRIBUTION = "soup-ledger"

__all__ = [
    "PAYLOAD_TYPE",
    "Check",
    "Difference",
    "Receipt",
    "ReceiptError",
    "check_receipt",
    "make_receipt",
    "parse_receipt",
]


class Difference(NamedTuple):
    """What a receipt says and what the ledger gives; `field` is a field of the receipt, rows are counted from 1."""

    field: str
    receipt: str
    ledger: str


class Check(NamedTuple):
    """What came of running a receipt again. No differences: the answer stands. Notes say how it was compared."""

    differences: list[Difference]
    notes: list[str]


def make_receipt(reader: Reader, sql: str, last: int, answer: Answer) -> bytes:
    """Write down `answer`, which `query.run` gave to `sql` on `View.of_prefix(reader, last)`; reads its rows to the end.

    Raises ReceiptError, QueryError where a row cannot be computed.
    """
    if answer.view.source != "ledger" or answer.view.last != last:
        raise ReceiptError("a receipt stands on entries read straight from the ledger")
    statement = answer.statement
    if statement.unstable:
        raise ReceiptError(f"no receipt: {', '.join(statement.unstable)} may give another answer each time")
    if not statement.is_select:
        raise ReceiptError("no receipt: an EXPLAIN describes the engine, not the ledger")
    rows = _rows(answer)
    if answer.truncated:
        raise ReceiptError("no receipt: the answer was cut")
    created = genesis(reader)
    receipt = Receipt(
        format="soup-query-receipt/1",
        ledger=created.ledger,
        origin=created.origin,
        sql=sql,
        sql_sha256=sha256(sql.encode()).hexdigest(),
        as_of=last,
        head=_head(reader, last),
        columns=[Field(column.name, column.type) for column in answer.columns],
        row_count=len(rows),
        rows=rows,
        rows_sha256=digest(rows),
        scanned=_scan(answer.view),
        duckdb=version("duckdb"),
        soup=version(DISTRIBUTION),
        views=catalog.digest(),
    )
    return encode(receipt)


def check_receipt(reader: Reader, receipt: Receipt) -> Check:
    """Ask the receipt's question again, of entries read straight from the ledger, and compare.

    Raises AlteredError at an entry that does not hold. Interrupting it is the way out of a statement that never ends.
    """
    check = Check([], _versions(receipt))
    created = genesis(reader)
    _compare(check, "ledger", receipt.ledger, created.ledger)
    _compare(check, "origin", receipt.origin, created.origin)
    if check.differences:
        return check
    if receipt.as_of > reader.size:
        check.differences.append(Difference("as_of", str(receipt.as_of), f"{reader.size} entries"))
        return check
    found = _head(reader, receipt.as_of)
    for field in ("size", "root", "checkpoint"):
        _compare(check, f"head.{field}", getattr(receipt.head, field), getattr(found, field))
    with View.of_prefix(reader, receipt.as_of) as view:
        _compare(check, "scanned", receipt.scanned, _scan(view))
        try:
            _compare_answer(check, receipt, view)
        except QueryError as error:
            check.differences.append(Difference("sql", receipt.sql, str(error)))
    return check


def _compare_answer(check: Check, receipt: Receipt, view: View) -> None:
    statement = inspect(view, receipt.sql)
    if statement.unstable:
        check.notes.append(f"{', '.join(statement.unstable)} may give another answer each time")
    answer = run(view, receipt.sql, max_rows=receipt.row_count + 1)
    fields = [Field(column.name, column.type) for column in answer.columns]
    _compare(check, "columns", receipt.columns, fields)
    rows = [_exact(row) for row in answer]
    if len(rows) != receipt.row_count:
        found = f"more than {receipt.row_count}" if len(rows) > receipt.row_count else str(len(rows))
        check.differences.append(Difference("row_count", str(receipt.row_count), found))
        return
    if statement.ordered:
        pairs: Iterable[tuple[int, list[Exact], list[Exact]]] = (
            (number, said, found) for number, (said, found) in enumerate(zip(receipt.rows, rows, strict=True), 1)
        )
        wrong = next(((number, said, found) for number, said, found in pairs if said != found), None)
        if wrong is not None:
            check.differences.append(Difference(f"rows[{wrong[0]}]", _show(wrong[1]), _show(wrong[2])))
        return
    check.notes.append("the statement has no ORDER BY, so rows were compared without regard to their order")
    said_only, found_only = _multiset(receipt.rows) - _multiset(rows), _multiset(rows) - _multiset(receipt.rows)
    if said_only:
        check.differences.append(Difference("rows", min(said_only), min(found_only)))


def _compare(check: Check, field: str, said: object, found: object) -> None:
    if said != found:
        check.differences.append(Difference(field, _show(said), _show(found)))


def _versions(receipt: Receipt) -> list[str]:
    """Say where a difference, should there be one, may come from another version and not from another ledger."""
    here = {"duckdb": version("duckdb"), "soup": version(DISTRIBUTION), "views": catalog.digest()}
    return [
        f"made with {name} {getattr(receipt, name)}, checked with {mine}"
        for name, mine in here.items()
        if getattr(receipt, name) != mine
    ]


def _multiset(rows: Iterable[list[Exact]]) -> Counter[str]:
    return Counter(canonical.encode(row).decode() for row in rows)


def _show(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _head(reader: Reader, position: int) -> Head:
    """Give the head of the commit that holds `position`; the ledger is not verified here."""
    record = reader.record(position)
    if record is None:
        raise ReceiptError(f"there is no entry {position} to make a receipt on")
    size = position - record.commit_index + record.commit_size - 1
    text = reader.checkpoint(size)
    root = note.parse_checkpoint_body(note.parse_note(text).body).root
    return Head(checkpoint=text, root=root.hex(), size=size)


def _scan(view: View) -> Scanned:
    """Say which entries an answer stands on."""
    events, first, last, erased, silence, before, gaps = view.rows(catalog.statement(catalog.SCAN))[0]
    missing = [(low, high) for low, high in gaps]
    if last < view.last:
        missing.append((last + 1, view.last))
    return Scanned(erased, events, first, missing, last, before, silence)


def _rows(answer: Answer) -> list[list[Exact]]:
    rows: list[list[Exact]] = []
    for row in answer:
        if len(rows) == MAX_ROWS:
            raise ReceiptError(f"no receipt: the answer has more than {MAX_ROWS} rows")
        rows.append(_exact(row))
    return rows


def _exact(row: Iterable[Value]) -> list[Exact]:
    """Give the values of a row as a receipt holds them."""
    return [_value(value) for value in row]


def _value(value: Value) -> Exact:
    if isinstance(value, float):
        return text_of(value)
    if isinstance(value, int) and not -canonical.MAX_INTEGER <= value <= canonical.MAX_INTEGER:
        return str(value)
    return value
