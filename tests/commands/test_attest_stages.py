"""`soup attest emit`, stage by stage: each predicate holds what its specification asks for, and nothing that was made up."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from commands.version import VERSION
from ledger.entry import time_text
from ledger.events.artifact import ArtifactObserved
from ledger.events.attestation import AttestationDeclared2
from ledger.events.document import DocumentRendered
from tests.commands.runs import (
    CARD_SHA,
    HELD_OUT,
    OUTPUT,
    RUN,
    TRAINING,
    WEIGHTS_SHA,
    a_failed_run,
    a_run,
    begun,
    record,
)
from tests.runner import BOM, A, B, C, Outcome, Soup, digest

PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
RELEASE = "https://in-toto.io/attestation/release/v0.1"
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "example/adapter",
    "GITHUB_RUN_ID": "7",
    "RUNNER_ENVIRONMENT": "github-hosted",
}


def emit(soup: Soup, *line: str | Path) -> dict[str, Any]:
    """Attest, unsigned; give the statement."""
    return payload(soup.ok("attest", "emit", *line, "--sign", "unsigned").json)


def payload(envelope: dict[str, Any]) -> dict[str, Any]:
    document = json.loads(base64.b64decode(envelope["payload"], validate=True))
    assert isinstance(document, dict)
    return document


def fails(soup: Soup, code: int, *line: str | Path) -> Outcome:
    """Attest in vain; nothing may have been declared."""
    outcome = soup("attest", "emit", *line)
    assert (outcome.code, outcome.raw) == (code, b""), outcome.err
    assert "a fault in soup itself" not in outcome.err
    assert soup.events(AttestationDeclared2) == []
    return outcome


def used(descriptors: list[dict[str, Any]]) -> list[tuple[str, str | None, str, str]]:
    return [
        (
            each["annotations"]["soup_role"],
            each.get("name"),
            each["digest"]["sha256"],
            each["annotations"]["soup_origin"],
        )
        for each in descriptors
    ]


# train --run.


def test_a_run_is_attested_without_a_typed_digest(soup: Soup) -> None:
    command = a_run(soup)
    made = emit(soup, "--stage", "train", "--run", "last")
    records = [record for record in soup.records() if record.stream == f"run/{RUN}"]
    assert made["subject"][0]["name"] == "adapter"
    assert made["subject"][0]["digest"] == {"sha256": OUTPUT}
    assert made["subject"][0]["annotations"]["soup_digest"] == "dirHash"
    assert [(each["name"], each["digest"]) for each in made["subject"][1:]] == [
        ("adapter/README.md", {"sha256": CARD_SHA}),
        ("adapter/adapter_model.safetensors", {"sha256": WEIGHTS_SHA}),
    ]
    assert made["predicateType"] == PROVENANCE
    definition = made["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {
        "stage": "train",
        "invocation": "soup train --config soup.yaml",
        "run": RUN,
        "task": "sft",
        "settings": {"lora.r": "8", "training.epochs": "1"},
    }
    assert definition["internalParameters"]["seeds"] == {"torch": "42"}
    assert used(definition["resolvedDependencies"]) == [
        ("base", "HuggingFaceTB/SmolLM2-135M", A, "observed"),
        ("config", None, B, "observed"),
        ("data", "train.jsonl", TRAINING, "observed"),
        ("evaluation", "held-out.jsonl", HELD_OUT, "observed"),
    ]
    assert {each["annotations"]["soup_position"] for each in definition["resolvedDependencies"]} == {
        records[0].position
    }
    details = made["predicate"]["runDetails"]
    assert details["builder"] == {"id": "urn:soup-ledger:builder:local@v1", "version": {"soup": VERSION}}
    assert details["metadata"] == {
        "invocationId": f"urn:uuid:{command}",
        "startedOn": time_text(records[0].time),
        "finishedOn": time_text(records[-1].time),
    }


def test_the_measurements_of_a_run_are_those_of_its_last_evaluation(soup: Soup) -> None:
    a_run(soup)
    made = emit(soup, "--stage", "eval", "--run", RUN[:12], "--result", "passed")
    (measured,) = made["subject"][0]["annotations"]["soup_measurements"]
    assert (measured["slice"], measured["step"], measured["metrics"]) == ("held-out", 8, {"loss": "2.5"})


@pytest.mark.parametrize("option", [("--subject", "x"), ("--sha", A), ("--invocation", "soup train")])
def test_what_a_run_has_recorded_cannot_be_typed_beside_it(soup: Soup, option: tuple[str, str]) -> None:
    a_run(soup)
    assert "cannot stand beside --run" in fails(soup, 2, "--stage", "train", "--run", RUN, *option).err


def test_an_unknown_run_is_an_error(soup: Soup) -> None:
    assert "has no run 'nobody'" in fails(soup, 1, "--stage", "train", "--run", "nobody").err


@pytest.mark.parametrize("stage", ["train", "eval", "export", "publish"])
def test_a_failed_run_has_nothing_to_attest(soup: Soup, stage: str) -> None:
    a_failed_run(soup)
    subject = ("--subject", "x", "--sha", A) if stage == "export" else ()
    assert "failed at step 3" in fails(soup, 1, "--stage", stage, "--run", RUN, *subject).err


def test_a_run_without_an_output_has_nothing_to_attest(soup: Soup) -> None:
    record(soup, begun())
    assert "has not ended" in fails(soup, 1, "--stage", "train", "--run", RUN).err


def test_a_run_extracts_no_data(soup: Soup) -> None:
    a_run(soup)
    fails(soup, 2, "--stage", "extract", "--run", RUN)


def test_a_bill_of_materials_about_the_run_is_a_byproduct_with_its_digest(soup: Soup) -> None:
    a_run(soup)
    soup.ok("bom", "emit", "--run", RUN, "--output", "run.cdx.json")
    made = emit(soup, "--stage", "train", "--run", RUN)
    (byproduct,) = made["predicate"]["runDetails"]["byproducts"]
    assert byproduct["name"] == "run.cdx.json"
    assert byproduct["digest"] == {"sha256": digest((soup.work / "run.cdx.json").read_bytes())}
    assert byproduct["mediaType"].startswith("application/vnd.cyclonedx+json")
    assert byproduct["annotations"]["soup_kind"] == "bom.cyclonedx"


def test_the_newest_bill_of_materials_of_a_typed_subject_is_a_byproduct(soup: Soup) -> None:
    soup.write("adapter", "weights")
    for name in ("old.cdx.json", "new.cdx.json"):
        soup.ok(*BOM, "--model", "adapter", "--output", name)
    soup.ok(*BOM, "--base-sha", A, "--output", "other.cdx.json")
    made = emit(soup, "--stage", "train", "--subject", "adapter")
    assert [each["name"] for each in made["predicate"]["runDetails"]["byproducts"]] == ["new.cdx.json"]


# extract, export.


def test_extraction_is_provenance_of_a_data_set(soup: Soup) -> None:
    soup.write("raw.txt", "raw")
    soup.write("rows.jsonl", "{}\n")
    made = emit(
        soup, "--stage", "extract", "--subject", "rows.jsonl", "--dependency", "data=raw.txt",
        "--dependency", f"code=sha256:{C}",
    )  # fmt: skip
    assert made["predicateType"] == PROVENANCE
    assert used(made["predicate"]["buildDefinition"]["resolvedDependencies"]) == [
        ("data", "raw.txt", digest("raw"), "observed"),
        ("code", None, C, "declared"),
    ]
    streams = {record.stream for record in soup.records() if record.type == ArtifactObserved.TYPE}
    assert streams == {f"dataset/{digest('{}' + chr(10))}", f"dataset/{digest('raw')}"}


def test_an_export_is_made_from_the_adapter_and_the_base_of_a_run(soup: Soup) -> None:
    a_run(soup)
    soup.write("merged.gguf", "GGUF")
    made = emit(soup, "--stage", "export", "--subject", "merged.gguf", "--run", RUN)
    assert made["predicateType"] == PROVENANCE
    assert made["subject"][0]["digest"] == {"sha256": digest("GGUF")}
    assert used(made["predicate"]["buildDefinition"]["resolvedDependencies"]) == [
        ("adapter", "adapter", OUTPUT, "observed"),
        ("base", "HuggingFaceTB/SmolLM2-135M", A, "observed"),
    ]
    assert made["predicate"]["runDetails"]["metadata"] == {}  # when the run ran is not when this was exported


def test_an_export_names_what_was_exported(soup: Soup) -> None:
    a_run(soup)
    fails(soup, 2, "--stage", "export", "--run", RUN)


# eval.


def test_an_evaluation_is_a_test_result(soup: Soup) -> None:
    soup.write("adapter", "weights")
    soup.write("eval.yaml", "tasks: [a]\n")
    made = emit(
        soup, "--stage", "eval", "--subject", "adapter", "--result", "failed", "--passed-test", "refuses", "--passed-test",
        "helps", "--warned-test", "slow", "--failed-test", "toxicity below 0.01", "--test-url", "https://ci.example/7",
        "--dependency", "config=eval.yaml", "--dependency", f"evaluation=sha256:{B}",
    )  # fmt: skip
    assert made["predicateType"] == TEST_RESULT
    predicate = made["predicate"]
    assert {name: predicate[name] for name in ("result", "url", "passedTests", "warnedTests", "failedTests")} == {
        "result": "FAILED",
        "url": "https://ci.example/7",
        "passedTests": ["refuses", "helps"],
        "warnedTests": ["slow"],
        "failedTests": ["toxicity below 0.01"],
    }
    assert used(predicate["configuration"]) == [
        ("config", "eval.yaml", digest("tasks: [a]\n"), "observed"),
        ("evaluation", None, B, "declared"),
    ]
    assert set(predicate) == {"result", "configuration", "url", "passedTests", "warnedTests", "failedTests"}
    builder = made["subject"][0]["annotations"]["soup_builder"]
    assert builder == {"id": "urn:soup-ledger:builder:local@v1", "version": {"soup": VERSION}}


@pytest.mark.parametrize(
    ("line", "result"),
    [
        (("--result", "passed"), "PASSED"),
        (("--result", "warned", "--passed-test", "a"), "WARNED"),
        (("--passed-test", "a"), "PASSED"),
        (("--passed-test", "a", "--warned-test", "b"), "WARNED"),
        (("--warned-test", "b", "--failed-test", "c"), "FAILED"),
    ],
)
def test_a_result_that_is_not_typed_is_that_of_the_worst_test(soup: Soup, line: tuple[str, ...], result: str) -> None:
    assert emit(soup, "--stage", "eval", "--subject", "x", "--sha", A, *line)["predicate"]["result"] == result


@pytest.mark.parametrize(
    "line",
    [
        ("--result", "passed", "--failed-test", "a"),
        ("--result", "warned", "--failed-test", "a"),
        ("--result", "passed", "--warned-test", "a"),
        ("--passed-test", "a", "--failed-test", "a"),
        ("--passed-test", "a", "--passed-test", "a"),
        ("--test-url", "https://ci.example/7"),
        ("--result", "passed", "--test-url", "no uri"),
        ("--result", "passed", "--test-url", "relative/path"),
    ],
)
def test_an_outcome_that_contradicts_itself_is_a_usage_error(soup: Soup, line: tuple[str, ...]) -> None:
    fails(soup, 2, "--stage", "eval", "--subject", "x", "--sha", A, *line)


def test_an_evaluation_of_a_run_names_its_held_out_data_and_not_its_training_data(soup: Soup) -> None:
    command = a_run(soup)
    made = emit(soup, "--stage", "eval", "--run", RUN, "--result", "passed")
    assert [role for role, *_ in used(made["predicate"]["configuration"])] == ["base", "config", "evaluation"]
    assert made["subject"][0]["annotations"]["soup_run"] == RUN
    assert made["subject"][0]["annotations"]["soup_metadata"] == {"invocationId": f"urn:uuid:{command}"}


def test_an_evaluation_without_an_outcome_says_so(soup: Soup) -> None:
    outcome = soup.ok("attest", "emit", "--stage", "eval", "--subject", "x", "--sha", A)
    assert payload(outcome.json)["predicateType"] == PROVENANCE
    assert "tells no outcome" in outcome.err


# publish.


def test_a_publication_is_a_release(soup: Soup) -> None:
    a_run(soup)
    made = emit(
        soup, "--stage", "publish", "--run", RUN, "--purl", "pkg:huggingface/example/adapter@1.0", "--release-id", "r-7"
    )
    assert made["predicateType"] == RELEASE
    assert made["predicate"] == {"purl": "pkg:huggingface/example/adapter@1.0", "releaseId": "r-7"}
    assert [each["name"] for each in made["subject"]] == [
        "adapter", "adapter/README.md", "adapter/adapter_model.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "purl",
    [
        "adapter",
        "pkg:huggingface/example/adapter",
        "pkg:/x@1",
        "pkg:generic/x@",
        "https://example.org/x@1",
        "pkg:generic/a b@1",
    ],
)
def test_a_release_names_its_version(soup: Soup, purl: str) -> None:
    fails(soup, 2, "--stage", "publish", "--subject", "x", "--sha", A, "--purl", purl)


@pytest.mark.parametrize(
    "line",
    [
        ("--stage", "train", "--result", "passed"),
        ("--stage", "publish", "--failed-test", "a"),
        ("--stage", "eval", "--purl", "pkg:generic/x@1"),
        ("--stage", "publish", "--release-id", "r"),
    ],
)
def test_options_of_another_stage_are_refused(soup: Soup, line: tuple[str, ...]) -> None:
    fails(soup, 2, *line, "--subject", "x", "--sha", A)


# Subjects.


def test_a_directory_is_its_dirhash_and_each_of_its_files(soup: Soup) -> None:
    soup.write("adapter/config.json", "{}")
    soup.write("adapter/weights", "w")
    made = emit(soup, "--stage", "train", "--subject", "adapter")
    listing = f"{digest('{}')}  config.json\n{digest('w')}  weights\n"
    assert [(each["name"], each["digest"]) for each in made["subject"]] == [
        ("adapter", {"sha256": digest(listing)}),
        ("adapter/config.json", {"sha256": digest("{}")}),
        ("adapter/weights", {"sha256": digest("w")}),
    ]


def test_one_file_of_an_attested_directory_can_be_verified_alone(soup: Soup) -> None:
    soup.write("adapter/weights", "w")
    soup.ok("attest", "emit", "--stage", "train", "--subject", "adapter", "--output", "a.json")
    soup.ok("keys", "export", "author", "--format", "pem", "--output", "author.pem")
    soup.ok("attest", "verify", "a.json", "--key", "author.pem", "--artifact", "adapter/weights")
    soup.ok("attest", "verify", "a.json", "--key", "author.pem", "--artifact", "adapter")


def test_several_subjects_stand_in_one_statement(soup: Soup) -> None:
    made = emit(soup, "--stage", "export", "--subject", "a", "--sha", A, "--subject", "b", "--sha", B)
    assert [(each["name"], each["digest"]["sha256"]) for each in made["subject"]] == [("a", A), ("b", B)]


@pytest.mark.parametrize(
    "line",
    [
        ("--subject", "a", "--sha", A, "--subject", "a", "--sha", A),
        ("--subject", "a", "--sha", A, "--subject", " a", "--sha", B),
        ("--subject", "a", "--sha", A, "--subject", "b"),
        ("--subject", "a", "--sha", A, "--sha", B),
        ("--sha", A),
        (),
        ("--subject", "", "--sha", A),
        ("--subject", "x" * 1025, "--sha", A),
    ],
)
def test_subjects_have_a_name_each_and_no_name_twice(soup: Soup, line: tuple[str, ...]) -> None:
    fails(soup, 2, "--stage", "train", *line)


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "a\u2028b", "a\x7fb", "a\rb"])
@pytest.mark.parametrize("option", ["--subject", "--builder", "--passed-test", "--release-id"])
def test_a_control_character_in_a_name_is_refused(soup: Soup, option: str, name: str) -> None:
    stage = {"--passed-test": "eval", "--release-id": "publish"}.get(option, "train")
    subject = () if option == "--subject" else ("--subject", "x")
    purl = ("--purl", "pkg:generic/x@1") if option == "--release-id" else ()
    outcome = fails(soup, 2, "--stage", stage, *subject, option, name, "--sha", A, *purl)
    assert not {"\x1b", "\u2028", "\x7f", "\r"} & set(outcome.err)


def test_a_control_character_in_a_files_name_is_shown_escaped(soup: Soup) -> None:
    soup.write("adapter/a\x1b[2Jb", "w")
    made = emit(soup, "--stage", "train", "--subject", "adapter")
    assert made["subject"][1]["name"] == "adapter/a\\u001b[2Jb"


def test_files_whose_names_redaction_has_made_one_keep_a_name_each(soup: Soup) -> None:
    for secret in ("16C7e42F292c6912E7710c838347Ae178B4a", "26C7e42F292c6912E7710c838347Ae178B4b"):
        soup.write(f"adapter/ghp_{secret}", secret)
    names = [each["name"] for each in emit(soup, "--stage", "train", "--subject", "adapter")["subject"]]
    assert len(set(names)) == len(names) == 3
    assert not any("ghp_" in name for name in names)


@pytest.mark.parametrize(
    "value", ["", "data", "data=", "=x", "stuff=x", "data=sha256:abc", "data=sha256:", f"data=sha256:{A}0", f"DATA={A}"]
)
def test_a_dependency_has_a_role_and_a_path_or_digest(soup: Soup, value: str) -> None:
    fails(soup, 2, "--stage", "train", "--subject", "x", "--sha", A, "--dependency", value)


def test_a_dependency_that_is_not_there_is_an_error(soup: Soup) -> None:
    fails(soup, 1, "--stage", "train", "--subject", "x", "--sha", A, "--dependency", "data=nothing")


def test_a_dependency_in_the_same_role_stands_once(soup: Soup) -> None:
    soup.write("d", "d")
    line = ("--dependency", "data=d", "--dependency", f"data=sha256:{digest('d')}", "--dependency", "evaluation=d")
    made = emit(soup, "--stage", "train", "--subject", "x", "--sha", A, *line)
    assert [role for role, *_ in used(made["predicate"]["buildDefinition"]["resolvedDependencies"])] == [
        "data",
        "evaluation",
    ]


# Builder and level.


def test_a_builder_is_local_unless_something_says_otherwise(soup: Soup) -> None:
    outcome = soup.ok("attest", "emit", "--stage", "train", "--subject", "x", "--sha", A)
    definition, details = (payload(outcome.json)["predicate"][name] for name in ("buildDefinition", "runDetails"))
    assert details["builder"]["id"] == "urn:soup-ledger:builder:local@v1"
    assert set(definition["internalParameters"]) == {"soup_ledger"}


@pytest.mark.parametrize(
    ("environ", "builder", "claimed"),
    [
        (GITHUB, "ci-github", {name: value for name, value in GITHUB.items() if name != "GITHUB_ACTIONS"}),
        ({"GITLAB_CI": "true", "CI": "true", "CI_JOB_ID": "9"}, "ci-gitlab", {"CI_JOB_ID": "9"}),
        ({"CI": "1"}, "ci", {}),
    ],
)
def test_a_ci_system_is_recorded_as_a_claim(
    soup: Soup, environ: dict[str, str], builder: str, claimed: dict[str, str]
) -> None:
    made = emit(soup.with_env(**environ), "--stage", "train", "--subject", "x", "--sha", A)
    assert made["predicate"]["runDetails"]["builder"]["id"] == f"urn:soup-ledger:builder:{builder}@v1"
    ci = made["predicate"]["buildDefinition"]["internalParameters"]["soup_claimed_ci"]
    assert ci["variables"] == claimed


def test_a_secret_in_a_ci_variable_is_hidden(soup: Soup) -> None:
    secret = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
    there = soup.with_env(**{**GITHUB, "GITHUB_REF": f"refs/heads/{secret}"})
    assert secret not in json.dumps(emit(there, "--stage", "train", "--subject", "x", "--sha", A))
    assert secret.encode() not in soup.stored()


@pytest.mark.parametrize("name", ["https://ci.example/runner@v1", "urn:example:builder"])
def test_a_builder_that_is_a_uri_stays_as_it_is(soup: Soup, name: str) -> None:
    made = emit(soup, "--stage", "train", "--subject", "x", "--sha", A, "--builder", name)
    assert made["predicate"]["runDetails"]["builder"]["id"] == name


def test_the_level_that_can_be_reached_is_told_to_the_person_and_claimed_nowhere(soup: Soup) -> None:
    typed = soup.ok("attest", "emit", "--stage", "train", "--subject", "x", "--sha", A)
    assert "Build L0" in typed.err
    a_run(soup)
    recorded = soup.ok("attest", "emit", "--stage", "train", "--run", RUN)
    assert "Build L1 is reachable" in recorded.err
    in_ci = soup.with_env(**GITHUB).ok("attest", "emit", "--stage", "train", "--run", RUN)
    assert "Build L1 is reachable" in in_ci.err
    assert "the job holds the key" in in_ci.err
    result = soup.ok("attest", "emit", "--stage", "eval", "--run", RUN, "--result", "passed")
    assert "no Build level follows" in result.err
    for outcome in (typed, recorded, in_ci, result):
        assert "level" not in json.dumps(payload(outcome.json)).lower()


# Bundles, and signatures that outlive their statement.


def test_a_bundle_holds_the_same_statement_and_signature_as_the_envelope(soup: Soup) -> None:
    line = ("--stage", "train", "--subject", "x", "--sha", A, "--output", "a.json", "--bundle", "a.sigstore.json")
    soup.ok("attest", "emit", *line)
    envelope, bundle = (json.loads((soup.work / name).read_bytes()) for name in ("a.json", "a.sigstore.json"))
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["dsseEnvelope"]["payload"] == envelope["payload"]
    assert bundle["dsseEnvelope"]["signatures"][0]["sig"] == envelope["signatures"][0]["sig"]
    soup.ok("keys", "export", "author", "--format", "pem", "--output", "author.pem")
    soup.ok("attest", "verify", "a.sigstore.json", "--key", "author.pem")
    assert soup.ok("rebuild", "--check", "--json").json["counts"] == {"identical": 2}
    assert {event.kind for event in soup.events(DocumentRendered)} == {"attestation", "attestation.bundle"}


def test_an_unsigned_statement_has_no_bundle(soup: Soup) -> None:
    fails(soup, 2, "--stage", "train", "--subject", "x", "--sha", A, "--sign", "unsigned", "--bundle", "b.json")
    assert list(soup.work.iterdir()) == []


AGAIN = ("attest", "emit", "--stage", "train", "--subject", "x", "--sha", A, "--output", "a.json")


@pytest.mark.parametrize("backend", ["unsigned", "ed25519"])
def test_no_signature_of_a_replaced_statement_stays_beside_the_new_one(soup: Soup, backend: str) -> None:
    soup.ok(*AGAIN, "--bundle", "a.sigstore.json")
    outcome = soup.ok(*AGAIN, "--sign", backend)
    assert {path.name for path in soup.work.iterdir()} == {"a.json"}
    assert "removed" in outcome.err
    assert soup.ok("rebuild", "--check", "--json").json["counts"] == {"identical": 3}


def test_a_bundle_that_is_written_anew_stays(soup: Soup) -> None:
    soup.ok(*AGAIN, "--bundle", "a.sigstore.json")
    assert "removed" not in soup.ok(*AGAIN, "--bundle", "a.sigstore.json").err
    envelope, bundle = (json.loads((soup.work / name).read_bytes()) for name in ("a.json", "a.sigstore.json"))
    assert bundle["dsseEnvelope"]["payload"] == envelope["payload"]


def test_a_bundle_that_somebody_has_changed_is_named_and_not_removed(soup: Soup) -> None:
    soup.ok(*AGAIN, "--bundle", "a.sigstore.json")
    soup.write("a.sigstore.json", "theirs")
    assert "warning" in soup.ok(*AGAIN, "--sign", "unsigned").err
    assert (soup.work / "a.sigstore.json").read_text() == "theirs"


def test_a_link_in_a_bundles_place_is_not_followed(soup: Soup) -> None:
    soup.ok(*AGAIN, "--bundle", "a.sigstore.json")
    elsewhere = soup.write("elsewhere", (soup.work / "a.sigstore.json").read_bytes())
    (soup.work / "a.sigstore.json").unlink()
    (soup.work / "a.sigstore.json").symlink_to(elsewhere)
    soup.ok(*AGAIN, "--sign", "unsigned")
    assert elsewhere.exists()
    assert (soup.work / "a.sigstore.json").is_symlink()


# Rebuilding.


def test_every_stage_is_rebuilt_byte_for_byte(soup: Soup) -> None:
    a_run(soup)
    soup.write("dir/file", "x")
    lines = [
        ("--stage", "extract", "--subject", "dir"),
        ("--stage", "train", "--run", RUN),
        ("--stage", "eval", "--run", RUN, "--passed-test", "a"),
        ("--stage", "export", "--run", RUN, "--subject", "dir"),
        ("--stage", "publish", "--run", RUN, "--purl", "pkg:generic/x@1"),
    ]
    for line in lines:
        soup.ok("attest", "emit", *line)
    soup.ok("attest", "emit", *lines[1])  # later events of the same streams change nothing
    assert soup.ok("rebuild", "--check", "--json").json["counts"] == {"identical": 6}


def test_the_statement_of_every_stage_is_one_that_sigstore_would_sign(soup: Soup) -> None:
    from sigstore import dsse  # 0.8 s: not when collecting

    a_run(soup)
    soup.write("dir/file", "x")
    for line in (
        ("--stage", "extract", "--subject", "dir", "--dependency", "data=dir"),
        ("--stage", "train", "--run", RUN),
        ("--stage", "eval", "--run", RUN, "--passed-test", "a"),
        ("--stage", "publish", "--run", RUN, "--purl", "pkg:generic/x@1"),
    ):
        raw = json.dumps(emit(soup, *line)).encode()
        assert dsse.Statement(raw)._contents == raw
