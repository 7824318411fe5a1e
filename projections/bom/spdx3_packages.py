"""SPDX 3.0.1: the packages and files of a document.

What is true:

* Model and base are AI packages, data sets are dataset packages, everything else is a software package. Each has exactly
  one declared and one concluded licence, as the AI and Dataset profiles demand; where none is known, it is the standard's
  NoAssertionLicense.
* What is not known is absent, though the profiles may demand it (suppliedBy, releaseTime, builtTime, downloadLocation ...):
  the document then does not claim to conform to that profile. The one value that the class itself demands, `datasetType`,
  is the standard's `noAssertion`.
* An observed part has a File as its distribution artifact; a directory contains the files that were seen in it.
* Digests are SHA-256, the only ones that soup computes; a comment says what they were computed over and by whom.

It does not know the relationships between parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spdx_python_model import v3_0_1 as spdx

from ledger.events.facts import Link
from projections.bom import spdx_remarks
from projections.bom.spdx3_graph import Graph, Relation, dictionary, external_ref, sha256, uri
from projections.bom.spdx_profiles import (
    PURPOSES,
    SINGLE,
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
from projections.facts import BomFacts, Part, Role

_CONCLUDED = "Concluded from the operator's statement; nobody examined the contents."
_NOT_CONCLUDED = "No licence was concluded: nobody examined the contents."
_KINDS: dict[Role, type[spdx.software_Package]] = {
    "model": spdx.ai_AIPackage,
    "base": spdx.ai_AIPackage,
    "data": spdx.dataset_DatasetPackage,
    "config": spdx.software_Package,
    "artifact": spdx.software_Package,
}
_ENUMERATIONS: dict[str, type[spdx.SHACLObject]] = {
    "autonomyType": spdx.PresenceType,
    "confidentialityLevel": spdx.dataset_ConfidentialityLevelType,
    "datasetAvailability": spdx.dataset_DatasetAvailabilityType,
    "datasetType": spdx.dataset_DatasetType,
    "hasSensitivePersonalInformation": spdx.PresenceType,
    "safetyRiskAssessment": spdx.ai_SafetyRiskAssessmentType,
    "useSensitivePersonalInformation": spdx.PresenceType,
}
_LINKS = {
    "website": "altWebPage",
    "vcs": "vcs",
    "documentation": "documentation",
    "distribution": "altDownloadLocation",
    "model-card": "productMetadata",
    "license": "license",
    "issue-tracker": "issueTracker",
    "support": "support",
    "security-contact": "securityOther",
    "advisories": "securityAdvisory",
    "release-notes": "releaseNotes",
}


def add_part(graph: Graph, facts: BomFacts, part: Part) -> str:
    """Add the package of a part, its licences, its file and its remarks; return the package's identifier."""
    artifact, known = part.artifact, about(facts, part)
    own = dict(_ai(facts) if artifact.role == "model" else _typed(part))
    agents = [graph.organization(known.originator)] if known.originator else []
    if artifact.role == "model":
        agents += graph.people(facts.said.model.authors)
    package = graph.add(
        _KINDS[artifact.role],
        part.ref,
        name=known.name,
        description=known.description,
        verifiedUsing=_digest(part),
        externalRef=[*_references(facts, part, known)],
        originatedBy=agents,
        suppliedBy=graph.organization(known.supplier) if known.supplier else None,
        releaseTime=known.released,
        builtTime=known.built,
        software_primaryPurpose=spdx.software_SoftwarePurpose.NAMED_INDIVIDUALS[PURPOSES[artifact.role]],
        software_packageVersion=known.version,
        software_packageUrl=uri(known.purl),
        software_homePage=uri(known.homepage),
        software_downloadLocation=uri(known.download),
        software_copyrightText=known.copyright,
        **own,
    )
    _licences(graph, package, known.licence, known.concluded)
    _add_files(graph, part, package)
    graph.annotate(part.ref, spdx_remarks.of_part(facts, part))
    return package


def add_installed(graph: Graph, each: Installed) -> str:
    """Add the package of an installed Python distribution; return its identifier."""
    found = each.package
    package = graph.add(
        spdx.software_Package,
        each.ref,
        name=found.name,
        suppliedBy=graph.agent(found.supplier) if found.supplier else None,
        software_primaryPurpose=spdx.software_SoftwarePurpose.NAMED_INDIVIDUALS["library"],
        software_packageVersion=found.version,
        software_packageUrl=purl(found),
        comment=f"SHA-256 of its RECORD file: {found.record_sha256}" if found.record_sha256 else None,
    )
    _licences(graph, package, found.license)
    return package


def add_evidence(graph: Graph, facts: BomFacts, model: str) -> None:
    """Add the documents of the same ledger that speak of the model: attestations, and others."""
    files = [
        graph.add(
            spdx.software_File,
            f"evidence-{index}",
            name=each.name,
            verifiedUsing=[sha256(each.sha256)],
            software_primaryPurpose=spdx.software_SoftwarePurpose.evidence,
            comment=f"{each.kind}; observed, entry {each.position}",
        )
        for index, each in enumerate(facts.references, 1)
    ]
    graph.relate(Relation(model, "hasEvidence", tuple(files)))


