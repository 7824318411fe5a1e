"""The predicate of a stage: SLSA Provenance v1, and where an outcome or a release was stated, test-result or release.

What is true here:

- What was used stands as `resolvedDependencies` (or `configuration`) by digest, each with the ledger position that says so.
- `startedOn`, `finishedOn` and `invocationId` stand only where the ledger has recorded the command that did the work.
- No SLSA level is claimed: a level is what a verifier concludes about a builder, never what a builder says of itself.
- What the environment claims of a CI system stands under `soup_claimed_ci`, apart from what soup knows.
- A predicate has the fields of its specification and no other: strict readers take it. What it has no place for stands in
  `internalParameters`, or in the subject's annotations (`context`), under names that begin with `soup_`.

Not known here: subjects, signatures, and which stage is right.

Sources: SLSA v1.2, Build Provenance v1; in-toto attestation predicates test-result v0.1 and release v0.1.
"""

from __future__ import annotations

import re
from typing import Any

from ledger.events.attestation import AttestationDeclared2, Kind, ReferencedDocument, UsedArtifact
from ledger.events.base import Digest
from ledger.events.command import CommandStarted
from ledger.events.run import RunEvaluated, RunStarted
from ledger.reader import Record
from projections.documents import Sources

PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
RELEASE = "https://in-toto.io/attestation/release/v0.1"
BUILD_TYPE = "urn:soup-ledger:build-type:{stage}:v1"
LOCAL_BUILDER = "urn:soup-ledger:builder:local:{name}"
URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")  # RFC 3986 section 3: a scheme, a colon, and something

Object = dict[str, Any]


def predicate(sources: Sources, record: Record, declared: AttestationDeclared2) -> tuple[str, Object]:
    """Give the predicate's type and body. An outcome and a release have a type of their own; all else is provenance."""
    if declared.outcome is not None:
        return TEST_RESULT, _test_result(record, declared)
    if declared.release is not None:
        return RELEASE, _release(declared)
    return PROVENANCE, {
        "buildDefinition": _build_definition(sources, record, declared),
        "runDetails": _run_details(sources, record, declared),
    }


def builder_uri(name: str) -> str:
    """Give `builder.id`: a URI as it is, a plain name as one that says it is local."""
    return name if URI.fullmatch(name) else LOCAL_BUILDER.format(name=re.sub(r"[^A-Za-z0-9._-]", "-", name))


def digest_set(digest: Digest, kind: Kind | None) -> dict[str, str]:
    """Give a DigestSet. A directory has the SHA-256 of its listing, which in-toto calls `dirHash` (Go's Hash1, in hex).

    `sha256` stands beside it, as DigestSet v1.1 recommends: it is the SHA-256 of the listing that `sha256sum` prints.
    """
    return {"sha256": digest.sha256, **({"dirHash": digest.sha256} if kind == "directory" else {})}


def measurements(sources: Sources, run: str) -> list[Object]:
    """Give a run's last evaluation on each slice, values as the decimal text that was recorded."""
    last: dict[str | None, tuple[Record, RunEvaluated]] = {}
    for record in sources.records:
        event = record.event() if record.type == RunEvaluated.TYPE else None
        if isinstance(event, RunEvaluated) and event.run == run:
            last[event.slice] = record, event
    return [
        {"slice": event.slice, "step": event.step, "metrics": event.metrics, "position": record.position}
        for record, event in sorted(last.values(), key=lambda pair: pair[0].position)
    ]


def _build_definition(sources: Sources, record: Record, declared: AttestationDeclared2) -> Object:
    run = _run(sources, declared)
    parameters: Object = {"stage": declared.stage}
    if declared.invocation is not None:
        parameters["invocation"] = declared.invocation
    if run is not None:
        parameters |= {"run": run.run, "task": run.task, "settings": run.settings}
    internal: Object = {"soup_ledger": _position(sources, record)}
    if run is not None and run.seeds:
        internal["seeds"] = run.seeds
    if declared.ci is not None:
        internal["soup_claimed_ci"] = _ci(declared)
    return {
        "buildType": BUILD_TYPE.format(stage=declared.stage),
        "externalParameters": parameters,
        "internalParameters": internal,
        "resolvedDependencies": [_used(each, record) for each in declared.dependencies],
    }


