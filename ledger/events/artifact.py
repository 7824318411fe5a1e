"""Inputs that soup read, or was told of. Streams: `model/<sha256>`, `dataset/<sha256>`, `config/<sha256>`."""

from __future__ import annotations

from typing import ClassVar, Literal

from ledger.events.base import Count, Event, FileDigest, Hex32, Text

Role = Literal["model", "base", "config", "data", "subject"]
STREAM_OF_ROLE = {"model": "model", "base": "model", "config": "config", "data": "dataset", "subject": "model"}


class ArtifactObserved(Event, frozen=True, kw_only=True):
    """Soup read the bytes. A directory's digest is SHA-256 over its sorted `<hex>  <path>` lines (Go's dirhash H1)."""

    TYPE: ClassVar[str] = "artifact.observed/1"

    role: Role
    path: Text  # redacted
    kind: Literal["file", "directory"]
    sha256: Hex32
    size: Count
    files: list[FileDigest]  # empty for a single file


class ArtifactDeclared(Event, frozen=True, kw_only=True):
    """The operator typed this digest; nobody looked at the bytes."""

    TYPE: ClassVar[str] = "artifact.declared/1"

    role: Role
    sha256: Hex32
