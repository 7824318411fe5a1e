"""Whether a document is what its format says it should be.

Two answers, for two moments:

* `check` runs at every emission, in milliseconds. CycloneDX is held against the official 1.6 schema that ships inside
  cyclonedx-python-lib; SPDX against a profile of 2.3 that allows what soup emits and nothing else, since neither
  spdx-tools nor any schema it ships can be loaded as fast. Both also against what no schema can say: every identifier
  is unique and every reference meets one.
* `check_strict` runs the libraries' own validators, for documents of any origin. It needs the package jsonschema, whose
  import alone costs more than an emission.

Schemas are read from installed packages and never from the network. A check returns nothing or raises.

It does not know what a document should say, only how; whether it is true is for `soup bom verify` and the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

import cyclonedx
import jsonschema_rs

from projections.errors import InvalidDocumentError, ProjectionError, ValidatorMissingError

MediaKind = Literal["cyclonedx", "spdx"]

_HERE = Path(__file__).parent
_SCHEMAS = Path(cyclonedx.__file__).parent / "schema" / "_res"
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
    if media_kind == "spdx":
        profile = json.loads((_HERE / "spdx-2.3-profile.schema.json").read_bytes())
        return jsonschema_rs.Draft7Validator(profile, validate_formats=True, offline=True)
    schema = json.loads((_SCHEMAS / "bom-1.6.SNAPSHOT.schema.json").read_bytes())
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


def _strict_cyclonedx(document: bytes) -> None:
    from cyclonedx.exception import MissingOptionalDependencyException
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    try:
        finding = JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.decode())
    except MissingOptionalDependencyException as error:
        raise ValidatorMissingError("CycloneDX", "jsonschema[format-nongpl]") from error
    if finding:
        raise InvalidDocumentError("cyclonedx", _pointer(finding.data.absolute_path), finding.data.message)


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


def _pointer(path: Any) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


_REFERENCES: dict[MediaKind, Callable[[Any], tuple[Located, Located]]] = {
    "cyclonedx": _cyclonedx_references,
    "spdx": _spdx_references,
}
_STRICT: dict[MediaKind, Callable[[bytes], None]] = {"cyclonedx": _strict_cyclonedx, "spdx": _strict_spdx}
