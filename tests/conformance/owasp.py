"""The field list of OWASP's AIBOM Generator 1.0.2 (`field_registry.json`), and where its scorer looks for each field.

What is true here:

- A field counts as given in its own place, or else, as the scorer's second look has it, under its own name in the
  document's root, in the metadata and its properties, in the first component and its properties, or in its model card.
- Categories weigh 20 + 20 + 20 + 30 + 10; fields weigh the same within theirs. Fields of GGUF count only where present,
  so they cannot be missing.

OWASP publishes the scorer on no package registry; this list stands in for it. It knows no penalties and no profiles:
where nothing is missing there are none, and the score is 100.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

WEIGHTS = {"required": 20, "metadata": 20, "component": 20, "model card": 30, "references": 10}
# A place is a path from the root; NAME[KEY=VALUE] takes the first entry with it. None: only the second look can find it.
CARD = "components.0.modelCard"
CARD_PROPERTY = CARD + ".properties[name=genai:aibom:modelcard:{}].value"
PROPERTY = "metadata.properties[name={}].value"
REFERENCE = "components.0.externalReferences[type={}].url"
FIELDS: dict[str, dict[str, str | None]] = {
    "required": {name: name for name in ("bomFormat", "specVersion", "serialNumber", "version")},
    "metadata": {
        "primaryPurpose": None,
        "suppliedBy": None,
        **{name: PROPERTY.format(name) for name in ("standardCompliance", "domain", "autonomyType")},
    },
    "component": {
        "name": "components.0.name",
        "type": "components.0.type",
        "component_version": "components.0.version",
        "purl": "components.0.purl",
        "description": "components.0.description",
        "licenses": "components.0.licenses",
        "external_references": None,
    },
    "model card": {
        **dict.fromkeys(("datasets", "ethicalConsiderations", "technicalLimitations", "intendedUse")),
        "hyperparameter": CARD_PROPERTY.format("hyperparameter"),
        "modelExplainability": CARD_PROPERTY.format("modelCardExplainability"),
        "typeOfModel": CARD + ".modelParameters.modelArchitecture",
        **{
            name: PROPERTY.format(name)
            for name in (
                "energyConsumption", "safetyRiskAssessment", "energyQuantity", "energyUnit",
                "informationAboutTraining", "informationAboutApplication", "metric", "metricDecisionThreshold",
                "modelDataPreprocessing", "useSensitivePersonalInformation",
            )
        },
    },
    "references": {
        "paper": "metadata.component.externalReferences[type=documentation]",
        "vcs": REFERENCE.format("vcs"),
        "website": REFERENCE.format("website"),
        "downloadLocation": None,
    },
}  # fmt: skip
# What the second look accepts in the considerations, and among the references of the first component.
CONSIDERATIONS = {
    "technicalLimitations": ("technicalLimitations", "limitations"),
    "safetyRiskAssessment": ("ethicalConsiderations", "safetyRiskAssessment"),
    "energyConsumption": ("environmentalConsiderations", "energyConsumption"),
}
REFERENCES = {
    "downloadLocation": ("distribution", "website"),
    "vcs": ("vcs",),
    "website": ("website",),
    "paper": ("documentation",),
}


def score(document: Json) -> tuple[float, list[str]]:
    """Give the score in percent, and the fields that are missing."""
    missing = {
        category: [name for name, place in fields.items() if not _given(document, name, place)]
        for category, fields in FIELDS.items()
    }
    parts = (
        round(WEIGHTS[category] * (1 - len(absent) / len(FIELDS[category])), 1) for category, absent in missing.items()
    )
    return round(sum(parts), 1), [name for absent in missing.values() for name in absent]


def _given(document: Json, name: str, place: str | None) -> bool:
    return (place is not None and _at(document, place) not in (None, "", [])) or _second_look(document, name)


def _at(value: Any, place: str) -> Any:
    for step in place.replace("[", ".[").split("."):
        if step.startswith("["):
            key, _, wanted = step[1:-1].partition("=")
            value = next((entry for entry in value or [] if entry.get(key) == wanted), None)
        elif isinstance(value, list):
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = (value or {}).get(step)
    return value


def _second_look(document: Json, name: str) -> bool:
    metadata = document.get("metadata", {})
    first = next(iter(document.get("components", [])), {})
    card = first.get("modelCard", {})
    considered = card.get("considerations", {})
    named = {name, f"spdx:{name}"}
    return (
        any(name in holder for holder in (document, metadata, first, card, card.get("modelParameters", {}), considered))
        or any(entry["name"] in named for holder in (metadata, first) for entry in holder.get("properties", []))
        or any(considered.get(key) for key in CONSIDERATIONS.get(name, ()))
        or any(
            entry.get("type") in REFERENCES.get(name, ()) and entry.get("url")
            for entry in first.get("externalReferences", [])
        )
    )
