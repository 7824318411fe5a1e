"""What SPDX has no field for, as entries for annotations: where each fact comes from, and what soup knows beyond the standard.

What is true:

* An origin reads `observed, entry 5` or `declared, entry 6`: the position leads into the ledger.
* An entry's key is made of our own words, never of a fact; its value may hold anything, and may span lines.

It does not know how an annotation is written; the renderers do.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ledger.events.artifact import ArtifactDescribed
from ledger.events.energy import Energy, Intensity
from ledger.events.environment import Device, EnvironmentObserved, Package
from ledger.events.facts import Contact, DatasetStated, Organization
from projections.bom.spdx_profiles import Entry, metric_name
from projections.facts import BomFacts, Known, Part, RunFacts

_DESCRIBED = (
    "format",
    "parameters",
    "tensors",
    "context_length",
    "vocabulary",
    "tokenizer",
    "quantization",
    "architecture_family",
    "architecture",
    "name",
    "license",
    "base_model",
    "base_revision",
)


_SUPPLIER_IS_ORIGINATOR = Entry("originator", "the stated supplier; no other originator was stated")


def of_document(facts: BomFacts, renderer: str) -> Iterator[Entry]:
    """Lead from the document back into the ledger."""
    yield Entry("renderer", renderer)
    yield Entry("ledger:origin", facts.ledger_origin)
    yield Entry("ledger:position", str(facts.position))
    yield Entry("ledger:entry", facts.seed)
    yield Entry("command", facts.command_id)


def of_part(facts: BomFacts, part: Part) -> Iterator[Entry]:
    """Say of a part whether its digest was observed, over what, and what is known of it beyond SPDX."""
    artifact = part.artifact
    yield Entry("digest:origin", part.origin)
    if artifact.size is not None:
        yield Entry("size", str(artifact.size))
    if part.hashed:
        yield Entry("digest:of", part.hashed)
    if artifact.position is not None:
        yield Entry("digest:entry", str(artifact.position))
    if artifact.role == "model":
        yield from _of_model(facts)
    if artifact.role == "base":
        yield from _origins(("baseRevision", facts.revision))
        if facts.said.base.supplier:
            yield _SUPPLIER_IS_ORIGINATOR
    if artifact.described:
        yield Entry("origin:described", _origin(artifact.described))
        yield from _described(artifact.described.value)
    if artifact.role == "data":
        yield from _of_data(facts, part)


def of_run(run: RunFacts) -> Iterator[Entry]:
    """Say of a run what happened: what a Build element has fields for, and the rest."""
    begun = run.started.value
    yield Entry("run", begun.run)
    if begun.name:
        yield Entry("run:name", begun.name)
    yield Entry("run:task", begun.task)
    yield Entry("run:outcome", run.outcome)
    yield Entry("run:config:sha256", begun.config.sha256)
    if run.error:
        yield Entry("run:error", run.error)
    if run.command:
        yield Entry("run:command", " ".join(run.command))
    yield Entry("run:started", _second(run.started_at))
    if run.finished_at:
        yield Entry("run:finished", _second(run.finished_at))
    yield Entry("origin:run", _origin(run.started))


def of_environment(known: Known[EnvironmentObserved]) -> Iterator[Entry]:
    """Say what the software ran on."""
    seen = known.value
    yield Entry("python", f"{seen.implementation} {seen.python}")
    yield Entry("platform", seen.platform)
    yield from (Entry("device", _device(device)) for device in seen.devices)
    yield from (Entry(f"detail:{index}", f"{name}: {text}") for index, (name, text) in _numbered(seen.details))
    yield Entry("origin:environment", _origin(known))


def of_package(package: Package) -> Iterator[Entry]:
    """Say of an installed distribution what pins it, and that its supplier's kind is not known."""
    if package.record_sha256:
        yield Entry("record:sha256", package.record_sha256)
    if package.supplier:
        yield Entry("supplier", "named by the package's own metadata, which tells no person from an organization")


def _of_model(facts: BomFacts) -> Iterator[Entry]:
    said = facts.said
    yield from _origins(
        ("licence", facts.licence),
        ("architectureFamily", facts.architecture_family),
        ("architecture", facts.architecture),
        ("stated", facts.stated),
    )
    yield from _grouped("hyperparameter", facts.hyperparameters)
    yield from _grouped("metric", tuple((metric_name(known.value), known) for known in facts.metrics))
    for energy in facts.energy:
        yield Entry(f"energy:{energy.value.activity}", f"{_energy(energy.value)}; {_origin(energy)}")
    if said.model.group:
        yield Entry("group", said.model.group)
    yield from (Entry("author", contact_text(author)) for author in said.model.authors)
    yield from (Entry("security:control", control) for control in said.security.controls)
    if facts.parent:
        parent = facts.parent.value
        yield Entry("parent", f"{parent.format} {parent.id or 'without an id'}; {_origin(facts.parent)}")
        yield Entry("parent:sha256", parent.sha256)


