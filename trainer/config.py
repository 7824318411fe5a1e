"""soup.yaml: what a run is asked to do, in the shape that users of `soup` know.

What is true here:

- every key that is accepted is used; a key that is not used is an error, with the nearest name that is;
- every value is checked by type and range before anything heavy is imported; nothing is coerced (`"3"` is not 3);
- a `Config` is frozen, and dumping it gives every setting of the run, defaults included.

It does not know torch, nor whether the files it names exist. Relative paths are relative to the working directory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer import yaml_core
from trainer.errors import ConfigError

PathText = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
ModuleName = Annotated[str, Field(strict=True, max_length=128, pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$")]


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Lora(_Section):
    """Low-rank adaptation (arXiv:2106.09685): the base stays frozen, `alpha / r` scales what is learnt."""

    r: int = Field(default=64, ge=1, le=4096)
    alpha: int = Field(default=16, ge=1, le=65536)
    dropout: float = Field(default=0.05, ge=0.0, lt=1.0)
    # auto: every linear layer but the output head; else the ends of module names, as in peft.
    target_modules: (
        Literal["auto"] | Annotated[tuple[ModuleName, ...], Field(strict=False, min_length=1, max_length=256)]
    ) = "auto"


class Data(_Section):
    """Where the rows are and which of them fit."""

    train: PathText
    format: Literal["chatml"] = "chatml"
    max_length: int = Field(default=2048, ge=16, le=1_048_576)  # tokens; a longer row is rejected, never cut


class Training(_Section):
    """How long, how fast and in what portions."""

    epochs: int = Field(default=3, ge=1, le=10_000)
    lr: float = Field(default=2e-5, gt=0.0, le=1.0)
    batch_size: int = Field(default=4, ge=1, le=65_536)  # rows in one forward pass
    gradient_accumulation_steps: int = Field(default=4, ge=1, le=65_536)  # forward passes in one optimizer step
    seed: int = Field(default=42, ge=0, lt=2**32)
    warmup_ratio: float = Field(default=0.03, ge=0.0, le=1.0)  # of all steps, rounded up
    weight_decay: float = Field(default=0.01, ge=0.0, le=1.0)
    max_grad_norm: float = Field(default=1.0, gt=0.0)
    scheduler: Literal["cosine", "linear"] = "cosine"
    max_steps: int | None = Field(default=None, ge=1)  # stop there if the epochs are not over before
    lora: Lora = Lora()


class Config(_Section):
    """One run. `base` is a directory that holds config.json, safetensors and a tokenizer."""

    base: PathText
    task: Literal["sft"] = "sft"
    data: Data
    training: Training = Training()
    output: PathText = "./output"


# What other trainers call the same thing; tried before names that merely look alike.
_ALSO_CALLED = {
    "model": "base",
    "base_model": "base",
    "learning_rate": "lr",
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "max_seq_length": "max_length",
    "lr_scheduler_type": "scheduler",
    "lora_r": "r",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "output_dir": "output",
}

# What a refusal does not say by itself, most of it values that users of `soup` may write and that this version refuses.
_NOTES = {
    "task": "only 'sft' is supported",
    "data.format": "only 'chatml' is supported",
    "data.train": "one local file of JSON lines is supported",
    "training.batch_size": "'auto' is not supported, give a number",
    "training.lora.r": "0, full fine-tuning, is not supported",
    "training.lora.target_modules": "or a list of module names",
}


def parse(text: bytes) -> Config:
    """Return the run that the bytes of a soup.yaml ask for; raise `ConfigError` with everything that is wrong in it."""
    try:
        document = yaml_core.load(text)
    except yaml_core.NotYamlError as error:
        raise ConfigError([str(error)]) from error
    return validate(document)


def validate(document: object) -> Config:
    """Return the run that a parsed soup.yaml asks for; raise `ConfigError` with everything that is wrong in it."""
    if not isinstance(document, Mapping):
        raise ConfigError(["expected a mapping with the keys " + ", ".join(Config.model_fields)])
    try:
        return Config.model_validate(_lora_in_place(document))
    except ValidationError as error:
        # A union reports each of its branches: the first sentence about a place is enough.
        findings: dict[str, str] = {}
        for wrong in error.errors(include_url=False, include_input=False):
            place = _place(wrong["type"], wrong["loc"])
            findings.setdefault(place, _finding(wrong["type"], place, wrong["msg"]))
        raise ConfigError(list(findings.values())) from error


def _lora_in_place(document: Mapping[object, object]) -> dict[object, object]:
    """Accept `lora` at the root too, where many files have it; it lives in `training`."""
    placed = dict(document)
    if "lora" not in placed:
        return placed
    lora, training = placed.pop("lora"), placed.get("training", {})
    if not isinstance(training, Mapping):
        return placed
    if "lora" in training:
        raise ConfigError(["lora: stands both at the root and in training; keep training.lora"])
    return placed | {"training": {**training, "lora": lora}}


def _place(kind: str, location: tuple[int | str, ...]) -> str:
    """Return the full path of the wrong key; behind a key, pydantic's location goes on into the branches of a union."""
    names = dict(_keys())
    path = [str(part) for part in location]
    while len(path) > 1 and kind != "extra_forbidden" and ".".join(path) not in names:
        path.pop()
    return ".".join(path)


def _finding(kind: str, place: str, message: str) -> str:
    if kind == "extra_forbidden":
        meant = _nearest(place.split("."))
        hint = f"did you mean {meant}?" if meant else "it would be ignored, so it is refused"
        return f"{place[:200]!a}: no such key; {hint}"
    if kind == "model_type":
        return f"{place}: expected a mapping"
    note = f" ({_NOTES[place]})" if place in _NOTES else ""
    return f"{place}: {message[:1].lower()}{message[1:]}{note}"


def _nearest(path: list[str]) -> str | None:
    """Return the full path of the key that was meant: a neighbour if any is near, else one from another section."""
    *section, name = path
    names = dict(_keys())
    wanted = _ALSO_CALLED.get(name, name)
    neighbours = {last: full for full, last in names.items() if full.split(".")[:-1] == section}
    for candidates in (neighbours, {last: full for full, last in names.items()}):
        if match := get_close_matches(wanted[:64], candidates, n=1, cutoff=0.7):
            return candidates[match[0]]
    return None


def _keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every key of soup.yaml as its full path and its last name."""
    for name, field in model.model_fields.items():
        yield prefix + name, name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _keys(field.annotation, f"{prefix}{name}.")
