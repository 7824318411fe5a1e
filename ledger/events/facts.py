"""What an operator states about a model and no tool can know. Stream: the command's own.

The structs below are the vocabulary of `--facts FILE` as well: the published JSON Schema is made from them. Everything here is
*declared*; a field that is None, or a list that is empty, was not stated, and nothing may be concluded from it.

Numbers are decimal strings (the ledger knows no floats). Sources of the fields: CycloneDX 1.6 `modelCard` and `componentData`,
SPDX 3.0.1 AI and Dataset profiles, the G7 "SBOM for AI" minimum elements.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from ledger.events.base import Count, Event, Hex32, Key, Name, Text

Decimal = Annotated[str, Meta(pattern=r"\A-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?\Z")]
"""A number as decimal text."""
Date = Annotated[str, Meta(pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?\Z")]
"""A day, or a second in UTC: 2026-11-22 or 2026-11-22T20:00:00Z."""
Url = Annotated[str, Meta(pattern=r"\A[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f\x7f-\x9f<>\"{}|\\^`]{1,2000}\Z")]
"""An absolute URI (RFC 3986)."""
Email = Annotated[str, Meta(pattern=r"\A[^\s@<>\x00-\x1f\x7f-\x9f]{1,64}@[^\s@<>\x00-\x1f\x7f-\x9f]{1,255}\Z")]
YesNo = Literal["yes", "no"]
Texts = Annotated[list[Name], Meta(max_length=1000)]


class _Stated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of what is stated: absent means not stated."""


class Contact(_Stated, frozen=True, kw_only=True):
    """A person, or a desk."""

    name: Name | None = None
    email: Email | None = None
    phone: Name | None = None


class Organization(_Stated, frozen=True, kw_only=True):
    """Who supplies, makes, keeps or authors something."""

    name: Name
    url: Url | None = None
    contacts: Annotated[list[Contact], Meta(max_length=100)] = []


class Link(_Stated, frozen=True, kw_only=True):
    """Where more can be read. `type` is one of CycloneDX's external reference types."""

    type: Literal[
        "website", "vcs", "documentation", "distribution", "model-card", "license", "issue-tracker", "support",
        "security-contact", "evidence", "attestation", "advisories", "release-notes", "other",
    ]  # fmt: skip
    url: Url
    sha256: Hex32 | None = None
    comment: Text | None = None


class ModelStated(_Stated, frozen=True, kw_only=True):
    """The model itself."""

    description: Text | None = None
    group: Name | None = None
    purl: Url | None = None
    supplier: Organization | None = None
    manufacturer: Organization | None = None
    authors: Annotated[list[Contact], Meta(max_length=100)] = []
    copyright: Text | None = None
    released: Date | None = None
    types: Texts = []  # SPDX typeOfModel: "transformer", "adapter" ...
    architecture_family: Name | None = None
    architecture: Name | None = None
    approach: (
        Literal["supervised", "unsupervised", "reinforcement-learning", "semi-supervised", "self-supervised"] | None
    ) = None
    inputs: Texts = []  # formats: "text"
    outputs: Texts = []
    domains: Texts = []
    autonomy: YesNo | None = None
    standards: Texts = []
    links: Annotated[list[Link], Meta(max_length=200)] = []


class Ethical(_Stated, frozen=True, kw_only=True):
    """An ethical consideration, and what is done about it."""

    name: Text
    mitigation: Text | None = None


class Fairness(_Stated, frozen=True, kw_only=True):
    """A group at risk, what the model brings it, and what is done about the harm."""

    group_at_risk: Text
    benefits: Text | None = None
    harms: Text | None = None
    mitigation: Text | None = None


class Considerations(_Stated, frozen=True, kw_only=True):
    """What a user of the model should consider."""

    intended_use: Text | None = None
    users: Texts = []
    use_cases: Texts = []
    out_of_scope: Texts = []
    limitations: Texts = []
    tradeoffs: Texts = []
    ethical: Annotated[list[Ethical], Meta(max_length=1000)] = []
    fairness: Annotated[list[Fairness], Meta(max_length=1000)] = []
    safety_risk: Literal["serious", "high", "medium", "low"] | None = None
    explainability: Texts = []
    sensitive_personal_information: YesNo | None = None
    application: Text | None = None  # how the model is used inside an application


