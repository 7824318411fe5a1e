"""CycloneDX 1.6 and 1.7: facts to the bytes of a JSON document.

What is true:

* Same facts, same bytes: the serial number is a UUIDv5 of the entry that explains the document, the timestamp is that
  event's time, every bom-ref is given. (The specification would have each document's serial number unique "even if the
  contents of the BOM have not changed"; one that can be rebuilt from evidence is worth more here.)
* Each component says in `soup:digest:origin` whether its hash was observed or declared; without a hash it says unknown.
  The root component's hash is the model's own.
* Every component stands in the dependency graph, leaves with an empty `dependsOn`: absence would mean "unknown".
* What nobody recorded is not there: no supplier, no purl, no model-card task made up from a fine-tuning method.
* The model stands twice, under two bom-refs: as `metadata.component`, what the document is about, and as the first of
  `components`, the inventory. The specification allows it (a bom-ref is unique, a component need not be), and readers
  differ in where they look; OWASP's AIBOM registry, for one, reads `components[0]`. The second says whose twin it is
  (`soup:same-as`), and does not list the files again.

The library builds what it has classes for. modelCard, component.data, formulation, declarations and compositions it has
not (issues 912 and 913 of CycloneDX/cyclonedx-python-lib), so they are put into its output. `Bom.from_json` would drop
them: never round-trip. Files and packages are put there too, since it takes seconds over thousands of components.

It does not know the ledger, and it does not validate; `projections.bom.validate` does.
"""

from __future__ import annotations

import json
from typing import Literal

from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType, Pedigree
from cyclonedx.model.lifecycle import LifecyclePhase, PredefinedLifecycle
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6, JsonV1Dot7

from projections.bom.cyclonedx_card import card_metadata, model_card
from projections.bom.cyclonedx_parts import Json, component, contacts, licence, organisation, organisation_json, uri
from projections.bom.cyclonedx_run import (
    LISTED,
    compositions,
    declarations,
    dependencies,
    environment,
    formulation,
    standards,
)
from projections.bom.encode import encode
from projections.facts import BomFacts, FileFact, Part, Role, document_uuid, parts

RENDERER = "cyclonedx/2"
SpecVersion = Literal["1.6", "1.7"]

_OUTPUTS: dict[SpecVersion, type[JsonV1Dot6 | JsonV1Dot7]] = {"1.6": JsonV1Dot6, "1.7": JsonV1Dot7}
_MEDIA_KINDS: dict[SpecVersion, str] = {"1.6": "cyclonedx", "1.7": "cyclonedx17"}  # two documents, two serial numbers
_DATA_TYPES: dict[Role, Literal["configuration", "dataset"]] = {"config": "configuration", "data": "dataset"}


def render(facts: BomFacts, spec_version: SpecVersion = "1.6") -> bytes:
    """Return the document that says `facts`, as indented UTF-8 JSON."""
    model, *others = parts(facts)
    bom = _bom(facts, model, others, _MEDIA_KINDS[spec_version])
    document: Json = json.loads(_OUTPUTS[spec_version](bom).output_as_string())
    root: Json = document["metadata"]["component"]
    card = model_card(facts, [part.ref for part in others if part.artifact.role == "data"])
    root |= {"modelCard": card} if card else {}
    document["metadata"]["properties"] += card_metadata(facts, root)
    by_ref = {each["bom-ref"]: each for each in document.get("components", [])}
    # The library sorts components by type and name; ours is the order of the facts.
    listed = [by_ref[part.ref] for part in others]
    for part, each in zip((model, *others), (root, *listed), strict=True):
        _enrich(each, part)
    document["components"] = [_twin(root), *listed, *environment(facts)]
    document["dependencies"] = dependencies(facts, model, others)
    document["compositions"] = compositions(facts, model, others)
    found = {
        "formulation": formulation(facts, model, others),
        "definitions": standards(facts),
        "declarations": declarations(facts, model),
    }
    return encode(document | {name: content for name, content in found.items() if content})


def _bom(facts: BomFacts, model: Part, others: list[Part], media_kind: str) -> Bom:
    root = component(facts, model)
    bases = [part for part in others if part.artifact.role == "base"]
    if bases:
        root.pedigree = Pedigree(ancestors=[component(facts, base, "ancestor-") for base in bases])
    components = [component(facts, part) for part in others]
    bom = Bom(serial_number=document_uuid(facts, media_kind), metadata=_metadata(facts, root), components=components)
    bom.register_dependency(root, components)  # the library warns about a root without any; `dependencies` replaces it
    return bom


def _metadata(facts: BomFacts, root: Component) -> BomMetaData:
    """Say who made the document, when, with what, and where its evidence lies.

    `manufacturer` is who answers for the document, `supplier` who supplies the model: so the schema's descriptions.
    """
    said = facts.said
    behind = {
        "soup:ledger:facts": facts.stated,
        "soup:ledger:environment": facts.environment,
        "soup:ledger:run": facts.run.started if facts.run else None,
    }
    return BomMetaData(
        timestamp=facts.declared_at,
        lifecycles=[PredefinedLifecycle(LifecyclePhase.BUILD if facts.run else LifecyclePhase.POST_BUILD)],
        tools=ToolRepository(
            components=[
                Component(type=ComponentType.APPLICATION, name="soup", version=facts.soup_version, bom_ref="soup")
            ]
        ),
        authors=contacts(said.document.authors),
        manufacturer=organisation(said.document.supplier) if said.document.supplier else None,
        supplier=organisation(said.model.supplier) if said.model.supplier else None,
        licenses=[licence("CC0-1.0")],  # of the document, not of the model
        component=root,
        properties=[
            Property(name="soup:renderer", value=RENDERER),
            Property(name="soup:ledger:origin", value=facts.ledger_origin),
            Property(name="soup:ledger:position", value=str(facts.position)),
            Property(name="soup:ledger:entry", value=facts.seed),
            Property(name="soup:command", value=facts.command_id),
            *(Property(name=name, value=str(known.position)) for name, known in behind.items() if known),
        ],
    )


def _enrich(listed: Json, part: Part) -> None:
    """Add to the library's component what the library has no class for, and the files it would take seconds over."""
    data_type = _DATA_TYPES.get(part.artifact.role)
    if data_type:
        listed["data"] = [_data(part, data_type, listed["name"])]
    if part.files:
        listed["components"] = [_file(ref, file) for ref, file in part.files]


def _data(part: Part, data_type: str, name: str) -> Json:
    said = part.artifact.stated
    if not said:
        return {"type": data_type, "name": name}
    roles = ("custodians", "stewards", "owners")
    keepers = {role: getattr(said.governance, role) for role in roles} if said.governance else {}
    governance = {
        role: [{"organization": organisation_json(each)} for each in found] for role, found in keepers.items() if found
    }
    found = {
        "description": said.description,
        "classification": said.classification,
        "sensitiveData": said.sensitive,
        "contents": {"url": uri(said.url)} if said.url else None,
        "governance": governance,
    }
    return {"type": data_type, "name": name} | {key: value for key, value in found.items() if value}


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


def _twin(root: Json) -> Json:
    """Return the model for the inventory; its files and its ancestors stand at the root."""
    twin = {key: value for key, value in root.items() if key not in ("components", "pedigree")}
    same = {"name": "soup:same-as", "value": root["bom-ref"]}
    return twin | {"bom-ref": LISTED, "properties": [*root["properties"], same]}
