"""The names that facts of a bill of materials go by, and which standard has a field for each.

What is true:

* The table is closed: a fact of another name does not exist.
* A standard *has a field* for a name where the specification has one, not where a property or a comment could hold it. Whoever
  compares two documents of different formats must not call it a change that one of them could not say something.

Sources: CycloneDX 1.6, SPDX 2.3, SPDX 3.0.1 (Core, Software, AI, Dataset, Build and Security profiles).

It does not know how a fact is found.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Format = Literal["cyclonedx", "spdx2", "spdx3"]
FORMATS: dict[Format, str] = {"cyclonedx": "CycloneDX", "spdx2": "SPDX", "spdx3": "SPDX"}

_ALL: frozenset[Format] = frozenset(FORMATS)
_CDX: frozenset[Format] = frozenset({"cyclonedx"})
_SPDX: frozenset[Format] = frozenset({"spdx2", "spdx3"})
_NOT_SPDX2: frozenset[Format] = frozenset({"cyclonedx", "spdx3"})
_SPDX3: frozenset[Format] = frozenset({"spdx3"})


class Term(NamedTuple):
    """A name of facts: its label for people, and the formats whose standard has a field for it."""

    label: str
    fields: frozenset[Format] = _ALL


# Issue facts tell one issue of a document from another. They differ whenever a document is made again.
ISSUE: dict[str, Term] = {
    "id": Term("identifier"),
    "issue": Term("issue number", _CDX),
    "created": Term("created"),
    "format": Term("format"),
    "format_version": Term("version of the format"),
    "tool": Term("tool"),
    "tool_version": Term("version of the tool"),
    "ledger.origin": Term("ledger", frozenset()),
    "ledger.position": Term("ledger position", frozenset()),
    "ledger.entry": Term("ledger entry", frozenset()),
    "trace": Term("traces into the ledger", frozenset()),
    "command": Term("command id", frozenset()),
    "renderer": Term("renderer", frozenset()),
    "relations": Term("number of relations"),
    "signature": Term("signature", _CDX),
}
TERMS: dict[str, Term] = ISSUE | {
    # Of the document, and of anything in it.
    "author": Term("author", _CDX),
    "lifecycle": Term("generation context", _NOT_SPDX2),
    "data_licence": Term("licence of the document"),
    "name": Term("name"),
    "group": Term("group", _CDX),
    "version": Term("version"),
    "revision": Term("revision", frozenset()),
    "purl": Term("package URL"),
    "identifier": Term("identifier"),
    "description": Term("description"),
    "supplier": Term("supplier"),
    "producer": Term("producer"),
    "contact": Term("contact"),
    "copyright": Term("copyright"),
    "licence": Term("licence"),
    "licence_concluded": Term("licence, concluded", _SPDX),
    "hash": Term("digest"),
    "hashed": Term("digest is of", frozenset()),
    "size": Term("size", _SPDX3),
    "released": Term("released", _SPDX),
    "built": Term("built", _SPDX),
    "purpose": Term("purpose"),
    "link": Term("link", _NOT_SPDX2),
    "location": Term("download location"),
    "parent": Term("parent document", _CDX),
    "depends_on": Term("depends on"),
    "derived_from": Term("derived from"),
    # Of a model.
    "approach": Term("learning approach", _CDX),
    "task": Term("task", _CDX),
    "method": Term("training method", frozenset()),
    "architecture_family": Term("architecture family", _CDX),
    "architecture": Term("architecture", _CDX),
    "type": Term("type of model", _SPDX3),
    "input": Term("input", _CDX),
    "output": Term("output", _CDX),
    "domain": Term("domain", _SPDX3),
    "autonomy": Term("autonomous", _SPDX3),
    "standard": Term("standard", _SPDX3),
    "hyperparameter": Term("hyperparameter", _SPDX3),
    "property": Term("property", frozenset()),
    "metric": Term("metric", _NOT_SPDX2),
    "lower": Term("lower bound of metric", _CDX),
    "upper": Term("upper bound of metric", _CDX),
    "threshold": Term("threshold", _SPDX3),
    "intended_use": Term("intended use", _CDX),
    "user": Term("user", _CDX),
    "use_case": Term("use case", _CDX),
    "out_of_scope": Term("out of scope", frozenset()),
    "limitation": Term("limitation", _NOT_SPDX2),
    "tradeoff": Term("trade-off", _CDX),
    "ethical": Term("ethical consideration", _CDX),
    "fairness": Term("fairness", _CDX),
    "safety_risk": Term("safety risk", _SPDX3),
    "explainability": Term("explainability", _SPDX3),
    "personal_information": Term("personal information", _SPDX3),
    "application": Term("use in an application", _SPDX3),
    "training_information": Term("training", _SPDX3),
    "preprocessing": Term("preprocessing", _SPDX3),
    "energy": Term("energy (kWh)", _NOT_SPDX2),
    "co2": Term("CO2 equivalent (g)", _CDX),
    "energy_provider": Term("energy provider", _CDX),
    "energy_source": Term("energy source", _CDX),
    # Of a data set.
    "role": Term("used for", _SPDX),
    "used_by": Term("used by", frozenset()),
    "data_type": Term("kind of data", _SPDX3),
    "classification": Term("classification", _CDX),
    "confidentiality": Term("confidentiality", _SPDX3),
    "sensitive": Term("sensitive data", _CDX),
    "anonymization": Term("anonymization", _SPDX3),
    "collection": Term("collection", _SPDX3),
    "noise": Term("noise", _SPDX3),
    "known_bias": Term("known bias", _SPDX3),
    "availability": Term("availability", _SPDX3),
    "update_mechanism": Term("updates", _SPDX3),
    "language": Term("language", frozenset()),
    "sensor": Term("sensor", _SPDX3),
    "custodian": Term("custodian", _CDX),
    "steward": Term("steward", _CDX),
    "owner": Term("owner", _CDX),
    # Of the run, of security.
    "started": Term("started", _NOT_SPDX2),
    "finished": Term("finished", _NOT_SPDX2),
    "executed": Term("command line", _CDX),
    "setting": Term("setting", _NOT_SPDX2),
    "environment": Term("environment", _SPDX3),
    "control": Term("security control", frozenset()),
    "security_metric": Term("security metric", frozenset()),
    "vulnerability": Term("vulnerability", _NOT_SPDX2),
}
# Whole kinds of things that a standard has no element for.
KINDS: dict[str, frozenset[Format]] = {"run": _NOT_SPDX2, "device": _CDX, "platform": _CDX}
# Names whose values each format spells in words of its own: they are compared within one format only.
LOCAL = frozenset({"purpose", "property", "lifecycle", "contact", "identifier", "relations"})

# Headings of lines inside of one text field.
HEADINGS = {
    "Intended use": "intended_use",
    "Application": "application",
    "User": "user",
    "Use case": "use_case",
    "Out of scope": "out_of_scope",
    "Input": "input",
    "Output": "output",
    "Fine-tuning task, as declared": "method",
    "Trade-off": "tradeoff",
    "Ethical consideration": "ethical",
    "Fairness": "fairness",
}
LINES = frozenset({"application", "training_information", "limitation"})
