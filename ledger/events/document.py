"""What is shown to others: declared, rendered, signed, published.

A document's declaration lies in its command's stream, the rest of its life in `document/<sha256>`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from ledger.events.base import Count, Digest, Event, Hex32, Hex64, Key, Name, Text, Time


class BomDeclared(Event, frozen=True, kw_only=True):
    """The operator asked for a bill of materials with these facts. Files behind digests are `artifact.observed`."""

    TYPE: ClassVar[str] = "bom.declared/1"

    name: Name
    version: Name
    base_model: Name | None
    task: Name | None
    license: Name | None
    model: Digest | None
    base: Digest | None
    config: Digest | None
    data: list[Digest]
    redactions: dict[Key, Count]


class Parent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bill of materials of what the model was made from. `id`: serial number (CycloneDX) or namespace (SPDX)."""

    sha256: Hex32
    format: Literal["cyclonedx", "spdx", "spdx3"]
    id: Name | None


class BomDeclared2(Event, frozen=True, kw_only=True):
    """As version 1, and more: other artifacts, a parent document, the run it is about, the base's exact revision."""

    TYPE: ClassVar[str] = "bom.declared/2"

    name: Name
    version: Name
    base_model: Name | None
    base_revision: Name | None
    task: Name | None
    license: Name | None
    model: Digest | None
    base: Digest | None
    config: Digest | None
    data: list[Digest]
    artifacts: list[Digest]
    parent: Parent | None
    run: Name | None
    redactions: dict[Key, Count]


class Dependency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a stage consumed, and the ledger position that says so."""

    role: Literal["base", "config", "data"]
    name: Text | None
    digest: Digest
    position: Count


class AttestationDeclared(Event, frozen=True, kw_only=True):
    """The operator asked for a statement about `subject`. Times and dependencies come from earlier events only."""

    TYPE: ClassVar[str] = "attestation.declared/1"

    stage: Literal["extract", "train", "eval", "export", "publish"]
    subject: Name
    digest: Digest
    builder: Name
    invocation: Text | None  # redacted
    invocation_id: Name | None  # the recorded command that ran it, when the ledger knows one
    started_on: Time | None
    finished_on: Time | None
    dependencies: list[Dependency]
    redactions: dict[Key, Count]


class ModelSignatureDeclared(Event, frozen=True, kw_only=True):
    """The operator asked for an OpenSSF Model Signing signature over the files that `artifact.observed` lists."""

    TYPE: ClassVar[str] = "model_signature.declared/1"

    name: Name
    digest: Hex32


class DocumentRendered(Event, frozen=True, kw_only=True):
    """These bytes are about to leave. `position` is the prefix they derive from; the same prefix gives them again."""

    TYPE: ClassVar[str] = "document.rendered/1"

    kind: Name  # a row of projections/kinds.py
    renderer: Name  # name/version of the renderer
    libraries: dict[Key, Text]  # versions of the libraries that shape the bytes
    media_type: Name
    sha256: Hex32
    size: Count
    position: Count
    streams: list[Name]  # the inputs
    target: Text | None  # redacted path; None: standard output
    restorable: bool  # the target can be found again from `target`


class DocumentSigned(Event, frozen=True, kw_only=True):
    """A signature over DSSE's pre-authentication encoding of the rendered payload; the envelope is assembled from it."""

    TYPE: ClassVar[str] = "document.signed/1"

    payload_sha256: Hex32
    payload_type: Name
    key: Hex32 | None  # None: deliberately unsigned
    signature: Hex64 | None


class DocumentSigned2(Event, frozen=True, kw_only=True):
    """As version 1, for every backend. `signature` is hex; `key` is the key id that stands in the envelope.

    `bundle` is a whole Sigstore bundle (JSON text) where an outside log answered: nothing else gives its bytes again.
    `digest` names the document that the payload is about, where that is not the envelope's own statement.
    """

    TYPE: ClassVar[str] = "document.signed/2"

    backend: Literal["unsigned", "ed25519", "ecdsa-p256", "sigstore"]
    payload_sha256: Hex32
    payload_type: Name
    key: Text | None
    public: Text | None  # the public key, PEM (SubjectPublicKeyInfo)
    signature: Annotated[str, Meta(pattern=r"\A([0-9a-f]{2}){1,1024}\Z")] | None
    bundle: Annotated[str, Meta(max_length=1_000_000)] | None
    identity: Text | None  # the certificate's, redacted


class DocumentPublished(Event, frozen=True, kw_only=True):
    """The bytes stand at the target; os.replace returned."""

    TYPE: ClassVar[str] = "document.published/1"

    sha256: Hex32
    target: Text | None
