"""Real runs on a tiny model. One thread: two runs at a time on a small machine would only wait for each other."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer import config, observations
from trainer.config import Config
from trainer.errors import BaseModelError, DataError, NonFiniteError, OutputError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RUN_ONCE = Path(__file__).with_name("run_once.py")

Told = list[observations.Observation]


@pytest.fixture(autouse=True)
def quiet_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `before_torch` would have set, had it come before the tests' own torch."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture
def finetune(one_thread: Any) -> Callable[[bytes], Told]:
    """Run a soup.yaml in this process; return all that was observed."""
    from trainer.finetune import finetune

    def run(text: bytes) -> Told:
        told: Told = []
        assert finetune(config.parse(text), told.append) == told[-1]
        return told

    return run


@pytest.fixture
def finetune_until_error(one_thread: Any) -> Callable[[bytes], tuple[Told, Exception]]:
    """Run a soup.yaml that cannot end well; return what was observed and how it ended."""
    from trainer.finetune import finetune

    def run(text: bytes) -> tuple[Told, Exception]:
        told: Told = []
        with pytest.raises((BaseModelError, DataError, NonFiniteError, OutputError)) as end:
            finetune(config.parse(text), told.append)
        return told, end.value

    return run


@pytest.fixture
def optimizer_steps(one_thread: Any, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of each step that the real optimizer takes."""
    taken: list[float] = []
    step = one_thread.optim.AdamW.step

    def watched(self: Any, *args: Any, **options: Any) -> Any:
        taken.append(self.param_groups[0]["lr"])
        return step(self, *args, **options)

    monkeypatch.setattr(one_thread.optim.AdamW, "step", watched)
    return taken


def steps(told: Told) -> list[observations.Step]:
    return [observation for observation in told if isinstance(observation, observations.Step)]


def started(told: Told) -> observations.RunStarted:
    return next(observation for observation in told if isinstance(observation, observations.RunStarted))


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def in_fresh_process(home: Path, text: bytes, **environment: str) -> subprocess.Popen[str]:
    home.mkdir()
    (home / "soup.yaml").write_bytes(text)
    return subprocess.Popen(
        [sys.executable, RUN_ONCE, "soup.yaml"],
        cwd=home,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_runs_in_fresh_processes_are_the_same_bit_for_bit(base, soup_yaml, tmp_path) -> None:
    # Dropout draws random numbers; the hash seed shuffles the sets that peft keeps its targets in.
    text = soup_yaml(base, {"lora": {"r": 4, "dropout": 0.1}}, output="out")
    runs = [in_fresh_process(tmp_path / seed, text, PYTHONHASHSEED=seed) for seed in ("1", "2")]
    (one, errors), (two, _) = (run.communicate(timeout=120) for run in runs)
    assert [run.returncode for run in runs] == [0, 0], errors
    assert one == two
    told = [json.loads(line) for line in one.splitlines()]
    assert [kind for kind, _ in told] == ["RunStarted", *["Step"] * 4, "OutputStaged", "RunCompleted"]
    recorded = {file["name"]: file["sha256"] for file in told[-1][1]["files"]}
    assert recorded == digests(tmp_path / "1" / "out") == digests(tmp_path / "2" / "out")


def test_another_seed_gives_another_adapter(finetune, base, soup_yaml, tmp_path) -> None:
    ends = [
        finetune(soup_yaml(base, {"seed": seed, "max_steps": 1}, output=str(tmp_path / str(seed))))[-1]
        for seed in (1, 2)
    ]
    assert ends[0].tensors_sha256 != ends[1].tensors_sha256


def test_the_loss_falls(finetune, base, soup_yaml) -> None:
    taken = steps(finetune(soup_yaml(base, {"epochs": 20, "gradient_accumulation_steps": 1})))
    assert len(taken) == 60
    assert sum(step.loss for step in taken[-3:]) < 0.75 * sum(step.loss for step in taken[:3])
    assert taken[-1].loss_hex == taken[-1].loss.hex()


@pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)  # peft 0.21 with transformers 5.23
def test_peft_loads_the_adapter_and_it_has_learnt(
    finetune, base, soup_yaml, byte_tokenizer, one_thread, tmp_path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    finetune(soup_yaml(base, {"epochs": 20, "gradient_accumulation_steps": 1}))
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "adapter").eval()
    ids = one_thread.tensor(
        [
            byte_tokenizer.encode(
                "<|im_start|>user\nDefine blue.<|im_end|>\n<|im_start|>assistant\nthe colour of the sky at noon<|im_end|>"
            )
        ]
    )
    with one_thread.no_grad():
        adapted = model(input_ids=ids, labels=ids).loss
        with model.disable_adapter():
            plain = model(input_ids=ids, labels=ids).loss
    assert adapted < 0.9 * plain


