"""What the tests of CycloneDX ask a document: its components, its references, its texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from projections.bom import cyclonedx
from projections.facts import BomFacts

Json = dict[str, Any]


def rendered(said: BomFacts) -> Json:
    return json.loads(cyclonedx.render(said))


def properties(holder: Json) -> dict[str, str]:
    return {said["name"]: said["value"] for said in holder.get("properties", ())}


def model_card(said: BomFacts) -> Json:
    """Return the root's model card; empty where there is none."""
    return rendered(said)["metadata"]["component"].get("modelCard", {})


def by_ref(document: Json) -> dict[str, Json]:
    """Return every component under its reference; the model is the root."""
    return {component["bom-ref"]: component for component in components(document)}


def components(document: Json) -> list[Json]:
    """Return the root and every component of the inventory, nested ones included, in document order."""
    pending, found = [document["metadata"]["component"], *document["components"]], []
    while pending:
        component = pending.pop(0)
        found.append(component)
        pending = component.get("components", []) + pending
    return found


def references(value: object, key: str = "") -> Iterator[str]:
    """Give each reference in a document, whatever the schema calls it."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from references(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from references(each, key)
    elif key in {"ref", "dependsOn", "assemblies", "dependencies", "target", "assessor", "requirement", "claims"}:
        yield str(value)


def references_of_claims(document: Json) -> list[str]:
    return [ref for claim in document.get("declarations", {}).get("claims", ()) for ref in claim["evidence"]]


def identifiers(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from [value["bom-ref"]] if "bom-ref" in value else []
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from identifiers(each)


def texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from texts(each)
    elif value is not None:
        yield str(value)
