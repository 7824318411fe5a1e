"""The form of a receipt: canonical JSON, every value exact, and read back only where it agrees with itself.

What is true here:

- Values are null, booleans, integers up to 2^53-1 and text; a double is the shortest decimal that reads back the same, as text.
- `parse_receipt` is total: a whole receipt in which digests, counts, head and origin fit each other, or ReceiptError.

Not known here: signatures (a receipt travels in a DSSE envelope of `PAYLOAD_TYPE`), and any ledger.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from ledger import canonical, note
from ledger.errors import LedgerError, NotCanonicalError
from ledger.events.base import Count, Hex32, Text
from projections.errors import ProjectionError

PAYLOAD_TYPE = "application/vnd.soup.query-receipt.v1+json"
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
        (digest(receipt.rows) == receipt.rows_sha256, "the digest of its rows"),
        (checkpoint.origin == receipt.origin, "the origin in its head"),
        (checkpoint.size == receipt.head.size >= receipt.as_of, "the size of its head"),
        (checkpoint.root.hex() == receipt.head.root, "the root of its head"),
        (receipt.origin.endswith(f"/{receipt.ledger}"), "its origin"),
    ):
        if not holds:
            raise ReceiptError(f"not a receipt: {what} is not what it says elsewhere")
    return receipt


def encode(value: object) -> bytes:
    """Give the canonical bytes of a receipt or of its rows. Raises ReceiptError."""
    try:
        raw = canonical.encode(value)
    except NotCanonicalError as error:
        raise ReceiptError(f"no receipt: the answer {error}") from None
    if len(raw) > canonical.MAX_BYTES:
        raise ReceiptError(f"no receipt: it would have {len(raw)} bytes, {canonical.MAX_BYTES} are allowed")
    return raw


def digest(rows: list[list[Exact]]) -> str:
    """SHA-256 of the canonical rows, in hex."""
    return sha256(encode(rows)).hexdigest()