def test_the_base_is_untouched_on_disk_and_in_memory(finetune, base, soup_yaml, monkeypatch) -> None:
    from trainer import checkpoint, model

    before, load, loaded = digests(base), model.load, []
    monkeypatch.setattr(model, "load", lambda wanted: loaded.append(load(wanted)) or loaded[-1])
    told = finetune(soup_yaml(base))
    weights = loaded[0].model.state_dict()
    frozen = {name.replace(".base_layer", ""): tensor for name, tensor in weights.items() if "lora_" not in name}
    assert len(frozen) < len(weights)
    assert checkpoint.tensors_sha256(frozen) == started(told).model.base_tensors_sha256
    assert digests(base) == before


def test_the_mask_covers_the_assistants_words_and_its_end_in_the_real_tokenizer(
    base, soup_yaml, byte_tokenizer, one_thread
) -> None:
    from trainer import model

    chatml = model.load(config.parse(soup_yaml(base))).chatml
    turns = [
        ("system", "Be brief."),
        ("user", "Grüße, 你好?"),
        ("assistant", "Hällo 👋"),
        ("user", "\n"),
        ("assistant", " \n"),
    ]
    row = chatml.render({"messages": [{"role": role, "content": content} for role, content in turns]})
    learnt = [token for token, carries_loss in zip(row.ids, row.learnt, strict=True) if carries_loss]
    assert byte_tokenizer.decode(learnt) == "Hällo 👋<|im_end|> \n<|im_end|>"
    assert list(row.ids) == byte_tokenizer.encode(
        "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
    )


def test_rejected_rows_are_counted_before_the_run_starts(finetune, base, soup_yaml, rows) -> None:
    with rows.open("a") as file:
        file.write('{"text": "no messages"}\n{"messages": [{"role": "assistant", "content": "<|endoftext|>"}]}\n')
    bound = started(finetune(soup_yaml(base, {"max_steps": 1}))).data
    assert (bound.rows, bound.kept) == (8, 6)
    assert [(rejection.count, rejection.lines) for rejection in bound.rejections] == [(1, (7,)), (1, (8,))]
    assert bound.sha256 == hashlib.sha256(rows.read_bytes()).hexdigest()


def test_the_loss_is_a_mean_over_tokens_however_they_fall_into_batches(
    finetune, base, soup_yaml, rows, tmp_path
) -> None:
    # Answers of very different length: a mean of the batches' means would be far off.
    answers = ["no", "yes", "a rather long answer " * 8, "ok", "another long answer that goes on " * 5]
    rows.write_text(
        "".join(
            json.dumps({"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": a}]}) + "\n"
            for a in answers
        )
    )
    taken = []
    for size, accumulated in ((8, 1), (1, 8), (2, 4), (4, 2)):
        training = {
            "batch_size": size,
            "gradient_accumulation_steps": accumulated,
            "epochs": 1,
            "lora": {"r": 4, "dropout": 0.0},
        }
        taken += steps(finetune(soup_yaml(base, training, output=str(tmp_path / f"{size}x{accumulated}"))))
    assert len(taken) == 4
    assert {step.supervised for step in taken} == {sum(len(answer) + 1 for answer in answers)}
    for step in taken[1:]:
        assert step.loss == pytest.approx(taken[0].loss, rel=1e-5)
        assert step.grad_norm == pytest.approx(taken[0].grad_norm, rel=1e-4)
    assert len({step.batch_sha256 for step in taken}) == 4


def test_the_first_loss_is_the_one_that_transformers_computes(
    finetune, base, soup_yaml, rows, byte_tokenizer, one_thread
) -> None:
    from transformers import AutoModelForCausalLM

    first = json.loads(rows.read_text().splitlines()[0])["messages"]
    rows.write_text(json.dumps({"messages": first}) + "\n")
    step = steps(finetune(soup_yaml(base, {"max_steps": 1, "lora": {"r": 4, "dropout": 0.0}})))[0]
    prompt = f"<|im_start|>user\n{first[0]['content']}<|im_end|>\n<|im_start|>assistant\n"
    ids = one_thread.tensor([byte_tokenizer.encode(f"{prompt}{first[1]['content']}<|im_end|>\n")])
    labels = ids.clone()
    labels[:, : len(byte_tokenizer.encode(prompt))] = -100
    labels[:, -1] = -100
    # A fresh adapter changes nothing: its second factor begins at zero.
    theirs = AutoModelForCausalLM.from_pretrained(base)(input_ids=ids, labels=labels).loss.item()
    assert step.loss == pytest.approx(theirs, rel=1e-5)


