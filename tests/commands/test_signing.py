"""Signing with keys, and verifying what others signed: checked with `cryptography` and the openssl program."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from commands.attest_verify import read_statement, summary, verified_statement
from commands.context import Context
from commands.errors import AlteredEvidence, CommandError, Incomplete, InputError, UsageProblem
from commands.record import Session, bracket
from commands.signing import BACKENDS, Signing, from_options, sign, signing_options
from commands.signing.local import _OPENERS, read_private
from commands.signing.verify import is_keyless, trusted_keys, verify_keyed
from ledger import dsse
from ledger.events.document import DocumentSigned2
from projections.attestation.envelope import bundle, envelope
from tests.runner import A, B, Soup, digest

IN_TOTO = "application/vnd.in-toto+json"
PASSPHRASE = b"correct horse"
PREDICATE = "https://example.org/predicate"


def payload_of(**changes: Any) -> bytes:
    """A statement about a file with the content `weights`."""
    subject = [{"name": "model", "digest": {"sha256": digest("weights")}}]
    document = {"_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": PREDICATE}
    return json.dumps({**document, "predicate": {}, **changes}).encode()


PAYLOAD = payload_of()
P256 = ec.derive_private_key(7, ec.SECP256R1())
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8, lock: bytes | None = None) -> bytes:
    encryption: KeySerializationEncryption = BestAvailableEncryption(lock) if lock else NoEncryption()
    raw: bytes = key.private_bytes(Encoding.PEM, form, encryption)
    return raw


def public_pem(key: Any) -> bytes:
    raw: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return raw


def private_file(soup: Soup, content: bytes, mode: int = 0o600, name: str = "signing.key") -> Path:
    path = soup.write(name, content)
    path.chmod(mode)
    return path


@contextmanager
def at_work(soup: Soup) -> Iterator[Session]:
    """A recorded command of this user, from the inside."""
    with mock.patch.dict(os.environ, soup.clean_environ(), clear=True):
        context = Context.from_environment()
        with bracket(context, "attest emit", ["soup"], exit_code_of=lambda _: 1) as session:
            yield session


def signed(soup: Soup, backend: str, key: Path | None = None, payload: bytes = PAYLOAD) -> DocumentSigned2:
    """Sign, record, and give the event as the ledger has it."""
    with at_work(soup) as session:
        event = sign(session, Signing(backend, key), IN_TOTO, payload)
        session.append([(f"document/{event.payload_sha256}", event)])
    return soup.events(DocumentSigned2)[-1]


def openssl_verifies(soup: Soup, event: DocumentSigned2, message: bytes) -> bool:
    assert event.public is not None
    assert event.signature is not None
    soup.write("public.pem", event.public)
    soup.write("message", message)
    soup.write("signature", bytes.fromhex(event.signature))
    how = ["-rawin"] if event.backend == "ed25519" else ["-rawin", "-digest", "sha256"]
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-in", "message", *how]
    done = subprocess.run([*command, "-sigfile", "signature"], cwd=soup.work, capture_output=True, check=False)
    return done.returncode == 0


def forms_of_keys() -> dict[str, tuple[str, bytes | None]]:
    """Every form in which a signing key comes: its backend, and its file's bytes (None: soup's own key)."""
    sec1 = pem(P256, PrivateFormat.TraditionalOpenSSL)
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    return {
        "soup's own": ("ed25519", None),
        "ed25519 PKCS#8": ("ed25519", pem(ED25519)),
        "ed25519 PKCS#8, locked": ("ed25519", pem(ED25519, lock=PASSPHRASE)),
        "P-256 PKCS#8": ("ecdsa-p256", pem(P256)),
        "P-256 PKCS#8, locked": ("ecdsa-p256", pem(P256, lock=PASSPHRASE)),
        "P-256 SEC1": ("ecdsa-p256", sec1),
        "P-256 SEC1 after its parameters, as openssl ecparam writes it": ("ecdsa-p256", parameters + sec1),
        "P-256 SEC1, locked": ("ecdsa-p256", pem(P256, PrivateFormat.TraditionalOpenSSL, PASSPHRASE)),
    }


@pytest.mark.parametrize("form", forms_of_keys())
def test_what_is_signed_is_the_pae_and_openssl_says_so(soup: Soup, form: str) -> None:
    backend, content = forms_of_keys()[form]
    soup = soup.with_env(SOUP_KEY_PASSPHRASE_FILE=private_file(soup, PASSPHRASE, name="passphrase"))
    event = signed(soup, backend, None if content is None else private_file(soup, content))
    message = b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(PAYLOAD), PAYLOAD)
    assert openssl_verifies(soup, event, message)
    assert not openssl_verifies(soup, event, PAYLOAD)
    assert event.payload_sha256 == digest(PAYLOAD)
    assert (event.backend, event.payload_type, event.bundle, event.identity) == (backend, IN_TOTO, None, None)


def test_soups_own_key_is_the_one_that_the_ledger_knows(soup: Soup) -> None:
    event = signed(soup, "ed25519")
    assert event.public is not None
    assert event.public.encode() == soup.ok("keys", "export", "author", "--format", "pem").raw
    assert event.key == json.loads((soup.home / "keys" / "author.key").read_text())["public"] or event.key == digest(
        bytes.fromhex(json.loads((soup.home / "keys" / "author.key").read_text())["public"])
    )


def test_a_soup_key_file_of_another_home_signs(soup: Soup, tmp_path: Path) -> None:
    other = Soup(tmp_path / "other" / ".soup", soup.work)
    other.ok("ledger", "log")
    event = signed(soup, "ed25519", other.home / "keys" / "author.key")
    assert event.public is not None
    assert event.public.encode() == other.ok("keys", "export", "author", "--format", "pem").raw
    with pytest.raises(InputError, match="log key"):
        signed(soup, "ed25519", other.home / "keys" / "log.key")


def test_who_does_not_sign_says_so_in_the_ledger(soup: Soup) -> None:
    event = signed(soup, "unsigned")
    assert (event.backend, event.key, event.public, event.signature) == ("unsigned", None, None, None)


# What must not be used as a key


def symlink(soup: Soup) -> Path:
    path = soup.work / "link.key"
    path.symlink_to(private_file(soup, pem(ED25519)))
    return path


def fifo(soup: Soup) -> Path:
    path = soup.work / "pipe.key"
    os.mkfifo(path, 0o600)
    return path


UNFIT: dict[str, tuple[str, Callable[[Soup], Path], str]] = {
    "missing": ("ed25519", lambda soup: soup.work / "none", "No such file"),
    "a directory": ("ed25519", lambda soup: soup.work, "not a regular file"),
    "a symlink": ("ed25519", symlink, "cannot open"),
    "a pipe": ("ed25519", fifo, "not a regular file"),
    "readable by the group": ("ed25519", lambda soup: private_file(soup, pem(ED25519), 0o640), "read by others"),
    "readable by the world": ("ecdsa-p256", lambda soup: private_file(soup, pem(P256), 0o604), "read by others"),
    "endless": ("ed25519", lambda soup: private_file(soup, b"A" * 20_000), "more than"),
    "no key at all": ("ecdsa-p256", lambda soup: private_file(soup, b"hello"), "neither PKCS#8 nor SEC1"),
    "not JSON after all": ("ed25519", lambda soup: private_file(soup, b"{]"), "no soup key file"),
    "a public key": ("ecdsa-p256", lambda soup: private_file(soup, public_pem(P256)), "neither PKCS#8 nor SEC1"),
    "a damaged one": ("ecdsa-p256", lambda soup: private_file(soup, pem(P256).replace(b"M", b"N", 1)), "damaged"),
    "of P-256, for ed25519": ("ed25519", lambda soup: private_file(soup, pem(P256)), "no Ed25519 key"),
    "of Ed25519, for P-256": ("ecdsa-p256", lambda soup: private_file(soup, pem(ED25519)), "over P-256"),
    "of another curve": (
        "ecdsa-p256",
        lambda soup: private_file(soup, pem(ec.derive_private_key(7, ec.SECP384R1()))),
        "over P-256",
    ),
    "of RSA": ("ecdsa-p256", lambda soup: private_file(soup, pem(rsa.generate_private_key(65537, 2048))), "over P-256"),
    "locked, without passphrase": (
        "ecdsa-p256",
        lambda soup: private_file(soup, pem(P256, lock=PASSPHRASE)),
        "locked with a passphrase",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_key_that_is_unfit_is_refused_in_one_line_and_nothing_is_signed(soup: Soup, case: str) -> None:
    backend, make, reason = UNFIT[case]
    path = make(soup)
    with pytest.raises(InputError, match=reason) as refusal:
        signed(soup, backend, path)
    assert "\n" not in refusal.value.sentence
    assert not soup.events(DocumentSigned2)


@pytest.mark.parametrize("key", [P256, ED25519])
def test_a_wrong_passphrase_is_refused_and_named(soup: Soup, key: Any) -> None:
    wrong = soup.with_env(SOUP_KEY_PASSPHRASE_FILE=private_file(soup, b"wrong", name="passphrase"))
    backend = "ed25519" if key is ED25519 else "ecdsa-p256"
    with pytest.raises(InputError, match="the passphrase is wrong"):
        signed(wrong, backend, private_file(soup, pem(key, lock=PASSPHRASE)))


def test_a_key_of_another_user_is_refused(soup: Soup) -> None:
    path = private_file(soup, pem(P256))
    owner = os.geteuid()
    with (
        mock.patch("commands.signing.local.os.geteuid", return_value=owner + 1),
        pytest.raises(InputError, match=f"belongs to another user .uid {owner}"),
    ):
        read_private(path)


# Options


def read_options(*arguments: str, environ: dict[str, str] | None = None, **how: Any) -> Signing:
    """What a command line means."""
    given: list[Signing] = []

    @click.command()
    def command(**options: Any) -> None:
        given.append(from_options(options, environ or {}))

    decorated = signing_options(**how)(command) if how else signing_options(command)
    outcome = CliRunner().invoke(decorated, list(arguments), standalone_mode=False)
    if outcome.exception:
        raise outcome.exception
    return given[0]


def test_without_an_option_soups_own_ed25519_key_signs() -> None:
    assert read_options() == Signing("ed25519")
    assert read_options(default=None) == Signing("unsigned")


@pytest.mark.parametrize("backend", ["ed25519", "ecdsa-p256"])
def test_the_environment_names_a_key_for_backends_with_keys_and_an_option_wins(backend: str) -> None:
    environ = {"SOUP_SIGNING_KEY": "/from/environment"}
    assert read_options("--sign", backend, environ=environ).key == Path("/from/environment")
    assert read_options("--sign", backend, "--key", "/given", environ=environ).key == Path("/given")
    assert read_options("--sign", "unsigned", environ=environ).key is None
    assert read_options("--sign", "sigstore", environ=environ).key is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--sign", "unsigned", "--key", "k"), "--key does not belong to --sign unsigned"),
        (("--sign", "sigstore", "--key", "k"), "--key does not belong to --sign sigstore"),
        (("--sign", "ed25519", "--trust-config", "t"), "--trust-config does not belong"),
        (("--sign", "ecdsa-p256", "--key", "k", "--staging"), "--staging does not belong"),
        (("--identity-token-file", "t"), "--identity-token-file does not belong to --sign ed25519"),
        (("--sign", "sigstore", "--staging", "--trust-config", "t"), "two different"),
        (("--sign", "ecdsa-p256"), "needs a private key"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(arguments: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageProblem, match=told) as refusal:
        read_options(*arguments)
    assert refusal.value.exit_code == 2
    assert refusal.value.hint


def test_an_option_without_any_signing_is_refused() -> None:
    with pytest.raises(UsageProblem, match="--key without --sign signs nothing"):
        read_options("--key", "k", default=None)


def test_a_token_is_read_from_its_file_and_never_shown(soup: Soup) -> None:
    token = private_file(soup, b" abc.def.ghi\n", name="token")
    signing = read_options("--sign", "sigstore", "--identity-token-file", str(token))
    assert signing.identity_token == token.read_text().strip()
    assert "abc" not in repr(signing)
    token.write_bytes(b"\xff")
    with pytest.raises(InputError, match="no identity token"):
        read_options("--sign", "sigstore", "--identity-token-file", str(token))


def test_what_is_not_needed_is_not_imported(soup: Soup) -> None:
    """A command's start is what its user waits for: half a second of libraries is loaded by who signs with them only."""
    heavy = "print([name for name in ('sigstore', 'cryptography', 'requests', 'pydantic') if name in sys.modules])"
    code = f"import sys\nimport commands.signing, commands.signing.local, commands.signing.verify\n{heavy}"
    assert soup.python(code).out.strip() == "[]"


