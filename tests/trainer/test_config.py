"""soup.yaml: accepted, refused, and what the refusal says. Needs no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trainer import refusals, yaml_core
from trainer.config import FORMATS_OF, READERS, Config, files, from_settings, keys, parse, settings, validate
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
        "data": {
            "train": "rows.jsonl",
            "eval": None,
            "format": "auto",
            "val_split": 0.1,
            "max_length": 2048,
            "train_on_responses_only": True,
            "chat_template": None,
        },
        "training": {
            "epochs": 3,
            "lr": 2e-5,
            "batch_size": 4,
            "gradient_accumulation_steps": 4,
            "seed": 42,
            "data_seed": None,
            "warmup_ratio": 0.03,
            "weight_decay": 0.01,
            "max_grad_norm": 1.0,
            "scheduler": "cosine",
            "optimizer": "adamw_torch",
            "save_steps": 100,
            "eval_steps": None,
            "packing": False,
            "gradient_checkpointing": False,
            "precision": "fp32",
            "quantization": "none",
            "max_steps": None,
            "dpo_beta": 0.1,
            "lora": {
                "r": 64,
                "alpha": 16,
                "dropout": 0.05,
                "target_modules": "auto",
                "use_dora": False,
                "use_rslora": False,
            },
        },
        "output": "./output",
        "experiment_name": None,
        "co2": None,
    }


def test_the_dump_of_a_run_is_the_same_run() -> None:
    config = parse(SMALLEST + b"training: {lora: {target_modules: [v_proj, q_proj]}}\n")
    assert validate(config.model_dump(mode="json")) == config


def test_a_number_may_be_written_as_people_write_it() -> None:
    assert parse(SMALLEST + b"training: {lr: 2e-5}").training.lr == 2e-5
    assert parse(SMALLEST + b"training: {lr: 1}").training.lr == 1.0


def test_lora_may_stand_at_the_root() -> None:
    assert parse(SMALLEST + b"lora: {r: 8}\n") == parse(SMALLEST + b"training: {lora: {r: 8}}\n")


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (b"{train: [a, a]}", "data.train: names 'a' twice"),
        (b"{train: []}", "data.train: "),
        (b"{train: 3}", "(a local file or a list of them: .jsonl, .json, .csv, .parquet, .txt)"),
        (b"{train: a, eval: [b, a]}", "data.eval: 'a' is trained on as well"),
        (b"{train: a, eval: b, val_split: 0.1}", "data.val_split: data.eval names the held-out rows already"),
        (b"{train: a, val_split: 0.6}", "data.val_split: input should be less than or equal to 0.5"),
        (b"{train: a, max_length: 8}", "data.max_length: input should be greater than or equal to 16"),
        (b"{train: a, format: kto}", "(no other shape of rows is supported)"),
        (b"{train: a, format: dpo}", "data.format: task sft learns from alpaca, sharegpt, chatml"),
        (b"{train: a, chat_template: chatmll}", "'chatmll'; did you mean chatml?"),
        (b"{train: a, chat_template: mistral}", "leave it out to use the tokenizer's own"),
        (b"{train: a, streaming: true}", "'data.streaming': no such key; rows are read whole before the first step"),
        (
            b"{train: a, val_split: 0}\ntraining: {eval_steps: 5}",
            "training.eval_steps: nothing is held out to evaluate on",
        ),
        (b"{train: a}\ntask: pretrain\ntraining: {dpo_beta: 0.2}", "training.dpo_beta: only task dpo reads it"),
        (
            b"{train: a, train_on_responses_only: false}\ntask: dpo",
            "data.train_on_responses_only: only task sft reads it",
        ),
        (b"{train: a, chat_template: chatml}\ntask: pretrain", "data.chat_template: only task sft and dpo reads it"),
        (b"{train: a}\ntask: dpo\ntraining: {packing: true}", "training.packing: only task sft and pretrain reads it"),
        (b"{train: a}\ntask: dpo\nlora: {r: 0}", "training.lora.r: dpo needs an adapter"),
    ],
)
def test_what_another_value_contradicts_or_nothing_would_read_is_refused(text: bytes, finding: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(b"base: model\ndata: " + text)
    assert finding in str(refusal.value)


ACCEPTED = [
    b"task: dpo\ntraining: {dpo_beta: 0.3}",
    b"task: pretrain\ntraining: {packing: true, scheduler: constant, precision: bf16, data_seed: 0}",
    b"lora: {r: 0}\nexperiment_name: 'null'",
    b"lora: {use_dora: true, use_rslora: true, target_modules: [v_proj, q_proj]}\nexperiment_name: '3'",
    b"co2: {zone: US-CAL-CISO, pue: 1.2, intensity: {provider: electricity-maps, basis: direct}}",
    b"co2: {country: DEU, cpu_watts: 8, gpu_watts: 300, intensity: {g_per_kwh: 380, source: UBA, year: 2024}}",
    b"co2: {intensity: {csv: hours.csv, source: ENTSO-E}}",
    b"co2: {}",
    b"experiment_name: '\xc3\xa9t\xc3\xa9 \"quoted\"'\ntraining: {lr: 1e-30, seed: 0, max_steps: 3, save_steps: 1}",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_the_settings_of_a_run_are_the_same_run(text: bytes) -> None:
    config = parse(SMALLEST + text)
    assert from_settings(settings(config)) == config
    assert validate(config.model_dump(mode="json")) == config


def test_settings_are_exact_text_and_strings_stand_as_they_are() -> None:
    told = settings(parse(SMALLEST + b"training: {lr: 2e-5, weight_decay: 0}\nexperiment_name: '3'"))
    assert (told["base"], told["experiment_name"], told["co2"]) == ("./model", '"3"', "null")
    assert (told["training.lr"], told["training.weight_decay"], told["training.packing"]) == ("2e-05", "0.0", "false")
    assert from_settings(told).experiment_name == "3"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(lambda name: "\0" not in name))
def test_any_path_survives_the_settings(name: str) -> None:
    config = validate({"base": name, "data": {"train": [name, name + "x"]}})
    assert from_settings(settings(config)) == config
    assert files(config.data.train) == (name, name + "x")


@pytest.mark.parametrize(
    "texts", [{"base": "x", "base.y": "z"}, {}, {"base": "m", "data.train": "t", "data.format": "3"}]
)
def test_settings_of_no_run_are_refused(texts: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        from_settings(texts)


def test_each_key_has_a_reader_and_each_reader_a_key() -> None:
    sections = {key.rpartition(".")[0] for key in keys()}
    assert set(READERS) == set(keys()) - sections


def test_files_of_held_out_rows_take_the_place_of_the_split() -> None:
    assert parse(b"base: m\ndata: {train: a, eval: b}").data.val_split == 0.0
    assert parse(b"base: m\ndata: {train: a, eval: null}").data.val_split == 0.1
    assert parse(b"base: m\ndata: {train: a, eval: b}\ntraining: {eval_steps: 3}").training.eval_steps == 3


def test_each_task_and_format_is_known_to_the_data() -> None:
    from trainer.data.formats import FORMATS

    assert {name for names in FORMATS_OF.values() for name in names} == set(FORMATS)


def test_what_is_said_of_a_key_is_said_of_one_that_is_absent() -> None:
    assert set(refusals._ABSENT).isdisjoint(keys())
    assert set(refusals._NOTES) <= set(keys())
    assert set(refusals._ALSO_CALLED.values()) <= set(keys().values())


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
        (b"zzz: {}", "'zzz': no such key; it would be ignored, so it is refused"),
        (b'"\\e[31m": 1', r"'\x1b[31m': no such key"),
        (b"task: grpo", "task: input should be 'sft', 'dpo' or 'pretrain' (no other task is supported)"),
        (b"training: {logging_steps: 1}", "'training.logging_steps': no such key; every step is recorded and shown"),
        (b"eval: {}", "'eval': no such key; what is held out is evaluated, by data.eval or data.val_split"),
        (b"training: {optim: adamw_torch}", "did you mean training.optimizer?"),
        (b"training: {optimizer: adamw_bnb}", "training.optimizer: input should be 'adamw_torch' (no other"),
        (b"training: {quantization: 4bit}", "training.quantization: input should be 'none' (weights are not"),
        (b"training: {precision: fp16}", "training.precision: input should be 'fp32' or 'bf16'"),
        (b"training: {dpo_beta: 0.2}", "training.dpo_beta: only task dpo reads it, and the task is sft"),
        (b"experiment_name: a/b", "experiment_name: string should match pattern"),
        (b"experiment_name: ''", "experiment_name: "),
        (b"co2: {zone: DE, country: DEU}", "co2.country: co2.zone is more exact; leave one of them out"),
        (b"co2: {zone: germany}", "(a zone of the grid, as DE or US-CAL-CISO)"),
        (b"co2: {country: DE}", "(three letters, as DEU)"),
        (b"co2: {pue: 0.9}", "co2.pue: input should be greater than or equal to 1"),
        (b"co2: {cpu_watts: 0}", "co2.cpu_watts: input should be greater than 0"),
        (b"co2: {intensity: 380}", "co2.intensity: expected a mapping"),
        (b"co2: {intensity: {}}", "co2.intensity: give one of g_per_kwh, csv, provider"),
        (b"co2: {intensity: {csv: a, g_per_kwh: 1}}", "co2.intensity: give one of g_per_kwh, csv, provider"),
        (b"co2: {intensity: {g_per_kwh: 380, source: UBA}}", "co2.intensity.year: g_per_kwh needs it"),
        (b"co2: {intensity: {csv: a.csv}}", "co2.intensity.source: csv needs it"),
        (b"co2: {intensity: {csv: a.csv, source: b, year: 2024}}", "co2.intensity.year: nothing reads it beside csv"),
        (b"co2: {intensity: {provider: electricity-maps, basis: direct}}", "co2.zone: electricity-maps needs it"),
        (b"co2: {zone: DE, intensity: {provider: electricity-maps}}", "co2.intensity.basis: provider needs it"),
        (
            b"co2: {zone: DE, intensity: {provider: watttime}}",
            "co2.intensity.provider: input should be 'electricity-maps'",
        ),
        (b"co2: {emissions: 1}", "'co2.emissions': no such key"),
        (b"training: {batch_size: auto}", "('auto' is not supported, give a number)"),
        (b"training: {lora: {r: 0, alpha: 8, use_dora: true}}", "training.lora.use_dora: training.lora.r is 0, so"),
        (b"training: {lora: {r: 0, alpha: 8}}", "training.lora.alpha: training.lora.r is 0, so there is no adapter"),
        (b"training: {epochs: '3'}", "training.epochs: input should be a valid integer"),
        (b"training: {epochs: 1.0}", "training.epochs: input should be a valid integer"),
        (b"training: {epochs: true}", "training.epochs: input should be a valid integer"),
        (b"training: {lr: 0}", "training.lr: input should be greater than 0"),
        (b"training: {lr: .nan}", "training.lr: input should be a valid number"),
        (b"training: {seed: 4294967296}", "training.seed: input should be less than 4294967296"),
        (b"training: {scheduler: wsd}", "training.scheduler: input should be 'cosine', 'linear' or 'constant'"),
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
