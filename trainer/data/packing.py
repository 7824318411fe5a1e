"""Rows into sequences of full length, so that little is computed for nothing.

What is true here:

- every row is in exactly one pack, whole; no pack is longer than the capacity; rows keep their order within a pack;
- the packs are a function of the lengths alone (best fit, longest first; of two that fit as well, the older pack);
- rows in a pack do not see each other: that is the batch's work (`trainer.data.batch`), by positions.

It does not know tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


def packs(lengths: Sequence[int], capacity: int) -> list[tuple[int, ...]]:
    """Return the indices of `lengths` in packs of at most `capacity` together; raise `ValueError` if one is longer.

    Best-fit decreasing needs at most 11/9 of the fewest possible packs, and four more (Johnson, Demers, Ullman, Garey and
    Graham 1974). What room is left is a bit of one integer, so that the tightest fit is found in one step.
    """
    open_packs: list[list[int]] = []
    with_room: dict[int, deque[int]] = {}
    rooms = 0  # bit n: some pack has room for n more
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        length = lengths[index]
        if not 0 < length <= capacity:
            raise ValueError(f"a row of {length} does not fit into {capacity}")
        fitting = rooms >> length
        if fitting:
            room = length + (fitting & -fitting).bit_length() - 1
            chosen = with_room[room].popleft()
            if not with_room[room]:
                rooms &= ~(1 << room)
        else:
            room, chosen = capacity, len(open_packs)
            open_packs.append([])
        open_packs[chosen].append(index)
        left = room - length
        if left:
            with_room.setdefault(left, deque()).append(chosen)
            rooms |= 1 << left
    return sorted(tuple(sorted(pack)) for pack in open_packs)
