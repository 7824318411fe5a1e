"""SPDX 3.0.1: facts to the bytes of a JSON-LD document, with the AI, Dataset, Build, Software and SimpleLicensing profiles.

What is true:

* Same facts, same bytes: identifiers are a UUIDv5 of the entry that explains the document with role and order behind it,
  the document's time is that event's to the second, the graph is sorted.
* A profile is claimed in `profileConformance` only where every element keeps all of its rules (a claim about all of them,
  says SPDX 3.0.1, ProfileIdentifierType). Its fields are used in either case: nothing is invented for the sake of a claim.
* A `Build` is there only for a recorded run. Its relationships are scoped to `build`, as that profile demands; soup
  itself is the agent that invoked it.
* Relationships say how complete they are: soup knows every file of a directory that it listed, not every piece of software.

It does not know the ledger, and it does not validate; `projections.bom.validate` does. The bindings cost 0.2 s to import, so
nothing imports this module but what renders.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spdx_python_model import v3_0_1 as spdx

from projections.bom import spdx_remarks
from projections.bom.encode import encode
from projections.bom.spdx3_graph import Graph, Relation, dictionary, sha256, uri
from projections.bom.spdx3_packages import add_evidence, add_installed, add_parent, add_part
from projections.bom.spdx_profiles import Entry, about, energy_fields, is_evaluation
from projections.bom.spdx_software import installed
from projections.facts import BomFacts, Part, RunFacts, document_uuid, parts

RENDERER = "spdx3/1"
MEDIA_TYPE = "application/spdx+json; version=3.0.1"

Json = dict[str, Any]

_DATA_LICENCE = "CC0-1.0"
_BUILD_TYPE = "urn:soup-ledger:build-type:train:v1"
_UNRELATED = "Given together with the model; how it relates to it was not stated."
_DISTRIBUTIONS = "The Python distributions of the recorded environment; what they link to was not recorded."


def render(facts: BomFacts) -> bytes:
    """Return the document that says `facts`, as indented UTF-8 JSON-LD."""
    # SPDX 3 has identifiers, not a namespace; this is the form that 2.3 (6.5.1) gave those without a web site of their own.
    graph = Graph(f"https://spdx.org/spdxdocs/soup-{document_uuid(facts, 'spdx3')}", facts.declared_at)
    found = parts(facts)
    soup = graph.software_agent("soup")
    tool = graph.add(spdx.Tool, "tool", name=f"soup-{facts.soup_version}")
    graph.created_by([*_creators(graph, facts)] or [soup], tool)
    listed = len(graph.elements)
    for part in found:
        add_part(graph, facts, part)
    _add_software(graph, facts)
    _relate_parts(graph, facts, found)
    add_evidence(graph, facts, graph.iri("model"))
    add_parent(graph, facts, graph.iri("base" if any(part.ref == "base" for part in found) else "model"))
    if facts.run:
        _add_build(graph, facts, facts.run, found, (soup, tool))
    elif facts.environment:
        graph.annotate("model", spdx_remarks.of_environment(facts.environment), "environment")
    _add_collections(graph, facts, found, graph.elements[listed:])
    return encode(_exact(graph.document(), facts))


def _creators(graph: Graph, facts: BomFacts) -> Iterator[str]:
    said = facts.said.document
    if said.supplier:
        yield graph.organization(said.supplier)
    yield from graph.people(said.authors)


def _add_software(graph: Graph, facts: BomFacts) -> None:
    software = installed(facts)
    for each in software:
        add_installed(graph, each)
    for each in software:
        required = tuple(graph.iri(ref) for ref in each.requires)
        graph.relate(Relation(graph.iri(each.ref), "dependsOn", required, completeness="noAssertion"))


def _relate_parts(graph: Graph, facts: BomFacts, found: tuple[Part, ...]) -> None:
    model = graph.iri("model")
    data = [part for part in found if part.artifact.role == "data"]
    trained = _iris(graph, [part for part in data if not is_evaluation(facts, part.artifact)])
    tested = _iris(graph, [part for part in data if is_evaluation(facts, part.artifact)])
    base = _iris(graph, [part for part in found if part.artifact.role == "base"])
    configured = [part for part in found if part.artifact.role == "config"]
    others = _iris(graph, [part for part in found if part.artifact.role == "artifact"])
    graph.relate(Relation(model, "trainedOn", trained, completeness=_completeness(facts, "training", data)))
    graph.relate(Relation(model, "testedOn", tested, completeness=_completeness(facts, "evaluation", data)))
    graph.relate(Relation(model, "descendantOf", base))
    graph.relate(Relation(model, "other", others, comment=_UNRELATED))
    described = found[0].artifact.described
    needed = base if described and described.value.format == "peft-adapter" else ()
    software = tuple(graph.iri(each.ref) for each in installed(facts))
    comment = _DISTRIBUTIONS if software else None
    graph.relate(Relation(model, "dependsOn", (*needed, *software), completeness="incomplete", comment=comment))
    target = graph.iri("build") if facts.run else model
    for part in configured:
        graph.relate(Relation(graph.iri(part.ref), "configures", (target,), scope="build"))


def _add_build(graph: Graph, facts: BomFacts, run: RunFacts, found: tuple[Part, ...], agents: tuple[str, str]) -> None:
    soup, tool = agents
    begun = run.started.value
    build = graph.add(
        spdx.build_Build,
        "build",
        name=begun.name,
        build_buildType=_BUILD_TYPE,
        build_buildId=begun.run,
        build_buildStartTime=run.started_at,
        build_buildEndTime=run.finished_at,
        build_configSourceDigest=[sha256(begun.config.sha256, begun.config.origin)],
        build_configSourceEntrypoint=[begun.task],
        build_parameter=dictionary(_parameters(run)),
        build_environment=dictionary(spdx_remarks.of_environment(facts.environment)) if facts.environment else [],
    )
    graph.annotate("build", spdx_remarks.of_run(run))
    inputs = _iris(graph, [part for part in found if part.artifact.role in ("base", "data")])
    output = (graph.iri("model"),) if _has_output(facts) else ()
    graph.relate(Relation(build, "hasInput", inputs, completeness="noAssertion", scope="build"))
    graph.relate(Relation(build, "hasOutput", output, completeness="noAssertion", scope="build"))
    graph.relate(Relation(build, "invokedBy", (soup,), scope="build"))
    graph.relate(Relation(build, "usesTool", (tool,), completeness="noAssertion", scope="build"))


_BESIDE = ("config", "data", "artifact")


def _add_collections(graph: Graph, facts: BomFacts, found: tuple[Part, ...], listed: list[str]) -> None:
    profiles = [spdx.ProfileIdentifierType.NAMED_INDIVIDUALS[name] for name in _profiles(facts, found)]
    sbom = graph.add(
        spdx.software_Sbom,
        "sbom",
        name=f"{facts.name}-{facts.version}",
        # What it was made from stands beside the model: no relation of the tree of packages leads to it.
        rootElement=[graph.iri("model"), *_iris(graph, [part for part in found if part.artifact.role in _BESIDE])],
        element=listed,
        profileConformance=profiles,
        software_sbomType=[spdx.software_SbomType.NAMED_INDIVIDUALS[name] for name in _kinds(facts)],
    )
    licence = graph.licence(_DATA_LICENCE)
    graph.annotate("document", spdx_remarks.of_document(facts, RENDERER))
    graph.add(
        spdx.SpdxDocument,
        "document",
        name=f"{facts.name}-{facts.version}",
        rootElement=[sbom],
        element=[*graph.elements],
        dataLicense=licence,
        profileConformance=profiles,
    )


def _kinds(facts: BomFacts) -> list[str]:
    """Return the SBOM types (SbomType): `build` where a run was recorded, `analyzed` where files were looked at later."""
    if facts.run:
        return ["build"]
    seen = any(artifact.digest and artifact.digest.origin == "observed" for artifact in facts.artifacts)
    return ["analyzed"] if seen else []


def _profiles(facts: BomFacts, found: tuple[Part, ...]) -> Iterator[str]:
    """Give the profiles whose rules every element keeps: "External properties restrictions" and "Profile conformance"."""
    yield from ("core", "software", "simpleLicensing")
    known = [(part.artifact.role, about(facts, part)) for part in found]
    models = [each for role, each in known if role in ("model", "base")]
    data = [each for role, each in known if role == "data"]
    if all(each.supplier and uri(each.download) and each.version and each.released for each in models):
        yield "ai"
    if data and all(each.originator and uri(each.download) and each.built and each.released for each in data):
        yield "dataset"
    if facts.run and _has_output(facts) and any(part.artifact.role in ("base", "data", "config") for part in found):
        yield "build"


def _has_output(facts: BomFacts) -> bool:
    """Return whether the model is what the recorded run put out."""
    model, completed = facts.artifact("model"), facts.run.completed if facts.run else None
    return bool(completed and model and model.digest and model.digest.sha256 == completed.value.digest.sha256)


def _completeness(facts: BomFacts, role: str, data: list[Part]) -> str:
    """Say `complete` where a recorded run read data of this role and nothing but what the document lists."""
    listed = {part.artifact.digest.sha256 for part in data if part.artifact.digest}
    read = {each.sha256 for each in (facts.run.started.value.data if facts.run else ()) if each.role == role}
    if not read:
        return "noAssertion"
    return "complete" if read <= listed else "incomplete"


def _parameters(run: RunFacts) -> Iterator[Entry]:
    begun = run.started.value
    yield from (Entry(name, value) for name, value in sorted(begun.settings.items()))
    yield from (Entry(f"seed.{name}", value) for name, value in sorted(begun.seeds.items()))
    if run.command:
        yield Entry("command", " ".join(run.command))


def _exact(document: Json, facts: BomFacts) -> Json:
    """Put energy as exact decimals where the bindings wrote floating point (1e-05 is no xsd:decimal)."""
    model = next(element for element in document["@graph"] if element.get("spdxId", "").endswith("#model"))
    for field, quantities in energy_fields(facts).items():
        for told, quantity in zip(model["ai_energyConsumption"][f"ai_{field}"], quantities, strict=True):
            told["ai_energyQuantity"] = quantity
    return document


def _iris(graph: Graph, found: list[Part]) -> tuple[str, ...]:
    return tuple(graph.iri(part.ref) for part in found)
