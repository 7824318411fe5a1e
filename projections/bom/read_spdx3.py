"""SPDX 3.0 JSON-LD to facts: the Core, Software, AI, Dataset, Build and SimpleLicensing profiles.

What is true:

* Elements are found by their `spdxId`, wherever a reference stands for one, or inline. No JSON-LD processing takes place: the names
  are those that the official context gives in its compact form, and any other context is refused by `read`.
* The model is the Sbom's root element. What it descends from is its base, what it was trained or tested on are its data.

It does not know the other formats, nor whether the document is valid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from projections.bom.read_facts import (
    Collector,
    Json,
    Names,
    day,
    hash_key,
    items,
    many,
    number,
    record,
    string,
    text,
    time,
)
from projections.bom.read_remarks import AI, DATASET, DICTIONARIES, ENERGY, entry, field, remark, tool

_MEGAJOULES_A_KWH = 3.6
_INVERSES = {"ancestorOf": "descendantOf"}
_DATA_ROLES = {"trainedOn": "training", "testedOn": "evaluation"}
# Files that are told as facts about what they belong to, not as things of their own.
_ATTACHED = frozenset({"hasDistributionArtifact", "hasEvidence", "hasMetadata"})
_LINKS = {
    "altWebPage": "website",
    "documentation": "documentation",
    "issueTracker": "issue-tracker",
    "license": "license",
    "productMetadata": "model-card",
    "releaseNotes": "release-notes",
    "securityAdvisory": "advisories",
    "securityOther": "security-contact",
    "securityPolicy": "security-policy",
}
_BYTES = re.compile(r"(\d+) bytes(?:; (observed|declared))?")
_LICENCES = {"hasDeclaredLicense": "licence", "hasConcludedLicense": "licence_concluded"}
_KINDS = {"ai_AIPackage": "other-model", "dataset_DatasetPackage": "data", "software_File": "file"}
_FIELDS = {
    "name": "name",
    "description": "description",
    "software_packageVersion": "version",
    "software_packageUrl": "purl",
    "software_copyrightText": "copyright",
    "software_primaryPurpose": "purpose",
    "software_downloadLocation": "location",
}
_PROGRAMS = frozenset({"SoftwareAgent", "Tool"})  # no authors
_PURPOSES = {"configuration": "config", "device": "device", "other": "file", "file": "file"}
_LONGEST_STATEMENT = 1_000_000
_THINGS = frozenset({*_KINDS, "software_Package"})


class _Edge(NamedTuple):
    kind: str
    left: str
    right: str
    where: str


class _Graph:
    """The elements of a document by identifier, with their pointers, and its relations."""

    def __init__(self, content: Json) -> None:
        graph = content.get("@graph")
        listed = items(graph) if isinstance(graph, list) else [content]
        prefix = "/@graph/" if isinstance(graph, list) else ""
        self.elements: dict[str, tuple[Json, str]] = {}
        self.all: list[tuple[Json, str]] = []
        for index, each in enumerate(listed):
            element, where = record(each), f"{prefix}{index}" if prefix else ""
            self.all.append((element, where))
            for key in ("spdxId", "@id"):
                self.elements.setdefault(string(element.get(key)), (element, where))
        self.edges = [*self._edges()]

    def of(self, *types: str) -> Iterator[tuple[str, Json, str]]:
        for element, where in self.all:
            if type_of(element) in types:
                yield string(element.get("spdxId") or element.get("@id")), element, where

    def resolve(self, reference: object) -> Json:
        """Give the element that a reference names, or that stands in its place."""
        if isinstance(reference, dict):
            return reference
        return self.elements.get(string(reference), ({}, ""))[0]

    def _edges(self) -> Iterator[_Edge]:
        for _, element, where in self.of(
            "Relationship", "LifecycleScopedRelationship", "software_LifecycleScopedRelationship"
        ):
            kind = string(element.get("relationshipType"))
            for target in many(element.get("to")):
                left, right = string(element.get("from")), string(target)
                if kind in _INVERSES:
                    yield _Edge(_INVERSES[kind], right, left, where)
                else:
                    yield _Edge(kind, left, right, where)


def type_of(element: Json) -> str:
    """Give an element's type, however JSON-LD spells the keyword."""
    return string(element.get("type") or element.get("@type"))


