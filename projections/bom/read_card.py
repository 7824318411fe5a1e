"""CycloneDX's modelCard and component.data, to facts (1.5 and newer; the fields are the same in 1.6 and 1.7).

What is true: numbers that the standard writes as texts (metric values) are spelled as numbers again; CO2 comes in tonnes and goes
out in grams.

It does not know components.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from projections.bom.read_facts import Collector, Json, joined, labelled, number, record, records, string, text
from projections.bom.read_terms import LINES

GRAMS_PER_TONNE = 1_000_000
# Properties that stand for fields which CycloneDX has not: the names are those of SPDX 3.0's AI profile, which the OWASP AIBOM
# generator took over for `metadata.properties`.
MODEL_PROPERTIES = {
    "soup:task": "method",
    "standardCompliance": "standard",
    "domain": "domain",
    "autonomyType": "autonomy",
    "safetyRiskAssessment": "safety_risk",
    "typeOfModel": "type",
    "modelExplainability": "explainability",
    "informationAboutTraining": "training_information",
    "informationAboutApplication": "application",
    "modelDataPreprocessing": "preprocessing",
    "useSensitivePersonalInformation": "personal_information",
    "intendedUse": "intended_use",
    "metricDecisionThreshold": "threshold",
}
# What lists of origins call a field of the model, and the name of its facts.
FIELD_NAMES = {
    "manufacturer": "producer",
    "licenses": "licence",
    "authors": "author",
    "architectureFamily": "architecture_family",
    "modelArchitecture": "architecture",
    "inputs": "input",
    "outputs": "output",
    "users": "user",
    "useCases": "use_case",
    "technicalLimitations": "limitation",
    "performanceTradeoffs": "tradeoff",
    "ethicalConsiderations": "ethical",
    "fairnessAssessments": "fairness",
    "genai:aibom:modelcard:modelCardExplainability": "explainability",
    "soup:considerations:out-of-scope": "out_of_scope",
    "soup:security:control": "control",
    "metricDecisionThreshold": "threshold",
}
ORIGIN_PROPERTIES = {"soup:origin:observed": "observed", "soup:origin:declared": "declared"}
# Properties that repeat, for scorers which look only there, what stands in a field of its own.
ECHOES = frozenset(
    {
        "primaryPurpose",
        "suppliedBy",
        "energyConsumption",
        "energyQuantity",
        "energyUnit",
        "metric",
        "external_references",
    }
)
_METRIC = re.compile(r"performanceMetrics\[(\d{1,6})\]")
_LONGEST_SETTINGS = 1_000_000  # characters
_CARD_PREFIX = "genai:aibom:modelcard:"
_CARD_PROPERTIES = {
    "modelCardExplainability": "explainability",
    "soup:considerations:out-of-scope": "out_of_scope",
    "soup:security:control": "control",
    "soup:security:metric": "security_metric",
}

_ABOUT_DATA = {
    "classification": "classification",
    "description": "description",
    "sensitiveData": "sensitive",
}
_GOVERNANCE = {"custodians": "custodian", "stewards": "steward", "owners": "owner"}
_CONSIDERATIONS = {
    "users": "user",
    "useCases": "use_case",
    "technicalLimitations": "limitation",
    "performanceTradeoffs": "tradeoff",
}


def read_model_card(card: Json, where: str, found: Collector) -> None:
    """Take every fact of the model's card."""
    parameters, there = record(card.get("modelParameters")), f"{where}/modelParameters"
    found.add("model", "approach", record(parameters.get("approach")).get("type"), f"{there}/approach/type")
    found.add("model", "task", parameters.get("task"), f"{there}/task")
    found.add("model", "architecture_family", parameters.get("architectureFamily"), f"{there}/architectureFamily")
    found.add("model", "architecture", parameters.get("modelArchitecture"), f"{there}/modelArchitecture")
    for name, field in (("input", "inputs"), ("output", "outputs")):
        for each, place in records(parameters.get(field), f"{there}/{field}"):
            found.add("model", name, each.get("format"), place)
    _metrics(card, where, found)
    _considerations(record(card.get("considerations")), f"{where}/considerations", found)
    metrics = [metric_key(each.get("type"), each.get("slice")) for each, _ in _listed_metrics(card)]
    for each, place in records(card.get("properties"), f"{where}/properties"):
        name, value = string(each.get("name")), each.get("value")
        if name in ORIGIN_PROPERTIES:
            read_origins(value, ORIGIN_PROPERTIES[name], found, metrics)
        else:
            card_property(name, value, place, found)


def read_origins(fields: object, origin: str, found: Collector, metrics: Sequence[str | None] = ()) -> None:
    """Take a list of the model's fields that have one origin: `task, hyperparameter.lora_r, performanceMetrics[0]`."""
    for field in string(fields).split(", "):
        metric = _METRIC.fullmatch(field)
        if metric and int(metric[1]) < len(metrics):
            for name in ("metric", "lower", "upper"):
                found.originate("model", name, origin, metrics[int(metric[1])])
        elif field.startswith("hyperparameter."):
            found.originate("model", "hyperparameter", origin, field.removeprefix("hyperparameter."))
        elif field not in ECHOES and field != "hyperparameter":
            found.originate("model", FIELD_NAMES.get(field) or MODEL_PROPERTIES.get(field, field), origin)


