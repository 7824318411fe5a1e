"""The audit log's sealed segments. Stream: `document/<sha256 of the segment>`."""

from __future__ import annotations

from typing import ClassVar

from ledger.events.base import Count, Event, Hex32, Text


class AuditSegmentSealed(Event, frozen=True, kw_only=True):
    """A JSONL segment was closed: `lines` lines for positions `first` to `last`, never to be written again."""

    TYPE: ClassVar[str] = "audit_log.segment_sealed/1"

    first: Count
    last: Count
    lines: Count
    size: Count
    sha256: Hex32
    name: Text