def read_spdx3(content: Json, found: Collector) -> None:
    """Take every fact of a document."""
    graph = _Graph(content)
    model = _model(graph)
    _document(graph, found)
    names = _names(graph, model)
    for identifier, about in names.items():
        element, where = graph.elements[identifier]
        _element(element, about, where, graph, found)
    for edge in graph.edges:
        _relate(edge, names, graph, found)
    for _, build, where in graph.of("build_Build"):
        _build(build, where, found)
    for _, each, where in graph.of("security_Vulnerability"):
        found.add("model", "vulnerability", each.get("name") or each.get("spdxId"), where)
    subjects = names | dict.fromkeys((each for each, _, _ in graph.of("SpdxDocument")), "document")
    subjects |= dict.fromkeys((each for each, _, _ in graph.of("build_Build")), "run")
    for _, each, where in graph.of("Annotation"):
        subject = subjects.get(string(each.get("subject")))
        if subject:
            _annotation(each, subject, where, found)


def _document(graph: _Graph, found: Collector) -> None:
    info: Json = {}
    for identifier, element, where in graph.of("SpdxDocument"):
        found.add("document", "id", identifier, where)
        found.add(
            "document",
            "data_licence",
            _licence(graph.resolve(element.get("dataLicense")), graph),
            f"{where}/dataLicense",
        )
        info = graph.resolve(element.get("creationInfo"))
    info = info or next((element for _, element, _ in graph.of("CreationInfo")), {})
    found.add("document", "created", time(info.get("created")), "/@graph")
    for reference in many(info.get("createdBy")):
        agent = graph.resolve(reference)
        if type_of(agent) in _PROGRAMS:
            continue
        found.add("document", "author", agent.get("name"), "/@graph")
        _contacts(agent, "document", "/@graph", found)
    for reference in many(info.get("createdUsing")):
        tool(graph.resolve(reference).get("name"), "/@graph", found)
    for _, element, where in graph.of("software_Sbom"):
        found.add_all("document", "lifecycle", element.get("software_sbomType"), f"{where}/software_sbomType")
    if graph.edges:
        found.add("document", "relations", len(graph.edges), "/@graph")


def _model(graph: _Graph) -> str | None:
    """Give the root: the Sbom's, else the document's, else the first package; an AI package where there is a choice."""
    roots = [
        string(root)
        for kind in ("software_Sbom", "SpdxDocument")
        for _, element, _ in graph.of(kind)
        for root in many(element.get("rootElement"))
    ]
    known = [root for root in roots if type_of(graph.resolve(root)) in _THINGS]
    ours = [root for root in known if type_of(graph.resolve(root)) == "ai_AIPackage"]
    listed = [identifier for kind in ("ai_AIPackage", "software_Package") for identifier, _, _ in graph.of(kind)]
    return next(iter((*ours, *known, *listed)), None)


def _names(graph: _Graph, model: str | None) -> dict[str, str]:
    if model is None or model not in graph.elements:
        return {}
    give, names = Names(), {model: "model"}
    for edge in graph.edges:
        if (
            edge.kind == "descendantOf"
            and edge.left == model
            and edge.right in graph.elements
            and edge.right not in names
        ):
            name = text(graph.resolve(edge.right).get("name"))
            names[edge.right] = "base" if "base" not in names.values() else give.give("base", name)
    attached = {edge.right: edge.left for edge in reversed(graph.edges) if edge.kind in _ATTACHED}
    holders = {edge.right: edge.left for edge in reversed(graph.edges) if edge.kind == "contains"}
    for identifier, element, _ in graph.of(*_THINGS):
        if identifier in names or identifier in attached:
            continue
        kind = _KINDS.get(type_of(element), "package")
        purpose = string(element.get("software_primaryPurpose"))
        kind = _PURPOSES.get(purpose, kind) if kind == "package" else kind
        name = text(element.get("name"))
        holder = holders.get(identifier, "")
        holder = names.get(attached.get(holder, holder), "")
        nested = kind == "file" and holder and not holder.startswith("file/")
        names[identifier] = give.give(kind, f"{holder}/{name}" if nested else name)
    return names


