"""Who is trained on when, and how fast: pure functions of the configuration.

What is true here:

- the order of an epoch is a function of (seed, epoch, number of rows) and of nothing else: no generator has a state
  that must be saved, and no library's random numbers can change it;
- "rows" are whatever the run is made of: rows, packs of rows, or pairs (`trainer.data.Unit`);
- every epoch shows every row once; its last window may be short, and is a step of its own (windows do not span epochs);
- no step has a learning rate of zero.

It does not know tokens, tensors or files.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import TypeVar

from trainer.config import Training

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Window:
    """The rows of one optimizer step: `batches` of row indices, one batch a forward pass."""

    step: int  # 1-based
    epoch: int  # 1-based
    batches: tuple[tuple[int, ...], ...]


def order(seed: int, epoch: int, rows: int) -> list[int]:
    """Return the row indices of `epoch` (1-based), shuffled: sorted by SHA-256 of "seed/epoch/index"."""
    return sorted(range(rows), key=lambda index: hashlib.sha256(f"{seed}/{epoch}/{index}".encode()).digest())


def order_seed(training: Training) -> int:
    """Return the seed of the order: `data_seed`, or `seed` where that is left open."""
    return training.seed if training.data_seed is None else training.data_seed


def planned_steps(rows: int, training: Training) -> int:
    """Return how many optimizer steps `windows` yields."""
    a_window = training.batch_size * training.gradient_accumulation_steps
    steps = training.epochs * math.ceil(rows / a_window)
    return steps if training.max_steps is None else min(steps, training.max_steps)


def windows(rows: int, training: Training) -> Iterator[Window]:
    """Yield the run's steps in order."""
    step = count(1)
    last = planned_steps(rows, training)
    for epoch in range(1, training.epochs + 1):
        batches = _chunks(order(order_seed(training), epoch, rows), training.batch_size)
        for window in _chunks(batches, training.gradient_accumulation_steps):
            number = next(step)
            yield Window(number, epoch, window)
            if number == last:
                return


def computed(shapes: Sequence[tuple[int, int]], training: Training) -> int:
    """Return how many tokens, padding included, the first epoch computes of rows of these `shapes` (see `area`)."""
    batches = _chunks(order(order_seed(training), 1, len(shapes)), training.batch_size)
    return sum(area([shapes[index] for index in indices]) for indices in batches)


def area(shapes: Sequence[tuple[int, int]]) -> int:
    """Return the tokens of a batch: each of `shapes` is a number of sequences, and the length of the longest."""
    return sum(height for height, _ in shapes) * max(width for _, width in shapes)


def learning_rate(step: int, steps: int, training: Training) -> float:
    """Return the rate of `step` (1-based): up to `lr` over ceil(warmup_ratio * steps) steps, then down a curve.

    Without warm-up the curves are those of transformers' `get_linear_schedule_with_warmup` and its cosine sibling
    (their warm-up begins at zero, so that its first step does nothing; this one does not).
    """
    warmup = math.ceil(training.warmup_ratio * steps)
    done = step - 1
    if done < warmup:
        return training.lr * step / (warmup + 1)
    return training.lr * _CURVES[training.scheduler]((done - warmup) / max(1, steps - warmup))


# From 1 at progress 0 towards 0 at progress 1.
_CURVES: dict[str, Callable[[float], float]] = {
    "constant": lambda _progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}


def _chunks(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield `items` in tuples of `size`, the last one perhaps shorter (itertools.batched, from Python 3.12 on)."""
    remaining = iter(items)
    while chunk := tuple(islice(remaining, size)):
        yield chunk
