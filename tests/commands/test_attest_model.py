"""`soup attest model`: every file is covered, other people's tools can check it, and nothing is signed under a wrong name."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ledger.events.document import ModelSignatureDeclared
from tests.commands.test_attest import pae
from tests.runner import Soup

KEY = ec.derive_private_key(11, ec.SECP256R1())
P256 = ("--sign", "ecdsa-p256", "--key", "p256.pem")
FILES = {"b/weights.safetensors": b"weights", "a.json": b"{}", ".gitignore": b"x", ".git/config": b"y"}


@pytest.fixture
def model(soup: Soup) -> Soup:
    """A user with a model, as it lies in a working copy, and a P-256 key."""
    for name, content in FILES.items():
        soup.write(f"model/{name}", content)
    soup.write("p256.pem", KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())).chmod(0o600)
    return soup


def signed(soup: Soup, *more: str | Path, path: str = "model") -> dict[str, Any]:
    soup.ok("attest", "model", path, *P256, *more, "--output", "model.sig")
    bundle = json.loads((soup.work / "model.sig").read_bytes())
    assert isinstance(bundle, dict)
    return bundle


def statement(bundle: dict[str, Any]) -> dict[str, Any]:
    document = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
    assert isinstance(document, dict)
    return document


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_statement_lists_every_file_of_the_model_and_says_what_it_leaves_out(model: Soup) -> None:
    found = statement(signed(model))
    listed = {"a.json": sha(b"{}"), "b/weights.safetensors": sha(b"weights")}
    assert found["predicateType"] == "https://model_signing/signature/v1.0"
    assert [(each["name"], each["digest"], each["algorithm"]) for each in found["predicate"]["resources"]] == [
        (name, digest, "sha256") for name, digest in sorted(listed.items())
    ]
    assert found["predicate"]["serialization"] == {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [".git", ".gitattributes", ".github", ".gitignore"],
    }
    root = sha(b"".join(bytes.fromhex(listed[name]) for name in sorted(listed)))
    assert found["subject"] == [{"name": "model", "digest": {"sha256": root}}]


def test_the_signature_holds_over_the_pre_authentication_encoding_and_names_its_key(model: Soup) -> None:
    bundle = signed(model)
    envelope = bundle["dsseEnvelope"]
    payload = base64.b64decode(envelope["payload"])
    (signature,) = envelope["signatures"]
    public = KEY.public_key()
    message = pae(envelope["payloadType"], payload)
    public.verify(base64.b64decode(signature["sig"]), message, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature["sig"]), message + b" ", ec.ECDSA(hashes.SHA256()))
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert bundle["verificationMaterial"] == {"publicKey": {"hint": sha(pem)}, "tlogEntries": []}
    assert signature["keyid"] == ""


def test_a_single_file_is_a_model_too(model: Soup) -> None:
    found = statement(signed(model, path="model/a.json"))
    assert [each["name"] for each in found["predicate"]["resources"]] == ["a.json"]


def test_a_changed_model_is_signed_anew_and_the_old_signature_is_replaced(model: Soup) -> None:
    first = signed(model)
    model.write("model/a.json", "[]")
    assert statement(signed(model)) != statement(first)
    assert len(model.events(ModelSignatureDeclared)) == 2


def test_an_ed25519_key_is_refused_since_the_format_knows_none(model: Soup) -> None:
    outcome = model("attest", "model", "model", "--output", "model.sig")
    assert outcome.code == 2
    assert "knows no such key" in outcome.err
    assert model.events(ModelSignatureDeclared) == []


def test_a_signature_is_no_file_of_the_model_that_it_signs(model: Soup) -> None:
    outcome = model("attest", "model", "model", *P256, "--output", "model/model.sig")
    assert outcome.code == 2
    assert not (model.work / "model" / "model.sig").exists()


@pytest.mark.parametrize("name", ["ada@example.org.txt", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"])
def test_a_name_that_may_not_be_recorded_is_refused_and_not_signed_under_another(model: Soup, name: str) -> None:
    model.write(f"model/{name}", "x")
    outcome = model("attest", "model", "model", *P256, "--output", "model.sig")
    assert outcome.code == 1
    assert "holds what may not be recorded" in outcome.err
    assert not (model.work / "model.sig").exists()
    assert model.events(ModelSignatureDeclared) == []


def test_a_model_of_nothing_but_what_git_keeps_has_nothing_to_sign(soup: Soup, model: Soup) -> None:
    soup.write("empty/.git/config", "y")
    outcome = model("attest", "model", "empty", *P256, "--output", "model.sig")
    assert outcome.code == 1
    assert "no file to sign" in outcome.err
