"""Packs, and batches of rows, packs and pairs. Needs no torch, but for the last test."""

from __future__ import annotations

import struct
from array import array
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer import data
from trainer.data import IGNORED, Pack, Pair, Row
from trainer.data.packing import packs

lengths = st.lists(st.integers(1, 40), max_size=60)
rows = st.lists(st.integers(0, 255), min_size=2, max_size=12).flatmap(
    lambda ids: st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)).map(
        lambda marks: Row(array("i", ids), bytes(marks))
    )
)


def row(ids: list[int], learnt: list[int] | None = None) -> Row:
    return Row(array("i", ids), bytes([1] * len(ids) if learnt is None else learnt))


@given(lengths, st.integers(40, 80))
def test_every_row_is_in_exactly_one_pack_and_no_pack_overflows(sizes: list[int], capacity: int) -> None:
    found = packs(sizes, capacity)
    assert sorted(chain.from_iterable(found)) == list(range(len(sizes)))
    assert all(sum(sizes[index] for index in pack) <= capacity for pack in found)
    assert all(list(pack) == sorted(pack) for pack in found)


@given(lengths, st.integers(40, 80))
def test_two_packs_are_never_left_that_would_fit_into_one(sizes: list[int], capacity: int) -> None:
    filled = sorted(sum(sizes[index] for index in pack) for pack in packs(sizes, capacity))
    assert len(filled) < 2 or filled[0] + filled[1] > capacity


@given(lengths, st.integers(40, 80))
def test_packs_are_those_of_a_plain_best_fit(sizes: list[int], capacity: int) -> None:
    opened: list[tuple[list[int], int, int]] = []  # rows, room, when this room came about
    for clock, index in enumerate(sorted(range(len(sizes)), key=lambda index: (-sizes[index], index))):
        fitting = [pack for pack in opened if pack[1] >= sizes[index]]
        best = min(fitting, key=lambda pack: (pack[1], pack[2]), default=([], capacity, 0))
        opened = [pack for pack in opened if pack is not best]
        opened.append(([*best[0], index], best[1] - sizes[index], clock))
    assert packs(sizes, capacity) == sorted(tuple(sorted(pack)) for pack, _, _ in opened)


def test_packs_are_known_for_ever() -> None:
    assert packs([5, 3, 7, 2, 2, 1], 10) == [(0, 3, 4, 5), (1, 2)]


def test_a_row_that_no_pack_can_hold_is_an_error() -> None:
    for size in (0, 11):
        with pytest.raises(ValueError, match="does not fit"):
            packs([size], 10)


@given(st.lists(st.lists(rows, min_size=1, max_size=4), min_size=1, max_size=4))
def test_in_a_batch_of_packs_no_token_is_lost_or_learnt_from_a_stranger(contents: list[list[Row]]) -> None:
    batch = data.batch([Pack(tuple(pack)) for pack in contents], padding=999)
    assert batch.attention is None
    assert batch.positions is not None
    for pack, ids, labels, positions in zip(contents, batch.ids, batch.labels, batch.positions, strict=True):
        at = 0
        for one in pack:
            end = at + len(one.ids)
            assert ids[at:end] == list(one.ids)
            assert positions[at:end] == list(range(len(one.ids)))
            assert labels[at] == IGNORED
            assert labels[at + 1 : end] == [
                i if mark else IGNORED for i, mark in zip(one.ids[1:], one.learnt[1:], strict=True)
            ]
            at = end
        assert ids[at:] == [999] * (len(ids) - at)
        assert labels[at:] == [IGNORED] * (len(ids) - at)
        # Padding is a row of its own: it sees none of the others.
        assert positions[at:] == list(range(len(ids) - at))
    everything = [one for pack in contents for one in pack]
    assert batch.supervised == sum(one.supervised for one in everything)
    assert batch.tokens == sum(len(one.ids) for one in everything)


@given(st.lists(rows, min_size=1, max_size=6))
def test_packed_or_not_the_same_tokens_carry_loss(contents: list[Row]) -> None:
    def targets(batch: data.Batch) -> list[int]:
        return sorted(label for labels in batch.labels for label in labels[1:] if label != IGNORED)

    assert targets(data.batch(contents, 0)) == targets(data.batch([Pack(tuple(contents))], 0))


def test_padding_is_neither_attended_to_nor_learnt() -> None:
    batch = data.batch([row([7, 2], [0, 1]), row([7, 8, 9, 2], [0, 0, 1, 1])], padding=2)
    assert batch.ids == [[7, 2, 2, 2], [7, 8, 9, 2]]
    # The token that ends a turn is learnt, although padding is the same token.
    assert batch.labels == [[IGNORED, 2, IGNORED, IGNORED], [IGNORED, IGNORED, 9, 2]]
    assert batch.attention == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch.positions is None
    assert (batch.supervised, batch.tokens, batch.computed, batch.padding) == (3, 6, 8, 2)


