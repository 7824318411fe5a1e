"""Forgers who hold keys: what each of them cannot do, and what only a trust root or a head seen before can tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from ledger import canonical, dsse, note, tree
from ledger.commit import PAYLOAD_TYPE
from ledger.entry import content_bytes, leaf, payload_digest
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
    Saboteur,
    Sealed,
    SmallLedger,
    declared,
    fork,
    place,
    signer,
)

BODY = b'{"role":"data","sha256":"%b"}' % (b"ab" * 32)


# With the log's key: what a corrupt log cannot do to its authors.


def regrouped(commits: list[Sealed]) -> list[Sealed]:
    """Split an author's commit in two under the same envelope."""
    whole = commits[2]
    return [
        *commits[:2],
        replace(whole, entries=whole.entries[:1]),
        replace(whole, entries=whole.entries[1:]),
        *commits[3:],
    ]


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
    "changes when it logged a commit": (within(lambda c: replace(c, logged=c.logged + 1)), 8, "transplanted"),
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


# What an author has seen.


def signed(
    saboteur: Saboteur,
    seen: int | None = None,
    root: bytes | None = None,
    *,
    previous: int | None = -1,
    command: str = COMMAND_B,
    salt: bytes = bytes(32),
    body: bytes = BODY,
    stream: str = "run/seen",
    overstated: int = 0,
    entries: int = 1,
    payload_type: str = PAYLOAD_TYPE,
    spelling: Callable[[bytes], bytes] = bytes,
) -> Sealed:
    """A commit that its author signed over whatever one likes, while looking at a head of `seen` entries."""
    commits, author, kind = saboteur.commits(), saboteur.ledger.author, declared(1).TYPE
    seen = SIZE if seen is None else seen
    payload, time = payload_digest(salt, body), commits[-1].logged
    content = content_bytes(stream, 1, kind, time, command, author.key_id, payload.hex(), len(body) + overstated)
    statement = {
        "author": author.key_id,
        "command": command,
        "count": entries,
        "ledger": saboteur.ledger.identity.ledger,
        "previous": None if previous is None else sha256(commits[previous].envelope).hexdigest(),
        "root": tree.root([leaf(content)] * entries).hex(),
        "seen": {"root": (root_of(saboteur.ledger.heads[-1]) if root is None else root).hex(), "size": seen},
    }
    envelope = dsse.encode(dsse.sign(payload_type, spelling(canonical.encode(statement)), author.key_id, author.sign))
    rows = ((stream, 1, kind, time, salt, body),) * entries
    return Sealed(bytes.fromhex(author.key_id), command, time, envelope, rows, overstated)


def root_of(head: str) -> bytes:
    return note.parse_checkpoint_body(note.parse_note(head).body).root


SIZES = (3, 4, 7, 9, 10, 11)


@pytest.mark.parametrize("which", range(len(SIZES)))
def test_an_author_may_have_seen_any_head_that_the_log_had(saboteur: Saboteur, which: int) -> None:
    head = root_of(saboteur.ledger.heads[which])
    saboteur.relog([*saboteur.commits(), signed(saboteur, SIZES[which], head)])
    assert saboteur.ledger.verify().size == SIZE + 1


@pytest.mark.parametrize("which", range(len(SIZES)))
def test_an_author_who_saw_another_root_proves_another_history(saboteur: Saboteur, which: int) -> None:
    saboteur.relog([*saboteur.commits(), signed(saboteur, SIZES[which], bytes(32))])
    with pytest.raises(AlteredError, match="another history") as found:
        saboteur.ledger.verify()
    assert (found.value.position, found.value.attack) == (SIZE + 1, "transplanted")


@pytest.mark.parametrize(
    ("seen", "attack"), [(0, "transplanted"), (5, "transplanted"), (12, "forged"), (2**40, "forged")]
)
def test_an_author_who_saw_a_head_that_never_was_is_found(saboteur: Saboteur, seen: int, attack: str) -> None:
    root = tree.EMPTY_ROOT if seen == 0 else root_of(saboteur.ledger.heads[-1])
    saboteur.relog([*saboteur.commits(), signed(saboteur, seen, root)])
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify()
    assert (found.value.position, found.value.attack) == (SIZE + 1, attack)


@pytest.mark.parametrize("previous", [None, 0, -2])
def test_an_author_whose_commit_follows_another_than_their_last_is_found(
    saboteur: Saboteur, previous: int | None
) -> None:
    saboteur.relog([*saboteur.commits(), signed(saboteur, previous=previous)])
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify()
    assert (found.value.position, found.value.attack) == (SIZE + 1, "reordered")