def _of_data(facts: BomFacts, part: Part) -> Iterator[Entry]:
    digest = part.artifact.digest.sha256 if part.artifact.digest else None
    for read in facts.run.started.value.data if facts.run else ():
        if read.sha256 == digest:
            told = f"{read.rows} rows, of which kept {read.kept}; {read.tokens} tokens, of which supervised {read.supervised}"
            yield Entry(f"read:{read.role}", told)
    if part.artifact.stated:
        yield from _stated(part.artifact.stated)
        yield from _origins(("stated", facts.stated))


def _stated(stated: DatasetStated) -> Iterator[Entry]:
    if stated.classification:
        yield Entry("classification", stated.classification)
    yield from (Entry("sensitive", text) for text in stated.sensitive)
    yield from (Entry("language", text) for text in stated.languages)
    if stated.supplier:
        yield _SUPPLIER_IS_ORIGINATOR
    if stated.governance:
        for role in ("custodians", "stewards", "owners"):
            organizations: list[Organization] = getattr(stated.governance, role)
            yield from (Entry(f"governance:{role}", organization_text(each)) for each in organizations)


def organization_text(organization: Organization) -> str:
    """Return an organization in one sentence."""
    return "; ".join(
        filter(None, (organization.name, organization.url, *(contact_text(each) for each in organization.contacts)))
    )


def contact_text(contact: Contact) -> str:
    """Return a contact in a few words."""
    return ", ".join(filter(None, (contact.name, contact.email, contact.phone)))


def _described(described: ArtifactDescribed) -> Iterator[Entry]:
    told: dict[str, Any] = {name: getattr(described, name) for name in _DESCRIBED}
    yield from (Entry(f"described:{name}", str(value)) for name, value in told.items() if value is not None)
    for name, count in sorted(described.dtypes.items()):
        yield Entry("described:dtype", f"{name}: {count}")
    yield from (Entry("described:note", note) for note in described.notes)


def _energy(energy: Energy) -> str:
    told: tuple[str | None, ...] = (
        f"{energy.kwh} kWh",
        f"method {energy.method}",
        f"source {energy.source}",
        energy.boundary and f"boundary {energy.boundary}",
        energy.lower_kwh and f"at least {energy.lower_kwh} kWh",
        energy.upper_kwh and f"at most {energy.upper_kwh} kWh",
        energy.pue and f"PUE {energy.pue}",
        _intensity(energy.intensity) if energy.intensity else None,
        energy.co2_g and f"{energy.co2_g} g CO2eq",
        energy.not_known,
        energy.provider and f"provider {energy.provider}",
        energy.energy_source and f"energy source {energy.energy_source}",
        energy.started and f"from {energy.started}",
        energy.finished and f"to {energy.finished}",
    )
    return "; ".join(filter(None, told))


def _intensity(intensity: Intensity) -> str:
    told = (intensity.source, intensity.zone, intensity.year, intensity.read_at, intensity.basis)
    return f"{intensity.g_per_kwh} g CO2eq a kWh ({', '.join(filter(None, told))})"


def _device(device: Device) -> str:
    told = (
        f"{device.kind}: {device.count} x {device.name}",
        device.memory is not None and f"{device.memory} bytes",
        device.driver and f"driver {device.driver}",
    )
    return ", ".join(text for text in told if text)


def _origins(*facts: tuple[str, Known[Any] | None]) -> Iterator[Entry]:
    yield from (Entry(f"origin:{name}", _origin(known)) for name, known in facts if known)


def _grouped(name: str, facts: tuple[tuple[str, Known[Any]], ...]) -> Iterator[Entry]:
    groups: dict[str, list[str]] = {}
    for key, known in facts:
        groups.setdefault(_origin(known), []).append(key)
    yield from (Entry(f"origin:{name}", f"{origin}: {', '.join(keys)}") for origin, keys in groups.items())


def _origin(known: Known[Any]) -> str:
    return f"{known.origin}, entry {known.position}"


def _numbered(entries: dict[str, str]) -> Iterator[tuple[int, tuple[str, str]]]:
    yield from enumerate(sorted(entries.items()), 1)


def _second(time: datetime) -> str:
    return f"{time.isoformat(timespec='seconds').removesuffix('+00:00')}Z"
