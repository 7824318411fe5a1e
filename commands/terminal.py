"""What reaches a person's eyes: tables on a terminal, plain lines in a pipe, control characters neutralised in both."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

# C0 and C1 controls, DEL, and the bidirectional controls that can make text read as other text (Unicode TR 36).
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]|[\ud800-\udfff]"
)


def neutral(value: object) -> str:
    """Give a value as one line without a character that a terminal would act upon."""
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", str(value))


def coloured() -> bool:
    """Tell whether stdout is a terminal that wants colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show_json(value: Any) -> None:
    """Print one JSON document on one line."""
    click.echo(json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("\x7f", "\\u007f"))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, styles: Sequence[str] = ()) -> None:
    """Print rows under column names: a table of rich's on a terminal, tab-separated lines elsewhere."""
    if not sys.stdout.isatty():
        click.echo("\t".join(columns))
        for row in rows:
            click.echo("\t".join(neutral(cell) for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        style = styles_of(row, styles)
        table.add_row(*(Text(neutral(cell), style=style) for cell in row))
    Console(no_color=not coloured()).print(table)


def styles_of(row: Sequence[object], styles: Sequence[str]) -> str:
    """Give the style of a row by the first word of `styles` ("word=style") that one of its cells equals."""
    cells = {str(cell) for cell in row}
    return next((style for word, _, style in (entry.partition("=") for entry in styles) if word in cells), "")
