"""Records to the facts of a bill of materials: one declaration, and what its command observed.

Only observations of the declaring command count: the same file seen by another command says nothing about this one.
"""

from __future__ import annotations

from datetime import datetime
from typing import cast

from ledger.entry import time_text
from ledger.events.artifact import ArtifactObserved
from ledger.events.base import Digest as RecordedDigest
from ledger.events.command import CommandStarted
from ledger.events.document import BomDeclared
from ledger.reader import Record
from projections.bom.facts import Artifact, BomFacts, Digest, FileFact, Origin, Role
from projections.documents import Sources
from projections.errors import ProjectionError


def cyclonedx(sources: Sources) -> bytes:
    """Render CycloneDX 1.6."""
    from projections.bom.cyclonedx import render

    return render(bom_facts(sources))


def spdx2(sources: Sources) -> bytes:
    """Render SPDX 2.3."""
    from projections.bom.spdx2 import render

    return render(bom_facts(sources))


def bom_facts(sources: Sources) -> BomFacts:
    """Fold the newest declaration. Raises ProjectionError where there is none."""
    record, declared = _declaration(sources)
    events = [(other, other.event()) for other in sources.records if other.command == record.command]
    observed = {(event.role, event.sha256): event for _, event in events if isinstance(event, ArtifactObserved)}
    started = next((event for _, event in events if isinstance(event, CommandStarted)), None)
    single: tuple[tuple[Role, RecordedDigest | None], ...] = (
        ("model", declared.model),
        ("base", declared.base),
        ("config", declared.config),
    )
    wanted = [(role, digest) for role, digest in single if digest is not None]
    wanted += [("data", digest) for digest in declared.data]
    return BomFacts(
        name=declared.name,
        version=declared.version,
        declared_at=datetime.fromisoformat(time_text(record.time)),
        seed=record.hash.hex(),
        ledger_origin=sources.origin,
        position=record.position,
        soup_version=started.soup_version if started else "unknown",
        command_id=record.command,
        base_model=declared.base_model,
        task=declared.task,
        license=declared.license,
        artifacts=tuple(_artifact(role, digest, observed.get((role, digest.sha256))) for role, digest in wanted),
    )


def _declaration(sources: Sources) -> tuple[Record, BomDeclared]:
    for record in reversed(sources.records):
        if record.type == BomDeclared.TYPE:
            return record, cast("BomDeclared", record.event())
    raise ProjectionError("no bill of materials was declared in these streams")


def _artifact(role: Role, digest: RecordedDigest, seen: ArtifactObserved | None) -> Artifact:
    found = Digest(sha256=digest.sha256, origin=cast("Origin", digest.origin))
    if seen is None:
        return Artifact(role=role, name=f"{role}-{digest.sha256[:12]}", digest=found)
    return Artifact(
        role=role,
        name=seen.path.rstrip("/").rpartition("/")[2] or seen.path,
        digest=found,
        size=seen.size,
        kind=seen.kind,
        files=tuple(FileFact(path=file.path, sha256=file.sha256, size=file.size) for file in seen.files),
    )
