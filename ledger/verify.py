"""The auditor's road: every stored byte of a ledger is accounted for, in order, or named.

What is checked, by number (the numbers are printed):

1. The file has our schema literally; genesis names the ledger, its author key and its log key, each with proof of possession.
2. Positions are 1, 2, 3 without gaps; commits tile them; every entry belongs to the commit that holds its position.
3. Each header, rebuilt from its fields, hashes to the stored hash, and names the hash before it.
4. Each payload hashes, with its salt, to the digest in its header, is canonical JSON and decodes by the closed table.
5. Each commit's envelope, byte for byte, is signed by an author valid at that position, for this ledger, these contents,
   the author's previous commit and a head that the log really had.
6. Each commit's checkpoint, byte for byte, is the log's signature over the tree that the entries give.
7. Streams count 1, 2, 3; times of the log never decrease.
8. Whatever repeats something (head row, command index, high-water mark) is rebuilt and compared.
9. Genesis matches the trust root, and a head seen earlier is contained, where the caller has them.

What it does not prove: that the key's holder did not rewrite everything, that no tail was cut off after the newest head you
hold, that times are true, or that an event's claims are. Nothing is decoded before it is verified.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from ledger import note, tree
from ledger.commit import Statement, open_statement
from ledger.copies import check_copies, check_finished, check_started
from ledger.entry import (
    COMMAND_ID,
    MAX_TIME,
)
from ledger.errors import AlteredError, LedgerError, TooNewError
from ledger.events import Event
from ledger.events.command import CommandFinished, CommandStarted
from ledger.events.key import KeyRegistered
from ledger.identity import GENESIS_ENTRIES, Identity, check_registration, read_identity
from ledger.note import Checkpoint
from ledger.reader import CommitRow, EntryRow, Reader
from ledger.trust import match_head, match_trust, open_heads
from ledger.verify_entries import State, verify_entries


@dataclass(slots=True)
class Verification:
    """What was found. `trusted` lists what the caller's trust root confirmed; `open_questions` what could not be checked."""

    identity: Identity
    size: int
    commits: int
    root: bytes
    checkpoint: str
    authors: int
    heads_checked: int = 0
    trusted: list[str] = field(default_factory=list)
    open_questions: list[str] = field(default_factory=list)


