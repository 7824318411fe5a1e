"""The visible table of commands: a name, where it lives, and its line in the help.

Adding a command is one file and one line here. Nothing is imported until its name is typed, so `soup --help` costs what
click costs. A group's own members stand in its module.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """Module, attribute (a click command) and help line of a top-level name."""

    module: str
    attribute: str
    line: str


COMMANDS: dict[str, Row] = {
    "attest": Row("commands.attest", "attest", "Emit and verify in-toto attestations in DSSE envelopes."),
    "audit-log": Row("commands.audit_log", "audit_log", "Show and rotate the audit log of every soup command."),
    "bom": Row("commands.bom", "bom", "Emit and verify bills of materials (CycloneDX 1.6, SPDX 2.3)."),
    "keys": Row("commands.keys", "keys", "List, show and export the signing keys."),
    "ledger": Row("commands.ledger", "ledger", "Verify, read, export and checkpoint the ledger."),
    "query": Row("commands.query", "query", "Ask the ledger with SQL; without a statement, list the views."),
    "rebuild": Row("commands.rebuild", "rebuild", "Rebuild every document from the ledger, check or publish it."),
}
