"""CycloneDX JSON, 1.4 to 1.7, to facts.

What is true:

* The model is `metadata.component`, or the first machine-learning model listed where that is an application around it. Listed again
  among `components` (some scorers look only there) it is the same thing.
* A model among its pedigree's ancestors is its base; `data` components and inline data sets are data or configuration, as their
  `data[].type` says; files belong to the component they are nested in.
* Properties are facts where their name is a known one (soup's own, and those that the OWASP AIBOM generator uses), else `property`.

It does not know the other formats, nor whether the document is valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from projections.bom.read_card import (
    ECHOES,
    FIELD_NAMES,
    MODEL_PROPERTIES,
    ORIGIN_PROPERTIES,
    add_property,
    card_property,
    read_data,
    read_model_card,
    read_origins,
)
from projections.bom.read_facts import (
    Collector,
    Json,
    Names,
    content_digest,
    day,
    hash_key,
    items,
    joined,
    many,
    record,
    records,
    string,
    text,
    time,
)

_MODEL = "machine-learning-model"
_KINDS = {
    _MODEL: "model",
    "data": "data",
    "file": "file",
    "device": "device",
    "platform": "platform",
}  # any other type is a package
_FIELDS = {
    "version": "version",
    "purl": "purl",
    "description": "description",
    "copyright": "copyright",
    "cpe": "identifier",
    "type": "purpose",
}
_DOCUMENT_PROPERTIES = {
    "soup:renderer": "renderer",
    "soup:ledger:origin": "ledger.origin",
    "soup:ledger:position": "ledger.position",
    "soup:ledger:entry": "ledger.entry",
    "soup:command": "command",
}
_COMPONENT_PROPERTIES = {
    "soup:size": "size",
    "soup:digest:of": "hashed",
    "soup:released": "released",
    "soup:purl": "purl",
    "soup:dataset:role": "role",
    "soup:run:data:role": "role",
    "soup:dataset:types": "data_type",
    "soup:dataset:released": "released",
    "soup:dataset:built": "built",
    "soup:dataset:confidentiality": "confidentiality",
    "soup:dataset:personal-information": "personal_information",
    "soup:dataset:anonymization": "anonymization",
    "soup:dataset:collection": "collection",
    "soup:dataset:preprocessing": "preprocessing",
    "soup:dataset:noise": "noise",
    "soup:dataset:known-bias": "known_bias",
    "soup:dataset:availability": "availability",
    "soup:dataset:update-mechanism": "update_mechanism",
    "soup:dataset:intended-use": "intended_use",
    "soup:dataset:sensors": "sensor",
    "soup:dataset:languages": "language",
}
_DIGEST_ORIGIN = "soup:digest:origin"


def read_cyclonedx(content: Json, found: Collector) -> None:
    """Take every fact of a document."""
    metadata = record(content.get("metadata"))
    _document(content, metadata, found)
    things = _Things(content, metadata, found)
    things.read()
    _dependencies(content, things.names, found)
    _formulation(content, found)
    for each, where in records(content.get("vulnerabilities"), "/vulnerabilities"):
        found.add("model", "vulnerability", each.get("id"), f"{where}/id")


def _document(content: Json, metadata: Json, found: Collector) -> None:
    found.add("document", "id", content.get("serialNumber"), "/serialNumber")
    found.add("document", "issue", content.get("version"), "/version")
    found.add("document", "created", time(metadata.get("timestamp")), "/metadata/timestamp")
    for each, where in records(metadata.get("lifecycles"), "/metadata/lifecycles"):
        found.add("document", "lifecycle", each.get("phase", each.get("name")), where)
    if content.get("signature"):
        found.add("document", "signature", "JSF", "/signature")
    _authors(metadata, found)
    _licences(metadata, "document", "/metadata", found, "data_licence")
    _tools(metadata.get("tools"), found)
    for name, value, where in _properties(metadata, "/metadata"):
        _document_property(name, value, where, found)


def _authors(metadata: Json, found: Collector) -> None:
    """Take who made the document, and who supplied what it is about, which stands beside them."""
    _people({"authors": metadata.get("authors")}, "document", "/metadata", found)
    for field in ("manufacturer", "manufacture"):  # "the organization that created the BOM"
        maker = record(metadata.get(field))
        found.add("document", "author", maker.get("name"), f"/metadata/{field}/name")
        for each, where in records(maker.get("contact"), f"/metadata/{field}/contact"):
            found.add("document", "contact", each.get("email"), where)
    _people({"supplier": metadata.get("supplier")}, "model", "/metadata", found)


def _tools(tools: object, found: Collector) -> None:
    """Take the tools: a list in 1.4, components and services since 1.5."""
    old = isinstance(tools, list)
    listed = tools if old else record(tools).get("components")
    for each, where in records(listed, "/metadata/tools" if old else "/metadata/tools/components"):
        said = joined((each.get("name"), each.get("version")))
        found.add("document", "tool", said, where, key=text(each.get("name")))
        found.add("document", "tool_version", each.get("version"), where, key=text(each.get("name")))


def _document_property(name: str, value: Any, where: str, found: Collector) -> None:
    if name in MODEL_PROPERTIES:
        add_property(MODEL_PROPERTIES[name], value, where, found)
    elif name in ORIGIN_PROPERTIES:
        read_origins(value, ORIGIN_PROPERTIES[name], found)
    elif name in _DOCUMENT_PROPERTIES:
        found.add("document", _DOCUMENT_PROPERTIES[name], value, where)
    elif name == "hyperparameter":
        card_property(name, value, where, found)
    elif name not in ECHOES:
        found.add("document", "property", value, where, key=name)


class _Things:
    """The components, each under its own name; `names` leads from bom-refs to them."""

    def __init__(self, content: Json, metadata: Json, found: Collector) -> None:
        self.names: dict[str, str] = {}
        self._found = found
        self._give = Names()
        self._listed = [*records(content.get("components"), "/components")]
        self._model, self._where = _model_of(record(metadata.get("component")), self._listed)
        self._others = [(record(metadata.get("component")), "/metadata/component")]
        self._bases: dict[tuple[str | None, ...], str] = {}
        self._data: dict[str, str] = {}

    def read(self) -> None:
        self._component(self._model, "model", self._where)
        same = _identity(self._model)
        for each, where in records(
            record(self._model.get("pedigree")).get("ancestors"), f"{self._where}/pedigree/ancestors"
        ):
            self._base(each, where)
        for each, where in (*self._others, *self._listed):
            if not each or each is self._model:
                continue
            if each.get("type") == self._model.get("type") and _identity(each) == same:
                self._component(each, "model", where)
            elif _identity(each) in self._bases:
                self._component(each, self._bases[_identity(each)], where)
            else:
                self._component(each, self._name(each), where)
        read_model_card(record(self._model.get("modelCard")), f"{self._where}/modelCard", self._found)
        self._datasets()

    def _base(self, ancestor: Json, where: str) -> None:
        about = self._bases.setdefault(
            _identity(ancestor), self._give.give("base", text(ancestor.get("name"))) if self._bases else "base"
        )
        self._component(ancestor, about, where)
        name = _full_name(ancestor)
        self._found.add("model", "derived_from", name, where)

    def _name(self, component: Json, parent: str | None = None) -> str:
        kind = _KINDS.get(string(component.get("type")), "package")
        if kind == "model":
            return self._give.give("other-model", text(component.get("name")))
        name = text(component.get("name"))
        if kind == "data":
            types = {string(each.get("type")) for each, _ in records(component.get("data"), "")}
            kind = "config" if types == {"configuration"} else "data"
            about = self._give.give(kind, name)
            if name and kind == "data":
                self._data.setdefault(name, about)
            return about
        nested = kind == "file" and parent and not parent.startswith("file/")
        return self._give.give(kind, f"{parent}/{name}" if nested else name)

    def _component(self, component: Json, about: str, where: str) -> None:
        reference = component.get("bom-ref")
        if isinstance(reference, str):
            self.names.setdefault(reference, about)
        _facts_of(component, about, where, self._found)
        for index, each in enumerate(items(component.get("data"))):
            read_data(record(each), about, f"{where}/data/{index}", self._found)
        for each, there in records(component.get("components"), f"{where}/components"):
            self._component(each, self._name(each, about), there)

    def _datasets(self) -> None:
        """Inline data sets of the model card, and what the references among them say."""
        parameters = record(record(self._model.get("modelCard")).get("modelParameters"))
        for each, where in records(parameters.get("datasets"), f"{self._where}/modelCard/modelParameters/datasets"):
            about = self.names.get(string(each.get("ref")))
            if about is None and "ref" not in each:
                name = text(each.get("name"))
                about = self._data.get(name or "") or self._give.give("data", name)
                read_data(each, about, where, self._found)
                self._found.add(about, "name", name, where)
            if about:
                self._found.add(about, "used_by", "model", where)


def _model_of(subject: Json, listed: list[tuple[Json, str]]) -> tuple[Json, str]:
    """Give the model: the document's subject, or the first model listed that is nobody's ancestor."""
    if subject.get("type") != _MODEL:
        ancestors = {
            _identity(ancestor)
            for each, _ in listed
            for ancestor, _ in records(record(each.get("pedigree")).get("ancestors"), "")
        }
        for each, where in listed:
            if each.get("type") == _MODEL and _identity(each) not in ancestors:
                return each, where
    return subject, "/metadata/component"


def _identity(component: Json) -> tuple[str | None, ...]:
    return text(component.get("group")), text(component.get("name")), text(component.get("version"))


def _full_name(component: Json) -> str | None:
    return joined((component.get("group"), component.get("name")), "/")


def _facts_of(component: Json, about: str, where: str, found: Collector) -> None:
    """Take what a component says of itself, of whatever type it is."""
    if about == "model":
        found.add(about, "name", component.get("name"), f"{where}/name")
        found.add(about, "group", component.get("group"), f"{where}/group")
    else:
        found.add(about, "name", _full_name(component), f"{where}/name")
    for field, name in _FIELDS.items():
        found.add(about, name, component.get(field), f"{where}/{field}")
    for field in ("swhid", "omniborId"):
        found.add_all(about, "identifier", component.get(field), f"{where}/{field}")
    _people(component, about, where, found)
    _licences(component, about, where, found)
    for each, there in records(component.get("hashes"), f"{where}/hashes"):
        digest = string(each.get("content")).lower()
        found.add(about, "hash", digest, there, key=hash_key(each.get("alg")))
    for each, there in records(component.get("externalReferences"), f"{where}/externalReferences"):
        _reference(each, about, there, found)
    notes = record(component.get("releaseNotes"))
    found.add(about, "released", day(notes.get("timestamp")), f"{where}/releaseNotes/timestamp")
    for name, value, there in _properties(component, where):
        _property(about, name, value, there, found)


def _reference(reference: Json, about: str, where: str, found: Collector) -> None:
    kind, url = text(reference.get("type")), reference.get("url")
    if kind == "distribution":
        found.add(about, "location", url, where)
    elif kind == "bom":
        hashes = [string(each.get("content")) for each, _ in records(reference.get("hashes"), where)]
        found.add(about, "parent", hashes[0] if hashes else url, where)
    else:
        policy = kind == "other" and reference.get("comment") == "security policy"
        found.add(about, "link", content_digest(url), where, key="security-policy" if policy else kind)


def _property(about: str, name: str, value: Any, where: str, found: Collector) -> None:
    if name in _COMPONENT_PROPERTIES:
        found.add(about, _COMPONENT_PROPERTIES[name], value, where)
    elif name in MODEL_PROPERTIES and about == "model":
        add_property(MODEL_PROPERTIES[name], value, where, found)
    elif name == _DIGEST_ORIGIN:
        found.originate(about, "hash", text(value))
    elif name in ORIGIN_PROPERTIES:
        for field in string(value).split(", "):
            found.originate(about, FIELD_NAMES.get(field, field), ORIGIN_PROPERTIES[name])
    else:
        found.add(about, "property", value, where, key=name)


def _properties(holder: Json, where: str) -> Iterator[tuple[str, Any, str]]:
    for each, there in records(holder.get("properties"), f"{where}/properties"):
        yield string(each.get("name")), each.get("value"), there


def _people(holder: Json, about: str, where: str, found: Collector) -> None:
    """Who supplies, makes and writes it; `manufacture` and `author` are 1.4's and 1.5's words."""
    for name, field in (("supplier", "supplier"), ("producer", "manufacturer"), ("producer", "manufacture")):
        organization = record(holder.get(field))
        found.add(about, name, organization.get("name"), f"{where}/{field}/name")
        found.add_all(about, "contact", organization.get("url"), f"{where}/{field}/url")
        for each, there in records(organization.get("contact"), f"{where}/{field}/contact"):
            found.add(about, "contact", each.get("email"), there)
    for each, there in records(holder.get("authors"), f"{where}/authors"):
        found.add(about, "author", each.get("name", each.get("email")), there)
        found.add(about, "contact", each.get("email"), there)
    for field in ("author", "publisher"):
        found.add(about, "author" if field == "author" else "producer", holder.get(field), f"{where}/{field}")


def _licences(holder: Json, about: str, where: str, found: Collector, name: str = "licence") -> None:
    for each, there in records(holder.get("licenses"), f"{where}/licenses"):
        licence = record(each.get("license"))
        said = each.get("expression") or licence.get("id") or licence.get("name")
        concluded = "concluded" in (each.get("acknowledgement"), licence.get("acknowledgement"))
        found.add(about, "licence_concluded" if concluded and name == "licence" else name, said, there)


def _dependencies(content: Json, names: dict[str, str], found: Collector) -> None:
    """Take the graph. Models, data and files stand in it too; what they are to the model is said elsewhere."""
    edges = 0
    for each, where in records(content.get("dependencies"), "/dependencies"):
        targets = [target for target in items(each.get("dependsOn")) if isinstance(target, str)]
        edges += len(targets)
        about = names.get(string(each.get("ref")))
        for target in targets:
            thing = names.get(target, target)
            if about and thing.startswith("package/"):
                found.add("model" if about.startswith("platform/") else about, "depends_on", thing, where)
    if edges:
        found.add("document", "relations", edges, "/dependencies")


def _formulation(content: Json, found: Collector) -> None:
    """Take the run: when it was, what was executed, with which parameters."""
    for formula, where in records(content.get("formulation"), "/formulation"):
        for flow, there in records(formula.get("workflows"), f"{where}/workflows"):
            found.add("run", "identifier", flow.get("uid"), f"{there}/uid")
            found.add("run", "started", time(flow.get("timeStart")), f"{there}/timeStart")
            found.add("run", "finished", time(flow.get("timeEnd")), f"{there}/timeEnd")
            for step, place in records(flow.get("steps"), f"{there}/steps"):
                for command in many(step.get("commands")):
                    found.add("run", "executed", record(command).get("executed"), f"{place}/commands")
            for given, place in records(flow.get("inputs"), f"{there}/inputs"):
                for each, spot in records(given.get("parameters"), f"{place}/parameters"):
                    found.add("run", "setting", each.get("value"), spot, key=text(each.get("name")))
                for each, spot in records(given.get("environmentVars"), f"{place}/environmentVars"):
                    found.add("run", "environment", each.get("value"), spot, key=text(each.get("name")))
            for name, value, spot in _properties(flow, there):
                found.add("run", "property", value, spot, key=name)
