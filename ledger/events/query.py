"""Questions that were asked of the ledger, and signed answers. Stream: the command's own."""

from __future__ import annotations

from typing import ClassVar

from ledger.events.base import Count, Event, Hex32, Text


class QueryExecuted(Event, frozen=True, kw_only=True):
    """A statement was asked of the ledger's first `head` entries; `as_of` where the prefix was asked for."""

    TYPE: ClassVar[str] = "query.executed/1"

    sql: Text  # redacted
    sql_sha256: Hex32  # of the statement as it ran
    head: Count
    as_of: Count | None
    rows: Count


class ReceiptIssued(Event, frozen=True, kw_only=True):
    """A signed answer was about to leave: the SHA-256 and size of its envelope."""

    TYPE: ClassVar[str] = "query.receipt_issued/1"

    sha256: Hex32
    size: Count
    position: Count
    target: Text  # redacted
