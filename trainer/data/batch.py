"""What the model is shown in one forward pass.

What is true here:

- rows are padded on the right; padding carries no loss and no row attends to it, whatever token it is: in many models
  it is the token that ends a turn, so nothing is ever masked by comparing ids;
- in a batch of packs, positions begin at 0 with each row and with the padding, and there is no attention mask: that is
  how transformers is told to keep rows apart (a mask of ones would switch that off without a word), and the first token
  of each row carries no loss, since it would be predicted from a stranger;
- a batch of pairs holds the chosen answers first, then the rejected ones in the same order.

It does not know torch.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainer.data.tokens import Row

IGNORED = -100
"""The label that torch's cross_entropy leaves out."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt, each with the prompt before it; only the answers are learnt."""

    chosen: Row
    rejected: Row


@dataclass(frozen=True, slots=True)
class Pack:
    """Rows that share a sequence and nothing else."""

    rows: tuple[Row, ...]


Unit = Row | Pair | Pack
"""What a schedule puts into order: an element of `Dataset.train`. All units of a run are of one kind."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Sequences of one width. `labels` are the ids, or -100 where nothing is learnt.

    Either `attention` is there (0 at padding) or, for packs, `positions`.
    """

    ids: list[list[int]]
    labels: list[list[int]]
    attention: list[list[int]] | None
    positions: list[list[int]] | None
    padding: int  # tokens of it

    @property
    def supervised(self) -> int:
        """Tokens that carry loss. The first of a sequence cannot: nothing comes before it to predict it from."""
        return sum(len(row) - 1 - row[1:].count(IGNORED) for row in self.labels)

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return self.computed - self.padding

    @property
    def computed(self) -> int:
        """Tokens with padding."""
        return sum(map(len, self.ids))

    def encoded(self) -> bytes:
        """Return an injective encoding.

        For ids, labels, attention, positions, in this order: the number of rows and of columns (0 and 0 if absent), then
        the numbers row by row, all as little-endian 32-bit integers.
        """
        return b"".join(_encoded(part) for part in (self.ids, self.labels, self.attention, self.positions))


def batch(units: Sequence[Unit], padding: int) -> Batch:
    """Return `units`, all of one kind, side by side, filled up with the token `padding`."""
    sequences = [_sequence(unit) for unit in _chosen_first(units)]
    width = max(len(ids) for ids, _, _ in sequences)
    packed = isinstance(units[0], Pack)
    gaps = [width - len(ids) for ids, _, _ in sequences]
    return Batch(
        ids=[ids + [padding] * gap for (ids, _, _), gap in zip(sequences, gaps, strict=True)],
        labels=[labels + [IGNORED] * gap for (_, labels, _), gap in zip(sequences, gaps, strict=True)],
        attention=None
        if packed
        else [[1] * len(ids) + [0] * gap for (ids, _, _), gap in zip(sequences, gaps, strict=True)],
        positions=[at + list(range(gap)) for (_, _, at), gap in zip(sequences, gaps, strict=True)] if packed else None,
        padding=sum(gaps),
    )


def batches_sha256(batches: Sequence[Batch]) -> str:
    """Return the digest of one step's batches: SHA-256 of their number (32 bits, little-endian) and their encodings."""
    digest = hashlib.sha256(struct.pack("<I", len(batches)))
    for one in batches:
        digest.update(one.encoded())
    return digest.hexdigest()


def rows_of(unit: Unit) -> tuple[Row, ...]:
    """Return the rows of a unit."""
    match unit:
        case Row():
            return (unit,)
        case Pair():
            return (unit.chosen, unit.rejected)
    return unit.rows


def shape(unit: Unit) -> tuple[int, int]:
    """Return how many sequences a unit makes, and the length of the longest."""
    lengths = [len(row.ids) for row in rows_of(unit)]
    return (1, sum(lengths)) if isinstance(unit, Pack) else (len(lengths), max(lengths))


def _chosen_first(units: Sequence[Unit]) -> list[Row | Pack]:
    pairs = [unit for unit in units if isinstance(unit, Pair)]
    others = [unit for unit in units if not isinstance(unit, Pair)]
    return [*others, *(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs)]


def _sequence(unit: Row | Pack) -> tuple[list[int], list[int], list[int]]:
    """Return ids, labels and positions of one sequence."""
    if isinstance(unit, Row):
        return list(unit.ids), _labels(unit), list(range(len(unit.ids)))
    ids, labels, positions = list[int](), list[int](), list[int]()
    for row in unit.rows:
        ids += row.ids
        labels += [IGNORED, *_labels(row)[1:]]
        positions += range(len(row.ids))
    return ids, labels, positions


def _labels(row: Row) -> list[int]:
    return [token if learnt else IGNORED for token, learnt in zip(row.ids, row.learnt, strict=True)]


def _encoded(rows: Iterable[Sequence[int]] | None) -> bytes:
    numbers, height, width = array("i"), 0, 0
    for row in rows or ():
        numbers.extend(row)
        height, width = height + 1, len(row)
    if sys.byteorder == "big":
        numbers.byteswap()
    return struct.pack("<II", height, width) + numbers.tobytes()
