"""The table of attacks: each is made on a real file, found, and named at the entry where it begins.

Attackers come in three strengths (see `tests.simulator`). Without a key: plain SQL. With the log's key: order, chain and
seals anew. With every key: only a trust root, or a head that was seen before, tells.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ledger import dsse, note
from ledger.errors import AlteredError, LedgerError
from ledger.events.ledger import LedgerCreated
from ledger.reader import Reader
from ledger.verify import verify
from ledger.writer import register
from tests.simulator import (
    COMMAND_A,
    COMMAND_B,
    FIRST_TICK,
    SIZE,
    TABLES,
    Saboteur,
    Sealed,
    SmallLedger,
    declared,
    place,
    signer,
    ticking,
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


def sabotage_fork(saboteur: Saboteur) -> None:
    """Put an old copy back and go on from there: two signed histories of one log."""
    saboteur.truncate(7)
    writer = saboteur.ledger.open(ticking(), heads=saboteur.ledger.path.parent / "elsewhere")
    for number in range(4):
        writer.append(COMMAND_B, [("run/fork", declared(number))])
    writer.close()


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
    "swap two entries with their payloads": Attack(
        lambda s: (s.swap("entries", "rowid", 5, 6), s.swap("payloads", "position", 5, 6)), 5, "edited"
    ),
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
    "restored backup appended to": Attack(sabotage_fork, 11, "rewritten", needs_head=True),
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


# With the log's key: what a corrupt log cannot do to its authors.


def regrouped(commits: list[Sealed]) -> list[Sealed]:
    """Split an author's commit in two under the same envelope."""
    whole = commits[2]
    return [*commits[:2], replace(whole, entries=whole.entries[:1]), replace(whole, entries=whole.entries[1:]), *commits[3:]]


def merged(commits: list[Sealed]) -> list[Sealed]:
    """Join two commits under the first one's envelope."""
    return [*commits[:2], replace(commits[2], entries=commits[2].entries + commits[3].entries), *commits[4:]]


def within(change: Callable[[Sealed], Sealed]) -> Callable[[list[Sealed]], list[Sealed]]:
    return lambda commits: [*commits[:2], change(commits[2]), *commits[3:]]


def entry(commit: Sealed, **changes: object) -> Sealed:
    """Change fields of a commit's first entry."""
    names = ("stream", "version", "kind", "time", "salt", "body")
    first, *rest = commit.entries
    values = {**dict(zip(names, first, strict=True)), **changes}
    return replace(commit, entries=(tuple(values[name] for name in names), *rest))  # type: ignore[arg-type]


CORRUPT_LOG: dict[str, tuple[Callable[[list[Sealed]], list[Sealed]], int, str]] = {
    "drops an author's commit": (lambda c: c[:2] + c[3:], 5, "reordered"),
    "drops an author's first commit after genesis": (lambda c: c[:1] + c[2:], 4, "reordered"),
    "reorders two commits": (lambda c: [*c[:2], c[3], c[2], *c[4:]], 5, "reordered"),
    "repeats a commit": (
        lambda c: [*c, replace(c[3], logged=c[-1].logged, entries=(entry(c[3], stream="run/2", version=1).entries[0],))],
        12, "transplanted",
    ),
    "splits a commit": (regrouped, 5, "transplanted"),
    "merges two commits": (merged, 5, "transplanted"),
    "drops an entry of a commit": (within(lambda c: replace(c, entries=c.entries[1:])), 5, "transplanted"),
    "doubles an entry of a commit": (
        within(lambda c: replace(c, entries=(*c.entries, ("run/x", 1, *c.entries[0][2:])))), 5, "transplanted"
    ),
    "reorders the entries of a commit": (within(lambda c: replace(c, entries=c.entries[::-1])), 5, "transplanted"),
    "changes a payload": (within(lambda c: entry(c, body=BODY)), 5, "transplanted"),
    "changes a salt": (within(lambda c: entry(c, salt=bytes(32))), 5, "transplanted"),
    "changes the author's time": (within(lambda c: entry(c, time=FIRST_TICK)), 5, "transplanted"),
    "changes a stream": (within(lambda c: entry(c, stream="model/other")), 5, "transplanted"),
    "changes the command": (within(lambda c: replace(c, command=COMMAND_B)), 5, "transplanted"),
    "swaps envelopes": (
        lambda c: [*c[:2], replace(c[2], envelope=c[3].envelope), replace(c[3], envelope=c[2].envelope), *c[4:]],
        5, "transplanted",
    ),
    "empties an envelope": (within(lambda c: replace(c, envelope=b"")), 5, "forged"),
    "names another author": (within(lambda c: replace(c, author=bytes.fromhex(signer("thief").key_id))), 5, "foreign key"),
    "sets its clock back": (within(lambda c: replace(c, logged=FIRST_TICK)), 5, "reordered"),
}  # fmt: skip


