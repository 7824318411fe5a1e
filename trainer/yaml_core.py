"""YAML as people mean it: the core schema of YAML 1.2 (section 10.3.2), without surprises.

What is true of every document this module returns:

- plain scalars follow YAML 1.2: `2e-5` is a number, `no` and `on` are strings (in YAML 1.1, PyYAML's habit, it is the
  other way round);
- every key stands once in its mapping; no anchors, aliases, merges or tags, so a document is as large as its text;
- only null, bool, int, float, str, list and dict occur, at most `MAX_DEPTH` deep.

It does not know what the keys mean (`trainer.config`), nor where the text came from.
"""

from __future__ import annotations

import re

import yaml  # type: ignore[import-untyped]  # PyYAML publishes its types in a package of their own

MAX_BYTES = 1 << 20
MAX_DEPTH = 32

# YAML 1.2.2, section 10.3.2: tag, expression, first characters. Left out are infinities, and integers that are not
# decimal or begin with a zero (octal to some readers): they stay strings, and a string where a number belongs is
# refused by whoever reads it.
_CORE_SCHEMA = (
    ("tag:yaml.org,2002:null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?(0|[1-9][0-9]{0,18})", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?",
        list("-+.0123456789"),
    ),
)


class NotYamlError(ValueError):
    """The text is not a document of the kind described above."""


class _CoreLoader(yaml.SafeLoader):  # type: ignore[misc]  # untyped base
    """`SafeLoader` with the resolvers of YAML 1.2 and a refusal of everything that repeats or expands."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own attribute
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise NotYamlError(f"{_where(event.start_mark)}anchors and aliases are not accepted")
        if event.tag is not None:
            raise NotYamlError(f"{_where(event.start_mark)}tags are not accepted")
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotYamlError(f"{_where(event.start_mark)}nested deeper than {MAX_DEPTH}")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, object]:
        mapping: dict[str, object] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise NotYamlError(f"{_where(key_node.start_mark)}a key must be text")
            if key in mapping:
                raise NotYamlError(f"{_where(key_node.start_mark)}the key {key[:60]!r} stands twice")
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping


for _tag, _expression, _first in _CORE_SCHEMA:
    _CoreLoader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_expression})$"), _first)


def load(text: bytes) -> object:
    """Return the one document in `text` (UTF-8, at most `MAX_BYTES`); else raise `NotYamlError`, saying where."""
    if len(text) > MAX_BYTES:
        raise NotYamlError(f"longer than {MAX_BYTES} bytes")
    try:
        # _CoreLoader is a SafeLoader: it builds plain values only.
        return yaml.load(text.decode("utf-8"), Loader=_CoreLoader)  # noqa: S506
    except UnicodeDecodeError as error:
        raise NotYamlError(f"not UTF-8 (byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        raise NotYamlError(f"{_where(error.problem_mark)}{error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, NotYamlError):
            raise
        raise NotYamlError(f"not YAML: {str(error)[:200]}") from error


def _where(mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
