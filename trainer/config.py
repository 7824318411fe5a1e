"""soup.yaml: what a run is asked to do, in the shape that users of `soup` know.

What is true here:

- every key that is accepted is used, and used by this very run: a key that nothing reads, or that the task at hand does
  not read, is an error, with the nearest name that would have been read;
- every value is checked by type and range before anything heavy is imported; nothing is coerced (`"3"` is not 3);
- a `Config` is frozen; `settings` spells out every setting of the run, defaults included, and `from_settings` gives the
  same run back.

It does not know torch, nor whether the files it names exist. Relative paths are relative to the working directory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainer import refusals, yaml_core
from trainer.errors import ConfigError

PathText = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
Paths = Annotated[tuple[PathText, ...], Field(strict=False, min_length=1, max_length=1000)]
ModuleName = Annotated[str, Field(strict=True, max_length=128, pattern=r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$")]
Words = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Watts = Annotated[float, Field(gt=0.0, le=100_000.0)]

Task = Literal["sft", "dpo", "pretrain"]
Format = Literal["alpaca", "sharegpt", "chatml", "plaintext", "dpo"]

# What each task learns from. A table, since a task that is not in it is refused by its type already.
FORMATS_OF: Mapping[str, tuple[Format, ...]] = {
    "sft": ("alpaca", "sharegpt", "chatml"),
    "dpo": ("dpo",),
    "pretrain": ("plaintext",),
}


class _Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Lora(_Section):
    """Low-rank adaptation (arXiv:2106.09685): the base stays frozen, `alpha / r` scales what is learnt."""

    r: int = Field(default=64, ge=0, le=4096)  # 0: no adapter, every weight of the base is trained
    alpha: int = Field(default=16, ge=1, le=65536)
    dropout: float = Field(default=0.05, ge=0.0, lt=1.0)
    # auto: every linear layer but the output head; else the ends of module names, as in peft.
    target_modules: (
        Literal["auto"] | Annotated[tuple[ModuleName, ...], Field(strict=False, min_length=1, max_length=256)]
    ) = "auto"
    use_dora: bool = False  # magnitude and direction apart (arXiv:2402.09353)
    use_rslora: bool = False  # alpha / sqrt(r) in place of alpha / r (arXiv:2312.03732)


class Data(_Section):
    """Where the rows are, which of them fit, and which are held out."""

    train: PathText | Paths
    eval: PathText | Paths | None = None  # held-out rows in files of their own, in place of val_split
    format: Literal["auto", "alpaca", "sharegpt", "chatml", "plaintext", "dpo"] = "auto"
    val_split: float = Field(default=0.1, ge=0.0, le=0.5)  # share held out, chosen by the digest of the row
    max_length: int = Field(default=2048, ge=16, le=1_048_576)  # tokens
    train_on_responses_only: bool = True  # false: every token of a conversation carries loss
    # None: the tokenizer's own; else the name of a built-in one, or Jinja text.
    chat_template: Annotated[str, Field(min_length=1, max_length=65_536)] | None = None


class Training(_Section):
    """How long, how fast and in what portions."""

    epochs: int = Field(default=3, ge=1, le=10_000)
    lr: float = Field(default=2e-5, gt=0.0, le=1.0)
    batch_size: int = Field(default=4, ge=1, le=65_536)  # rows in one forward pass
    gradient_accumulation_steps: int = Field(default=4, ge=1, le=65_536)  # forward passes in one optimizer step
    seed: int = Field(default=42, ge=0, lt=2**32)
    data_seed: int | None = Field(default=None, ge=0, lt=2**32)  # order of the rows; None: `seed`
    warmup_ratio: float = Field(default=0.03, ge=0.0, le=1.0)  # of all steps, rounded up
    weight_decay: float = Field(default=0.01, ge=0.0, le=1.0)
    max_grad_norm: float = Field(default=1.0, gt=0.0)
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    optimizer: Literal["adamw_torch"] = "adamw_torch"
    save_steps: int = Field(default=100, ge=1)  # optimizer steps between checkpoints
    eval_steps: int | None = Field(default=None, ge=1)  # between evaluations; None: at the end of each epoch
    packing: bool = False  # several rows in one sequence, none of which sees another
    gradient_checkpointing: bool = False  # compute activations twice, hold them once
    precision: Literal["fp32", "bf16"] = "fp32"  # of the base's weights and of the forward pass
    quantization: Literal["none"] = "none"
    max_steps: int | None = Field(default=None, ge=1)  # stop there if the epochs are not over before
    dpo_beta: float = Field(default=0.1, gt=0.0, le=100.0)  # how far dpo may leave the reference (arXiv:2305.18290)
    lora: Lora = Lora()


class Intensity(_Section):
    """Grams of CO2 equivalent a kilowatt-hour: a number with its source, a file of hourly values, or a service."""

    g_per_kwh: float | None = Field(default=None, ge=0.0, le=5000.0)
    csv: PathText | None = None
    provider: Literal["electricity-maps"] | None = None
    source: Words | None = None  # who says so
    year: int | None = Field(default=None, ge=1990, le=2200)  # that g_per_kwh is of
    basis: Literal["lifecycle", "direct"] | None = None


class Co2(_Section):
    """What the run's energy is multiplied with. Without it energy stands alone, and CO2 is not known."""

    zone: Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,12}){0,3}$")] | None = (
        None  # of the grid: DE, US-CAL-CISO
    )
    country: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None  # ISO 3166-1 alpha-3
    pue: float | None = Field(
        default=None, ge=1.0, le=10.0
    )  # power usage effectiveness (ISO/IEC 30134-2); None: not known
    cpu_watts: Watts | None = None  # per busy core, where there is no meter
    gpu_watts: Watts | None = None  # per device, where there is no meter
    intensity: Intensity | None = None


