"""The ledger's own birth, and copies of it that left the house. Stream: `ledger/<id>`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from ledger.events.base import Count, Event, FileDigest, Hex32, Name, Text

LedgerOrigin = Annotated[str, Meta(pattern=r"\A[\x21-\x2a\x2c-\x7e]{1,255}\Z")]
"""A C2SP origin line and key name: no blank, no plus sign."""


class LedgerCreated(Event, frozen=True, kw_only=True):
    """Genesis: position 1 of every ledger. The id is 32 random bytes and stands in everything an author signs."""

    TYPE: ClassVar[str] = "ledger.created/1"

    ledger: Hex32
    origin: LedgerOrigin
    soup_version: Name


class LedgerExported(Event, frozen=True, kw_only=True):
    """A copy of the prefix up to `size` was about to leave the house, with these bytes."""

    TYPE: ClassVar[str] = "ledger.exported/1"

    format: Name
    size: Count
    checkpoint: Text
    files: list[FileDigest]
