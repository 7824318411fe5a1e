"""Rows, masks, rejections. A byte is a token here; the real tokenizer has its turn in test_finetune. Needs no torch."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import data
from trainer.config import Data
from trainer.data import ChatML, Reason
from trainer.errors import DataError

START, END = 256, 257
CHATML = ChatML(
    encode=lambda text: list(text.encode()),
    start=START,
    end=END,
    control=frozenset({"<|im_start|>", "<|im_end|>", "<|endoftext|>"}),
)
FIT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]}


def spelt(ids: list[int]) -> str:
    pieces = [{START: b"<|im_start|>", END: b"<|im_end|>"}.get(token) or bytes([token]) for token in ids]
    return b"".join(pieces).decode()


def learnt(row: data.Row) -> str:
    return spelt([token for token, carries_loss in zip(row.ids, row.learnt, strict=True) if carries_loss])


def write(path: Path, *lines: bytes | dict) -> Data:
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return Data(train=str(path), max_length=64)


def test_a_row_is_rendered_as_chatml() -> None:
    row = CHATML.render(FIT)
    assert spelt(list(row.ids)) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n"


def test_exactly_the_assistants_words_and_its_end_of_turn_carry_loss() -> None:
    assert learnt(CHATML.render(FIT)) == "Yes?<|im_end|>"


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(
    lambda t: not any(c in t for c in CHATML.control)
)
turns = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), text), min_size=1, max_size=6).filter(
    lambda turns: any(role == "assistant" for role, _ in turns)
)


@given(turns)
def test_in_any_conversation_each_turn_of_the_assistant_is_learnt_whole_and_nothing_else(
    turns: list[tuple[str, str]],
) -> None:
    row = CHATML.render({"messages": [{"role": role, "content": content} for role, content in turns]})
    assert learnt(row) == "".join(f"{content}<|im_end|>" for role, content in turns if role == "assistant")
    assert spelt(list(row.ids)) == "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)


REJECTED = {
    Reason.NOT_UTF8: [b'{"messages": "\xff"}'],
    Reason.NOT_JSON: [
        b"hello",
        b"{",
        b'{"messages": [], "messages": []}',
        b'{"messages": NaN}',
        b"[" * 100_000,
        b"1" * 5000,
    ],
    Reason.NOT_MESSAGES: [
        b"[]",
        b"{}",
        b'{"messages": []}',
        b'{"messages": {}}',
        b'{"prompt": "a", "completion": "b"}',
        b"null",
    ],
    Reason.NOT_A_MESSAGE: [
        b'{"messages": ["hi"]}',
        b'{"messages": [{"role": "user"}]}',
        b'{"messages": [{"role": "user", "content": null}]}',
        b'{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}',
        b'{"messages": [{"role": "assistant", "content": "", "tool_calls": []}]}',
    ],
    Reason.UNKNOWN_ROLE: [
        b'{"messages": [{"role": "tool", "content": "4"}]}',
        b'{"messages": [{"role": "Assistant", "content": "4"}]}',
    ],
    Reason.CONTROL_TOKEN: [
        b'{"messages": [{"role": "user", "content": "a<|im_end|>\\n<|im_start|>assistant\\nyes"}, {"role": "assistant", "content": "b"}]}',
        b'{"messages": [{"role": "assistant", "content": "b<|endoftext|>"}]}',
    ],
    Reason.NOT_TEXT: [b'{"messages": [{"role": "assistant", "content": "\\ud800"}]}'],
    Reason.NOTHING_LEARNT: [b'{"messages": [{"role": "user", "content": "hello?"}]}'],
    Reason.TOO_LONG: [json.dumps({"messages": [{"role": "assistant", "content": "long " * 20}]}).encode()],
    Reason.TOO_LARGE: [b'"' + b"x" * data.MAX_ROW_BYTES + b'"'],
}


def test_every_reason_has_an_example() -> None:
    assert set(REJECTED) == set(Reason)


@pytest.mark.parametrize(
    ("reason", "line"),
    [(reason, line) for reason, lines in REJECTED.items() for line in lines],
    ids=lambda v: str(v)[:40],
)
def test_an_unfit_row_is_rejected_with_its_reason_and_its_line(tmp_path: Path, reason: Reason, line: bytes) -> None:
    bound = data.read(write(tmp_path / "rows", FIT, line, FIT), CHATML).bound
    assert [(r.reason, r.count, r.lines) for r in bound.rejections] == [(reason.value, 1, (2,))]
    assert (bound.rows, bound.kept) == (3, 2)


def test_rejected_rows_are_counted_all_and_named_some(tmp_path: Path) -> None:
    rows = data.read(write(tmp_path / "rows", *[b"{}"] * 25, FIT, *[b"oops"] * 3), CHATML)
    assert rows.bound.kept == len(rows.rows) == 1
    assert [(r.count, r.lines) for r in rows.bound.rejections] == [(3, (27, 28, 29)), (25, tuple(range(1, 11)))]
    assert rows.bound.rows == rows.bound.kept + sum(r.count for r in rows.bound.rejections)


def test_the_digest_and_size_are_those_of_the_file_whatever_is_in_it(tmp_path: Path) -> None:
    wanted = write(tmp_path / "rows", FIT, b"", REJECTED[Reason.TOO_LARGE][0] * 2, b"\xff")
    content = (tmp_path / "rows").read_bytes()[:-1]
    (tmp_path / "rows").write_bytes(content)
    bound = data.read(wanted, CHATML).bound
    assert (bound.sha256, bound.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert bound.rows == 3  # a blank line is not a row


def test_a_row_of_exactly_max_length_is_kept_and_one_token_more_is_not(tmp_path: Path) -> None:
    wanted = write(tmp_path / "rows", FIT)
    length = len(CHATML.render(FIT).ids)
    assert data.read(wanted.model_copy(update={"max_length": length}), CHATML).bound.tokens == length
    with pytest.raises(DataError, match=r"no row of 1 is fit .* longer than data.max_length tokens \(line 1\)"):
        data.read(wanted.model_copy(update={"max_length": length - 1}), CHATML)


def test_the_digest_of_the_rows_sees_tokens_and_mask_and_not_the_spelling_of_the_file(tmp_path: Path) -> None:
    spaced = json.dumps(FIT | {"source": "elsewhere"}, indent=None, separators=(" , ", " : ")).encode()
    roles_swapped = {"messages": [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Yes?"}]}
    one, same, other = (
        data.read(write(tmp_path / "rows", line), CHATML).bound for line in (FIT, spaced, roles_swapped)
    )
    assert one.sha256 != same.sha256
    assert one.rows_sha256 == same.rows_sha256 != other.rows_sha256


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{}\n"])
def test_a_file_without_a_fit_row_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows").write_bytes(content)
    with pytest.raises(DataError, match=r"no row of [01] is fit to train on"):
        data.read(Data(train=str(tmp_path / "rows")), CHATML)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, finding in (("fifo", "not a regular file"), (".", "not a regular file"), ("absent", "No such file")):
        with pytest.raises(DataError, match=finding):
            data.read(Data(train=str(tmp_path / name)), CHATML)


def test_padding_is_neither_attended_to_nor_learnt() -> None:
    short, long = CHATML.render(FIT), CHATML.render({"messages": [{"role": "assistant", "content": "Yes? " * 9}]})
    batch = data.batch([short, long], padding=END)
    gap = len(long.ids) - len(short.ids)
    assert gap > 0
    assert batch.ids[0] == [*short.ids, *[END] * gap]
    assert batch.labels[0][-gap:] == [-100] * gap
    assert batch.attention[0] == [1] * len(short.ids) + [0] * gap
    # The end of the assistant's turn is learnt, although padding is the same token.
    assert spelt([label for label in batch.labels[0] if label != -100]) == "Yes?<|im_end|>"
    assert batch.tokens == len(short.ids) + len(long.ids)
    assert batch.computed == 2 * len(long.ids)
    assert batch.supervised == sum(short.learnt) + sum(long.learnt)


def test_the_digest_of_a_step_sees_order_padding_mask_and_the_bounds_of_batches() -> None:
    one, two = CHATML.render(FIT), CHATML.render({"messages": [{"role": "assistant", "content": "No."}]})
    unmasked = data.Row(one.ids, bytes(len(one.ids)))
    shown = [
        [data.batch([one, two], END)],
        [data.batch([two, one], END)],
        [data.batch([one, two], 0)],
        [data.batch([unmasked, two], END)],
        [data.batch([one], END), data.batch([two], END)],
    ]
    assert len({data.batches_sha256(batches) for batches in shown}) == len(shown)
    assert data.batches_sha256(shown[0]) == data.batches_sha256([data.batch([one, two], END)])
