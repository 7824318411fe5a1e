"""CycloneDX 1.6: facts to the bytes of a JSON document.

What is true:

* Same facts, same bytes: the serial number is a UUIDv5 of the entry that explains the document, the timestamp is that
  event's time, every bom-ref is given. (The specification would have each document's serial number unique "even if the
  contents of the BOM have not changed"; one that can be rebuilt from evidence is worth more here.)
* Each component says in `soup:digest:origin` whether its hash was observed or declared; without a hash it says unknown.
  The root component's hash is the model's own.
* Every component stands in the dependency graph, leaves with an empty `dependsOn`: absence would mean "unknown".
* What nobody recorded is not there: no supplier, no purl, no model-card task made up from a fine-tuning method.

The library builds what it has classes for. modelCard, component.data and compositions it has not (issues 912 and 913 of
CycloneDX/cyclonedx-python-lib), so they are put into its output. `Bom.from_json` would drop them: never round-trip.

It does not know the ledger, and it does not validate; `projections.bom.validate` does.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement, LicenseExpression
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6

from projections.bom.encode import encode
from projections.bom.facts import BomFacts, FileFact, Part, Role, document_uuid, parts
from projections.bom.licence import Licence, recognise

RENDERER = "cyclonedx/1"
MEDIA_TYPE = "application/vnd.cyclonedx+json; version=1.6"

Json = dict[str, Any]

_TYPES: dict[Role, ComponentType] = {
    "model": ComponentType.MACHINE_LEARNING_MODEL,
    "base": ComponentType.MACHINE_LEARNING_MODEL,
    "config": ComponentType.DATA,
    "data": ComponentType.DATA,
}
_DATA_TYPES: dict[Role, Literal["configuration", "dataset"]] = {"config": "configuration", "data": "dataset"}
# How a method learns, where that is beyond dispute; another task leaves the approach out. Preference optimisation
# without a sampled policy is learning from labelled pairs.
_APPROACHES = {
    **dict.fromkeys(("sft", "dpo", "orpo", "kto", "ipo", "simpo", "reward"), "supervised"),
    **dict.fromkeys(("grpo", "ppo", "rloo"), "reinforcement-learning"),
    **dict.fromkeys(("pretrain", "cpt"), "self-supervised"),
}


def render(facts: BomFacts) -> bytes:
    """Return the document that says `facts`, as indented UTF-8 JSON."""
    model, *others = parts(facts)
    document: Json = json.loads(JsonV1Dot6(_bom(facts, model, others)).output_as_string())
    root: Json = document["metadata"]["component"]
    root["modelCard"] = _model_card(facts, others)
    by_ref = {component["bom-ref"]: component for component in document.get("components", [])}
    # The library sorts components by type and name; ours is the order of the facts.
    document["components"] = [by_ref[part.ref] for part in others]
    for part, component in zip((model, *others), (root, *document["components"]), strict=True):
        _enrich(component, part)
    document["dependencies"] = _dependencies(model, others)
    document["compositions"] = _compositions(model, others)
    return encode(document)


def _bom(facts: BomFacts, model: Part, others: list[Part]) -> Bom:
    soup = Component(type=ComponentType.APPLICATION, name="soup", version=facts.soup_version, bom_ref="soup")
    root = _component(model)
    root.licenses = [_licence(recognise(facts.license))] if facts.license else []
    if facts.task:
        root.properties.add(Property(name="soup:task", value=facts.task))
    bases = [part for part in others if part.artifact.role == "base"]
    if bases:
        root.pedigree = Pedigree(ancestors=[_component(base, "ancestor-") for base in bases])
    components = [_component(part) for part in others]
    bom = Bom(
        serial_number=document_uuid(facts, "cyclonedx"),
        metadata=BomMetaData(
            timestamp=facts.declared_at,
            tools=ToolRepository(components=[soup]),
            component=root,
            properties=[
                Property(name="soup:renderer", value=RENDERER),
                Property(name="soup:ledger:origin", value=facts.ledger_origin),
                Property(name="soup:ledger:position", value=str(facts.position)),
                Property(name="soup:ledger:entry", value=facts.seed),
                Property(name="soup:command", value=facts.command_id),
            ],
        ),
        components=components,
    )
    bom.register_dependency(root, components)  # the library warns about a root without any; `_dependencies` replaces it
    return bom


def _component(part: Part, prefix: str = "") -> Component:
    artifact = part.artifact
    group, name = _split(part.name) if artifact.role == "base" else (None, part.name)
    said = {
        "soup:digest:origin": part.origin,
        "soup:digest:of": part.hashed,
        "soup:size": None if artifact.size is None else str(artifact.size),
        "soup:artifact:name": artifact.name if artifact.name != part.name else None,
    }
    return Component(
        type=_TYPES[artifact.role],
        group=group,
        name=name,
        version=part.version,
        bom_ref=prefix + part.ref,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=artifact.digest.sha256)] if artifact.digest else [],
        properties=[Property(name=key, value=value) for key, value in said.items() if value is not None],
    )


def _split(name: str) -> tuple[str | None, str]:
    """Return group and name of `org/name`; any other form is a name as it stands. No hub is concluded from it."""
    group, slash, rest = name.partition("/")
    return (group, rest) if slash and group and rest and "/" not in rest else (None, name)


def _licence(licence: Licence) -> DisjunctiveLicense | LicenseExpression:
    declared = LicenseAcknowledgement.DECLARED
    if licence.kind == "expression":
        return LicenseExpression(licence.text, acknowledgement=declared)
    if licence.kind == "id":
        return DisjunctiveLicense(id=licence.text, acknowledgement=declared)
    return DisjunctiveLicense(name=licence.text, acknowledgement=declared)


def _model_card(facts: BomFacts, others: list[Part]) -> Json:
    approach = _APPROACHES.get(facts.task.lower()) if facts.task else None
    datasets = [{"ref": part.ref} for part in others if part.artifact.role == "data"]
    parameters = {"approach": {"type": approach} if approach else None, "datasets": datasets}
    return {"modelParameters": {key: value for key, value in parameters.items() if value}}


def _enrich(component: Json, part: Part) -> None:
    """Add to the library's `component` what the library has no class for, and the files it would take seconds over."""
    data_type = _DATA_TYPES.get(part.artifact.role)
    if data_type:
        component["data"] = [{"type": data_type, "name": part.name}]
    if part.files:
        component["components"] = [_file(ref, file) for ref, file in part.files]


def _file(ref: str, file: FileFact) -> Json:
    # A dict, since the library compares whole tuples and looks for bom-refs in a list: 4,000 files took it 3 s.
    return {
        "type": "file",
        "bom-ref": ref,
        "name": file.path,
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
        "properties": [
            {"name": "soup:digest:origin", "value": "observed"},
            {"name": "soup:size", "value": str(file.size)},
        ],
    }


def _dependencies(model: Part, others: list[Part]) -> list[Json]:
    leaves = [part.ref for part in others]
    files = [ref for part in (model, *others) for ref, _ in part.files]
    return [{"ref": model.ref, "dependsOn": leaves}, *({"ref": ref, "dependsOn": []} for ref in (*leaves, *files))]


def _compositions(model: Part, others: list[Part]) -> list[Json]:
    """Say how complete the lists are: a directory that soup walked is, the model's dependencies nobody can say."""
    walked = [part.ref for part in (model, *others) if part.files and part.origin == "observed"]
    unknown = {"aggregate": "unknown", "dependencies": [model.ref]}
    return [{"aggregate": "complete", "assemblies": walked}, unknown] if walked else [unknown]