@pytest.mark.parametrize(("lie", "position", "attack"), CORRUPT_LOG.values(), ids=CORRUPT_LOG)
def test_a_corrupt_log_cannot_change_what_authors_signed(
    saboteur: Saboteur, lie: Callable[[list[Sealed]], list[Sealed]], position: int, attack: str
) -> None:
    saboteur.relog(lie(saboteur.commits()))
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify()
    assert (found.value.position, found.value.attack) == (position, attack)


def test_a_log_may_drop_the_newest_commits_unseen_but_for_a_head(saboteur: Saboteur) -> None:
    ledger = saboteur.ledger
    saboteur.relog(saboteur.commits()[:-1])
    assert ledger.verify().size == 10
    with pytest.raises(AlteredError) as found:
        ledger.verify(heads=ledger.heads[-1:])
    assert (found.value.position, found.value.attack) == (11, "truncated")


# Between ledgers of the same keys.


def test_a_commit_transplanted_row_by_row_is_found(saboteur: Saboteur, sibling: SmallLedger) -> None:
    saboteur.transplant(sibling, 5)
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify()
    assert (found.value.position, found.value.attack) == (5, "edited")


def test_a_commit_transplanted_by_a_corrupt_log_is_found(saboteur: Saboteur, sibling: SmallLedger) -> None:
    ours, theirs = saboteur.commits(), Saboteur(sibling).commits()
    saboteur.relog([*ours[:2], theirs[2], *ours[3:]])
    with pytest.raises(AlteredError, match="another ledger") as found:
        saboteur.ledger.verify()
    assert (found.value.position, found.value.attack) == (5, "transplanted")


def test_a_whole_history_transplanted_behind_our_genesis_is_found(saboteur: Saboteur, sibling: SmallLedger) -> None:
    ours, theirs = saboteur.commits(), Saboteur(sibling).commits()
    saboteur.relog([ours[0], *theirs[1:]])
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify()
    assert (found.value.position, found.value.attack) == (4, "transplanted")


def test_another_ledger_of_the_same_keys_is_not_taken_for_ours(ledger: SmallLedger, sibling: SmallLedger) -> None:
    with pytest.raises(AlteredError) as found, Reader.open_foreign(sibling.path) as reader:
        verify(reader, trust=ledger.identity)
    assert (found.value.position, found.value.attack) == (1, "foreign key")


def test_a_head_of_another_ledger_is_refused(ledger: SmallLedger, sibling: SmallLedger) -> None:
    with pytest.raises(AlteredError) as found:
        ledger.verify(heads=[ledger.heads[-1], sibling.heads[-1]])
    assert found.value.attack == "foreign head"


def test_a_head_that_the_log_did_not_sign_is_refused(ledger: SmallLedger) -> None:
    body = note.parse_checkpoint_body(note.parse_note(ledger.heads[-1]).body)
    thief = signer("thief")
    for forged in (note.seal(body, thief.sign, thief.public), ledger.heads[-1].replace("\n11\n", "\n10\n"), "", "x\n"):
        with pytest.raises(LedgerError):
            ledger.verify(heads=[forged])


def test_heads_of_every_size_are_confirmed_in_any_order(ledger: SmallLedger) -> None:
    assert ledger.verify(heads=[*ledger.heads[::-1], *ledger.heads]).heads_checked == 2 * len(ledger.heads)


