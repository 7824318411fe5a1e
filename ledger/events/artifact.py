"""Inputs that soup read, or was told of. Streams: `model/<sha256>`, `dataset/<sha256>`, `config/<sha256>`."""

from __future__ import annotations

from typing import ClassVar, Literal

from ledger.events.base import Count, Event, FileDigest, Hex32, Key, Name, Text

Role = Literal["model", "base", "config", "data", "subject", "artifact"]
STREAM_OF_ROLE = {
    "model": "model", "base": "model", "config": "config", "data": "dataset", "subject": "model", "artifact": "model"
}  # fmt: skip


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


class ArtifactDescribed(Event, frozen=True, kw_only=True):
    """What the headers of an observed artifact say of it; no weights were read for this. Counts are as the headers give them.

    Follows the `artifact.observed` with the same digest in the same command.
    """

    TYPE: ClassVar[str] = "artifact.described/1"

    sha256: Hex32
    format: Literal["gguf", "safetensors", "peft-adapter", "transformers-model", "tokenizer", "other"]
    parameters: Count | None
    tensors: Count | None
    dtypes: dict[Key, Count]  # parameters by type: {"F32": 442368}
    architecture_family: Name | None  # "llama"
    architecture: Name | None  # "LlamaForCausalLM"
    name: Name | None
    license: Name | None
    base_model: Name | None
    base_revision: Name | None
    context_length: Count | None
    vocabulary: Count | None
    tokenizer: Name | None  # class or model of the tokenizer
    quantization: Name | None
    settings: dict[Key, Text]  # for an adapter: r, lora_alpha, target_modules ...
    notes: list[Text]  # what could not be read, and why
