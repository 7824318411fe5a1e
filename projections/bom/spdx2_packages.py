"""SPDX 2.3: the packages of a document, with their annotations.

What is true:

* Texts of one line stay on one line. A line break in prose becomes a space; any other control character, and a line
  break in a name, becomes U+FFFD.
* A package has the fields that something is known for; the six that readers expect say NOASSERTION otherwise.
* A place that is no address in the sense of SPDX 2.3 (7.7, 7.11) is told as an external reference, never as a location.
* The library builds and converts each package. Its own way from document to annotations looks through all of them for each
  package (1,000 files took it 0.5 s), so annotations are laid beside a package here.

It does not know relationships or the document around the packages.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from license_expression import LicenseExpression, LicenseSymbol
from spdx_tools.spdx.jsonschema.package_converter import PackageConverter
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    Checksum,
    ChecksumAlgorithm,
    Document,
    ExternalPackageRef,
    ExternalPackageRefCategory,
    ExtractedLicensingInfo,
    Package,
    PackagePurpose,
    SpdxNoAssertion,
)

from ledger.events.facts import Organization
from projections.bom import spdx_remarks
from projections.bom.licence import known_to_spdx_tools, parse_expression, recognise
from projections.bom.spdx_profiles import (
    PURPOSES,
    About,
    Entry,
    Fields,
    about,
    base_fields,
    dataset_fields,
    energy_fields,
    model_fields,
)
from projections.bom.spdx_software import Installed, purl
from projections.facts import BomFacts, FileFact, Part

Json = dict[str, Any]

_LICENCE_REF = "LicenseRef-soup-declared"
_LONGEST_NAME = 200  # characters of a licence's name; some metadata carry the whole text there
_NOT_ONE_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_FOLDED = re.compile(r"[\t\n\r ]+")
# A host with a domain, as spdx-tools and the specification's own examples have it; all of it printable ASCII.
_WEB = re.compile(
    r"(https?|ssh|git|svn|sftp|ftp)://[a-z0-9]+([-.][a-z0-9]+){0,100}\.[a-z]{2,24}([:/?#][!-~]*)?", re.IGNORECASE
)
_PURL = re.compile(r"pkg:[A-Za-z0-9.+-]+/[!-~]+")
_LOCATOR = re.compile(r"[!-~]+")
_EMAIL = re.compile(r"[^\s()]+")


class Licences:
    """The licences of one document: what the SPDX License List lacks gets a reference, in order of first use."""

    def __init__(self) -> None:
        self._unlisted: dict[str, ExtractedLicensingInfo] = {}

    def named(self, text: str | None) -> LicenseExpression | SpdxNoAssertion:
        """Return the licence as SPDX says it."""
        if not text:
            return SpdxNoAssertion()
        licence = recognise(text)
        if licence.kind == "expression":
            return parse_expression(licence.text)
        if licence.kind == "id" and known_to_spdx_tools(licence.text):
            return LicenseSymbol(licence.text)
        if text not in self._unlisted:
            nth = len(self._unlisted) + 1
            self._unlisted[text] = ExtractedLicensingInfo(
                license_id=_LICENCE_REF if nth == 1 else f"{_LICENCE_REF}-{nth}",
                license_name=line(licence.text[:_LONGEST_NAME]),
                extracted_text="Declared by name only; the text of the licence was not recorded."
                if len(text) <= _LONGEST_NAME
                else prose(text),
            )
        return LicenseSymbol(self._unlisted[text].license_id)

    @property
    def unlisted(self) -> list[ExtractedLicensingInfo]:
        """The definitions of the references."""
        return [*self._unlisted.values()]


class Annotator:
    """Writes annotations of one document: one tool, one time."""

    def __init__(self, facts: BomFacts) -> None:
        self._frame = {
            "annotationDate": f"{facts.declared_at.replace(tzinfo=None, microsecond=0).isoformat()}Z",
            "annotationType": "OTHER",
            "annotator": f"Tool: soup-{line(facts.soup_version)}",
        }

    def annotations(self, ai: Fields, soup: Iterable[Entry]) -> list[Json]:
        """Return the fields under the key `ai:`, one annotation a value, then the remarks under `soup:`."""
        told = [f"ai:{field}: {_value(value)}" for field, values in ai.items() for value in values]
        told += [f"soup:{remark.key}: {remark.value}" for remark in soup]
        return [{**self._frame, "comment": prose(comment)} for comment in told]


def part_package(facts: BomFacts, part: Part, licences: Licences, annotator: Annotator) -> Json:
    """Return the package of a part, annotated."""
    artifact, known = part.artifact, about(facts, part)
    is_file = artifact.kind == "file" and artifact.role in ("config", "data", "artifact")
    package = _converted(
        Package(
            spdx_id=spdx_id(part.ref),
            name=line(known.name),
            version=line(known.version) if known.version else None,
            file_name=line(artifact.name) if artifact.kind else None,
            download_location=_web(known.download) or SpdxNoAssertion(),
            homepage=_web(known.homepage),
            supplier=organization(known.supplier) if known.supplier else SpdxNoAssertion(),
            originator=organization(known.originator) if known.originator else None,
            files_analyzed=False,
            checksums=[Checksum(ChecksumAlgorithm.SHA256, artifact.digest.sha256)] if artifact.digest else [],
            license_concluded=licences.named(known.concluded),
            license_declared=licences.named(known.licence),
            copyright_text=prose(known.copyright) if known.copyright else SpdxNoAssertion(),
            description=prose(known.description) if known.description else None,
            external_references=[*_references(facts, part, known)],
            primary_package_purpose=PackagePurpose.FILE if is_file else PackagePurpose.OTHER,
            release_date=_naive(known.released),
            built_date=_naive(known.built),
        )
    )
    package["annotations"] = annotator.annotations(_fields(facts, part), _remarks(facts, part, known))
    return package


_INHERITED = ("supplier", "versionInfo", "licenseConcluded", "licenseDeclared", "copyrightText")


def file_package(ref: str, file: FileFact, inside: Json, annotator: Annotator) -> Json:
    """Return the package of one file of a directory: what is known of the package that it is `inside` of holds for it, too.

    A dict of our own: there may be thousands.
    """
    remarks = [Entry("digest:origin", "observed"), Entry("size", str(file.size)), *_full_name(file.path)]
    return {
        **{field: inside[field] for field in _INHERITED if field in inside},
        "SPDXID": spdx_id(ref),
        "name": line(file.path),
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": file.sha256}],
        "primaryPackagePurpose": "FILE",
        "annotations": annotator.annotations({}, remarks),
    }


def installed_package(each: Installed, position: int, licences: Licences, annotator: Annotator) -> Json:
    """Return the package of an installed Python distribution, annotated."""
    found = each.package
    package = _converted(
        Package(
            spdx_id=spdx_id(each.ref),
            name=line(found.name),
            version=line(found.version),
            download_location=SpdxNoAssertion(),
            supplier=Actor(ActorType.ORGANIZATION, line(found.supplier)) if found.supplier else SpdxNoAssertion(),
            files_analyzed=False,
            license_concluded=SpdxNoAssertion(),
            license_declared=licences.named(found.license),
            copyright_text=SpdxNoAssertion(),
            external_references=[ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", purl(found))],
            primary_package_purpose=PackagePurpose.LIBRARY,
        )
    )
    remarks = [Entry("origin:package", f"observed, entry {position}"), *spdx_remarks.of_package(found)]
    package["annotations"] = annotator.annotations({}, [*remarks, *_full_name(found.name)])
    return package


def organization(said: Organization) -> Actor:
    """Return an organization with the first address that was stated for it."""
    return Actor(ActorType.ORGANIZATION, line(said.name), _email(contact.email for contact in said.contacts))


def person(name: str, email: str | None) -> Actor:
    """Return a person."""
    return Actor(ActorType.PERSON, line(name), _email([email]))


def spdx_id(ref: str) -> str:
    """Return the identifier of the element that the document calls `ref`."""
    return f"SPDXRef-{ref}"


def line(text: str) -> str:
    """Return `text` as one line: what would break it is replaced."""
    return _NOT_ONE_LINE.sub("\ufffd", text)


def prose(text: str) -> str:
    """Return `text` as one line: its own line breaks become spaces."""
    return line(_FOLDED.sub(" ", text))


def _fields(facts: BomFacts, part: Part) -> Fields:
    purpose: Fields = {"primaryPurpose": (PURPOSES[part.artifact.role],)}
    if part.artifact.role == "model":
        energy: Fields = {
            field: tuple(f"{quantity} kilowattHour" for quantity in quantities)
            for field, quantities in energy_fields(facts).items()
        }
        return purpose | model_fields(facts) | energy
    if part.artifact.role == "base":
        described = part.artifact.described
        return purpose | base_fields(described.value if described else None)
    return purpose | (dataset_fields(part.artifact) if part.artifact.role == "data" else {})


def _remarks(facts: BomFacts, part: Part, known: About) -> Iterator[Entry]:
    yield from spdx_remarks.of_part(facts, part)
    if part.artifact.role == "model":
        yield from spdx_remarks.of_run(facts.run) if facts.run else ()
        yield from spdx_remarks.of_environment(facts.environment) if facts.environment else ()
    yield from _full_name(known.name)


def _full_name(name: str) -> Iterator[Entry]:
    if line(name) != name:
        yield Entry("name", json.dumps(name))


def _value(value: str | Entry) -> str:
    return f"{value.key} = {value.value}" if isinstance(value, Entry) else value


def _references(facts: BomFacts, part: Part, known: About) -> Iterator[ExternalPackageRef]:
    other = ExternalPackageRefCategory.OTHER
    if known.purl and _PURL.fullmatch(known.purl):
        yield ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", known.purl)
    for kind, place in (("homepage", known.homepage), ("download", known.download)):
        if place and not _web(place) and _LOCATOR.fullmatch(place):
            yield ExternalPackageRef(other, kind, place)
    for link in known.links:
        if _LOCATOR.fullmatch(link.url):
            yield ExternalPackageRef(other, link.type, link.url, prose(link.comment) if link.comment else None)
    if part.artifact.role == "model":
        yield from _evidence(facts)


def _evidence(facts: BomFacts) -> Iterator[ExternalPackageRef]:
    security = facts.said.security
    for kind, place in (("url", security.policy), ("advisory", security.vulnerabilities)):
        if place and _web(place):
            yield ExternalPackageRef(ExternalPackageRefCategory.SECURITY, kind, place)
    for each in facts.references:
        locator = f"sha256:{each.sha256}"
        yield ExternalPackageRef(ExternalPackageRefCategory.OTHER, each.kind, locator, line(each.name))


def _converted(package: Package) -> Json:
    converted: Json = PackageConverter().convert(package, _NO_DOCUMENT)
    for reference in converted.get("externalRefs", ()):
        # The official schema of 2.3 has the hyphen; the library writes the name of its own enumeration (tools-python #813).
        reference["referenceCategory"] = reference["referenceCategory"].replace("_", "-")
    return converted


class _NoAnnotations:
    annotations: tuple[()] = ()


_NO_DOCUMENT: Document = _NoAnnotations()


def _web(url: str | None) -> str | None:
    return url if url and _WEB.fullmatch(url) else None


def _email(addresses: Iterable[str | None]) -> str | None:
    return next(
        (address for address in addresses if address and line(address) == address and _EMAIL.fullmatch(address)), None
    )


def _naive(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=None, microsecond=0) if time else None
