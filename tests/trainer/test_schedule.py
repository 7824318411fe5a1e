"""Order, windows and rates. Needs no torch."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import Training
from trainer.schedule import area, computed, learning_rate, order, planned_steps, windows

trainings = st.builds(
    Training,
    epochs=st.integers(1, 4),
    batch_size=st.integers(1, 5),
    gradient_accumulation_steps=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
    warmup_ratio=st.floats(0, 1),
    scheduler=st.sampled_from(["cosine", "linear", "constant"]),
    data_seed=st.none() | st.integers(0, 9),
    max_steps=st.none() | st.integers(1, 20),
)


def test_the_order_of_an_epoch_is_known_for_ever() -> None:
    # Sorted by SHA-256 of "42/1/0", "42/1/1", ...: can be redone with sha256sum.
    assert order(seed=42, epoch=1, rows=8) == [2, 0, 4, 5, 7, 6, 1, 3]


def test_seeds_and_epochs_have_orders_of_their_own() -> None:
    orders = {tuple(order(seed, epoch, 50)) for seed in range(5) for epoch in range(1, 6)}
    assert len(orders) == 25


def test_the_order_follows_the_seed_of_the_data_and_where_that_is_left_open_the_seed() -> None:
    def shown(**seeds: int) -> list[tuple[tuple[int, ...], ...]]:
        return [window.batches for window in windows(20, Training(epochs=1, **seeds))]  # type: ignore[arg-type]  # ints alone

    assert shown(seed=1) == shown(seed=2, data_seed=1) == shown(data_seed=1) != shown(seed=1, data_seed=2)
    assert shown(seed=0) == shown(seed=5, data_seed=0)


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 50)), min_size=1, max_size=40), trainings)
def test_what_an_epoch_computes_is_the_area_of_its_batches(shapes: list[tuple[int, int]], training: Training) -> None:
    whole = training.model_copy(update={"max_steps": None})
    first = [indices for window in windows(len(shapes), whole) if window.epoch == 1 for indices in window.batches]
    assert computed(shapes, training) == sum(area([shapes[index] for index in indices]) for indices in first)
    assert computed(shapes, training) >= sum(height * width for height, width in shapes)


def test_the_area_of_a_batch_is_its_sequences_at_the_width_of_the_longest() -> None:
    assert area([(1, 3), (2, 5)]) == 15


def test_a_constant_rate_stays_where_warm_up_took_it() -> None:
    rates = [learning_rate(step, 10, Training(lr=0.5, warmup_ratio=0.2, scheduler="constant")) for step in range(1, 11)]
    assert rates == [pytest.approx(0.5 / 3), pytest.approx(1.0 / 3), *[0.5] * 8]


@given(st.integers(1, 60), trainings)
def test_an_epoch_shows_every_row_once(rows: int, training: Training) -> None:
    for epoch in range(1, training.epochs + 1):
        shown = [
            index for w in windows(rows, training) if w.epoch == epoch for indices in w.batches for index in indices
        ]
        assert len(shown) == len(set(shown))
        if training.max_steps is None:
            assert sorted(shown) == list(range(rows))


@given(st.integers(1, 60), trainings)
def test_steps_are_as_many_as_planned_and_counted_from_one(rows: int, training: Training) -> None:
    steps = [window.step for window in windows(rows, training)]
    assert steps == list(range(1, planned_steps(rows, training) + 1))
    assert training.max_steps is None or len(steps) <= training.max_steps


@given(st.integers(1, 60), trainings)
def test_only_the_last_batch_and_window_of_an_epoch_may_be_short(rows: int, training: Training) -> None:
    all_windows = list(windows(rows, training))
    for window, following in pairwise(all_windows):
        full = [training.batch_size] * training.gradient_accumulation_steps
        assert [len(indices) for indices in window.batches] == full or following.epoch > window.epoch


@given(st.integers(1, 200), trainings)
def test_a_rate_is_never_zero_and_never_above_lr(steps: int, training: Training) -> None:
    rates = [learning_rate(step, steps, training) for step in range(1, steps + 1)]
    assert all(0 < rate <= training.lr for rate in rates)
    peak = min(math.ceil(training.warmup_ratio * steps), steps - 1)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["cosine", "linear", "constant"])
def test_without_warm_up_the_rates_are_those_of_transformers(one_thread, scheduler) -> None:
    from transformers import get_scheduler

    training = Training(lr=0.5, warmup_ratio=0.0, scheduler=scheduler)
    optimizer = one_thread.optim.SGD([one_thread.nn.Parameter(one_thread.zeros(1))], lr=0.5)
    theirs = get_scheduler(scheduler, optimizer, num_warmup_steps=0, num_training_steps=17)
    for step in range(1, 18):
        assert learning_rate(step, 17, training) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        theirs.step()