def _element(element: Json, about: str, where: str, graph: _Graph, found: Collector) -> None:
    """Take what an element says of itself."""
    for member, name in _FIELDS.items():
        found.add(about, name, element.get(member), f"{where}/{member}")
    found.add(about, "link", element.get("software_homePage"), f"{where}/software_homePage", key="website")
    found.add(about, "released", day(element.get("releaseTime")), f"{where}/releaseTime")
    found.add(about, "built", day(element.get("builtTime")), f"{where}/builtTime")
    _agents(element, about, where, graph, found)
    _hashes(element, about, where, found)
    size = _BYTES.fullmatch(string(element.get("comment")))
    if size:
        found.add(about, "size", size[1], f"{where}/comment")
        found.originate(about, "hash", size[2])
    for each in map(record, many(element.get("externalIdentifier"))):
        found.add(about, "identifier", each.get("identifier"), f"{where}/externalIdentifier")
    for each in map(record, many(element.get("externalRef"))):
        _reference(each, about, f"{where}/externalRef", found)
    _profile_fields(element, about, where, found)
    _energy(graph.resolve(element.get("ai_energyConsumption")), about, f"{where}/ai_energyConsumption", graph, found)


def _agents(element: Json, about: str, where: str, graph: _Graph, found: Collector) -> None:
    for member, name in (("suppliedBy", "supplier"), ("originatedBy", "producer")):
        for reference in many(element.get(member)):
            agent = graph.resolve(reference)
            person = name == "producer" and type_of(agent) == "Person"
            found.add(about, "author" if person else name, agent.get("name"), f"{where}/{member}")
            _contacts(agent, about, f"{where}/{member}", found)


def _reference(reference: Json, about: str, where: str, found: Collector) -> None:
    kind = string(reference.get("externalRefType"))
    told = string(reference.get("comment")).partition(";")[0]
    key = _LINKS.get(kind) or (told if kind == "other" and told else kind)
    for locator in many(reference.get("locator")):
        if kind == "altDownloadLocation":
            found.add(about, "location", locator, where)
        else:
            found.add(about, "link", locator, where, key=key)


def _profile_fields(element: Json, about: str, where: str, found: Collector) -> None:
    """Take the fields of the AI or the Dataset profile."""
    prefix, table = ("dataset_", DATASET) if type_of(element) == "dataset_DatasetPackage" else ("ai_", AI)
    for member, name in table.items():
        said = many(element.get(prefix + member))
        values = [record(each).get("key") for each in said] if member == "sensor" else said
        field(about, name, values, f"{where}/{prefix}{member}", found)
    for member, name in DICTIONARIES.items():
        for each in map(record, many(element.get(f"ai_{member}"))):
            entry(about, name, text(each.get("key")), each.get("value"), f"{where}/ai_{member}", found)


def _hashes(element: Json, about: str, where: str, found: Collector) -> None:
    for each in map(record, many(element.get("verifiedUsing"))):
        digest = string(each.get("hashValue")).lower()
        found.add(about, "hash", digest, f"{where}/verifiedUsing", key=hash_key(each.get("algorithm")))


def _energy(consumption: Json, about: str, where: str, graph: _Graph, found: Collector) -> None:
    for member, activity in ENERGY.items():
        for each in map(graph.resolve, many(consumption.get(f"ai_{member}"))):
            quantity, unit = number(each.get("ai_energyQuantity")), each.get("ai_energyUnit")
            if quantity is not None and unit == "megajoule":
                quantity = number(f"{float(quantity) / _MEGAJOULES_A_KWH:.9g}")
            elif unit != "kilowattHour":
                quantity = None
            found.add(about, "energy", quantity, f"{where}/ai_{member}", key=activity)