def test_the_optimizer_steps_at_the_rate_that_is_told(finetune, base, soup_yaml, optimizer_steps) -> None:
    rates = [step.lr for step in steps(finetune(soup_yaml(base)))]
    assert optimizer_steps == rates
    assert len(set(rates)) > 1


def test_a_step_forgets_the_gradient_of_the_one_before(finetune, base, soup_yaml, rows) -> None:
    # The same row twice, at a rate at which nothing moves: the gradient is the same again, not the sum.
    rows.write_text(rows.read_text().splitlines()[0] + "\n")
    first, second = steps(finetune(soup_yaml(base, {"lr": 1e-12, "epochs": 2, "lora": {"r": 4, "dropout": 0.0}})))
    assert second.grad_norm == pytest.approx(first.grad_norm, rel=1e-4)


@pytest.fixture
def poisoned_base(base: Path, tmp_path: Path) -> Path:
    from safetensors.torch import load_file, save_file

    poisoned = shutil.copytree(base, tmp_path / "poisoned")
    weights = load_file(poisoned / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, poisoned / "model.safetensors", metadata={"format": "pt"})
    return poisoned


def test_a_loss_that_is_not_a_number_ends_the_run_before_the_step(
    finetune_until_error, poisoned_base, soup_yaml, optimizer_steps, tmp_path
) -> None:
    before = set(tmp_path.iterdir())
    told, error = finetune_until_error(soup_yaml(poisoned_base))
    assert isinstance(error, NonFiniteError)
    assert (error.step, error.quantity) == (1, "loss")
    assert [type(observation).__name__ for observation in told] == ["RunStarted", "NonFinite"]
    assert told[-1].value == "nan"
    assert optimizer_steps == []
    assert set(tmp_path.iterdir()) == before


def test_a_gradient_that_is_infinite_ends_the_run_before_the_step(
    finetune_until_error, base, soup_yaml, optimizer_steps, one_thread, monkeypatch, tmp_path
) -> None:
    from trainer import finetune as road

    clip, calls = road.clip_grad_norm_, []

    def overflow_in_the_second_window(parameters: list[Any], limit: float) -> Any:
        calls.append(None)
        if len(calls) == 2:
            parameters[0].grad[0, 0] = float("inf")
        return clip(parameters, limit)

    monkeypatch.setattr(road, "clip_grad_norm_", overflow_in_the_second_window)
    told, error = finetune_until_error(soup_yaml(base))
    assert isinstance(error, NonFiniteError)
    assert (error.step, error.quantity) == (2, "gradient norm")
    assert [type(observation).__name__ for observation in told] == ["RunStarted", "Step", "NonFinite"]
    assert told[-1].value == "inf"
    assert len(optimizer_steps) == 1
    assert not (tmp_path / "adapter").exists()


@pytest.mark.parametrize("refused", ["RunStarted", "Step", "OutputStaged"])
def test_an_observer_that_fails_stops_the_run_there_and_nothing_stands_at_the_output(
    one_thread, base, soup_yaml, optimizer_steps, tmp_path, refused
) -> None:
    from trainer.finetune import finetune

    def observe(observation: observations.Observation) -> None:
        if type(observation).__name__ == refused:
            raise ConnectionError(refused)

    before = set(tmp_path.iterdir())
    with pytest.raises(ConnectionError, match=refused):
        finetune(config.parse(soup_yaml(base)), observe)
    assert len(optimizer_steps) == {"RunStarted": 0, "Step": 1, "OutputStaged": 4}[refused]
    assert set(tmp_path.iterdir()) == before


def test_nothing_stands_at_the_output_before_it_was_observed(one_thread, base, soup_yaml, tmp_path) -> None:
    from trainer.finetune import finetune

    there: dict[str, bool] = {}
    finetune(
        config.parse(soup_yaml(base, {"max_steps": 1})),
        lambda observation: there.update({type(observation).__name__: (tmp_path / "adapter").exists()}),
    )
    assert there == {"RunStarted": False, "Step": False, "OutputStaged": False, "RunCompleted": True}