class TrainingStated(_Stated, frozen=True, kw_only=True):
    """How it was trained, where no run was recorded."""

    information: Text | None = None
    preprocessing: Texts = []
    hyperparameters: dict[Key, Name] = {}


class Metric(_Stated, frozen=True, kw_only=True):
    """A measured quality. `threshold` is the value from which on it was accepted."""

    type: Name
    value: Decimal
    slice: Name | None = None
    lower: Decimal | None = None  # of the confidence interval
    upper: Decimal | None = None
    threshold: Decimal | None = None


class Governance(_Stated, frozen=True, kw_only=True):
    """Who keeps a data set, answers for its use, and owns it."""

    custodians: Annotated[list[Organization], Meta(max_length=100)] = []
    stewards: Annotated[list[Organization], Meta(max_length=100)] = []
    owners: Annotated[list[Organization], Meta(max_length=100)] = []


class DatasetStated(_Stated, frozen=True, kw_only=True):
    """A data set. `match` is its file name or its SHA-256, as soup saw or was told it."""

    match: Name
    name: Name | None = None
    version: Name | None = None
    description: Text | None = None
    license: Name | None = None
    copyright: Text | None = None
    url: Url | None = None
    purl: Url | None = None
    supplier: Organization | None = None
    released: Date | None = None
    built: Date | None = None
    types: Annotated[
        list[
            Literal[
                "audio", "categorical", "graph", "image", "numeric", "other", "sensor", "structured", "syntactic", "text",
                "timeseries", "timestamp", "video",
            ]
        ],
        Meta(max_length=20),
    ] = []  # fmt: skip
    classification: Name | None = None
    confidentiality: Literal["red", "amber", "green", "clear"] | None = None
    sensitive: Texts = []
    personal_information: YesNo | None = None
    anonymization: Texts = []
    collection: Text | None = None
    preprocessing: Texts = []
    noise: Text | None = None
    known_bias: Texts = []
    availability: Literal["clickthrough", "directDownload", "query", "registration", "scrapingScript"] | None = None
    update_mechanism: Text | None = None
    intended_use: Text | None = None
    sensors: Texts = []
    languages: Texts = []
    role: Literal["training", "evaluation"] = "training"
    governance: Governance | None = None


class BaseStated(_Stated, frozen=True, kw_only=True):
    """The model that was fine-tuned."""

    revision: Name | None = None
    license: Name | None = None
    copyright: Text | None = None
    description: Text | None = None
    supplier: Organization | None = None
    released: Date | None = None
    purl: Url | None = None
    url: Url | None = None


class ConfigStated(_Stated, frozen=True, kw_only=True):
    """The training configuration, as a file of its own."""

    version: Name | None = None
    license: Name | None = None
    copyright: Text | None = None
    description: Text | None = None
    supplier: Organization | None = None


class SecurityStated(_Stated, frozen=True, kw_only=True):
    """How the model is protected, and where its vulnerabilities are told."""

    controls: Texts = []
    policy: Url | None = None
    vulnerabilities: Url | None = None
    metrics: Annotated[list[Metric], Meta(max_length=100)] = []


class DocumentStated(_Stated, frozen=True, kw_only=True):
    """The bill of materials itself: who answers for it. Its own licence is CC0-1.0, as SPDX demands."""

    supplier: Organization | None = None
    authors: Annotated[list[Contact], Meta(max_length=100)] = []


class Facts(_Stated, frozen=True, kw_only=True):
    """All that an operator may state about one model."""

    model: ModelStated = ModelStated()
    considerations: Considerations = Considerations()
    training: TrainingStated = TrainingStated()
    metrics: Annotated[list[Metric], Meta(max_length=1000)] = []
    base: BaseStated = BaseStated()
    config: ConfigStated = ConfigStated()
    data: Annotated[list[DatasetStated], Meta(max_length=1000)] = []
    security: SecurityStated = SecurityStated()
    document: DocumentStated = DocumentStated()


class FactsDeclared(Event, frozen=True, kw_only=True):
    """A facts file was read, redacted, and stated as true."""

    TYPE: ClassVar[str] = "facts.declared/1"

    sha256: Hex32  # of the file, as it was read
    facts: Facts
    redactions: dict[Key, Count]
