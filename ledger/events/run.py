"""A training run, from its beginning to its end. Stream: `run/<id>`."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from ledger.events.base import Count, Digest, Event, FileDigest, Hex32, Key, Name, Text
from ledger.events.facts import Decimal


class RunData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of training or evaluation data, as it was read."""

    role: Literal["training", "evaluation"]
    name: Name
    sha256: Hex32
    size: Count  # bytes
    rows: Count
    kept: Count
    tokens: Count
    supervised: Count


class RunStarted(Event, frozen=True, kw_only=True):
    """Everything the run depends on is known; no step has been taken."""

    TYPE: ClassVar[str] = "run.started/1"

    run: Name
    name: Name | None  # experiment_name
    task: Name
    base: Name
    base_revision: Name | None
    base_digest: Digest
    architecture: Name | None
    parameters: Count
    trainable: Count
    config: Digest
    settings: dict[Key, Text]  # every resolved setting, by its dotted name
    data: list[RunData]
    seeds: dict[Key, Text]
    steps: Count  # planned


class RunEvaluated(Event, frozen=True, kw_only=True):
    """Quality on held-out data after `step` optimizer steps."""

    TYPE: ClassVar[str] = "run.evaluated/1"

    run: Name
    step: Count
    metrics: dict[Key, Decimal]
    slice: Name | None


class RunCompleted(Event, frozen=True, kw_only=True):
    """The output stands where it was asked for; `digest` is that of the directory (Go's dirhash H1)."""

    TYPE: ClassVar[str] = "run.completed/1"

    run: Name
    output: Text  # redacted
    digest: Digest
    files: list[FileDigest]
    steps: Count
    last_loss: Decimal | None
    supervised: Count  # tokens, over all steps
    computed: Count


class RunFailed(Event, frozen=True, kw_only=True):
    """The run ended without an output."""

    TYPE: ClassVar[str] = "run.failed/1"

    run: Name
    step: Count
    error: Text