def occupy_with_a_file(output: Path) -> None:
    output.write_text("mine")


def occupy_with_a_directory(output: Path) -> None:
    output.mkdir()
    (output / "thesis.txt").write_text("mine")


def occupy_with_a_symlink(output: Path) -> None:
    (output.parent / "elsewhere").mkdir()
    output.symlink_to("elsewhere")


def occupy_the_parent(output: Path) -> None:
    output.parent.rmdir()
    output.parent.write_text("mine")


@pytest.mark.parametrize(
    "occupy", [occupy_with_a_file, occupy_with_a_directory, occupy_with_a_symlink, occupy_the_parent]
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_loaded(
    finetune_until_error, soup_yaml, tmp_path, occupy
) -> None:
    output = tmp_path / "there" / "adapter"
    output.parent.mkdir()
    occupy(output)
    before = sorted((path, path.is_symlink()) for path in tmp_path.rglob("*"))
    told, error = finetune_until_error(soup_yaml(tmp_path / "no-such-base", output=str(output)))
    assert isinstance(error, OutputError)
    assert told == []
    assert sorted((path, path.is_symlink()) for path in tmp_path.rglob("*")) == before


def test_an_empty_directory_becomes_the_output(finetune, base, soup_yaml, tmp_path) -> None:
    (tmp_path / "adapter").mkdir()
    finetune(soup_yaml(base, {"max_steps": 1}))
    assert sorted(digests(tmp_path / "adapter")) == ["adapter_config.json", "adapter_model.safetensors"]
    assert len({path.stat().st_mode for path in (tmp_path / "adapter").iterdir()}) == 1


def test_an_output_occupied_during_the_run_is_kept(one_thread, base, soup_yaml, tmp_path) -> None:
    from trainer.finetune import finetune

    def occupy(observation: observations.Observation) -> None:
        if isinstance(observation, observations.OutputStaged):
            occupy_with_a_directory(tmp_path / "adapter")

    with pytest.raises(OutputError, match="is there already"):
        finetune(config.parse(soup_yaml(base, {"max_steps": 1})), occupy)
    assert (tmp_path / "adapter" / "thesis.txt").read_text() == "mine"
    assert not list(tmp_path.glob(".adapter*"))


def test_the_settings_of_the_adapter_are_sorted_and_say_what_it_is(finetune, base, soup_yaml, tmp_path) -> None:
    told = finetune(
        soup_yaml(base, {"max_steps": 1, "lora": {"r": 4, "alpha": 8, "target_modules": ["v_proj", "q_proj"]}})
    )
    text = (tmp_path / "adapter" / "adapter_config.json").read_text()
    settings = json.loads(text)
    assert list(settings) == sorted(settings)
    assert text == json.dumps(settings, indent=2, sort_keys=True) + "\n"
    assert settings["target_modules"] == ["q_proj", "v_proj"]
    assert (settings["r"], settings["lora_alpha"], settings["inference_mode"]) == (4, 8, True)
    assert settings["base_model_name_or_path"] == str(base)
    assert [name.split(".")[-1] for name in started(told).model.target_modules] == ["q_proj", "v_proj"] * 2


def test_auto_adapts_every_linear_layer_but_the_output_head(finetune, base, soup_yaml) -> None:
    targets = started(finetune(soup_yaml(base, {"max_steps": 1}))).model.target_modules
    assert {name.split(".")[-1] for name in targets} == {
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    }


def without_a_weight(base: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(base / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})


def with_another_shape(base: Path) -> None:
    settings = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(settings | {"intermediate_size": 96}))


def with_a_pickle(base: Path) -> None:
    (base / "model.safetensors").rename(base / "pytorch_model.bin")


def cut_short(base: Path) -> None:
    content = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(content[:-1000])


def with_code_of_its_own(base: Path) -> None:
    (base / "evil.py").write_text("raise SystemExit('executed')")
    settings = json.loads((base / "config.json").read_text())
    strange = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
    (base / "config.json").write_text(json.dumps(settings | strange))


def as_an_adapter(base: Path) -> None:
    (base / "adapter_config.json").write_text('{"base_model_name_or_path": "/elsewhere"}')


def without_config(base: Path) -> None:
    (base / "config.json").unlink()


