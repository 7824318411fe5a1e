"""What a refused soup.yaml is told: one sentence a place, and what to write instead.

What is true here:

- everything that is wrong is said at once, each place once, by its full path;
- an unknown key is answered with the key that was meant: its name elsewhere, a neighbour that looks alike, or the reason
  why there is no such key;
- a value that another one contradicts, or that nothing would read, is refused like an unknown key.

It does not know how a configuration is parsed, nor any default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import ValidationError

if TYPE_CHECKING:
    from trainer.config import Co2, Config, Data

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
    "run_name": "experiment_name",
    "optim": "optimizer",
    "beta": "dpo_beta",
    "bf16": "precision",
    "dtype": "precision",
    "test_size": "val_split",
    "validation": "eval",
    "carbon_intensity": "intensity",
}

# Keys that users of `soup` know and that nothing here would read: why.
_ABSENT = {
    "backend": "there is one, torch with transformers and peft",
    "modality": "text is the only one",
    "eval": "what is held out is evaluated, by data.eval or data.val_split and training.eval_steps",
    "training.logging_steps": "every step is recorded and shown",
    "training.loss_watchdog": "a loss that is not finite always ends the run",
    "training.train_on_eot": "the end of an assistant's turn always carries loss",
    "training.multipack": "training.packing packs by length already",
    "data.streaming": "rows are read whole before the first step, so that they can be recorded",
}

# What a refusal does not say by itself, most of it values that users of `soup` may write and that this version refuses.
_NOTES = {
    "task": "no other task is supported",
    "data.format": "no other shape of rows is supported",
    "data.train": "a local file or a list of them: .jsonl, .json, .csv, .parquet, .txt",
    "training.batch_size": "'auto' is not supported, give a number",
    "training.optimizer": "no other is supported",
    "training.quantization": "weights are not quantised here",
    "training.lora.target_modules": "or a list of module names",
    "experiment_name": "a name without / \\ : and control characters",
    "co2.zone": "a zone of the grid, as DE or US-CAL-CISO",
    "co2.country": "three letters, as DEU",
}

TEMPLATES = ("chatml", "llama3", "gemma3", "phi4")
"""Names that `data.chat_template` may have; everything else is Jinja text (trainer.data.template)."""


def findings(error: ValidationError, keys: Mapping[str, str]) -> list[str]:
    """Return a sentence for each place that pydantic found wrong; `keys` are all keys there are."""
    # A union reports each of its branches: the first sentence about a place is enough.
    found: dict[str, str] = {}
    for wrong in error.errors(include_url=False, include_input=False):
        place = _place(wrong["type"], wrong["loc"], keys)
        found.setdefault(place, _finding(wrong["type"], place, wrong["msg"], keys))
    return list(found.values())


def contradictions(config: Config, unread: Iterable[tuple[str, str]]) -> list[str]:
    """Return a sentence for each value that another one contradicts; `unread` are keys that nothing would read."""
    found = [*unread, *_of_task(config), *_of_data(config.data)]
    if config.co2 is not None:
        found += _of_co2(config.co2)
    if config.training.eval_steps is not None and not config.data.eval and not config.data.val_split:
        found.append(("training.eval_steps", "nothing is held out to evaluate on (data.eval, data.val_split)"))
    return [f"{place}: {sentence}" for place, sentence in found]


def _of_task(config: Config) -> list[tuple[str, str]]:
    from trainer.config import FORMATS_OF

    found, wanted = [], FORMATS_OF[config.task]
    if config.data.format not in ("auto", *wanted):
        found.append(("data.format", f"task {config.task} learns from {', '.join(wanted)}"))
    if config.task == "dpo" and config.training.lora.r == 0:
        found.append(("training.lora.r", "dpo needs an adapter: its reference is the base without it"))
    if (name := config.data.chat_template) is not None and name not in TEMPLATES and "{" not in name:
        near = get_close_matches(name[:64], TEMPLATES, n=1)
        hint = f"did you mean {near[0]}?" if near else "leave it out to use the tokenizer's own"
        found.append(
            ("data.chat_template", f"neither Jinja text nor one of {', '.join(TEMPLATES)}: {name[:60]!a}; {hint}")
        )
    return found


def _of_data(data: Data) -> list[tuple[str, str]]:
    from trainer.config import files

    found, train, held_out = [], files(data.train), files(data.eval)
    for key, paths in (("data.train", train), ("data.eval", held_out)):
        if twice := sorted({path for path in paths if paths.count(path) > 1}):
            found.append((key, f"names {twice[0]!a} twice"))
    if both := sorted(set(train) & set(held_out)):
        found.append(("data.eval", f"{both[0]!a} is trained on as well"))
    if held_out and data.val_split:
        found.append(("data.val_split", "data.eval names the held-out rows already; leave one of them out"))
    return found


def _of_co2(co2: Co2) -> list[tuple[str, str]]:
    found = []
    if co2.zone is not None and co2.country is not None:
        found.append(("co2.country", "co2.zone is more exact; leave one of them out"))
    if (wanted := co2.intensity) is None:
        return found
    ways = {"g_per_kwh": wanted.g_per_kwh, "csv": wanted.csv, "provider": wanted.provider}
    chosen = [name for name, value in ways.items() if value is not None]
    if len(chosen) != 1:
        return [*found, ("co2.intensity", f"give one of {', '.join(ways)}")]
    # What each way of stating an intensity needs, and what it can say beside.
    needed: dict[str, Sequence[str]] = {"g_per_kwh": ("source", "year"), "csv": ("source",), "provider": ("basis",)}
    spare: dict[str, Sequence[str]] = {"g_per_kwh": (), "csv": ("year",), "provider": ("source", "year")}
    way = chosen[0]
    found += [(f"co2.intensity.{name}", f"{way} needs it") for name in needed[way] if getattr(wanted, name) is None]
    found += [
        (f"co2.intensity.{name}", f"nothing reads it beside {way}")
        for name in spare[way]
        if getattr(wanted, name) is not None
    ]
    if way == "provider" and co2.zone is None:
        found.append(("co2.zone", "electricity-maps needs it"))
    return found


def _place(kind: str, location: tuple[int | str, ...], keys: Mapping[str, str]) -> str:
    """Return the full path of the wrong key; behind a key, pydantic's location goes on into the branches of a union."""
    path = [str(part) for part in location]
    while len(path) > 1 and kind != "extra_forbidden" and ".".join(path) not in keys:
        path.pop()
    return ".".join(path)


