"""A facts file says what its schema allows, is read without a float, and is redacted before it is recorded."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import facts_file
from commands.errors import InputError
from commands.redaction import Redactor
from ledger.canonical import encode
from ledger.events.facts import Facts, FactsDeclared
from tests.simulator import ROOT
from trainer import yaml_core

FULL = ROOT / "tests" / "data" / "facts-full.yaml"
VALIDATOR = jsonschema_rs.Draft202012Validator(json.loads(facts_file.schema()))


def load(tmp_path: Path, content: str | bytes, redactor: Redactor | None = None) -> FactsDeclared:
    path = tmp_path / "facts.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    event = facts_file.load(path, redactor or Redactor())
    assert msgspec.json.decode(encode(msgspec.to_builtins(event)), type=FactsDeclared) == event
    return event


def refused(tmp_path: Path, content: str | bytes) -> tuple[str, str]:
    with pytest.raises(InputError) as caught:
        load(tmp_path, content)
    assert caught.value.sentence.startswith(f"'{tmp_path / 'facts.yaml'}'")
    return caught.value.sentence.removeprefix(f"'{tmp_path / 'facts.yaml'}'").lstrip(":, "), caught.value.hint or ""


def test_the_complete_example_is_read_whole() -> None:
    event = facts_file.load(FULL, Redactor())
    assert event.sha256 == hashlib.sha256(FULL.read_bytes()).hexdigest()
    assert event.redactions == {}
    assert msgspec.to_builtins(event.facts) == yaml_core.load(FULL.read_bytes())


def test_the_published_schema_is_the_one_that_the_types_give() -> None:
    assert facts_file.SCHEMA.read_bytes() == facts_file.schema()
    jsonschema_rs.meta.validate(json.loads(facts_file.schema()))


def test_the_complete_example_follows_the_published_schema() -> None:
    jsonschema_rs.Draft202012Validator(json.loads(facts_file.SCHEMA.read_bytes())).validate(
        yaml_core.load(FULL.read_bytes())
    )


def test_json_and_yaml_say_the_same(tmp_path: Path) -> None:
    value = yaml_core.load(FULL.read_bytes())
    for text in (json.dumps(value), json.dumps(value, indent="\t", ensure_ascii=False), "\ufeff" + json.dumps(value)):
        assert load(tmp_path, text).facts == facts_file.load(FULL, Redactor()).facts
    assert (
        load(tmp_path, '{"model": {"description": "\\ud83c\\udf5c soup"}}').facts.model.description == "\U0001f35c soup"
    )


# What a word means is decided by its place.


@pytest.mark.parametrize("written", ["0.1", "1.10", "-3", "1e3", "0.123456789012345678901234567890", '"21.50"'])
@pytest.mark.parametrize("form", ["metrics: [{type: x, value: %s}]", '{"metrics": [{"type": "x", "value": %s}]}'])
def test_a_number_stays_as_it_was_written(tmp_path: Path, form: str, written: str) -> None:
    (metric,) = load(tmp_path, form % written).facts.metrics
    assert metric.value == written.strip('"')


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("yes", "yes"),
        ("No", "no"),
        ("true", "yes"),
        ("FALSE", "no"),
        ("on", "yes"),
        ("off", "no"),
        ('"yes"', "yes"),
        ("'no'", "no"),
    ],
)
def test_yes_and_no_are_understood_as_booleans_and_as_words(tmp_path: Path, written: str, meant: str) -> None:
    assert load(tmp_path, f"model: {{autonomy: {written}}}").facts.model.autonomy == meant


def test_where_text_belongs_nothing_else_is_seen(tmp_path: Path) -> None:
    facts = load(
        tmp_path, "data: [{match: a, version: 1.10, languages: [no, on, 007], released: 2026-03-01, name: 1e3}]"
    ).facts
    (data,) = facts.data
    assert (data.version, data.languages, data.released, data.name) == (
        "1.10",
        ["no", "on", "007"],
        "2026-03-01",
        "1e3",
    )
    hyper = load(
        tmp_path, "training: {hyperparameters: {lr: 2e-5, epochs: 3, packing: true}}"
    ).facts.training.hyperparameters
    assert hyper == {"lr": "2e-5", "epochs": "3", "packing": "true"}


def test_null_means_not_stated(tmp_path: Path) -> None:
    facts = load(tmp_path, "model: {description: ~, types: , group: g}\nconsiderations:\nsecurity: null\n").facts
    assert facts == msgspec.convert({"model": {"group": "g"}}, Facts)


# Refusals name the place.

REFUSED = {
    "model: {suplier: {name: x}}": ("model.suplier is not a known key", "did you mean 'supplier'?"),
    "modle: {}": ("modle is not a known key", "did you mean 'model'?"),
    "zzz: 1": ("zzz is not a known key", "known here: base, config"),
    "model: x": ("model must be a table of keys and values, not 'x'", ""),
    "model: {types: transformer}": ("model.types must be a list, not 'transformer'", ""),
    "model: {types: [[a]]}": ("model.types[0] must be text, not a list", ""),
    "model: {description: {a: b}}": ("model.description must be text, not a table", ""),
    "model: {types: [a, ~]}": ("model.types[1] must be text, not nothing", ""),
    "model: {autonomy: maybe}": ("model.autonomy must be one of: no, yes, not 'maybe'", ""),
    "model: {approach: supervized}": ("model.approach must be one of:", "did you mean 'supervised'?"),
    "model: {released: 1.3.2026}": ("model.released must be a day, such as 2026-11-22", ""),
    "model: {released: 2026-02-30}": ("model.released 2026-02-30 is no day", ""),
    "model: {supplier: {url: a}}": ("model.supplier.url must be an absolute URL", ""),
    "model: {supplier: {url: 'https://x'}}": ("model.supplier.name is missing", ""),
    "model: {supplier: {name: ''}}": ("model.supplier.name is empty", "leave the key out"),
    "model: {authors: [{email: at home}]}": ("model.authors[0].email must be an e-mail address", ""),
    "metrics: [{type: a, value: good}]": ("metrics[0].value must be a number, such as 0.5, not 'good'", ""),
    "metrics: [{type: a, value: .inf}]": ("metrics[0].value must be a number", ""),
    "metrics: [{type: a, value: .nan}]": ("metrics[0].value must be a number", ""),
    '{"metrics": [{"type": "a", "value": NaN}]}': ("metrics[0].value must be a number", ""),
    "metrics: [{value: 1}]": ("metrics[0].type is missing", ""),
    "training: {hyperparameters: [a]}": ("training.hyperparameters must be a table", ""),
    "training: {hyperparameters: {'\u00e9': 1}}": ("training.hyperparameters.", ""),
    "data: [{match: a}, {match: a}]": ("data speaks twice of 'a'", "write all of it in one place"),
    "": ("the file must be a table", ""),
    "# nothing": ("the file must be a table", ""),
    "{}": ("the file states nothing", "see the schema"),
    "model: {}": ("the file states nothing", "see the schema"),
    "[]": ("the file must be a table of keys and values, not a list", ""),
    "model: &a {group: g}\nbase: *a": ("anchors and aliases are not accepted", ""),
    "model: !!python/object:os.system {}": ("the tag", ""),
    "model: {group: a}\nmodel: {group: b}": ("the key 'model' stands twice", ""),
    '{"model": {"group": "a", "group": "b"}}': ("the key 'group' stands twice", ""),
    "a: 1\n---\nb: 1": ("a second document begins", ""),
    "{" * 20: ("it is not YAML", ""),
    "[" * 100_000: ("it is nested deeper than 32", ""),
    "- " * 40 + "a": ("it is nested deeper than 32", ""),
    '{"a":' * 40 + "1" + "}" * 40: ("it is nested deeper than 32", ""),
    '{"a":' * 50_000: ("it is nested deeper than 32", ""),
    "model: [": ("it is not YAML", ""),
    "? [a]\n: b": ("a key must be text", ""),
    'a: "\\U7fffffff"': ("it is not YAML", ""),
    "a: \x07": ("it is not YAML", ""),
}  # fmt: skip


@pytest.mark.parametrize("content", REFUSED, ids=lambda content: repr(content[:40]))
def test_what_is_wrong_is_refused_by_its_place(tmp_path: Path, content: str) -> None:
    sentence, hint = refused(tmp_path, content)
    expected, expected_hint = REFUSED[content]
    assert expected in sentence
    assert hint.startswith(expected_hint)
    assert "\n" not in sentence


def test_the_line_of_yaml_is_told(tmp_path: Path) -> None:
    sentence, _ = refused(tmp_path, "model:\n  group: g\n  autonomy: maybe\n")
    assert sentence.startswith("line 3: model.autonomy")
    sentence, _ = refused(tmp_path, "model:\n  group: g\n  group: h\n")
    assert sentence.startswith("line 3: the key")


def test_a_file_of_more_than_a_megabyte_and_one_that_is_not_utf8_are_refused(tmp_path: Path) -> None:
    assert "more than the 1000000 allowed" in refused(tmp_path, "a" * 1_000_001)[0]
    assert "not UTF-8 (byte 2)" in refused(tmp_path, b"a: \xff".replace(b" ", b""))[0]


def test_what_is_too_long_is_refused_and_not_cut(tmp_path: Path) -> None:
    assert "has 1025 characters, more than 1024" in refused(tmp_path, f"model: {{group: {'a' * 1025}}}")[0]
    assert "more than 1000" in refused(tmp_path, json.dumps({"model": {"types": ["a"] * 1001}}))[0]


# Redaction.

TOKEN = "hf_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3f"


def test_secrets_are_hidden_and_counted_and_contacts_stay(tmp_path: Path) -> None:
    redactor = Redactor()
    redactor.text("me@example.org said so before")
    event = load(
        tmp_path,
        f"""
