"""`soup bom`: what was observed and what was declared, published whole, and checked against the ledger."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from commands.observe import observe_directory
from ledger.events.artifact import ArtifactDeclared, ArtifactObserved
from ledger.events.document import BomDeclared2, DocumentPublished, DocumentRendered
from projections.bom.validate import check_strict
from tests.runner import BOM, A, B, C, Soup, digest, tree_of

ISSUE = (
    "bom", "emit", "--name", "llama3-8b-finetuned", "--version", "1.0.0",
    "--base-model", "meta-llama/Llama-3.1-8B-Instruct", "--base-sha", A, "--config-sha", B, "--data-sha", C,
    "--task", "sft", "--license", "apache-2.0",
)  # fmt: skip
SUFFIXES = (".cdx.json", ".spdx.json")
TOKEN = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"


def components(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The components of a CycloneDX document by reference, the model itself among them."""
    every = [document["metadata"]["component"], *document["components"]]
    return {component["bom-ref"]: without_positions(component) for component in every}


def without_positions(value: Any) -> Any:
    """Where a fact stands in the ledger is no part of the fact."""
    if isinstance(value, dict):
        return {key: without_positions(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_positions(item) for item in value if not is_position(item)]
    return value


def is_position(value: Any) -> bool:
    return isinstance(value, dict) and value.get("name") == "soup:ledger:position"


def origin_of(component: dict[str, Any]) -> str:
    (value,) = [entry["value"] for entry in component["properties"] if entry["name"] == "soup:digest:origin"]
    return str(value)


def sha_of(component: dict[str, Any]) -> str:
    (entry,) = component["hashes"]
    assert entry["alg"] == "SHA-256"
    return str(entry["content"])


def refused_before_anything_was_declared(soup: Soup, code: int, *line: str | Path) -> str:
    """Give the sentence; nothing may stand in the ledger but the bracket, and nothing on stdout."""
    outcome = soup(*line)
    assert (outcome.code, outcome.raw) == (code, b"")
    assert "Traceback" not in outcome.err
    assert soup.events(BomDeclared2) == []
    assert soup.events(DocumentRendered) == []
    return outcome.err


# Emission.


def test_the_command_as_it_is_advertised_writes_both_documents(soup: Soup) -> None:
    outcome = soup.ok(*ISSUE, "--format", "both", "--output", "./manifests/llama3-bom")
    assert outcome.raw == b""
    assert set(tree_of(soup.work)) == {"manifests", *(f"manifests/llama3-bom{suffix}" for suffix in SUFFIXES)}
    cyclonedx = json.loads((soup.work / "manifests/llama3-bom.cdx.json").read_bytes())
    assert (cyclonedx["specVersion"], cyclonedx["metadata"]["component"]["type"]) == ("1.6", "machine-learning-model")
    spdx = json.loads((soup.work / "manifests/llama3-bom.spdx.json").read_bytes())
    assert spdx["spdxVersion"] == "SPDX-2.3"


@pytest.mark.slow
def test_each_document_passes_its_librarys_strict_validator(soup: Soup) -> None:
    soup.ok(*ISSUE, "--format", "both", "--output", "m")
    check_strict("cyclonedx", (soup.work / "m.cdx.json").read_bytes())
    check_strict("spdx", (soup.work / "m.spdx.json").read_bytes())
    for suffix in SUFFIXES:
        assert "strict validation: passed" in soup.ok("bom", "verify", "--strict", f"m{suffix}").out


@pytest.mark.parametrize(("form", "key"), [("cyclonedx", "bomFormat"), ("spdx", "spdxVersion")])
def test_without_an_output_the_document_and_nothing_else_is_on_stdout(soup: Soup, form: str, key: str) -> None:
    outcome = soup.ok(*ISSUE, "--format", form)
    assert key in outcome.json
    assert tree_of(soup.work) == {}
    (rendered,) = soup.events(DocumentRendered)
    assert (rendered.sha256, rendered.size, rendered.target) == (digest(outcome.raw), len(outcome.raw), None)


@pytest.mark.slow
def test_stdout_is_pure_in_a_process_too(soup: Soup) -> None:
    assert soup.process(*ISSUE).json["bomFormat"] == "CycloneDX"


def test_both_need_a_prefix(soup: Soup) -> None:
    assert "name a prefix with --output" in refused_before_anything_was_declared(soup, 2, *ISSUE, "--format", "both")


def test_the_same_facts_give_the_same_documents_but_for_the_event_that_explains_them(soup: Soup) -> None:
    first, second = (soup.ok(*ISSUE).json for _ in range(2))
    assert components(first) == components(second)
    assert first["serialNumber"] != second["serialNumber"]


def test_a_document_says_for_each_digest_whether_it_was_observed_or_declared(soup: Soup) -> None:
    soup.write("model.safetensors", "weights")
    soup.write("soup.yaml", "epochs: 1\n")
    line = (*BOM, "--model", "model.safetensors", "--config", "soup.yaml", "--base-sha", A, "--data-sha", B)
    found = components(soup.ok(*line).json)
    assert (origin_of(found["model"]), sha_of(found["model"])) == ("observed", digest("weights"))
    assert (origin_of(found["config-1"]), sha_of(found["config-1"])) == ("observed", digest("epochs: 1\n"))
    assert (origin_of(found["base"]), sha_of(found["base"])) == ("declared", A)
    assert (origin_of(found["data-1"]), sha_of(found["data-1"])) == ("declared", B)
    assert {event.role for event in soup.events(ArtifactObserved)} == {"model", "config"}
    assert {event.role for event in soup.events(ArtifactDeclared)} == {"base", "data"}
    package = {each["SPDXID"]: each for each in soup.ok(*line, "--format", "spdx").json["packages"]}
    comments = {name: {note["comment"] for note in each["annotations"]} for name, each in package.items()}
    assert "soup:digest:origin: observed" in comments["SPDXRef-model"]
    assert "soup:digest:origin: declared" in comments["SPDXRef-base"]


def test_a_model_may_be_a_directory_and_every_file_of_it_is_named(soup: Soup) -> None:
    soup.write("adapter/adapter_model.safetensors", "weights")
    soup.write("adapter/tokenizer/vocab.json", "{}")
    model = components(soup.ok(*BOM, "--model", "adapter").json)["model"]
    assert sha_of(model) == observe_directory(soup.work / "adapter").sha256
    assert {part["name"]: sha_of(part) for part in model["components"]} == {
        "adapter_model.safetensors": digest("weights"),
        "tokenizer/vocab.json": digest("{}"),
    }


def test_a_typed_digest_that_is_the_observed_one_is_observed(soup: Soup) -> None:
    soup.write("data.jsonl", "{}\n")
    document = soup.ok(*BOM, "--data", "data.jsonl", "--data-sha", digest("{}\n")).json
    assert origin_of(components(document)["data-1"]) == "observed"


@pytest.mark.parametrize("role", ["base-path base-sha", "config config-sha", "data data-sha"])
def test_a_typed_digest_that_contradicts_the_observed_one_is_an_error(soup: Soup, role: str) -> None:
    path_option, digest_option = (f"--{option}" for option in role.split())
    soup.write("file", "bytes")
    said = refused_before_anything_was_declared(soup, 1, *BOM, path_option, "file", digest_option, A)
    assert f"{digest_option} says {A[:12]} but {path_option} has {digest('bytes')[:12]}" in said


def test_digests_and_paths_of_data_go_in_pairs(soup: Soup) -> None:
    soup.write("one", "1")
    soup.write("two", "2")
    line = (*BOM, "--data", "one", "--data", "two", "--data-sha", digest("1"))
    assert "2 --data but 1 --data-sha" in refused_before_anything_was_declared(soup, 2, *line)
    pairs = soup.ok(*line, "--data-sha", digest("2")).json
    assert [sha_of(components(pairs)[f"data-{n}"]) for n in (1, 2)] == [digest("1"), digest("2")]


@pytest.mark.parametrize(
    "typed",
    ["", "a", "g" * 64, "a" * 63, "a" * 65, "a" * 40, "\u0661" * 64, "a" * 63 + "\n", "0x" + "a" * 62, " " + "a" * 63],
)
@pytest.mark.parametrize("option", ["--base-sha", "--data-sha"])
def test_a_digest_is_64_hex_digits(soup: Soup, option: str, typed: str) -> None:
    assert f"{option} is not a SHA-256" in refused_before_anything_was_declared(soup, 2, *BOM, option, typed)


def test_a_digest_may_be_typed_in_capitals_or_with_its_algorithm(soup: Soup) -> None:
    document = soup.ok(*BOM, "--base-sha", "SHA256:" + A.upper(), "--config-sha", B.upper()).json
    assert sha_of(components(document)["base"]) == A
    assert sha_of(components(document)["config-1"]) == B


def test_a_missing_file_is_an_error(soup: Soup) -> None:
    assert "'nothing.gguf': No such file" in refused_before_anything_was_declared(
        soup, 1, *BOM, "--model", "nothing.gguf"
    )


def test_an_empty_directory_is_no_model(soup: Soup) -> None:
    (soup.work / "empty").mkdir()
    assert "holds no file" in refused_before_anything_was_declared(soup, 1, *BOM, "--model", "empty")


def test_a_pipe_in_a_files_place_is_refused_without_waiting(soup: Soup) -> None:
    os.mkfifo(soup.work / "pipe")
    assert "is a named pipe" in refused_before_anything_was_declared(soup, 1, *BOM, "--model", "pipe")


@pytest.mark.parametrize("name", ["", " ", "n" * 1025])
def test_a_name_has_something_to_say_and_an_end(soup: Soup, name: str) -> None:
    line = ("bom", "emit", "--name", name, "--version", "1", "--base-sha", A)
    assert "--name must have 1 to 1024 characters" in refused_before_anything_was_declared(soup, 2, *line)


@pytest.mark.parametrize(
    "text", ['x"}],"bomFormat":"Evil', "\x1b[31m", "\u202egnp.exe", "模型", "a\nb", "caf\udce9", "</script>"], ids=ascii
)
def test_no_text_breaks_out_of_its_field(soup: Soup, text: str) -> None:
    line = ("bom", "emit", "--name", text, "--version", text, "--task", text, "--base-model", text, "--base-sha", A)
    document = soup.ok(*line).json
    assert document["bomFormat"] == "CycloneDX"
    assert soup.ok(*line, "--format", "spdx").json["spdxVersion"] == "SPDX-2.3"
    assert soup.ok("rebuild", "--check", "--json").json["counts"] == {"identical": 2}


def test_a_secret_in_a_name_reaches_neither_document_nor_ledger(soup: Soup) -> None:
    line = (
        "bom",
        "emit",
        "--name",
        f"m {TOKEN}",
        "--version",
        TOKEN,
        "--task",
        TOKEN,
        "--license",
        "MIT",
        "--base-sha",
        A,
    )
    outcome = soup.ok(*line, "--base-model", f"https://user:{TOKEN}@hub/m", "--format", "both", "--output", "m")
    published = b"".join(content or b"" for content in tree_of(soup.work).values())
    for place in (published, soup.stored(), outcome.raw, outcome.err.encode()):
        assert TOKEN.encode() not in place
    assert b"[redacted:" in published
    assert sum(soup.events(BomDeclared2)[0].redactions.values()) >= 4


def test_a_secret_in_a_file_name_reaches_neither_document_nor_ledger(soup: Soup) -> None:
    soup.write(f"model/{TOKEN}.bin", "weights")
    document = soup.ok(*BOM, "--model", "model").raw
    assert TOKEN.encode() not in document + soup.stored()
    assert digest("weights").encode() in document


# Publication.


def test_both_leave_the_old_pair_when_one_target_is_a_directory(soup: Soup) -> None:
    soup.ok(*ISSUE, "--format", "both", "--output", "m")
    before = tree_of(soup.work)
    (soup.work / "m.spdx.json").rename(soup.work / "aside")
    (soup.work / "m.spdx.json").mkdir()
    outcome = soup(*ISSUE, "--format", "both", "--output", "m", "--force")
    assert outcome.code == 1
    assert "'m.spdx.json' is a directory" in outcome.err
    (soup.work / "m.spdx.json").rmdir()
    (soup.work / "aside").rename(soup.work / "m.spdx.json")
    assert tree_of(soup.work) == before
    assert len(soup.events(BomDeclared2)) == 1


@pytest.mark.parametrize("through", ["the file", "a directory out of the tree"])
def test_nothing_is_written_through_a_link(soup: Soup, tmp_path: Path, through: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "m.json").write_text("theirs")
    if through == "the file":
        (soup.work / "m.json").symlink_to(outside / "m.json")
        said = refused_before_anything_was_declared(soup, 1, *ISSUE, "--output", "m.json", "--force")
        assert "'m.json' is a symbolic link" in said
    else:
        (soup.work / "out").symlink_to(outside)
        said = refused_before_anything_was_declared(soup, 1, *ISSUE, "--output", "out/m.json", "--force")
        assert "leads out of the working tree" in said
    assert tree_of(outside) == {"m.json": b"theirs"}


@pytest.mark.parametrize("form", ["cyclonedx", "both"])
def test_a_file_that_soup_did_not_write_needs_force(soup: Soup, form: str) -> None:
    name = "m.cdx.json" if form == "both" else "m"
    soup.write(name, "theirs")
    said = refused_before_anything_was_declared(soup, 1, *ISSUE, "--format", form, "--output", "m")
    assert f"'{name}' exists and is no earlier document of this ledger" in said
    assert tree_of(soup.work) == {name: b"theirs"}
    soup.ok(*ISSUE, "--format", form, "--output", "m", "--force")
    assert (soup.work / name).read_bytes() != b"theirs"


def test_ones_own_earlier_document_is_replaced_without_force(soup: Soup) -> None:
    soup.ok(*ISSUE, "--output", "m.json")
    first = (soup.work / "m.json").read_bytes()
    soup.ok(*ISSUE, "--output", "m.json")
    assert (soup.work / "m.json").read_bytes() != first
    assert len(soup.events(DocumentPublished)) == 2


def test_ones_own_document_that_somebody_edited_needs_force(soup: Soup) -> None:
    soup.ok(*ISSUE, "--output", "m.json")
    (soup.work / "m.json").write_text("edited")
    assert soup(*ISSUE, "--output", "m.json").code == 1
    assert (soup.work / "m.json").read_text() == "edited"


def test_a_document_is_on_the_record_before_it_leaves(soup: Soup, monkeypatch: pytest.MonkeyPatch) -> None:
    from commands.publish import Publication

    seen: list[tuple[list[str], list[str]]] = []
    commit = Publication.commit

    def watching(self: Publication) -> None:
        seen.append(([event.kind for event in soup.events(DocumentRendered)], [p.name for p in soup.work.glob("m*")]))
        commit(self)

    monkeypatch.setattr(Publication, "commit", watching)
    soup.ok(*ISSUE, "--format", "both", "--output", "m")
    assert seen == [(["bom.cyclonedx", "bom.spdx"], [])]


def test_a_failed_publication_leaves_the_old_pair_and_a_record_of_the_failure(
    soup: Soup, monkeypatch: pytest.MonkeyPatch
) -> None:
    from commands.staged import Staged

    soup.ok(*ISSUE, "--format", "both", "--output", "m")
    before = tree_of(soup.work)
    put, calls = Staged.put, []

    def failing(self: Staged) -> None:
        calls.append(self)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        put(self)

    monkeypatch.setattr(Staged, "put", failing)
    outcome = soup(*ISSUE, "--format", "both", "--output", "m")
    assert outcome.code == 1
    assert "Input/output error" in outcome.err
    assert tree_of(soup.work) == before
    assert len(soup.events(DocumentPublished)) == 2
    monkeypatch.undo()
    assert "not published" not in soup.ok("ledger", "log").err  # its failure was reported: nothing waits


@pytest.mark.slow
def test_a_kill_between_record_and_rename_is_reported_and_completed(soup: Soup) -> None:
    soup.killed_at("commands.publish:Publication.commit", *ISSUE, "--format", "both", "--output", "out/m")
    assert not list(soup.work.rglob("*.json"))
    reported = soup.ok("keys", "list").err
    assert reported.count("was rendered, not published; run: soup rebuild --publish") == 2
    assert str(soup.work / "out" / "m.cdx.json") in reported
    completed = soup.ok("rebuild", "--publish", "--json").json
    expected = [event.sha256 for event in soup.events(DocumentRendered)]
    assert sorted(row["sha256"] for row in completed) == sorted(expected)
    for suffix in SUFFIXES:
        assert digest((soup.work / f"out/m{suffix}").read_bytes()) in expected
        soup.ok("bom", "verify", f"out/m{suffix}")
    assert soup.ok("keys", "list").err == ""
    assert soup.ok("rebuild", "--publish").out == "nothing waits to be published\n"
    assert len(tree_of(soup.work)) == 3


@pytest.mark.slow
def test_a_kill_between_two_renames_is_completed_too(soup: Soup) -> None:
    soup.killed_at("commands.staged:Staged.settle", *ISSUE, "--format", "both", "--output", "m")
    assert "rendered, not published" in soup.ok("keys", "list").err
    soup.ok("rebuild", "--publish")
    assert set(tree_of(soup.work)) == {"m.cdx.json", "m.spdx.json"}
    assert soup.ok("keys", "list").err == ""


@pytest.mark.slow
def test_what_waits_is_not_published_over_a_file_that_came_meanwhile(soup: Soup) -> None:
    soup.killed_at("commands.publish:Publication.commit", *ISSUE, "--output", "m.json")
    soup.write("m.json", "theirs")
    outcome = soup("rebuild", "--publish")
    assert outcome.code == 1
    assert (soup.work / "m.json").read_text() == "theirs"
    soup.ok("rebuild", "--publish", "--force")
    assert digest((soup.work / "m.json").read_bytes()) == soup.events(DocumentRendered)[0].sha256


@pytest.mark.slow
def test_what_waits_below_ones_home_directory_is_found_again(soup: Soup) -> None:
    """A home directory is a placeholder in the ledger, and a place again when a document is completed."""
    at_home = Soup(soup.home, soup.home.parent / "project")
    at_home.work.mkdir(parents=True)
    at_home.killed_at("commands.publish:Publication.commit", *ISSUE, "--output", "m.json")
    (rendered,) = at_home.events(DocumentRendered)
    assert (rendered.target, rendered.restorable) == ("[home]/project/m.json", True)
    at_home.ok("rebuild", "--publish")
    assert digest((at_home.work / "m.json").read_bytes()) == rendered.sha256


def test_a_target_below_another_persons_home_cannot_be_found_again_and_says_so(soup: Soup, tmp_path: Path) -> None:
    other = Soup(soup.home, tmp_path / "home" / "alice")
    other.work.mkdir(parents=True)
    other.ok(*ISSUE, "--output", "m.json")
    (rendered,) = other.events(DocumentRendered)
    assert rendered.target is not None
    assert "alice" not in rendered.target
    assert not rendered.restorable


# Verification.


@pytest.fixture
def emitted(soup: Soup) -> Soup:
    """A user with a model, its data, and a document of both: `m.json`."""
    soup.write("model.bin", "weights")
    soup.write("data.jsonl", "{}\n")
    soup.ok(*BOM, "--model", "model.bin", "--data", "data.jsonl", "--base-sha", A, "--output", "m.json")
    return soup


def test_a_genuine_document_whose_inputs_are_unchanged_verifies(emitted: Soup) -> None:
    outcome = emitted.ok("bom", "verify", "m.json")
    assert "rebuilt from the ledger: identical" in outcome.out
    assert outcome.out.count("is unchanged") == 2
    assert f"base: {A} was declared; nobody has seen the bytes" in outcome.out


def test_a_changed_input_is_found(emitted: Soup) -> None:
    emitted.write("data.jsonl", "{}\n{}\n")
    outcome = emitted("bom", "verify", "m.json")
    assert outcome.code == 3
    assert "data.jsonl has changed" in outcome.err
    assert "model: " in outcome.out


def test_an_edited_document_is_found(emitted: Soup) -> None:
    text = (emitted.work / "m.json").read_text()
    emitted.write("m.json", text.replace('"m"', '"n"', 1))
    outcome = emitted("bom", "verify", "m.json")
    assert outcome.code == 3
    assert "it now has" in outcome.err


def test_an_edited_copy_elsewhere_is_not_of_this_ledger(emitted: Soup) -> None:
    emitted.write("copy.json", (emitted.work / "m.json").read_text() + " ")
    outcome = emitted("bom", "verify", "copy.json")
    assert outcome.code == 4
    assert "is not a document of this ledger" in outcome.err


def test_an_identical_copy_elsewhere_verifies(emitted: Soup) -> None:
    emitted.write("copy.json", (emitted.work / "m.json").read_bytes())
    emitted.ok("bom", "verify", "copy.json")


def test_another_ledgers_document_is_not_of_this_one(emitted: Soup, tmp_path: Path) -> None:
    assert Soup(tmp_path / "other", emitted.work)("bom", "verify", "m.json").code == 4


def test_inputs_out_of_reach_are_findings(emitted: Soup) -> None:
    (emitted.work / "model.bin").unlink()
    outcome = emitted("bom", "verify", "m.json", "--json")
    assert outcome.code == 6
    assert outcome.json["known"] is True
    assert outcome.json["altered"] == []
    assert [Path(path).name for path in outcome.json["unreachable"]] == ["model.bin"]


def test_an_attestation_is_no_bill_of_materials(soup: Soup) -> None:
    soup.ok("attest", "emit", "--stage", "train", "--subject", "x", "--sha", A, "--builder", "b", "--output", "a.json")
    assert soup("bom", "verify", "a.json").code == 4


def test_a_facts_file_that_speaks_of_other_data_is_said_to(soup: Soup) -> None:
    soup.write("rows.jsonl", "{}")
    soup.write("facts.yaml", "data: [{match: rows.jsonl, license: mit}, {match: lines.jsonl}]")
    outcome = soup.ok(*BOM, "--data", "rows.jsonl", "--facts", "facts.yaml")
    assert "'lines.jsonl', which is none of the data given" in outcome.err
    assert "'rows.jsonl'" not in outcome.err
