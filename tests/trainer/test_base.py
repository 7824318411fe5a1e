"""What a base must be, and that it stays as it is."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from trainer import observations
from trainer.errors import BaseModelError

pytestmark = pytest.mark.slow

Told = list[observations.Observation]


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def started(told: Told) -> observations.RunStarted:
    return next(observation for observation in told if isinstance(observation, observations.RunStarted))


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
