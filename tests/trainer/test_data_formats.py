"""Rows of each shape into examples. Needs no torch."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.formats import FORMATS, Conversation, Passage, Preference, canonical, detected, example
from trainer.data.reasons import Reason, UnfitError

TALK = Conversation((("system", "Be brief."), ("user", "Hi"), ("assistant", "Yes?")))
MESSAGES = [{"role": role, "content": content} for role, content in TALK.turns]

SAME: list[tuple[str, dict[str, Any], Any]] = [
    ("alpaca", {"instruction": "Hi", "output": "Yes?", "system": "Be brief."}, TALK),
    ("alpaca", {"instruction": "Hi", "input": "", "output": "Yes?", "system": "Be brief.", "id": 3}, TALK),
    ("alpaca", {"instruction": "a", "input": "b", "output": "c"}, Conversation((("user", "a\nb"), ("assistant", "c")))),
    ("alpaca", {"instruction": "a", "input": None, "output": "c", "system": ""}, Conversation((("user", "a"), ("assistant", "c")))),
    (
        "sharegpt",
        {"conversations": [{"from": s, "value": v} for s, v in (("system", "Be brief."), ("human", "Hi"), ("gpt", "Yes?"))]},
        TALK,
    ),
    ("chatml", {"messages": MESSAGES}, TALK),
    ("chatml", {"messages": [message | {"tool_calls": None} for message in MESSAGES]}, TALK),
    ("plaintext", {"text": " as it stands \n"}, Passage(" as it stands \n")),
    ("dpo", {"prompt": "Hi", "chosen": "Yes?", "rejected": "No."}, Preference((("user", "Hi"),), "Yes?", "No.")),
    (
        "dpo",
        {
            "prompt": MESSAGES[:2],
            "chosen": [{"role": "assistant", "content": "Yes?"}],
            "rejected": [{"role": "assistant", "content": "No."}],
        },
        Preference(TALK.turns[:2], "Yes?", "No."),
    ),
    (
        "dpo",
        {"system": "Be brief.", "prompt": "Hi", "chosen": "Yes?", "rejected": "No."},
        Preference(TALK.turns[:2], "Yes?", "No."),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "row", "wanted"), SAME, ids=lambda v: str(v)[:30])
def test_a_row_of_each_shape_is_an_example_and_its_keys_tell_its_format(
    name: str, row: dict[str, Any], wanted: Any
) -> None:
    assert example(name, row) == wanted
    assert detected(row) == name


def test_the_digest_of_a_row_is_over_what_was_said_and_not_how_it_was_written() -> None:
    assert len({canonical(example(name, row)) for name, row, wanted in SAME if wanted == TALK}) == 1
    assert len({canonical(wanted) for _, _, wanted in SAME}) == len({wanted for _, _, wanted in SAME})
    assert canonical(Passage("é")) == b'{"passage":"\\u00e9"}'


def test_the_first_row_is_tried_in_the_order_that_users_know() -> None:
    assert list(FORMATS) == ["alpaca", "dpo", "sharegpt", "chatml", "plaintext"]
    everything = {key: "" for shape in FORMATS.values() for key in shape.keys}
    for name, shape in FORMATS.items():
        assert detected(everything) == name
        everything = {key: value for key, value in everything.items() if key not in shape.keys}
    assert detected(everything) is detected(Reason.NOT_JSON) is detected([]) is None


BAD: list[tuple[Reason, str, Any]] = [
    (Reason.NOT_FIELDS, "alpaca", {"instruction": "a"}),
    (Reason.NOT_FIELDS, "alpaca", {"instruction": "a", "output": 3}),
    (Reason.NOT_FIELDS, "alpaca", {"instruction": "a", "output": "b", "input": ["c"]}),
    (Reason.NOT_FIELDS, "alpaca", []),
    (Reason.NOT_FIELDS, "plaintext", "text"),
    (Reason.NOT_FIELDS, "plaintext", {"text": b"bytes of a table"}),
    (Reason.NOT_FIELDS, "dpo", {"prompt": 1, "chosen": "a", "rejected": "b"}),
    (Reason.NOTHING_LEARNT, "plaintext", {"text": " \n"}),
    (Reason.NOT_MESSAGES, "chatml", {"messages": []}),
    (Reason.NOT_MESSAGES, "chatml", {"messages": {}}),
    (Reason.NOT_MESSAGES, "chatml", {"conversations": MESSAGES}),
    (Reason.NOT_MESSAGES, "dpo", {"prompt": "a", "chosen": 3, "rejected": "b"}),
    (Reason.NOT_A_MESSAGE, "chatml", {"messages": ["hi"]}),
    (Reason.NOT_A_MESSAGE, "chatml", {"messages": [{"role": "user"}]}),
    (Reason.NOT_A_MESSAGE, "chatml", {"messages": [{"role": "user", "content": None}]}),
    (Reason.NOT_A_MESSAGE, "chatml", {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}),
    (Reason.NOT_A_MESSAGE, "chatml", {"messages": [{"role": "assistant", "content": "", "tool_calls": []}]}),
    (Reason.NOT_A_MESSAGE, "sharegpt", {"conversations": [{"from": "human", "value": "a", "weight": 0}]}),
    (Reason.UNKNOWN_ROLE, "chatml", {"messages": [{"role": "tool", "content": "4"}]}),
    (Reason.UNKNOWN_ROLE, "chatml", {"messages": [{"role": "Assistant", "content": "4"}]}),
    (Reason.UNKNOWN_ROLE, "chatml", {"messages": [{"role": "human", "content": "4"}]}),
    (Reason.NO_ANSWER, "dpo", {"prompt": "a", "chosen": MESSAGES, "rejected": "b"}),
    (Reason.SAME_ANSWER, "dpo", {"prompt": "a", "chosen": "b", "rejected": "b"}),
    (Reason.NOT_TEXT, "plaintext", {"text": "a\0"}),
    (Reason.NOT_TEXT, "plaintext", {"text": "\ud800"}),
    (Reason.NOT_TEXT, "plaintext", {"text": "a\ufdd0b"}),
    (Reason.NOT_TEXT, "chatml", {"messages": [{"role": "assistant", "content": "\udfff"}]}),
]


@pytest.mark.parametrize(("reason", "name", "row"), BAD, ids=lambda v: str(v)[:40])
def test_a_row_that_is_not_of_its_shape_is_rejected_with_a_reason(reason: Reason, name: str, row: Any) -> None:
    with pytest.raises(UnfitError) as rejection:
        example(name, row)
    assert rejection.value.reason is reason


_plain = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(key for shape in FORMATS.values() for key in shape.keys),
                    "role",
                    "content",
                    "from",
                    "value",
                    "system",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(st.sampled_from(sorted(FORMATS)), _plain)
def test_any_value_is_an_example_of_text_or_unfit(name: str, row: Any) -> None:
    try:
        json.loads(canonical(example(name, row)))
    except UnfitError as rejection:
        assert isinstance(rejection.reason, Reason)  # noqa: PT017 - either outcome is right, no other is
