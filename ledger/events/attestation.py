"""Attestations asked for: what is stated of which artifacts, and on what grounds. Stream: the command's own.

Version 1 of `attestation.declared` stands in `ledger.events.document`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from ledger.events.base import Count, Digest, Event, Hex32, Key, Name, Text, Time
from ledger.events.facts import Url

Kind = Literal["file", "directory"]
DependencyRole = Literal["base", "adapter", "model", "tokenizer", "config", "data", "evaluation", "code", "other"]
"""What a stage may have used: `data` it learned or was made from, `evaluation` it was measured on."""
Purl = Annotated[str, Meta(pattern=r"\Apkg:[A-Za-z][A-Za-z0-9.+-]*/[!-~]{1,1000}\Z")]
"""A package URL (purl-spec): `pkg:huggingface/owner/name@revision`."""
DigestText = Annotated[str, Meta(pattern=r"\A[0-9A-Za-z+/=_:.-]{1,256}\Z")]
Level = Annotated[str, Meta(pattern=r"\A(SLSA_BUILD_LEVEL_[0-3]|FAILED)\Z")]
"""An SlsaResult of SLSA v1.1's verification summary."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a declaration."""


class AttestedArtifact(_Part, frozen=True, kw_only=True):
    """A subject. `kind` is None where only its digest is known; a directory's digest is Go's dirhash H1."""

    name: Name
    digest: Digest
    kind: Kind | None


class UsedArtifact(_Part, frozen=True, kw_only=True):
    """What a stage consumed. `position` is the entry that says so; None: this very declaration."""

    role: DependencyRole
    name: Text | None
    digest: Digest
    kind: Kind | None
    position: Count | None


class ReferencedDocument(_Part, frozen=True, kw_only=True):
    """A document of this ledger about the subject, by the digest of its bytes."""

    kind: Name  # a row of projections/kinds.py
    name: Text
    media_type: Name
    sha256: Hex32
    position: Count


class ClaimedCi(_Part, frozen=True, kw_only=True):
    """What the environment claims of the system that runs this. Anybody can set a variable: a claim, no observation."""

    system: Name  # "github", "gitlab", or "unknown"
    variables: dict[Key, Text]  # redacted


class EvaluationOutcome(_Part, frozen=True, kw_only=True):
    """How an evaluation went, as the operator says. No name stands twice."""

    result: Literal["PASSED", "WARNED", "FAILED"]
    url: Url | None
    passed: list[Name]
    warned: list[Name]
    failed: list[Name]


class Release(_Part, frozen=True, kw_only=True):
    """The release that the subjects make up."""

    purl: Purl
    release_id: Name | None


class AttestationDeclared2(Event, frozen=True, kw_only=True):
    """As version 1, and more: several subjects, the run it is about, what the stage's own predicate needs.

    Times are those of recorded events. With `run`, its settings, seeds and measurements are read from the run's stream.
    """

    TYPE: ClassVar[str] = "attestation.declared/2"

    stage: Literal["extract", "train", "eval", "export", "publish"]
    subjects: Annotated[list[AttestedArtifact], Meta(min_length=1, max_length=1000)]
    builder: Name  # `builder.id`: a URI, or a plain name, which is rendered as one that says it is local
    ci: ClaimedCi | None
    run: Name | None
    invocation: Text | None  # redacted
    invocation_id: Name | None  # the recorded command that did it, where the ledger knows one
    started_on: Time | None
    finished_on: Time | None
    dependencies: list[UsedArtifact]
    byproducts: list[ReferencedDocument]
    outcome: EvaluationOutcome | None
    release: Release | None
    redactions: dict[Key, Count]


class SummarySubject(_Part, frozen=True, kw_only=True):
    """A subject as the verified attestation names it, with every digest it gives."""

    name: Name | None
    digest: dict[Key, DigestText]


class SummaryPolicy(_Part, frozen=True, kw_only=True):
    """The policy that was applied: how it calls itself, and the SHA-256 of its file."""

    uri: Url
    sha256: Hex32


class SummarizedAttestation(_Part, frozen=True, kw_only=True):
    """The attestation that was verified. All but `sha256` is None where its signature did not hold: nothing was read."""

    name: Text
    uri: Url | None
    sha256: Hex32  # of the envelope's or bundle's file
    predicate_type: Text | None
    builder: Text | None
    signer: Text | None  # fingerprint of the key, or the identity and its issuer


class VsaDeclared(Event, frozen=True, kw_only=True):
    """An attestation was verified against a policy, with this result. The time of verification is the entry's own."""

    TYPE: ClassVar[str] = "vsa.declared/1"

    subjects: Annotated[list[SummarySubject], Meta(min_length=1)]
    verifier: Url
    resource: Url
    policy: SummaryPolicy
    attestation: SummarizedAttestation
    result: Literal["PASSED", "FAILED"]
    levels: Annotated[list[Level], Meta(min_length=1, max_length=1)]
    reason: Text  # redacted
    redactions: dict[Key, Count]