def test_a_fork_leaves_two_signed_heads_of_one_size_as_evidence(saboteur: Saboteur) -> None:
    ledger = saboteur.ledger
    sabotage_fork(saboteur)
    with Reader.open_foreign(ledger.path) as reader:
        forked = reader.checkpoint(SIZE)
    key = note.parse_verifier_key(ledger.identity.log_verifier_key)
    here, there = note.open_checkpoint(forked, key), note.open_checkpoint(ledger.heads[-1], key)
    assert here.size == there.size
    assert here.root != there.root


def test_a_fork_is_named_at_the_lowest_head_that_it_contradicts(saboteur: Saboteur) -> None:
    sabotage_fork(saboteur)
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify(heads=saboteur.ledger.heads)
    assert (found.value.position, found.value.attack) == (9, "rewritten")


# Without a trust root.


def test_without_a_trust_root_nothing_is_called_trusted(saboteur: Saboteur) -> None:
    for forge in (False, True):
        if forge:
            saboteur.rewrite(saboteur.commits(), signer("thief"), signer("thief's log"))
        result = saboteur.ledger.verify(trust=False)
        assert result.trusted == []
        assert result.open_questions


def test_a_trusted_key_that_does_not_sign_here_is_not_called_trusted(saboteur: Saboteur) -> None:
    ledger = saboteur.ledger
    saboteur.rewrite(saboteur.commits(), signer("thief"), signer("thief's log"))
    with Reader.open_foreign(ledger.path) as reader:
        result = verify(reader, keys=[ledger.author.public, ledger.log.public])
    assert result.trusted == []
    assert result.open_questions


def test_with_bare_keys_the_ledgers_id_stays_an_open_question(ledger: SmallLedger) -> None:
    with Reader.open_foreign(ledger.path) as reader:
        result = verify(reader, keys=[ledger.author.public, ledger.log.public])
    assert sorted(result.trusted) == ["log key", "root author key"]
    assert result.open_questions


# Keys and authors.


def test_a_second_author_signs_from_the_commit_after_their_registration(saboteur: Saboteur) -> None:
    ledger, second = saboteur.ledger, signer("second")
    event = register(ledger.identity.ledger, "author", second, f"{ledger.identity.origin}/author")
    with saboteur.recorder() as recorder:
        recorder.record(place((f"key/{second.key_id}", event)), command=COMMAND_A)
    with saboteur.recorder(author=second) as recorder:
        recorder.record(place(("run/second", declared(1))), command=COMMAND_B)
    result = ledger.verify()
    assert (result.size, result.authors) == (SIZE + 2, 2)


def test_an_author_who_was_never_registered_is_foreign(saboteur: Saboteur) -> None:
    with saboteur.recorder(author=signer("second")) as recorder:
        recorder.record(place(("run/second", declared(1))), command=COMMAND_B)
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify()
    assert (found.value.position, found.value.attack) == (SIZE + 1, "foreign key")


def test_nobody_registers_themselves(saboteur: Saboteur) -> None:
    ledger, second = saboteur.ledger, signer("second")
    event = register(ledger.identity.ledger, "author", second, f"{ledger.identity.origin}/author")
    with saboteur.recorder(author=second) as recorder:
        recorder.record(place((f"key/{second.key_id}", event)), command=COMMAND_B)
    with pytest.raises(AlteredError) as found:
        ledger.verify()
    assert (found.value.position, found.value.attack) == (SIZE + 1, "foreign key")


def test_an_author_who_may_not_register_others_does_not(saboteur: Saboteur) -> None:
    ledger, second, third = saboteur.ledger, signer("second"), signer("third")
    name = f"{ledger.identity.origin}/author"
    plain = msgspec.structs.replace(register(ledger.identity.ledger, "author", second, name), admin=False)
    with saboteur.recorder() as recorder:
        recorder.record(place((f"key/{second.key_id}", plain)), command=COMMAND_A)
    ledger.verify()
    with saboteur.recorder(author=second) as recorder:
        event = register(ledger.identity.ledger, "author", third, name)
        recorder.record(place((f"key/{third.key_id}", event)), command=COMMAND_B)
    with pytest.raises(AlteredError) as found:
        ledger.verify()
    assert found.value.position == SIZE + 2


