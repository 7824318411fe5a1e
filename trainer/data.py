"""Rows of text into rows of tokens, with a mask that says which tokens are learnt.

What is true here:

- a row is a JSON line `{"messages": [{"role", "content"}, ...]}`; it is rendered as ChatML, turn by turn;
- exactly the tokens of an assistant's content and the end-of-turn token behind it carry loss;
- each piece is tokenised on its own, so the mask is exact by construction and a prompt is tokenised as it will be when
  the model is asked;
- text can never become a control token: a row that holds one is rejected;
- a row is kept whole or rejected for one named reason, and counted; none is cut, repaired or dropped silently;
- the bytes that were hashed are the bytes that were parsed: the file is read once.

It does not know torch, the tokenizer's library, or the base's own chat template.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO, NoReturn

from trainer.config import Data
from trainer.errors import DataError
from trainer.observations import DataBound, Rejection

START, END = "<|im_start|>", "<|im_end|>"
MAX_ROW_BYTES = 8 << 20
NAMED_LINES = 10  # how many lines a rejection names

_IGNORED = -100  # the label that torch's cross_entropy leaves out


class Reason(StrEnum):
    """Why a row was left out."""

    TOO_LARGE = f"larger than {MAX_ROW_BYTES} bytes"
    NOT_UTF8 = "not UTF-8"
    NOT_JSON = "not JSON (or with a key twice, or NaN)"
    NOT_MESSAGES = "not a list of messages under 'messages'"
    NOT_A_MESSAGE = "a message is not exactly role and content, both text"
    UNKNOWN_ROLE = "a role other than system, user, assistant"
    CONTROL_TOKEN = "text that holds a control token"  # noqa: S105 - not a secret
    NOT_TEXT = "text with half a surrogate pair"
    NOTHING_LEARNT = "no turn of the assistant"
    TOO_LONG = "longer than data.max_length tokens"


class _UnfitError(ValueError):
    """A row is rejected; never leaves this module."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.value)


@dataclass(frozen=True, slots=True)
class Row:
    """One conversation: token ids, and as many bytes that are 1 where the token carries loss."""

    ids: array[int]
    learnt: bytes


@dataclass(frozen=True, slots=True)
class ChatML:
    """ChatML in one tokenizer's tokens. `encode` adds no special tokens; `control` is every text that becomes one."""

    encode: Callable[[str], Sequence[int]]
    start: int
    end: int
    control: frozenset[str]

    def render(self, document: object) -> Row:
        """Return `document`, one parsed row, as tokens."""
        ids, learnt = array("i"), bytearray()

        def put(tokens: Sequence[int], carries_loss: bool) -> None:
            ids.extend(tokens)
            learnt.extend(bytes([carries_loss]) * len(tokens))

        for role, content in _messages(document):
            if any(token in content for token in self.control):
                raise _UnfitError(Reason.CONTROL_TOKEN)
            # The end of the turn is learnt with it: a model that never sees it never learns to stop.
            answers = role == "assistant"
            put([self.start, *self.encode(f"{role}\n")], carries_loss=False)
            put([*self.encode(content), self.end], carries_loss=answers)
            put(self.encode("\n"), carries_loss=False)
        if not any(learnt):
            raise _UnfitError(Reason.NOTHING_LEARNT)
        return Row(ids, bytes(learnt))


@dataclass(frozen=True, slots=True)
class Batch:
    """What the model is shown in one forward pass: rows padded on the right to the longest.

    `labels` are the ids, or -100 where nothing is learnt; `attention` is 0 at padding.
    """

    ids: list[list[int]]
    labels: list[list[int]]
    attention: list[list[int]]

    @property
    def supervised(self) -> int:
        """Tokens that carry loss. The first of a row cannot: nothing comes before it to predict it from."""
        return sum(label != _IGNORED for row in self.labels for label in row[1:])

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return sum(map(sum, self.attention))

    @property
    def computed(self) -> int:
        """Tokens with padding."""
        return sum(map(len, self.ids))

    def encoded(self) -> bytes:
        """Return an injective encoding: for each row its length, ids, labels and attention, all as canonical JSON."""
        return json.dumps([self.ids, self.labels, self.attention], separators=(",", ":")).encode()


def batch(rows: Sequence[Row], padding: int) -> Batch:
    """Return `rows` padded with the token `padding`, which neither is attended to nor carries loss."""
    width = max(len(row.ids) for row in rows)
    gaps = [width - len(row.ids) for row in rows]
    return Batch(
        ids=[[*row.ids, *[padding] * gap] for row, gap in zip(rows, gaps, strict=True)],
        labels=[
            [token if learnt else _IGNORED for token, learnt in zip(row.ids, row.learnt, strict=True)]
            + [_IGNORED] * gap
            for row, gap in zip(rows, gaps, strict=True)
        ],
        attention=[[1] * len(row.ids) + [0] * gap for row, gap in zip(rows, gaps, strict=True)],
    )