def test_a_batch_of_pairs_holds_the_chosen_first() -> None:
    pairs = [Pair(row([1, 2], [0, 1]), row([1, 3, 4], [0, 1, 1])), Pair(row([5, 6], [0, 1]), row([5, 7], [0, 1]))]
    batch = data.batch(pairs, padding=0)
    assert batch.ids == [[1, 2, 0], [5, 6, 0], [1, 3, 4], [5, 7, 0]]
    assert batch.supervised == 5
    assert [data.shape(pair) for pair in pairs] == [(2, 3), (2, 2)]
    assert data.shape(Pack((row([1, 2]), row([3, 4, 5])))) == (1, 5)
    assert data.shape(row([1])) == (1, 1)


def test_the_digest_of_a_step_sees_order_padding_mask_packs_and_the_bounds_of_batches() -> None:
    one, two = row([1, 2, 3], [0, 1, 1]), row([4, 5], [0, 1])
    shown = [
        [data.batch([one, two], 9)],
        [data.batch([two, one], 9)],
        [data.batch([one, two], 0)],
        [data.batch([row([1, 2, 3], [0, 0, 1]), two], 9)],
        [data.batch([one], 9), data.batch([two], 9)],
        [data.batch([Pack((one, two))], 9)],
        [data.batch([Pack((one,)), Pack((two,))], 9)],
        [data.batch([Pack((two, one))], 9)],
        [data.batch([row([1, 2, 3, 4, 5], [0, 1, 1, 0, 1])], 9)],
    ]
    assert len({data.batches_sha256(batches) for batches in shown}) == len(shown)
    assert data.batches_sha256(shown[0]) == data.batches_sha256([data.batch([one, two], 9)])


def test_the_encoding_of_a_batch_is_known_for_ever() -> None:
    encoded = data.batch([row([7, 2], [0, 1])], padding=0).encoded()
    assert encoded == struct.pack("<IIii IIii IIii II", 1, 2, 7, 2, 1, 2, -100, 2, 1, 2, 1, 1, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_model_shown_a_pack_says_of_each_row_what_it_says_of_it_alone(one_thread, base, attention: str) -> None:
    """The trap: with a mask of ones in place of none, positions would be ignored and rows would see each other."""
    from transformers import AutoModelForCausalLM

    torch = one_thread
    model = AutoModelForCausalLM.from_pretrained(base, attn_implementation=attention).eval()
    alone = [row(list(b"the quick brown fox")), row(list(b"jumps over")), row(list(b"a lazy dog, again and again"))]
    batch = data.batch([Pack(tuple(alone[:2])), Pack((alone[2],))], padding=2)
    with torch.no_grad():
        packed = model(
            input_ids=torch.tensor(batch.ids),
            attention_mask=None,
            position_ids=torch.tensor(batch.positions),
            use_cache=False,
        ).logits
        blind = model(
            input_ids=torch.tensor(batch.ids),
            attention_mask=torch.ones(2, len(batch.ids[0]), dtype=torch.long),
            position_ids=torch.tensor(batch.positions),
            use_cache=False,
        ).logits
        wanted = [model(input_ids=torch.tensor([list(one.ids)])).logits[0] for one in alone]
    first, second = len(alone[0].ids), len(alone[1].ids)
    shown = [packed[0, :first], packed[0, first : first + second], packed[1, : len(alone[2].ids)]]
    for found, expected in zip(shown, wanted, strict=True):
        assert torch.allclose(found, expected, atol=1e-4)
    assert not torch.allclose(blind[0, first : first + second], wanted[1], atol=1e-2)


@pytest.mark.slow
def test_a_packed_step_has_the_loss_and_the_gradient_of_the_same_rows_alone(
    finetune, base, soup_yaml, rows, tmp_path
) -> None:
    taken = []
    for packing, size in ((False, 6), (True, 6), (True, 1)):
        training = {
            "packing": packing,
            "batch_size": size,
            "gradient_accumulation_steps": 6 // size,
            "epochs": 1,
            "lora": {"r": 4, "dropout": 0.0},
        }
        told = finetune(soup_yaml(base, training, output=str(tmp_path / f"{packing}{size}")))
        (step,) = [one for one in told if type(one).__name__ == "Step"]
        taken.append(step)
    alone, *packed = taken
    for step in packed:
        assert (step.supervised, step.tokens) == (alone.supervised, alone.tokens)
        assert step.loss == pytest.approx(alone.loss, rel=1e-5)
        assert step.grad_norm == pytest.approx(alone.grad_norm, rel=1e-4)
    assert len({step.batch_sha256 for step in taken}) == 3
