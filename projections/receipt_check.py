"""A receipt's question, asked again of entries read straight from the ledger, and both answers compared.

What is true here:

- Nothing is taken from the receipt but the question; head, entries scanned, columns and rows are found anew.
- Rows are compared one by one where the statement orders them, else as a multiset: SQL promises no order then.
- Another version of DuckDB, soup or the views is a note, never a difference: rows decide.

Not known here: who signed the receipt, and whether the ledger verifies. Ask both first: a check compares with whatever the
ledger says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from typing import NamedTuple

import msgspec

from ledger import canonical
from ledger.reader import Reader
from projections import catalog
from projections.engine import View, genesis
from projections.query import run
from projections.receipt import DISTRIBUTION, Exact, Field, Receipt, exact, head, scan
from projections.statement import QueryError, inspect


class Difference(NamedTuple):
    """What a receipt says and what the ledger gives; `field` is a field of the receipt, rows are counted from 1."""

    field: str
    receipt: str
    ledger: str


class Check(NamedTuple):
    """What came of running a receipt again. No differences: the answer stands. Notes say how it was compared."""

    differences: list[Difference]
    notes: list[str]


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
    found = head(reader, receipt.as_of)
    for field in ("size", "root", "checkpoint"):
        _compare(check, f"head.{field}", getattr(receipt.head, field), getattr(found, field))
    with View.of_prefix(reader, receipt.as_of) as view:
        _compare(check, "scanned", receipt.scanned, scan(view))
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
    rows = [exact(row) for row in answer]
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
