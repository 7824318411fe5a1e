"""What the AI and Dataset profiles of SPDX 3.0.1 have fields for, as plain texts that both versions of SPDX can carry.

What is true:

* A field's name is the profile's own, without its prefix. Its value is a tuple: texts, or entries of a dictionary. A field of
  which nothing is known is not there at all.
* Numbers stay the decimal texts that the ledger holds; nothing is rounded on the way.
* What the profiles have no field for, though they have one that it belongs to, stands there under its own heading: users
  and use cases in `informationAboutApplication`, trade-offs, ethics and fairness in `limitation`.

It does not know where a fact comes from (`projections.bom.spdx_remarks` does), nor any library of SPDX.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from ledger.events.artifact import ArtifactDescribed
from ledger.events.facts import Fairness, Link, Metric, Organization
from projections.facts import Artifact, BomFacts, Part, Role


class Entry(NamedTuple):
    """A key with its value."""

    key: str
    value: str


Fields = dict[str, tuple[str | Entry, ...]]

PURPOSES: dict[Role, str] = {
    "model": "model",
    "base": "model",
    "config": "configuration",
    "data": "data",
    "artifact": "other",
}
"""SPDX 3.0's words for what a part is for, which 2.3's primaryPackagePurpose cannot say."""
SINGLE = frozenset(
    {
        "autonomyType",
        "confidentialityLevel",
        "dataCollectionProcess",
        "datasetAvailability",
        "datasetNoise",
        "datasetSize",
        "datasetUpdateMechanism",
        "hasSensitivePersonalInformation",
        "informationAboutApplication",
        "informationAboutTraining",
        "intendedUse",
        "limitation",
        "safetyRiskAssessment",
        "useSensitivePersonalInformation",
    }
)
"""Fields of at most one value (`sh:maxCount 1` in the model): several texts are lines of one."""

# What the profile calls the energy of an activity; it has no word for the others (AI/EnergyConsumption).
_ENERGY = {
    "training": "trainingEnergyConsumption",
    "fine-tuning": "finetuningEnergyConsumption",
    "inference": "inferenceEnergyConsumption",
}


class About(NamedTuple):
    """What is known of a part beside its bytes. Times are in UTC; `links` are further places to read.

    `licence` is the one that was declared; `concluded` the one that a person has stated, which is all that a conclusion can rest
    on here: soup reads no licence texts.
    """

    name: str
    version: str | None = None
    licence: str | None = None
    concluded: str | None = None
    copyright: str | None = None
    description: str | None = None
    supplier: Organization | None = None
    originator: Organization | None = None
    purl: str | None = None
    homepage: str | None = None
    download: str | None = None
    released: datetime | None = None
    built: datetime | None = None
    links: tuple[Link, ...] = ()


def about(facts: BomFacts, part: Part) -> About:
    """Return what the facts say of `part`."""
    if part.artifact.role == "model":
        return _about_model(facts, part)
    if part.artifact.role == "base":
        return _about_base(facts, part)
    if part.artifact.role == "config":
        return _about_config(facts, part)
    stated, described = part.artifact.stated, part.artifact.described
    if stated is None:
        return About(part.name, licence=described.value.license if described else None)
    return About(
        stated.name or part.name,
        version=stated.version,
        licence=stated.license,
        concluded=stated.license,
        copyright=stated.copyright,
        description=stated.description,
        supplier=stated.supplier,
        originator=stated.supplier,
        purl=stated.purl,
        download=stated.url,
        released=moment(stated.released),
        built=moment(stated.built),
    )


def model_fields(facts: BomFacts) -> Fields:
    """Return the fields of the AI profile that are known of the model."""
    said, use, metrics = facts.said.model, facts.said.considerations, [*_metrics(facts)]
    family, architecture = facts.architecture_family, facts.architecture
    kinds: list[str | None] = [*said.types, *(known.value for known in (family, architecture) if known), said.approach]
    return _known(
        {
            "autonomyType": [said.autonomy],
            "domain": said.domains,
            "hyperparameter": [Entry(name, known.value) for name, known in facts.hyperparameters],
            "informationAboutApplication": _application(facts),
            "informationAboutTraining": _training(facts),
            "limitation": _limits(facts),
            "metric": [entry for metric in metrics for entry in _measured(metric)],
            "metricDecisionThreshold": [
                Entry(metric_name(metric), metric.threshold) for metric in metrics if metric.threshold is not None
            ],
            "modelDataPreprocessing": facts.said.training.preprocessing,
            "modelExplainability": use.explainability,
            "safetyRiskAssessment": [use.safety_risk],
            "standardCompliance": said.standards,
            "typeOfModel": list(dict.fromkeys(kind for kind in kinds if kind)),
            "useSensitivePersonalInformation": [use.sensitive_personal_information],
        }
    )


def base_fields(described: ArtifactDescribed | None) -> Fields:
    """Return the fields of the AI profile that the headers of the base model's own files tell."""
    if described is None:
        return {}
    return _known(
        {
            "hyperparameter": [Entry(name, value) for name, value in sorted(described.settings.items())],
            "typeOfModel": dict.fromkeys((described.architecture_family, described.architecture)),
        }
    )


