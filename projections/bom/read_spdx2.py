"""SPDX 2.3 JSON to facts.

What is true:

* The model is what the document DESCRIBES. What it descends from is its base; what it is generated from, or what its building
  depended on, is data or configuration, as its purpose says; what it contains are its files; the rest are packages.
* SPDX 2.3 has no fields for models and data. Annotations `ai:FIELD: value` mirror the fields of SPDX 3.0's AI and Dataset
  profiles, `soup:FIELD: value` say where a fact comes from; comments of any other form are left alone.

It does not know the other formats, nor whether the document is valid.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from projections.bom.read_facts import (
    Collector,
    Json,
    Names,
    day,
    hash_key,
    number,
    record,
    records,
    string,
    text,
    time,
)
from projections.bom.read_remarks import AI, DATASET, DICTIONARIES, ENERGY, entry, field, remark, tool

_ROOT = "SPDXRef-DOCUMENT"
_CREATOR = re.compile(r"(Person|Organization|Tool): *([^(]*[^( ])? *(?:\(([^)]*)\))?")
_ANNOTATION = re.compile(r"(ai|soup):([A-Za-z][A-Za-z0-9_.:-]*?): (.*)", re.DOTALL)
# Read as: left is `kind` of right. Inverses are turned round first.
_INVERSES = {
    "ANCESTOR_OF": "DESCENDANT_OF",
    "DESCRIBED_BY": "DESCRIBES",
    "CONTAINED_BY": "CONTAINS",
    "DEPENDENCY_OF": "DEPENDS_ON",
    "GENERATES": "GENERATED_FROM",
    "BUILD_DEPENDENCY_OF": "BUILT_FROM",
    "DATA_FILE_OF": "BUILT_FROM",
    "TEST_OF": "TESTED_ON",
    "TEST_CASE_OF": "TESTED_ON",
}
_DATA_ROLES = {"GENERATED_FROM": "training", "BUILT_FROM": "training", "TESTED_ON": "evaluation"}
_PURPOSES = {"model": "other-model", "data": "data", "configuration": "config", "other": "file"}
_REFERENCES = {
    "purl": "purl",
    "cpe23Type": "identifier",
    "cpe22Type": "identifier",
    "swh": "identifier",
    "download": "location",
    "distribution": "location",
}
_FIELDS = {
    "versionInfo": "version",
    "description": "description",
    "copyrightText": "copyright",
    "downloadLocation": "location",
    "primaryPackagePurpose": "purpose",
}
_OF_THE_WHOLE = ("version", "supplier", "licence", "licence_concluded", "copyright", "released")
_PARTS = ("file/model/", "file/base/", "file/data/", "file/config/")
_LICENCES = {"licenseDeclared": "licence", "licenseConcluded": "licence_concluded"}
_LINKS = {"homepage": "website", "url": "security-policy", "advisory": "advisories"}

Edges = dict[str, list[tuple[str, str]]]


def read_spdx2(content: Json, found: Collector) -> None:
    """Take every fact of a document."""
    _document(content, found)
    elements = {
        string(each.get("SPDXID")): (each, where)
        for field in ("files", "packages")
        for each, where in records(content.get(field), f"/{field}")
    }
    edges = _edges(content, elements)
    names = _names(content, elements, edges)
    licences = {
        string(each.get("licenseId")): text(each.get("name"))
        for each, _ in records(content.get("hasExtractedLicensingInfos"), "")
    }
    for identifier, about in names.items():
        element, where = elements[identifier]
        _element(element, about, where, found, licences)
    for identifier, about in names.items():
        for kind, target in edges.get(identifier, ()):
            thing = names.get(target)
            if thing is None:
                continue
            if kind == "DEPENDS_ON" and thing.startswith("package/"):
                found.add(about, "depends_on", thing, "/relationships")
            elif kind in _DATA_ROLES and thing.startswith("data/"):
                found.add(thing, "role", _DATA_ROLES[kind], "/relationships")
            elif kind == "DESCENDANT_OF" and about == "model":
                found.add(about, "derived_from", elements[target][0].get("name"), "/relationships")


def _document(content: Json, found: Collector) -> None:
    creation = record(content.get("creationInfo"))
    found.add("document", "id", content.get("documentNamespace"), "/documentNamespace")
    found.add("document", "created", time(creation.get("created")), "/creationInfo/created")
    found.add("document", "data_licence", content.get("dataLicense"), "/dataLicense")
    creators = creation.get("creators")
    for index, each in enumerate(creators if isinstance(creators, list) else []):
        kind, name, contact = _agent(each)
        where = f"/creationInfo/creators/{index}"
        if kind == "Tool":
            tool(name, where, found)
        else:
            found.add("document", "author", name, where)
            found.add("document", "contact", contact, where)
    for scope, key, value, where in _notes(content, ""):
        if scope == "soup":
            remark("document", key, value, where, found)
    count = len(list(records(content.get("relationships"), "")))
    if count:
        found.add("document", "relations", count, "/relationships")
    if creation.get("comment"):
        phase = re.search(r"\b(design|source|build|deployed|runtime|analyzed)\b", string(creation.get("comment")))
        found.add("document", "lifecycle", phase and phase[1], "/creationInfo/comment")


def _edges(content: Json, elements: dict[str, Any]) -> Edges:
    edges: Edges = {}
    for each, _ in records(content.get("relationships"), ""):
        kind = string(each.get("relationshipType"))
        left, right = string(each.get("spdxElementId")), string(each.get("relatedSpdxElement"))
        if kind in _INVERSES:
            kind, left, right = _INVERSES[kind], right, left
        if right in elements:
            edges.setdefault(left, []).append((kind, right))
    return edges


def _names(content: Json, elements: dict[str, tuple[Json, str]], edges: Edges) -> dict[str, str]:
    """Give each element its name: the model, what it was made from, and the rest, each once."""
    described = content.get("documentDescribes")
    roots = [right for kind, right in edges.get(_ROOT, ()) if kind == "DESCRIBES"]
    roots += [each for each in (described if isinstance(described, list) else []) if isinstance(each, str)]
    model = next((each for each in roots if each in elements), next(iter(elements), None))
    if model is None:
        return {}
    give, names = Names(), {model: "model"}
    bases = [right for kind, right in edges.get(model, ()) if kind == "DESCENDANT_OF"]
    for each in dict.fromkeys(bases):
        names.setdefault(each, "base" if "base" not in names.values() else give.give("base", _name(elements[each][0])))
    holders = {
        right: left for left, found in edges.items() if left != _ROOT for kind, right in found if kind == "CONTAINS"
    }
    used = {right for found in edges.values() for kind, right in found if kind in _DATA_ROLES}
    for identifier, (element, _) in elements.items():
        if identifier not in names:
            kind, name = _kind(element, used=identifier in used), _name(element)
            holder = names.get(holders.get(identifier, ""), "")
            nested = kind == "file" and holder and not holder.startswith("file/")
            names[identifier] = give.give(kind, f"{holder}/{name}" if nested else name)
    return names


def _kind(element: Json, *, used: bool) -> str:
    """Tell what an element is: by soup's purpose, SPDX's purpose, and whether the model was made from it."""
    purpose = next(
        (value for scope, key, value, _ in _notes(element, "") if (scope, key) == ("ai", "primaryPurpose")), ""
    )
    if purpose in _PURPOSES:
        return _PURPOSES[purpose]
    if "fileName" in element and "versionInfo" not in element and "downloadLocation" not in element:
        return "file"
    if used and not purpose:
        return "data"
    return {"FILE": "file", "DEVICE": "device"}.get(string(element.get("primaryPackagePurpose")), "package")


def _name(element: Json) -> str | None:
    return text(element.get("name")) or text(string(element.get("fileName")).removeprefix("./"))


def _element(element: Json, about: str, where: str, found: Collector, licences: dict[str, str | None]) -> None:
    """Take what a package or a file says of itself, which for a file of a part repeats what is said of the part."""
    repeated = _OF_THE_WHOLE if about.startswith(_PARTS) else ()
    found.add(about, "name", _name(element), f"{where}/name")
    for member in [member for member, name in _FIELDS.items() if name not in repeated]:
        found.add(about, _FIELDS[member], element.get(member), f"{where}/{member}")
    found.add(about, "link", element.get("homepage"), f"{where}/homepage", key="website")
    found.add(about, "released", day(element.get("releaseDate")), f"{where}/releaseDate")
    found.add(about, "built", day(element.get("builtDate")), f"{where}/builtDate")
    for member, name in (("supplier", "supplier"), ("originator", "producer")):
        _, agent, contact = _agent(element.get(member))
        if name not in repeated:
            found.add(about, name, agent, f"{where}/{member}")
            found.add(about, "contact", contact, f"{where}/{member}")
    for member, name in _LICENCES.items():
        said = element.get(member) if name not in repeated else None
        found.add(about, name, licences.get(string(said)) or said, f"{where}/{member}")
    for each, there in records(element.get("externalRefs"), f"{where}/externalRefs"):
        kind = string(each.get("referenceType"))
        name = _REFERENCES.get(kind, "link")
        key = _LINKS.get(kind, kind) if name == "link" else None
        found.add(about, name, each.get("referenceLocator"), there, key=key)
    for each, there in records(element.get("checksums"), f"{where}/checksums"):
        digest = string(each.get("checksumValue")).lower()
        found.add(about, "hash", digest, there, key=hash_key(each.get("algorithm")))
    for scope, key, value, there in _notes(element, where):
        if scope == "soup":
            remark(about, key, value, there, found)
        else:
            _mirrored(about, key, value, there, found)


def _mirrored(about: str, name: str, value: str, where: str, found: Collector) -> None:
    """Take an annotation that mirrors a field of SPDX 3.0's profiles; a dictionary's entries stand as `key = value`."""
    table = DATASET if about.startswith("data/") else AI
    key, sign, setting = value.partition(" = ")
    if name in DICTIONARIES:
        entry(about, DICTIONARIES[name], key if sign else None, setting if sign else value, where, found)
    elif name in ENERGY:
        found.add(about, "energy", number(value.removesuffix(" kilowattHour")), where, key=ENERGY[name])
    elif name in table:
        field(about, table[name], [value.removesuffix(" =") if name == "sensor" else value], where, found)
    elif name != "primaryPurpose":
        found.add(about, "property", value, where, key=f"ai:{name}")


def _notes(holder: Json, where: str) -> Iterator[tuple[str, str, str, str]]:
    for each, there in records(holder.get("annotations"), f"{where}/annotations"):
        match = _ANNOTATION.fullmatch(string(each.get("comment")).rstrip())
        if match:
            yield match[1], match[2], match[3], there


def _agent(value: object) -> tuple[str, str | None, str | None]:
    """Split `Organization: Example (desk@example.org)` (SPDX 2.3, 6.8.3)."""
    match = _CREATOR.fullmatch(text(value) or "")
    return (match[1], match[2], match[3]) if match else ("", text(value), None)