def add_parent(graph: Graph, facts: BomFacts, of: str) -> None:
    """Add the bill of materials of what the model was made from, as metadata of that."""
    if facts.parent is None:
        return
    parent = facts.parent.value
    identifier = [
        spdx.ExternalIdentifier(externalIdentifierType=spdx.ExternalIdentifierType.other, identifier=parent.id)
        for _ in range(parent.id is not None)
    ]
    file = graph.add(
        spdx.software_File,
        "parent",
        name=f"bill of materials ({parent.format})",
        verifiedUsing=[sha256(parent.sha256)],
        externalIdentifier=identifier,
        software_primaryPurpose=spdx.software_SoftwarePurpose.bom,
    )
    graph.relate(Relation(of, "hasMetadata", (file,)))


def _ai(facts: BomFacts) -> Iterator[tuple[str, Any]]:
    yield from _properties("ai", model_fields(facts))
    energy = {
        f"ai_{field}": [
            spdx.ai_EnergyConsumptionDescription(
                # A number for the bindings; `spdx3` puts the exact decimal in its place.
                ai_energyQuantity=float(quantity),
                ai_energyUnit=spdx.ai_EnergyUnitType.kilowattHour,
            )
            for quantity in quantities
        ]
        for field, quantities in energy_fields(facts).items()
    }
    if energy:
        yield "ai_energyConsumption", spdx.ai_EnergyConsumption(**energy)


def _typed(part: Part) -> Iterator[tuple[str, Any]]:
    artifact = part.artifact
    if artifact.role == "base":
        yield from _properties("ai", base_fields(artifact.described.value if artifact.described else None))
    if artifact.role == "data":
        yield from _properties("dataset", {"datasetType": ("noAssertion",)} | dataset_fields(artifact))


def _properties(profile: str, fields: Fields) -> Iterator[tuple[str, Any]]:
    for name, values in fields.items():
        yield f"{profile}_{name}", _property(name, values)


def _property(name: str, values: tuple[str | Entry, ...]) -> Any:
    entries = [value for value in values if isinstance(value, Entry)]
    if entries:
        return dictionary(entries)
    texts = [value for value in values if not isinstance(value, Entry)]
    if name in _ENUMERATIONS:
        texts = [_ENUMERATIONS[name].NAMED_INDIVIDUALS[text] for text in texts]
    if name == "datasetSize":
        return int(texts[0])
    return "\n".join(texts) if name in SINGLE else texts


def _licences(graph: Graph, package: str, declared: str | None, concluded: str | None = None) -> None:
    graph.relate(Relation(package, "hasDeclaredLicense", (graph.licence(declared),)))
    comment = _CONCLUDED if concluded else _NOT_CONCLUDED
    graph.relate(Relation(package, "hasConcludedLicense", (graph.licence(concluded),), comment=comment))


def _add_files(graph: Graph, part: Part, package: str) -> None:
    artifact = part.artifact
    if artifact.kind:
        kinds = {"file": spdx.software_FileKindType.file, "directory": spdx.software_FileKindType.directory}
        distribution = graph.add(
            spdx.software_File,
            f"{part.ref}-distribution",
            name=artifact.name,
            verifiedUsing=_digest(part),
            software_fileKind=kinds[artifact.kind],
            comment=f"{artifact.size} bytes" if artifact.size is not None else None,
        )
        graph.relate(Relation(package, "hasDistributionArtifact", (distribution,), completeness="noAssertion"))
    files = [
        graph.add(
            spdx.software_File,
            ref,
            name=file.path,
            verifiedUsing=[sha256(file.sha256)],
            software_primaryPurpose=spdx.software_SoftwarePurpose.file,
            comment=f"{file.size} bytes; observed",
        )
        for ref, file in part.files
    ]
    graph.relate(Relation(package, "contains", tuple(files), completeness="complete"))


def _digest(part: Part) -> list[Any]:
    digest = part.artifact.digest
    if digest is None:
        return []
    return [sha256(digest.sha256, f"{digest.origin}; over {part.hashed}" if part.hashed else digest.origin)]


def _references(facts: BomFacts, part: Part, known: About) -> Iterator[Any]:
    yield from map(_reference, known.links)
    if part.artifact.role == "model":
        security = facts.said.security
        if security.policy:
            yield external_ref("securityPolicy", security.policy)
        if security.vulnerabilities:
            yield external_ref("securityAdvisory", security.vulnerabilities)


def _reference(link: Link) -> Any:
    kind = _LINKS.get(link.type, "other")
    told = (link.type if kind == "other" else None, link.comment, f"SHA-256 {link.sha256}" if link.sha256 else None)
    return external_ref(kind, link.url, "; ".join(filter(None, told)) or None)
