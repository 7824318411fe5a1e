"""Parsed rows into what is learnt from: a conversation, a passage, or a preference between two answers.

What is true here:

- a row of each format becomes the same value whatever file it came from, and that value alone decides its digest: not
  the spelling of the file, not the order of its keys, not the tokenizer;
- every text is checked: no U+0000, no half a surrogate pair, none of the two noncharacters that this package uses itself;
- a row that is not exactly of its shape is rejected with a reason. Keys beside those of the format are the row's own
  affair; within a message another key (`tool_calls`, `weight`) has a meaning that would be lost.

It does not know tokens, templates or files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

from trainer.data.reasons import Reason, UnfitError

OPEN, CLOSE = "\ufdd0", "\ufdd1"
"""Noncharacters, "intended for process-internal uses" (Unicode 16, section 23.7): they mark learnt text while it is rendered."""

_NOT_TEXT = re.compile(f"[\x00\ud800-\udfff{OPEN}{CLOSE}]")

Turn = tuple[str, str]
"""A role (system, user, assistant) and what was said."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns, in their order."""

    turns: tuple[Turn, ...]

    @property
    def text(self) -> Iterator[str]:
        """Every text in it that comes from the row."""
        return (content for _, content in self.turns)


@dataclass(frozen=True, slots=True)
class Passage:
    """Plain text."""

    passage: str

    @property
    def text(self) -> Iterator[str]:
        """Every text in it that comes from the row."""
        yield self.passage


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one prompt, of which one was chosen."""

    prompt: tuple[Turn, ...]
    chosen: str
    rejected: str

    @property
    def text(self) -> Iterator[str]:
        """Every text in it that comes from the row."""
        yield from (content for _, content in self.prompt)
        yield self.chosen
        yield self.rejected


Example = Conversation | Passage | Preference


def canonical(example: Example) -> bytes:
    """Return the bytes that stand for `example` in every digest: JSON, ASCII, keys in the order of the fields, no spaces."""
    return json.dumps(asdict(example), separators=(",", ":")).encode("ascii")


class Format(NamedTuple):
    """A shape of rows: the `keys` it is told by, further keys that are `read`, and how a row of it becomes an example."""

    keys: tuple[str, ...]
    read: tuple[str, ...]
    example: Callable[[Mapping[str, object]], Example]


def example(format_name: str, record: object) -> Example:
    """Return the row as an example of the format; raise `UnfitError` where it is none."""
    shape = FORMATS[format_name]
    if not isinstance(record, Mapping):
        raise UnfitError(Reason.NOT_FIELDS)
    return shape.example(record)


def detected(record: object) -> str | None:
    """Return the first format of the table whose keys `record` has, or None."""
    if not isinstance(record, Mapping):
        return None
    return next((name for name, shape in FORMATS.items() if all(key in record for key in shape.keys)), None)


def _alpaca(row: Mapping[str, object]) -> Example:
    question, addition = _field(row, "instruction"), _field(row, "input", "")
    question = f"{question}\n{addition}" if addition else question
    return Conversation((*_system(row), ("user", question), ("assistant", _field(row, "output"))))


def _sharegpt(row: Mapping[str, object]) -> Example:
    return Conversation(_turns(row.get("conversations"), "from", "value", _SPEAKERS))


def _chatml(row: Mapping[str, object]) -> Example:
    return Conversation(_turns(row.get("messages"), "role", "content", _ROLES))


def _plaintext(row: Mapping[str, object]) -> Example:
    passage = _field(row, "text")
    if not passage.strip():
        raise UnfitError(Reason.NOTHING_LEARNT)
    return Passage(passage)


def _dpo(row: Mapping[str, object]) -> Example:
    prompt = row.get("prompt")
    turns = (
        _turns(prompt, "role", "content", _ROLES)
        if isinstance(prompt, list)
        else (*_system(row), ("user", _field(row, "prompt")))
    )
    chosen, rejected = _answer(row.get("chosen")), _answer(row.get("rejected"))
    if chosen == rejected:
        raise UnfitError(Reason.SAME_ANSWER)
    return Preference(turns, chosen, rejected)


_ROLES = {role: role for role in ("system", "user", "assistant")}
_SPEAKERS = _ROLES | {"human": "user", "gpt": "assistant"}

# In the order in which a first row is tried. A new format is a function and a line.
FORMATS: Mapping[str, Format] = {
    "alpaca": Format(("instruction", "output"), ("input", "system"), _alpaca),
    "dpo": Format(("prompt", "chosen", "rejected"), ("system",), _dpo),
    "sharegpt": Format(("conversations",), (), _sharegpt),
    "chatml": Format(("messages",), (), _chatml),
    "plaintext": Format(("text",), (), _plaintext),
}
COLUMNS = frozenset(key for shape in FORMATS.values() for key in (*shape.keys, *shape.read))
"""Every key that some format reads."""


def _field(row: Mapping[str, object], name: str, absent: str | None = None) -> str:
    value = row.get(name)
    if value is None and absent is not None:
        return absent
    if not isinstance(value, str):
        raise UnfitError(Reason.NOT_FIELDS)
    return _sound(value)


def _system(row: Mapping[str, object]) -> tuple[Turn, ...]:
    said = _field(row, "system", "")
    return (("system", said),) if said else ()


def _turns(messages: object, role_key: str, content_key: str, roles: Mapping[str, str]) -> tuple[Turn, ...]:
    if not isinstance(messages, list) or not messages:
        raise UnfitError(Reason.NOT_MESSAGES)
    return tuple(_turn(message, role_key, content_key, roles) for message in messages)


def _turn(message: object, role_key: str, content_key: str, roles: Mapping[str, str]) -> Turn:
    if not isinstance(message, Mapping):
        raise UnfitError(Reason.NOT_A_MESSAGE)
    # A table has a column for what other rows say: null says nothing.
    said = {key: value for key, value in message.items() if value is not None}
    role, content = said.pop(role_key, None), said.pop(content_key, None)
    if said or not isinstance(role, str) or not isinstance(content, str):
        raise UnfitError(Reason.NOT_A_MESSAGE)
    if role not in roles:
        raise UnfitError(Reason.UNKNOWN_ROLE)
    return roles[role], _sound(content)


def _answer(value: object) -> str:
    """Read an answer, as text or as the one message of an assistant."""
    if isinstance(value, str):
        return _sound(value)
    match _turns(value, "role", "content", _ROLES):
        case (("assistant", content),):
            return content
    raise UnfitError(Reason.NO_ANSWER)


def _sound(text: str) -> str:
    if _NOT_TEXT.search(text):
        raise UnfitError(Reason.NOT_TEXT)
    return text