model:
  description: Ask eve@example.org, or use {TOKEN}.
  supplier: {{name: Lab, url: "https://user:hunter2@example.org/x", contacts: [{{name: Desk, email: desk@example.org}}]}}
training: {{hyperparameters: {{api_key: zebra, lr: 0.1, eos_token: </s>}}}}
""",
        redactor,
    )
    shown = repr(event)
    assert not [secret for secret in (TOKEN, "eve@", "hunter2", "zebra") if secret in shown]
    assert "desk@example.org" in shown
    assert event.facts.training.hyperparameters == {
        "api_key": "[redacted:secret-assignment]", "lr": "0.1", "eos_token": "</s>"
    }  # fmt: skip
    assert event.redactions["email"] == 1
    assert sum(event.redactions.values()) == 4


def test_numbers_and_days_are_not_taken_for_secrets(tmp_path: Path) -> None:
    (metric,) = load(tmp_path, "metrics: [{type: tokens, value: 4111111111111111}]").facts.metrics
    assert metric.value == "4111111111111111"


def test_text_that_cannot_be_encoded_is_made_so(tmp_path: Path) -> None:
    assert load(tmp_path, '{"model": {"description": "a\\ud800\\u0000b"}}').facts.model.description == "a\\ud800\\x00b"


# The schema and the reader agree.

VALUES = st.sampled_from(
    [None, True, False, 0, 1.5, -2, "", "x", "no", "yes", "2026-01-02", "1.5", "https://x.example/", "a@b.example", "low",
     "text", "training", [], {}, ["x"], [None], {"name": "x"}, {"x": "y"}, [{"name": "x"}], {"match": "x"}, "x" * 1025]
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in inner for place in places(child, (*path, key)))]


WHOLE = yaml_core.load(FULL.read_bytes())
PLACES = places(WHOLE)


@settings(max_examples=250, deadline=None)
@given(
    place=st.sampled_from(PLACES),
    value=VALUES,
    key=st.none() | st.sampled_from(["name", "email", "types", "zzz", "comment"]),
)
def test_the_reader_takes_what_the_schema_takes(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, ...], value: object, key: str | None
) -> None:
    changed = {"": copy.deepcopy(WHOLE)}
    owner: Any = changed
    for step in ("", *place)[:-1]:
        owner = owner[step]
    last = ("", *place)[-1]
    owner[last] = (
        value if key is None else {**owner[last], key: value} if isinstance(owner[last], dict) else {key: value}
    )
    document = changed[""]
    try:
        load(tmp_path_factory.getbasetemp(), json.dumps(document))
        accepted = True
    except InputError as error:
        accepted = "states nothing" in error.sentence
    assert accepted == VALIDATOR.is_valid(document)


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200) | st.text(alphabet="ab:-{}[]\"'&*!|>#~ \n\t01.", max_size=60).map(str.encode))
def test_no_bytes_can_stop_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    try:
        sentence = load(tmp_path_factory.getbasetemp(), content).sha256
    except InputError as error:
        sentence = error.sentence
    assert "\n" not in sentence