def without_chatml(base: Path) -> None:
    text = (base / "tokenizer.json").read_text().replace("<|im_start|>", "<|start|>")
    (base / "tokenizer.json").write_text(text)
    settings = (base / "tokenizer_config.json").read_text().replace("<|im_start|>", "<|start|>")
    (base / "tokenizer_config.json").write_text(settings)


def with_a_prefix_space(base: Path) -> None:
    settings = json.loads((base / "tokenizer.json").read_text())
    settings["pre_tokenizer"]["add_prefix_space"] = True
    (base / "tokenizer.json").write_text(json.dumps(settings))


def with_too_many_tokens(base: Path) -> None:
    settings = json.loads((base / "tokenizer.json").read_text())
    settings["added_tokens"].append(settings["added_tokens"][0] | {"id": 259, "content": "<|new|>"})
    (base / "tokenizer.json").write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        (without_a_weight, "1 weights are missing, first model.layers.1.mlp.up_proj.weight"),
        (with_another_shape, ""),
        (with_a_pickle, "safetensors"),
        (cut_short, ""),
        (with_code_of_its_own, ""),
        (as_an_adapter, "is an adapter; merge it"),
        (without_config, "has no config.json"),
        (without_chatml, "its tokenizer has no <|im_start|>"),
        (with_a_prefix_space, "changes text"),
        (with_too_many_tokens, "the tokenizer has 260 tokens, the model 259"),
        (shutil.rmtree, "not a directory"),
    ],
)
def test_a_base_that_is_not_whole_is_refused_in_a_line(
    finetune_until_error, base, soup_yaml, tmp_path, spoil, finding
) -> None:
    spoilt = shutil.copytree(base, tmp_path / "spoilt")
    spoil(spoilt)
    told, error = finetune_until_error(soup_yaml(spoilt))
    assert isinstance(error, BaseModelError)
    assert finding in str(error)
    assert "\n" not in str(error)
    assert told == []
    assert not list(tmp_path.glob("*adapter*"))


def test_a_target_that_the_base_does_not_have_is_refused(finetune_until_error, base, soup_yaml) -> None:
    _, error = finetune_until_error(soup_yaml(base, {"lora": {"target_modules": ["query"]}}))
    assert isinstance(error, BaseModelError)
    assert "training.lora does not fit it" in str(error)


def test_rows_longer_than_the_base_was_made_for_are_warned_of(finetune, base, soup_yaml, rows) -> None:
    told = finetune(soup_yaml(base, {"max_steps": 1}, data={"train": str(rows), "max_length": 513}))
    assert [observation.code for observation in told if isinstance(observation, observations.Warned)] == [
        "beyond-positions"
    ]


def test_waiting_threads_that_spin_are_warned_of(finetune, base, soup_yaml, monkeypatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY")
    told = finetune(soup_yaml(base, {"max_steps": 1}))
    assert [observation.code for observation in told if isinstance(observation, observations.Warned)] == [
        "openmp-spins"
    ]


class Reads:
    """A configuration that remembers which of its keys were read."""

    def __init__(self, section: Any, read: set[str], prefix: str = "") -> None:
        self._section, self._read, self._prefix = section, read, prefix

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._section, name)
        if name not in type(self._section).model_fields:
            return value
        self._read.add(self._prefix + name)
        return Reads(value, self._read, f"{self._prefix}{name}.") if hasattr(value, "model_fields_set") else value


def test_every_key_of_soup_yaml_is_used(one_thread, base, soup_yaml) -> None:
    from trainer.finetune import finetune

    read: set[str] = set()
    finetune(Reads(config.parse(soup_yaml(base)), read), lambda _: None)  # type: ignore[arg-type]  # stands in for Config
    assert read == dict(config._keys()).keys()


def test_the_run_says_all_that_its_bits_depend_on(finetune, base, soup_yaml, rows) -> None:
    begun = started(finetune(soup_yaml(base, {"max_steps": 3})))
    assert Config.model_validate(begun.config, strict=False).training.max_steps == 3
    assert (begun.seed, begun.steps, begun.data.kept) == (7, 3, 6)
    assert (begun.model.architecture, begun.model.device, begun.model.dtype) == ("LlamaForCausalLM", "cpu", "float32")
    assert begun.model.parameters == 90_624
    assert begun.environment["torch.threads"] == "1"
    assert begun.environment["torch.deterministic"] == "true"
    assert begun.environment["package.peft"] != "(absent)"
    assert os.uname().nodename not in begun.environment.values()
    assert list(begun.environment) == sorted(begun.environment)
