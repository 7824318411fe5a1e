"""Whether a document is what its format says it should be.

Two answers, for two moments:

* `check` runs at every emission, in milliseconds. CycloneDX is held against the official schema of 1.6 or 1.7 that ships
  inside cyclonedx-python-lib; SPDX 2.3 and 3.0.1 against profiles that allow what soup emits and nothing else, since no
  library that soup needs ships the official schemas, and none of their validators loads as fast. All also against what no
  schema can say: every identifier is unique and every reference meets one.
* `check_strict` runs the libraries' own validators, for documents of any origin. For CycloneDX it needs the package
  jsonschema, whose import alone costs more than an emission. For SPDX 3.0.1 the bindings read and write the document, which
  checks types, enumerations and cardinalities; where the package lib4sbom is installed, its copy of the official schema is used
  as well. SHACL is left to validators that are made for it.

Schemas are read from installed packages and never from the network. A check returns nothing or raises.

It does not know what a document should say, only how; whether it is true is for `soup bom verify` and the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import cyclonedx
import jsonschema_rs

from projections.errors import InvalidDocumentError, ProjectionError, ValidatorMissingError

MediaKind = Literal["cyclonedx", "cyclonedx17", "spdx", "spdx3"]

_HERE = Path(__file__).parent
_SCHEMAS = Path(cyclonedx.__file__).parent / "schema" / "_res"
_VERSIONS: dict[MediaKind, str] = {"cyclonedx": "1.6", "cyclonedx17": "1.7"}
_PROFILES: dict[MediaKind, str] = {"spdx": "spdx-2.3-profile.schema.json", "spdx3": "spdx-3.0.1-profile.schema.json"}
_REFERRED = ("spdx", "jsf-0.82", "cryptography-defs")  # by the CycloneDX schema, relative to its own $id


def check(media_kind: MediaKind, document: bytes) -> None:
    """Raise InvalidDocumentError with the first finding, unless `document` is one that soup may emit."""
    content = _parse(media_kind, document)
    try:
        _validator(media_kind).validate(content)
    except jsonschema_rs.ValidationError as error:
        raise InvalidDocumentError(media_kind, _pointer(error.instance_path), error.message) from error
    except ValueError as error:  # nested too deeply, or a lone surrogate
        raise InvalidDocumentError(media_kind, "", str(error)) from error
    identifiers, references = _REFERENCES[media_kind](content)
    seen: set[str] = set()
    for path, identifier in identifiers:
        if identifier in seen:
            raise InvalidDocumentError(media_kind, path, f"{identifier!r} is given twice")
        seen.add(identifier)
    for path, reference in references:
        if reference not in seen:
            raise InvalidDocumentError(media_kind, path, f"{reference!r} is nothing in this document")


def check_strict(media_kind: MediaKind, document: bytes) -> None:
    """Raise InvalidDocumentError unless the strict validator of the format's Python library accepts `document`.

    ValidatorMissingError where that validator is not installed.
    """
    _parse(media_kind, document)
    try:
        _STRICT[media_kind](document)
    except ProjectionError:
        raise
    except Exception as error:  # both validators trust what they meet: whatever they raise on it is a finding
        raise InvalidDocumentError(media_kind, "", f"{type(error).__name__}: {error}") from error


def _parse(media_kind: MediaKind, document: bytes) -> Any:
    try:
        return json.loads(document.decode(), object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidDocumentError(media_kind, "", f"not JSON: {error}") from error


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers disagree on which of two equal keys counts (RFC 8259, section 4): such a document says two things.
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return content


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


@cache
def _validator(media_kind: MediaKind) -> jsonschema_rs.Draft7Validator:
    if media_kind in _PROFILES:
        profile = json.loads((_HERE / _PROFILES[media_kind]).read_bytes())
        return jsonschema_rs.Draft7Validator(profile, validate_formats=True, offline=True)
    schema = json.loads((_SCHEMAS / f"bom-{_VERSIONS[media_kind]}.SNAPSHOT.schema.json").read_bytes())
    referred = [
        (f"http://cyclonedx.org/schema/{name}", json.loads((_SCHEMAS / name).read_bytes()))
        for name in (f"{stem}.SNAPSHOT.schema.json" for stem in _REFERRED)
    ]
    registry = jsonschema_rs.Registry(referred, draft=jsonschema_rs.Draft7)
    return jsonschema_rs.Draft7Validator(schema, registry=registry, validate_formats=True, offline=True)


Located = Iterator[tuple[str, str]]  # JSON Pointer, identifier


def _cyclonedx_references(content: Any) -> tuple[Located, Located]:
    nodes = [*_walk(content)]
    identifiers = ((f"{path}/bom-ref", node["bom-ref"]) for path, node in nodes if "bom-ref" in node)
    references = (
        (f"{path}/{key}", reference)
        for path, node in nodes
        for key in ("ref", "dependsOn", "assemblies", "dependencies")
        for reference in _texts(node.get(key))
        if not reference.startswith("urn:cdx:")  # a BOM-Link: into another document
    )
    return identifiers, references


def _walk(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object of `content` with its JSON Pointer; own stack, for strangers nest at will."""
    pending: list[tuple[str, Any]] = [("", content)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, dict):
            yield path, value
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        pending += ((path + _pointer([step]), child) for step, child in children)


