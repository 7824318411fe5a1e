"""The table of attacks: each is made on a real file, found, and named at the entry where it begins.

Attackers come in three strengths (see `tests.simulator`). Without a key: plain SQL. With the log's key: order, chain and
seals anew. With every key: only a trust root, or a head that was seen before, tells.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from ledger import dsse
from ledger.errors import AlteredError, LedgerError
from tests.simulator import (
    COMMAND_B,
    SIZE,
    TABLES,
    Saboteur,
    SmallLedger,
    fork,
    signer,
)

BODY = b'{"role":"data","sha256":"%b"}' % (b"ab" * 32)


def test_the_simulators_forger_makes_what_the_sealer_made(saboteur: Saboteur) -> None:
    """The premise of every attack with the log's key: without a lie, nothing is found."""
    saboteur.relog(saboteur.commits())
    assert saboteur.ledger.verify(heads=saboteur.ledger.heads).size == SIZE


def test_the_simulators_rewriting_is_found_by_nothing_but_a_head(saboteur: Saboteur) -> None:
    """The premise of every attack with both keys, and what a chain cannot see."""
    ledger = saboteur.ledger
    saboteur.rewrite(saboteur.commits(), ledger.author, ledger.log)
    assert ledger.verify().size == SIZE
    with pytest.raises(AlteredError) as found:
        ledger.verify(heads=ledger.heads[-1:])
    assert found.value.attack == "rewritten"


def test_dropping_and_restoring_the_triggers_alone_is_no_attack(saboteur: Saboteur) -> None:
    saboteur.run()
    assert saboteur.ledger.verify(heads=saboteur.ledger.heads).size == SIZE


# Edits of every column. The row is neither the first nor the last of its kind.

EDITS = [
    ("entries", "rowid", "rowid = 6", "100", 6, "missing"),
    ("entries", "originator_id", "rowid = 6", "", 6, "forged"),
    ("entries", "originator_id", "rowid = 6", "'dataset/other'", 6, "edited"),
    ("entries", "originator_version", "rowid = 6", "", 6, "edited"),
    ("entries", "topic", "rowid = 6", "'artifact.observed/1'", 6, "edited"),
    ("entries", '"commit"', "rowid = 6", "", 6, "edited"),
    ("entries", '"commit"', "rowid = 6", "4", 6, "edited"),
    ("entries", "time", "rowid = 6", "", 6, "edited"),
    ("entries", "payload", "rowid = 6", "", 6, "edited"),
    ("entries", "payload", "rowid = 6", "x''", 6, "edited"),
    ("entries", "size", "rowid = 6", "", 6, "edited"),
    ("entries", "hash", "rowid = 6", "", 6, "edited"),
    ("entries", "hash", "rowid = 6", "x''", 6, "edited"),
    ("payloads", "position", "position = 6", "100", 6, "missing"),
    ("payloads", "salt", "position = 6", "", 6, "payload edited"),
    ("payloads", "salt", "position = 6", "x''", 6, "payload edited"),
    ("payloads", "body", "position = 6", "", 6, "payload edited"),
    ("payloads", "body", "position = 6", "CAST(body || x'20' AS BLOB)", 6, "payload edited"),
    ("payloads", "body", "position = 6", "x''", 6, "payload edited"),
    ("commits", "first", "first = 5", "6", 5, "missing"),
    ("commits", "count", "first = 5", "4", None, None),
    ("commits", "count", "first = 5", "2", None, None),
    ("commits", "count", "first = 5", "0", 5, None),
    ("commits", "count", "first = 11", "1000000000000", 11, None),
    ("commits", "author", "first = 5", "", 5, "foreign key"),
    ("commits", "author", "first = 5", "x''", 5, "foreign key"),
    ("commits", "command", "first = 5", f"'{COMMAND_B}'", 5, "edited"),
    ("commits", "command", "first = 5", "'x'", 5, "edited"),
    ("commits", "logged", "first = 5", "", 5, "edited"),
    ("commits", "logged", "first = 5", "0", 5, "reordered"),
    ("commits", "logged", "first = 5", str(2**62), 5, None),
    ("commits", "envelope", "first = 5", "", 5, "forged"),
    ("commits", "envelope", "first = 5", "CAST(envelope || x'0a' AS BLOB)", 5, "forged"),
    ("commits", "checkpoint", "first = 5", "", 5, "forged"),
    ("commits", "checkpoint", "first = 5", "checkpoint || char(10)", 5, "forged"),
    ("head", "one", "one = 1", "2", None, "index edited"),
    ("head", "size", "one = 1", "", None, "index edited"),
    ("head", "hash", "one = 1", "", None, "index edited"),
    ("head", "frontier", "one = 1", "", None, "index edited"),
    ("command_index", "started", "started = 4", "5", 4, "index edited"),
    ("command_index", "finished", "started = 4", "", 10, "index edited"),
    ("command_index", "finished", "started = 4", "NULL", 10, "index edited"),
    ("command_index", "finished", "started = 11", "", None, "index edited"),
    ("command_index", "name", "started = 4", "", 4, "index edited"),
    ("command_index", "exit_code", "started = 4", "", 10, "index edited"),
    ("command_index", "exit_code", "started = 4", "NULL", 10, "index edited"),
    ("command_index", "exit_code", "started = 11", "0", None, "index edited"),
    ("sqlite_sequence", "name", "name = 'entries'", "'other'", SIZE + 1, "truncated"),
    ("sqlite_sequence", "seq", "name = 'entries'", "12", SIZE + 1, "truncated"),
    ("sqlite_sequence", "seq", "name = 'entries'", "10", SIZE + 1, "truncated"),
]


