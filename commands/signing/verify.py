"""Verifying what somebody signed: DSSE envelopes and Sigstore bundles, under keys or under an identity.

What is true here:

- A verifier gives the very bytes that were verified, or raises. It never says "valid" without a key or an identity that the
  caller trusts: a key id, a hint or a certificate inside of the file only helps to find the right one.
- JSON with a duplicate key is refused before anything is looked at: parsers disagree on which of the two counts.
- A trusted key is 32 bytes (Ed25519), or the DER of a SubjectPublicKeyInfo (EC over P-256, RFC 5480).
- Keyless needs identity *and* issuer: an address means nothing without the provider that vouches for it. The public
  instance's trust root is the one that came with the library; nothing is fetched unless that is asked for.

Not known here: what payloads say, and which subjects, types and predicates are wanted (`commands.attest_verify`).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from commands.errors import AlteredEvidence, Incomplete, InputError, quoted
from commands.keyring import PEM, read_trust
from commands.observe import read_small
from ledger import dsse
from ledger.errors import AlteredError, MalformedError
from ledger.keys import key_id

if TYPE_CHECKING:
    from sigstore.models import TrustedRoot

MAX_ENVELOPE = 64 * 1024 * 1024  # bytes
MAX_TRUSTED_ROOT = 1_048_576  # bytes
BUNDLE: Final = "application/vnd.dev.sigstore.bundle"
ED25519_SIZE: Final = 32
# RFC 5480 section 2.1.1: SubjectPublicKeyInfo of a key over P-256 is this prefix and the uncompressed point.
P256_PREFIX: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
P256_SIZE: Final = len(P256_PREFIX) + 65
INSTANCES: Final = {False: "https://tuf-repo-cdn.sigstore.dev", True: "https://tuf-repo-cdn.sigstage.dev"}


@dataclass(frozen=True, slots=True)
class Verified:
    """What holds: the payload's type and bytes, as they were signed, and by whom in words."""

    payload_type: str
    payload: bytes
    signer: str


def trusted_keys(values: Sequence[str]) -> list[bytes]:
    """Read `--key` values: all that `commands.keyring` reads, and PEM files with an EC key over P-256. Raises InputError."""
    found: list[bytes] = []
    for value in values:
        try:
            found += read_trust((value,)).keys
        except InputError:
            point = _p256_file(value)
            if point is None:
                raise
            found.append(point)
    return found


def verify_keyed(file: Path, trusted: Sequence[bytes]) -> Verified:
    """Verify an envelope, or a bundle of a key, under one of the `trusted` keys.

    Raises InputError for what is neither, AlteredEvidence where no trusted key signed these bytes, Incomplete where nobody
    signed, no key was given, or an identity is what signed.
    """
    document = _read(file)
    envelope = _envelope(file, document)
    if not envelope.signatures:
        raise Incomplete(f"{quoted(file)} is unsigned: its statement is only worth what the ledger says of it")
    if _is_keyless(document):
        raise Incomplete(
            f"{quoted(file)} is signed by an identity, not by a key", "say whom you trust with --identity and --issuer"
        )
    if not trusted:
        raise Incomplete("no trusted key was given, so this cannot be called valid", "give one with --key")
    for public in trusted:
        if _holds(public, envelope):
            return Verified(envelope.payload_type, envelope.payload, f"key {_name(public)}")
    raise AlteredEvidence(f"{quoted(file)}: no signature of the envelope holds under a trusted key")


def verify_keyless(
    file: Path,
    identity: str | None,
    issuer: str | None,
    trusted_root: Path | None = None,
    *,
    staging: bool = False,
    offline: bool = True,
) -> Verified:
    """Verify a bundle whose certificate names `identity`, as `issuer` vouched for it.

    `trusted_root` is a file with a trusted root or a client trust configuration; without it the public instance's is used
    (with `staging` that one's), which comes with the library and is refreshed over the network only if not `offline`.
    Raises InputError, AlteredEvidence, Incomplete where identity or issuer is missing or a key is what signed.
    """
    from commands.signing.sigstore import hint_for, reason_of, told_in_one_line

    document = _read(file)
    if not _is_keyless(document):
        raise Incomplete(
            f"{quoted(file)} is not signed by an identity", "if it is signed by a key, give that with --key"
        )
    if not identity or not issuer:
        raise Incomplete(
            "no trusted identity was given, so this cannot be called valid", "give both --identity and --issuer"
        )
    with told_in_one_line("cannot verify with sigstore"):
        from sigstore.models import Bundle
        from sigstore.verify import Verifier, policy

        verifier = Verifier(trusted_root=_trusted_root(trusted_root, staging=staging, offline=offline))
    try:
        bundle = Bundle.from_json(json.dumps(document))
        payload_type, payload = verifier.verify_dsse(bundle, policy.Identity(identity=identity, issuer=issuer))
    except Exception as error:  # noqa: BLE001 - a bundle is hostile: whatever it raises in the library, it does not hold
        raise AlteredEvidence(f"{quoted(file)} does not hold: {reason_of(error)}", hint_for(error)) from None
    return Verified(payload_type, payload, f"identity {identity}, as {issuer} vouched for it")


