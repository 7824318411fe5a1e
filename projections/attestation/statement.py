"""in-toto Statement v1: its subjects, and the predicate that fits the stage. One declaration gives one statement.

What is true here:

- Subjects are named by digest, and each name stands once. Each says whether soup hashed it or was told (`annotations`).
- A directory's digest is the SHA-256 of its listing, in-toto's `dirHash`, and its annotations say so. Each of its files is a
  subject of its own: a verifier who has one file can check it.
- The bytes are a function of the records alone: canonical JSON, times of events, nothing of this machine.
- Every version of every declaration folds: an old one is read as the newest one with less in it.

Not known here: what a predicate says (`predicates`, `vsa`), and how a signature is wrapped (`envelope`).

Sources: in-toto Attestation Framework v1 (Statement, ResourceDescriptor, DigestSet).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from ledger import canonical
from ledger.events.artifact import ArtifactObserved
from ledger.events.attestation import AttestationDeclared2, AttestedArtifact, UsedArtifact, VsaDeclared
from ledger.events.base import FileDigest
from ledger.events.document import AttestationDeclared
from ledger.events.run import RunCompleted
from ledger.reader import Record
from projections.attestation import envelope as wrapping
from projections.attestation.envelope import STATEMENT_TYPE
from projections.documents import Sources
from projections.errors import ProjectionError

MAX_FILES = 10_000
"""Files of a directory that become subjects; a larger one is its dirhash only, which covers every file as well."""
MEASURED = ("train", "eval")
"""Stages whose subject carries what a run has measured on it."""

Declared = AttestationDeclared2 | VsaDeclared
_TYPES = (AttestationDeclared.TYPE, AttestationDeclared2.TYPE, VsaDeclared.TYPE)


def statement(sources: Sources) -> bytes:
    """Render the statement as canonical JSON. Raises ProjectionError where nothing was declared."""
    record, declared = _declaration(sources)
    subjects: Sequence[dict[str, Any]]
    if isinstance(declared, VsaDeclared):
        from projections.attestation import vsa

        subjects, (predicate_type, predicate) = vsa.subjects(declared), vsa.predicate(sources, record, declared)
    else:
        from projections.attestation import predicates

        subjects = list(_subjects(sources, record, declared))
        predicate_type, predicate = predicates.predicate(sources, record, declared)
        subjects[0]["annotations"] |= predicates.context(sources, record, declared)
        if declared.run is not None and declared.stage in MEASURED:
            subjects[0]["annotations"]["soup_measurements"] = predicates.measurements(sources, declared.run)
    return canonical.encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": subjects,
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def envelope(sources: Sources) -> bytes:
    """Render the DSSE envelope: the statement, and the signature that the ledger holds for exactly these bytes."""
    payload = statement(sources)
    return wrapping.envelope(wrapping.signature_for(sources.records, payload), payload)


def bundle(sources: Sources) -> bytes:
    """Render the Sigstore bundle v0.3 of the same statement and signature. Raises ProjectionError where it is unsigned."""
    payload = statement(sources)
    return wrapping.bundle(wrapping.signature_for(sources.records, payload), payload)


def _declaration(sources: Sources) -> tuple[Record, Declared]:
    for record in reversed(sources.records):
        if record.type in _TYPES:
            event = record.event()
            return record, _newest(event) if isinstance(event, AttestationDeclared) else cast("Declared", event)
    raise ProjectionError("no attestation was declared in these streams")


def _newest(old: AttestationDeclared) -> AttestationDeclared2:
    """Read version 1 as version 2: one subject of unknown kind, and none of what came later."""
    return AttestationDeclared2(
        stage=old.stage,
        subjects=[AttestedArtifact(name=old.subject, digest=old.digest, kind=None)],
        builder=old.builder,
        ci=None,
        run=None,
        invocation=old.invocation,
        invocation_id=old.invocation_id,
        started_on=old.started_on,
        finished_on=old.finished_on,
        dependencies=[
            UsedArtifact(role=each.role, name=each.name, digest=each.digest, kind=None, position=each.position)
            for each in old.dependencies
        ],
        byproducts=[],
        outcome=None,
        release=None,
        redactions=old.redactions,
    )


def _subjects(sources: Sources, record: Record, declared: AttestationDeclared2) -> Iterator[dict[str, Any]]:
    taken = {subject.name for subject in declared.subjects}
    for subject in declared.subjects:
        yield {
            "name": subject.name,
            # No `dirHash` here: sigstore-python refuses a statement with a subject that has a digest unknown to it.
            "digest": {"sha256": subject.digest.sha256},
            "annotations": {
                "soup_origin": subject.digest.origin,
                **({"soup_digest": "dirHash"} if subject.kind == "directory" else {}),
            },
        }
    for subject in declared.subjects:
        files = _files(sources, record, declared, subject) if subject.kind == "directory" else []
        for file in files if len(files) <= MAX_FILES else ():
            yield {
                "name": _untaken(f"{subject.name.rstrip('/')}/{file.path}", taken),
                "digest": {"sha256": file.sha256},
                "annotations": {"soup_origin": subject.digest.origin},
            }


def _files(
    sources: Sources, record: Record, declared: AttestationDeclared2, subject: AttestedArtifact
) -> Sequence[FileDigest]:
    """Give the files of a directory: those this command has observed, or those the run has written."""
    for other in sources.records:
        own = other.type == ArtifactObserved.TYPE and other.command == record.command
        ran = other.type == RunCompleted.TYPE and other.stream == f"run/{declared.run}"
        event = other.event() if own or ran else None
        if isinstance(event, ArtifactObserved) and event.sha256 == subject.digest.sha256:
            return event.files
        if isinstance(event, RunCompleted) and event.digest.sha256 == subject.digest.sha256:
            return event.files
    return ()


def _untaken(name: str, taken: set[str]) -> str:
    """Give a name that no subject has yet: redaction may have made two names one (names are unique, Statement v1)."""
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name}#{number}"
    taken.add(unique)
    return unique