@pytest.mark.parametrize(
    ("table", "column", "where", "value", "position", "attack"), EDITS, ids=lambda value: str(value) or "smallest"
)
def test_an_edited_column_is_found(
    saboteur: Saboteur, table: str, column: str, where: str, value: str, position: int | None, attack: str | None
) -> None:
    saboteur.edit(table, column, where, value)
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify()
    if position is not None:
        assert found.value.position == position
    if attack is not None:
        assert found.value.attack == attack


def test_every_column_of_every_table_is_in_the_table_of_edits(ledger: SmallLedger) -> None:
    connection = sqlite3.connect(ledger.path)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    columns = {(table, row[1]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")}
    connection.close()
    assert tables == set(TABLES)
    assert {(table, column.strip('"')) for table, column, *_ in EDITS} == columns


# The named attacks.


def sabotage_without_envelope(saboteur: Saboteur) -> None:
    """Leave the payload that the author signed, and no signature."""
    with saboteur.open() as connection:
        (envelope,) = connection.execute("SELECT envelope FROM commits WHERE first = 5").fetchone()
        parsed = dsse.decode_strict(envelope)
        stripped = dsse.encode(dsse.Envelope(parsed.payload, parsed.payload_type, ()))
        connection.execute("UPDATE commits SET envelope = ? WHERE first = 5", (stripped,))


def sabotage_second_signature(saboteur: Saboteur) -> None:
    """Add a stranger's signature to what the author signed."""
    with saboteur.open() as connection:
        (envelope,) = connection.execute("SELECT envelope FROM commits WHERE first = 5").fetchone()
        parsed = dsse.decode_strict(envelope)
        stranger = signer("stranger")
        more = dsse.sign(parsed.payload_type, parsed.payload, stranger.key_id, stranger.sign).signatures
        both = dsse.encode(dsse.Envelope(parsed.payload, parsed.payload_type, (*parsed.signatures, *more)))
        connection.execute("UPDATE commits SET envelope = ? WHERE first = 5", (both,))


def sabotage_both_rows(saboteur: Saboteur) -> None:
    """Exchange two entries, payloads and all."""
    for table, key in (("entries", "rowid"), ("payloads", "position")):
        saboteur.swap(table, key, 5, 6)


def sabotage_boundary(saboteur: Saboteur) -> None:
    """Move the payload's first byte into the salt: their joint digest is the same."""
    saboteur.run(
        "UPDATE payloads SET salt = CAST(salt || substr(body, 1, 1) AS BLOB), body = substr(body, 2) WHERE position = 6"
    )


@dataclass(frozen=True)
class Attack:
    make: Callable[[Saboteur], object]
    position: int | None
    attack: str
    needs_head: bool = False


ATTACKS = {
    "delete an entry in the middle": Attack(lambda s: s.delete_entry(6), 6, "missing"),
    "delete the first entry": Attack(lambda s: s.delete_entry(1), 1, "missing"),
    "delete the last entry": Attack(lambda s: s.delete_entry(11), 11, "truncated"),
    "delete the last entry of a commit": Attack(lambda s: s.delete_entry(7), 7, "missing"),
    "delete a payload": Attack(lambda s: s.run("DELETE FROM payloads WHERE position = 6"), 6, "missing"),
    "delete a commit's row": Attack(lambda s: s.run("DELETE FROM commits WHERE first = 5"), 5, "missing"),
    "delete the last commit's row": Attack(lambda s: s.run("DELETE FROM commits WHERE first = 11"), 11, "inserted"),
    "delete a commit and its entries": Attack(lambda s: s.delete_commit(5), 5, "missing"),
    "delete the genesis commit": Attack(lambda s: s.delete_commit(1), 1, "missing"),
    "delete everything": Attack(lambda s: s.run(*(f"DELETE FROM {table}" for table in TABLES)), 1, "missing"),
    "delete the head row": Attack(lambda s: s.run("DELETE FROM head"), None, "index edited"),
    "delete an index row": Attack(lambda s: s.run("DELETE FROM command_index WHERE started = 11"), 11, "index edited"),
    "delete the high-water mark": Attack(lambda s: s.run("DELETE FROM sqlite_sequence"), 12, "truncated"),
    "insert an entry in the middle": Attack(lambda s: s.insert_entry(6), 6, "edited"),
    "insert an entry at the end": Attack(lambda s: s.insert_entry(12), 12, "inserted"),
    "insert an entry before the first": Attack(lambda s: s.insert_entry(0), None, ""),
    "insert a payload without an entry": Attack(
        lambda s: s.run("INSERT INTO payloads SELECT 12, salt, body FROM payloads WHERE position = 5"), None, "inserted"
    ),
    "insert a commit without entries": Attack(
        lambda s: s.run(
            "INSERT INTO commits SELECT 12, 0, author, command, logged, envelope, checkpoint FROM commits WHERE first = 11"
        ), 12, "",
    ),
    "insert an index row": Attack(
        lambda s: s.run("INSERT INTO command_index VALUES (5, NULL, 'rm', NULL)"), None, "index edited"
    ),
    "insert a second head row": Attack(
        lambda s: s.run("INSERT INTO head SELECT 2, size, hash, frontier FROM head"), None, "index edited"
    ),
    "insert a second high-water mark": Attack(
        lambda s: s.run("INSERT INTO sqlite_sequence VALUES ('entries', 99)"), 12, "truncated"
    ),
    "hide text in the table of high-water marks": Attack(
        lambda s: s.run("INSERT INTO sqlite_sequence VALUES ('hidden', 'text')"), None, ""
    ),
    "swap two entries": Attack(lambda s: s.swap("entries", "rowid", 5, 6), 5, "edited"),
    "swap two entries with their payloads": Attack(sabotage_both_rows, 5, "edited"),
    "swap entries of two commits": Attack(lambda s: s.swap("entries", "rowid", 7, 8), 7, "edited"),
    "swap two payloads": Attack(lambda s: s.swap("payloads", "position", 5, 6), 5, "payload edited"),
    "truncate, and leave the mark": Attack(lambda s: s.truncate(10, forget=False), 11, "truncated"),
    "truncate, and set the mark back": Attack(lambda s: s.truncate(10), 11, "truncated", needs_head=True),
    "truncate to the genesis": Attack(lambda s: s.truncate(3), 4, "truncated", needs_head=True),
    "replay an old commit": Attack(lambda s: s.replay(5), 12, "reordered"),
    "re-sign with other keys": Attack(
        lambda s: s.rewrite(s.commits(), signer("thief"), signer("thief's log")), 1, "foreign key"
    ),
    "re-sign with another author's key": Attack(
        lambda s: s.rewrite(s.commits(), signer("thief"), s.ledger.log), 1, "foreign key"
    ),
    "re-seal with another log's key": Attack(
        lambda s: s.rewrite(s.commits(), s.ledger.author, signer("thief's log")), 1, "foreign key"
    ),
    "re-seal with another log's key, genesis kept": Attack(lambda s: s.relog(s.commits(), signer("thief")), 1, "edited"),
    "payload changed, header kept": Attack(lambda s: s.rewrite_payload(6, BODY, keep="digest"), 6, "payload edited"),
    "payload and digest changed, hash kept": Attack(lambda s: s.rewrite_payload(6, BODY, keep="header"), 6, "edited"),
    "payload, digest and hash changed, chain kept": Attack(lambda s: s.rewrite_payload(6, BODY, keep="chain"), 7, "edited"),
    "last payload, digest and hash changed": Attack(lambda s: s.rewrite_payload(9, BODY, keep="chain"), 8, "transplanted"),
    "boundary of salt and payload moved": Attack(sabotage_boundary, 6, "payload edited"),
    "seal moved from the commit before": Attack(
        lambda s: s.run("UPDATE commits SET checkpoint = (SELECT checkpoint FROM commits WHERE first = 4) WHERE first = 5"),
        5, "seal moved",
    ),
    "seal moved from a later commit": Attack(
        lambda s: s.run("UPDATE commits SET checkpoint = (SELECT checkpoint FROM commits WHERE first = 8) WHERE first = 5"),
        5, "seal moved",
    ),
    "two seals swapped": Attack(lambda s: s.swap_column("commits", "checkpoint", "first", 5, 8), 5, "seal moved"),
    "seal stripped": Attack(lambda s: s.run("UPDATE commits SET checkpoint = '' WHERE first = 5"), 5, "forged"),
    "two envelopes swapped": Attack(lambda s: s.swap_column("commits", "envelope", "first", 5, 8), 5, "edited"),
    "envelope emptied": Attack(lambda s: s.run("UPDATE commits SET envelope = x'' WHERE first = 5"), 5, "forged"),
    "signature stripped from an envelope": Attack(sabotage_without_envelope, 5, "forged"),
    "signature added to an envelope": Attack(sabotage_second_signature, 5, "forged"),
    "padding bits flipped in a seal": Attack(lambda s: s.flip_padding("checkpoint", 5), 5, "forged"),
    "padding bits flipped in an envelope": Attack(lambda s: s.flip_padding("envelope", 5), 5, "forged"),
    "a stranger's valid signature added to a seal": Attack(lambda s: s.add_signature(5, valid=True), 5, ""),
    "the log's own signature doubled in a seal": Attack(lambda s: s.add_signature(5, valid=False), 5, ""),
    "restored backup appended to": Attack(fork, 11, "rewritten", needs_head=True),
    "the stream index leaves out the newest": Attack(
        lambda s: s.lie_in_index("entries_stream", "rowid <> 9"), None, ""
    ),
    "the stream index leaves out a whole stream": Attack(
        lambda s: s.lie_in_index("entries_stream", "originator_id <> 'run/1'"), None, ""
    ),
    "the command's index leaves out a commit": Attack(lambda s: s.lie_in_index("commits_command", "first <> 5"), None, ""),
    "the index of open commands leaves one out": Attack(lambda s: s.lie_in_index("command_open", "started <> 11"), None, ""),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_an_attack_is_found_and_named(saboteur: Saboteur, attack: Attack) -> None:
    ledger = saboteur.ledger
    attack.make(saboteur)
    if attack.needs_head:
        assert ledger.verify().size > 0, "the premise: without a head there is nothing to see"
    with pytest.raises(LedgerError) as found:
        ledger.verify(heads=ledger.heads[-1:] if attack.needs_head else ())
    if attack.attack:
        assert isinstance(found.value, AlteredError)
        assert (found.value.position, found.value.attack) == (attack.position, attack.attack)


KINDS = {
    ("entries", "rowid = 6"): {
        "originator_id": "text", "originator_version": "integer", "topic": "text", '"commit"': "integer", "time": "integer",
        "payload": "blob", "size": "integer", "hash": "blob",
    },
    ("commits", "first = 5"): {
        "count": "integer", "author": "blob", "command": "text", "logged": "integer", "envelope": "blob", "checkpoint": "text",
    },
    ("payloads", "position = 6"): {"salt": "blob", "body": "blob"},
    ("head", "one = 1"): {"size": "integer", "hash": "blob", "frontier": "blob"},
    ("command_index", "started = 4"): {"finished": "integer", "name": "text", "exit_code": "integer"},
}  # fmt: skip
OF_KIND = {
    "NULL": "null", "1.5": "real", "'text'": "text", "x'ff'": "blob", "7": "integer",
    "CAST({} AS TEXT)": "text", "CAST({} AS BLOB)": "blob",
}  # fmt: skip
CONFUSED = [
    (table, column, where, value)
    for (table, where), columns in KINDS.items()
    for column, kind in columns.items()
    for value, other in OF_KIND.items()
    if kind != other
]


@pytest.mark.parametrize(("table", "column", "where", "value"), CONFUSED, ids=lambda value: value)
def test_a_value_of_a_type_that_the_schema_refuses_is_found(
    saboteur: Saboteur, table: str, column: str, where: str, value: str
) -> None:
    """STRICT binds whoever writes through SQLite; the bytes of a hostile file were written by an editor."""
    saboteur.confuse_type(table, column, where, value.format(column))
    with pytest.raises(LedgerError):
        saboteur.ledger.verify()
