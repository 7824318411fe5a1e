"""Laws of identity: what a genesis must be, and the small file that says whom to trust."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical, note
from ledger.commit import Signer
from ledger.errors import AlteredError, LedgerError, MalformedError, UnwritableError
from ledger.events import Event
from ledger.events.key import possession_message
from ledger.events.ledger import LedgerCreated
from ledger.identity import Identity, parse_trust_root, read_identity, trust_root
from ledger.reader import Reader
from ledger.verify import verify
from ledger.writer import open_or_found, register
from tests.simulator import COMMAND_A, FIRST_TICK, Saboteur, SmallLedger, declared, place, signer

AUTHOR, LOG, THIEF = signer("author"), signer("log"), signer("thief")


@pytest.fixture(scope="session")
def root(template: SmallLedger) -> bytes:
    return trust_root(template.identity)


def test_a_trust_root_reads_back(template: SmallLedger, root: bytes) -> None:
    assert parse_trust_root(root) == template.identity
    assert canonical.is_canonical(root.removesuffix(b"\n"))


def test_a_trust_root_holds_keys_that_the_tools_of_others_read(template: SmallLedger, root: bytes) -> None:
    content = json.loads(root)
    assert note.parse_verifier_key(content["log"]).public == template.log.public
    assert note.parse_verifier_key(content["author"]).public == template.author.public
    assert template.identity.ledger == content["ledger"]
    assert note.open_checkpoint(template.heads[-1], note.parse_verifier_key(content["log"])).size == 11


def _changed(root: bytes, **changes: object) -> bytes:
    return canonical.encode({**json.loads(root), **changes}) + b"\n"


def test_what_is_no_trust_root_is_refused(template: SmallLedger, root: bytes) -> None:
    identity = template.identity
    other = replace(identity, ledger="ab" * 32)
    for raw in (
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b"\xff\n",
        root + b"\n",
        root[:-2],
        b" " + root,
        root.replace(b":", b": ", 1),
        root + b" " * 70_000,
        _changed(root, more=1),
        _changed(root, format="soup-trust-root/2"),
        _changed(root, ledger="ab" * 32),
        _changed(root, ledger=identity.ledger.upper()),
        _changed(root, log=identity.author_verifier_key),
        _changed(root, author=identity.log_verifier_key),
        _changed(root, log=""),
        _changed(root, log=identity.log_verifier_key + "\n"),
        _changed(root, log=identity.log_verifier_key.replace("+", "+0", 1)),
        _changed(root, author=other.author_verifier_key.replace("soup", "soap")),
    ):
        with pytest.raises(MalformedError):
            parse_trust_root(raw)


@given(at=st.integers(0, 1000), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_trust_root_never_gives_the_same_trust(
    template: SmallLedger, root: bytes, at: int, bit: int
) -> None:
    at %= len(root)
    flipped = root[:at] + bytes([root[at] ^ 1 << bit]) + root[at + 1 :]
    with suppress(MalformedError):
        assert parse_trust_root(flipped) != template.identity


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_reading_a_trust_root_is_total(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_trust_root(raw)


@pytest.mark.parametrize("name", ["ledger", "origin", "author_key", "log_key"])
def test_a_trust_root_that_differs_in_anything_is_not_met(template: SmallLedger, name: str) -> None:
    value = getattr(template.identity, name)
    other = value[:-1] + ("0" if value[-1] != "0" else "1") if isinstance(value, str) else THIEF.public
    changes: dict[str, Any] = {name: other}
    with Reader.open_foreign(template.path) as reader, pytest.raises(AlteredError) as found:
        verify(reader, trust=replace(template.identity, **changes))
    assert (found.value.position, found.value.attack) == (1, "foreign key")


def test_the_identity_is_read_from_the_genesis_of_a_ledger_of_any_size(template: SmallLedger) -> None:
    with Reader.open_foreign(template.path) as reader:
        assert read_identity(reader) == template.identity


# A genesis that is none, sealed by whoever holds the keys that it names.


def _events(identity: Identity, *events: tuple[str, Event]) -> list[StoredEvent]:
    return place((f"ledger/{identity.ledger}", _created(identity)), *events)


def _created(identity: Identity, **changes: str) -> LedgerCreated:
    fields = {"ledger": identity.ledger, "origin": identity.origin, "soup_version": "0.1.0"}
    return LedgerCreated(**{**fields, **changes})


def _key(identity: Identity, role: str, holder: Signer, **changes: object) -> tuple[str, Event]:
    name = f"{identity.origin}/author" if role == "author" else identity.origin
    event = msgspec.structs.replace(register(identity.ledger, role, holder, name), **changes)
    return f"key/{role}-{holder.key_id}", event


def _genesis_without(identity: Identity) -> dict[str, Sequence[StoredEvent]]:
    author, log = _key(identity, "author", AUTHOR), _key(identity, "log", LOG)
    created = (f"ledger/{identity.ledger}", _created(identity))
    stolen = THIEF.sign(possession_message(identity.ledger, "log", LOG.public.hex())).hex()
    elsewhere = LOG.sign(possession_message("ab" * 32, "log", LOG.public.hex())).hex()
    as_author = LOG.sign(possession_message(identity.ledger, "author", LOG.public.hex())).hex()
    return {
        "a log key": place(created, author),
        "an author key": place(created, log),
        "anything": place(("run/1", declared(1)), ("run/2", declared(2)), ("run/3", declared(3))),
        "its first place": place(author, log, created),
        "two roles": place(created, author, _key(identity, "author", THIEF)),
        "modesty": place(created, author, log, ("run/1", declared(1))),
        "possession of the log key": place(created, author, _key(identity, "log", LOG, proof=stolen)),
        "possession in this ledger": place(created, author, _key(identity, "log", LOG, proof=elsewhere)),
        "possession in this role": place(created, author, _key(identity, "log", LOG, proof=as_author)),
        "the key's own id": place(created, author, _key(identity, "log", LOG, key=AUTHOR.key_id)),
        "the key's own name": place(
            created, author, _key(identity, "log", LOG, name=note.verifier_key(identity.origin, AUTHOR.public))
        ),
        "a name that is one": place(created, author, _key(identity, "log", LOG, name="x")),
        "the log's name": place(
            created, author, _key(identity, "log", LOG, name=note.verifier_key("other", LOG.public))
        ),
        "a public key on the curve": place(created, author, _key(identity, "log", LOG, public="00" * 32)),
    }


SOME = Identity("ab" * 32, f"soup-ledger/{'ab' * 32}", b"", b"")


@pytest.mark.parametrize("lacking", _genesis_without(SOME))
def test_a_genesis_is_refused_without(saboteur: Saboteur, lacking: str) -> None:
    ledger = saboteur.ledger
    events = _genesis_without(ledger.identity)[lacking]
    ledger.path.unlink()
    with saboteur.recorder() as recorder:
        recorder.found(events, command=COMMAND_A, now=FIRST_TICK)
    with pytest.raises(LedgerError):
        ledger.verify(trust=False)
    with pytest.raises(UnwritableError):
        ledger.open()


@pytest.mark.parametrize(("author", "log"), [(THIEF, LOG), (AUTHOR, THIEF), (THIEF, THIEF)])
def test_a_genesis_is_signed_by_the_very_keys_that_it_names(saboteur: Saboteur, author: Signer, log: Signer) -> None:
    ledger = saboteur.ledger
    events = saboteur.genesis(AUTHOR, LOG)
    ledger.path.unlink()
    with saboteur.recorder(author, log) as recorder:
        recorder.found(events, command=COMMAND_A, now=FIRST_TICK)
    with pytest.raises(AlteredError) as found:
        ledger.verify(trust=False)
    assert found.value.position == 1


def test_a_genesis_with_one_key_in_both_roles_is_refused(saboteur: Saboteur) -> None:
    """Everything else holds: whoever signs content must not be who orders it."""
    ledger = saboteur.ledger
    events = place(
        (f"ledger/{ledger.identity.ledger}", _created(ledger.identity)),
        _key(ledger.identity, "author", AUTHOR),
        _key(ledger.identity, "log", AUTHOR),
    )
    ledger.path.unlink()
    with saboteur.recorder(AUTHOR, AUTHOR) as recorder:
        recorder.found(events, command=COMMAND_A, now=FIRST_TICK)
    with pytest.raises(AlteredError):
        ledger.verify(trust=False)


@pytest.mark.parametrize("origin", ["soup-ledger/other", "soup-ledger", "example.com/log"])
def test_a_genesis_whose_origin_does_not_end_in_its_id_is_refused(ledger: SmallLedger, origin: str) -> None:
    """Everything else holds: without the id, two ledgers of one log key would share their checkpoints."""
    named = replace(ledger, identity=replace(ledger.identity, origin=origin))
    proved = replace(named.identity, ledger=origin.rpartition("/")[2])
    created = (f"ledger/{ledger.identity.ledger}", _created(named.identity))
    ledger.path.unlink()
    with Saboteur(named).recorder() as recorder:
        events = place(created, _key(proved, "author", AUTHOR), _key(proved, "log", LOG))
        recorder.found(events, command=COMMAND_A, now=FIRST_TICK)
    with pytest.raises(AlteredError):
        named.verify(trust=False)


def test_a_prefix_of_ones_own_stands_before_the_id(tmp_path: Path) -> None:
    writer, founded = open_or_found(
        tmp_path / "ledger.db",
        author=AUTHOR,
        log=LOG,
        heads_directory=tmp_path / "heads",
        clock=lambda: FIRST_TICK,
        command=COMMAND_A,
        version="0.1.0",
        prefix="example.com/soup",
    )
    writer.close()
    assert founded
    assert writer.identity.origin == f"example.com/soup/{writer.identity.ledger}"
    with Reader.open_foreign(tmp_path / "ledger.db") as reader:
        assert verify(reader, trust=writer.identity).size == 3
        assert parse_trust_root(trust_root(writer.identity)) == writer.identity


@pytest.mark.parametrize("prefix", ["a b", "a+b", "a\nb", "ä", "x" * 250])
def test_a_prefix_that_cannot_name_a_key_founds_nothing(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(LedgerError):
        open_or_found(
            tmp_path / "ledger.db",
            author=AUTHOR,
            log=LOG,
            heads_directory=tmp_path / "heads",
            clock=lambda: FIRST_TICK,
            command=COMMAND_A,
            version="0.1.0",
            prefix=prefix,
        )
    assert not (tmp_path / "ledger.db").exists() or (tmp_path / "ledger.db").stat().st_size == 0