def dataset_fields(artifact: Artifact) -> Fields:
    """Return the fields of the Dataset profile that are known of a data set. `datasetSize` is in bytes."""
    size: Fields = {} if artifact.size is None else {"datasetSize": (str(artifact.size),)}
    stated = artifact.stated
    if stated is None:
        return size
    return size | _known(
        {
            "anonymizationMethodUsed": stated.anonymization,
            "confidentialityLevel": [stated.confidentiality],
            "dataCollectionProcess": [stated.collection],
            "dataPreprocessing": stated.preprocessing,
            "datasetAvailability": [stated.availability],
            "datasetNoise": [stated.noise],
            "datasetType": dict.fromkeys(stated.types),
            "datasetUpdateMechanism": [stated.update_mechanism],
            "hasSensitivePersonalInformation": [stated.personal_information],
            "intendedUse": [stated.intended_use],
            "knownBias": stated.known_bias,
            "sensor": [Entry(sensor, "") for sensor in stated.sensors],
        }
    )


def energy_fields(facts: BomFacts) -> dict[str, tuple[str, ...]]:
    """Return kilowatt-hours by the profile's name for the activity, each written out in full (xsd:decimal has no exponent)."""
    found: dict[str, tuple[str, ...]] = {}
    for known in facts.energy:
        field = _ENERGY.get(known.value.activity)
        if field:
            found[field] = (*found.get(field, ()), format(Decimal(known.value.kwh), "f"))
    return found


def is_evaluation(facts: BomFacts, artifact: Artifact) -> bool:
    """Return whether a data set was tested on, not trained on: as the run read it, else as it was stated."""
    digest = artifact.digest.sha256 if artifact.digest else None
    for read in facts.run.started.value.data if facts.run else ():
        if read.sha256 == digest:
            return read.role == "evaluation"
    return artifact.stated is not None and artifact.stated.role == "evaluation"


def metric_name(metric: Metric) -> str:
    """Return what a metric measures, and on which slice of the data."""
    return f"{metric.type} ({metric.slice})" if metric.slice else metric.type


def moment(date: str | None) -> datetime | None:
    """Return the second that `date` names, the first of a day where it names a day; None where there is no such day."""
    try:
        return datetime.fromisoformat(date).replace(tzinfo=UTC) if date else None
    except ValueError:
        return None