def _texts(value: Any) -> list[str]:
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]


def _spdx_references(content: Any) -> tuple[Located, Located]:
    def references() -> Located:
        for index, relationship in enumerate(content["relationships"]):
            for key in ("spdxElementId", "relatedSpdxElement"):
                yield f"/relationships/{index}/{key}", relationship[key]

    packages = ((f"/packages/{index}/SPDXID", package["SPDXID"]) for index, package in enumerate(content["packages"]))
    return iter([("/SPDXID", content["SPDXID"]), *packages]), references()


_SPDX3_UNKNOWN = "expandedlicensing_NoAssertionLicense"  # the standard's own element, which no document defines
_SPDX3_REFERENCES = (
    "createdBy",
    "createdUsing",
    "creationInfo",
    "dataLicense",
    "element",
    "from",
    "originatedBy",
    "rootElement",
    "subject",
    "suppliedBy",
    "to",
)


def _spdx3_references(content: Any) -> tuple[Located, Located]:
    graph = [(f"/@graph/{index}", element) for index, element in enumerate(content["@graph"])]
    documents = [path for path, element in graph if element["type"] == "SpdxDocument"]
    if len(documents) != 1:  # SPDX 3.0.1, class SpdxDocument
        raise InvalidDocumentError("spdx3", "".join(documents[1:2]), f"{len(documents)} SpdxDocument elements, not one")

    def identifiers() -> Located:
        for path, element in graph:
            key = "spdxId" if "spdxId" in element else "@id"
            yield f"{path}/{key}", element[key]

    def references() -> Located:
        for path, element in graph:
            for key in _SPDX3_REFERENCES:
                for reference in _texts(element.get(key)):
                    if reference != _SPDX3_UNKNOWN:
                        yield f"{path}/{key}", reference
            for entry in element.get("simplelicensing_customIdToUri", ()):
                yield f"{path}/simplelicensing_customIdToUri", entry.get("value", "")

    return identifiers(), references()


def _strict_cyclonedx(version: str, document: bytes) -> None:
    from cyclonedx.exception import MissingOptionalDependencyException
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    try:
        finding = JsonStrictValidator(SchemaVersion.from_version(version)).validate_str(document.decode())
    except MissingOptionalDependencyException as error:
        raise ValidatorMissingError("CycloneDX", "jsonschema[format-nongpl]") from error
    if finding:
        raise InvalidDocumentError(f"CycloneDX {version}", _pointer(finding.data.absolute_path), finding.data.message)


def _strict_spdx(document: bytes) -> None:
    from spdx_tools.spdx.parser.error import SPDXParsingError
    from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
    from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

    try:
        findings = validate_full_spdx_document(JsonLikeDictParser().parse(json.loads(document)), "SPDX-2.3")
    except SPDXParsingError as error:
        raise InvalidDocumentError("spdx", "", "; ".join(error.get_messages())) from error
    if findings:
        element = findings[0].context.spdx_id or findings[0].context.parent_id
        raise InvalidDocumentError("spdx", "", f"{element}: {findings[0].validation_message}")


def _strict_spdx3(document: bytes) -> None:
    from spdx_python_model import load_data, v3_0_1

    content = json.loads(document)
    schema = _official_spdx3()
    if schema is not None:
        try:
            schema.validate(content)
        except jsonschema_rs.ValidationError as error:
            raise InvalidDocumentError("spdx3", _pointer(error.instance_path), error.message) from error
    version, objects = load_data(content)
    if version is not v3_0_1:
        raise InvalidDocumentError("spdx3", "/@context", "is not that of SPDX 3.0.1")
    version.JSONLDSerializer().serialize_data(objects)  # the bindings count values when they write, not when they read
    if not any(objects.foreach_type(version.SpdxDocument)):
        raise InvalidDocumentError("spdx3", "/@graph", "has no SpdxDocument")


@cache
def _official_spdx3() -> jsonschema_rs.Draft202012Validator | None:
    """Return the official JSON schema of SPDX 3.0.1, where a package that carries it is installed."""
    package = find_spec("lib4sbom")
    if package is None or package.origin is None:
        return None
    schema = Path(package.origin).parent / "schemas" / "spdx" / "3.0-schema.json"
    return (
        jsonschema_rs.Draft202012Validator(json.loads(schema.read_bytes()), offline=True) if schema.exists() else None
    )


def _pointer(path: Any) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


_REFERENCES: dict[MediaKind, Callable[[Any], tuple[Located, Located]]] = {
    "cyclonedx": _cyclonedx_references,
    "cyclonedx17": _cyclonedx_references,
    "spdx": _spdx_references,
    "spdx3": _spdx3_references,
}
_STRICT: dict[MediaKind, Callable[[bytes], None]] = {
    "cyclonedx": partial(_strict_cyclonedx, "1.6"),
    "cyclonedx17": partial(_strict_cyclonedx, "1.7"),
    "spdx": _strict_spdx,
    "spdx3": _strict_spdx3,
}
