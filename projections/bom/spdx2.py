"""SPDX 2.3: facts to the bytes of a JSON document.

What is true:

* Same facts, same bytes: the document namespace ends in a UUIDv5 of the entry that explains the document, every time is
  that event's, to the second, as SPDX wants it.
* SPDX 2.3 knows neither models nor data sets: their purpose is OTHER, and annotations keyed `ai:` carry what the AI
  profile of SPDX 3.0 has fields for, `soup:` what leads back to the ledger. An annotation at each package says whether
  its digest was observed, declared or is unknown.
* Identifiers come from role and order. Texts of one line stay on one line (a newline in a name would forge fields in
  the tag-value form); the annotation `soup:name` then has the name in full.
* The files of a directory are packages of purpose FILE: a File element must carry a SHA-1 (SPDX 2.3, 8.4), which soup
  does not compute. `filesAnalyzed` is false throughout: no file was searched for licences.
* What nobody recorded is NOASSERTION.

It does not know the ledger, and it does not validate; `projections.bom.validate` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from license_expression import LicenseExpression, LicenseSymbol
from spdx_tools.spdx.jsonschema.annotation_converter import AnnotationConverter
from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    Annotation,
    AnnotationType,
    Checksum,
    ChecksumAlgorithm,
    CreationInfo,
    Document,
    ExtractedLicensingInfo,
    Package,
    PackagePurpose,
    Relationship,
    RelationshipType,
    SpdxNoAssertion,
)

from projections.bom.encode import encode
from projections.bom.facts import BomFacts, Part, Role, document_uuid, parts
from projections.bom.licence import known_to_spdx_tools, parse_expression, recognise

RENDERER = "spdx2/1"
MEDIA_TYPE = "application/spdx+json; version=2.3"

Json = dict[str, Any]

_DOCUMENT = "SPDXRef-DOCUMENT"
_LICENCE_REF = "LicenseRef-soup-declared"
_COMMENT = (
    "SPDX 2.3 has no elements for models and data sets. Annotations keyed 'ai:' mirror fields of the AI profile of "
    "SPDX 3.0; annotations keyed 'soup:' say where a fact comes from and lead to its entry in the ledger."
)
# SPDX 3.0's words for what 2.3's primaryPackagePurpose cannot say.
_PURPOSES: dict[Role, str] = {"model": "model", "base": "model", "config": "configuration", "data": "data"}
# From the other part to the model, but for the base, of which the model is the descendant (SPDX 2.3, 11.1). Training
# data is a BUILD_DEPENDENCY_OF: DATA_FILE_OF would place it inside the model.
_RELATIONS: dict[Role, RelationshipType] = {
    "config": RelationshipType.BUILD_DEPENDENCY_OF,
    "data": RelationshipType.BUILD_DEPENDENCY_OF,
}
_NOT_ONE_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def render(facts: BomFacts) -> bytes:
    """Return the document that says `facts`, as indented UTF-8 JSON."""
    found = parts(facts)
    soup = Actor(ActorType.TOOL, f"soup-{_line(facts.soup_version)}")
    licence, unlisted = _licence(facts.license)
    document: Json = DocumentConverter().convert(
        Document(
            _creation_info(facts, soup),
            packages=[_package(part, licence if part.artifact.role == "model" else None) for part in found],
            annotations=[
                _annotation(facts, soup, spdx_id, comment)
                for spdx_id, comment in (*_about_document(facts), *_about_parts(facts, found))
            ],
            relationships=[*_relationships(found)],
            extracted_licensing_info=unlisted,
        )
    )
    document["packages"] += _files(facts, soup, found)
    return encode(document)


def _creation_info(facts: BomFacts, soup: Actor) -> CreationInfo:
    return CreationInfo(
        spdx_version="SPDX-2.3",
        spdx_id=_DOCUMENT,
        name=_line(f"{facts.name}-{facts.version}"),
        # SPDX 2.3, 6.5.1: the form for creators without a web site of their own.
        document_namespace=f"https://spdx.org/spdxdocs/soup-{document_uuid(facts, 'spdx')}",
        creators=[soup],
        created=facts.declared_at,
        document_comment=_COMMENT,
    )


def _package(part: Part, licence: LicenseExpression | None) -> Package:
    artifact = part.artifact
    is_file = artifact.kind == "file" and artifact.role in ("config", "data")
    return Package(
        spdx_id=_spdx_id(part.ref),
        name=_line(part.name),
        version=_line(part.version) if part.version else None,
        file_name=_line(artifact.name) if artifact.kind else None,
        download_location=SpdxNoAssertion(),
        supplier=SpdxNoAssertion(),
        files_analyzed=False,
        checksums=[Checksum(ChecksumAlgorithm.SHA256, artifact.digest.sha256)] if artifact.digest else [],
        license_concluded=SpdxNoAssertion(),
        license_declared=SpdxNoAssertion() if licence is None else licence,  # an expression has no truth value
        copyright_text=SpdxNoAssertion(),
        primary_package_purpose=PackagePurpose.FILE if is_file else PackagePurpose.OTHER,
    )


def _licence(declared: str | None) -> tuple[LicenseExpression | None, list[ExtractedLicensingInfo]]:
    """Return the licence as SPDX says it, and its definition where the SPDX License List has none."""
    if declared is None:
        return None, []
    licence = recognise(declared)
    if licence.kind == "expression":
        return parse_expression(licence.text), []
    if licence.kind == "id" and known_to_spdx_tools(licence.text):
        return LicenseSymbol(licence.text), []
    unlisted = ExtractedLicensingInfo(
        license_id=_LICENCE_REF,
        license_name=_line(licence.text),
        extracted_text="Declared by name only; the text of the licence was not recorded.",
    )
    return LicenseSymbol(_LICENCE_REF), [unlisted]


def _about_document(facts: BomFacts) -> Iterator[tuple[str, str]]:
    yield _DOCUMENT, f"soup:renderer: {RENDERER}"
    yield _DOCUMENT, f"soup:ledger:origin: {facts.ledger_origin}"
    yield _DOCUMENT, f"soup:ledger:position: {facts.position}"
    yield _DOCUMENT, f"soup:ledger:entry: {facts.seed}"
    yield _DOCUMENT, f"soup:command: {facts.command_id}"


def _about_parts(facts: BomFacts, found: tuple[Part, ...]) -> Iterator[tuple[str, str]]:
    for part in found:
        artifact, spdx_id = part.artifact, _spdx_id(part.ref)
        yield spdx_id, f"ai:primaryPurpose: {_PURPOSES[artifact.role]}"
        if artifact.role == "model" and facts.task:
            yield spdx_id, f"ai:informationAboutTraining: fine-tuning task, as declared: {facts.task}"
        yield from ((spdx_id, comment) for comment in _about_bytes(part.name, part.origin, artifact.size))
        if part.hashed:
            yield spdx_id, f"soup:digest:of: {part.hashed}"


def _about_bytes(name: str, origin: str, size: int | None) -> Iterator[str]:
    yield f"soup:digest:origin: {origin}"
    if size is not None:
        yield f"soup:size: {size}"
    if _line(name) != name:
        yield f"soup:name: {json.dumps(name)}"


def _relationships(found: tuple[Part, ...]) -> Iterator[Relationship]:
    model, *others = found
    yield Relationship(_DOCUMENT, RelationshipType.DESCRIBES, _spdx_id(model.ref))
    for part in others:
        if part.artifact.role == "base":
            yield Relationship(_spdx_id(model.ref), RelationshipType.DESCENDANT_OF, _spdx_id(part.ref))
        else:
            yield Relationship(_spdx_id(part.ref), _RELATIONS[part.artifact.role], _spdx_id(model.ref))
    for part in found:
        for ref, _ in part.files:
            yield Relationship(_spdx_id(part.ref), RelationshipType.CONTAINS, _spdx_id(ref))


def _files(facts: BomFacts, soup: Actor, found: tuple[Part, ...]) -> Iterator[Json]:
    # Dicts, since the library looks through all annotations for each package: 1,000 files took it 0.5 s.
    for part in found:
        for ref, file in part.files:
            spdx_id = _spdx_id(ref)
            about = (_annotation(facts, soup, spdx_id, said) for said in _about_bytes(file.path, "observed", file.size))
            yield {
                "SPDXID": spdx_id,
                "name": _line(file.path),
                "downloadLocation": "NOASSERTION",
                "filesAnalyzed": False,
                "checksums": [{"algorithm": "SHA256", "checksumValue": file.sha256}],
                "primaryPackagePurpose": "FILE",
                "annotations": [AnnotationConverter().convert(annotation) for annotation in about],
            }


def _annotation(facts: BomFacts, soup: Actor, spdx_id: str, comment: str) -> Annotation:
    return Annotation(spdx_id, AnnotationType.OTHER, soup, facts.declared_at, _line(comment))


def _spdx_id(ref: str) -> str:
    return f"SPDXRef-{ref}"


def _line(text: str) -> str:
    return _NOT_ONE_LINE.sub("\ufffd", text)