def _about_model(facts: BomFacts, part: Part) -> About:
    said, licence, run = facts.said.model, facts.licence, facts.run
    places = {link.type: link.url for link in reversed(said.links)}
    return About(
        part.name,
        version=part.version,
        licence=licence.value if licence else None,
        concluded=facts.license,
        copyright=said.copyright,
        description=said.description,
        supplier=said.supplier,
        originator=said.manufacturer,
        purl=said.purl,
        homepage=places.get("website"),
        download=places.get("distribution"),
        released=moment(said.released),
        built=run.finished_at if run and run.outcome == "completed" else None,
        links=tuple(said.links),
    )


def _about_base(facts: BomFacts, part: Part) -> About:
    said, revision, described = facts.said.base, facts.revision, part.artifact.described
    return About(
        part.name,
        version=revision.value if revision else None,
        licence=(described.value.license if described else None) or said.license,
        concluded=said.license,
        copyright=said.copyright,
        description=said.description,
        supplier=said.supplier,
        originator=said.supplier,
        purl=said.purl,
        homepage=said.url,
        download=said.url,
        released=moment(said.released),
    )


def _about_config(facts: BomFacts, part: Part) -> About:
    said = facts.said.config
    return About(
        part.name,
        version=said.version,
        licence=said.license,
        concluded=said.license,
        copyright=said.copyright,
        description=said.description,
        supplier=said.supplier,
    )


def _application(facts: BomFacts) -> Iterator[str | None]:
    use = facts.said.considerations
    yield use.intended_use and f"Intended use: {use.intended_use}"
    yield use.application and f"Application: {use.application}"
    yield from (f"User: {user}" for user in use.users)
    yield from (f"Use case: {case}" for case in use.use_cases)
    yield from (f"Out of scope: {case}" for case in use.out_of_scope)
    yield from (f"Input: {form}" for form in facts.said.model.inputs)
    yield from (f"Output: {form}" for form in facts.said.model.outputs)


def _training(facts: BomFacts) -> Iterator[str | None]:
    yield facts.said.training.information
    yield facts.task and f"Fine-tuning task, as declared: {facts.task}"
    if facts.run:
        begun = facts.run.started.value
        yield f"Parameters: {begun.parameters}, of which trained: {begun.trainable}"
        yield f"Optimizer steps planned: {begun.steps}"
        yield from (f"Seed of {name}: {seed}" for name, seed in sorted(begun.seeds.items()))
        completed = facts.run.completed.value if facts.run.completed else None
        if completed:
            yield f"Optimizer steps taken: {completed.steps}"
            yield f"Tokens supervised: {completed.supervised}, computed: {completed.computed}"
            yield completed.last_loss and f"Last loss: {completed.last_loss}"


def _limits(facts: BomFacts) -> Iterator[str]:
    use = facts.said.considerations
    yield from use.limitations
    yield from (f"Trade-off: {tradeoff}" for tradeoff in use.tradeoffs)
    for concern in use.ethical:
        yield f"Ethical consideration: {concern.name}" + (
            f" Mitigation: {concern.mitigation}" if concern.mitigation else ""
        )
    yield from map(_fairness, use.fairness)


def _fairness(said: Fairness) -> str:
    told = (("Benefits", said.benefits), ("Harms", said.harms), ("Mitigation", said.mitigation))
    return " ".join(
        [f"Fairness: group at risk: {said.group_at_risk}", *(f"{word}: {text}" for word, text in told if text)]
    )


def _metrics(facts: BomFacts) -> Iterator[Metric]:
    yield from (known.value for known in facts.metrics)
    yield from facts.said.security.metrics


def _measured(metric: Metric) -> Iterator[Entry]:
    name = metric_name(metric)
    yield Entry(name, metric.value)
    bounds = (("lower", metric.lower), ("upper", metric.upper))
    yield from (Entry(f"{name}, {bound} bound", value) for bound, value in bounds if value is not None)


def _known(fields: Mapping[str, Iterable[str | Entry | None]]) -> Fields:
    told = {name: tuple(value for value in values if value) for name, values in fields.items()}
    return {name: values for name, values in told.items() if values}
