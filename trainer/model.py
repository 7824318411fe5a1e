"""The base as it was loaded, and the adapter put on it.

What is true here:

- the base is a local directory: nothing is fetched, `trust_remote_code` is off, weights are safetensors, never pickles;
- it is loaded whole or not at all: a weight that is missing or of another shape, which transformers would make up and
  only log, is an error;
- it stays as it is: only the adapter's weights are trainable, in float32.

It does not know the training data, nor the loop.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from trainer import checkpoint, data, determinism
from trainer.config import Config, Lora
from trainer.errors import BaseModelError
from trainer.observations import ModelBound


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded base: its weights, its tokenizer, the longest row it was made for (`positions`) if it says."""

    path: str
    model: PreTrainedModel
    tokens: data.Tokens
    positions: int | None


def load(config: Config) -> Base:
    """Load `config.base` in float32; raise `BaseModelError` where it is not whole or not local."""
    _is_a_model(config.base)
    # This room prints nothing. What transformers would warn of is checked below.
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    offline: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(config.base, **offline)
        model, loading = AutoModelForCausalLM.from_pretrained(
            config.base, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **offline
        )
    except Exception as error:  # a stranger's config.json can make transformers raise anything
        raise BaseModelError(config.base, _first_line(error)) from error
    # error_msgs and the like are empty in a whole model; what the file has too much does no harm.
    for trouble in ("missing_keys", "mismatched_keys"):
        if found := loading[trouble]:
            raise BaseModelError(
                config.base, f"{len(found)} weights are {trouble.split('_')[0]}, first {min(map(str, found))}"
            )
    tokens = _tokens(config.base, tokenizer)
    embeddings = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > embeddings:
        raise BaseModelError(config.base, f"the tokenizer has {len(tokenizer)} tokens, the model {embeddings}")
    return Base(config.base, model, tokens, getattr(model.config, "max_position_embeddings", None))


def adapt(base: Base, lora: Lora, seed: int) -> tuple[PeftModel, ModelBound]:
    """Return the base with a fresh adapter, ready to train, on the first CUDA device or the CPU; seeds torch."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    weights = checkpoint.tensors_sha256(base.model.state_dict())
    targets = "all-linear" if lora.target_modules == "auto" else list(lora.target_modules)
    wanted = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        use_dora=lora.use_dora,
        use_rslora=lora.use_rslora,
    )
    try:
        with warnings.catch_warnings():
            # peft 0.21 reads an attribute that transformers 5.23 has renamed: nothing a user could do about it.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            determinism.seed(seed)  # right before the adapter's weights are drawn: loading may have drawn too
            model = get_peft_model(base.model, wanted)
    except ValueError as error:
        raise BaseModelError(base.path, f"training.lora does not fit it: {_first_line(error)}") from error
    model.config.use_cache = False
    model.to(device).train()
    trainable, everything = model.get_nb_trainable_parameters()
    return model, ModelBound(
        base=base.path,
        architecture=type(base.model).__name__,
        attention=str(base.model.config._attn_implementation),  # noqa: SLF001 - the one place where transformers keeps it
        device=str(device),
        dtype=str(base.model.dtype).removeprefix("torch."),
        parameters=everything - trainable,
        trainable=trainable,
        target_modules=tuple(sorted(n for n, m in base.model.named_modules() if isinstance(m, BaseTunerLayer))),
        base_tensors_sha256=weights,
    )


def _is_a_model(base: str) -> None:
    path = Path(base)
    if not path.is_dir():
        raise BaseModelError(
            base, "not a directory (a name on a model hub is not accepted: download it, then give its path)"
        )
    if (path / "adapter_config.json").exists():
        # transformers would follow base_model_name_or_path out of it and load from there.
        raise BaseModelError(base, "is an adapter; merge it into its own base first")
    if not (path / "config.json").is_file():
        raise BaseModelError(base, "has no config.json")


def _tokens(base: str, tokenizer: PreTrainedTokenizerBase) -> data.Tokens:
    """Refuse a tokenizer that takes its own control tokens apart, or that changes the pieces it is given."""
    tokens = data.of(tokenizer)
    for text, number in tokens.control.items():
        if list(tokens.encode(text)) != [number]:
            raise BaseModelError(base, f"its tokenizer takes {text} apart")
    probe = "user\n"
    if tokens.decode(tokens.encode(probe)) != probe:
        raise BaseModelError(base, "its tokenizer changes text that is tokenised piece by piece (a prefix space?)")
    return tokens


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
