"""Signing with a key in a file: Ed25519 (RFC 8032) and ECDSA over P-256 with SHA-256 (FIPS 186-5).

What is true here:

- A private key is read from a regular file of one's own that nobody else may read, never through a symlink; else it is
  refused, with the command that mends it. The same holds for soup's own keys (`ledger.keys`).
- The event carries the public key: whoever holds the ledger can assemble a Sigstore bundle and name the key.
- Ed25519 is signed by libsodium, whichever form its key comes in; `cryptography` reads PEM and signs P-256.

Not known here: which keys deserve trust.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from commands.errors import InputError, because, quoted
from commands.keyring import pem
from commands.signing import KEY_VARIABLE, Signing
from ledger import dsse
from ledger.errors import KeyUnavailableError
from ledger.events.document import DocumentSigned2

if TYPE_CHECKING:
    from commands.record import Session
    from ledger.commit import Signer

MAX_KEY_FILE = 16_384  # bytes


class LocalKey(NamedTuple):
    """A key that can sign. `key_id` stands in the envelope, `public` is PEM."""

    key_id: str
    public: str
    sign: Callable[[bytes], bytes]


def sign(session: Session, signing: Signing, payload_type: str, payload: bytes) -> DocumentSigned2:
    """Sign with a local key, or record that nobody signs. Raises InputError where the key cannot be used."""
    key = _OPENERS[signing.backend](session, signing.key)
    return DocumentSigned2(
        backend=signing.backend,  # type: ignore[arg-type] # a row of _OPENERS
        payload_sha256=sha256(payload).hexdigest(),
        payload_type=payload_type,
        key=key.key_id if key else None,
        public=key.public if key else None,
        signature=key.sign(dsse.pae(payload_type, payload)).hex() if key else None,
        bundle=None,
        identity=None,
    )


def _nobody(_session: Session, _path: Path | None) -> None:
    return None


def _ed25519(session: Session, path: Path | None) -> LocalKey:
    return _of_signer(session.context.signer("author") if path is None else _ed25519_file(session, path))


def _of_signer(signer: Signer) -> LocalKey:
    return LocalKey(signer.key_id, pem(signer.public).decode("ascii"), signer.sign)


def _ed25519_file(session: Session, path: Path) -> Signer:
    from ledger.keys import load, signer

    raw = read_private(path)
    if raw.lstrip().startswith(b"{"):
        try:
            return load(path, "author", session.context.passphrase)
        except KeyUnavailableError as error:
            raise InputError(str(error), f"--key and {KEY_VARIABLE} name the key to sign with") from None
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = _load_pem(session, path, raw)
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{quoted(path)} holds no Ed25519 key", "for an EC key over P-256 use --sign ecdsa-p256")
    return signer(key.private_bytes_raw())


def _ecdsa_p256(session: Session, path: Path | None) -> LocalKey:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if path is None:
        raise InputError("there is no key to sign with", f"name its file with --key or {KEY_VARIABLE}")
    key = _load_pem(session, path, read_private(path))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError(f"{quoted(path)} holds no EC key over P-256", "for an Ed25519 key use --sign ed25519")
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    der = key.public_key().public_bytes(serialization.Encoding.DER, spki)
    text = key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode("ascii")
    # The digest of the SubjectPublicKeyInfo, as RFC 6962 section 3.2 names a log's key.
    return LocalKey(sha256(der).hexdigest(), text, lambda message: key.sign(message, ec.ECDSA(hashes.SHA256())))


_OPENERS: dict[str, Callable[[Session, Path | None], LocalKey | None]] = {
    "unsigned": _nobody,
    "ed25519": _ed25519,
    "ecdsa-p256": _ecdsa_p256,
}


def read_private(path: Path) -> bytes:
    """Return the bytes of a private key's file. Raises InputError where others may read it, or it is not one's own."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise InputError(f"cannot open the key {quoted(path)}: {because(error)}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"the key {quoted(path)} is not a regular file")
        if status.st_uid != os.geteuid():
            raise InputError(f"the key {quoted(path)} belongs to another user (uid {status.st_uid})")
        if status.st_mode & 0o077:
            raise InputError(f"the key {quoted(path)} may be read by others", f"run: chmod 600 {path}")
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            raw = stream.read(MAX_KEY_FILE + 1)
    finally:
        os.close(descriptor)
    if len(raw) > MAX_KEY_FILE:
        raise InputError(f"{quoted(path)} is no private key: it has more than {MAX_KEY_FILE} bytes")
    return raw


def _load_pem(session: Session, path: Path, raw: bytes) -> Any:
    """Read PKCS#8 (RFC 5958) or SEC1 (RFC 5915); a locked one under the passphrase of the soup keys."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    passphrase = None
    if b"ENCRYPTED" in raw:
        passphrase = session.context.passphrase()
        if passphrase is None:
            raise InputError(
                f"{quoted(path)} is locked with a passphrase", "set SOUP_KEY_PASSPHRASE_FILE to a file that holds it"
            )
    try:
        return load_pem_private_key(raw, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        reason = "it is damaged, or the passphrase is wrong" if passphrase else "neither PKCS#8 nor SEC1, or damaged"
        raise InputError(f"{quoted(path)} holds no private key that soup can read: {reason}") from None
