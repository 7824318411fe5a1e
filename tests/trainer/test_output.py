"""What stands at the output, when, and what never does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from trainer import config, observations
from trainer.errors import OutputError

pytestmark = pytest.mark.slow

Told = list[observations.Observation]


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


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


@pytest.mark.parametrize("refused", ["RunStarted", "Step", "OutputStaged"])
def test_an_observer_that_fails_stops_the_run_there_and_nothing_stands_at_the_output(
    one_thread, quiet_threads, base, soup_yaml, optimizer_steps, tmp_path, refused
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


def test_nothing_stands_at_the_output_before_it_was_observed(
    one_thread, quiet_threads, base, soup_yaml, tmp_path
) -> None:
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


def test_an_output_occupied_during_the_run_is_kept(one_thread, quiet_threads, base, soup_yaml, tmp_path) -> None:
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
    begun = next(observation for observation in told if isinstance(observation, observations.RunStarted))
    assert [name.split(".")[-1] for name in begun.model.target_modules] == ["q_proj", "v_proj"] * 2
