"""Whose ledger it is: the genesis commit's claims, and the trust root that an auditor holds against them.

A trust root is ledger id, log key and root author key. It is one small file; without one a verification can find what is
wrong, but never say that all is well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec
from nacl import bindings, exceptions

from ledger import canonical, commit, note
from ledger.errors import AlteredError, LedgerError, MalformedError
from ledger.events.base import Hex32
from ledger.events.key import KeyRegistered, possession_message
from ledger.events.ledger import LedgerCreated
from ledger.keys import key_id
from ledger.reader import Reader

GENESIS_ENTRIES = 3
MAX_TRUST_ROOT = 65_536


@dataclass(frozen=True, slots=True)
class Identity:
    """What the genesis commit says, once its author's signature and both proofs of possession hold."""

    ledger: str
    origin: str
    author_key: bytes
    log_key: bytes

    @property
    def log_verifier_key(self) -> str:
        """The log key as C2SP tools want it."""
        return note.verifier_key(self.origin, self.log_key)

    @property
    def author_verifier_key(self) -> str:
        """The root author's key in the same form; its name binds it to this ledger."""
        return note.verifier_key(f"{self.origin}/author", self.author_key)


class TrustRoot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file that `soup keys export --trust-root` writes, as canonical JSON and a newline."""

    author: str
    format: Literal["soup-trust-root/1"]
    ledger: Hex32
    log: str


def trust_root(identity: Identity) -> bytes:
    """Write down whom to trust for this ledger."""
    root = TrustRoot(identity.author_verifier_key, "soup-trust-root/1", identity.ledger, identity.log_verifier_key)
    return canonical.encode(root) + b"\n"


def parse_trust_root(raw: bytes) -> Identity:
    """Read a trust root file; total: a whole value or MalformedError."""
    canonical.decode(raw.removesuffix(b"\n"), max_bytes=MAX_TRUST_ROOT)
    try:
        root = msgspec.json.decode(raw, type=TrustRoot)
    except msgspec.DecodeError as error:
        raise MalformedError(f"not a trust root: {error}") from None
    log, author = note.parse_verifier_key(root.log), note.parse_verifier_key(root.author)
    if author.name != f"{log.name}/author" or not log.name.endswith(f"/{root.ledger}"):
        raise MalformedError("not a trust root: its keys are not named for its ledger")
    return Identity(root.ledger, log.name, author.public, log.public)


def read_identity(reader: Reader) -> Identity:
    """Read and check the genesis commit. Raises AlteredError where it is not what a genesis must be."""
    first = reader.execute("SELECT min(rowid) FROM entries").fetchone()[0]
    if first != 1:
        raise AlteredError("the genesis entry is missing", position=1, attack="missing")
    records = list(reader.records(1, GENESIS_ENTRIES))
    if len(records) != GENESIS_ENTRIES:
        raise AlteredError("the genesis commit is missing", position=1, attack="missing")
    created, *keys = (record.event() for record in records)
    if not isinstance(created, LedgerCreated):
        raise AlteredError("the first entry is not ledger.created", position=1, attack="forged")
    by_role = {key.role: key for key in keys if isinstance(key, KeyRegistered)}
    if set(by_role) != {"author", "log"}:
        raise AlteredError("genesis does not register one author and one log key", position=2, attack="forged")
    for position, key in enumerate(keys, 2):
        if isinstance(key, KeyRegistered):
            check_registration(created.origin, key, position)
    author, log = bytes.fromhex(by_role["author"].public), bytes.fromhex(by_role["log"].public)
    if author == log or not created.origin.endswith(f"/{created.ledger}"):
        raise AlteredError("genesis gives author and log the same key, or an origin without the id", position=1)
    identity = Identity(created.ledger, created.origin, author, log)
    _check_signatures(reader, identity)
    return identity


def check_registration(origin: str, key: KeyRegistered, position: int) -> None:
    """Demand that a registered key has signed for its role in this ledger, and is named by its own digest and the origin."""
    public, ledger = bytes.fromhex(key.public), origin.rpartition("/")[2]
    try:
        named = note.parse_verifier_key(key.name)
    except MalformedError as error:
        raise AlteredError(f"a registered key's name is no verifier key: {error}", position=position) from None
    at_home = named.name == origin if key.role == "log" else named.name.startswith(f"{origin}/")
    if key.key != key_id(public) or named.public != public or not at_home:
        raise AlteredError("a registered key's id or name is not that of its public key", position=position)
    try:
        bindings.crypto_sign_open(bytes.fromhex(key.proof) + possession_message(ledger, key.role, key.public), public)
    except exceptions.BadSignatureError:
        raise AlteredError("a registered key has not proved possession", position=position, attack="forged") from None


def _check_signatures(reader: Reader, identity: Identity) -> None:
    row = next(reader.commits())
    author = key_id(identity.author_key)
    try:
        commit.open_statement(row.envelope, author, identity.author_key)
        sealed = note.open_checkpoint(row.checkpoint, note.parse_verifier_key(identity.log_verifier_key))
    except LedgerError as error:
        raise AlteredError(f"the genesis commit is not signed by its keys: {error}", position=1) from None
    if (row.first, row.size, sealed.size) != (1, GENESIS_ENTRIES, GENESIS_ENTRIES):
        raise AlteredError("the genesis commit does not hold exactly genesis and two keys", position=1)
