"""SPDX 3.0.1: each law of `projections.bom.spdx3`, and the checks its documents must pass."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings

from projections.bom import spdx3
from projections.bom.validate import check, check_strict
from projections.errors import InvalidDocumentError
from projections.facts import Artifact, BomFacts, Digest, Known, parts
from tests.projections.bom_facts import HOSTILE, SAMPLES, any_facts, compare_with_golden, facts, in_fresh_process, sha
from tests.projections.full_facts import full
from tests.projections.spdx_facts import hostile_full, official, partial_facts, specification

Json = dict[str, Any]
ALL = {**SAMPLES, "full": full(), "hostile_full": hostile_full()}
replace = msgspec.structs.replace
# rdflib uses deprecated classes of its own to read JSON-LD.
SHACL = pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning")


def graph(said: BomFacts) -> dict[str, Json]:
    """The elements by the last part of their identifiers."""
    document = json.loads(spdx3.render(said))
    return {element.get("spdxId", element.get("@id")).rpartition("#")[2]: element for element in document["@graph"]}


def short(identifiers: str | list[str]) -> list[str]:
    return [each.rpartition("#")[2] for each in ([identifiers] if isinstance(identifiers, str) else identifiers)]


def relations(said: BomFacts) -> dict[tuple[str, str], list[str]]:
    return {
        (short(element["from"])[0], element["relationshipType"]): short(element["to"])
        for element in graph(said).values()
        if "relationshipType" in element
    }


def entries(values: list[Json]) -> dict[str, str]:
    return {entry["key"]: entry.get("value", "") for entry in values}


def shacl_findings(document: bytes) -> str:
    """What the official shapes find; the context is read from the folder, for the network is no part of a test."""
    import pyshacl
    import rdflib

    content = json.loads(document)
    content["@context"] = json.loads(specification("spdx-3.0.1", "spdx-context.jsonld").read_bytes())["@context"]
    data = rdflib.Graph().parse(data=json.dumps(content), format="json-ld")
    conforms, _, text = pyshacl.validate(data, shacl_graph=shapes(), ont_graph=shapes())
    return "" if conforms else text


@cache
def shapes() -> Any:
    import rdflib

    return rdflib.Graph().parse(specification("spdx-3.0.1", "spdx-model.ttl"))


@pytest.mark.parametrize("name", [*SAMPLES, "full"])
def test_the_bytes_of_a_document_are_pinned(name: str) -> None:
    compare_with_golden(f"bom-{name}.spdx3.json", spdx3.render(ALL[name]))


@pytest.mark.parametrize("name", ALL)
def test_both_checks_accept_each_sample(name: str) -> None:
    document = spdx3.render(ALL[name])
    check("spdx3", document)
    check_strict("spdx3", document)


@pytest.mark.parametrize("name", ALL)
def test_the_official_json_schema_accepts_each_sample(name: str) -> None:
    official("spdx-3.0.1", "schema.json").validate(json.loads(spdx3.render(ALL[name])))


@pytest.mark.slow
@SHACL
@pytest.mark.parametrize("name", ALL)
def test_the_official_shapes_accept_each_sample(name: str) -> None:
    assert shacl_findings(spdx3.render(ALL[name])) == ""


@pytest.mark.slow
@SHACL
def test_the_official_shapes_would_find_a_fault() -> None:
    document = json.loads(spdx3.render(SAMPLES["observed"]))
    data = next(element for element in document["@graph"] if element["type"] == "dataset_DatasetPackage")
    del data["dataset_datasetType"]
    assert "datasetType" in shacl_findings(json.dumps(document).encode())


@pytest.mark.slow
@SHACL
@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(partial_facts() | any_facts)
def test_whatever_the_facts_are_the_official_shapes_agree(said: BomFacts) -> None:
    assert shacl_findings(spdx3.render(said)) == ""


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(partial_facts() | any_facts)
def test_whatever_the_facts_are_the_document_is_valid(said: BomFacts) -> None:
    check("spdx3", spdx3.render(said))


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(partial_facts() | any_facts)
def test_whatever_the_facts_are_the_official_json_schema_agrees(said: BomFacts) -> None:
    official("spdx-3.0.1", "schema.json").validate(json.loads(spdx3.render(said)))


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(partial_facts() | any_facts)
def test_whatever_the_facts_are_the_bindings_read_it(said: BomFacts) -> None:
    document = spdx3.render(said)
    assume(
        not re.search(rb'Time": "0', document)
    )  # the bindings cannot read years before 1000, which the standard allows
    assume(said.declared_at.year >= 1000)
    check_strict("spdx3", document)


def test_equal_facts_give_equal_bytes_in_every_process() -> None:
    code = (
        "import hashlib; from projections.bom import spdx3; from tests.projections.bom_facts import SAMPLES\n"
        "from tests.projections.full_facts import full\n"
        "print(hashlib.sha256(b''.join(map(spdx3.render, [*SAMPLES.values(), full()]))).hexdigest())"
    )
    assert len({in_fresh_process(code, hash_seed=seed) for seed in ("0", "1", "4711")}) == 1


def test_identity_and_time_are_those_of_the_event() -> None:
    found = graph(facts())
    assert re.fullmatch(
        r"https://spdx\.org/spdxdocs/soup-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}#document",
        found["document"]["spdxId"],
    )
    assert found["document"]["spdxId"] != graph(facts(seed=sha("another entry")))["document"]["spdxId"]
    (creation,) = (element for element in found.values() if element["type"] == "CreationInfo")
    assert creation["created"] == "2026-03-01T12:30:15Z"
    assert found[short(creation["createdBy"])[0]]["type"] == "SoftwareAgent"
    assert found[short(creation["createdUsing"])[0]]["name"] == "soup-0.1.0"


def test_a_document_describes_one_sbom_which_describes_the_model_and_what_it_was_made_from() -> None:
    found = graph(full())
    assert short(found["document"]["rootElement"]) == ["sbom"]
    assert short(found["sbom"]["rootElement"]) == ["model", "config-1", "data-1", "artifact-1"]
    everything = {name for name, element in found.items() if element["type"] not in ("CreationInfo", "SpdxDocument")}
    assert set(short(found["document"]["element"])) == everything


def test_relations_point_the_right_way() -> None:
    found = relations(SAMPLES["observed"])
    licences = {("hasDeclaredLicense"), ("hasConcludedLicense")}
    assert {key: to for key, to in found.items() if key[1] not in licences} == {
        ("model", "trainedOn"): ["data-1", "data-2"],
        ("model", "descendantOf"): ["base"],
        ("config-1", "configures"): ["model"],
        ("model", "contains"): ["model-file-1", "model-file-2", "model-file-3"],
        ("model", "hasDistributionArtifact"): ["model-distribution"],
        ("base", "hasDistributionArtifact"): ["base-distribution"],
        ("config-1", "hasDistributionArtifact"): ["config-1-distribution"],
        ("data-1", "hasDistributionArtifact"): ["data-1-distribution"],
    }


def test_a_recorded_run_is_a_build_with_its_inputs_output_and_invoker() -> None:
    said, found = full(), relations(full())
    build = graph(said)["build"]
    assert (build["build_buildStartTime"], build["build_buildEndTime"]) == (
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:10:00Z",
    )
    assert build["build_buildId"] == said.run.started.value.run  # type: ignore[union-attr]
    assert build["build_configSourceDigest"][0]["hashValue"] == sha("yaml")
    assert entries(build["build_parameter"]).items() >= {("lora.r", "8"), ("seed.torch", "42")}
    assert found["build", "hasInput"] == ["base", "data-1"]
    assert found["build", "hasOutput"] == ["model"]
    assert found["config-1", "configures"] == ["build"]
    assert found["build", "usesTool"] == ["tool"]
    assert graph(said)[found["build", "invokedBy"][0]]["name"] == "soup"


def test_without_a_run_there_is_no_build() -> None:
    assert not [element for element in graph(SAMPLES["observed"]).values() if element["type"] == "build_Build"]


def test_evaluation_data_was_tested_on_and_not_trained_on() -> None:
    said = full()
    data = next(artifact for artifact in said.artifacts if artifact.role == "data")
    tested = replace(data, stated=replace(data.stated, role="evaluation"))
    others = [artifact for artifact in said.artifacts if artifact.role != "data"]
    found = relations(replace(said, run=None, artifacts=(*others, tested)))
    assert found["model", "testedOn"] == ["data-1"]
    assert ("model", "trainedOn") not in found
    # The run read the same file as training data: what was observed counts.
    assert relations(replace(said, artifacts=(*others, tested)))["model", "trainedOn"] == ["data-1"]


def test_each_digest_is_the_sha256_that_the_facts_hold_and_says_who_computed_it() -> None:
    for said in ALL.values():
        found = graph(said)
        for part in parts(said):
            digest = part.artifact.digest
            hashes = found[part.ref].get("verifiedUsing", [])
            assert [each["hashValue"] for each in hashes] == ([digest.sha256] if digest else [])
            if digest:
                assert hashes[0]["comment"].startswith(digest.origin)
            for ref, file in part.files:
                assert found[ref]["verifiedUsing"][0]["hashValue"] == file.sha256


def test_the_profiles_fields_hold_what_was_stated_and_observed() -> None:
    found = graph(full())
    model, data = found["model"], found["data-1"]
    assert model["ai_autonomyType"] == "no"
    assert model["ai_safetyRiskAssessment"] == "low"
    assert model["ai_typeOfModel"] == ["transformer", "lora-adapter", "llama", "LlamaForCausalLM", "supervised"]
    assert "Intended use: Writing mock dictionary entries" in model["ai_informationAboutApplication"]
    assert "Fairness: group at risk: Groups mocked in 1911" in model["ai_limitation"]
    assert entries(model["ai_hyperparameter"])["lora_r"] == "8"
    assert entries(model["ai_metric"])["perplexity (held-out entries), upper bound"] == "23.0"
    assert entries(model["ai_metricDecisionThreshold"]) == {"perplexity (held-out entries)": "30"}
    assert data["dataset_datasetType"] == ["text"]
    assert data["dataset_datasetSize"] == 61_000
    assert data["dataset_hasSensitivePersonalInformation"] == "no"


@pytest.mark.parametrize(
    ("kwh", "told"), [("0.0125", "0.0125"), ("1e-5", "0.00001"), ("0.10000000000000000001", "0.10000000000000000001")]
)
def test_energy_is_the_exact_decimal_and_never_floating_point(kwh: str, told: str) -> None:
    said = full()
    energy = said.energy[0]
    said = replace(said, energy=(replace(energy, value=replace(energy.value, kwh=kwh)),))
    (consumed,) = graph(said)["model"]["ai_energyConsumption"]["ai_finetuningEnergyConsumption"]
    assert consumed == {
        "type": "ai_EnergyConsumptionDescription",
        "ai_energyQuantity": told,
        "ai_energyUnit": "kilowattHour",
    }


def test_each_package_has_exactly_one_declared_and_one_concluded_licence() -> None:
    for said in ALL.values():
        found = graph(said)
        packages = [name for name, element in found.items() if element["type"].endswith("Package")]
        related = relations(said)
        for kind in ("hasDeclaredLicense", "hasConcludedLicense"):
            assert all(len(related[name, kind]) == 1 for name in packages)


def test_a_conclusion_rests_on_a_persons_statement_only() -> None:
    said, found = full(), relations(full())
    assert found["model", "hasConcludedLicense"] == found["model", "hasDeclaredLicense"]
    assert found["package-1", "hasConcludedLicense"] == ["expandedlicensing_NoAssertionLicense"]
    silent = relations(replace(said, license=None, stated=None))
    assert silent["model", "hasConcludedLicense"] == ["expandedlicensing_NoAssertionLicense"]


def test_an_unlisted_licence_has_its_text_in_the_document() -> None:
    found = graph(facts(license="llama3.1"))
    licence = found[relations(facts(license="llama3.1"))["model", "hasDeclaredLicense"][0]]
    (custom,) = licence["simplelicensing_customIdToUri"]
    assert licence["simplelicensing_licenseExpression"] == custom["key"] == "LicenseRef-soup-declared-1"
    assert found[custom["value"].rpartition("#")[2]]["simplelicensing_licenseText"] == "llama3.1"


def test_a_profile_is_claimed_only_where_every_element_keeps_its_rules() -> None:
    said = full()
    assert graph(SAMPLES["bare"])["document"]["profileConformance"] == ["core", "software", "simpleLicensing"]
    located = replace(said.said.base, url="https://base.example/models/smollm2")
    complete = replace(said, stated=Known(replace(said.said, base=located), "declared", 6))
    assert graph(complete)["document"]["profileConformance"] == [
        "core",
        "software",
        "simpleLicensing",
        "ai",
        "dataset",
        "build",
    ]
    assert "ai" not in graph(said)["document"]["profileConformance"], "where the base is to be had is not known"
    assert "dataset" not in graph(replace(complete, stated=None, artifacts=()))["document"]["profileConformance"]
    assert "build" not in graph(replace(complete, run=None))["document"]["profileConformance"]


def test_what_nobody_recorded_is_absent() -> None:
    model = graph(SAMPLES["bare"])["model"]
    assert set(model) == {
        "creationInfo",
        "name",
        "software_packageVersion",
        "software_primaryPurpose",
        "spdxId",
        "type",
    }


def test_completeness_is_claimed_for_what_soup_listed_itself() -> None:
    found = {
        (short(element["from"])[0], element["relationshipType"]): element.get("completeness")
        for element in graph(full()).values()
        if "relationshipType" in element
    }
    assert found["model", "contains"] == "complete"
    assert found["model", "trainedOn"] == "complete"  # the run recorded all that it read
    assert found["model", "dependsOn"] == "incomplete"
    said = full()
    unlisted = replace(said, artifacts=tuple(artifact for artifact in said.artifacts if artifact.role != "data"))
    more = Artifact(role="data", name="other", digest=Digest(sha256=sha("other"), origin="declared"))
    incomplete = graph(replace(unlisted, artifacts=(*unlisted.artifacts, more)))["model-trainedOn"]
    assert incomplete["completeness"] == "incomplete"


def test_installed_distributions_are_packages_that_the_model_and_each_other_depend_on() -> None:
    found, related = graph(full()), relations(full())
    assert [found[f"package-{index}"]["name"] for index in (1, 2, 3)] == ["safetensors", "sympy", "torch"]
    assert related["model", "dependsOn"] == ["base", "package-1", "package-2", "package-3"]
    assert related["package-3", "dependsOn"] == ["package-2"]
    assert found["package-3"]["software_packageUrl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert found[short(found["package-3"]["suppliedBy"])[0]]["type"] == "Agent"


def test_equal_organizations_are_one_element_with_their_address() -> None:
    found = graph(full())
    supplier = found[short(found["model"]["suppliedBy"])[0]]
    (creation,) = (element for element in found.values() if element["type"] == "CreationInfo")
    assert supplier["spdxId"] in creation["createdBy"]
    assert supplier["externalIdentifier"] == [
        {"type": "ExternalIdentifier", "externalIdentifierType": "email", "identifier": "models@lexicography.example"}
    ]


def test_the_document_leads_back_into_the_ledger() -> None:
    said = facts()
    assert json.loads(graph(said)["document-remarks"]["statement"]) == {
        "soup:renderer": spdx3.RENDERER,
        "soup:ledger:origin": said.ledger_origin,
        "soup:ledger:position": "7",
        "soup:ledger:entry": said.seed,
        "soup:command": said.command_id,
    }


def test_hostile_texts_stay_texts() -> None:
    found = graph(SAMPLES["hostile"])
    assert found["model"]["name"] == HOSTILE
    assert json.loads(found["document-remarks"]["statement"])["soup:ledger:origin"] == HOSTILE
    document = spdx3.render(hostile_full()).decode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e]", document)


ATTACKS: list[tuple[str, Callable[[Json], object], str]] = [
    ("another version", lambda d: d.update({"@context": "https://spdx.org/rdf/3.0.0/spdx-context.jsonld"}), "/@context"),
    ("a fraction of a second", lambda d: d["@graph"][0].update(created="2026-03-01T12:30:15.1Z"), "/@graph/0/created"),
    ("no such day", lambda d: d["@graph"][0].update(created="2026-02-30T12:30:15Z"), "/@graph/0/created"),
    ("a relation of no SPDX", lambda d: find(d, "descendantOf").update(relationshipType="derivedFrom"), "/@graph"),
    ("a dangling relation", lambda d: find(d, "descendantOf").update(to=["https://spdx.org/x"]), "/@graph"),
    ("half a digest", lambda d: typed(d, "ai_AIPackage")["verifiedUsing"][0].update(hashValue="ab"), "/@graph"),
    ("no type of data", lambda d: typed(d, "dataset_DatasetPackage").pop("dataset_datasetType"), "/@graph"),
    ("an element twice", lambda d: d["@graph"].append(d["@graph"][1]), "/@graph"),
    ("a second document", lambda d: d["@graph"].append({**typed(d, "SpdxDocument"), "spdxId": "https://spdx.org/y"}), "/@graph"),
    ("a field of no SPDX", lambda d: d["@graph"][1].update(licence="MIT"), "/@graph/1"),
]  # fmt: skip


def find(document: Json, relation: str) -> Json:
    return next(element for element in document["@graph"] if element.get("relationshipType") == relation)


def typed(document: Json, kind: str) -> Json:
    return next(element for element in document["@graph"] if element["type"] == kind)


@pytest.mark.parametrize(("attack", "path"), [attack[1:] for attack in ATTACKS], ids=[attack[0] for attack in ATTACKS])
def test_the_check_names_the_place_of(attack: Callable[[Json], object], path: str) -> None:
    document = json.loads(spdx3.render(full()))
    attack(document)
    with pytest.raises(InvalidDocumentError) as caught:
        check("spdx3", json.dumps(document).encode())
    assert caught.value.path.startswith(path)


@pytest.mark.parametrize("document", [b"", b"[]", b"null", b"{}", b'{"@graph": 1}', b'{"@context": [1]}'])
def test_what_is_no_document_is_refused_by_both_checks(document: bytes) -> None:
    for validate in (check, check_strict):
        with pytest.raises(InvalidDocumentError):
            validate("spdx3", document)


@pytest.mark.parametrize(
    "attack",
    [
        lambda d: typed(d, "ai_AIPackage").update(software_primaryPurpose="AI-MODEL"),
        lambda d: find(d, "descendantOf").pop("to"),
        lambda d: typed(d, "ai_AIPackage").update(name=1),
        lambda d: d["@graph"].remove(typed(d, "SpdxDocument")),
    ],
)
def test_the_strict_check_finds(attack: Callable[[Json], object]) -> None:
    document = json.loads(spdx3.render(full()))
    attack(document)
    with pytest.raises(InvalidDocumentError):
        check_strict("spdx3", json.dumps(document).encode())


def test_the_checks_do_not_load_the_bindings() -> None:
    code = (
        "import sys; from projections.bom import fold, validate, spdx_profiles, spdx_remarks\n"
        "print('spdx_python_model.bindings.v3_0_1' in sys.modules)"
    )
    assert in_fresh_process(code) == "False\n"
