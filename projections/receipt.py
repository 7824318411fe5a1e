"""A receipt: what an auditor needs to ask the same question of the same entries, and to see that the answer is the same.

What is true here:

- A receipt is a pure function of a prefix of the ledger, the statement and the versions it names: made twice, it is the same
  bytes. It stands on a view made straight from the ledger, never on the projection file.
- It is canonical JSON. Values are null, booleans, integers up to 2^53-1 and text; a double is the shortest decimal that reads
  back the same, as text.
- No receipt is made of a statement that cannot give the same answer twice (clocks, random numbers, samples), nor of a cut
  answer.
- `parse_receipt` is total: a whole receipt that agrees with itself, or ReceiptError.

Not known here: signatures (a receipt travels in a DSSE envelope, payload type `PAYLOAD_TYPE`), and whether the ledger itself
verifies: do that first.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from importlib.metadata import version
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger import canonical, note
from ledger.errors import LedgerError, NotCanonicalError
from ledger.events.base import Count, Hex32, Text
from ledger.reader import Reader
from projections import catalog
from projections.engine import View, genesis
from projections.errors import ProjectionError
from projections.formats import text_of
from projections.query import Answer, Value

PAYLOAD_TYPE = "application/vnd.soup.query-receipt.v1+json"
DISTRIBUTION = "soup-ledger"
MAX_ROWS = 100_000
MAX_COLUMNS = 1_000

Exact = None | bool | int | str


class ReceiptError(ProjectionError):
    """No receipt can be made, or bytes are none."""


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signed head of the commit that holds the last entry asked about; `checkpoint` is the note's exact text."""

    checkpoint: Text
    root: Hex32
    size: Count


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column: its name, and DuckDB's name of its type."""

    name: Text
    type: Text


class Scanned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The entries behind the answer: their number, first and last position, those `erased`, `gaps` as ranges of positions.

    `silence_us` is the log's longest time without an entry, in microseconds; `silence_before` the position that ended it.
    """

    erased: Count
    events: Count
    first: Count
    gaps: Annotated[list[tuple[Count, Count]], Meta(max_length=10_000)]
    last: Count
    silence_before: Count
    silence_us: Count


class Receipt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that was asked, of what, and what came out. Digests in hex; `views` is that of the SQL files."""

    as_of: Count
    columns: Annotated[list[Field], Meta(max_length=MAX_COLUMNS)]
    duckdb: Text
    format: Literal["soup-query-receipt/1"]
    head: Head
    ledger: Hex32
    origin: Text
    row_count: Count
    rows: Annotated[list[list[Exact]], Meta(max_length=MAX_ROWS)]
    rows_sha256: Hex32
    scanned: Scanned
    soup: Text
    sql: Text
    sql_sha256: Hex32
    views: Hex32


_decoder = msgspec.json.Decoder(Receipt)


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
        head=head(reader, last),
        columns=[Field(column.name, column.type) for column in answer.columns],
        row_count=len(rows),
        rows=rows,
        rows_sha256=_digest(rows),
        scanned=scan(answer.view),
        duckdb=version("duckdb"),
        soup=version(DISTRIBUTION),
        views=catalog.digest(),
    )
    return _encode(receipt)


def parse_receipt(raw: bytes) -> Receipt:
    """Read a receipt, and demand that it agrees with itself. Raises ReceiptError."""
    try:
        canonical.decode(raw)
        receipt = _decoder.decode(raw)
        checkpoint = note.parse_checkpoint_body(note.parse_note(receipt.head.checkpoint).body)
    except (LedgerError, msgspec.DecodeError, RecursionError) as error:
        raise ReceiptError(f"not a receipt: {error}") from None
    for holds, what in (
        (sha256(receipt.sql.encode()).hexdigest() == receipt.sql_sha256, "the digest of its SQL"),
        (len(receipt.rows) == receipt.row_count, "its number of rows"),
        (all(len(row) == len(receipt.columns) for row in receipt.rows), "its number of columns"),
        (_digest(receipt.rows) == receipt.rows_sha256, "the digest of its rows"),
        (checkpoint.origin == receipt.origin, "the origin in its head"),
        (checkpoint.size == receipt.head.size >= receipt.as_of, "the size of its head"),
        (checkpoint.root.hex() == receipt.head.root, "the root of its head"),
        (receipt.origin.endswith(f"/{receipt.ledger}"), "its origin"),
    ):
        if not holds:
            raise ReceiptError(f"not a receipt: {what} is not what it says elsewhere")
    return receipt


def head(reader: Reader, position: int) -> Head:
    """Give the head of the commit that holds `position`; the ledger is not verified here."""
    record = reader.record(position)
    if record is None:
        raise ReceiptError(f"there is no entry {position} to make a receipt on")
    size = position - record.commit_index + record.commit_size - 1
    text = reader.checkpoint(size)
    root = note.parse_checkpoint_body(note.parse_note(text).body).root
    return Head(checkpoint=text, root=root.hex(), size=size)


def scan(view: View) -> Scanned:
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
        rows.append(exact(row))
    return rows


def exact(row: Iterable[Value]) -> list[Exact]:
    """Give the values of a row as a receipt holds them."""
    return [_value(value) for value in row]


def _value(value: Value) -> Exact:
    if isinstance(value, float):
        return text_of(value)
    if isinstance(value, int) and not -canonical.MAX_INTEGER <= value <= canonical.MAX_INTEGER:
        return str(value)
    return value


def _digest(rows: list[list[Exact]]) -> str:
    return sha256(_encode(rows)).hexdigest()


def _encode(value: object) -> bytes:
    try:
        raw = canonical.encode(value)
    except NotCanonicalError as error:
        raise ReceiptError(f"no receipt: the answer {error}") from None
    if len(raw) > canonical.MAX_BYTES:
        raise ReceiptError(f"no receipt: it would have {len(raw)} bytes, {canonical.MAX_BYTES} are allowed")
    return raw
