"""YAML or JSON from an operator, read as plain text: every scalar stays as it was written.

What is true of every tree this module returns:

- A scalar is a `Word`: `1.10` is the text 1.10 and not the number 1.1, `no` is the text no, `2026-03-01` no date. What a
  word means is decided by the field that it is put in. No float is ever made.
- Every key stands once in its table. Anchors, aliases, tags and further documents are refused, so a tree is no larger
  than its text; at most `MAX_BYTES` bytes and `MAX_DEPTH` levels.
- Each node knows its line, where the text is YAML.

Not known here: files, fields, and what is true of the content.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))


class NotPlainError(ValueError):
    """The text is no document of the kind described above. `line` counts from 1."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


@dataclass(frozen=True, slots=True)
class Word:
    """A scalar as written; `quoted` if it can be nothing but text."""

    text: str
    quoted: bool
    line: int | None = None

    @property
    def is_null(self) -> bool:
        """Tell whether nothing was written."""
        return not self.quoted and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class Table:
    """Keys and values, in the order they were written."""

    entries: dict[str, Node] = field(default_factory=dict)
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Items, in order."""

    items: list[Node] = field(default_factory=list)
    line: int | None = None


Node = Word | Table | Row


def parse(raw: bytes) -> Node:
    """Read one document; JSON is recognised by its content. Raises NotPlainError."""
    if len(raw) > MAX_BYTES:
        raise NotPlainError(f"it has {len(raw)} bytes, more than the {MAX_BYTES} allowed")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotPlainError(f"it is not UTF-8 (byte {error.start})") from None
    if text.lstrip()[:1] in ("{", "["):
        try:
            # Most of JSON is YAML, but not its surrogate pairs and tabs.
            value = json.loads(
                text, object_pairs_hook=_Pairs, parse_int=_Token, parse_float=_Token, parse_constant=_Token
            )
            return _of_json(value, 0)
        except NotPlainError:
            raise
        except (ValueError, RecursionError):
            pass  # YAML may begin so, too; its reader says what is wrong, and where
    return _yaml(text)


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON, its duplicates still there."""


class _Token(str):
    """A number or a constant of JSON, as written."""

    __slots__ = ()


def _of_json(value: Any, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise NotPlainError(f"it is nested deeper than {MAX_DEPTH}")
    if isinstance(value, _Pairs):
        entries: dict[str, Node] = {}
        for key, inner in value:
            _demand_new(key, entries, None)
            entries[key] = _of_json(inner, depth + 1)
        return Table(entries)
    if isinstance(value, list):
        return Row([_of_json(inner, depth + 1) for inner in value])
    if isinstance(value, str):
        return Word(str(value), quoted=not isinstance(value, _Token))
    return Word("null" if value is None else str(value).lower(), quoted=False)


def _demand_new(key: str, entries: dict[str, Node], line: int | None) -> None:
    if key in entries:
        raise NotPlainError(f"the key {key[:60]!r} stands twice", line)


def _yaml(text: str) -> Node:
    import yaml  # type: ignore[import-untyped]  # PyYAML publishes its types in a package of their own

    try:
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        next(events), next(events)  # the stream and the document begin; an empty text has no document
        return _one_document(events)
    except StopIteration:
        return Word("", quoted=False)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise NotPlainError(f"it is not YAML: {error.problem or error.context}", mark and mark.line + 1) from None
    except NotPlainError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NotPlainError(f"it is not YAML: {str(error).splitlines()[0][:200]}") from None


def _one_document(events: Iterator[Any]) -> Node:
    import yaml

    first = next(events)
    if isinstance(first, yaml.StreamEndEvent):  # nothing but comments
        return Word("", quoted=False)
    node = _node(first, events, 0)
    next(events)  # the document ends
    if not isinstance(event := next(events), yaml.StreamEndEvent):
        raise NotPlainError("a second document begins; only one is read", event.start_mark.line + 1)
    return node


def _node(event: Any, events: Iterator[Any], depth: int) -> Node:
    """Build the node that `event` begins."""
    import yaml

    line = event.start_mark.line + 1
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise NotPlainError("anchors and aliases are not accepted: write the text out", line)
    if event.tag is not None:
        raise NotPlainError(f"the tag {event.tag[:60]!r} is not accepted", line)
    if depth > MAX_DEPTH:
        raise NotPlainError(f"it is nested deeper than {MAX_DEPTH}", line)
    if isinstance(event, yaml.ScalarEvent):
        return Word(event.value, quoted=event.style is not None, line=line)
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(inner := next(events), yaml.SequenceEndEvent):
            items.append(_node(inner, events, depth + 1))
        return Row(items, line)
    entries: dict[str, Node] = {}
    while not isinstance(inner := next(events), yaml.MappingEndEvent):
        key = _node(inner, events, depth + 1)
        if not isinstance(key, Word):
            raise NotPlainError("a key must be text", key.line)
        _demand_new(key.text, entries, key.line)
        entries[key.text] = _node(next(events), events, depth + 1)
    return Table(entries, line)
