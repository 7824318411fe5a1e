"""CycloneDX 1.6 and 1.7: each law of `projections.bom.cyclonedx`, the facts it is made from, and the checks it must pass."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from projections.bom import cyclonedx
from projections.bom.licence import recognise
from projections.bom.validate import check, check_strict
from projections.errors import InvalidDocumentError, InvalidFactsError
from projections.facts import Artifact, BomFacts, Digest, FileFact, parts
from tests.projections.bom_facts import (
    HOSTILE,
    SAMPLES,
    any_facts,
    compare_with_golden,
    facts,
    in_fresh_process,
    plain_facts,
    sha,
)
from tests.projections.cyclonedx_documents import (
    Json,
    by_ref,
    components,
    identifiers,
    model_card,
    properties,
    references,
    references_of_claims,
    rendered,
)
from tests.projections.full_facts import full

ALL = SAMPLES | {"full": full()}


@pytest.mark.parametrize("name", ALL)
def test_the_bytes_of_a_document_are_pinned(name: str) -> None:
    compare_with_golden(f"bom-{name}.cdx.json", cyclonedx.render(ALL[name]))


@pytest.mark.parametrize("name", ALL)
def test_the_librarys_strict_validator_accepts_each_sample(name: str) -> None:
    check_strict("cyclonedx", cyclonedx.render(ALL[name]))
    check_strict("cyclonedx17", cyclonedx.render(ALL[name], "1.7"))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_facts)
def test_whatever_the_facts_are_the_document_is_valid(said: BomFacts) -> None:
    check("cyclonedx", cyclonedx.render(said))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(any_facts)
def test_whatever_the_facts_are_so_is_the_document_of_version_1_7(said: BomFacts) -> None:
    check("cyclonedx17", cyclonedx.render(said, "1.7"))


@settings(deadline=None, max_examples=10)
@given(any_facts)
def test_whatever_the_facts_are_the_strict_validator_agrees(said: BomFacts) -> None:
    check_strict("cyclonedx", cyclonedx.render(said))


def test_version_1_7_says_the_same_under_a_serial_number_of_its_own() -> None:
    older, newer = rendered(full()), json.loads(cyclonedx.render(full(), "1.7"))
    different = {key for key in older.keys() | newer.keys() if older.get(key) != newer.get(key)}
    assert different == {"$schema", "specVersion", "serialNumber"}
    assert (older["specVersion"], newer["specVersion"]) == ("1.6", "1.7")


def test_equal_facts_give_equal_bytes_in_every_process() -> None:
    code = (
        "import hashlib; from projections.bom import cyclonedx; from tests.projections.bom_facts import SAMPLES\n"
        "print(hashlib.sha256(b''.join(map(cyclonedx.render, SAMPLES.values()))).hexdigest())"
    )
    assert len({in_fresh_process(code, hash_seed=seed) for seed in ("0", "1", "4711")}) == 1


@settings(deadline=None, max_examples=25)
@given(plain_facts)
def test_the_order_in_which_files_were_found_does_not_show(said: BomFacts) -> None:
    def backwards(artifact: Artifact) -> Artifact:
        return msgspec.structs.replace(artifact, files=artifact.files[::-1])

    other = msgspec.structs.replace(said, artifacts=tuple(map(backwards, said.artifacts)))
    assert cyclonedx.render(other) == cyclonedx.render(said)


@settings(deadline=None, max_examples=50)
@given(plain_facts)
def test_a_component_carries_its_own_digest_and_where_it_comes_from(said: BomFacts) -> None:
    document = rendered(said)
    listed = by_ref(document)
    for part in parts(said):
        component, digest = listed[part.ref], part.artifact.digest
        assert [content["content"] for content in component.get("hashes", ())] == ([digest.sha256] if digest else [])
        assert properties(component)["soup:digest:origin"] == (digest.origin if digest else "unknown")
        nested = {(file["name"], file["hashes"][0]["content"]) for file in component.get("components", ())}
        assert nested == {(file.path, file.sha256) for file in part.artifact.files}


@settings(deadline=None, max_examples=30)
@given(any_facts)
def test_each_component_stands_once_in_the_graph_and_the_root_reaches_it(said: BomFacts) -> None:
    document = rendered(said)
    refs = [component["bom-ref"] for component in components(document) if "-file-" not in component["bom-ref"]]
    files = [component["bom-ref"] for component in components(document) if "-file-" in component["bom-ref"]]
    graph = {node["ref"]: node["dependsOn"] for node in document["dependencies"]}
    assert len(graph) == len(document["dependencies"])
    assert sorted(graph) == sorted([*refs, *files])
    assert all(graph[file] == [] for file in files)
    reached, pending = set(), ["model"]
    while pending:
        ref = pending.pop()
        if ref not in reached:
            reached.add(ref)
            pending += graph[ref]
    assert reached == set(refs)


@settings(deadline=None, max_examples=30)
@given(any_facts)
def test_each_reference_meets_the_one_thing_of_that_name(said: BomFacts) -> None:
    document = rendered(said)
    names = [*identifiers(document)]
    assert len(names) == len(set(names))
    assert {*references(document), *references_of_claims(document)} <= set(names)


@settings(deadline=None, max_examples=50)
@given(plain_facts)
def test_names_come_back_as_they_were_and_never_become_identifiers(said: BomFacts) -> None:
    document = rendered(said)
    root = document["metadata"]["component"]
    assert (root["name"], root["version"], properties(root).get("soup:task")) == (said.name, said.version, said.task)
    shape = re.compile(r"model-listed|environment|(model|base|(config|data|artifact|package|device)-\d+)(-file-\d+)?")
    assert all(shape.fullmatch(component["bom-ref"]) for component in components(document))


def test_no_byte_of_a_document_steers_a_terminal_or_deceives_an_eye() -> None:
    text = cyclonedx.render(SAMPLES["hostile"]).decode()
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\U000e0000-\U000e007f]", text)
    assert "\u00e9\u65e5" in text
    assert json.loads(text)["metadata"]["component"]["name"] == HOSTILE


def test_a_model_without_a_digest_has_no_hash_though_its_configuration_has() -> None:
    root = rendered(SAMPLES["declared"])["metadata"]["component"]
    assert "hashes" not in root
    assert properties(root)["soup:digest:origin"] == "unknown"


def test_identity_and_time_are_those_of_the_event() -> None:
    said = facts()
    document = rendered(said)
    assert document["metadata"]["timestamp"] == "2026-03-01T12:30:15.123456+00:00"
    assert document["serialNumber"] != rendered(facts(seed=sha("another entry")))["serialNumber"]
    assert properties(document["metadata"]) == {
        "soup:renderer": cyclonedx.RENDERER,
        "soup:ledger:origin": said.ledger_origin,
        "soup:ledger:position": "7",
        "soup:ledger:entry": said.seed,
        "soup:command": said.command_id,
    }


def test_the_base_model_is_a_component_and_the_ancestor() -> None:
    document = rendered(SAMPLES["declared"])
    _, base, *_ = document["components"]
    ancestor, *more = document["metadata"]["component"]["pedigree"]["ancestors"]
    assert (base["type"], base["group"], base["name"]) == (
        "machine-learning-model",
        "meta-llama",
        "Llama-3.1-8B-Instruct",
    )
    assert ancestor == base | {"bom-ref": "ancestor-base"}
    assert not more
    assert "purl" not in base


@pytest.mark.parametrize("name", ["plain", "a/b/c", "/b", "a/", "/"])
def test_only_the_form_org_slash_name_is_split(name: str) -> None:
    _, base = rendered(facts(base_model=name))["components"]
    assert ("group" in base, base["name"]) == (False, name)


def test_data_sets_are_data_and_the_model_card_refers_to_them() -> None:
    document = rendered(SAMPLES["observed"])
    kinds = {component["bom-ref"]: component["data"][0]["type"] for component in document["components"][2:]}
    assert kinds == {"config-1": "configuration", "data-1": "dataset", "data-2": "dataset"}
    card = document["metadata"]["component"]["modelCard"]
    assert card["modelParameters"]["datasets"] == [{"ref": "data-1"}, {"ref": "data-2"}]


@pytest.mark.parametrize(
    ("task", "approach"),
    [
        ("sft", {"type": "supervised"}),
        ("DPO", {"type": "supervised"}),
        ("grpo", {"type": "reinforcement-learning"}),
        ("pretrain", {"type": "self-supervised"}),
        ("alchemy", None),
        (None, None),
    ],
)
def test_the_model_card_names_the_approach_only_where_the_task_is_known(
    task: str | None, approach: Json | None
) -> None:
    parameters = model_card(facts(task=task)).get("modelParameters", {})
    assert parameters.get("approach") == approach
    assert "task" not in parameters


def test_only_a_directory_that_soup_walked_is_called_complete() -> None:
    complete, unknown = rendered(SAMPLES["observed"])["compositions"]
    assert complete == {"aggregate": "complete", "assemblies": ["model"]}
    others = ["base", "config-1", "data-1", "data-2"]
    assert unknown == {"aggregate": "unknown", "dependencies": ["model", "model-listed", *others]}
    assert [each["aggregate"] for each in rendered(SAMPLES["hostile"])["compositions"]] == ["unknown"]


@pytest.mark.parametrize(
    ("typed", "licence"),
    [
        ("apache-2.0", {"license": {"id": "Apache-2.0", "acknowledgement": "declared"}}),
        (" mit ", {"license": {"id": "MIT", "acknowledgement": "declared"}}),
        ("llama3.1", {"license": {"name": "llama3.1", "acknowledgement": "declared"}}),
        ("mit or apache-2.0", {"expression": "MIT OR Apache-2.0", "acknowledgement": "declared"}),
        ("MIT OR mine", {"license": {"name": "MIT OR mine", "acknowledgement": "declared"}}),
        (
            "MIT OR LicenseRef-scancode-public-domain",
            {"license": {"name": "MIT OR LicenseRef-scancode-public-domain", "acknowledgement": "declared"}},
        ),
    ],
)
def test_a_licence_is_spelt_as_spdx_does_or_stays_a_name(typed: str, licence: Json) -> None:
    document = cyclonedx.render(facts(license=typed))
    assert json.loads(document)["metadata"]["component"]["licenses"] == [licence]
    check_strict("cyclonedx", document)


@pytest.mark.parametrize("text", ["(" * 900 + " a", "a " * 5000, "\u212apache OR MIT", " OR ", "MIT WITH MIT"])
def test_no_text_upsets_the_licence_parser(text: str) -> None:
    assert recognise(text) == ("name", text)


ATTACKS: list[tuple[str, Callable[[Json], object], str]] = [
    ("a serial number that is no UUID", lambda d: d.update(serialNumber="urn:uuid:1"), "/serialNumber"),
    ("an invented field", lambda d: d["metadata"].update(invented=1), "/metadata"),
    ("a licence in the wrong case", lambda d: _licence(d).update(id="apache-2.0"), "/metadata/component/licenses"),
    ("half a hash", lambda d: _hash(d).update(content="ab"), "/components/1/hashes/0/content"),
    ("a time that is none", lambda d: d["metadata"].update(timestamp="yesterday"), "/metadata/timestamp"),
    ("a dangling dependency", lambda d: _root(d)["dependsOn"].append("ghost"), "/dependencies/0/dependsOn"),
    ("a dangling data set", lambda d: _datasets(d).append({"ref": "ghost"}), "/metadata/component/modelCard"),
    ("a dangling composition", lambda d: d["compositions"][0].update(dependencies=["ghost"]), "/compositions/0"),
    ("a component twice", lambda d: d["components"].append(d["components"][0]), "/components"),
    ("two components under one name", lambda d: d["components"][0].update({"bom-ref": "model"}), "/"),
]


def _licence(document: Json) -> Json:
    return document["metadata"]["component"]["licenses"][0]["license"]


def _hash(document: Json) -> Json:
    return document["components"][1]["hashes"][0]


def _root(document: Json) -> Json:
    return document["dependencies"][0]


def _datasets(document: Json) -> list[Json]:
    return document["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"]


@pytest.mark.parametrize(("attack", "path"), [attack[1:] for attack in ATTACKS], ids=[attack[0] for attack in ATTACKS])
def test_the_check_names_the_place_of(attack: Callable[[Json], object], path: str) -> None:
    document = rendered(SAMPLES["declared"])
    attack(document)
    with pytest.raises(InvalidDocumentError) as caught:
        check("cyclonedx", json.dumps(document).encode())
    assert caught.value.path.startswith(path)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff\xfe{\x00}\x00",
        b'{"bomFormat": "CycloneDX", "bomFormat": "CycloneDX"}',
        b'{"version": NaN}',
        b'{"x": "\\ud800"}',
        b'{"x": ' * 5000 + b"1" + b"}" * 5000,
        b'{"x": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda document: repr(document[:20]),
)
def test_what_is_no_document_is_refused_by_both_checks(document: bytes) -> None:
    for validate in (check, check_strict):
        with pytest.raises(InvalidDocumentError):
            validate("cyclonedx", document)


def test_a_finding_stays_readable_however_large_the_document() -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        check("cyclonedx", json.dumps(["x" * 100_000]).encode())
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "broken",
    [
        lambda: Digest(sha256="AB" * 32, origin="declared"),
        lambda: Digest(sha256="ab" * 31, origin="declared"),
        lambda: Digest(sha256="ab" * 32 + "\n", origin="declared"),
        lambda: FileFact(path="", sha256=sha(""), size=0),
        lambda: FileFact(path="\udcff", sha256=sha(""), size=0),
        lambda: FileFact(path="a", sha256=sha(""), size=-1),
        lambda: Artifact(role="data", name="a", size=-1),
        lambda: Artifact(role="data", name="a", kind="file", files=(FileFact(path="a", sha256=sha(""), size=0),)),
        lambda: Artifact(
            role="data", name="a", kind="directory", files=(FileFact(path="a", sha256=sha(""), size=0),) * 2
        ),
        lambda: facts(name=""),
        lambda: facts(task=""),
        lambda: facts(position=0),
        lambda: facts(seed="entry"),
        lambda: facts(declared_at=datetime(2026, 1, 1)),  # noqa: DTZ001 - the naive time is the fault
        lambda: facts(declared_at=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
        lambda: facts(artifacts=(Artifact(role="model", name="a"), Artifact(role="model", name="b"))),
        lambda: facts(artifacts=(Artifact(role="base", name="a"), Artifact(role="base", name="b"))),
    ],
)
def test_facts_that_no_document_may_carry_do_not_come_to_be(broken: Callable[[], object]) -> None:
    with pytest.raises(InvalidFactsError):
        broken()


def test_the_earliest_time_there_is_can_be_told() -> None:
    check("cyclonedx", cyclonedx.render(facts(declared_at=datetime(1, 1, 1, tzinfo=UTC))))


def test_one_format_does_not_load_the_other_nor_any_slow_validator() -> None:
    code = (
        "import sys; import projections.bom; early = set(sys.modules)\n"
        "from projections.bom import cyclonedx, validate; from projections.facts import BomFacts\n"
        "from datetime import datetime, UTC\n"
        "said = BomFacts(name='n', version='1', declared_at=datetime(2026, 1, 1, tzinfo=UTC), seed='ab' * 32,"
        " ledger_origin='o', position=1, soup_version='0', command_id='c', license='mit')\n"
        "validate.check('cyclonedx', cyclonedx.render(said))\n"
        "slow = {'spdx_tools', 'license_expression', 'jsonschema', 'rdflib', 'duckdb'}\n"
        "print(sorted({'cyclonedx', 'jsonschema_rs', 'msgspec'} & early), sorted(slow & set(sys.modules)))"
    )
    assert in_fresh_process(code) == "[] []\n"
