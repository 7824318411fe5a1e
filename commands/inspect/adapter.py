"""Directories that peft writes: adapter_config.json and the adapter's weights.

What is true here:

- Every setting of the configuration is given, but for those that have a field of their own and those that are null.
- Lists that peft keeps as sets are sorted: it writes them in another order each time (huggingface/peft, LoraConfig).

Not known here: what a kind of adapter is, and the base model beyond its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commands.inspect import safetensors
from commands.inspect.reading import Findings, json_object, said, written
from commands.inspect.transformers import tell_surroundings

CONFIG = "adapter_config.json"
_FIELDS = frozenset(("base_model_name_or_path", "revision", "auto_mapping"))
_SETS = frozenset(("target_modules", "exclude_modules", "modules_to_save"))


def describe(root: Path, names: Sequence[str]) -> Findings:
    """Describe an adapter. Its architecture is the base model's, where the configuration tells it."""
    found = Findings("peft-adapter")
    with found.noting(CONFIG):
        config = json_object(root / CONFIG)
        found.base_model = said(config.get("base_model_name_or_path"))
        found.base_revision = said(config.get("revision"))
        mapping = config.get("auto_mapping")
        found.architecture = said(mapping.get("base_model_class")) if isinstance(mapping, dict) else None
        told = [(name, config[name]) for name in sorted(config) if name not in _FIELDS and config[name] is not None]
        found.settings = {name: _written(name, value) for name, value in told}
    safetensors.gather(root, "adapter_model", names, found)
    tell_surroundings(root, names, found)
    return found


def _written(name: str, value: Any) -> str:
    if name in _SETS and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(sorted(value))
    return written(value)