def test_a_registration_of_another_ledger_proves_no_possession_here(saboteur: Saboteur, sibling: SmallLedger) -> None:
    second = signer("second")
    event = register(sibling.identity.ledger, "author", second, f"{saboteur.ledger.identity.origin}/author")
    with saboteur.recorder() as recorder:
        recorder.record(place((f"key/{second.key_id}", event)), command=COMMAND_A)
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify()
    assert (found.value.position, found.value.attack) == (SIZE + 1, "forged")


def test_a_second_genesis_is_found(saboteur: Saboteur) -> None:
    other = LedgerCreated(ledger="ab" * 32, origin=f"soup-ledger/{'ab' * 32}", soup_version="0.1.0")
    with saboteur.recorder() as recorder:
        recorder.record(place((f"ledger/{other.ledger}", other)), command=COMMAND_A)
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify()
    assert found.value.position == SIZE + 1


def test_a_stream_that_skips_a_version_is_found(saboteur: Saboteur) -> None:
    with saboteur.recorder() as recorder:
        recorder.record(place(("run/x", declared(1)), version=2), command=COMMAND_A)
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify()
    assert (found.value.position, found.value.attack) == (SIZE + 1, "reordered")


# Any byte.


@pytest.fixture(scope="module")
def cells(template: SmallLedger) -> Sequence[tuple[str, int, str]]:
    """Every table, row (counted from 0) and column; what SQLite keeps for itself is a table like the others."""
    connection = sqlite3.connect(template.path)
    try:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")]
        assert set(names) == set(TABLES)
        found = []
        for name in names:
            (rows,) = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            found += [(name, row, column) for row in range(rows) for column in columns]
        return found
    finally:
        connection.close()


def flip(ledger: SmallLedger, cell: tuple[str, int, str], offset: int, bit: int) -> bool:
    """Flip one bit of one column of one row. False where a constraint of the table itself forbids it."""
    table, row, column = cell
    saboteur = Saboteur(ledger)
    try:
        with saboteur.open() as connection:
            key = f"(SELECT rowid FROM {table} ORDER BY rowid LIMIT 1 OFFSET {row})"
            kind, value, raw = connection.execute(
                f'SELECT typeof("{column}"), "{column}", CAST("{column}" AS BLOB) FROM {table} WHERE rowid = {key}'
            ).fetchone()
            if kind == "null":
                new, mark = offset, "?"
            elif kind == "integer":
                new, mark = value ^ 1 << (offset * 8 + bit) % 62, "?"
            else:
                at = offset % len(raw)
                new = raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]
                mark = "?" if kind == "blob" else "CAST(? AS TEXT)"
            connection.execute(f'UPDATE {table} SET "{column}" = {mark} WHERE rowid = {key}', (new,))
    except sqlite3.IntegrityError:
        return False
    return True


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flipped")


def assert_found(template: SmallLedger, bench: Path, cell: tuple[str, int, str], offset: int, bit: int) -> bool:
    ledger = template.copy_to(bench)
    if not flip(ledger, cell, offset, bit):
        return False
    with pytest.raises(LedgerError):
        ledger.verify()
    return True


@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data(), offset=st.integers(0, 2000), bit=st.integers(0, 7))
def test_a_flipped_bit_of_any_byte_of_any_column_is_found(
    template: SmallLedger, bench: Path, cells: Sequence[tuple[str, int, str]], data: st.DataObject, offset: int, bit: int
) -> None:
    assume(assert_found(template, bench, data.draw(st.sampled_from(cells)), offset, bit))


@pytest.mark.slow
def test_a_flip_in_every_cell_of_every_table_is_found(
    template: SmallLedger, bench: Path, cells: Sequence[tuple[str, int, str]]
) -> None:
    tried = sum(assert_found(template, bench, cell, offset, bit) for cell in cells for offset, bit in ((0, 0), (1, 3)))
    assert tried > len(cells)
