r"""Put a plain tree into an event's struct, and publish the struct's shape as a JSON Schema: one type, two readings.

What is true here:

- The type alone decides what a word means: where a number belongs, `1e3` is one; where text belongs, it stays `1e3`;
  where yes or no belongs, `no` and `false` are "no". So nothing is lost on the way into decimal text.
- Whatever is refused is named by its path (`model.supplier.name`), its line, and what was expected; for an unknown key,
  by the nearest known one.
- `null` means not stated, wherever something may be left out.
- What the published schema accepts is what `fit` accepts, but for days that no calendar has.

Not known here: files, and any struct by name.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, TypeVar, get_args

import msgspec
from msgspec import inspect

from commands.plain import Node, Row, Table, Word
from ledger.events.base import Hex32
from ledger.events.facts import Date, Decimal, Email, Url

S = TypeVar("S", bound=msgspec.Struct)
Clean = Callable[[str, str], str]
"""Make a text fit for the ledger: the text, and the name of its field."""


class MisfitError(ValueError):
    """A node is not what its place demands. `path` says where, `line` in which line of YAML, `hint` what would do."""

    def __init__(self, problem: str, path: str, line: int | None, hint: str | None = None) -> None:
        super().__init__(problem)
        self.path = path
        self.line = line
        self.hint = hint


class _Place(NamedTuple):
    """Where in the tree we are, and how texts are cleaned."""

    path: str
    field: str
    clean: Clean

    def at(self, key: str) -> _Place:
        return _Place(f"{self.path}.{key}" if self.path else key, key, self.clean)

    def item(self, index: int) -> _Place:
        return _Place(f"{self.path}[{index}]", self.field, self.clean)


def _pattern(annotated: object) -> str:
    return str(get_args(annotated)[1].pattern)


_DECIMAL = _pattern(Decimal)
_PATTERNS = {
    _DECIMAL: "a number, such as 0.5",
    _pattern(Date): "a day, such as 2026-11-22, or a second in UTC, such as 2026-11-22T20:00:00Z",
    _pattern(Url): "an absolute URL, such as https://example.org/",
    _pattern(Email): "an e-mail address",
    _pattern(Hex32): "a SHA-256 in 64 lower-case hexadecimal digits",
}
_FREE = frozenset((None, _pattern(Url), _pattern(Email)))  # may hold a secret; the digits of a number are none
# The booleans of YAML 1.1, which older readers and writers still use.
_YES_NO = {
    **dict.fromkeys(("yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), "yes"),
    **dict.fromkeys(("no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), "no"),
}
_SHOWN = 60  # characters of a wrong value in an error


def fit(node: Node, struct: type[S], clean: Clean, path: str = "") -> S:
    """Give the struct that a tree describes, each of its texts cleaned. Raises MisfitError."""
    fitted = _fit(node, _info(struct), _Place(path, "", clean))
    try:
        return msgspec.convert(fitted, struct)
    except msgspec.ValidationError as error:  # what cleaning has made of a value does not suit its field
        raise MisfitError(f"cannot be recorded: {error}", path, node.line) from None


@cache
def _info(struct: type) -> inspect.Type:
    return inspect.type_info(struct)


def _fit(node: Node, info: inspect.Type, place: _Place) -> Any:
    return _CASES[type(info)](node, info, place)


def _struct(node: Node, info: inspect.StructType, place: _Place) -> dict[str, Any]:
    entries = _table(node, place).entries
    fields = {field.name: field for field in info.fields}
    given: dict[str, Any] = {}
    for key, value in entries.items():
        if key not in fields:
            raise _unknown(key, fields, place, value)
        absent = isinstance(value, Word) and value.is_null and not fields[key].required
        if not absent:
            given[key] = _fit(value, fields[key].type, place.at(key))
    for name, field in fields.items():
        if field.required and name not in given:
            raise MisfitError("is missing", place.at(name).path, node.line)
    return given


def _unknown(key: str, known: Iterable[str], place: _Place, node: Node) -> MisfitError:
    near = difflib.get_close_matches(key, list(known), 1, 0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
    return MisfitError("is not a known key", place.at(key[:_SHOWN]).path, node.line, hint)


def _list(node: Node, info: inspect.ListType, place: _Place) -> list[Any]:
    if not isinstance(node, Row):
        raise _wrong("a list", node, place)
    if info.max_length is not None and len(node.items) > info.max_length:
        raise MisfitError(f"has {len(node.items)} items, more than {info.max_length}", place.path, node.line)
    return [_fit(item, info.item_type, place.item(index)) for index, item in enumerate(node.items)]


def _dict(node: Node, info: inspect.DictType, place: _Place) -> dict[str, Any]:
    key_type = info.key_type
    assert isinstance(key_type, inspect.StrType)  # noqa: S101 - `Key`, the only kind of key that events have
    fitted = {}
    for key, value in _table(node, place).entries.items():
        if key_type.pattern and not re.search(key_type.pattern, key):
            raise MisfitError("is no key: 1 to 128 letters of ASCII", place.at(repr(key[:_SHOWN])).path, value.line)
        fitted[place.clean(key, key)] = _fit(value, info.value_type, place.at(key))
    return fitted


def _text(node: Node, info: inspect.StrType, place: _Place) -> str:
    """Give a text, or a text of a certain form; a number or a truth value where text belongs is taken as written."""
    wanted = _PATTERNS.get(info.pattern or "", "text")
    if not isinstance(node, Word) or node.is_null:
        raise _wrong(wanted, node, place)
    if info.pattern and not re.search(info.pattern, node.text):
        raise _wrong(wanted, node, place)
    if info.pattern == _pattern(Date):
        _demand_day(node, place)
    if len(node.text) < (info.min_length or 0):
        raise MisfitError("is empty", place.path, node.line, "leave the key out where nothing is stated")
    if info.max_length is not None and len(node.text) > info.max_length:
        raise MisfitError(
            f"has {len(node.text)} characters, more than {info.max_length}", place.path, node.line, "shorten it"
        )
    return place.clean(node.text, place.field)[: info.max_length] if info.pattern in _FREE else node.text


def _demand_day(node: Word, place: _Place) -> None:
    try:
        datetime.fromisoformat(node.text)
    except ValueError:
        raise MisfitError(f"{node.text} is no day of the calendar", place.path, node.line) from None


def _literal(node: Node, info: inspect.LiteralType, place: _Place) -> Any:
    if isinstance(node, Word) and set(info.values) == {"yes", "no"} and not node.quoted:
        word = _YES_NO.get(node.text)
    else:
        word = node.text if isinstance(node, Word) else None
    if word in info.values:
        return word
    near = difflib.get_close_matches(str(word), [str(value) for value in info.values], 1, 0.6)
    choice = ", ".join(sorted(str(value) for value in info.values))
    raise _wrong(f"one of: {choice}", node, place, f"did you mean {near[0]!r}?" if near else None)


def _optional(node: Node, info: inspect.UnionType, place: _Place) -> Any:
    (inner,) = (each for each in info.types if not isinstance(each, inspect.NoneType))
    return _fit(node, inner, place)


_CASES: Mapping[type[inspect.Type], Callable[[Any, Any, _Place], Any]] = {
    inspect.StructType: _struct,
    inspect.ListType: _list,
    inspect.DictType: _dict,
    inspect.StrType: _text,
    inspect.LiteralType: _literal,
    inspect.UnionType: _optional,
}


def _table(node: Node, place: _Place) -> Table:
    if not isinstance(node, Table):
        raise _wrong("a table of keys and values", node, place)
    return node


def _wrong(wanted: str, node: Node, place: _Place, hint: str | None = None) -> MisfitError:
    if isinstance(node, Word):
        got = "nothing" if node.is_null else repr(node.text[:_SHOWN])
    else:
        got = "a table" if isinstance(node, Table) else "a list"
    return MisfitError(f"must be {wanted}, not {got}", place.path, node.line, hint)


# The published schema.

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(struct: type[msgspec.Struct], head: Mapping[str, Any], extra: Mapping[str, Any] | None = None) -> bytes:
    """Give the JSON Schema of what `fit` accepts for `struct`: `head` stands at the top, `extra` is added to the struct."""
    (reference,), components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    definitions = {name: _published(component) for name, component in components.items()}
    definitions[struct.__name__] |= dict(extra or {})
    document = {"$schema": _DIALECT, **(head or {}), "$defs": dict(sorted(definitions.items()))}
    if "anyOf" not in document:
        document |= reference
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def _published(node: Any) -> Any:
    """Widen a schema of decoded values to what may be written in a file."""
    if isinstance(node, list):
        return [_published(item) for item in node]
    if not isinstance(node, dict):
        return node
    widened = {key: _published(value) for key, value in node.items() if key not in ("default", "propertyNames")}
    if "properties" in node:
        required = node.get("required", [])
        widened["properties"] = {
            key: value if key in required else _nullable(value) for key, value in widened["properties"].items()
        }
    if "propertyNames" in node:  # a key is text, and cannot be written as a number
        widened["propertyNames"] = node["propertyNames"] | {"pattern": _ecma(node["propertyNames"]["pattern"])}
    elif node.get("type") == "string":
        widened |= _words(node)
    elif set(node.get("enum", ())) == {"yes", "no"}:
        widened["enum"] = ["yes", "no", True, False]
    return widened


def _nullable(node: dict[str, Any]) -> dict[str, Any]:
    if {"type": "null"} in node.get("anyOf", ()):
        return node
    return {"anyOf": [node, {"type": "null"}]}


def _words(node: Mapping[str, Any]) -> dict[str, Any]:
    """Widen a text: a pattern binds texts only, so a number passes where decimal text is wanted."""
    pattern = node.get("pattern")
    if pattern is None:
        return {"type": ["string", "number", "boolean"]}
    return {"type": ["string", "number"] if pattern == _DECIMAL else "string", "pattern": _ecma(pattern)}


def _ecma(pattern: str) -> str:
    """Write a pattern of Python as one of ECMA-262, which JSON Schema uses."""
    return pattern.replace(r"\A", "^").replace(r"\Z", "$").replace(r"\"", '"')