def _run_details(sources: Sources, record: Record, declared: AttestationDeclared2) -> Object:
    return {
        "builder": _builder(sources, record, declared),
        "metadata": _metadata(declared),
        "byproducts": [_document(each) for each in declared.byproducts],
    }


def context(sources: Sources, record: Record, declared: AttestationDeclared2) -> Object:
    """Give what provenance has a place for and other predicates have not: who, when, and what else speaks of it.

    Empty for provenance.
    """
    if declared.outcome is None and declared.release is None:
        return {}
    found: Object = {
        "soup_stage": declared.stage,
        "soup_builder": _builder(sources, record, declared),
        "soup_metadata": _metadata(declared),
        "soup_references": [_document(each) for each in declared.byproducts],
        "soup_ledger": _position(sources, record),
    }
    if declared.outcome is None:
        found["soup_dependencies"] = [_used(each, record) for each in declared.dependencies]
    if declared.invocation is not None:
        found["soup_invocation"] = declared.invocation
    if declared.run is not None:
        found["soup_run"] = declared.run
    if declared.ci is not None:
        found["soup_claimed_ci"] = _ci(declared)
    return found


def _test_result(record: Record, declared: AttestationDeclared2) -> Object:
    outcome = declared.outcome
    assert outcome is not None  # noqa: S101 - the caller has looked
    return {
        "result": outcome.result,
        "configuration": [_used(each, record) for each in declared.dependencies],
        **({"url": outcome.url} if outcome.url is not None else {}),
        "passedTests": outcome.passed,
        "warnedTests": outcome.warned,
        "failedTests": outcome.failed,
    }


def _release(declared: AttestationDeclared2) -> Object:
    release = declared.release
    assert release is not None  # noqa: S101 - the caller has looked
    return {
        "purl": release.purl,
        **({"releaseId": release.release_id} if release.release_id is not None else {}),
    }


def _builder(sources: Sources, record: Record, declared: AttestationDeclared2) -> Object:
    started = next(
        (
            event
            for other in sources.records
            if other.command == record.command and isinstance(event := other.event(), CommandStarted)
        ),
        None,
    )
    return {
        "id": builder_uri(declared.builder),
        "version": {"soup": started.soup_version if started else "unknown"},
    }


def _metadata(declared: AttestationDeclared2) -> dict[str, str]:
    return {
        name: value
        for name, value in (
            ("invocationId", declared.invocation_id),
            ("startedOn", declared.started_on),
            ("finishedOn", declared.finished_on),
        )
        if value is not None
    }


def _position(sources: Sources, record: Record) -> Object:
    return {"command": record.command, "origin": sources.origin, "position": record.position}


def _ci(declared: AttestationDeclared2) -> Object:
    assert declared.ci is not None  # noqa: S101 - the caller has looked
    return {"system": declared.ci.system, "variables": declared.ci.variables}


def _used(used: UsedArtifact, record: Record) -> Object:
    """Give the ResourceDescriptor of what was used."""
    descriptor: Object = {
        "digest": digest_set(used.digest, used.kind),
        "annotations": {
            "soup_origin": used.digest.origin,
            "soup_position": record.position if used.position is None else used.position,
            "soup_role": used.role,
        },
    }
    if used.name is not None:
        descriptor["name"] = used.name
    return descriptor


def _document(document: ReferencedDocument) -> Object:
    return {
        "name": document.name,
        "digest": {"sha256": document.sha256},
        "mediaType": document.media_type,
        "annotations": {"soup_kind": document.kind, "soup_position": document.position},
    }


def _run(sources: Sources, declared: AttestationDeclared2) -> RunStarted | None:
    for record in sources.records:
        event = record.event() if record.type == RunStarted.TYPE else None
        if isinstance(event, RunStarted) and event.run == declared.run:
            return event
    return None
