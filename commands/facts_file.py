"""The facts file: what an operator states about a model, in YAML or JSON.

What is true here:

- The file says exactly what the published schema (`commands/schemas/facts.schema.json`) allows; its vocabulary is that of
  `ledger.events.facts.Facts`, and nothing is guessed or left unread.
- Every text is redacted before it is recorded, and what was hidden is counted. Kept are the e-mail addresses of contacts:
  who writes them under `email` wants them published.
- Nothing is judged: what stands here is declared, not observed.

Not known here: what a document makes of the facts.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

from commands import shape
from commands.cleaning import Cleaner
from commands.errors import InputError, quoted
from commands.observe import read_small
from commands.plain import MAX_BYTES, Node, NotPlainError, Table, Word, parse
from commands.record import printable
from commands.redaction import Redactor
from ledger.events.facts import Facts, FactsDeclared

SCHEMA = Path(__file__).with_name("schemas") / "facts.schema.json"
_PUBLISHED = frozenset(("email",))
_HEAD = {
    "$id": "urn:soup-ledger:facts:1",
    "title": "Facts about a model",
    "description": (
        "What an operator states about a model and no tool can know. Everything is optional; what is left out was not "
        "stated. Numbers may be written as numbers or as text; yes and no as either, or as true and false."
    ),
}


def load(path: Path, redactor: Redactor) -> FactsDeclared:
    """Read a facts file of at most a megabyte. Raises InputError that names file, line and key."""
    raw, tree = read(path)
    cleaner = Cleaner(redactor)

    def clean(text: str, field: str) -> str:
        text = text.strip() or text
        return printable(text) if field in _PUBLISHED else cleaner.text(text)

    try:
        facts = shape.fit(_guarded(tree, cleaner), Facts, clean)
        _demand_content(tree, facts)
    except shape.MisfitError as error:
        raise misfit(path, error) from None
    return FactsDeclared(sha256=hashlib.sha256(raw).hexdigest(), facts=facts, redactions=cleaner.hidden)


def read(path: Path) -> tuple[bytes, Node]:
    """Give the bytes of a stated file, and its tree. Raises InputError."""
    raw = read_small(path, MAX_BYTES)
    try:
        return raw, parse(raw)
    except NotPlainError as error:
        line = f", line {error.line}" if error.line else ""
        raise InputError(f"{quoted(path)}{line}: {error}", "write plain YAML or JSON") from None


def misfit(path: Path, error: shape.MisfitError) -> InputError:
    """Say what is wrong in which file."""
    line = f", line {error.line}" if error.line else ""
    subject = printable(error.path) or "the file"
    return InputError(f"{quoted(path)}{line}: {subject} {printable(str(error))}", error.hint)


def schema() -> bytes:
    """Give the JSON Schema (2020-12) of the facts file."""
    return shape.schema(Facts, _HEAD)


def _guarded(tree: Node, cleaner: Cleaner) -> Node:
    """Redact hyper-parameters by their names: what a tracker's `api_key` is set to is a secret, whatever it looks like."""
    training = tree.entries.get("training") if isinstance(tree, Table) else None
    table = training.entries.get("hyperparameters") if isinstance(training, Table) else None
    if isinstance(table, Table):
        for name, word in table.entries.items():
            if isinstance(word, Word) and not word.is_null:
                _, value = cleaner.setting(name, word.text)
                if value != word.text:
                    table.entries[name] = Word(value, quoted=True, line=word.line)
    return tree


def _demand_content(tree: Node, facts: Facts) -> None:
    """Refuse a file that says nothing, or speaks twice of one data set."""
    if facts == Facts():
        raise shape.MisfitError("states nothing", "", tree.line, "see the schema: commands/schemas/facts.schema.json")
    twice = [match for match, count in Counter(data.match for data in facts.data).items() if count > 1]
    if twice:
        raise shape.MisfitError(f"speaks twice of {twice[0]!r}", "data", None, "write all of it in one place")
