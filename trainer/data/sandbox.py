"""Chat templates are programs of strangers: Jinja text, run where it can reach nothing and do only so much.

What is true of every rendering:

- it sees the messages, the names of the special tokens, and nothing else: no clock, no file, no attribute with an
  underscore, no method of a text beyond those that chat templates need (jinja2's immutable sandbox, narrowed);
- it ends: rounds of loops and calls are counted against `MAX_WORK`, texts may not outgrow `MAX_LENGTH`. jinja2's own
  documentation says of its sandbox that it leaves this open ("Security Considerations");
- the same messages give the same text.

Whitespace and extra names are those that transformers gives a chat template (trim_blocks, lstrip_blocks, `break` and
`continue`, `raise_exception`, `tojson`, `{% generation %}`), but for `strftime_now`: a row must not depend on the day.

It does not know what the text means.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import FILTERS
from jinja2.parser import Parser
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from trainer.data.formats import CLOSE, OPEN

MAX_LENGTH = 32 << 20  # characters
MAX_WORK = 1_000_000  # rounds of loops, and calls
_CALL = 10  # rounds that a call counts for
_MAX_INTEGER = 1 << 53  # as a factor

Render = Callable[[Sequence[Mapping[str, str]], bool], str]
"""Messages, and whether a prompt for the next answer is wanted, into text; raises `RenderError`."""

# fmt: off
_TEXT_METHODS = frozenset({
    "capitalize", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdigit", "islower", "isnumeric", "isspace",
    "isupper", "join", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex",
    "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title", "upper",
})
_FILTERS = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "items", "last", "length", "list",
    "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round", "safe", "select", "selectattr", "sort",
    "string", "title", "trim", "unique", "upper",
)
# fmt: on


class RenderError(ValueError):
    """The template is not Jinja, refuses these messages, or does what it may not; the text is jinja2's first line."""


def compiled(template: str, names: Mapping[str, str]) -> Render:
    """Compile a chat template; `names` are texts it may use (bos_token, eos_token ...)."""
    environment = _Environment()
    try:
        program = environment.from_string(template)
    except (TemplateError, RecursionError, ValueError, SyntaxError, MemoryError) as error:
        raise RenderError(_first_line(error)) from error

    def render(messages: Sequence[Mapping[str, str]], prompt: bool) -> str:
        environment.work = 0
        try:
            return program.render(
                **names,
                messages=[dict(message) for message in messages],
                add_generation_prompt=prompt,
                tools=None,
                documents=None,
            )
        # A stranger's expression can fail as any expression can: adding a text to a list, an index too far.
        except (
            TemplateError,
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
            RecursionError,
        ) as e:
            raise RenderError(_first_line(e)) from e

    return render


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        self.work = 0
        self.globals = {"range": safe_range, "dict": dict, "namespace": Namespace, "raise_exception": _refuse}
        self.filters = {name: FILTERS[name] for name in _FILTERS} | {
            "tojson": _to_json,
            "join": _join,
            "replace": lambda text, old, new: _method(str(text), "replace", (str(old), str(new))),
            "indent": lambda text, width=4, first=False: _indented(str(text), width, first),
            "_counted": self.counted,
        }

    @staticmethod
    def concat(pieces: Iterable[str]) -> str:
        """Join what a template, a macro or a block has put out."""
        whole, length = [], 0
        for piece in pieces:
            length += _fits(len(piece))
            whole.append(piece)
            _fits(length)
        return "".join(whole)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return _Bounded().visit(Parser(self, source, name, filename).parse())  # type: ignore[no-any-return]  # untyped

    def counted(self, items: Any) -> Any:
        """Count the rounds of a loop before it begins."""
        if isinstance(items, Undefined):
            return items
        if not hasattr(items, "__len__"):
            items = list(items)
        self._work(len(items))
        return items

    def call(self, context: Context, function: Any, /, *values: Any, **named: Any) -> Any:
        """Call a macro, a global or a method, if that is safe."""
        self._work(_CALL)
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str) and function.__name__ in {"replace", "join"} and not named:
            return _method(owner, function.__name__, values)
        return super().call(context, function, *values, **named)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Narrow the sandbox: a text has the methods listed above and no other (`ljust` and `format` can grow at will)."""
        if isinstance(obj, str) and attr not in _TEXT_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        """Stop at the first try, instead of going on with nothing."""
        raise SecurityError(f"access to {attribute!a} of {type(obj).__name__} is not accepted")

    def wrap_str_format(self, value: Any) -> None:
        """Leave `format` to `is_safe_attribute`: a width in it can be any number."""

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute `left operator right`, if the result is of bounded size."""
        if operator == "**" or (operator == "%" and isinstance(left, str)):
            raise SecurityError(f"the operator {operator} is not accepted")
        sizes = [len(side) for side in (left, right) if isinstance(side, (str, list, tuple))]
        if operator == "+":
            _fits(sum(sizes))
        elif operator == "*":
            counts = [abs(side) for side in (left, right) if isinstance(side, int)]
            if not sizes and any(count > _MAX_INTEGER for count in counts):
                raise SecurityError("a number too large")
            _fits(max([0, *sizes]) * max([1, *counts]))
        return super().call_binop(context, operator, left, right)

    def _work(self, amount: int) -> None:
        self.work += amount
        if self.work > MAX_WORK:
            raise SecurityError(f"more than {MAX_WORK} rounds and calls")


