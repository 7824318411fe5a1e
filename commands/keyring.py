"""Public keys and heads from outside, in the forms that people hand over; hostile until parsed."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from pathlib import Path

from commands.errors import InputError, quoted
from commands.observe import read_small
from ledger import note
from ledger.errors import MalformedError
from ledger.identity import Identity, parse_trust_root

MAX_FILE = 65_536
MAX_CHECKPOINT = 65_536
# RFC 8410 section 4: SubjectPublicKeyInfo of an Ed25519 key is this prefix and the 32 bytes.
SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")
PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\s*([A-Za-z0-9+/=\s]+?)\s*-----END PUBLIC KEY-----\s*")


@dataclass
class Trust:
    """What the caller trusts: a trust root, or keys whose ledger is not known."""

    root: Identity | None = None
    keys: list[bytes] = field(default_factory=list)
    author_names: list[note.VerifierKey] = field(default_factory=list)


def read_trust(values: tuple[str, ...]) -> Trust:
    """Read `--key` values: a trust root file, a verifier key, 64 hex digits, or a file with one of these or a PEM.

    Raises InputError.
    """
    trust = Trust()
    for value in values:
        _read_one(value, trust)
    return trust


def read_checkpoint(path: Path) -> str:
    """Read a checkpoint seen earlier, as text."""
    try:
        text = read_small(path, MAX_CHECKPOINT).decode()
        note.parse_checkpoint_body(note.parse_note(text).body)
    except UnicodeDecodeError:
        raise InputError(f"{quoted(path)} is not a checkpoint: it is not UTF-8") from None
    except MalformedError as error:
        raise InputError(f"{quoted(path)} is not a checkpoint: {error}") from None
    return text


def pem(public: bytes) -> bytes:
    """Give a public key as PEM (RFC 8410)."""
    body = base64.b64encode(SPKI_PREFIX + public).decode("ascii")
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n".encode()


def _read_one(value: str, trust: Trust) -> None:
    if not _parse(value.encode("utf-8", "replace"), trust):
        raw = read_small(Path(value), MAX_FILE)
        if not _parse(raw, trust):
            raise InputError(
                f"{quoted(value)} holds no public key",
                "give a trust root (soup keys export --trust-root), a verifier key, 64 hex digits or a PEM",
            )


def _parse(raw: bytes, trust: Trust) -> bool:
    text = raw.decode("utf-8", "replace").strip()
    if text.startswith("{"):
        try:
            trust.root = parse_trust_root(raw)
        except MalformedError as error:
            raise InputError(str(error)) from None
        trust.keys += [trust.root.author_key, trust.root.log_key]
        return True
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        trust.keys.append(bytes.fromhex(text))
        return True
    if match := PEM.fullmatch(text):
        trust.keys.append(_spki(match[1]))
        return True
    try:
        key = note.parse_verifier_key(text)
    except MalformedError:
        return False
    trust.keys.append(key.public)
    if key.name.endswith("/author"):
        trust.author_names.append(key)
    return True


def _spki(body: str) -> bytes:
    try:
        der = base64.b64decode("".join(body.split()), validate=True)
    except binascii.Error:
        raise InputError("the PEM holds no base64") from None
    if len(der) != len(SPKI_PREFIX) + 32 or not der.startswith(SPKI_PREFIX):
        raise InputError("the PEM holds no Ed25519 public key", "soup signs with Ed25519 (RFC 8032)")
    return der[len(SPKI_PREFIX) :]
