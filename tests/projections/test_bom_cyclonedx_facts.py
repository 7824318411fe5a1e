"""CycloneDX: where each fact stands in a document, and where it does not."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events.energy import Energy
from ledger.events.environment import Device, EnvironmentObserved, Package
from ledger.events.facts import Contact, DocumentStated, Facts, Metric, ModelStated
from projections.bom.cyclonedx_parts import contact_json, package_licences, uri
from projections.facts import BomFacts, Known
from tests.projections.bom_facts import SAMPLES, facts, sha
from tests.projections.cyclonedx_documents import Json, by_ref, model_card, properties, rendered, texts
from tests.projections.full_facts import full


def test_the_model_is_the_first_of_the_inventory_and_says_whose_twin_it_is() -> None:
    document = rendered(full())
    root, twin = document["metadata"]["component"], document["components"][0]
    apart = ("bom-ref", "properties", "components", "pedigree")
    assert {key: twin[key] for key in twin if key not in apart} == {key: root[key] for key in root if key not in apart}
    assert (root["bom-ref"], twin["bom-ref"]) == ("model", "model-listed")
    assert properties(twin) == properties(root) | {"soup:same-as": "model"}
    assert not {"components", "pedigree"} & set(twin)


def test_nothing_that_was_stated_recorded_or_measured_is_lost() -> None:
    told = {*texts(rendered(full()))}

    def is_told(fact: str) -> bool:
        # A short text must stand alone or end a line; a longer one may be part of a sentence.
        return any(fact == text or text.endswith(f": {fact}") or (len(fact) > 3 and fact in text) for text in told)

    recorded = {
        fact.replace("Z", "+00:00") if re.fullmatch(r"\d{4}-.*Z", fact) else fact
        for fact in texts(msgspec.to_builtins(full()))
    }
    assert {fact for fact in recorded if not is_told(fact)} == {"directory"}  # that one is told in words


def test_each_field_says_whether_it_was_observed_or_declared() -> None:
    document = by_ref(rendered(full()))
    root, base = document["model"], document["base"]
    card = properties(root["modelCard"])
    assert {"name", "version", "description", "licenses"} <= set(properties(root)["soup:origin:declared"].split(", "))
    assert properties(root)["soup:origin:observed"] == "externalReferences"  # the attestation and the parent
    assert properties(base)["soup:origin:observed"] == "licenses, version"
    observed, declared = (card[f"soup:origin:{side}"].split(", ") for side in ("observed", "declared"))
    assert {"architectureFamily", "performanceMetrics[0]", "hyperparameter.lora.r"} <= set(observed)
    assert {"users", "performanceMetrics[1]", "hyperparameter.learning_rate"} <= set(declared)
    assert not set(observed) & set(declared)


def test_the_base_is_the_ancestor_at_its_exact_revision() -> None:
    document = rendered(full())
    ancestor = document["metadata"]["component"]["pedigree"]["ancestors"][0]
    assert ancestor["version"] == by_ref(document)["base"]["version"] == "12fd25f77366fa6b3b4b768ec3050bf629380bac"


@pytest.mark.parametrize(
    ("architecture", "task"),
    [("LlamaForCausalLM", "text-generation"), ("BertForTokenClassification", "token-classification"), ("Llama", None)],
)
def test_the_task_is_what_the_class_of_the_weights_does_and_never_the_way_of_training(
    architecture: str, task: str | None
) -> None:
    stated = Known(Facts(model=ModelStated(architecture=architecture)), "declared", 6)
    assert model_card(facts(task="sft", stated=stated))["modelParameters"].get("task") == task


def energy(**said: Any) -> Known[Energy]:
    return Known(Energy(activity="fine-tuning", method="meter reading", source="the bill", **said), "declared", 6)


def environmental(*figures: Known[Energy]) -> Json:
    return model_card(facts(energy=figures))["considerations"]["environmentalConsiderations"]


def test_energy_is_a_number_of_kilowatt_hours_and_of_tonnes_beside_the_decimal_that_was_recorded() -> None:
    (figure,) = environmental(energy(kwh="0.30000000000000000001", co2_g="5.225"))["energyConsumptions"]
    assert figure["activityEnergyCost"] == {"value": 0.3, "unit": "kWh"}
    assert figure["co2CostEquivalent"] == {"value": float(Decimal("5.225") / 1_000_000), "unit": "tCO2eq"}
    assert properties(figure)["soup:energy:kwh"] == "0.30000000000000000001"
    assert properties(figure)["soup:origin"] == "declared"


def test_whoever_provided_the_energy_is_unknown_where_nobody_said() -> None:
    (figure,) = environmental(energy(kwh="1"))["energyConsumptions"]
    (provider,) = figure["energyProviders"]
    assert (provider["organization"], provider["energySource"]) == ({"name": "unknown"}, "unknown")
    assert "co2CostEquivalent" not in figure


def test_energy_that_no_float_can_hold_is_told_and_not_numbered() -> None:
    found = environmental(energy(kwh="1e999"), energy(kwh="1", co2_g="9e999"))
    assert properties(found)["soup:energy:kwh"] == "1e999"
    (figure,) = found["energyConsumptions"]
    assert "co2CostEquivalent" not in figure
    assert properties(figure)["soup:energy:co2-g"] == "9e999"


def environment(*packages: Package) -> Known[EnvironmentObserved]:
    return Known(
        EnvironmentObserved(
            python="3.11.7",
            implementation="CPython",
            platform="Linux",
            packages=list(packages),
            devices=[Device(kind="gpu", name="Example GPU", count=1, memory=2**33, driver="550")],
            details={},
        ),
        "observed",
        6,
    )


def package(name: str, **said: Any) -> Package:
    known = {"version": "1+cpu", "license": None, "record_sha256": None, "supplier": None, "requires": []}
    return Package(name=name, **(known | said))


def test_a_package_has_a_purl_and_no_hash_but_says_the_digest_of_its_record() -> None:
    document = by_ref(rendered(facts(environment=environment(package("Foo.Bar", record_sha256=sha("RECORD"))))))
    listed = document["package-1"]
    assert (listed["type"], listed["purl"]) == ("library", "pkg:pypi/foo.bar@1%2Bcpu")
    assert "hashes" not in listed
    assert properties(listed)["soup:record:sha256"] == sha("RECORD")
    assert properties(listed)["soup:digest:origin"] == "unknown"


def test_packages_lean_on_those_they_require_however_these_are_spelt() -> None:
    packages = (package("a", requires=["foo-bar", "a", "not-installed"]), package("Foo_Bar", requires=["a"]))
    document = rendered(facts(environment=environment(*packages)))
    graph = {node["ref"]: node["dependsOn"] for node in document["dependencies"]}
    assert (graph["package-1"], graph["package-2"]) == (["package-2"], ["package-1"])
    assert graph["environment"] == ["package-1", "package-2", "device-1"]
    assert {
        "aggregate": "incomplete",
        "dependencies": ["environment", "package-1", "package-2", "device-1"],
    } in document["compositions"]


@pytest.mark.parametrize(
    ("typed", "licences"),
    [
        ("", []),
        ("mit", [{"license": {"id": "MIT", "acknowledgement": "declared"}}]),
        ("BSD License", [{"license": {"name": "BSD License", "acknowledgement": "declared"}}]),
        ("mit or apache-2.0", [{"expression": "MIT OR Apache-2.0", "acknowledgement": "declared"}]),
        ("\nMine\n\nAll of it.\n", None),
    ],
)
def test_a_package_has_the_licence_that_its_metadata_gives_and_a_text_stays_a_text(
    typed: str, licences: list[Json] | None
) -> None:
    text = [{"license": {"name": "Mine", "text": {"content": typed}, "acknowledgement": "declared"}}]
    assert package_licences(typed) == (text if licences is None else licences)


def workflow(said: BomFacts) -> Json:
    return rendered(said)["formulation"][0]["workflows"][0]


def test_the_run_is_a_workflow_with_its_command_times_inputs_and_output() -> None:
    run = workflow(full())
    assert (run["timeStart"], run["timeEnd"]) == ("2026-03-01T12:00:00+00:00", "2026-03-01T12:10:00+00:00")
    assert run["steps"] == [{"name": "train", "commands": [{"executed": "soup train --config soup.yaml"}]}]
    *resources, parameters = run["inputs"]
    assert [resource["resource"]["ref"] for resource in resources] == ["base", "config-1", "data-1"]
    assert {"name": "seed.torch", "value": "42"} in parameters["parameters"]
    assert run["outputs"] == [{"type": "artifact", "resource": {"ref": "model"}}]


def test_what_the_run_read_and_the_document_does_not_list_is_told_by_digest() -> None:
    alone = msgspec.structs.replace(full(), artifacts=())
    told = properties(workflow(alone))
    assert "outputs" not in workflow(alone)
    assert sha("gguf") in told["soup:run:base"]
    assert sha("yaml") in told["soup:run:config"]
    assert sha("dictionary") in told["soup:run:data"]


def test_a_run_that_failed_has_its_error_and_no_output() -> None:
    said = full()
    failed = msgspec.structs.replace(said.run, completed=None, outcome="failed", error="out of memory")
    run = workflow(msgspec.structs.replace(said, run=failed))
    assert "outputs" not in run
    assert (properties(run)["soup:run:outcome"], properties(run)["soup:run:error"]) == ("failed", "out of memory")


def test_a_standard_is_the_operators_claim_and_soup_attests_no_conformance() -> None:
    document = rendered(full())
    assert [each["name"] for each in document["definitions"]["standards"]] == full().said.model.standards
    (claim,) = document["declarations"]["claims"]
    assert claim["target"] == "model"
    assert claim["predicate"].startswith("The operator states")
    assert "attestations" not in document["declarations"]
    assert "conformance" not in json.dumps(document["declarations"])
    assert not {"definitions", "declarations"} & set(rendered(SAMPLES["declared"]))


def test_attestations_and_the_parent_are_named_by_their_content() -> None:
    found = {each["type"]: each for each in rendered(full())["metadata"]["component"]["externalReferences"]}
    assert found["attestation"]["hashes"] == [{"alg": "SHA-256", "content": sha("attestation")}]
    assert found["attestation"]["url"].startswith("ni:///sha-256;")
    assert found["bom"]["hashes"] == [{"alg": "SHA-256", "content": sha("parent")}]
    assert found["bom"]["url"] == "urn:uuid:1b4e28ba-2fa1-51d2-883f-0016d3cca427"


def test_who_answers_for_the_document_is_not_taken_for_who_supplies_the_model() -> None:
    author = Contact(name="Desk", email="desk@example.org")
    stated = Facts(document=DocumentStated(supplier=full().said.document.supplier, authors=[author]))
    metadata = rendered(facts(stated=Known(stated, "declared", 6)))["metadata"]
    assert metadata["manufacturer"]["name"] == "Example Lexicography"
    assert metadata["authors"] == [{"name": "Desk", "email": "desk@example.org"}]
    assert "supplier" not in metadata
    assert metadata["licenses"][0]["license"]["id"] == "CC0-1.0"


@pytest.mark.parametrize(("said", "phase"), [(full(), "build"), (SAMPLES["observed"], "post-build")])
def test_a_document_about_a_recorded_run_was_made_at_build_time_another_after_it(said: BomFacts, phase: str) -> None:
    assert rendered(said)["metadata"]["lifecycles"] == [{"phase": phase}]


@pytest.mark.parametrize("name", SAMPLES)
def test_where_nothing_is_known_no_scorers_field_is_filled(name: str) -> None:
    document = rendered(SAMPLES[name])
    assert all(name.startswith("soup:") for name in properties(document["metadata"]))
    card = document["metadata"]["component"].get("modelCard", {})
    assert set(properties(card)) <= {"soup:origin:declared"}
    assert not {"unknown", "NOASSERTION"} & {
        value for key, value in properties(document["metadata"]).items() if key != "soup:command"
    }


def test_a_metrics_threshold_is_told_though_the_standard_has_no_field_for_it() -> None:
    metric = Known(Metric(type="accuracy", value="0.5", slice="test", threshold="0.4"), "observed", 3)
    document = rendered(facts(metrics=(metric,)))
    assert properties(document["metadata"])["metricDecisionThreshold"] == "accuracy (test): 0.4"
    found = document["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert found == [{"type": "accuracy", "value": "0.5", "slice": "test"}]


_ADDRESSES = jsonschema_rs.Draft7Validator({"format": "iri-reference"}, validate_formats=True)
_MAILBOXES = jsonschema_rs.Draft7Validator({"format": "idn-email"}, validate_formats=True)


@given(st.from_regex(r"\A[a-z]{1,3}:[^\s<>\"{}|\\^`\ud800-\udfff]{1,40}\Z"))
def test_whatever_was_typed_for_an_address_is_one_and_reads_back(typed: str) -> None:
    assert _ADDRESSES.is_valid(uri(typed))
    assert uri(typed) == typed or unquote(uri(typed)) in (typed, unquote(typed))


@pytest.mark.parametrize(
    "typed",
    ["https://a.example/b?c=d#e", "pkg:pypi/a@1", "urn:uuid:1b4e28ba", "mailto:a@b", "http://u:p@h:80/'", "x:", "a:/b"],
)
def test_an_address_that_is_one_stays_as_it_was_typed(typed: str) -> None:
    assert uri(typed) == typed


@given(st.from_regex(r"\A[^\s@<>\ud800-\udfff]{1,70}@[^\s@<>\ud800-\udfff]{1,70}\Z") | st.emails())
def test_a_mailbox_is_one_or_stays_part_of_the_name(typed: str) -> None:
    found = contact_json(Contact(name="Desk", email=typed))
    assert found in ({"name": "Desk", "email": typed}, {"name": f"Desk <{typed}>"})
    assert "email" not in found or _MAILBOXES.is_valid(found["email"])


def test_a_plain_mailbox_is_a_mailbox() -> None:
    assert contact_json(Contact(email="a.b+c@d-e.example")) == {"email": "a.b+c@d-e.example"}
