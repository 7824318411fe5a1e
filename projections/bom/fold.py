"""Records to the facts of a bill of materials: one declaration, what its command observed and read, and the run it is about.

Only what the declaring command observed counts: the same file seen by another command says nothing about this one. A run and
the attestations that were made before stand in streams of their own, which the declaration's document names as its inputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeVar, cast

from msgspec import structs

from ledger.entry import time_text
from ledger.events import Event
from ledger.events.artifact import ArtifactDescribed, ArtifactObserved
from ledger.events.base import Digest as RecordedDigest
from ledger.events.command import CommandStarted
from ledger.events.document import BomDeclared, BomDeclared2, DocumentRendered
from ledger.events.energy import Energy, EnergyDeclared, EnergyMeasured
from ledger.events.environment import EnvironmentObserved
from ledger.events.facts import DatasetStated, Facts, FactsDeclared, Metric
from ledger.events.run import RunCompleted, RunEvaluated, RunFailed, RunStarted
from ledger.reader import Record
from projections.documents import Sources
from projections.errors import ProjectionError
from projections.facts import Artifact, BomFacts, Digest, FileFact, Known, Origin, Reference, Role, RunFacts

E = TypeVar("E", bound=Event)
Seen = list[tuple[Record, Event]]


def cyclonedx(sources: Sources) -> bytes:
    """Render CycloneDX 1.6."""
    from projections.bom.cyclonedx import render

    return render(bom_facts(sources))


def spdx2(sources: Sources) -> bytes:
    """Render SPDX 2.3."""
    from projections.bom.spdx2 import render

    return render(bom_facts(sources))


def cyclonedx17(sources: Sources) -> bytes:
    """Render CycloneDX 1.7."""
    from projections.bom.cyclonedx import render

    return render(bom_facts(sources), "1.7")


def spdx3(sources: Sources) -> bytes:
    """Render SPDX 3.0.1."""
    from projections.bom.spdx3 import render

    return render(bom_facts(sources))


def bom_facts(sources: Sources) -> BomFacts:
    """Fold the newest declaration. Raises ProjectionError where there is none."""
    record, declared = _declaration(sources)
    everything: Seen = [(other, other.event()) for other in sources.records]
    events: Seen = [(other, event) for other, event in everything if other.command == record.command]
    started = next((event for _, event in events if isinstance(event, CommandStarted)), None)
    stated = next(_of(FactsDeclared, events), None)
    facts = Known(stated.value.facts, stated.origin, stated.position) if stated else None
    later: dict[str, Any] = {}
    if isinstance(declared, BomDeclared2):
        run = _run(everything, declared.run) if declared.run else None
        later = {
            "base_revision": declared.base_revision,
            "parent": Known(declared.parent, "observed", record.position) if declared.parent else None,
            "run": run,
            "metrics": (*_measured(everything, declared.run), *_stated_metrics(facts)),
            "energy": (*_measured_energy(everything, declared.run), *_declared_energy(events)),
            "environment": next(_of(EnvironmentObserved, events), None)
            or next(
                _of(EnvironmentObserved, [pair for pair in everything if pair[0].stream == f"run/{declared.run}"]), None
            ),
        }
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
        artifacts=tuple(_artifacts(declared, record, events, facts.value if facts else Facts(), later.get("run"))),
        stated=facts,
        references=tuple(_references(everything, record.command)),
        **later,
    )


def _declaration(sources: Sources) -> tuple[Record, BomDeclared | BomDeclared2]:
    for record in reversed(sources.records):
        if record.type in (BomDeclared.TYPE, BomDeclared2.TYPE):
            return record, cast("BomDeclared | BomDeclared2", record.event())
    raise ProjectionError("no bill of materials was declared in these streams")


def _of(kind: type[E], events: Seen) -> Iterator[Known[E]]:
    """Give the events of a kind, with what their type says of their origin."""
    origin: Origin = "declared" if kind.TYPE.partition("/")[0].endswith(".declared") else "observed"
    for record, event in events:
        if isinstance(event, kind):
            yield Known(event, origin, record.position)


def _artifacts(
    declared: BomDeclared | BomDeclared2, record: Record, events: Seen, facts: Facts, run: RunFacts | None
) -> Iterator[Artifact]:
    observed = {(known.value.role, known.value.sha256): known for known in _of(ArtifactObserved, events)}
    described = {known.value.sha256: known for known in _of(ArtifactDescribed, events)}
    recorded = {(artifact.role, artifact.digest.sha256): artifact for artifact in _of_run(run) if artifact.digest}
    for role, digest in _wanted(declared):
        seen = observed.get((role, digest.sha256))
        artifact = recorded.get((role, digest.sha256)) or _artifact(role, digest, seen.value if seen else None)
        yield structs.replace(
            artifact,
            position=artifact.position or (seen.position if seen else record.position),
            described=described.get(digest.sha256),
            stated=_about(facts, artifact.name, digest.sha256) if role == "data" else None,
        )


def _wanted(declared: BomDeclared | BomDeclared2) -> Iterator[tuple[Role, RecordedDigest]]:
    single: tuple[tuple[Role, RecordedDigest | None], ...] = (
        ("model", declared.model),
        ("base", declared.base),
        ("config", declared.config),
    )
    yield from ((role, digest) for role, digest in single if digest is not None)
    yield from (("data", digest) for digest in declared.data)
    if isinstance(declared, BomDeclared2):
        yield from (("artifact", digest) for digest in declared.artifacts)


def _of_run(run: RunFacts | None) -> Iterator[Artifact]:
    """Give what a run has itself read and written, under the names that it recorded."""
    if run is None:
        return
    begun, done = run.started, run.completed
    base = begun.value.base_digest
    yield Artifact(role="base", name=begun.value.base, digest=_digest(base), position=begun.position)
    yield Artifact(
        role="config", name="configuration", digest=_digest(begun.value.config), kind="file", position=begun.position
    )
    for data in begun.value.data:
        digest = Digest(sha256=data.sha256, origin="observed")
        yield Artifact(role="data", name=data.name, digest=digest, size=data.size, kind="file", position=begun.position)
    if done is not None:
        yield Artifact(
            role="model",
            name=done.value.output.rstrip("/").rpartition("/")[2] or "model",
            digest=_digest(done.value.digest),
            size=sum(file.size for file in done.value.files),
            kind="directory",
            files=tuple(FileFact(path=file.path, sha256=file.sha256, size=file.size) for file in done.value.files),
            position=done.position,
        )


def _digest(recorded: RecordedDigest) -> Digest:
    return Digest(sha256=recorded.sha256, origin=cast("Origin", recorded.origin))


def _about(facts: Facts, name: str, sha256: str) -> DatasetStated | None:
    return next((each for each in facts.data if each.match in (sha256, name)), None)


def _artifact(role: Role, digest: RecordedDigest, seen: ArtifactObserved | None) -> Artifact:
    found = _digest(digest)
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


def _run(everything: Seen, run: str) -> RunFacts | None:
    """Fold a run from its stream; None where the ledger's prefix holds no beginning of it."""
    own = [(record, event) for record, event in everything if record.stream == f"run/{run}"]
    begun = next(((record, event) for record, event in own if isinstance(event, RunStarted)), None)
    if begun is None:
        return None
    record, started = begun
    ended = next(((r, e) for r, e in reversed(own) if isinstance(e, RunCompleted | RunFailed)), None)
    completed = ended[1] if ended and isinstance(ended[1], RunCompleted) else None
    failed = ended[1] if ended and isinstance(ended[1], RunFailed) else None
    command = next(
        (e for r, e in everything if r.stream == f"command/{record.command}" and isinstance(e, CommandStarted)), None
    )
    return RunFacts(
        started=Known(started, "observed", record.position),
        started_at=datetime.fromisoformat(time_text(record.time)),
        completed=Known(completed, "observed", ended[0].position) if completed and ended else None,
        finished_at=datetime.fromisoformat(time_text(ended[0].time)) if ended else None,
        outcome="completed" if completed else "failed" if failed else "running",
        error=failed.error if failed else None,
        command=tuple(word for word in command.argv if isinstance(word, str)) if command else None,
        command_id=record.command,
    )


