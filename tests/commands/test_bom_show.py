"""`soup bom show`, `diff` and `score`: what a document says, in words that are safe and few, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from commands.bom_show import SUMMARY, summary
from ledger.events.command import CommandFinished, CommandStarted
from projections.bom import cyclonedx, spdx2, spdx3
from projections.bom.read import read
from projections.bom.read_terms import TERMS
from tests.projections.bom_facts import SAMPLES
from tests.projections.full_facts import full
from tests.runner import Soup

RENDERERS = {"cdx.json": cyclonedx.render, "spdx.json": spdx2.render, "spdx3.json": spdx3.render}
FULL = {suffix: render(full()) for suffix, render in RENDERERS.items()}


def documents(soup: Soup) -> dict[str, Path]:
    return {suffix: soup.write(f"full.{suffix}", raw) for suffix, raw in FULL.items()}


def lines(text: str) -> dict[str, str]:
    return {line[:16].strip(): line[17:] for line in text.splitlines()}


# show


@pytest.mark.parametrize("suffix", RENDERERS)
def test_a_summary_says_what_it_is_and_fits_on_a_screen(soup: Soup, suffix: str) -> None:
    out = soup.ok("bom", "show", documents(soup)[suffix]).out
    said = lines(out)
    assert said["model"] == "devils-dictionary, 1.0.0"
    assert said["digest"].startswith("sha256 ")
    assert said["digest"].endswith(" (observed)")
    assert said["licence"] == "Apache-2.0"
    assert said["energy (kWh)"] == "fine-tuning=0.0125"
    assert "12fd25f77366fa6b3b4b768ec3050bf629380bac" in said["base"]
    assert "entry 7" in said["ledger"]
    assert "unknown" not in said["data"]
    assert len(out.splitlines()) <= 48
    assert "\x1b" not in out


@pytest.mark.parametrize("suffix", RENDERERS)
def test_what_is_not_known_is_said_to_be_unknown(soup: Soup, suffix: str) -> None:
    said = lines(soup.ok("bom", "show", soup.write("bare", RENDERERS[suffix](SAMPLES["bare"]))).out)
    for label in ("description", "supplier", "licence", "digest", "metrics", "energy (kWh)", "run", "base", "data"):
        assert said[label] == "unknown"


def test_a_declared_digest_is_called_declared(soup: Soup) -> None:
    said = lines(soup.ok("bom", "show", soup.write("m", cyclonedx.render(SAMPLES["declared"]))).out)
    assert "(declared)" in said["base"]
    assert "(declared)" in said["data"]


def test_a_document_of_another_tool_names_no_ledger(soup: Soup) -> None:
    other = soup.write("other.json", json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.5"}))
    assert lines(soup.ok("bom", "show", other).out)["ledger"].startswith("none named")


@pytest.mark.parametrize("suffix", RENDERERS)
def test_nothing_in_a_document_steers_the_terminal(soup: Soup, suffix: str) -> None:
    hostile = soup.write("hostile", RENDERERS[suffix](SAMPLES["hostile"]))
    for line in (("show", hostile), ("score", hostile), ("diff", hostile, documents(soup)[suffix])):
        outcome = soup("bom", *line)
        assert outcome.code in (0, 6)
        assert not set(outcome.out) & {"\x1b", "\x9b", "\u202e", "\u2028", "\x00", "\x85"}


def test_as_json_every_fact_has_its_place_and_its_origin(soup: Soup) -> None:
    told = soup.ok("bom", "show", "--json", documents(soup)["cdx.json"]).json
    (digest,) = [fact for fact in told["facts"] if (fact["about"], fact["name"]) == ("base", "hash")]
    assert (digest["key"], digest["origin"]) == ("sha256", "observed")
    assert digest["where"].startswith("/metadata/component/pedigree/ancestors/0/hashes/")
    assert told["format"] == "CycloneDX 1.6"


def test_the_lines_of_a_summary_name_facts_that_exist() -> None:
    assert {selector.partition(".")[2] for _, selectors in SUMMARY for selector in selectors} <= set(TERMS)
    assert next(summary(read(FULL["cdx.json"])))[0] == "model"


# diff


def test_the_same_facts_in_two_formats_are_no_difference(soup: Soup) -> None:
    paths = documents(soup)
    out = soup.ok("bom", "diff", paths["cdx.json"], paths["spdx3.json"]).out
    assert out.startswith("no difference in facts\n")
    assert "not compared, since SPDX 3.0.1 has no field for it: " in out


def test_a_difference_is_told_and_exits_with_6(soup: Soup) -> None:
    newer = soup.write("new", cyclonedx.render(msgspec.structs.replace(full(), license="mit", version="2")))
    outcome = soup("bom", "diff", documents(soup)["cdx.json"], newer)
    assert outcome.code == 6
    assert outcome.out.splitlines()[:2] == ["~ model: version: 1.0.0 -> 2", "~ model: licence: Apache-2.0 -> MIT"]
    assert "differ in 2 facts" in outcome.err


def test_a_difference_as_json_has_the_same_exit_code(soup: Soup) -> None:
    newer = soup.write("new", cyclonedx.render(msgspec.structs.replace(full(), license="mit")))
    outcome = soup("bom", "diff", "--json", documents(soup)["cdx.json"], newer)
    assert outcome.code == 6
    assert outcome.json["changes"] == [
        {"kind": "changed", "about": "model", "name": "licence", "key": None, "old": "Apache-2.0", "new": "MIT"}
    ]


# score


def test_a_score_names_what_is_missing_and_what_fills_it(soup: Soup) -> None:
    out = soup.ok("bom", "score", soup.write("bare", cyclonedx.render(SAMPLES["bare"])), "--list", "g7").out
    assert "present          12 of 50" in out
    assert "MDL-12\tModel license\t\t--license" in out
    assert "MDL-06\tModel description\t\t--facts: model.description" in out


def test_full_facts_score_a_hundred_points_with_owasp(soup: Soup) -> None:
    out = soup.ok("bom", "score", documents(soup)["cdx.json"], "--list", "owasp").out
    assert "100.0 of 100, profile advanced" in out


def test_all_lists_come_as_one_json_document(soup: Soup) -> None:
    told = soup.ok("bom", "score", documents(soup)["spdx3.json"], "--json").json
    assert [each["list"] for each in told["lists"]] == ["g7", "ntia", "owasp"]
    assert (told["lists"][0]["present"], told["lists"][0]["applicable"]) == (47, 47)
    assert told["lists"][2]["points"] is None
    assert all(each["source"] and each["date"] for each in told["lists"])


# Files that are none, and the bracket.


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        ("{}", "neither CycloneDX"),
        ('{"a": 1, "a": 2}', "stands twice"),
        ("[" * 100_000, "nested deeper"),
        ("", "no JSON"),
    ],
)
@pytest.mark.parametrize("name", ["show", "score", "diff"])
def test_a_file_that_is_no_bill_of_materials_gives_one_line_and_a_hint(
    soup: Soup, name: str, content: str, finding: str
) -> None:
    bad = soup.write("bad.json", content)
    outcome = soup("bom", name, *([bad] if name != "diff" else [documents(soup)["cdx.json"], bad]))
    assert (outcome.code, outcome.raw) == (1, b"")
    assert finding in outcome.err
    assert "Traceback" not in outcome.err


def test_a_missing_file_and_a_directory_are_refused(soup: Soup) -> None:
    for name in ("nowhere.json", soup.work):
        outcome = soup("bom", "show", name)
        assert outcome.code == 1
        assert "Traceback" not in outcome.err


def test_looking_is_recorded(soup: Soup) -> None:
    soup.ok("bom", "show", documents(soup)["cdx.json"])
    assert [event.command for event in soup.events(CommandStarted)] == ["bom show"]
    assert [event.exit_code for event in soup.events(CommandFinished)] == [0]


_LOADED = """
import sys
from commands import bom_show
from commands.bom_show import read_file, summary
from projections.bom.difference import compare
from projections.bom.score import score
from pathlib import Path
document = read_file(Path(sys.argv[1]))
list(summary(document)), compare(document, document), [score(document, name) for name in bom_show.LISTS]
print([name for name in ("duckdb", "cyclonedx", "spdx_tools", "spdx_python_model", "rich", "jsonschema_rs") if name in sys.modules])
"""


def test_reading_a_document_loads_no_document_library(soup: Soup) -> None:
    outcome: Any = soup.python(_LOADED, documents(soup)["cdx.json"])
    assert outcome.out == "[]\n", outcome.err