def _finding(kind: str, place: str, message: str, keys: Mapping[str, str]) -> str:
    if kind == "extra_forbidden":
        if place in _ABSENT:
            return f"{place!a}: no such key; {_ABSENT[place]}"
        meant = _nearest(place.split("."), keys)
        hint = f"did you mean {meant}?" if meant else "it would be ignored, so it is refused"
        return f"{place[:200]!a}: no such key; {hint}"
    if kind == "model_type":
        return f"{place}: expected a mapping"
    note = f" ({_NOTES[place]})" if place in _NOTES else ""
    return f"{place}: {message[:1].lower()}{message[1:]}{note}"


def _nearest(path: list[str], keys: Mapping[str, str]) -> str | None:
    """Return the full path of the key that was meant: a neighbour if any is near, else one from another section."""
    *section, name = path
    wanted = _ALSO_CALLED.get(name, name)
    neighbours = {last: full for full, last in keys.items() if full.split(".")[:-1] == section}
    # `base` stands before a key of the same name further inside.
    everywhere = {last: full for full, last in sorted(keys.items(), key=lambda key: -key[0].count("."))}
    for candidates in (neighbours, everywhere):
        if match := get_close_matches(wanted[:64], candidates, n=1, cutoff=0.7):
            return candidates[match[0]]
    return None
