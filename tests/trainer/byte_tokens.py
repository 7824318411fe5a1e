"""A tokenizer that needs no library: a byte is a token, a control token is one more. The real one has its turn in test_finetune."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainer.data import Row, Tokens

CONTROL = {"<|im_start|>": 256, "<|im_end|>": 257, "<|endoftext|>": 258}
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_tokens(template: str | None = CHATML, control: dict[str, int] = CONTROL, **other: int | None) -> Tokens:
    pieces = re.compile("(" + "|".join(map(re.escape, control)) + ")")
    names = {number: text.encode() for text, number in control.items()}

    def encode(text: str) -> list[int]:
        found = [[control[piece]] if piece in control else list(piece.encode()) for piece in pieces.split(text)]
        return [token for piece in found for token in piece]

    def decode(ids: Sequence[int]) -> str:
        return b"".join(names.get(token) or bytes([token]) for token in ids).decode(errors="replace")

    settings = {"beginning": None, "end": control.get("<|endoftext|>"), "padding": max(control.values())} | other
    return Tokens(encode, decode, control, {"eos_token": "<|im_end|>"}, template, **settings)


def spelt(row: Row) -> str:
    return byte_tokens().decode(row.ids)


def learnt(row: Row) -> str:
    return byte_tokens().decode([token for token, marked in zip(row.ids, row.learnt, strict=True) if marked])
