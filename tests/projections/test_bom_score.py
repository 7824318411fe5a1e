"""Completeness: published lists unchanged, present means found, unknown means missing, and OWASP's score is OWASP's."""

from __future__ import annotations

import json
from typing import Any, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings

from ledger.events.facts import Facts
from projections.bom import cyclonedx, spdx2, spdx3
from projections.bom.read import read
from projections.bom.score import LISTS, Finding, Score, field_list, score, unknown_selectors
from projections.facts import BomFacts
from tests.projections.bom_facts import SAMPLES, any_facts
from tests.projections.full_facts import full

Json = dict[str, Any]
RENDERERS = {"cyclonedx": cyclonedx.render, "spdx2": spdx2.render, "spdx3": spdx3.render}
FULL = {name: render(full()) for name, render in RENDERERS.items()}
OPTIONS = {
    "--name", "--version", "--license", "--model", "--base-model", "--base-path", "--base-revision", "--data", "--run", "--energy",
    "--with-environment", "--sign",
}  # fmt: skip


def of(found: Score) -> dict[str, Finding]:
    return {finding.id: finding for finding in found.findings}


def held(content: Json, name: str = "owasp") -> Score:
    return score(read(json.dumps(content).encode()), name)


def at(content: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        content = content[int(step)] if isinstance(content, list) else content[step]
    return content


# The lists.


def test_the_lists_have_as_many_elements_as_were_published() -> None:
    assert {name: len(field_list(name).elements) for name in LISTS} == {"g7": 50, "ntia": 7, "owasp": 48}
    groups = [element.group for element in field_list("g7").elements]
    assert [groups.count(group) for group in dict.fromkeys(groups)] == [10, 9, 13, 10, 2, 4, 2]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_says_whose_it_is_and_names_each_element_once(name: str) -> None:
    wanted = field_list(name)
    assert wanted.source.startswith(("https://", "G7", "United States"))
    assert all((wanted.title, wanted.version, wanted.date))
    assert len({element.id for element in wanted.elements}) == len(wanted.elements)


@pytest.mark.parametrize("name", LISTS)
def test_every_selector_names_a_fact_that_exists(name: str) -> None:
    assert unknown_selectors(field_list(name)) == []


def test_the_weights_of_owasp_are_a_hundred() -> None:
    wanted = field_list("owasp")
    assert sum(wanted.weights.values()) == 100
    assert {element.group for element in wanted.elements} == set(wanted.weights)


def member(kind: Any, name: str) -> Any:
    """The type of a struct's field, without its list or None."""
    (field,) = [each for each in msgspec.structs.fields(kind) if each.name == name]
    inner = field.type
    while get_args(inner) and not isinstance(inner, type):
        inner = get_args(inner)[0]
    return get_args(inner)[0] if get_origin(inner) is list else inner


@pytest.mark.parametrize("name", LISTS)
def test_each_hint_is_an_option_or_a_field_of_the_facts_file(name: str) -> None:
    for element in field_list(name).elements:
        assert element.fill
        for hint in element.fill:
            if hint.startswith("--facts: "):
                kind: Any = Facts
                for step in hint.removeprefix("--facts: ").split("."):
                    kind = member(kind, step)
            elif hint.startswith("--"):
                assert hint.split(" ")[0] in OPTIONS
            else:
                assert hint.startswith("every ")


# Full and bare.


@pytest.mark.parametrize(
    ("form", "name", "missing", "spared"),
    [
        ("cyclonedx", "g7", {"MD-05"}, set()),
        ("spdx2", "g7", set(), {"MD-02", "MD-05", "KPI-01"}),
        ("spdx3", "g7", set(), {"MD-02", "MD-05", "KPI-01"}),
        ("cyclonedx", "ntia", {"supplier"}, set()),
        ("spdx2", "ntia", {"supplier"}, set()),
        ("spdx3", "ntia", {"supplier"}, set()),
    ],
)
def test_what_full_facts_leave_open(form: str, name: str, missing: set[str], spared: set[str]) -> None:
    found = score(read(FULL[form]), name)
    assert {finding.id for finding in found.findings if finding.state == "not known"} == missing
    assert {finding.id for finding in found.findings if finding.state == "not applicable"} == spared
    assert (found.present, found.applicable) == (
        len(found.findings) - len(missing) - len(spared),
        len(found.findings) - len(spared),
    )


def test_the_thing_that_lacks_an_element_is_named() -> None:
    assert of(score(read(FULL["cyclonedx"]), "ntia"))["supplier"].reason == "1 of 6 lack it: package/sympy"


@pytest.mark.parametrize("name", ["g7", "owasp"])
def test_what_is_present_stands_where_the_score_says(name: str) -> None:
    document = read(FULL["cyclonedx"])
    for finding in score(document, name).findings:
        assert (finding.state == "present") == bool(finding.where)
        for pointer in finding.where:
            assert at(document.content, pointer) is not None


@pytest.mark.parametrize("form", RENDERERS)
@pytest.mark.parametrize("name", LISTS)
def test_what_is_missing_has_a_hint_and_what_is_present_has_none(form: str, name: str) -> None:
    for finding in score(read(RENDERERS[form](SAMPLES["bare"])), name).findings:
        assert bool(finding.fill) == (finding.state == "not known")


def test_a_bare_document_has_what_every_document_has() -> None:
    found = of(score(read(cyclonedx.render(SAMPLES["bare"])), "g7"))
    assert {name for name, finding in found.items() if finding.state == "present"} == {
        "MD-02", "MD-03", "MD-04", "MD-06", "MD-07", "MD-08", "MD-09", "MD-10", "SLP-01", "SLP-04", "MDL-01", "MDL-03",
    }  # fmt: skip
    assert found["DP-05"].reason == "the document lists no data"


@pytest.mark.parametrize("form", RENDERERS)
@settings(deadline=None, max_examples=6)
@given(any_facts)
def test_no_document_makes_a_score_fail_or_leave_its_bounds(form: str, said: BomFacts) -> None:
    document = read(RENDERERS[form](said))
    for name in LISTS:
        found = score(document, name)
        assert 0 <= found.present <= found.applicable <= len(found.findings)
        assert found.points is None or 0 <= found.points <= 100


# What only says that nothing is known.


@pytest.mark.parametrize("word", ["unknown", "NOASSERTION", "n/a", ""])
@pytest.mark.parametrize(("name", "element"), [("g7", "MDL-06"), ("owasp", "description")])
def test_a_placeholder_is_missing(word: str, name: str, element: str) -> None:
    content = json.loads(FULL["cyclonedx"])
    for component in (content["metadata"]["component"], content["components"][0]):
        component["description"] = word
    finding = of(held(content, name))[element]
    assert (finding.state, finding.reason) == ("not known", "said to be unknown")
    assert finding.fill == ("--facts: model.description",)


def test_what_counts_for_the_original_and_not_for_us_is_said() -> None:
    content = json.loads(FULL["cyclonedx"])
    content["components"][0]["description"] = "unknown"
    found = held(content)
    assert (found.points, found.points_with_placeholders) == (97.1, 100.0)


def test_placeholders_inside_lists_are_placeholders() -> None:
    content = json.loads(FULL["cyclonedx"])
    content["components"][0]["licenses"] = [{"license": {"name": "NOASSERTION"}}]
    assert of(held(content))["licenses"].state == "not known"


# OWASP's score. The numbers are what its own scorer gives for these documents.


def cut(*removed: str) -> Json:
    """The full document without what stands at some pointers, and without the metadata properties `@name`."""
    content = json.loads(FULL["cyclonedx"])
    for each in removed:
        if each.startswith("@"):
            properties = content["metadata"]["properties"]
            content["metadata"]["properties"] = [one for one in properties if one["name"] != each[1:]]
        else:
            parent, _, last = each.rpartition("/")
            at(content, parent).pop(last)
    return content


OWASP: list[tuple[tuple[str, ...], float, str | None]] = [
    (("/components/0/purl",), 97.1, "standard"),
    (("/serialNumber", "/version"), 95.0, None),
    (("/serialNumber", "/version", "@primaryPurpose"), 81.9, None),
    (("/serialNumber", "/version", "@primaryPurpose", "@suppliedBy"), 78.3, None),
    (("/components",), 60.8, None),
    (("/metadata",), 57.2, "basic"),
    (("/components/0/modelCard",), 92.9, "standard"),
    (("/components/0/modelCard/considerations", "@safetyRiskAssessment", "@energyConsumption"), 94.0, "standard"),
    (
        (
            "/components/0/purl",
            "/components/0/description",
            "/components/0/externalReferences",
            "@external_references",
            "/components/0/modelCard/properties",
        ),
        82.1,
        "basic",
    ),
    (
        (
            "/components/0/modelCard/considerations/environmentalConsiderations",
            "@energyConsumption",
            "@energyQuantity",
            "@energyUnit",
        ),
        95.5,
        "standard",
    ),
    (("/metadata/component", "@typeOfModel"), 100.0, "standard"),
    (("/components/0/type", "/components/0/version", "@standardCompliance", "@domain"), 77.7, "standard"),
]


@pytest.mark.parametrize(("removed", "points", "profile"), OWASP)
def test_the_score_is_the_originals(removed: tuple[str, ...], points: float, profile: str | None) -> None:
    found = held(cut(*removed))
    assert (found.points, found.points_with_placeholders, found.profile) == (points, None, profile)


def test_full_facts_reach_every_point() -> None:
    found = score(read(FULL["cyclonedx"]), "owasp")
    assert (found.points, found.profile, found.penalty) == (100.0, "advanced", 1.0)
    assert found.categories == {name: float(weight) for name, weight in field_list("owasp").weights.items()}
    spared = {finding.id for finding in found.findings if finding.state == "not applicable"}
    assert spared == {element.id for element in field_list("owasp").elements if element.optional} - {
        "vocab_size",
        "tokenizer_class",
        "context_length",
    }


def test_only_the_first_component_counts() -> None:
    content = json.loads(FULL["cyclonedx"])
    content["components"].insert(0, {"type": "library", "name": "x"})
    assert of(held(content))["purl"].state == "not known"


@pytest.mark.parametrize("form", ["spdx2", "spdx3"])
def test_of_spdx_the_list_says_nothing(form: str) -> None:
    found = score(read(FULL[form]), "owasp")
    assert (found.points, found.applicable) == (None, 0)
    assert found.reason
    assert "CycloneDX" in found.reason


@pytest.mark.parametrize("wrong", [None, 1, "x", [], {}, [1], {"a": [None]}])
@pytest.mark.parametrize("field", ["metadata", "components", "version"])
def test_wrong_types_anywhere_are_absent(field: str, wrong: object) -> None:
    content = json.loads(FULL["cyclonedx"])
    assert held(content | {field: wrong}, "ntia").findings
    assert held(content | {field: wrong}, "g7").present <= held(content, "g7").present
    assert held(content | {field: wrong}).points < 100 or field == "version"