def read_data(data: Json, about: str, where: str, found: Collector) -> None:
    """Take what a `componentData` says about a data set."""
    for field, name in _ABOUT_DATA.items():
        found.add_all(about, name, data.get(field), f"{where}/{field}")
    contents = record(data.get("contents"))
    found.add(about, "location", contents.get("url"), f"{where}/contents/url")
    for each, place in records(contents.get("properties"), f"{where}/contents/properties"):
        found.add(about, "property", each.get("value"), place, key=string(each.get("name")))
    governance = record(data.get("governance"))
    for field, name in _GOVERNANCE.items():
        for each, place in records(governance.get(field), f"{where}/governance/{field}"):
            organization, contact = record(each.get("organization")), record(each.get("contact"))
            found.add(about, name, organization.get("name") or contact.get("name") or contact.get("email"), place)


def metric_key(kind: object, part: object = None) -> str | None:
    """Give the name of a metric with the slice it was measured on."""
    named, slice_ = text(kind), text(part)
    return f"{named} ({slice_})" if named and slice_ else named


def add_property(name: str, value: Any, where: str, found: Collector) -> None:
    """Take a fact about the model from a property, which may hold several lines, or a name and a number."""
    if name in ("threshold", "security_metric"):
        kind, colon, figure = string(value).rpartition(": ")
        key, said = (kind, number(figure) or figure) if colon else (None, value)
        found.add("model", name, said, where, key=key)
        if name == "security_metric":
            found.add("model", "metric", said, where, key=key)
    elif name in LINES:
        found.add_lines("model", name, value, where)
    else:
        found.add("model", name, value, where)


def _listed_metrics(card: Json, where: str = "") -> Iterator[tuple[Json, str]]:
    analysis = record(card.get("quantitativeAnalysis"))
    yield from records(analysis.get("performanceMetrics"), f"{where}/quantitativeAnalysis/performanceMetrics")


def _metrics(card: Json, where: str, found: Collector) -> None:
    for each, place in _listed_metrics(card, where):
        key = metric_key(each.get("type"), each.get("slice"))
        found.add("model", "metric", number(each.get("value")) or text(each.get("value")), place, key=key)
        for name in ("lower", "upper"):
            bound = record(each.get("confidenceInterval")).get(f"{name}Bound")
            found.add("model", name, number(bound) or text(bound), place, key=key)


def _considerations(said: Json, where: str, found: Collector) -> None:
    for field, name in _CONSIDERATIONS.items():
        found.add_all("model", name, said.get(field), f"{where}/{field}")
    for each, place in records(said.get("ethicalConsiderations"), f"{where}/ethicalConsiderations"):
        found.add("model", "ethical", labelled(each.get("name"), mitigation=each.get("mitigationStrategy")), place)
    for each, place in records(said.get("fairnessAssessments"), f"{where}/fairnessAssessments"):
        found.add(
            "model",
            "fairness",
            labelled(
                joined(("group at risk:", each.get("groupAtRisk"))),
                benefits=each.get("benefits"),
                harms=each.get("harms"),
                mitigation=each.get("mitigationStrategy"),
            ),
            place,
        )
    environmental = record(said.get("environmentalConsiderations"))
    there = f"{where}/environmentalConsiderations/energyConsumptions"
    for each, place in records(environmental.get("energyConsumptions"), there):
        _energy(each, place, found)
    for holder, place in ((said, where), (environmental, f"{where}/environmentalConsiderations")):
        for each, spot in records(holder.get("properties"), f"{place}/properties"):
            card_property(string(each.get("name")), each.get("value"), spot, found)


def _energy(consumption: Json, where: str, found: Collector) -> None:
    activity = text(consumption.get("activity"))
    cost, co2 = record(consumption.get("activityEnergyCost")), record(consumption.get("co2CostEquivalent"))
    found.add("model", "energy", number(cost.get("value")), f"{where}/activityEnergyCost", key=activity)
    found.add("model", "co2", number(co2.get("value"), GRAMS_PER_TONNE), f"{where}/co2CostEquivalent", key=activity)
    for each, place in records(consumption.get("energyProviders"), f"{where}/energyProviders"):
        found.add("model", "energy_provider", record(each.get("organization")).get("name"), place, key=activity)
        found.add("model", "energy_source", each.get("energySource"), place, key=activity)
    for each, place in records(consumption.get("properties"), f"{where}/properties"):
        if each.get("name") == "soup:origin":
            for name in ("energy", "co2", "energy_provider", "energy_source"):
                found.originate("model", name, text(each.get("value")), activity)
            continue
        found.add("model", "property", each.get("value"), place, key=joined((activity, each.get("name")), ":"))


def card_property(name: str, value: Any, where: str, found: Collector) -> None:
    """Take a property of the card."""
    short = name.removeprefix(_CARD_PREFIX)
    if short in ("hyperparameter", "hyperparameters"):
        for key, setting in _settings(value):
            found.add("model", "hyperparameter", setting, where, key=key)
    elif name.startswith("soup:hyperparameter:"):
        found.add("model", "hyperparameter", value, where, key=name.removeprefix("soup:hyperparameter:"))
    elif short in _CARD_PROPERTIES or short in MODEL_PROPERTIES:
        add_property(_CARD_PROPERTIES.get(short) or MODEL_PROPERTIES[short], value, where, found)
    else:
        found.add("model", "property", value, where, key=name)


def _settings(value: object) -> list[tuple[str | None, object]]:
    """Give hyperparameters that came as one text: a JSON object, or anything else as it stands."""
    said = string(value)
    if said.startswith("{") and len(said) < _LONGEST_SETTINGS:
        try:
            pairs = json.loads(said)
        except (ValueError, RecursionError):
            pairs = None
        if isinstance(pairs, dict):
            return [
                (key, setting if isinstance(setting, str) else json.dumps(setting)) for key, setting in pairs.items()
            ]
    return [(None, value)]