# Verifying

WRAPPINGS: dict[str, Callable[[DocumentSigned2, bytes], bytes]] = {"envelope": envelope, "bundle": bundle}


@pytest.fixture(
    params=[(backend, wrapping) for backend in ("ed25519", "ecdsa-p256") for wrapping in WRAPPINGS], ids="-".join
)
def attested(request: pytest.FixtureRequest, soup: Soup) -> tuple[Path, Path]:
    """A signed statement in a file, and the file of the public key."""
    backend, wrapping = request.param
    key = ED25519 if backend == "ed25519" else P256
    event = signed(soup, backend, private_file(soup, pem(key)))
    return soup.write("a.json", WRAPPINGS[wrapping](event, PAYLOAD)), soup.write("trusted.pem", public_pem(key))


def rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change an envelope, in its own file or inside of a bundle."""
    document = json.loads(path.read_bytes())
    change(document.get("dsseEnvelope", document))
    path.write_text(json.dumps(document))


def test_the_bytes_that_were_signed_come_back_and_the_signer_is_named(attested: tuple[Path, Path]) -> None:
    file, key = attested
    verified = verify_keyed(file, trusted_keys([str(key)]))
    assert (verified.payload_type, verified.payload) == (IN_TOTO, PAYLOAD)
    assert verified.signer.startswith("key ")
    assert not is_keyless(file)


def test_a_statement_is_verified_with_its_artifact(soup: Soup, attested: tuple[Path, Path]) -> None:
    file, key = attested
    trusted = trusted_keys([A, str(key)])
    artifact = soup.write("model", "weights")
    assert verified_statement(file, trusted, artifact) == json.loads(PAYLOAD)
    artifact.write_text("other")
    with pytest.raises(AlteredEvidence, match="no subject"):
        verified_statement(file, trusted, artifact)


def test_without_a_trusted_key_nothing_is_valid(attested: tuple[Path, Path]) -> None:
    with pytest.raises(Incomplete, match="no trusted key") as refusal:
        verify_keyed(attested[0], [])
    assert refusal.value.exit_code == 4


def test_a_foreign_key_of_either_kind_verifies_nothing(soup: Soup, attested: tuple[Path, Path]) -> None:
    foreign = soup.write("foreign.pem", public_pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(AlteredEvidence, match="no signature") as refusal:
        verify_keyed(attested[0], trusted_keys([str(foreign), A, B]))
    assert refusal.value.exit_code == 3


def other_payload(envelope: dict[str, Any]) -> None:
    envelope["payload"] = base64.b64encode(PAYLOAD + b" ").decode()


def other_type(envelope: dict[str, Any]) -> None:
    envelope["payloadType"] = "application/json"


def other_signature(envelope: dict[str, Any]) -> None:
    raw = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    raw[-1] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(raw).decode()


def short_signature(envelope: dict[str, Any]) -> None:
    envelope["signatures"][0]["sig"] = "AAAA"


@pytest.mark.parametrize("change", [other_payload, other_type, other_signature, short_signature])
def test_what_was_changed_is_found(attested: tuple[Path, Path], change: Callable[[dict[str, Any]], None]) -> None:
    file, key = attested
    rewrite(file, change)
    with pytest.raises(AlteredEvidence, match="no signature"):
        verify_keyed(file, trusted_keys([str(key)]))


def test_a_key_id_is_a_hint_and_decides_nothing(attested: tuple[Path, Path]) -> None:
    file, key = attested
    rewrite(file, lambda envelope: envelope["signatures"][0].update(keyid="nobody"))
    assert verify_keyed(file, trusted_keys([str(key)])).payload == PAYLOAD


def test_a_stripped_signature_is_incomplete_not_valid(attested: tuple[Path, Path]) -> None:
    file, key = attested
    rewrite(file, lambda envelope: envelope.update(signatures=[]))
    with pytest.raises(Incomplete, match="unsigned"):
        verify_keyed(file, trusted_keys([str(key)]))


def test_no_second_payload_is_smuggled_in_under_a_duplicate_key(attested: tuple[Path, Path]) -> None:
    file, key = attested
    text = file.read_text()
    assert text.count('"payload":') == 1
    file.write_text(text.replace('"payload":', '"payload":"e30=","payload":'))
    with pytest.raises(InputError, match="a key stands twice"):
        verify_keyed(file, trusted_keys([str(key)]))


def test_a_certificate_in_a_bundle_does_not_make_its_own_key_trusted(attested: tuple[Path, Path]) -> None:
    file, key = attested
    document = json.loads(file.read_bytes())
    if "dsseEnvelope" in document:
        document["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}}
        file.write_text(json.dumps(document))
        assert is_keyless(file)
        with pytest.raises(Incomplete, match="signed by an identity"):
            verify_keyed(file, trusted_keys([str(key)]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}',
        b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":[]}',
        b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","messageSignature":{}}',
        b'{"payload":"e30=","payloadType":"x","signatures":[{"sig":NaN}]}',
        b'{"payload":"e30=","payloadType":"x","signatures":[{"sig":"\\ud800"}]}',
    ],
)
def test_what_is_no_envelope_is_refused_in_one_line(soup: Soup, content: bytes) -> None:
    with pytest.raises(InputError) as refusal:
        verify_keyed(soup.write("a.json", content), [bytes(32)])
    assert "\n" not in refusal.value.sentence


def test_a_statement_is_only_read_for_what_is_wanted(attested: tuple[Path, Path]) -> None:
    file, key = attested
    verified = verify_keyed(file, trusted_keys([str(key)]))
    assert read_statement(verified, predicate_type=PREDICATE) == json.loads(PAYLOAD)
    with pytest.raises(AlteredEvidence, match="not the wanted"):
        read_statement(verified, predicate_type="https://slsa.dev/provenance/v1")
    assert next(summary(json.loads(PAYLOAD), None, verified.signer)) == f"valid       signed by {verified.signer}"


@pytest.mark.parametrize(
    "payload",
    [
        payload_of(_type="https://in-toto.io/Statement/v0.1"),
        payload_of(subject=[]),
        payload_of(subject=[{"name": "model"}]),
        payload_of(predicateType=None),
        b'{"a":1,"a":2}',
        b"[]",
    ],
)
def test_a_signature_does_not_make_a_statement(soup: Soup, payload: bytes) -> None:
    event = signed(soup, "ecdsa-p256", private_file(soup, pem(P256)), payload)
    file = soup.write("a.json", envelope(event, payload))
    trusted = trusted_keys([str(soup.write("k.pem", public_pem(P256)))])
    with pytest.raises(InputError, match="in-toto"):
        verified_statement(file, trusted, None)


def test_a_valid_signature_over_another_payload_type_is_no_statement(soup: Soup) -> None:
    message = dsse.pae("text/plain", PAYLOAD)
    document = dsse.Envelope(PAYLOAD, "text/plain", (dsse.Signature("", ED25519.sign(message)),))
    file = soup.write("a.json", dsse.encode(document))
    with pytest.raises(InputError, match="not an in-toto statement"):
        verified_statement(file, [ED25519.public_key().public_bytes_raw()], None)


OFF_CURVE = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04" + bytes(63) + b"\x01"


@pytest.mark.parametrize(
    "content",
    [
        public_pem(rsa.generate_private_key(65537, 2048)),
        public_pem(ec.derive_private_key(7, ec.SECP384R1())),
        b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(OFF_CURVE) + b"\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\n=\n-----END PUBLIC KEY-----\n",
        pem(P256),
        b"",
    ],
    ids=["RSA", "P-384", "a point off the curve", "no base64", "a private key", "empty"],
)
def test_what_is_no_public_key_of_a_known_kind_is_refused(soup: Soup, content: bytes) -> None:
    with pytest.raises(InputError):
        trusted_keys([str(soup.write("k.pem", content))])


def test_every_backend_is_one_that_signs(soup: Soup) -> None:
    assert set(BACKENDS) == {*_OPENERS, "sigstore"}
    with at_work(soup) as session, pytest.raises(CommandError):
        sign(session, Signing("sigstore"), "text/plain", b"")
