"""`soup attest` with an identity instead of a key: the same commands, against a Sigstore of one's own on this machine."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from ledger.events.attestation import VsaDeclared
from tests.commands.runs import RUN, a_run
from tests.runner import Outcome, Soup
from tests.sigstore_standin import IDENTITY, ISSUER, Standin

LOCAL = "urn:soup-ledger:builder:local@v1"


@pytest.fixture
def keyless(soup: Soup, tmp_path: Path) -> Soup:
    """A user with a keyless bundle, whose services are no longer there."""
    a_run(soup)
    directory = tmp_path / "services"
    directory.mkdir()
    with Standin(directory) as services:
        soup.write("trust-config.json", json.dumps(services.trust_config(2)))
        soup.write("token", services.token()).chmod(0o600)
        soup.write("trusted-root.json", json.dumps(services.trusted_root()))
        soup.ok(
            "attest", "emit", "--stage", "train", "--run", RUN, "--sign", "sigstore", "--trust-config", "trust-config.json",
            "--identity-token-file", "token", "--output", "a.json", "--bundle", "a.sigstore.json",
        )  # fmt: skip
    return soup


def verify(soup: Soup, *more: str, root: str = "trusted-root.json") -> Outcome:
    return soup("attest", "verify", "a.sigstore.json", "--trusted-root", root, *more)


def test_a_keyless_statement_is_verified_offline_under_identity_and_issuer(keyless: Soup) -> None:
    outcome = verify(keyless, "--identity", IDENTITY, "--issuer", ISSUER)
    assert outcome.code == 0, outcome.err
    assert IDENTITY in outcome.out
    statement = verify(keyless, "--identity", IDENTITY, "--issuer", ISSUER, "--json").json
    envelope = json.loads((keyless.work / "a.json").read_bytes())
    assert statement == json.loads(base64.b64decode(envelope["payload"]))
    assert keyless.ok("rebuild", "--check", "--json").json["counts"] == {"identical": 2}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (("--identity", "somebody@else.example", "--issuer", ISSUER), 3),
        (("--identity", IDENTITY, "--issuer", "https://else.example"), 3),
        (("--identity", IDENTITY), 4),
        (("--issuer", ISSUER), 4),
        ((), 2),
    ],
    ids=["another identity", "another issuer", "no issuer", "no identity", "neither"],
)
def test_without_the_right_identity_and_issuer_nothing_is_valid(
    keyless: Soup, line: tuple[str, ...], code: int
) -> None:
    outcome = verify(keyless, *line)
    assert (outcome.code, outcome.raw) == (code, b"")


def test_a_key_makes_no_keyless_bundle_valid(keyless: Soup) -> None:
    keyless.ok("keys", "export", "author", "--format", "pem", "--output", "author.pem")
    assert keyless("attest", "verify", "a.sigstore.json", "--key", "author.pem").code == 4


def vsa(soup: Soup, identity: str, *more: str) -> Outcome:
    rule = {"identity": identity, "issuer": ISSUER, "builder": LOCAL, "level": 2}
    policy = {
        "verifier": "https://v.example/",
        "uri": "https://v.example/p",
        "resource": "pkg:generic/x@1",
        "rules": [rule],
    }
    soup.write("policy.json", json.dumps(policy))
    line = ("--policy", "policy.json", "--trusted-root", "trusted-root.json", "--output", "vsa.json")
    return soup("attest", "vsa", "a.sigstore.json", *line, *more)


def test_a_policy_may_trust_an_identity(keyless: Soup) -> None:
    outcome = vsa(keyless, IDENTITY)
    assert outcome.code == 0, outcome.err
    (passed,) = keyless.events(VsaDeclared)
    assert (passed.result, passed.levels) == ("PASSED", ["SLSA_BUILD_LEVEL_2"])
    assert IDENTITY not in str(passed.attestation.signer)  # an address is personal data: redacted


def test_a_policy_that_trusts_another_identity_believes_nothing(keyless: Soup) -> None:
    keyless.write("weights", "w")
    assert vsa(keyless, "somebody@else.example").code == 3
    assert keyless.events(VsaDeclared) == []
    assert vsa(keyless, "somebody@else.example", "--artifact", "weights").code == 3
    (failed,) = keyless.events(VsaDeclared)
    assert (failed.result, failed.attestation.signer) == ("FAILED", None)
    assert failed.reason == "no signature holds under a trusted key or identity"
