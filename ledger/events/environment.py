"""The software and hardware that soup found itself in. Stream: the command's own, or `run/<id>`."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from ledger.events.base import Count, Event, Hex32, Key, Name, Text


class Package(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An installed Python distribution. `record_sha256` is the SHA-256 of its RECORD file, which lists every file's digest."""

    name: Name
    version: Name
    license: Text | None  # as its metadata says: an SPDX expression, or a name
    record_sha256: Hex32 | None
    supplier: Text | None
    requires: list[Name]  # names of installed distributions that it depends on, normalised (PEP 503), sorted


class Device(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A processor or an accelerator. `memory` in bytes."""

    kind: Literal["cpu", "gpu", "other"]
    name: Name
    count: Count
    memory: Count | None
    driver: Name | None


class EnvironmentObserved(Event, frozen=True, kw_only=True):
    """What was installed and running. `details` holds further facts by name (kernel, libc, BLAS, flags)."""

    TYPE: ClassVar[str] = "environment.observed/1"

    python: Name
    implementation: Name
    platform: Name
    packages: list[Package]
    devices: list[Device]
    details: dict[Key, Text]