def verify(
    reader: Reader,
    *,
    trust: Identity | None = None,
    keys: Sequence[bytes] = (),
    heads: Sequence[str] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Verification:
    """Walk the whole ledger. Returns what was verified, or raises the first thing that is wrong.

    `trust` is a trust root, `keys` are bare public keys (32 bytes) that the caller trusts without knowing the ledger's id,
    `heads` signed checkpoints seen before, as text.
    Raises AlteredError naming the first bad entry, MalformedError, TooNewError, LedgerUnreadableError.
    """
    identity = read_identity(reader)
    match_trust(identity, trust)
    awaited = open_heads(identity, heads)
    author = sha256(identity.author_key).hexdigest()
    state = State(identity, note.parse_verifier_key(identity.log_verifier_key), {author: identity.author_key}, {author})
    try:
        entries = reader.entries()
        for row in reader.commits():
            _verify_commit(reader, state, row, entries)
            while awaited and awaited[0].size <= state.frontier.size:
                match_head(awaited.pop(0), state.frontier.size, state.root)
            progress(state.frontier.size)
        _verify_end(reader, state, entries, awaited)
    except (TypeError, AttributeError, ValueError, OverflowError, sqlite3.Error) as error:
        # STRICT tables hold a column to its type while SQLite writes; whoever writes the file itself is not held.
        raise AlteredError(f"a value is not of its column's type: {error}", position=state.frontier.size + 1) from None
    return _conclude(state, trust, keys, heads)


def _verify_commit(reader: Reader, state: State, row: CommitRow, entries: Callable[[int], list[EntryRow]]) -> None:
    first = state.frontier.size + 1
    if row.first != first or row.size < 1:
        attack, what = ("missing", "is missing") if row.first > first else ("edited", "is covered by two commits")
        raise AlteredError(f"{what}: the next commit claims to start at {row.first}", position=first, attack=attack)
    statement = _open_envelope(state, row)
    claims, decoded = verify_entries(reader, state, row, entries)
    _verify_statement(reader, state, row, statement, claims)
    _verify_checkpoint(state, row)
    state.commits += 1
    state.previous_commit[statement.author] = sha256(row.envelope).hexdigest()
    state.logged = row.logged
    for position, stream, event in decoded:
        _apply(reader, state, statement.author, position, stream, event)


def _open_envelope(state: State, row: CommitRow) -> Statement:
    author = row.author.hex()
    public = state.authors.get(author)
    if public is None:
        raise AlteredError(f"signed by a foreign key ({author[:16]}...)", position=row.first, attack="foreign key")
    if not COMMAND_ID.fullmatch(row.command):
        raise AlteredError(f"{row.command!r:.60} is no command id", position=row.first)
    if not state.logged <= row.logged <= MAX_TIME:
        raise AlteredError("the log's time runs backwards", position=row.first, attack="reordered")
    try:
        return open_statement(row.envelope, author, public)
    except LedgerError as error:
        raise AlteredError(
            f"its author's envelope does not hold: {error}", position=row.first, attack="forged"
        ) from None


def _verify_statement(
    reader: Reader, state: State, row: CommitRow, statement: Statement, claims: Sequence[bytes]
) -> None:
    expected = (state.identity.ledger, row.author.hex(), row.command, row.size, tree.root(claims).hex())
    claimed = (statement.ledger, statement.author, statement.command, statement.count, statement.root)
    if claimed != expected:
        names = ("ledger", "author", "command", "count", "contents")
        wrong = next(name for name, a, b in zip(names, claimed, expected, strict=True) if a != b)
        raise AlteredError(f"its author signed another {wrong}", position=row.first, attack="transplanted")
    if statement.previous != state.previous_commit.get(statement.author):
        raise AlteredError("its author's previous commit is another one", position=row.first, attack="reordered")
    seen = statement.seen
    if seen.size >= row.first:
        raise AlteredError("its author saw a head of the future", position=row.first, attack="forged")
    if seen.size == row.first - 1:
        root = state.root.hex()
    else:  # an older head: this road has passed and verified its checkpoint
        text = reader.checkpoint(seen.size)
        root = note.parse_checkpoint_body(note.parse_note(text).body).root.hex() if text else ""
    if seen.root != root:
        raise AlteredError("its author saw another history", position=row.first, attack="transplanted")


def _verify_checkpoint(state: State, row: CommitRow) -> None:
    root = state.frontier.root()
    try:
        sealed = note.open_sealed(row.checkpoint, state.log_key)
    except LedgerError as error:
        raise AlteredError(
            f"the seal of its commit does not hold: {error}", position=row.first, attack="forged"
        ) from None
    if (sealed.origin, sealed.size, sealed.root) != (state.identity.origin, state.frontier.size, root):
        raise AlteredError("the seal of its commit covers another tree", position=row.first, attack="seal moved")
    state.root, state.checkpoint = root, row.checkpoint


def _apply(reader: Reader, state: State, author: str, position: int, stream: str, event: Event) -> None:
    """Fold the events that verification itself depends on, and check the index rows of those that have one."""
    if isinstance(event, KeyRegistered):
        check_registration(state.identity.origin, event, position)
        if author not in state.admins:
            raise AlteredError("registers a key, signed by one that may not", position=position, attack="forged")
        if position > GENESIS_ENTRIES and event.role == "log":
            raise TooNewError("a log key was rotated, which this soup cannot verify. Upgrade soup.")
        if event.role == "author":
            state.authors[event.key] = bytes.fromhex(event.public)
            state.admins |= {event.key} if event.admin else set()
    elif isinstance(event, CommandStarted):
        state.started += 1
        check_started(reader, position, event)
    elif isinstance(event, CommandFinished):
        state.finished += check_finished(reader, position, stream, event)
    elif position > 1:
        raise AlteredError("is a second genesis", position=position, attack="forged")


def _verify_end(
    reader: Reader, state: State, entries: Callable[[int], list[EntryRow]], awaited: Sequence[Checkpoint]
) -> None:
    """Nothing may be left over, and whatever repeats the entries must say the same."""
    size = state.frontier.size
    left = entries(1)
    if left:
        raise AlteredError("belongs to no commit", position=left[0][0], attack="inserted")
    if awaited:
        raise AlteredError(
            f"is missing: a head of {awaited[0].size} entries was seen before", position=size + 1, attack="truncated"
        )
    check_copies(reader, state.last, state.frontier, (state.started, state.finished))


def _conclude(state: State, trust: Identity | None, keys: Sequence[bytes], heads: Sequence[str]) -> Verification:
    identity = state.identity
    result = Verification(
        identity, state.frontier.size, state.commits, state.root, state.checkpoint, len(state.authors)
    )
    named = [name for name, key in (("author", identity.author_key), ("log", identity.log_key)) if key in keys]
    if trust is not None:
        result.trusted = ["ledger id", "log key", "root author key"]
    else:
        result.trusted = [f"root {name} key" if name == "author" else f"{name} key" for name in named]
        result.open_questions.append(
            "the ledger's id: the key fits, but it may sign other ledgers too; give the trust root"
            if "author" in named
            else "whose ledger it is: no trusted key was given that signs in it; give the trust root"
        )
    result.heads_checked = len(heads)
    return result
