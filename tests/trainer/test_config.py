"""soup.yaml: accepted, refused, and what the refusal says. Needs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trainer import yaml_core
from trainer.config import Config, parse, validate
from trainer.errors import ConfigError, TrainerError

SMALLEST = b"base: ./model\ndata:\n  train: rows.jsonl\n"


def test_importing_the_room_and_reading_a_configuration_loads_no_torch() -> None:
    code = (
        "import sys, trainer, trainer.config, trainer.observations, trainer.errors, trainer.determinism, trainer.data\n"
        f"trainer.config.parse({SMALLEST!r})\n"
        "trainer.determinism.before_torch()\n"
        "print(sorted({'torch', 'transformers', 'peft', 'numpy', 'safetensors', 'tokenizers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_smallest_file_gives_a_run_with_every_default_spelt_out() -> None:
    assert parse(SMALLEST).model_dump(mode="json") == {
        "base": "./model",
        "task": "sft",
        "data": {"train": "rows.jsonl", "format": "chatml", "max_length": 2048},
        "training": {
            "epochs": 3,
            "lr": 2e-5,
            "batch_size": 4,
            "gradient_accumulation_steps": 4,
            "seed": 42,
            "warmup_ratio": 0.03,
            "weight_decay": 0.01,
            "max_grad_norm": 1.0,
            "scheduler": "cosine",
            "max_steps": None,
            "lora": {"r": 64, "alpha": 16, "dropout": 0.05, "target_modules": "auto"},
        },
        "output": "./output",
    }


def test_the_dump_of_a_run_is_the_same_run() -> None:
    config = parse(SMALLEST + b"training: {lora: {target_modules: [v_proj, q_proj]}}\n")
    assert validate(config.model_dump(mode="json")) == config


def test_a_number_may_be_written_as_people_write_it() -> None:
    assert parse(SMALLEST + b"training: {lr: 2e-5}").training.lr == 2e-5
    assert parse(SMALLEST + b"training: {lr: 1}").training.lr == 1.0


def test_lora_may_stand_at_the_root() -> None:
    assert parse(SMALLEST + b"lora: {r: 8}\n") == parse(SMALLEST + b"training: {lora: {r: 8}}\n")


def test_a_run_cannot_be_changed_once_it_is_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        parse(SMALLEST).training.lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (b"trainin: {lr: 1}", "'trainin': no such key; did you mean training?"),
        (b"training: {learning_rate: 1}", "'training.learning_rate': no such key; did you mean training.lr?"),
        (
            b"training: {lora: {lora_alpha: 1}}",
            "'training.lora.lora_alpha': no such key; did you mean training.lora.alpha?",
        ),
        (b"training: {gradient_accumulation_step: 1}", "did you mean training.gradient_accumulation_steps?"),
        (b"seed: 1", "'seed': no such key; did you mean training.seed?"),
        (b"lora: {rr: 1}\nmax_length: 64", "'max_length': no such key; did you mean data.max_length?"),
        (b"co2: {}", "'co2': no such key; it would be ignored, so it is refused"),
        (b'"\\e[31m": 1', r"'\x1b[31m': no such key"),
        (b"task: dpo", "task: input should be 'sft' (only 'sft' is supported)"),
        (b"training: {batch_size: auto}", "('auto' is not supported, give a number)"),
        (b"training: {lora: {r: 0}}", "(0, full fine-tuning, is not supported)"),
        (b"training: {epochs: '3'}", "training.epochs: input should be a valid integer"),
        (b"training: {epochs: 1.0}", "training.epochs: input should be a valid integer"),
        (b"training: {epochs: true}", "training.epochs: input should be a valid integer"),
        (b"training: {lr: 0}", "training.lr: input should be greater than 0"),
        (b"training: {lr: .nan}", "training.lr: input should be a valid number"),
        (b"training: {seed: 4294967296}", "training.seed: input should be less than 4294967296"),
        (b"training: {scheduler: constant}", "training.scheduler: input should be 'cosine' or 'linear'"),
        (b"training: {max_steps: 0}", "training.max_steps: input should be greater than or equal to 1"),
        (b"training: {lora: {dropout: 1.0}}", "training.lora.dropout: input should be less than 1"),
        (
            b"training: {lora: {target_modules: ['.*']}}",
            "training.lora.target_modules: input should be 'auto' (or a list of module names)",
        ),
        (b"training: {lora: {target_modules: []}}", "training.lora.target_modules: "),
        (b"training: 3", "training: expected a mapping"),
        (b"lora: {}\ntraining: {lora: {}}", "lora: stands both at the root and in training; keep training.lora"),
        (b"lora: 3", "training.lora: expected a mapping"),
        (b"lora: {}\ntraining: 3", "training: expected a mapping"),
        (b'output: "\\0"', "output: string should match pattern"),
        (b"output: ''", "output: string should have at least 1 character"),
        (b"base: twice", "line 4, column 1: the key 'base' stands twice"),
    ],
)
def test_what_is_wrong_is_refused_in_a_sentence(text: bytes, finding: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(SMALLEST + text)
    assert finding in str(refusal.value)
    assert isinstance(refusal.value, TrainerError)


def test_everything_that_is_wrong_is_said_at_once_and_once_a_place() -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(b"data: {trian: x}\ntraining: {epochs: x, lora: {target_modules: 3}}")
    places = [finding.split(":")[0] for finding in refusal.value.findings]
    assert sorted(places) == ["'data.trian'", "base", "data.train", "training.epochs", "training.lora.target_modules"]


def test_a_document_that_is_no_mapping_is_refused() -> None:
    for text in (b"", b"- base", b"base"):
        with pytest.raises(ConfigError, match="expected a mapping with the keys base, task"):
            parse(text)


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (b"a: &anchor [1]\nb: *anchor", "line 1, column 4: anchors and aliases are not accepted"),
        (b"a: *nothing", "anchors and aliases"),
        (b"a: !!python/object/apply:os.system [true]", "tags are not accepted"),
        (b"[" * 100_000, "nested deeper than 32"),
        (b"- " * 100_000, "nested deeper than 32"),
        (b"1: one", "a key must be text"),
        (b"{[a]: b}", "a key must be text"),
        (b"a: 1\n---\na: 2", "found another document"),
        (b"a: [", "line 1"),
        (b"a: \x07", "not YAML"),
        (b"\xff\xfe", "not UTF-8 (byte 0)"),
        (b"#" * (yaml_core.MAX_BYTES + 1), "longer than 1048576 bytes"),
    ],
)
def test_yaml_that_expands_repeats_or_executes_is_refused(text: bytes, finding: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(text)
    assert finding in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"2e-5", 2e-5),
        (b"-1.5E+3", -1500.0),
        (b".5", 0.5),
        (b"1.", 1.0),
        (b"007", "007"),  # seven to some readers, and 010 is eight to others
        (b"0o17", "0o17"),
        (b"1_000", "1_000"),
        (b"12:30", "12:30"),  # sixty-base in YAML 1.1
        (b"2026-01-01", "2026-01-01"),
        (b"no", "no"),
        (b"on", "on"),
        (b"True", True),
        (b"~", None),
        (b"", None),
        (b"'1'", "1"),
        (b".inf", ".inf"),
    ],
)
def test_plain_scalars_follow_yaml_1_2(text: bytes, value: object) -> None:
    read = yaml_core.load(b"a: " + text)
    assert read == {"a": value}
    assert isinstance(read, dict)
    assert type(read["a"]) is type(value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_run_or_a_config_error(text: bytes) -> None:
    try:
        assert isinstance(parse(text), Config)
    except ConfigError as refusal:
        assert refusal.findings  # noqa: PT017 - either outcome is right, no other is


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["base", "data", "lora", "training", "r", "x"]), inner)
    ),
    max_leaves=12,
)


@given(_PLAIN)
def test_any_document_is_a_run_or_a_config_error(document: object) -> None:
    try:
        assert isinstance(validate(document), Config)
    except ConfigError as refusal:
        assert refusal.findings  # noqa: PT017 - either outcome is right, no other is
