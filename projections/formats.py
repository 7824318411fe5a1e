r"""An answer laid out: JSON, CSV, Markdown, and cells for a terminal.

What is true here:

- JSON is exact: integers beyond 2^53-1 are strings (RFC 8259 section 6), doubles are the shortest digits that read back the
  same, those that JSON lacks are the strings NaN, Infinity, -Infinity. Decimals, times and bytes are text (`query`); columns
  of JSON, lists and structs are JSON in place.
- CSV is RFC 4180 with CRLF; NULL is an empty field and an empty text is "". A text that a spreadsheet would take for a formula
  gets an apostrophe before it, since names in a ledger come from strangers and officers open files in spreadsheets; `exact`
  leaves it as it is.
- Markdown and cells show no control character and no direction override: they are escaped, as `\x1b`.

Not known here: SQL, and where the bytes go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ledger.canonical import MAX_INTEGER
from projections.query import Answer, Column, Value, demand_distinct

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
# C0 but for nothing, DEL and C1; bidirectional controls (UAX #9), line and paragraph separators, zero-width and the BOM.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_FORMULA = re.compile(r"[=+\-@\t\r]")  # OWASP, CSV injection
_NEEDS_QUOTES = re.compile(r'[",\r\n]')
# CommonMark section 2.4: a backslash before ASCII punctuation makes it literal. Links, images and HTML must not come alive.
_MARKDOWN = re.compile(r"([\\`*\[\]<>|~&])")


def to_json(answer: Answer) -> Iterator[bytes]:
    """Give one JSON array of objects, a row a line. Raises QueryError for two columns of one name."""
    demand_distinct(answer.columns)
    separator = b"[\n"
    for row in answer:
        yield separator + _encode({c.name: _json(c, value) for c, value in zip(answer.columns, row, strict=True)})
        separator = b",\n"
    yield b"[]\n" if separator == b"[\n" else b"\n]\n"


def to_csv(answer: Answer, *, exact: bool = False) -> Iterator[bytes]:
    """Give RFC 4180 lines, the first one the names. `exact` also leaves formulas alone."""
    yield _csv_line((column.name for column in answer.columns), exact=exact)
    for row in answer:
        yield _csv_line(row, exact=exact)


def to_markdown(answer: Answer) -> Iterator[bytes]:
    """Give a table of GitHub Flavored Markdown (section 4.10)."""
    yield _markdown_line(_literal(column.name) for column in answer.columns)
    yield _markdown_line("---" for _ in answer.columns)
    for row in answer:
        yield _markdown_line(map(_literal, row))


def cells(answer: Answer) -> Iterator[list[str]]:
    """Give each row as texts that are safe to show on a terminal; NULL is empty."""
    return ([visible(text_of(value)) for value in row] for row in answer)


def text_of(value: Value) -> str:
    """Give a value as text: '' for NULL, true and false, the shortest digits that read back the same."""
    if isinstance(value, float):
        return _double(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def visible(text: str) -> str:
    """Escape what would move a cursor, change colours or turn the direction of writing."""
    return _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"  # noqa: PLR2004 - what two digits hold


def _json(column: Column, value: Value) -> Any:
    if isinstance(value, str) and column.is_json:
        try:
            _decode(value)
        except msgspec.DecodeError:  # a NaN in a list: DuckDB writes it bare
            return value
        return msgspec.Raw(value.encode())
    if isinstance(value, float) and not math.isfinite(value):
        return _double(value)
    if isinstance(value, int) and not -MAX_INTEGER <= value <= MAX_INTEGER:
        return str(value)
    return value


def _double(value: float) -> str:
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _csv_line(values: Iterable[Value], *, exact: bool) -> bytes:
    return (",".join(_csv_field(value, exact=exact) for value in values) + "\r\n").encode()


def _csv_field(value: Value, *, exact: bool) -> str:
    text = text_of(value)
    if isinstance(value, str):
        if not exact and _FORMULA.match(text):
            text = f"'{text}"
        if not text or _NEEDS_QUOTES.search(text):
            return '"' + text.replace('"', '""') + '"'
    return text


def _literal(value: Value) -> str:
    return _MARKDOWN.sub(r"\\\1", visible(text_of(value)))


def _markdown_line(texts: Iterable[str]) -> bytes:
    return f"| {' | '.join(texts)} |\n".encode()
