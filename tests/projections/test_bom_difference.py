"""Comparing bills of materials: what changed in facts is told, what a format cannot say is not called a change."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from projections.bom import cyclonedx, spdx2, spdx3
from projections.bom.difference import Change, cannot_say, compare
from projections.bom.read import read
from projections.facts import BomFacts, Digest
from tests.projections.bom_facts import SAMPLES, any_facts, sha
from tests.projections.full_facts import full

Json = dict[str, Any]
RENDERERS = {"cyclonedx": cyclonedx.render, "spdx2": spdx2.render, "spdx3": spdx3.render}
FULL = {name: read(render(full())) for name, render in RENDERERS.items()}


def replaced(said: BomFacts, **fields: object) -> BomFacts:
    return msgspec.structs.replace(said, **fields)


def with_artifact(said: BomFacts, role: str, **fields: object) -> BomFacts:
    changed = (msgspec.structs.replace(each, **fields) if each.role == role else each for each in said.artifacts)
    return replaced(said, artifacts=tuple(changed))


def told(changes: tuple[Change, ...]) -> list[tuple[str, str, str | None, str | None]]:
    return [(change.kind, change.label, change.old, change.new) for change in changes]


@pytest.mark.parametrize("old", RENDERERS)
@pytest.mark.parametrize("new", RENDERERS)
def test_the_same_facts_in_two_formats_are_no_difference(old: str, new: str) -> None:
    found = compare(FULL[old], FULL[new])
    assert told(found.changes) == []
    assert bool(found.not_comparable) == (old != new)


@pytest.mark.parametrize(
    "sample", [name for name in SAMPLES if name != "hostile"]
)  # SPDX 2.3 has no control characters
@pytest.mark.parametrize("old", RENDERERS)
@pytest.mark.parametrize("new", RENDERERS)
def test_no_sample_differs_from_itself_in_another_format(sample: str, old: str, new: str) -> None:
    before, after = (read(RENDERERS[form](SAMPLES[sample])) for form in (old, new))
    assert told(compare(before, after).changes) == []


def test_what_cannot_be_compared_says_which_format_lacks_the_field() -> None:
    found = compare(FULL["cyclonedx"], FULL["spdx3"])
    reasons = {change.label: cannot_say(change, FULL["cyclonedx"], FULL["spdx3"]) for change in found.not_comparable}
    assert reasons["model: architecture family"] == "SPDX 3.0.1 has no field for it"
    assert reasons["model: built"] == "CycloneDX 1.6 has no field for it"


@pytest.mark.parametrize("form", RENDERERS)
@settings(deadline=None, max_examples=8)
@given(any_facts)
def test_a_document_does_not_differ_from_itself_nor_from_another_issue(form: str, said: BomFacts) -> None:
    first, second = (
        read(RENDERERS[form](each)) for each in (said, replaced(said, seed=sha("later"), position=said.position + 9))
    )
    assert compare(first, first).changes == compare(first, first).issue == ()
    found = compare(first, second)
    assert told(found.changes) == []
    assert {change.name for change in found.issue} >= {"id"}


@pytest.mark.parametrize("form", RENDERERS)
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (lambda said: replaced(said, license="mit"), ("changed", "model: licence", "Apache-2.0", "MIT")),
        (lambda said: replaced(said, version="2"), ("changed", "model: version", "1.0.0", "2")),
        (
            lambda said: with_artifact(said, "base", digest=Digest(sha256=sha("other"), origin="observed")),
            ("changed", "base: digest (sha256)", sha("gguf"), sha("other")),
        ),
        (
            lambda said: with_artifact(said, "config", digest=Digest(sha256=sha("other"), origin="observed")),
            ("changed", "config/soup.yaml: digest (sha256)", sha("yaml"), sha("other")),
        ),
        (
            lambda said: with_artifact(said, "config", digest=Digest(sha256=sha("yaml"), origin="declared")),
            ("changed", "config/soup.yaml: digest, origin (sha256)", "observed", "declared"),
        ),
        (
            lambda said: with_artifact(said, "config", name="b.yaml"),
            ("changed", "config/soup.yaml: name", "soup.yaml", "b.yaml"),
        ),
    ],
    ids=["licence", "version", "base digest", "config digest", "origin", "renamed"],
)
def test_a_changed_fact_is_told_in_its_own_words(form: str, changed: Any, expected: tuple[str, ...]) -> None:
    assert expected in told(compare(FULL[form], read(RENDERERS[form](changed(full())))).changes)


def run_with(**settings: str) -> BomFacts:
    said = full()
    assert said.run
    started = said.run.started
    value = msgspec.structs.replace(started.value, settings=started.value.settings | settings)
    return replaced(said, run=msgspec.structs.replace(said.run, started=msgspec.structs.replace(started, value=value)))


@pytest.mark.parametrize("old", RENDERERS)
@pytest.mark.parametrize("new", ["cyclonedx", "spdx2", "spdx3"])
def test_a_changed_hyperparameter_is_told_across_formats(old: str, new: str) -> None:
    found = compare(FULL[old], read(RENDERERS[new](run_with(**{"training.lr": "0.0003"}))))
    assert ("changed", "model: hyperparameter (training.lr)", "0.0002", "0.0003") in told(found.changes)


@pytest.mark.parametrize("old", RENDERERS)
@pytest.mark.parametrize("new", RENDERERS)
def test_a_package_that_came_is_told_once(old: str, new: str) -> None:
    said = full()
    assert said.environment
    value = msgspec.structs.replace(said.environment.value, packages=said.environment.value.packages[:1])
    fewer = replaced(said, environment=msgspec.structs.replace(said.environment, value=value))
    found = compare(read(RENDERERS[old](fewer)), FULL[new])
    assert told(found.changes) == [
        ("added", "package/sympy", None, "1.14.0"),
        ("added", "package/torch", None, "2.13.0+cpu"),
    ] or told(found.changes) == [
        ("added", "package/torch", None, "2.13.0+cpu"),
        ("added", "package/sympy", None, "1.14.0"),
    ]


@settings(deadline=None, max_examples=10)
@given(any_facts, any_facts)
def test_comparing_the_other_way_round_gives_the_mirror(one: BomFacts, other: BomFacts) -> None:
    first, second = read(cyclonedx.render(one)), read(cyclonedx.render(other))
    there, back = compare(first, second), compare(second, first)
    turn = {"added": "removed", "removed": "added", "changed": "changed"}
    renamed = any(change.name == "name" for change in there.changes)
    if not renamed:  # a renamed thing goes under its old name, which is another one the other way round
        mirrored = {
            (turn[change.kind], change.about, change.name, change.key, change.new, change.old)
            for change in back.changes
        }
        assert {(c.kind, c.about, c.name, c.key, c.old, c.new) for c in there.changes} == mirrored


def test_a_change_in_a_value_of_other_tools_is_told_too() -> None:
    content: Json = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "components": [{"type": "library", "name": "x", "version": "1"}],
    }
    newer = copy.deepcopy(content)
    newer["components"][0]["version"] = "2"
    newer["components"].append({"type": "library", "name": "y"})
    before, after = (read(json.dumps(each).encode()) for each in (content, newer))
    assert told(compare(before, after).changes) == [
        ("added", "package/y", None, "y"),
        ("changed", "package/x: version", "1", "2"),
    ]