def batches_sha256(batches: Sequence[Batch]) -> str:
    """Return the digest of one step's batches: SHA-256 of their encodings, a line each."""
    return hashlib.sha256(b"".join(one.encoded() + b"\n" for one in batches)).hexdigest()


@dataclass(frozen=True, slots=True)
class Dataset:
    """The rows that are trained on, in file order, and the account of all that were read."""

    rows: tuple[Row, ...]
    bound: DataBound


def read(data: Data, chatml: ChatML) -> Dataset:
    """Read the file of `data`; raise `DataError` if it cannot be read or no row of it is fit."""
    render = _FORMATS[data.format]
    rows: list[Row] = []
    rejected: dict[Reason, list[int]] = {}
    digest, rows_digest = hashlib.sha256(), hashlib.sha256()
    size = seen = 0
    try:
        with _open(data.train) as file:
            for number, (line, pieces) in enumerate(_lines(file, digest.update), start=1):
                size += pieces
                if line is not None and not line.strip():
                    continue
                seen += 1
                try:
                    row = _fit(render(chatml, _parse(line)), data.max_length)
                except _UnfitError as unfit:
                    rejected.setdefault(unfit.reason, []).append(number)
                    continue
                rows.append(row)
                rows_digest.update(f"{row.ids.tolist()} {row.learnt.hex()}\n".encode())
    except OSError as error:
        raise DataError(data.train, error.strerror or "cannot be read") from error
    rejections = tuple(Rejection(why.value, len(at), tuple(at[:NAMED_LINES])) for why, at in sorted(rejected.items()))
    if not rows:
        reasons = "; ".join(f"{r.count} rejected: {r.reason} (line {r.lines[0]})" for r in rejections)
        raise DataError(data.train, f"no row of {seen} is fit to train on{': ' * bool(reasons)}{reasons}")
    bound = DataBound(
        path=data.train,
        sha256=digest.hexdigest(),
        size=size,
        rows=seen,
        kept=len(rows),
        rejections=rejections,
        tokens=sum(len(row.ids) for row in rows),
        supervised=sum(sum(row.learnt) for row in rows),
        rows_sha256=rows_digest.hexdigest(),
    )
    return Dataset(tuple(rows), bound)


# Format in soup.yaml -> how its rows become tokens. A new one is a function and a line.
_FORMATS: dict[str, Callable[[ChatML, object], Row]] = {
    "chatml": ChatML.render,
}


def _open(path: str) -> BinaryIO:
    """Open a regular file and nothing else; O_NONBLOCK so that a FIFO is refused and not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(path, "not a regular file")
    return os.fdopen(descriptor, "rb")


def _lines(file: BinaryIO, observe: Callable[[bytes], None]) -> Iterator[tuple[bytes | None, int]]:
    """Yield each line with its size, None for one too large to hold; hand every byte of the file to `observe`."""
    while piece := file.readline(MAX_ROW_BYTES + 1):
        observe(piece)
        line: bytes | None = piece if len(piece) <= MAX_ROW_BYTES else None
        size = len(piece)
        while not piece.endswith(b"\n") and (piece := file.readline(MAX_ROW_BYTES + 1)):
            observe(piece)
            size, line = size + len(piece), None
        yield line, size


def _fit(row: Row, max_length: int) -> Row:
    if len(row.ids) > max_length:
        raise _UnfitError(Reason.TOO_LONG)
    return row


def _parse(line: bytes | None) -> object:
    if line is None:
        raise _UnfitError(Reason.TOO_LARGE)
    try:
        return json.loads(line.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise _UnfitError(Reason.NOT_UTF8) from error
    except (ValueError, RecursionError) as error:
        raise _UnfitError(Reason.NOT_JSON) from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a key that stands twice: readers disagree on which value counts (RFC 8259, section 4)."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_constant(_name: str) -> NoReturn:
    """Refuse NaN and the infinities, which Python reads and RFC 8259 (section 6) does not know."""
    raise ValueError


def _messages(document: object) -> Iterator[tuple[str, str]]:
    """Yield (role, content) of each message.

    Keys beside `messages` are the row's own affair; within a message another key (`tool_calls`, `weight`) has a meaning
    that would be lost.
    """
    messages = document.get("messages") if isinstance(document, dict) else None
    if not isinstance(messages, list) or not messages:
        raise _UnfitError(Reason.NOT_MESSAGES)
    for message in messages:
        match message:
            case {"role": str(role), "content": str(content), **rest} if not rest:
                pass
            case _:
                raise _UnfitError(Reason.NOT_A_MESSAGE)
        if role not in {"system", "user", "assistant"}:
            raise _UnfitError(Reason.UNKNOWN_ROLE)
        if any("\ud800" <= character <= "\udfff" for character in content):
            raise _UnfitError(Reason.NOT_TEXT)
        yield role, content
