"""`soup bom emit` with all that it can be given: a run, a parent, further files, an environment, energy; each in every format."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ledger.events.document import BomDeclared2
from ledger.events.environment import EnvironmentObserved
from projections.bom.read import Document, read
from tests.commands.runs import OUTPUT, RUN, TRAINING, WEIGHTS_SHA, a_failed_run, a_run, begun, record
from tests.runner import BOM, A, B, Soup, digest

ENERGY = "{activity: fine-tuning, kwh: 0.5, method: meter, source: bill 7, pue: 1.2, intensity: {g_per_kwh: 400, source: UBA}}"


def documents(soup: Soup, *line: str | Path) -> dict[str, Document]:
    """Emit in all formats; give what each document says, by its suffix."""
    soup.ok("bom", "emit", *line, "--format", "all", "--output", "m")
    return {name: read((soup.work / f"m.{name}").read_bytes()) for name in ("cdx.json", "spdx.json", "spdx3.json")}


def cyclonedx(soup: Soup, *line: str | Path) -> dict[str, Any]:
    document = soup.ok(*BOM, *line).json
    assert isinstance(document, dict)
    return document


# A run.


def test_a_run_fills_every_format_with_no_typed_digest(soup: Soup) -> None:
    a_run(soup)
    for suffix, document in documents(soup, "--run", RUN).items():
        assert document.value("model", "name") == "devils-dictionary", suffix
        assert document.value("model", "version") == f"0+{OUTPUT[:12]}", suffix
        hashes = {fact.value for fact in document.facts if fact.name == "hash"}
        assert {OUTPUT, A, B, TRAINING, WEIGHTS_SHA} <= hashes, suffix
    (declared,) = soup.events(BomDeclared2)
    assert (declared.run, declared.base_revision, declared.task) == (RUN, "93efa2f", "sft")
    assert declared.model is not None
    assert (declared.model.sha256, declared.model.origin) == (OUTPUT, "observed")


@pytest.mark.parametrize("text", [RUN, RUN[:13], "last"])
def test_a_run_is_found_by_its_id_the_beginning_of_it_or_as_the_last(soup: Soup, text: str) -> None:
    a_run(soup)
    soup.ok("bom", "emit", "--run", text)
    assert soup.events(BomDeclared2)[0].run == RUN


def test_several_runs_that_begin_alike_are_not_guessed_between(soup: Soup) -> None:
    a_run(soup)
    record(soup, begun(f"{RUN}-2"), run=f"{RUN}-2")
    outcome = soup("bom", "emit", "--run", RUN[:8])
    assert outcome.code == 1
    assert "several runs begin with" in outcome.err
    soup.ok("bom", "emit", "--run", RUN)  # the whole of an id is no beginning


def test_a_run_without_an_output_has_no_bill_of_materials(soup: Soup) -> None:
    a_failed_run(soup)
    outcome = soup("bom", "emit", "--run", RUN)
    assert outcome.code == 1
    assert "failed at step 3" in outcome.err
    record(soup, begun("still-at-work"), run="still-at-work")
    assert "has not ended" in soup("bom", "emit", "--run", "still-at-work").err
    assert soup.events(BomDeclared2) == []


@pytest.mark.parametrize(("text", "code"), [("nothing-like-it", 1), ("../../etc", 2), ("%", 2)])
def test_what_names_no_run_is_refused(soup: Soup, text: str, code: int) -> None:
    a_run(soup)
    assert soup("bom", "emit", "--run", text).code == code


def test_what_a_run_has_recorded_cannot_be_typed_beside_it(soup: Soup) -> None:
    a_run(soup)
    outcome = soup("bom", "emit", "--run", RUN, "--base-sha", A, "--task", "dpo")
    assert outcome.code == 2
    assert "--base-sha, --task cannot stand beside --run" in outcome.err


def test_without_a_run_name_and_version_are_asked_for(soup: Soup) -> None:
    for missing, given in (("--name", ("--version", "1")), ("--version", ("--name", "m"))):
        outcome = soup("bom", "emit", *given)
        assert outcome.code == 2
        assert f"{missing} is missing" in outcome.err


# What else may be given.


def test_a_parent_is_named_by_its_digest_and_its_own_identity(soup: Soup) -> None:
    (soup.work / "p.cdx.json").write_bytes(soup.ok(*BOM).raw)
    serial = json.loads((soup.work / "p.cdx.json").read_bytes())["serialNumber"]
    soup.ok(*BOM, "--parent", "p.cdx.json")
    parent = soup.events(BomDeclared2)[-1].parent
    assert parent is not None
    assert (parent.format, parent.id, parent.sha256) == (
        "cyclonedx",
        serial,
        digest((soup.work / "p.cdx.json").read_bytes()),
    )


@pytest.mark.parametrize("form", ["spdx", "spdx3"])
def test_a_parent_may_be_of_any_format(soup: Soup, form: str) -> None:
    (soup.work / "p.json").write_bytes(soup.ok(*BOM, "--format", form).raw)
    soup.ok(*BOM, "--parent", "p.json")
    parent = soup.events(BomDeclared2)[-1].parent
    assert parent is not None
    assert (parent.format, bool(parent.id)) == (form, True)


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000, '{"bomFormat": "other"}'])
def test_what_is_no_bill_of_materials_is_no_parent(soup: Soup, content: str) -> None:
    soup.write("p.json", content)
    outcome = soup(*BOM, "--parent", "p.json")
    assert outcome.code == 1
    assert "is no bill of materials" in outcome.err


def test_further_files_stand_in_every_format_under_their_digest(soup: Soup) -> None:
    soup.write("merged.gguf", "not really")
    soup.write("card/README.md", "# card")
    given = ("--name", "m", "--version", "1", "--artifact", "merged.gguf", "--artifact", "card")
    for suffix, document in documents(soup, *given).items():
        assert digest(b"not really") in {fact.value for fact in document.facts if fact.name == "hash"}, suffix


def test_one_artifact_cannot_stand_twice(soup: Soup) -> None:
    soup.write("a", "same")
    soup.write("b", "same")
    outcome = soup(*BOM, "--artifact", "a", "--artifact", "b")
    assert outcome.code == 2
    assert "'b' is given twice" in outcome.err.replace(f"{soup.work}/", "")


def test_energy_and_its_co2_stand_in_the_model_card_in_tonnes(soup: Soup) -> None:
    soup.write("energy.yaml", ENERGY)
    card = cyclonedx(soup, "--energy", "energy.yaml")["metadata"]["component"]["modelCard"]
    (used,) = card["considerations"]["environmentalConsiderations"]["energyConsumptions"]
    assert used["activity"] == "fine-tuning"
    assert used["activityEnergyCost"] == {"value": 0.5, "unit": "kWh"}
    assert used["co2CostEquivalent"] == {"value": 0.00024, "unit": "tCO2eq"}  # 0.5 kWh * 1.2 * 400 g


def test_energy_that_contradicts_itself_is_refused_before_anything_is_declared(soup: Soup) -> None:
    soup.write("energy.yaml", ENERGY[:-1] + ", co2: {value: 500, unit: gCO2eq}}")
    outcome = soup(*BOM, "--energy", "energy.yaml")
    assert outcome.code == 1
    assert "240" in outcome.err
    assert soup.events(BomDeclared2) == []


def test_the_environment_is_recorded_and_listed_where_asked_for_only(soup: Soup) -> None:
    names = {each["name"] for each in cyclonedx(soup, "--with-environment")["components"]}
    (seen,) = soup.events(EnvironmentObserved)
    assert {package.name for package in seen.packages} <= names
    assert "msgspec" in names
    assert "msgspec" not in {each["name"] for each in cyclonedx(soup)["components"]}


def test_an_attestation_of_the_same_model_is_referred_to_by_its_digest(soup: Soup) -> None:
    soup.write("adapter.safetensors", "weights")
    attest = ("attest", "emit", "--stage", "train", "--subject", "adapter.safetensors", "--builder", "b")
    soup.ok(*attest, "--output", "train.json")
    envelope = digest((soup.work / "train.json").read_bytes())
    references = cyclonedx(soup, "--model", "adapter.safetensors")["metadata"]["component"]["externalReferences"]
    assert [each["hashes"] for each in references if each["type"] == "attestation"] == [
        [{"alg": "SHA-256", "content": envelope}]
    ]


# Signatures.


def test_each_document_gets_a_signed_statement_that_holds_it_whole(soup: Soup) -> None:
    soup.write("adapter.safetensors", "weights")
    given = ("--name", "m", "--version", "1", "--model", "adapter.safetensors")
    soup.ok("bom", "emit", *given, "--format", "all", "--sign", "ed25519", "--output", "m")
    soup.ok("keys", "export", "author", "--format", "pem", "--output", "author.pem")
    for suffix in ("cdx.json", "spdx.json", "spdx3.json"):
        envelope = f"m.{suffix}.intoto.json"
        told = soup.ok(
            "attest", "verify", envelope, "--key", "author.pem", "--artifact", "adapter.safetensors", "--json"
        )
        assert told.json["predicate"] == json.loads((soup.work / f"m.{suffix}").read_bytes())


def test_a_statement_needs_a_place_beside_its_document(soup: Soup) -> None:
    outcome = soup(*BOM, "--sign", "ed25519")
    assert outcome.code == 2
    assert "--output" in outcome.err
    assert soup.events(BomDeclared2) == []


def test_an_edited_statement_is_refused(soup: Soup) -> None:
    soup.ok(*BOM, "--base-sha", A, "--sign", "ed25519", "--output", "m.json")
    soup.ok("keys", "export", "author", "--format", "pem", "--output", "author.pem")
    path = soup.work / "m.json.intoto.json"
    envelope = json.loads(path.read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(A.encode(), B.encode())
    path.write_text(json.dumps({**envelope, "payload": base64.b64encode(payload).decode()}))
    assert soup("attest", "verify", path, "--key", "author.pem").code == 3
