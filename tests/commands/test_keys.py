"""`soup keys`: public halves in the forms that other tools read; secret ones never leave."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ledger.identity import parse_trust_root
from ledger.note import parse_verifier_key
from tests.runner import Soup, digest


@pytest.fixture
def founded(soup: Soup) -> Soup:
    soup.ok("keys", "list")
    return soup


def seeds(soup: Soup) -> list[bytes]:
    """Both secret keys as they stand in their files."""
    return [json.loads(path.read_bytes())["secret"].encode() for path in sorted((soup.home / "keys").glob("*.key"))]


def test_list_names_both_keys(founded: Soup) -> None:
    rows = founded.ok("keys", "list", "--json").json
    assert [(row["role"], row["position"], row["locked"]) for row in rows] == [("author", 2, False), ("log", 3, False)]
    assert all(row["key"] == digest(bytes.fromhex(row["public"])) for row in rows)
    assert founded.ok("keys", "list").out.count("\n") == 3


@pytest.mark.parametrize("role", ["author", "log"])
def test_each_form_is_the_same_key(founded: Soup, role: str) -> None:
    public = bytes.fromhex(founded.ok("keys", "show", role, "--json").json["public"])
    vkey = parse_verifier_key(founded.ok("keys", "export", role).out.strip())
    pem = load_pem_public_key(founded.ok("keys", "export", role, "--format", "pem").raw)
    assert vkey.public == public
    assert pem.public_bytes_raw() == public  # type: ignore[union-attr]  # an Ed25519 key, or this fails
    assert founded.ok("keys", "export", role, "--format", "hex").out == f"{public.hex()}\n"


def test_author_and_log_have_distinct_keys(founded: Soup) -> None:
    author, log = founded.ok("keys", "list", "--json").json
    assert author["public"] != log["public"]


def test_a_verifier_key_is_named_for_its_ledger(founded: Soup) -> None:
    ledger = founded.ok("ledger", "verify", "--json").json["ledger"]
    assert founded.ok("keys", "export", "log").out.startswith(f"soup-ledger/{ledger}+")
    assert founded.ok("keys", "export", "author").out.startswith(f"soup-ledger/{ledger}/author+")


def test_a_trust_root_is_one_small_file(founded: Soup) -> None:
    founded.ok("keys", "export", "--trust-root", "--output", "root.json")
    raw = (founded.work / "root.json").read_bytes()
    identity = parse_trust_root(raw)
    assert len(raw) < 1000
    assert identity.author_key.hex() == founded.ok("keys", "export", "author", "--format", "hex").out.strip()


def test_an_export_replaces_nothing_unasked(founded: Soup) -> None:
    founded.write("root.json", "theirs")
    assert founded("keys", "export", "--trust-root", "--output", "root.json").code == 1
    assert (founded.work / "root.json").read_text() == "theirs"
    founded.ok("keys", "export", "--trust-root", "--output", "root.json", "--force")
    founded.ok("keys", "export", "--trust-root", "--output", "root.json")  # the same bytes again are no replacement


def test_no_secret_key_leaves_its_file(founded: Soup, tmp_path: Path) -> None:
    said = b""
    for line in (("list",), ("show",), ("export",), ("export", "log"), ("export", "--trust-root"), ("list", "--json")):
        outcome = founded.ok("keys", *line)
        said += outcome.raw + outcome.err.encode()
    founded.ok("ledger", "export", "--format", "sqlite", "--output", tmp_path / "copy.db")
    said += (tmp_path / "copy.db").read_bytes() + founded.audit.read_bytes()
    for secret in seeds(founded):
        for form in (secret, bytes.fromhex(secret.decode()), base64.b64encode(bytes.fromhex(secret.decode()))):
            assert form not in said


def test_under_a_passphrase_no_seed_is_stored(soup: Soup, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("correct horse")
    soup.with_env(SOUP_KEY_PASSPHRASE_FILE=tmp_path / "passphrase").ok("keys", "list")
    kdfs = [json.loads(path.read_bytes())["kdf"] for path in (soup.home / "keys").glob("*.key")]
    assert kdfs[0] == kdfs[1]  # one salt, so that a command pays argon2id once
    assert all(kdf["memlimit"] >= 64 * 1024 * 1024 for kdf in kdfs)
    assert all(len(seed) > 64 for seed in seeds(soup))


def test_an_unknown_role_is_a_usage_error(founded: Soup) -> None:
    assert founded("keys", "show", "root").code == 2
