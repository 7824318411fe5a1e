"""Facts for both versions of SPDX: complete ones, hostile ones, and any that lie between; and the official checks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import strategies as st

from projections.errors import InvalidFactsError
from projections.facts import BomFacts
from tests.projections.bom_facts import HOSTILE
from tests.projections.full_facts import full

Path_ = tuple[Any, ...]


def specification(*names: str) -> Path:
    """A file of the folder that SOUP_SPEC_DATA names; the test is skipped where it names none."""
    folder = os.environ.get("SOUP_SPEC_DATA")
    if not folder:
        pytest.skip("SOUP_SPEC_DATA names no folder with the official schemas")
    return Path(folder, *names)


@cache
def official(version: str, name: str) -> jsonschema_rs.Validator:
    schema = json.loads(specification(version, name).read_bytes())
    return jsonschema_rs.validator_for(schema, validate_formats=True, offline=True)


def _read(content: Any) -> BomFacts | None:
    try:
        return msgspec.convert(content, BomFacts)
    except (msgspec.ValidationError, InvalidFactsError):
        return None


def _walk(content: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        yield (*path, key), value
        if isinstance(value, dict | list | tuple):
            yield from _walk(value, (*path, key))


def _lists(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _lists(value) for key, value in content.items()}
    return [*map(_lists, content)] if isinstance(content, list | tuple) else content


def _holder(content: Any, path: Path_) -> Any:
    for key in path[:-1]:
        content = content[key]
    return content


@cache
def _content() -> Any:
    return _lists(msgspec.to_builtins(full()))


@cache
def _places() -> tuple[tuple[Path_, ...], tuple[Path_, ...]]:
    """Where any text may stand, and what may be missing: found by trying."""
    texts, optional = [], []
    for path, value in _walk(_content()):
        changed = deepcopy(_content())
        if isinstance(value, str) and path[-1] != "sha256":
            _holder(changed, path)[path[-1]] = HOSTILE
            if _read(changed):
                texts.append(path)
        changed = deepcopy(_content())
        del _holder(changed, path)[path[-1]]
        if _read(changed):
            optional.append(path)
    return tuple(texts), tuple(optional)


def hostile_full() -> BomFacts:
    """Everything that can be said, each text of it hostile and none equal to another."""
    content = deepcopy(_content())
    for index, path in enumerate(_places()[0]):
        _holder(content, path)[path[-1]] = f"{HOSTILE}{index}"
    found = _read(content)
    assert found
    return found


@st.composite
def partial_facts(draw: st.DrawFn) -> BomFacts:
    """Complete facts from which some are missing, and in which some texts are other texts."""
    texts, optional = _places()
    content = deepcopy(_content())
    for path in draw(st.lists(st.sampled_from(texts), max_size=6, unique=True)):
        anything = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)
        _holder(content, path)[path[-1]] = draw(st.just(HOSTILE) | anything)
    # From the end, so that an index still means what it meant.
    for path in sorted(draw(st.lists(st.sampled_from(optional), max_size=12, unique=True)), key=str, reverse=True):
        before = deepcopy(content)
        try:
            del _holder(content, path)[path[-1]]
        except (KeyError, IndexError):
            continue
        if _read(content) is None:
            content = before
    found = _read(content)
    assert found or _read(_content())
    return found or full()
