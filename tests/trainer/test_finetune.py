"""Real runs on a tiny model. One thread: two runs at a time on a small machine would only wait for each other."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainer import config, observations
from trainer.config import Config, keys
from trainer.errors import ConfigError, NonFiniteError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
RUN_ONCE = Path(__file__).with_name("run_once.py")

Told = list[observations.Observation]


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


def test_the_mask_covers_the_assistants_words_and_its_end_in_the_real_tokenizer(
    base, soup_yaml, byte_tokenizer, one_thread
) -> None:
    from trainer import data, model
    from trainer.data import template

    tokens = model.load(config.parse(soup_yaml(base))).tokens
    turns = [
        ("system", "Be brief."),
        ("user", "Grüße, 你好?"),
        ("assistant", "Hällo 👋"),
        ("user", "\n"),
        ("assistant", " \n"),
    ]
    row = data.tokens.row(tokens, template.choose(None, tokens).segments(turns))
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
    assert bound.files[0].sha256 == hashlib.sha256(rows.read_bytes()).hexdigest()


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


def test_rows_longer_than_the_base_was_made_for_are_warned_of(finetune, base, soup_yaml, rows) -> None:
    told = finetune(soup_yaml(base, {"max_steps": 1}, data={"train": str(rows), "max_length": 513, "val_split": 0.0}))
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


# Keys that only an observer reads, or that have one value; and two that a run refuses wherever they would matter.
PLANNED = {
    key for key, reader in config.READERS.items() if reader.module == "the observer" or key.startswith("co2.")
} | {"training.optimizer", "training.quantization", "training.save_steps", "training.dpo_beta"}


@pytest.mark.parametrize(
    ("key", "training", "root"),
    [
        ("task", {}, {"task": "dpo"}),
        ("training.lora.r", {"lora": {"r": 0}}, {}),
        ("training.precision", {"precision": "bf16"}, {}),
        ("training.gradient_checkpointing", {"gradient_checkpointing": True}, {}),
        ("training.save_steps", {"save_steps": 100}, {}),
        ("co2", {}, {"co2": {"pue": 1.2}}),
    ],
)
def test_what_the_loop_does_not_do_is_refused_and_not_ignored(
    one_thread, base, soup_yaml, tmp_path: Path, key: str, training: dict[str, Any], root: dict[str, Any]
) -> None:
    from trainer.finetune import finetune

    told: list[observations.Observation] = []
    with pytest.raises(ConfigError, match=f"^{key}: this value is not supported yet$"):
        finetune(config.parse(soup_yaml(base, training, **root)), told.append)
    assert told == []
    assert not (tmp_path / "adapter").exists()


def held_out(rows: Path, **training: Any) -> dict[str, Any]:
    return {"data": {"train": str(rows), "max_length": 256, "val_split": 0.4}, **training}


def test_what_is_held_out_is_measured_after_each_epoch(finetune, base, soup_yaml, rows) -> None:
    told = finetune(soup_yaml(base, {"epochs": 2}, **held_out(rows)))
    steps = [each for each in told if isinstance(each, observations.Step)]
    measured = [each for each in told if isinstance(each, observations.Evaluated)]
    ends = [max(step.step for step in steps if step.epoch == epoch) for epoch in (1, 2)]
    assert [each.step for each in measured] == ends
    assert {each.supervised for each in measured} == {started(told).data.evaluation.supervised}
    assert all(float.fromhex(each.loss_hex) == each.loss for each in measured)
    assert measured[0].loss != measured[1].loss


def test_what_is_held_out_is_measured_as_often_as_asked_for_and_at_the_end(finetune, base, soup_yaml, rows) -> None:
    told = finetune(soup_yaml(base, {"max_steps": 3, "epochs": 9, "eval_steps": 2}, **held_out(rows)))
    assert [each.step for each in told if isinstance(each, observations.Evaluated)] == [2, 3]


def test_measuring_does_not_change_what_is_learnt(finetune, base, soup_yaml, rows, tmp_path: Path) -> None:
    often, once = (
        finetune(
            soup_yaml(
                base,
                {"max_steps": 4, "epochs": 9, "eval_steps": every},
                output=str(tmp_path / f"every-{every}"),
                **held_out(rows),
            )
        )[-1]
        for every in (1, 9)
    )
    assert often.tensors_sha256 == once.tensors_sha256


@pytest.mark.parametrize("variant", ["use_dora", "use_rslora"])
def test_a_variant_of_lora_is_what_the_adapter_is(finetune, base, soup_yaml, tmp_path: Path, variant: str) -> None:
    plain = finetune(soup_yaml(base, {"max_steps": 1}, output=str(tmp_path / "plain")))[-1]
    other = finetune(
        soup_yaml(base, {"max_steps": 1, "lora": {"r": 4, "alpha": 8, variant: True}}, output=str(tmp_path / variant))
    )[-1]
    assert other.tensors_sha256 != plain.tensors_sha256
    assert json.loads((tmp_path / variant / "adapter_config.json").read_text())[variant] is True


def test_every_key_of_soup_yaml_is_used(one_thread, base, soup_yaml, rows) -> None:
    from trainer.finetune import finetune

    read: set[str] = set()
    told = config.parse(soup_yaml(base, {"eval_steps": 2}, **held_out(rows)))
    finetune(Reads(told, read), lambda _: None)  # type: ignore[arg-type]  # stands in for Config
    sections = {key.rpartition(".")[0] for key in keys()}
    assert set(keys()) - sections - read == PLANNED


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