FORMLESS: dict[str, tuple[dict[str, Any], str]] = {
    "a statement of another type": ({"payload_type": "application/vnd.in-toto+json"}, "forged"),
    "a statement in another spelling": ({"spelling": lambda raw: raw.replace(b":", b": ", 1)}, "forged"),
    "a statement with a field more": ({"spelling": lambda raw: raw.replace(b"{", b'{"Z":1,', 1)}, "forged"),
    "a statement that is none": ({"spelling": lambda _: b"[]"}, "forged"),
    "no entry": ({"entries": 0}, "edited"),
    "a command id that is none": ({"command": "x"}, "edited"),
    "a command id with a quote": ({"command": 'x","format":1,"payload":"'}, "edited"),
    "a stream with a quote": ({"stream": 'run/x","time":"'}, "forged"),
    "a short salt": ({"salt": bytes(31)}, "payload edited"),
    "a long salt": ({"salt": bytes(33)}, "payload edited"),
    "no salt": ({"salt": b""}, "payload edited"),
    "a size that is too large": ({"overstated": 1}, "payload edited"),
    "a size that is negative": ({"overstated": -1000}, "payload edited"),
    "a payload that is no event": ({"body": b"{}"}, "forged"),
    "a payload that is no JSON": ({"body": b"\xff"}, "forged"),
    "a payload in another spelling": ({"body": BODY.replace(b":", b": ")}, "forged"),
    "a payload with a key twice": ({"body": BODY.replace(b"{", b'{"role":"data",')}, "forged"),
    "a payload with a field more": ({"body": BODY.replace(b"{", b'{"more":1,')}, "forged"),
    "a payload with its keys out of order": ({"body": b'{"sha256":"%b","role":"data"}' % (b"ab" * 32)}, "forged"),
}


@pytest.mark.parametrize(("form", "attack"), FORMLESS.values(), ids=FORMLESS)
def test_what_is_signed_and_sealed_and_yet_not_of_the_form_is_found(
    saboteur: Saboteur, form: dict[str, Any], attack: str
) -> None:
    """Author and log conspire: every signature holds."""
    saboteur.relog([*saboteur.commits(), signed(saboteur, **form)])
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify()
    assert (found.value.position, found.value.attack) == (SIZE + 1, attack)


def test_what_is_signed_and_sealed_and_of_the_form_is_not_found(saboteur: Saboteur) -> None:
    saboteur.relog([*saboteur.commits(), signed(saboteur)])
    assert saboteur.ledger.verify().size == SIZE + 1


def test_a_log_cannot_drop_the_newest_commit_of_one_author_that_another_has_seen(saboteur: Saboteur) -> None:
    ledger, second = saboteur.ledger, signer("second")
    event = register(ledger.identity.ledger, "author", second, f"{ledger.identity.origin}/author")
    with saboteur.recorder() as recorder:
        recorder.record(place((f"key/{second.key_id}", event)), command=COMMAND_A)
        recorder.record(place(("run/dropped", declared(1))), command=COMMAND_A)
    with saboteur.recorder(author=second) as recorder:
        recorder.record(place(("run/second", declared(1))), command=COMMAND_B)
    commits = saboteur.commits()
    saboteur.relog([*commits[:-2], commits[-1]])
    with pytest.raises(AlteredError, match="future") as found:
        ledger.verify()
    assert (found.value.position, found.value.attack) == (SIZE + 2, "forged")


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
    fork(saboteur)
    with Reader.open_foreign(ledger.path) as reader:
        forked = reader.checkpoint(SIZE)
    key = note.parse_verifier_key(ledger.identity.log_verifier_key)
    here, there = note.open_checkpoint(forked, key), note.open_checkpoint(ledger.heads[-1], key)
    assert here.size == there.size
    assert here.root != there.root


def test_a_fork_is_named_at_the_lowest_head_that_it_contradicts(saboteur: Saboteur) -> None:
    fork(saboteur)
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


def test_a_stream_whose_versions_run_against_the_positions_is_found(saboteur: Saboteur) -> None:
    late, early = (place(("run/x", declared(1)), version=version) for version in (2, 1))
    with saboteur.recorder() as recorder:
        recorder.record([*late, *early], command=COMMAND_A)
    with pytest.raises(AlteredError) as found:
        saboteur.ledger.verify()
    assert found.value.attack == "reordered"