class Config(_Section):
    """One run. `base` is a directory that holds config.json, safetensors and a tokenizer."""

    base: PathText
    task: Task = "sft"
    data: Data
    training: Training = Training()
    output: PathText = "./output"
    experiment_name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f/\\:]+$")] | None = (
        None
    )
    co2: Co2 | None = None


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
        config = Config.model_validate(_without_split(_lora_in_place(document)))
    except ValidationError as error:
        raise ConfigError(refusals.findings(error, keys())) from error
    if findings := refusals.contradictions(config, _unread(config)):
        raise ConfigError(findings)
    return config


def settings(config: Config) -> dict[str, str]:
    """Return every setting by its dotted name, as text: a string as it stands, everything else as JSON.

    A string that would read as JSON is quoted, so that nothing is ambiguous; a float is its shortest decimal that reads
    back to the same bits.
    """
    return dict(_flat(config.model_dump(mode="json"), ""))


def from_settings(texts: Mapping[str, str]) -> Config:
    """Return the run that `settings` spelt out; raise `ConfigError` where it is not one."""
    document: dict[str, object] = {}
    for name, text in texts.items():
        *sections, last = name.split(".")
        place = document
        for section in sections:
            inner = place.setdefault(section, {})
            if not isinstance(inner, dict):
                raise ConfigError([f"{name[:200]!a}: stands below a value"])
            place = inner
        place[last] = _value(text)
    return validate(document)


class Reader(NamedTuple):
    """Who reads a key: a module, or whoever observes the run; `when` names what must be set for it to be read at all."""

    module: str
    when: str = ""


