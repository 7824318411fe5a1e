"""What stands in SPDX documents beside the standard's fields, by conventions that both versions share.

What is true:

* Soup's remarks have a key and a text each: where a fact comes from, and what SPDX has no field for. A remark that is not known
  here is a `property`.
* The AI profile's single texts hold several lines, each under a heading of its own.

It does not know how a version of SPDX writes a remark down.
"""

from __future__ import annotations

import re

from projections.bom.read_facts import Collector, is_unknown, number, text, time
from projections.bom.read_terms import LINES

# Fields of SPDX 3.0's profiles by their own names, which annotations in SPDX 2.3 use too.
AI = {
    "autonomyType": "autonomy",
    "domain": "domain",
    "informationAboutApplication": "application",
    "informationAboutTraining": "training_information",
    "limitation": "limitation",
    "modelDataPreprocessing": "preprocessing",
    "modelExplainability": "explainability",
    "safetyRiskAssessment": "safety_risk",
    "standardCompliance": "standard",
    "typeOfModel": "type",
    "useSensitivePersonalInformation": "personal_information",
}
DICTIONARIES = {"hyperparameter": "hyperparameter", "metric": "metric", "metricDecisionThreshold": "threshold"}
ENERGY = {
    "finetuningEnergyConsumption": "fine-tuning",
    "trainingEnergyConsumption": "training",
    "inferenceEnergyConsumption": "inference",
}
DATASET = {
    "anonymizationMethodUsed": "anonymization",
    "confidentialityLevel": "confidentiality",
    "dataCollectionProcess": "collection",
    "dataPreprocessing": "preprocessing",
    "datasetAvailability": "availability",
    "datasetNoise": "noise",
    "datasetSize": "size",
    "datasetType": "data_type",
    "datasetUpdateMechanism": "update_mechanism",
    "hasSensitivePersonalInformation": "personal_information",
    "intendedUse": "intended_use",
    "knownBias": "known_bias",
    "sensor": "sensor",
}

_DOCUMENT = {
    "renderer": "renderer",
    "ledger:origin": "ledger.origin",
    "ledger:position": "ledger.position",
    "ledger:entry": "ledger.entry",
    "command": "command",
}
_PLAIN = {
    "size": "size",
    "digest:of": "hashed",
    "digest:entry": "trace",
    "group": "group",
    "security:control": "control",
    "parent:sha256": "parent",
    "classification": "classification",
    "sensitive": "sensitive",
    "language": "language",
}
_RUN = {"run": "identifier", "run:started": "started", "run:finished": "finished", "run:command": "executed"}
_PEOPLE = {
    "author": "author",
    "governance:custodians": "custodian",
    "governance:stewards": "steward",
    "governance:owners": "owner",
}
_ORIGIN_FIELDS = {
    "architectureFamily": "architecture_family",
    "baseRevision": "version",
    "stated": "*",
}
_ENERGY_TEXT = re.compile(r"(?P<kwh>[^ ;]+) kWh;.*?(?:; (?P<co2>[^ ;]+) g CO2eq(?:;|$).*)?", re.DOTALL)
_DEVICE = re.compile(r"(?:cpu|gpu|other): (\d+) x ([^,]*)(?:, .*)?")
_NAMED_VERSION = re.compile(r"(.+?)-(\d.*)")
_BOUND = re.compile(r"(.*), (lower|upper) bound", re.DOTALL)
_UNSAID = frozenset(
    {"name", "run:task", "run:outcome", "run:name", "origin:run", "origin:environment", "supplier", "parent"}
)


def remark(about: str, key: str, value: str, where: str, found: Collector) -> None:
    """Take one of soup's remarks on a thing, by its key without `soup:`."""
    if about == "document":
        found.add(about, _DOCUMENT.get(key, "property"), value, where, key=None if key in _DOCUMENT else key)
    elif key == "digest:origin":
        found.originate(about, "hash", value)
    elif key.startswith("origin:"):
        _origin(about, key.removeprefix("origin:"), value, found)
    elif key in _PLAIN:
        found.add(about, _PLAIN[key], value, where)
    elif key in _RUN:
        found.add("run", _RUN[key], time(value), where)
    elif key in _PEOPLE:
        found.add(about, _PEOPLE[key], re.split("[;,] ", value)[0], where)
    elif key.startswith("energy:"):
        match = _ENERGY_TEXT.fullmatch(value)
        found.add(about, "co2", number(match["co2"]) if match else None, where, key=key.removeprefix("energy:"))
        found.originate(about, "energy", _side(value), key.removeprefix("energy:"))
    elif key == "originator":  # the remark says that the field only repeats the supplier
        found.drop(about, "producer")
    elif not _surroundings(key, value, where, found) and key not in _UNSAID:
        found.add(about, "property", value, where, key=f"soup:{key}")


def field(about: str, name: str, values: list[object], where: str, found: Collector) -> None:
    """Take the values of one field of the profiles."""
    for value in values:
        if name in LINES:
            found.add_lines(about, name, value, where)
        else:
            found.add(about, name, value, where)


def entry(about: str, name: str, key: str | None, value: object, where: str, found: Collector) -> None:
    """Take an entry of a dictionary; a metric's confidence interval comes as entries of their own."""
    said = number(value) or text(value)
    bound = _BOUND.fullmatch(key or "")
    if name == "metric" and bound:
        found.add(about, bound[2], said, where, key=bound[1])
    else:
        found.add(about, name, said, where, key=key)


def tool(name: object, where: str, found: Collector) -> None:
    """Take a tool, whose name and version SPDX writes as one: `soup-0.1.0`."""
    said = text(name)
    split = _NAMED_VERSION.fullmatch(said or "")
    if said and split and not is_unknown(said):
        found.add("document", "tool", f"{split[1]} {split[2]}", where, key=split[1])
        found.add("document", "tool_version", split[2], where, key=split[1])
    else:
        found.add("document", "tool", said, where, key=said)


def _origin(about: str, field: str, value: str, found: Collector) -> None:
    """Take `declared, entry 6`, and for dictionaries `observed, entry 2: lora.r, training.lr`."""
    side, _, rest = value.partition(", entry ")
    _, colon, keys = rest.partition(": ")
    if colon:
        for key in keys.split(", "):
            for name in (field, "lower", "upper") if field == "metric" else (field,):
                found.originate(about, name, side, key)
    else:
        found.originate(about, _ORIGIN_FIELDS.get(field, field), side)


def _side(value: str) -> str:
    return value.rpartition("; ")[2].partition(",")[0]


def _surroundings(key: str, value: str, where: str, found: Collector) -> bool:
    """Take what the software ran on, which CycloneDX lists as components."""
    if key == "device" and (match := _DEVICE.fullmatch(value)):
        found.add(f"device/{match[2]}", "name", match[2], where)
    elif key == "python":
        name, _, version = value.partition(" ")
        found.add(f"platform/{name}", "name", name, where)
        found.add(f"platform/{name}", "version", version, where)
    else:
        return False
    return True
