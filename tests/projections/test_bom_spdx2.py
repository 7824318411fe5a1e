"""SPDX 2.3: each law of `projections.bom.spdx2`, and the checks its documents must pass."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from projections.bom import cyclonedx, spdx2
from projections.bom.validate import check, check_strict
from projections.errors import InvalidDocumentError
from projections.facts import BomFacts, parts
from tests.projections.bom_facts import HOSTILE, SAMPLES, any_facts, compare_with_golden, facts, in_fresh_process, sha
from tests.projections.full_facts import full
from tests.projections.spdx_facts import hostile_full, official, partial_facts

Json = dict[str, Any]
ALL = {**SAMPLES, "full": full(), "hostile_full": hostile_full()}
replace = msgspec.structs.replace


def rendered(said: BomFacts) -> Json:
    return json.loads(spdx2.render(said))


def packages(document: Json) -> dict[str, Json]:
    return {package["SPDXID"]: package for package in document["packages"]}


def comments(holder: Json) -> list[str]:
    return [annotation["comment"] for annotation in holder["annotations"]]


def relations(document: Json) -> list[tuple[str, str, str]]:
    return [
        (one["spdxElementId"], one["relationshipType"], one["relatedSpdxElement"]) for one in document["relationships"]
    ]


@pytest.mark.parametrize("name", [*SAMPLES, "full"])
def test_the_bytes_of_a_document_are_pinned(name: str) -> None:
    compare_with_golden(f"bom-{name}.spdx.json", spdx2.render(ALL[name]))


@pytest.mark.parametrize("name", ALL)
def test_the_librarys_strict_validator_accepts_each_sample(name: str) -> None:
    check_strict("spdx", spdx2.render(ALL[name]))


@pytest.mark.parametrize("name", ALL)
def test_the_official_schema_accepts_each_sample(name: str) -> None:
    official("spdx-2.3", "spdx-schema.json").validate(rendered(ALL[name]))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(partial_facts() | any_facts)
def test_whatever_the_facts_are_the_document_is_valid(said: BomFacts) -> None:
    check("spdx", spdx2.render(said))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(partial_facts() | any_facts)
def test_whatever_the_facts_are_the_strict_validator_agrees(said: BomFacts) -> None:
    check_strict("spdx", spdx2.render(said))


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(partial_facts() | any_facts)
def test_whatever_the_facts_are_the_official_schema_agrees(said: BomFacts) -> None:
    official("spdx-2.3", "spdx-schema.json").validate(rendered(said))


def test_equal_facts_give_equal_bytes_in_every_process() -> None:
    code = (
        "import hashlib; from projections.bom import spdx2; from tests.projections.bom_facts import SAMPLES\n"
        "print(hashlib.sha256(b''.join(map(spdx2.render, SAMPLES.values()))).hexdigest())"
    )
    assert len({in_fresh_process(code, hash_seed=seed) for seed in ("0", "1", "4711")}) == 1


@settings(deadline=None, max_examples=50)
@given(any_facts)
def test_a_package_carries_its_own_digest_and_where_it_comes_from(said: BomFacts) -> None:
    found = packages(rendered(said))
    for part in parts(said):
        package, digest = found.pop(f"SPDXRef-{part.ref}"), part.artifact.digest
        assert [sum_["checksumValue"] for sum_ in package.get("checksums", ())] == ([digest.sha256] if digest else [])
        assert f"soup:digest:origin: {digest.origin if digest else 'unknown'}" in comments(package)
        for ref, file in part.files:
            package = found.pop(f"SPDXRef-{ref}")
            assert package["checksums"] == [{"algorithm": "SHA256", "checksumValue": file.sha256}]
            assert "soup:digest:origin: observed" in comments(package)
    assert all(ref.startswith("SPDXRef-package-") for ref in found), "the rest is installed software"


def test_relations_point_the_right_way() -> None:
    assert relations(rendered(SAMPLES["observed"])) == [
        ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-model"),
        ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-config-1"),
        ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-data-1"),
        ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-data-2"),
        ("SPDXRef-model", "DESCENDANT_OF", "SPDXRef-base"),
        ("SPDXRef-config-1", "BUILD_DEPENDENCY_OF", "SPDXRef-model"),
        ("SPDXRef-data-1", "BUILD_DEPENDENCY_OF", "SPDXRef-model"),
        ("SPDXRef-data-2", "BUILD_DEPENDENCY_OF", "SPDXRef-model"),
        ("SPDXRef-model", "CONTAINS", "SPDXRef-model-file-1"),
        ("SPDXRef-model", "CONTAINS", "SPDXRef-model-file-2"),
        ("SPDXRef-model", "CONTAINS", "SPDXRef-model-file-3"),
    ]


def test_the_files_of_a_directory_are_packages_since_a_file_element_would_need_a_sha1() -> None:
    document = rendered(SAMPLES["observed"])
    files = [package for ref, package in packages(document).items() if "-file-" in ref]
    assert [file["name"] for file in files] == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer/vocab.json",
    ]
    assert {file["primaryPackagePurpose"] for file in files} == {"FILE"}
    assert "files" not in document


def test_a_model_is_told_by_annotation_since_no_purpose_fits() -> None:
    found = packages(rendered(SAMPLES["observed"]))
    assert {ref: package["primaryPackagePurpose"] for ref, package in found.items() if "-file-" not in ref} == {
        "SPDXRef-model": "OTHER",
        "SPDXRef-base": "OTHER",
        "SPDXRef-config-1": "FILE",
        "SPDXRef-data-1": "FILE",
        "SPDXRef-data-2": "OTHER",
    }
    assert "ai:primaryPurpose: model" in comments(found["SPDXRef-model"])
    assert "ai:primaryPurpose: data" in comments(found["SPDXRef-data-1"])


def test_annotations_mirror_the_profiles_of_spdx_3() -> None:
    found = packages(rendered(full()))
    model, data = comments(found["SPDXRef-model"]), comments(found["SPDXRef-data-1"])
    assert {
        "ai:autonomyType: no",
        "ai:domain: humour",
        "ai:finetuningEnergyConsumption: 0.0125 kilowattHour",
        "ai:hyperparameter: lora_r = 8",
        "ai:informationAboutApplication: Intended use: Writing mock dictionary entries for entertainment.",
        "ai:limitation: English only.",
        "ai:metric: perplexity (held-out entries) = 21.5",
        "ai:metricDecisionThreshold: perplexity (held-out entries) = 30",
        "ai:safetyRiskAssessment: low",
        "ai:typeOfModel: lora-adapter",
    } <= set(model)
    assert {"ai:confidentialityLevel: clear", "ai:datasetType: text", "ai:datasetSize: 61000"} <= set(data)


def test_annotations_say_where_each_fact_comes_from() -> None:
    model = comments(packages(rendered(full()))["SPDXRef-model"])
    assert {
        "soup:digest:origin: observed",
        "soup:origin:licence: declared, entry 7",
        "soup:origin:metric: observed, entry 3: loss (held-out)",
        "soup:origin:stated: declared, entry 6",
        "soup:run:outcome: completed",
    } <= set(model)


def test_supplier_places_and_times_are_those_that_were_stated() -> None:
    found = packages(rendered(full()))
    model = found["SPDXRef-model"]
    assert model["supplier"] == "Organization: Example Lexicography (models@lexicography.example)"
    assert model["homepage"] == "https://lexicography.example/models"
    assert model["downloadLocation"] == "https://lexicography.example/models/devils-dictionary-1.0.0.tar"
    assert model["copyrightText"] == "Copyright 2026 Example Lexicography"
    assert (model["builtDate"], model["releaseDate"]) == ("2026-03-01T12:10:00Z", "2026-03-01T00:00:00Z")
    assert found["SPDXRef-base"]["versionInfo"] == "12fd25f77366fa6b3b4b768ec3050bf629380bac"
    assert found["SPDXRef-data-1"]["licenseDeclared"] == "CC0-1.0"
    assert "Person: Model desk (models@lexicography.example)" in rendered(full())["creationInfo"]["creators"]


def test_a_package_url_stands_in_the_category_that_the_official_schema_spells() -> None:
    references = packages(rendered(full()))["SPDXRef-model"]["externalRefs"]
    assert references[0] == {
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceLocator": "pkg:huggingface/example/devils-dictionary@1.0.0",
        "referenceType": "purl",
    }
    assert f"sha256:{sha('attestation')}" in [reference["referenceLocator"] for reference in references]


def test_software_evaluation_data_and_further_artifacts_are_related() -> None:
    found = relations(rendered(full()))
    assert [to for one, kind, to in found if (one, kind) == ("SPDXRef-model", "DEPENDS_ON")] == [
        "SPDXRef-base",
        "SPDXRef-package-1",
        "SPDXRef-package-2",
        "SPDXRef-package-3",
    ]
    assert ("SPDXRef-package-3", "DEPENDS_ON", "SPDXRef-package-2") in found
    assert ("SPDXRef-model", "OTHER", "SPDXRef-artifact-1") in found
    said = full()
    data = next(artifact for artifact in said.artifacts if artifact.role == "data")
    tested = replace(said, run=None, artifacts=(replace(data, stated=replace(data.stated, role="evaluation")),))
    assert ("SPDXRef-data-1", "TEST_OF", "SPDXRef-model") in relations(rendered(tested))


def test_a_file_has_the_version_and_the_supplier_of_the_package_around_it() -> None:
    found = packages(rendered(full()))
    for field in ("supplier", "versionInfo"):
        assert found["SPDXRef-model-file-1"][field] == found["SPDXRef-model"][field]


def test_an_address_that_is_none_is_never_a_location() -> None:
    said = full()
    model = replace(said.said.model, links=[replace(said.said.model.links[2], url="javascript:alert(1)")])
    package = packages(rendered(replace(said, stated=replace(said.stated, value=replace(said.said, model=model)))))
    assert package["SPDXRef-model"]["downloadLocation"] == "NOASSERTION"


def test_no_text_of_a_document_breaks_its_line() -> None:
    def texts(content: Any) -> list[str]:
        if isinstance(content, dict | list):
            return [
                text for each in (content.values() if isinstance(content, dict) else content) for text in texts(each)
            ]
        return [content] if isinstance(content, str) else []

    for said in ALL.values():
        assert not [text for text in texts(rendered(said)) if re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]", text)]


def test_identity_and_time_are_those_of_the_event() -> None:
    document = rendered(facts())
    assert document["creationInfo"] == {"created": "2026-03-01T12:30:15Z", "creators": ["Tool: soup-0.1.0"]}
    namespace = document["documentNamespace"]
    assert re.fullmatch(r"https://spdx\.org/spdxdocs/soup-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", namespace)
    assert namespace != rendered(facts(seed=sha("another entry")))["documentNamespace"]
    serial = json.loads(cyclonedx.render(facts()))["serialNumber"]
    assert serial.removeprefix("urn:uuid:") not in namespace, "two documents, two identities"


def test_the_document_leads_back_into_the_ledger() -> None:
    said = facts()
    assert comments(rendered(said)) == [
        f"soup:renderer: {spdx2.RENDERER}",
        f"soup:ledger:origin: {said.ledger_origin}",
        "soup:ledger:position: 7",
        f"soup:ledger:entry: {said.seed}",
        f"soup:command: {said.command_id}",
    ]


def test_a_name_cannot_forge_a_field_and_is_still_told_in_full() -> None:
    document = rendered(SAMPLES["hostile"])
    model = packages(document)["SPDXRef-model"]
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]", model["name"] + model["versionInfo"] + document["name"])
    (told,) = (comment for comment in comments(model) if comment.startswith("soup:name: "))
    assert json.loads(told.removeprefix("soup:name: ")) == HOSTILE


def test_what_nobody_recorded_is_noassertion() -> None:
    (model,) = rendered(SAMPLES["bare"])["packages"]
    unsaid = ("copyrightText", "downloadLocation", "licenseConcluded", "licenseDeclared", "supplier")
    assert {model[field] for field in unsaid} == {"NOASSERTION"}


@pytest.mark.parametrize(
    ("typed", "declared", "unlisted"),
    [
        ("apache-2.0", "Apache-2.0", None),
        ("gpl-3.0", "GPL-3.0", None),
        ("mit or apache-2.0", "MIT OR Apache-2.0", None),
        ("llama3.1", "LicenseRef-soup-declared", "llama3.1"),
        ("OpenMDW-1.0", "LicenseRef-soup-declared", "OpenMDW-1.0"),  # on the list, but newer than the library's copy
        ("LicenseRef-scancode-public-domain", "LicenseRef-soup-declared", "LicenseRef-scancode-public-domain"),
    ],
)
def test_a_licence_is_on_the_list_or_defined_in_the_document(typed: str, declared: str, unlisted: str | None) -> None:
    document = spdx2.render(facts(license=typed))
    content = json.loads(document)
    assert packages(content)["SPDXRef-model"]["licenseDeclared"] == declared
    assert [one["name"] for one in content.get("hasExtractedLicensingInfos", ())] == ([unlisted] if unlisted else [])
    check_strict("spdx", document)


ATTACKS: list[tuple[str, Callable[[Json], object], str]] = [
    ("a fraction of a second", lambda d: d["creationInfo"].update(created="2026-03-01T12:30:15.1Z"), "/creationInfo"),
    ("an offset", lambda d: d["creationInfo"].update(created="2026-03-01T12:30:15+00:00"), "/creationInfo"),
    ("no such day", lambda d: d["creationInfo"].update(created="2026-02-30T12:30:15Z"), "/creationInfo"),
    ("a purpose of SPDX 3", lambda d: d["packages"][0].update(primaryPackagePurpose="AI-MODEL"), "/packages/0"),
    (
        "a relation of no SPDX",
        lambda d: d["relationships"][1].update(relationshipType="DERIVED_FROM"),
        "/relationships/1",
    ),
    ("a misnamed comment", lambda d: d["annotations"][0].update(annotationComment="x"), "/annotations/0"),
    (
        "nothing described",
        lambda d: d.update(relationships=[r for r in d["relationships"] if r["relationshipType"] != "DESCRIBES"]),
        "/relationships",
    ),
    ("a space in the namespace", lambda d: d.update(documentNamespace="https://a/b c"), "/documentNamespace"),
    ("a fragment in the namespace", lambda d: d.update(documentNamespace="https://a/b#c"), "/documentNamespace"),
    ("half a checksum", lambda d: d["packages"][1]["checksums"][0].update(checksumValue="ab"), "/packages/1/checksums"),
    ("a second line in a name", lambda d: d["packages"][0].update(name="a\nb"), "/packages/0/name"),
    ("a dangling relation", lambda d: d["relationships"][1].update(relatedSpdxElement="SPDXRef-x"), "/relationships/1"),
    ("a package twice", lambda d: d["packages"].append(d["packages"][0]), "/packages/4/SPDXID"),
    ("a package posing as the document", lambda d: d["packages"][0].update(SPDXID="SPDXRef-DOCUMENT"), "/packages/0"),
]


@pytest.mark.parametrize(("attack", "path"), [attack[1:] for attack in ATTACKS], ids=[attack[0] for attack in ATTACKS])
def test_the_check_names_the_place_of(attack: Callable[[Json], object], path: str) -> None:
    document = rendered(SAMPLES["declared"])
    attack(document)
    with pytest.raises(InvalidDocumentError) as caught:
        check("spdx", json.dumps(document).encode())
    assert caught.value.path.startswith(path)


@pytest.mark.parametrize("document", [b"", b"[]", b"null", b"{}", b'{"SPDXID": 1}', b'{"packages": [1]}'])
def test_what_is_no_document_is_refused_by_both_checks(document: bytes) -> None:
    for validate in (check, check_strict):
        with pytest.raises(InvalidDocumentError):
            validate("spdx", document)


def test_the_strict_check_finds_what_the_profile_does_not_look_at() -> None:
    document = rendered(SAMPLES["declared"])
    document["packages"][0]["licenseDeclared"] = "LicenseRef-nowhere"
    with pytest.raises(InvalidDocumentError, match="LicenseRef-nowhere"):
        check_strict("spdx", json.dumps(document).encode())


def test_emission_loads_no_graph_library_and_no_slow_validator() -> None:
    code = (
        "import sys; from projections.bom import spdx2, validate; from projections.facts import BomFacts\n"
        "from datetime import datetime, UTC\n"
        "said = BomFacts(name='n', version='1', declared_at=datetime(2026, 1, 1, tzinfo=UTC), seed='ab' * 32,"
        " ledger_origin='o', position=1, soup_version='0', command_id='c', license='mit')\n"
        "validate.check('spdx', spdx2.render(said))\n"
        "slow = {'rdflib', 'jsonschema', 'spdx_tools.common.spdx_licensing', 'spdx_tools.spdx.parser', 'duckdb'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    assert in_fresh_process(code) == "[]\n"
