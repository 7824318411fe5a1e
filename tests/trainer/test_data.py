"""The road of the data, from files to what is trained on. Needs no torch."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.byte_tokens import byte_tokens, learnt, spelt
from trainer import data
from trainer.config import Config, validate
from trainer.data import Dataset, Pack, Pair, Reason, Row, manifest
from trainer.data.formats import Conversation
from trainer.data.reasons import MAX_ROW_BYTES
from trainer.errors import ConfigError, DataError
from trainer.observations import Portion

FIT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]}
FIT_LEAF = manifest.leaf(Conversation((("user", "Hi"), ("assistant", "Yes?"))))
PAIR = {"prompt": "Hi", "chosen": "Yes?", "rejected": "No."}


def talk(said: str, **beside: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said}], **beside}


def lines(*rows: bytes | dict[str, Any]) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def configured(train: object, task: str = "sft", training: dict[str, Any] | None = None, **section: object) -> Config:
    rows = {"train": train, "max_length": 64, "val_split": 0.0} | section
    return validate({"base": "base", "task": task, "data": rows, "training": training or {}})


@pytest.fixture
def bind(tmp_path: Path) -> Any:
    """Write rows to a file and read them as a run would."""

    def read(*rows: bytes | dict[str, Any], **section: Any) -> Dataset:
        (tmp_path / "rows.jsonl").write_bytes(lines(*rows))
        return data.read(configured(str(tmp_path / "rows.jsonl"), **section), byte_tokens())

    return read


# What is learnt, task by task.


def test_of_a_conversation_exactly_the_assistants_turn_and_its_end_are_learnt(bind: Any) -> None:
    (row,) = bind(FIT).train
    assert spelt(row) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes?<|im_end|>\n"
    assert learnt(row) == "Yes?<|im_end|>"


def test_of_a_conversation_all_of_it_is_learnt_where_that_is_asked_for(bind: Any) -> None:
    only_asked = {"messages": [{"role": "user", "content": "Hi"}]}
    for row in bind(FIT, only_asked, train_on_responses_only=False).train:
        assert learnt(row) == spelt(row)


def test_of_a_document_every_token_is_learnt_and_its_end_with_it(bind: Any) -> None:
    (row,) = bind({"text": "Once upon"}, task="pretrain").train
    assert spelt(row) == learnt(row) == "Once upon<|endoftext|>"


def test_a_document_begins_as_the_tokenizer_begins_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Once")
    (row,) = data.read(configured(str(tmp_path / "a.txt"), task="pretrain"), byte_tokens(beginning=256)).train
    assert spelt(row) == "<|im_start|>Once<|endoftext|>"


def test_a_tokenizer_without_an_end_cannot_be_pretrained_with(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Once")
    with pytest.raises(DataError, match="no token that ends a document"):
        data.read(configured(str(tmp_path / "a.txt"), task="pretrain"), byte_tokens(end=None))


@given(
    st.lists(
        st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1).filter(str.strip),
        min_size=1,
        max_size=5,
    ),
    st.integers(16, 40),
)
def test_a_long_document_is_cut_into_pieces_that_lose_no_token(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], length: int
) -> None:
    path = tmp_path_factory.mktemp("text") / "a.jsonl"
    path.write_bytes(lines(*({"text": text} for text in texts)))
    dataset = data.read(configured(str(path), task="pretrain", max_length=length), byte_tokens())
    assert "".join(map(spelt, dataset.train)) == "".join(f"{text}<|endoftext|>" for text in texts)
    assert all(0 < len(row.ids) <= length for row in dataset.train)
    assert dataset.bound.cut == sum(len(text) + 1 > length for text in texts)
    assert dataset.bound.training.units == len(dataset.train)


def test_a_preference_is_two_answers_behind_one_prompt(bind: Any) -> None:
    (pair,) = bind(PAIR, task="dpo").train
    assert isinstance(pair, Pair)
    assert (learnt(pair.chosen), learnt(pair.rejected)) == ("Yes?<|im_end|>", "No.<|im_end|>")
    prompt = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert spelt(pair.chosen) == f"{prompt}Yes?<|im_end|>\n"
    assert spelt(pair.rejected) == f"{prompt}No.<|im_end|>\n"


def test_of_a_preference_earlier_answers_are_prompt(bind: Any) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    (pair,) = bind(PAIR | {"prompt": turns}, task="dpo", max_length=128).train
    assert (learnt(pair.chosen), learnt(pair.rejected)) == ("Yes?<|im_end|>", "No.<|im_end|>")
    assert "b<|im_end|>" in spelt(pair.chosen)


def test_a_row_can_be_looked_at_with_its_mask(bind: Any) -> None:
    (row,) = bind(FIT).train
    assert data.masked(byte_tokens(), row) == [
        ("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", False),
        ("Yes?<|im_end|>", True),
        ("\n", False),
    ]


# What is left out.

REJECTED: dict[Reason, list[tuple[str, bytes | dict[str, Any]]]] = {
    Reason.TOO_LARGE: [("sft", b'"' + b"x" * MAX_ROW_BYTES + b'"')],
    Reason.NOT_UTF8: [("sft", b'{"messages": "\xff"}')],
    Reason.NOT_JSON: [("sft", b"hello"), ("sft", b'{"messages": [], "messages": []}')],
    Reason.NOT_FIELDS: [("sft", b"null"), ("pretrain", {"text": 3})],
    Reason.NOT_MESSAGES: [("sft", {"messages": []}), ("sft", {"prompt": "a", "completion": "b"})],
    Reason.NOT_A_MESSAGE: [("sft", {"messages": ["hi"]})],
    Reason.UNKNOWN_ROLE: [("sft", {"messages": [{"role": "tool", "content": "4"}]})],
    Reason.NO_ANSWER: [("dpo", PAIR | {"chosen": FIT["messages"]})],
    Reason.SAME_ANSWER: [("dpo", PAIR | {"chosen": "No."})],
    Reason.CONTROL_TOKEN: [
        ("sft", talk("a<|im_end|>\n<|im_start|>assistant\nyes")),
        ("sft", talk("b<|endoftext|>")),
        ("dpo", PAIR | {"rejected": "<|im_end|>"}),
        ("pretrain", {"text": "a<|endoftext|>b"}),
    ],
    Reason.NOT_TEXT: [("sft", b'{"messages": [{"role": "assistant", "content": "\\ud800"}]}')],
    Reason.NOT_RENDERED: [
        ("sft", talk("b") | {"messages": [{"role": "system", "content": "c"}, *talk("b")["messages"]]})
    ],
    Reason.NOT_MASKED: [("sft", talk("a secret"))],
    Reason.NOTHING_LEARNT: [
        ("sft", {"messages": [{"role": "user", "content": "hello?"}]}),
        ("pretrain", {"text": " "}),
    ],
    Reason.TOO_LONG: [("sft", talk("long " * 20)), ("dpo", PAIR | {"rejected": "long " * 20})],
}
# Refuses a system's turn, and drops a word.
CHOOSY = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('none') }}{% endif %}{% for m in messages %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content.replace('secret', '') + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FITTING = {"sft": FIT, "dpo": PAIR, "pretrain": {"text": "Once upon"}}


def test_every_reason_but_that_of_csv_has_an_example() -> None:
    assert {*REJECTED, Reason.NOT_CSV} == set(Reason)


@pytest.mark.parametrize(
    ("reason", "task", "row"),
    [(reason, *case) for reason, cases in REJECTED.items() for case in cases],
    ids=lambda v: str(v)[:30],
)
def test_an_unfit_row_is_rejected_with_its_reason_and_its_place(
    tmp_path: Path, reason: Reason, task: str, row: Any
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(FITTING[task], row, FITTING[task]))
    bound = data.read(configured(str(path), task=task), byte_tokens(CHOOSY)).bound
    assert [(r.reason, r.count, r.lines, r.path) for r in bound.rejections] == [(reason.value, 1, (2,), str(path))]
    assert (bound.rows, bound.kept, bound.training.rows) == (3, 2, 2)


def test_rejected_rows_are_counted_all_and_named_some(bind: Any) -> None:
    dataset = bind(*[b"{}"] * 25, FIT, *[b"oops"] * 3)
    assert dataset.bound.kept == len(dataset.train) == 1
    assert sorted((r.count, r.lines) for r in dataset.bound.rejections) == [
        (3, (27, 28, 29)),
        (25, tuple(range(1, 11))),
    ]
    assert dataset.bound.rows == dataset.bound.kept + sum(r.count for r in dataset.bound.rejections)


def test_one_bad_row_in_ten_thousand_costs_itself_alone(bind: Any) -> None:
    bound = bind(*[FIT] * 7000, b"{", *[FIT] * 2999).bound
    assert (bound.rows, bound.kept, bound.training.unique_rows) == (10_000, 9_999, 1)
    assert [(r.count, r.lines) for r in bound.rejections] == [(1, (7001,))]


def test_a_row_of_exactly_max_length_is_kept_and_one_token_more_is_not(bind: Any) -> None:
    length = len(bind(FIT).train[0].ids)
    assert bind(FIT, max_length=length).bound.training.tokens == length
    with pytest.raises(DataError, match=r"no row of 1 is fit to train on: 1 rejected: longer than .* \(line 1\)"):
        bind(FIT, max_length=length - 1)


@pytest.mark.parametrize(
    "rows", [[], [b"", b""], [b"{"], [b"{}"], [b'{"messages": [{"role": "user", "content": "a"}]}']]
)
def test_data_of_which_nothing_is_learnt_is_an_error_and_no_run(bind: Any, rows: list[bytes]) -> None:
    with pytest.raises(DataError) as refusal:
        bind(*rows)
    assert "fit to train on" in str(refusal.value) or "no format has the keys" in str(refusal.value)
    assert "\n" not in str(refusal.value)


# Formats and files.


def test_the_format_is_that_of_the_first_row_that_has_one(bind: Any) -> None:
    (file,) = bind(b"{", {"id": 1}, FIT, {"instruction": "a", "output": "b"}).bound.files
    assert (file.format, file.rows, file.kept) == ("chatml", 4, 1)


def test_rows_without_a_format_are_refused_with_what_is_known(bind: Any) -> None:
    with pytest.raises(
        DataError, match=r"no format has the keys of its first row \('answer, question'\); known are alpaca: "
    ):
        bind({"question": "a", "answer": "b"})


@pytest.mark.parametrize(
    ("task", "row", "finding"),
    [
        ("sft", {"text": "a"}, "its rows are plaintext; task sft learns from alpaca, sharegpt, chatml"),
        ("pretrain", FIT, "its rows are chatml; task pretrain learns from plaintext"),
        ("dpo", FIT, "its rows are chatml; task dpo learns from dpo"),
    ],
)
def test_rows_that_a_task_does_not_learn_from_are_refused(
    bind: Any, task: str, row: dict[str, Any], finding: str
) -> None:
    with pytest.raises(DataError) as refusal:
        bind(row, task=task)
    assert finding in str(refusal.value)


def test_a_format_that_was_asked_for_is_not_guessed(bind: Any) -> None:
    both = {"instruction": "a", "output": "b", **FIT}
    assert learnt(bind(both).train[0]) == "b<|im_end|>"
    assert learnt(bind(both, format="chatml").train[0]) == "Yes?<|im_end|>"


def test_several_files_are_read_in_their_order_and_accounted_for_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(talk("one"), b"{"))
    (tmp_path / "b.csv").write_text("instruction,output\nHi,two\nHi,three\n")
    (tmp_path / "c.json").write_text(
        json.dumps([{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "four"}]}])
    )
    paths = [str(tmp_path / name) for name in ("a.jsonl", "b.csv", "c.json")]
    dataset = data.read(configured(paths), byte_tokens())
    assert [learnt(row) for row in dataset.train] == [f"{said}<|im_end|>" for said in ("one", "two", "three", "four")]
    files = dataset.bound.files
    assert [(f.path, f.role, f.format, f.rows, f.kept) for f in files] == [
        (paths[0], "training", "chatml", 2, 1),
        (paths[1], "training", "alpaca", 2, 2),
        (paths[2], "training", "sharegpt", 1, 1),
    ]
    assert [f.sha256 for f in files] == [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
    assert [f.size for f in files] == [Path(path).stat().st_size for path in paths]
    assert sum(f.tokens for f in files) == dataset.bound.training.tokens
    assert [(r.path, r.lines) for r in dataset.bound.rejections] == [(paths[0], (2,))]


# Who is held out.


def rows_of(count: int) -> list[dict[str, Any]]:
    return [talk(f"answer {number}") for number in range(count)]


@settings(max_examples=12)
@given(st.randoms(use_true_random=False), st.sampled_from([0.1, 0.3, 0.5]))
def test_the_split_is_the_same_in_every_order_and_loses_no_row(
    tmp_path_factory: pytest.TempPathFactory, shuffle: random.Random, share: float
) -> None:
    path, rows = tmp_path_factory.mktemp("rows") / "rows.jsonl", rows_of(40)

    def sides() -> tuple[set[str], set[str]]:
        path.write_bytes(lines(*rows))
        dataset = data.read(configured(str(path), val_split=share), byte_tokens())
        return set(map(spelt, dataset.train)), set(map(spelt, dataset.evaluation))  # type: ignore[arg-type]  # rows alone

    before = sides()
    shuffle.shuffle(rows)
    assert sides() == before
    assert len(before[0]) + len(before[1]) == 40
    # And in any company: the first half of the rows falls as it did among all of them.
    whole = [talk(f"answer {number}") for number in range(20)]
    rows[:] = whole
    train, held_out = sides()
    assert train <= before[0]
    assert held_out <= before[1]


def test_copies_of_a_row_are_never_on_both_sides(bind: Any) -> None:
    dataset = bind(*rows_of(30), *rows_of(30), val_split=0.3)
    train, held_out = (set(map(spelt, side)) for side in (dataset.train, dataset.evaluation))
    assert train.isdisjoint(held_out)
    assert held_out
    assert dataset.bound.training.rows == 2 * dataset.bound.training.unique_rows
    assert dataset.bound.training.tokens == 2 * dataset.bound.training.unique_tokens
    assert dataset.bound.overlap == 0


def test_a_split_that_leaves_nothing_to_train_on_is_refused(bind: Any) -> None:
    alone = next(row for row in rows_of(50) if manifest.is_held_out(_leaf_of(row), manifest.threshold(0.5)))
    with pytest.raises(DataError, match=r"data\.val_split holds out each of its 1 rows; set it to 0"):
        bind(alone, val_split=0.5)


def test_files_that_are_held_out_are_not_split_and_what_they_share_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(*rows_of(20)))
    (tmp_path / "b.jsonl").write_bytes(lines(talk("new"), *rows_of(3)))
    held_out = str(tmp_path / "b.jsonl")
    config = validate({"base": "base", "data": {"train": str(tmp_path / "a.jsonl"), "eval": held_out}})
    bound = data.read(config, byte_tokens()).bound
    assert (bound.training.rows, bound.evaluation.rows, bound.overlap) == (20, 4, 3)
    assert [file.role for file in bound.files] == ["training", "evaluation"]


def _leaf_of(row: dict[str, Any]) -> bytes:
    return manifest.leaf(Conversation(tuple((turn["role"], turn["content"]) for turn in row["messages"])))


# Packs, counts, digests.


@pytest.mark.parametrize("task", ["sft", "pretrain"])
def test_packed_or_not_every_row_is_trained_on_once(bind: Any, task: str) -> None:
    rows = [talk("x" * number) if task == "sft" else {"text": "x" * number} for number in range(1, 15)]
    alone = bind(*rows, task=task)
    packed = bind(*rows, task=task, training={"packing": True})
    assert all(isinstance(unit, Pack) for unit in packed.train)
    assert sorted(spelt(row) for pack in packed.train for row in pack.rows) == sorted(map(spelt, alone.train))
    assert max(sum(len(row.ids) for row in pack.rows) for pack in packed.train) <= 64
    one, other = packed.bound.training, alone.bound.training
    assert (one.rows, one.tokens, one.supervised, one.unique_rows) == (
        other.rows,
        other.tokens,
        other.supervised,
        other.unique_rows,
    )
    assert one.units <= other.units
    assert packed.bound.rows_sha256 == alone.bound.rows_sha256


def test_tokens_are_counted_in_four_ways(bind: Any) -> None:
    dataset = bind(FIT, FIT, talk("No."), training={"batch_size": 2})
    long, short = len(dataset.train[0].ids), len(dataset.train[2].ids)
    counted = dataset.bound.training
    computed = counted.computed
    assert counted == Portion(
        rows=3, unique_rows=2, units=3, tokens=2 * long + short, unique_tokens=long + short, supervised=14, computed=computed
    )  # fmt: skip
    # Three rows in batches of two: either the short one shares a batch with a long one, or it is alone.
    assert computed in {3 * long, 2 * long + short}
    assert dataset.bound.evaluation == Portion(0, 0, 0, 0, 0, 0, 0)


def test_the_first_token_of_a_row_is_not_counted_as_learnt_since_nothing_predicts_it(bind: Any) -> None:
    assert bind({"text": "abc"}, task="pretrain").bound.training.supervised == 3


def test_the_digest_of_the_rows_sees_tokens_and_mask_and_not_the_spelling_of_the_file(bind: Any) -> None:
    spaced = json.dumps(FIT | {"id": 7}, separators=(" , ", " : ")).encode()
    swapped = {"messages": [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Yes?"}]}
    one, same, other, all_learnt = (
        bind(FIT).bound, bind(spaced).bound, bind(b"", swapped, chat_template="chatml").bound, bind(FIT, train_on_responses_only=False).bound
    )  # fmt: skip
    assert one.files[0].sha256 != same.files[0].sha256
    assert one.rows_sha256 == same.rows_sha256
    assert one.rows_root == same.rows_root == all_learnt.rows_root != other.rows_root
    assert len({one.rows_sha256, other.rows_sha256, all_learnt.rows_sha256}) == 3


def test_the_manifest_has_a_line_for_each_kept_row_and_the_root_is_over_them(bind: Any) -> None:
    dataset = bind(FIT, b"{", talk("b"), val_split=0.5)
    listed = [json.loads(line) for line in dataset.manifest()]
    assert [(line["at"], line["held_out"]) for line in listed] == [
        (1, manifest.is_held_out(FIT_LEAF, 1 << 255)),
        (3, manifest.is_held_out(_leaf_of(talk("b")), 1 << 255)),
    ]
    assert listed[0]["sha256"] == FIT_LEAF.hex()
    assert manifest.root(bytes.fromhex(line["sha256"]) for line in listed).hex() == dataset.bound.rows_root


def test_languages_and_sources_are_those_of_the_rows_trained_on_in_bytes_of_their_text(bind: Any) -> None:
    bound = bind(
        talk("ä", language="de", url="https://a.example/1"),
        talk("bb", language="en", source="https://a.example/2"),
        talk("x" * 80, language="fr"),  # too long: not trained on
    ).bound
    assert [(share.name, share.rows, share.size) for share in bound.languages] == [("de", 1, 4), ("en", 1, 4)]
    assert [(share.name, share.rows, share.size) for share in bound.sources] == [("a.example", 2, 8)]
    assert bind(FIT).bound.languages == ()


def test_the_template_is_told_and_why_it_is_not_the_tokenizers_own(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(FIT))
    own, fallen, plain = (
        data.read(configured(str(tmp_path / "a.jsonl")), byte_tokens()).bound.template,
        data.read(configured(str(tmp_path / "a.jsonl")), byte_tokens("{{ messages }}")).bound.template,
        data.read(configured(str(tmp_path / "a.txt"), task="pretrain"), _written(tmp_path / "a.txt")).bound.template,
    )
    assert own is not None
    assert fallen is not None
    assert (own.name, own.note) == ("tokenizer", None)
    assert own.sha256 == hashlib.sha256(str(byte_tokens().template).encode()).hexdigest()
    assert fallen.name == "chatml"
    assert fallen.note is not None
    assert fallen.note.startswith("the tokenizer's own cannot be used")
    assert plain is None


def _written(path: Path) -> data.Tokens:
    path.write_text("Once upon")
    return byte_tokens()


def test_a_chat_template_that_is_no_jinja_is_refused(bind: Any) -> None:
    with pytest.raises(ConfigError, match=r"data\.chat_template: TemplateSyntaxError"):
        bind(FIT, chat_template="{% if %}")


def test_the_same_files_give_the_same_data_set(bind: Any) -> None:
    assert bind(*rows_of(30), val_split=0.2) == bind(*rows_of(30), val_split=0.2)
    assert all(isinstance(row, Row) for row in bind(FIT).train)