class _Generation(Extension):
    """`{% generation %}`: what stands in it is learnt, and is put between two noncharacters."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own attribute

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Parse up to `{% endgeneration %}`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        opened, closed = (nodes.Output([nodes.TemplateData(mark)], lineno=line) for mark in (OPEN, CLOSE))
        return [opened, *body, closed]


class _Bounded(NodeTransformer):
    """Route what the sandbox does not see through it: `~` becomes `+` of texts, a loop counts its rounds first."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - jinja2's visitor
        """Add the parts as texts, one after the other."""
        self.generic_visit(node)
        whole, *rest = (_filtered(part, "string") for part in node.nodes)
        for part in rest:
            whole = nodes.Add(whole, part, lineno=node.lineno, environment=node.environment)
        return whole

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - jinja2's visitor
        """Count the rounds of a loop."""
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_counted")
        return node


def _filtered(node: nodes.Node, name: str) -> nodes.Expr:
    return nodes.Filter(
        cast(nodes.Expr, node), name, [], [], None, None, lineno=node.lineno, environment=node.environment
    )


def _method(text: str, name: str, values: Sequence[Any]) -> Any:
    """Call a method of a text that was found safe, unless its result would be too long."""
    if name == "replace":
        found = text.count(values[0]) if values and isinstance(values[0], str) else 0
        _fits(len(text) + found * len(str(values[1] if len(values) > 1 else "")))
    elif name == "join":
        return _join(values[0] if values else (), text)
    return getattr(text, name)(*values)


def _join(items: Iterable[Any], between: str = "", attribute: str | None = None) -> str:
    pieces = [str(item if attribute is None else item[attribute]) for item in items]
    _fits(sum(map(len, pieces)) + len(str(between)) * len(pieces))
    return str(between).join(pieces)


def _indented(text: str, width: int | str, first: bool) -> str:
    begin = width if isinstance(width, str) else " " * _fits(width)
    _fits(len(text) + len(begin) * text.count("\n"))
    return (begin if first else "") + text.replace("\n", "\n" + begin)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, sort_keys: bool = False) -> str:
    """As transformers does: not escaped for HTML, as jinja2's own would be."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent and min(indent, 16), sort_keys=sort_keys)


def _refuse(message: str) -> None:
    raise TemplateError(str(message))


def _fits(length: int) -> int:
    if length > MAX_LENGTH:
        raise SecurityError(f"a text of more than {MAX_LENGTH} characters")
    return length


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
