"""The visible table of views: the name an officer types, and the SQL file that an auditor reads.

What is true here:

- Adding a view is one file in `sql/` and one line here; a test fails where the two differ.
- A file holds one CREATE VIEW, and opens with a comment of one line: the description that `soup query` lists.
- Views are created in the order of the table, so that one may stand on those before it.
- `digest` changes with any byte of any file: it keys the projection file and stands in every receipt.

Not known here: DuckDB, and where the entries come from.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files

ENTRIES = "entries.sql"
"""The table under all views; listed apart since no officer need know it."""
SCAN = "scan.sql"
"""What a receipt says about the entries behind an answer: a statement, no view."""

VIEWS: dict[str, str] = {
    "events": "events.sql",
    "audit_log": "audit_log.sql",
    "documents": "documents.sql",
    "boms": "boms.sql",
    "attestations": "attestations.sql",
    "artifacts": "artifacts.sql",
    "dependencies": "dependencies.sql",
    "signatures": "signatures.sql",
    "runs": "runs.sql",
    "summaries": "summaries.sql",
    "evaluations": "evaluations.sql",
    "energy": "energy.sql",
    "facts": "facts.sql",
    "keys": "keys.sql",
    "queries": "queries.sql",
    "exports": "exports.sql",
}


@cache
def statement(file: str) -> str:
    """Give the text of a file in `sql/`."""
    return files("projections").joinpath("sql", file).read_text(encoding="utf-8")


def description(view: str) -> str:
    """Give what the first line of a view's file says. `view` is a name of the table."""
    return statement(VIEWS[view]).partition("\n")[0].removeprefix("-- ")


@cache
def digest() -> str:
    """SHA-256, in hex, over the names and bytes of all SQL files: the same digest means the same views."""
    state = sha256()
    for name, file in (("entries", ENTRIES), ("scan", SCAN), *VIEWS.items()):
        text = statement(file).encode()
        state.update(f"{name} {len(text)}\n".encode() + text)
    return state.hexdigest()
