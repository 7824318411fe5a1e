"""A language model of 90,624 weights that speaks ChatML byte by byte, made here in seconds and downloaded from nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.trainer.byte_tokens import CHATML
from trainer import config, observations
from trainer.errors import TrainerError

Told = list[observations.Observation]

ALPHABET = {
    "red": "the colour of a ripe cherry",
    "green": "the colour of grass after rain",
    "blue": "the colour of the sky at noon",
    "white": "the colour of snow nobody trod",
    "black": "the colour of a night without moon",
    "grey": "the colour of a week in November",
}


def conversation(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def definitions(words: dict[str, str]) -> list[dict[str, Any]]:
    return [conversation(("user", f"Define {word}."), ("assistant", meaning)) for word, meaning in words.items()]


@pytest.fixture(scope="session")
def one_thread() -> Any:
    """torch on one thread, or a skip: everything but training installs without it. Imported here, so that collecting stays fast."""
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'soup-ledger[train]'")
    torch.set_num_threads(1)
    return torch


@pytest.fixture(scope="session")
def byte_tokenizer(one_thread: Any) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    symbols = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    # End of turn and padding are one token, as in many published models: masking by padding would lose every end.
    special = {"unk_token": symbols[0], "bos_token": symbols[1], "eos_token": symbols[2], "pad_token": symbols[2]}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=CHATML, **special)


@pytest.fixture(scope="session")
def base(one_thread: Any, byte_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that has learnt English spelling from one sentence or two: an adapter on random weights learns next to nothing."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch = one_thread
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=259,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=2,
        )
    )
    text = "<|im_start|>user\nSay a word.<|im_end|>\n<|im_start|>assistant\nthe quick brown fox jumps over a lazy dog<|im_end|>\n"
    ids = torch.tensor([byte_tokenizer.encode(text * 2)[:128]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    home = tmp_path_factory.mktemp("tiny")
    model.save_pretrained(home)
    byte_tokenizer.save_pretrained(home)
    return home


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in definitions(ALPHABET)))
    return path


@pytest.fixture
def soup_yaml(tmp_path: Path, rows: Path) -> Callable[..., bytes]:
    """The text of a soup.yaml for `base`, with changes to `training` and to the root."""

    def write(base: Path, training: dict[str, Any] | None = None, **root: Any) -> bytes:
        settings = {
            "epochs": 2,
            "lr": 0.01,
            "batch_size": 2,
            "gradient_accumulation_steps": 2,
            "seed": 7,
            "lora": {"r": 4, "alpha": 8},
        }
        document = {
            "base": str(base),
            "data": {"train": str(rows), "max_length": 256, "val_split": 0.0},
            "output": str(tmp_path / "adapter"),
            "training": settings | (training or {}),
        }
        return yaml.safe_dump(document | root).encode()

    return write


@pytest.fixture
def quiet_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `before_torch` would have set, had it come before the tests' own torch."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture
def finetune(one_thread: Any, quiet_threads: None) -> Callable[[bytes], Told]:
    """Run a soup.yaml in this process; return all that was observed."""
    from trainer.finetune import finetune

    def run(text: bytes) -> Told:
        told: Told = []
        assert finetune(config.parse(text), told.append) == told[-1]
        return told

    return run


@pytest.fixture
def finetune_until_error(one_thread: Any, quiet_threads: None) -> Callable[[bytes], tuple[Told, Exception]]:
    """Run a soup.yaml that cannot end well; return what was observed and how it ended."""
    from trainer.finetune import finetune

    def run(text: bytes) -> tuple[Told, Exception]:
        told: Told = []
        with pytest.raises(TrainerError) as end:
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
