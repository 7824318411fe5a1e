"""Ed25519 signing keys in files (RFC 8032), plain or under a passphrase (argon2id, RFC 9106).

What is true here:

- A secret key is written once, mode 0600, never through a symlink, and never over an existing file.
- A key file that others may read, that is not ours, or that is no regular file is refused, with the command that mends it.
- Author and log have distinct keys. Under a passphrase both files share one salt, so that a command pays argon2id once.

Not known here: which ledger a key signs for, and whether it still may.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec
from nacl import bindings, exceptions

from ledger import canonical
from ledger.commit import Signer
from ledger.errors import KeyUnavailableError, NotCanonicalError
from ledger.events.base import Hex32

Role = Literal["author", "log"]
ROLES: tuple[Role, ...] = ("author", "log")
MAX_KEY_FILE = 4096
# libsodium's INTERACTIVE limits: what a command may cost each time. A file may ask for more, but not for the machine.
OPSLIMIT, MEMLIMIT = 2, 64 * 1024 * 1024
MIN_MEMLIMIT = 8192
MAX_OPSLIMIT, MAX_MEMLIMIT = 8, 1024 * 1024 * 1024


class Kdf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of argon2id: salt in hex, passes, bytes of memory."""

    memlimit: int
    opslimit: int
    salt: str


class KeyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The stored form: `secret` is the seed in hex, or a secretbox of it when `kdf` is given."""

    format: Literal["soup-key/1"]
    kdf: Kdf | None
    public: Hex32
    role: Role
    secret: str


_decoder = msgspec.json.Decoder(KeyFile)


def key_id(public: bytes) -> str:
    """SHA-256 of the public key, hex."""
    return sha256(public).hexdigest()


def signer(seed: bytes) -> Signer:
    """Make a signer from a 32-byte seed."""
    public, secret = bindings.crypto_sign_seed_keypair(seed)
    return Signer(public, key_id(public), lambda message: bindings.crypto_sign(message, secret)[:64])


def generate_pair(directory: Path, passphrase: bytes | None) -> None:
    """Make the author's and the log's key in `directory`; a key that is already there stays.

    Raises KeyUnavailableError where a file cannot be written; nothing half-written stays behind.
    """
    kdf = None
    if passphrase is not None:
        kdf = Kdf(MEMLIMIT, OPSLIMIT, os.urandom(bindings.crypto_pwhash_SALTBYTES).hex())
    for role in ROLES:
        path = directory / f"{role}.key"
        if not os.path.lexists(path):
            _create(path, _wrap(role, os.urandom(32), kdf, passphrase))


def load(path: Path, role: Role, passphrase: Callable[[], bytes | None]) -> Signer:
    """Open the key at `path`; `passphrase` is asked only if it is locked. Raises KeyUnavailableError."""
    file = _read(path)
    if file.role != role:
        raise KeyUnavailableError(f"{path} holds the {file.role} key, not the {role} key")
    secret = _unhex(path, file.secret)
    if file.kdf is not None:
        given = passphrase()
        if given is None:
            raise KeyUnavailableError(
                f"{path} is locked with a passphrase; set SOUP_KEY_PASSPHRASE_FILE to a file that holds it"
            )
        secret = _unlock(path, file.kdf, given, secret)
    if len(secret) != bindings.crypto_sign_SEEDBYTES:
        raise KeyUnavailableError(f"{path} is damaged: the seed has {len(secret)} bytes, not 32")
    made = signer(secret)
    if made.public.hex() != file.public:
        raise KeyUnavailableError(f"{path} is damaged: secret and public key do not belong together")
    return made


def public_of(path: Path) -> bytes:
    """Give the public key that the file at `path` names; no passphrase is needed."""
    return bytes.fromhex(_read(path).public)


def is_locked(path: Path) -> bool:
    """Tell whether the file at `path` needs a passphrase."""
    return _read(path).kdf is not None


def _wrap(role: Role, seed: bytes, kdf: Kdf | None, passphrase: bytes | None) -> KeyFile:
    public, _ = bindings.crypto_sign_seed_keypair(seed)
    secret = seed
    if kdf is not None and passphrase is not None:
        nonce = os.urandom(bindings.crypto_secretbox_NONCEBYTES)
        secret = nonce + bindings.crypto_secretbox(seed, nonce, _derive(passphrase, kdf))
    return KeyFile("soup-key/1", kdf, public.hex(), role, secret.hex())


def _create(path: Path, file: KeyFile) -> None:
    """Write in full under another name, then link: the key is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(temporary, flags, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(canonical.encode(file) + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.link(temporary, path)
        finally:
            temporary.unlink()
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        return  # another process made it first
    except OSError as error:
        raise KeyUnavailableError(f"cannot write the key {path}: {error.strerror}") from None


def _read(path: Path) -> KeyFile:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyUnavailableError(f"cannot open the key {path}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise KeyUnavailableError(f"the key {path} is not a regular file")
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise KeyUnavailableError(f"the key {path} belongs to another user (uid {status.st_uid})")
        if status.st_mode & 0o077:
            raise KeyUnavailableError(f"the key {path} may be read by others; run: chmod 600 {path}")
        raw = stream.read(MAX_KEY_FILE + 1)
    try:
        canonical.decode(raw.removesuffix(b"\n"), max_bytes=MAX_KEY_FILE)
        return _decoder.decode(raw)
    except (NotCanonicalError, msgspec.DecodeError):
        raise KeyUnavailableError(f"{path} is no soup key file, or it is damaged") from None


def _unlock(path: Path, kdf: Kdf, passphrase: bytes, box: bytes) -> bytes:
    if len(_unhex(path, kdf.salt)) != bindings.crypto_pwhash_SALTBYTES:
        raise KeyUnavailableError(f"{path} is damaged: the salt does not have {bindings.crypto_pwhash_SALTBYTES} bytes")
    if not (1 <= kdf.opslimit <= MAX_OPSLIMIT and MIN_MEMLIMIT <= kdf.memlimit <= MAX_MEMLIMIT):
        raise KeyUnavailableError(f"{path} asks for more work or memory than a passphrase may cost")
    key = _derive(passphrase, kdf)
    size = bindings.crypto_secretbox_NONCEBYTES
    try:
        return bytes(bindings.crypto_secretbox_open(box[size:], box[:size], key))
    except (exceptions.CryptoError, exceptions.TypeError, exceptions.ValueError):
        raise KeyUnavailableError(f"wrong passphrase for {path}") from None


@lru_cache(maxsize=2)
def _derive(passphrase: bytes, kdf: Kdf) -> bytes:
    return bytes(
        bindings.crypto_pwhash_alg(
            bindings.crypto_secretbox_KEYBYTES,
            passphrase,
            bytes.fromhex(kdf.salt),
            kdf.opslimit,
            kdf.memlimit,
            bindings.crypto_pwhash_ALG_ARGON2ID13,
        )
    )


def _unhex(path: Path, text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise KeyUnavailableError(f"{path} is damaged: a field is not hex") from None
