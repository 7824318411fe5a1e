"""SPDX 2.3: facts to the bytes of a JSON document.

What is true:

* Same facts, same bytes: the document namespace ends in a UUIDv5 of the entry that explains the document, every time is
  that event's, to the second, as SPDX wants it.
* SPDX 2.3 knows neither models nor data sets: their purpose is OTHER, and annotations keyed `ai:` carry what the AI
  and Dataset profiles of SPDX 3.0 have fields for, `soup:` what leads back to the ledger. An annotation at each package
  says whether its digest was observed, declared or is unknown.
* Identifiers come from role and order. Texts of one line stay on one line (a newline in a name would forge fields in
  the tag-value form); the annotation `soup:name` then has the name in full.
* The files of a directory are packages of purpose FILE: a File element must carry a SHA-1 (SPDX 2.3, 8.4), which soup
  does not compute. `filesAnalyzed` is false throughout: no file was searched for licences.
* What nobody recorded is NOASSERTION.

It does not know the ledger, and it does not validate; `projections.bom.validate` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
from spdx_tools.spdx.model import Actor, ActorType, CreationInfo, Document, Relationship, RelationshipType

from projections.bom import spdx_remarks
from projections.bom.encode import encode
from projections.bom.spdx2_packages import (
    Annotator,
    Licences,
    file_package,
    installed_package,
    line,
    organization,
    part_package,
    person,
    spdx_id,
)
from projections.bom.spdx_profiles import is_evaluation
from projections.bom.spdx_software import Installed, installed
from projections.facts import BomFacts, Part, document_uuid, parts

RENDERER = "spdx2/2"
MEDIA_TYPE = "application/spdx+json; version=2.3"

Json = dict[str, Any]

_DOCUMENT = "SPDXRef-DOCUMENT"
_COMMENT = (
    "SPDX 2.3 has no elements for models and data sets. Annotations keyed 'ai:' mirror fields of the AI and Dataset profiles "
    "of SPDX 3.0; annotations keyed 'soup:' say where a fact comes from and lead to its entry in the ledger."
)
_BUILD_CONTEXT = "Generation context: build. The facts were recorded while the model was made."
_UNRELATED = "Given together with the model; how it relates to it was not stated."


def render(facts: BomFacts) -> bytes:
    """Return the document that says `facts`, as indented UTF-8 JSON."""
    found, software = parts(facts), installed(facts)
    licences, annotator = Licences(), Annotator(facts)
    packages = [part_package(facts, part, licences, annotator) for part in found]
    for part, package in zip(found, tuple(packages), strict=True):
        packages += [file_package(ref, file, package, annotator) for ref, file in part.files]
    if facts.environment:
        position = facts.environment.position
        packages += [installed_package(each, position, licences, annotator) for each in software]
    document: Json = DocumentConverter().convert(
        Document(
            _creation_info(facts),
            relationships=[*_relationships(facts, found), *_dependencies(found, software)],
            extracted_licensing_info=licences.unlisted,
        )
    )
    document["annotations"] = annotator.annotations({}, spdx_remarks.of_document(facts, RENDERER))
    document["packages"] = packages
    return encode(document)


def _creation_info(facts: BomFacts) -> CreationInfo:
    return CreationInfo(
        spdx_version="SPDX-2.3",
        spdx_id=_DOCUMENT,
        name=line(f"{facts.name}-{facts.version}"),
        # SPDX 2.3, 6.5.1: the form for creators without a web site of their own.
        document_namespace=f"https://spdx.org/spdxdocs/soup-{document_uuid(facts, 'spdx')}",
        creators=[Actor(ActorType.TOOL, f"soup-{line(facts.soup_version)}"), *_creators(facts)],
        created=facts.declared_at,
        creator_comment=_BUILD_CONTEXT if facts.run else None,
        document_comment=_COMMENT,
    )


def _creators(facts: BomFacts) -> Iterator[Actor]:
    said = facts.said.document
    if said.supplier:
        yield organization(said.supplier)
    yield from (person(author.name, author.email) for author in said.authors if author.name)


def _relationships(facts: BomFacts, found: tuple[Part, ...]) -> Iterator[Relationship]:
    model, *others = found
    yield Relationship(_DOCUMENT, RelationshipType.DESCRIBES, spdx_id(model.ref))
    # What the model was made from is described, too: readers that follow only the commonest relations find nothing else.
    for part in others:
        if part.artifact.role != "base":
            yield Relationship(_DOCUMENT, RelationshipType.DESCRIBES, spdx_id(part.ref))
    yield from (_to_model(facts, spdx_id(model.ref), part) for part in others)
    for part in found:
        for ref, _ in part.files:
            yield Relationship(spdx_id(part.ref), RelationshipType.CONTAINS, spdx_id(ref))


def _to_model(facts: BomFacts, model: str, part: Part) -> Relationship:
    # SPDX 2.3, 11.1. Training data is a BUILD_DEPENDENCY_OF: DATA_FILE_OF would place it inside the model.
    this = spdx_id(part.ref)
    if part.artifact.role == "base":
        return Relationship(model, RelationshipType.DESCENDANT_OF, this)
    if part.artifact.role == "artifact":
        return Relationship(model, RelationshipType.OTHER, this, _UNRELATED)
    if part.artifact.role == "data" and is_evaluation(facts, part.artifact):
        return Relationship(this, RelationshipType.TEST_OF, model)
    return Relationship(this, RelationshipType.BUILD_DEPENDENCY_OF, model)


def _dependencies(found: tuple[Part, ...], software: tuple[Installed, ...]) -> Iterator[Relationship]:
    model, *others = found
    described = model.artifact.described
    if described and described.value.format == "peft-adapter":  # of no use without the weights that it adapts
        for base in (part for part in others if part.artifact.role == "base"):
            yield Relationship(spdx_id(model.ref), RelationshipType.DEPENDS_ON, spdx_id(base.ref))
    for each in software:
        yield Relationship(spdx_id(model.ref), RelationshipType.DEPENDS_ON, spdx_id(each.ref))
    for each in software:
        for required in each.requires:
            yield Relationship(spdx_id(each.ref), RelationshipType.DEPENDS_ON, spdx_id(required))