def _contacts(agent: Json, about: str, where: str, found: Collector) -> None:
    for each in map(record, many(agent.get("externalIdentifier"))):
        if each.get("externalIdentifierType") in ("email", "urlScheme"):
            found.add(about, "contact", each.get("identifier"), where)


def _licence(element: Json, graph: _Graph) -> str | None:
    """Give an expression, or the name behind one that is only a reference to a licence that SPDX does not list."""
    expression = text(element.get("simplelicensing_licenseExpression"))
    for each in map(record, many(element.get("simplelicensing_customIdToUri"))):
        if each.get("key") == expression:
            return text(graph.resolve(each.get("value")).get("name")) or expression
    return expression or text(element.get("name")) or text(element.get("simplelicensing_licenseText"))


def _relate(edge: _Edge, names: dict[str, str], graph: _Graph, found: Collector) -> None:
    about, thing = names.get(edge.left), names.get(edge.right)
    if about is None:
        return
    if edge.kind in _LICENCES:
        found.add(about, _LICENCES[edge.kind], _licence(graph.resolve(edge.right), graph), edge.where)
    elif edge.kind in _ATTACHED:
        _attached(edge, about, graph, found)
    elif thing is None:
        return
    elif edge.kind == "dependsOn" and thing.startswith("package/"):
        found.add(about, "depends_on", thing, edge.where)
    elif edge.kind in _DATA_ROLES:
        found.add(thing, "role", _DATA_ROLES[edge.kind], edge.where)
    elif edge.kind == "descendantOf" and about == "model":
        found.add(about, "derived_from", graph.resolve(edge.right).get("name"), edge.where)


def _attached(edge: _Edge, about: str, graph: _Graph, found: Collector) -> None:
    """Take a file that a thing is distributed as, that is evidence about it, or that is its own bill of materials."""
    file = graph.resolve(edge.right)
    digests = [string(each.get("hashValue")) for each in map(record, many(file.get("verifiedUsing")))]
    if edge.kind == "hasDistributionArtifact":
        _hashes(file, about, edge.where, found)
    elif edge.kind == "hasEvidence" and digests:
        kind = string(file.get("comment")).partition(";")[0] or "evidence"
        found.add(about, "link", f"sha256:{digests[0]}", edge.where, key=kind)
    elif file.get("software_primaryPurpose") == "bom" and digests:
        found.add("model", "parent", digests[0], edge.where)


def _build(build: Json, where: str, found: Collector) -> None:
    found.add("run", "identifier", build.get("build_buildId"), f"{where}/build_buildId")
    found.add("run", "started", time(build.get("build_buildStartTime")), f"{where}/build_buildStartTime")
    found.add("run", "finished", time(build.get("build_buildEndTime")), f"{where}/build_buildEndTime")
    for name, member in (("setting", "build_parameter"), ("environment", "build_environment")):
        for each in map(record, many(build.get(member))):
            key = text(each.get("key"))
            command = name == "setting" and key == "command"
            found.add(
                "run",
                "executed" if command else name,
                each.get("value"),
                f"{where}/{member}",
                key=None if command else key,
            )


def _annotation(annotation: Json, about: str, where: str, found: Collector) -> None:
    """Soup's remarks: one JSON object, with a list where a key has several values."""
    statement = string(annotation.get("statement"))
    if annotation.get("contentType") != "application/json" or len(statement) > _LONGEST_STATEMENT:
        return
    try:
        remarks = record(json.loads(statement))
    except (ValueError, RecursionError):
        return
    for key, values in remarks.items():
        for value in many(values):
            if key.startswith("soup:") and isinstance(value, str):
                remark(about, key.removeprefix("soup:"), value, f"{where}/statement", found)
