"""in-toto Statement v1 with SLSA Provenance v1, from one declaration and the events it points at.

What is true here:

- Subject and dependencies are named by digest; each says whether soup hashed it or was told (`annotations`).
- `startedOn`, `finishedOn` and `invocationId` stand only where the ledger has recorded the command that did the work.
- No SLSA level is claimed: a level is what a verifier concludes about a builder, never what a builder says of itself.

Sources: in-toto Attestation Framework v1 (Statement, ResourceDescriptor); SLSA v1.2, Build Provenance v1.
"""

from __future__ import annotations

import re
from typing import Any, cast

from ledger import canonical, dsse
from ledger.events.command import CommandStarted
from ledger.events.document import AttestationDeclared, Dependency, DocumentSigned
from ledger.reader import Record
from projections.documents import Sources
from projections.errors import ProjectionError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:soup-ledger:build-type:{stage}:v1"
LOCAL_BUILDER = "urn:soup-ledger:builder:local:{name}"
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")  # RFC 3986 section 3: a scheme, a colon, and something


def statement(sources: Sources) -> bytes:
    """Render the statement as canonical JSON. Raises ProjectionError where nothing was declared."""
    record, declared = _declaration(sources)
    return canonical.encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [
                {
                    "name": declared.subject,
                    "digest": {"sha256": declared.digest.sha256},
                    "annotations": {"soup_origin": declared.digest.origin},
                }
            ],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": _build_definition(declared),
                "runDetails": _run_details(sources, record, declared),
            },
        }
    )


def envelope(sources: Sources) -> bytes:
    """Render the DSSE envelope: the statement, and the signature that the ledger holds for exactly these bytes."""
    payload = statement(sources)
    digest = canonical.sha256(payload).hex()
    for record in reversed(sources.records):
        event = record.event() if record.type == DocumentSigned.TYPE else None
        if isinstance(event, DocumentSigned) and event.payload_sha256 == digest:
            signatures = (
                (dsse.Signature(event.key, bytes.fromhex(event.signature)),) if event.key and event.signature else ()
            )
            return dsse.encode(dsse.Envelope(payload, event.payload_type, signatures)) + b"\n"
    raise ProjectionError("the statement has no recorded signature")


def builder_uri(name: str) -> str:
    """Give `builder.id`: a URI as it is, a plain name as one that says it is local."""
    return name if URI.fullmatch(name) else LOCAL_BUILDER.format(name=re.sub(r"[^A-Za-z0-9._-]", "-", name))


def _declaration(sources: Sources) -> tuple[Record, AttestationDeclared]:
    for record in reversed(sources.records):
        if record.type == AttestationDeclared.TYPE:
            return record, cast("AttestationDeclared", record.event())
    raise ProjectionError("no attestation was declared in these streams")


def _build_definition(declared: AttestationDeclared) -> dict[str, Any]:
    parameters: dict[str, Any] = {"stage": declared.stage}
    if declared.invocation is not None:
        parameters["invocation"] = declared.invocation
    return {
        "buildType": BUILD_TYPE.format(stage=declared.stage),
        "externalParameters": parameters,
        "internalParameters": {},
        "resolvedDependencies": [_descriptor(dependency) for dependency in declared.dependencies],
    }


def _descriptor(dependency: Dependency) -> dict[str, Any]:
    descriptor: dict[str, Any] = {
        "digest": {"sha256": dependency.digest.sha256},
        "annotations": {
            "soup_origin": dependency.digest.origin,
            "soup_position": dependency.position,
            "soup_role": dependency.role,
        },
    }
    if dependency.name is not None:
        descriptor["name"] = dependency.name
    return descriptor


def _run_details(sources: Sources, record: Record, declared: AttestationDeclared) -> dict[str, Any]:
    started = next((event for other in sources.records if isinstance(event := other.event(), CommandStarted)), None)
    metadata: dict[str, Any] = {
        name: value
        for name, value in (
            ("invocationId", declared.invocation_id),
            ("startedOn", declared.started_on),
            ("finishedOn", declared.finished_on),
        )
        if value is not None
    }
    return {
        "builder": {
            "id": builder_uri(declared.builder),
            "version": {"soup": started.soup_version if started else "unknown"},
        },
        "metadata": metadata,
        "byproducts": [],
        "soup_ledger": {"command": record.command, "origin": sources.origin, "position": record.position},
    }
