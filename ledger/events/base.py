"""What every event is: a frozen struct of canonical JSON fields with a written-out, versioned type name.

Field types are closed (no Any, no float), so that typed decoding checks the whole domain.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

MAX_TEXT = 65_536

Hex32 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""32 bytes (a SHA-256 digest, a key id, a public key) in lower-case hex."""
Hex64 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{128}\Z")]
"""64 bytes (an Ed25519 signature) in lower-case hex."""
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Key = Annotated[str, Meta(pattern=r"\A[\x20-\x7e]{1,128}\Z")]
"""A key of a map: ASCII, as canonical JSON demands."""
Name = Annotated[str, Meta(min_length=1, max_length=1024)]
Origin = Annotated[str, Meta(pattern=r"\A(observed|declared)\Z")]
"""`observed`: soup read the bytes and hashed them. `declared`: the operator typed it."""
Time = Annotated[str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z\Z")]
"""UTC with microseconds, RFC 3339."""


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fact in the past tense. `TYPE` is what the entry header says: name, slash, version."""

    TYPE: ClassVar[str] = ""


class Digest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A SHA-256 digest and how soup came to know it."""

    sha256: Hex32
    origin: Origin


class FileDigest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a directory: path relative to it (POSIX), digest and size in bytes."""

    path: Text
    sha256: Hex32
    size: Count