def is_keyless(file: Path) -> bool:
    """Tell whether an identity (a certificate) signed, so that `verify_keyless` is the one to ask. Raises InputError."""
    return _is_keyless(_read(file))


def _read(file: Path) -> dict[str, Any]:
    """Parse JSON from outside: UTF-8, no duplicate key, one object."""
    try:
        document = json.loads(read_small(file, MAX_ENVELOPE).decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{quoted(file)} is no DSSE envelope and no Sigstore bundle: {error}") from None
    if not isinstance(document, dict):
        raise InputError(f"{quoted(file)} is no DSSE envelope and no Sigstore bundle: not a JSON object")
    return document


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _is_bundle(document: Mapping[str, Any]) -> bool:
    return str(document.get("mediaType", "")).startswith(BUNDLE)


def _is_keyless(document: Mapping[str, Any]) -> bool:
    material = document.get("verificationMaterial")
    named = material if isinstance(material, dict) else {}
    return _is_bundle(document) and ("certificate" in named or "x509CertificateChain" in named)


def _envelope(file: Path, document: dict[str, Any]) -> dsse.Envelope:
    """Give the envelope itself, or the one inside of a bundle. What is signed is base64 in it, so its layout is free."""
    try:
        if not _is_bundle(document):
            return dsse.decode(json.dumps(document).encode(), max_size=2 * MAX_ENVELOPE)
        if "dsseEnvelope" not in document:
            raise InputError(f"{quoted(file)} is a Sigstore bundle of a bare signature, not of a statement")
        return dsse.decode(json.dumps(document["dsseEnvelope"]).encode(), max_size=2 * MAX_ENVELOPE)
    except (MalformedError, RecursionError) as error:
        raise InputError(f"{quoted(file)} is no DSSE envelope: {error}") from None


def _holds(public: bytes, envelope: dsse.Envelope) -> bool:
    """Tell whether one signature of the envelope is this key's."""
    if len(public) == ED25519_SIZE:
        try:
            dsse.verify(envelope, [public])
        except AlteredError:
            return False
        return True
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public[len(P256_PREFIX) :])
    message = dsse.pae(envelope.payload_type, envelope.payload)
    for signature in envelope.signatures:
        try:
            point.verify(signature.sig, message, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            continue
        return True
    return False


def _name(public: bytes) -> str:
    return key_id(public) if len(public) == ED25519_SIZE else sha256(public).hexdigest()


def _p256_file(value: str) -> bytes | None:
    """Read a PEM file with a key over P-256; None where it holds none, or its point is not on the curve."""
    try:
        match = PEM.fullmatch(read_small(Path(value), MAX_TRUSTED_ROOT).decode("utf-8", "replace").strip())
        der = base64.b64decode("".join(match[1].split()), validate=True) if match else b""
    except (InputError, binascii.Error):
        return None
    if len(der) != P256_SIZE or not der.startswith(P256_PREFIX):
        return None
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), der[len(P256_PREFIX) :])
    except ValueError:
        return None
    return der


def _trusted_root(path: Path | None, *, staging: bool, offline: bool) -> TrustedRoot:
    from sigstore.models import ClientTrustConfig, TrustedRoot
    from sigstore_models.trustroot import v1

    if path is not None:
        document = _read_trusted_root(path)
        document = document.get("trustedRoot", document)  # a client trust configuration has one inside
        try:
            return TrustedRoot(v1.TrustedRoot.from_json(json.dumps(document)))
        except Exception:  # noqa: BLE001 - pydantic, cryptography, sigstore: each has errors of its own
            raise InputError(
                f"{quoted(path)} is no trusted root of Sigstore, nor a client trust configuration"
            ) from None
    if not offline:
        return (ClientTrustConfig.staging() if staging else ClientTrustConfig.production()).trusted_root
    return TrustedRoot(v1.TrustedRoot.from_json(_shipped_root(INSTANCES[staging])))


def _shipped_root(url: str) -> bytes:
    """Give the trust root inside of the library. Its own offline mode takes an unverified copy from a cache directory."""
    from importlib.resources import files
    from urllib.parse import quote

    return (files("sigstore") / "_store" / quote(url, safe="") / "trusted_root.json").read_bytes()


def _read_trusted_root(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(read_small(path, MAX_TRUSTED_ROOT), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{quoted(path)} is no trusted root of Sigstore: {error}") from None
    if not isinstance(document, dict):
        raise InputError(f"{quoted(path)} is no trusted root of Sigstore: not a JSON object")
    return document
