"""Hypothesis strategies: values of the canonical domain, and arbitrary events of the closed table.

Events are built from the annotations of their structs, so an event that joins the table is tested without a line here.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from hypothesis import strategies as st

from ledger.canonical import MAX_INTEGER
from ledger.entry import STREAM
from ledger.events import EVENT_TYPES, Event

HEX = re.compile(r"\\A\[0-9a-f]\{(\d+)}\\Z")
MANY = 3
"""Elements of a generated list or mapping at most: breadth finds nothing that three do not."""


def texts(min_size: int = 0, max_size: int = 20) -> st.SearchStrategy[str]:
    """Any text of the domain: no lone surrogates, no U+0000."""
    alphabet = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
    return st.text(alphabet, min_size=min_size, max_size=max_size)


def object_keys() -> st.SearchStrategy[str]:
    """ASCII without U+0000, control characters and quotes included."""
    return st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=8)


def integers() -> st.SearchStrategy[int]:
    """Every integer that ECMAScript holds exactly, the edges often."""
    edges = st.sampled_from([0, -1, MAX_INTEGER, -MAX_INTEGER, MAX_INTEGER - 1, 10**15])
    return edges | st.integers(-MAX_INTEGER, MAX_INTEGER)


def values() -> st.SearchStrategy[Any]:
    """Any JSON value of the canonical domain."""
    leaves = st.none() | st.booleans() | integers() | texts()
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=MANY) | st.dictionaries(object_keys(), inner, max_size=MANY),
        max_leaves=20,
    )


def streams() -> st.SearchStrategy[str]:
    """Any stream name."""
    return st.from_regex(STREAM, fullmatch=True)


def events() -> st.SearchStrategy[Event]:
    """Any event of the table."""
    return st.one_of([events_of(kind) for kind in EVENT_TYPES.values()])


def events_of(kind: type[Event]) -> st.SearchStrategy[Event]:
    """Any value that the struct's annotations admit."""
    built: st.SearchStrategy[Event] = _of(msgspec.inspect.type_info(kind))
    return built


def _matching(pattern: str) -> st.SearchStrategy[str]:
    """Text of a field with a pattern; digests are most of them, and drawn as bytes ten times as fast."""
    digits = HEX.fullmatch(pattern)
    if digits is None:
        return st.from_regex(pattern)
    size = int(digits[1]) // 2
    return st.binary(min_size=size, max_size=size).map(bytes.hex)


def _of(info: msgspec.inspect.Type) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911 - one line a type
    """One case a type that an event may have. Anything else (Any, float, bytes) has no business there."""
    match info:
        case msgspec.inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: _of(field.type) for field in fields})
        case msgspec.inspect.StrType(pattern=str(pattern)):
            return _matching(pattern)
        case msgspec.inspect.StrType(min_length=low):
            return texts(low or 0)
        case msgspec.inspect.IntType(ge=low, le=high):
            return st.integers(-MAX_INTEGER if low is None else low, MAX_INTEGER if high is None else high)
        case msgspec.inspect.BoolType():
            return st.booleans()
        case msgspec.inspect.NoneType():
            return st.none()
        case msgspec.inspect.LiteralType(values=choices):
            return st.sampled_from(choices)
        case msgspec.inspect.UnionType(types=types):
            return st.one_of([_of(each) for each in types])
        case msgspec.inspect.ListType(item_type=item, min_length=low, max_length=high):
            return st.lists(_of(item), min_size=low or 0, max_size=MANY if high is None else min(MANY, high))
        case msgspec.inspect.DictType(key_type=key, value_type=item):
            return st.dictionaries(_of(key), _of(item), max_size=MANY)
        case _:
            raise TypeError(f"an event may not hold {info}")
