"""The bracket around every command. Stream: `command/<command id>`."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from ledger.events.base import Count, Event, Key, Name, Text


class Base64Argument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An argument that is not UTF-8, as tagged base64 of its bytes."""

    base64: Text


class Operator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who ran it: `uid` and `user` from the kernel and the password database, `claimed` from the environment."""

    uid: Count
    user: Text | None
    claimed: dict[Key, Text]


class Process(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it ran; boot id, pid and start time tell a live process from a number used again."""

    host: Text
    pid: Count
    boot_id: Text | None
    started_ticks: Count | None  # clock ticks since boot: proc(5), field 22 of /proc/<pid>/stat


class CommandStarted(Event, frozen=True, kw_only=True):
    """Durable before the work begins."""

    TYPE: ClassVar[str] = "command.started/1"

    command: Name
    argv: list[Text | Base64Argument]
    directory: Text
    operator: Operator
    process: Process
    soup_version: Name
    redactions: dict[Key, Count]


class CommandFinished(Event, frozen=True, kw_only=True):
    """How it ended. A command that was killed has no such event."""

    TYPE: ClassVar[str] = "command.finished/1"

    exit_code: Annotated[int, Meta(ge=0, le=255)]
    duration_us: Count  # monotonic clock, microseconds
    error: Text | None
    redactions: dict[Key, Count]
