"""The tokenizer, as far as data needs it, and rows of its tokens.

What is true here:

- `encode` adds nothing: every token of a row is there because its text is there;
- text of a row can never become a control token: a row that holds one is rejected, so the control tokens of a row are
  the template's;
- a `Row` is as many marks as tokens: 1 where the token is learnt.

It does not know the tokenizer's library: `of` reads what any tokenizer of transformers has.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from trainer.data.reasons import Reason, UnfitError


@dataclass(frozen=True)
class Tokens:
    """A tokenizer. `control` is every text that becomes a token of its own, with that token."""

    encode: Callable[[str], Sequence[int]]
    decode: Callable[[Sequence[int]], str]
    control: Mapping[str, int]
    names: Mapping[str, str]  # bos_token, eos_token ...: as chat templates call them
    template: str | None  # the tokenizer's own chat template
    beginning: int | None  # put before plain text, where the tokenizer does so by itself
    end: int | None  # ends plain text
    padding: int  # masked wherever it stands, so any token will do

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds a control token; the longest first, as a tokenizer does."""
        return re.compile("|".join(map(re.escape, sorted(self.control, key=len, reverse=True))) or r"(?!)")

    def demand_plain(self, texts: Iterable[str]) -> None:
        """Reject a row that would speak as the template speaks."""
        if any(self.pattern.search(text) for text in texts):
            raise UnfitError(Reason.CONTROL_TOKEN)


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence: token ids, and as many bytes that are 1 where the token is learnt."""

    ids: array[int]
    learnt: bytes

    @property
    def supervised(self) -> int:
        """Tokens that carry loss. The first cannot: nothing comes before it to predict it from."""
        return sum(self.learnt[1:])


def of(tokenizer: Any) -> Tokens:
    """Return what data needs of a tokenizer of transformers; touches no file."""

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    added = tokenizer.added_tokens_decoder.items()
    control = {str(token): number for number, token in added if token.special}
    control |= dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    template = tokenizer.chat_template
    if isinstance(template, Mapping):  # several, by name
        template = template.get("default")
    beginning, ends = tokenizer.bos_token_id, tokenizer.eos_token_id
    begins = beginning is not None and list(tokenizer.encode("a"))[:1] == [beginning]
    return Tokens(
        encode=encode,
        decode=lambda ids: str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)),
        control=control,
        names={name: str(text) for name, text in tokenizer.special_tokens_map.items() if isinstance(text, str)},
        template=template,
        beginning=beginning if begins else None,
        end=ends,
        padding=next((token for token in (tokenizer.pad_token_id, ends) if token is not None), 0),
    )


def row(tokens: Tokens, segments: Iterable[tuple[str, bool]], everything: bool = False) -> Row:
    """Return `segments` as tokens, each tokenised on its own.

    So the mask is exact, and a prompt is tokenised as it will be when the model is asked.
    """
    ids, learnt = array("i"), bytearray()
    for text, carries_loss in segments:
        piece = tokens.encode(text)
        ids.extend(piece)
        learnt.extend(bytes([carries_loss or everything]) * len(piece))
    return Row(ids, bytes(learnt))


def masked(tokens: Tokens, shown: Row) -> list[tuple[str, bool]]:
    """Return a row as text, in stretches that are learnt and stretches that are not: to be looked at."""
    stretches: list[tuple[list[int], bool]] = []
    for token, learnt in zip(shown.ids, shown.learnt, strict=True):
        if not stretches or stretches[-1][1] != bool(learnt):
            stretches.append(([], bool(learnt)))
        stretches[-1][0].append(token)
    return [(tokens.decode(ids), learnt) for ids, learnt in stretches]