def _measured(everything: Seen, run: str | None) -> Iterator[Known[Metric]]:
    """Give the metrics of a run's last evaluation on each slice."""
    last = {known.value.slice: known for known in _of(RunEvaluated, everything) if known.value.run == run}
    for name, known in last.items():
        for metric, value in sorted(known.value.metrics.items()):
            yield Known(Metric(type=metric, value=value, slice=name), "observed", known.position)


def _stated_metrics(facts: Known[Facts] | None) -> Iterator[Known[Metric]]:
    for metric in facts.value.metrics if facts else ():
        yield Known(metric, "declared", facts.position if facts else 0)


def _measured_energy(everything: Seen, run: str | None) -> Iterator[Known[Energy]]:
    for measured in _of(EnergyMeasured, everything):
        if measured.value.run == run:
            yield Known(measured.value.energy, "observed", measured.position)


def _declared_energy(events: Seen) -> Iterator[Known[Energy]]:
    for declared in _of(EnergyDeclared, events):
        for energy in declared.value.energy:
            yield Known(energy, "declared", declared.position)


def _references(everything: Seen, command: str) -> Iterator[Reference]:
    """Give the attestations among the inputs: documents that other commands have rendered before."""
    for record, event in everything:
        if isinstance(event, DocumentRendered) and event.kind == "attestation" and record.command != command:
            name = (event.target or event.kind).rpartition("/")[2]
            yield Reference(kind="attestation", sha256=event.sha256, name=name, position=record.position)