# Who reads each key. A test shows that the table is whole, and that each of these keys is read in a run that sets it.
READERS: Mapping[str, Reader] = {
    "base": Reader("trainer.model"),
    "task": Reader("trainer.finetune"),
    "data.train": Reader("trainer.data"),
    "data.eval": Reader("trainer.data"),
    "data.format": Reader("trainer.data"),
    "data.val_split": Reader("trainer.data"),
    "data.max_length": Reader("trainer.data"),
    "data.train_on_responses_only": Reader("trainer.data", "task: sft"),
    "data.chat_template": Reader("trainer.data", "task: sft, dpo"),
    "training.epochs": Reader("trainer.schedule"),
    "training.lr": Reader("trainer.schedule"),
    "training.batch_size": Reader("trainer.schedule"),
    "training.gradient_accumulation_steps": Reader("trainer.schedule"),
    "training.seed": Reader("trainer.finetune"),
    "training.data_seed": Reader("trainer.schedule"),
    "training.warmup_ratio": Reader("trainer.schedule"),
    "training.weight_decay": Reader("trainer.finetune"),
    "training.max_grad_norm": Reader("trainer.finetune"),
    "training.scheduler": Reader("trainer.schedule"),
    "training.optimizer": Reader("trainer.finetune"),
    "training.save_steps": Reader("trainer.schedule"),
    "training.eval_steps": Reader("trainer.schedule", "data.eval or data.val_split"),
    "training.packing": Reader("trainer.data", "task: sft, pretrain"),
    "training.gradient_checkpointing": Reader("trainer.model"),
    "training.precision": Reader("trainer.model"),
    "training.quantization": Reader("trainer.model"),
    "training.max_steps": Reader("trainer.schedule"),
    "training.dpo_beta": Reader("trainer.finetune", "task: dpo"),
    "training.lora.r": Reader("trainer.model"),
    "training.lora.alpha": Reader("trainer.model", "training.lora.r above 0"),
    "training.lora.dropout": Reader("trainer.model", "training.lora.r above 0"),
    "training.lora.target_modules": Reader("trainer.model", "training.lora.r above 0"),
    "training.lora.use_dora": Reader("trainer.model", "training.lora.r above 0"),
    "training.lora.use_rslora": Reader("trainer.model", "training.lora.r above 0"),
    "output": Reader("trainer.checkpoint"),
    "experiment_name": Reader("the observer"),
    "co2.zone": Reader("the observer", "co2"),
    "co2.country": Reader("the observer", "co2"),
    "co2.pue": Reader("the observer", "co2"),
    "co2.cpu_watts": Reader("trainer.energy", "co2"),
    "co2.gpu_watts": Reader("trainer.energy", "co2"),
    "co2.intensity.g_per_kwh": Reader("the observer", "co2.intensity"),
    "co2.intensity.csv": Reader("the observer", "co2.intensity"),
    "co2.intensity.provider": Reader("the observer", "co2.intensity"),
    "co2.intensity.source": Reader("the observer", "co2.intensity"),
    "co2.intensity.year": Reader("the observer", "co2.intensity"),
    "co2.intensity.basis": Reader("the observer", "co2.intensity"),
}


def files(names: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """Return what `data.train` or `data.eval` names, as a tuple."""
    return (names,) if isinstance(names, str) else names or ()


def keys(model: type[BaseModel] = Config, prefix: str = "") -> dict[str, str]:
    """Return every key of soup.yaml, sections included: its full path and its last name."""
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        found[prefix + name] = name
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found |= keys(kind, f"{prefix}{name}.")
    return found


def _unread(config: Config) -> Iterator[tuple[str, str]]:
    """Yield each key that is set to something and that a run of this kind does not read, with the reason."""
    of_task = {
        "data.train_on_responses_only": ("sft",),
        "data.chat_template": ("sft", "dpo"),
        "training.packing": ("sft", "pretrain"),
        "training.dpo_beta": ("dpo",),
    }
    for key, tasks in of_task.items():
        section, name = key.split(".")
        if config.task not in tasks and _is_set(getattr(config, section), name):
            yield key, f"only task {' and '.join(tasks)} reads it, and the task is {config.task}"
    if config.training.lora.r == 0:
        for name in Lora.model_fields:
            if name != "r" and _is_set(config.training.lora, name):
                yield f"training.lora.{name}", "training.lora.r is 0, so there is no adapter to read it"


def _is_set(section: BaseModel, name: str) -> bool:
    """Tell whether a value differs from its default (a dump spells defaults out, and is the same run)."""
    return bool(getattr(section, name) != type(section).model_fields[name].default)


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


def _without_split(document: dict[object, object]) -> dict[object, object]:
    """Hold nothing out by default where files of held-out rows are given."""
    data = document.get("data")
    if isinstance(data, Mapping) and data.get("eval") is not None and "val_split" not in data:
        return document | {"data": {**data, "val_split": 0.0}}
    return document


def _flat(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, str) and _value(value) is value:
        yield name, value
    else:
        yield name, json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _value(text: str) -> object:
    """Read JSON as what it says, and everything else as the text that it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
