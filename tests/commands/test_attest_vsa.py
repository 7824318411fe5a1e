"""`soup attest vsa`: a level comes from the policy alone, and what no trusted signer made is not believed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from commands.version import VERSION
from ledger.entry import time_text
from ledger.events.attestation import VsaDeclared
from tests.commands.runs import OUTPUT, RUN, a_run
from tests.runner import A, B, Outcome, Soup, digest

LOCAL = "urn:soup-ledger:builder:local@v1"
RESOURCE = "pkg:huggingface/example/adapter@1.0"
VERIFIER = "https://verifier.example/"
URI = "https://verifier.example/policies/1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


def policy(*rules: dict[str, Any], **more: Any) -> str:
    return json.dumps({"verifier": VERIFIER, "uri": URI, "resource": RESOURCE, "rules": list(rules), **more})


def fingerprint(soup: Soup, form: str = "raw") -> str:
    """The SHA-256 of the author's key, as 32 bytes or as SubjectPublicKeyInfo."""
    soup.ok("keys", "export", "author", "--format", "pem", "--output", "author.pem")
    public = load_pem_public_key((soup.work / "author.pem").read_bytes())
    assert isinstance(public, Ed25519PublicKey)
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return digest(public.public_bytes_raw() if form == "raw" else spki)


def attested(soup: Soup, *more: str) -> None:
    """Attest a run; leave the envelope and the author's public key."""
    a_run(soup)
    soup.ok("attest", "emit", "--stage", "train", "--run", RUN, "--output", "train.json", *more)
    soup.ok("keys", "export", "author", "--format", "pem", "--output", "author.pem")


def vsa(soup: Soup, *more: str | Path, key: str = "author.pem", file: str = "train.json") -> Outcome:
    return soup("attest", "vsa", file, "--policy", "policy.json", "--key", key, "--output", "vsa.json", *more)


def summary(soup: Soup) -> dict[str, Any]:
    soup.ok("attest", "verify", "vsa.json", "--key", "author.pem")
    statement = json.loads(base64.b64decode(json.loads((soup.work / "vsa.json").read_bytes())["payload"]))
    assert isinstance(statement, dict)
    return statement


def foreign(key: Ed25519PrivateKey, statement: Any) -> str:
    """An envelope that somebody else made with their own tools."""
    payload = json.dumps(statement).encode()
    message = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    signature = {"keyid": "", "sig": base64.b64encode(key.sign(message)).decode()}
    envelope = {"payloadType": PAYLOAD_TYPE, "payload": base64.b64encode(payload).decode(), "signatures": [signature]}
    return json.dumps(envelope)


def provenance(builder: Any = LOCAL, **more: Any) -> dict[str, Any]:
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {"sha256": A}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"runDetails": {"builder": {"id": builder}}},
        **more,
    }


def test_a_passed_verification_is_a_slsa_summary_field_by_field(soup: Soup) -> None:
    attested(soup)
    text = policy({"key": fingerprint(soup), "builder": LOCAL, "level": 1})
    soup.write("policy.json", text)
    outcome = vsa(soup, "--attestation-uri", "https://example.org/train.json")
    assert outcome.code == 0, outcome.err
    made = summary(soup)
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/verification_summary/v1"
    assert made["subject"][0] == {"name": "adapter", "digest": {"sha256": OUTPUT}}
    predicate = made["predicate"]
    (declared,) = [record for record in soup.records() if record.type == VsaDeclared.TYPE]
    assert predicate["verifier"] == {"id": VERIFIER, "version": {"soup": VERSION}}
    assert predicate["timeVerified"] == time_text(declared.time)
    assert predicate["resourceUri"] == RESOURCE
    assert predicate["policy"] == {"uri": URI, "digest": {"sha256": digest(text)}}
    (given,) = predicate["inputAttestations"]
    assert given["digest"] == {"sha256": digest((soup.work / "train.json").read_bytes())}
    assert given["uri"] == "https://example.org/train.json"
    assert (predicate["verificationResult"], predicate["verifiedLevels"]) == ("PASSED", ["SLSA_BUILD_LEVEL_1"])
    assert predicate["slsaVersion"] == "1.1"
    fields = {"verifier", "timeVerified", "resourceUri", "policy", "inputAttestations", "verificationResult"}
    assert set(predicate) == {*fields, "verifiedLevels", "slsaVersion"}  # nobody has verified the dependencies


@pytest.mark.parametrize("form", ["raw", "spki"])
def test_a_rule_may_name_the_key_by_either_fingerprint(soup: Soup, form: str) -> None:
    attested(soup)
    soup.write("policy.json", policy({"key": fingerprint(soup, form), "builder": LOCAL, "level": 1}))
    assert vsa(soup).code == 0


def test_a_summary_is_rebuilt_byte_for_byte(soup: Soup) -> None:
    attested(soup)
    soup.write("policy.json", policy({"key": fingerprint(soup), "builder": LOCAL, "level": 1}))
    assert vsa(soup, "--bundle", "vsa.sigstore.json").code == 0
    assert soup.ok("rebuild", "--check", "--json").json["counts"] == {"identical": 3}
    soup.ok("attest", "verify", "vsa.sigstore.json", "--key", "author.pem")


def test_the_policy_may_be_yaml(soup: Soup) -> None:
    attested(soup)
    soup.write(
        "policy.json",
        f"verifier: {VERIFIER}\nuri: {URI}\nresource: {RESOURCE}\nminimum: 1\nrules:\n"
        f"  - {{key: {fingerprint(soup)}, builder: '{LOCAL}', level: 1}}\n",
    )
    assert vsa(soup).code == 0


@pytest.mark.parametrize(
    ("rules", "more", "reason"),
    [
        ([{"key": B, "builder": LOCAL, "level": 3}], {}, "no rule"),
        ([{"key": None, "builder": "urn:soup-ledger:builder:local@v2", "level": 3}], {}, "no rule"),
        ([{"key": None, "builder": LOCAL, "level": 1}], {"minimum": 2}, "asks for L2"),
        ([{"key": None, "builder": LOCAL, "level": 0}], {}, "no rule"),
        ([{"identity": "a@b.example", "issuer": "https://b.example", "builder": LOCAL, "level": 3}], {}, "no rule"),
    ],
    ids=["another key", "another builder", "too low", "level 0", "an identity"],
)
def test_what_the_policy_does_not_grant_has_failed_and_is_written(
    soup: Soup, rules: list[dict[str, Any]], more: dict[str, Any], reason: str
) -> None:
    attested(soup)
    own = fingerprint(soup)
    soup.write(
        "policy.json", policy(*({**rule, "key": own} if rule.get("key", B) is None else rule for rule in rules), **more)
    )
    outcome = vsa(soup)
    assert outcome.code == 3
    predicate = summary(soup)["predicate"]
    assert (predicate["verificationResult"], predicate["verifiedLevels"]) == ("FAILED", ["FAILED"])
    assert reason in predicate["inputAttestations"][0]["annotations"]["soup_reason"]
    assert soup.ok("rebuild", "--check", "--json").json["counts"] == {"identical": 2}


def test_the_level_that_an_attestation_claims_counts_for_nothing(soup: Soup) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    soup.write("train.json", foreign(key, provenance(slsaLevel=3, verifiedLevels=["SLSA_BUILD_LEVEL_3"])))
    soup.write("policy.json", policy({"key": digest(public), "builder": LOCAL, "level": 1}))
    soup.ok("keys", "export", "author", "--format", "pem", "--output", "author.pem")
    assert vsa(soup, key=public.hex()).code == 0
    assert summary(soup)["predicate"]["verifiedLevels"] == ["SLSA_BUILD_LEVEL_1"]


def test_of_two_trusted_signers_the_one_that_the_policy_ranks_higher_decides(soup: Soup) -> None:
    first, second = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    one, two = (json.loads(foreign(key, provenance())) for key in (first, second))
    soup.write("train.json", json.dumps({**one, "signatures": [*one["signatures"], *two["signatures"]]}))
    keys = [key.public_key().public_bytes_raw() for key in (first, second)]
    soup.write(
        "policy.json",
        policy(
            *({"key": digest(key), "builder": LOCAL, "level": level} for key, level in zip(keys, (1, 2), strict=True))
        ),
    )
    soup.ok("keys", "export", "author", "--format", "pem", "--output", "author.pem")
    assert vsa(soup, "--key", keys[1].hex(), key=keys[0].hex()).code == 0
    made = summary(soup)["predicate"]
    assert made["verifiedLevels"] == ["SLSA_BUILD_LEVEL_2"]
    assert made["inputAttestations"][0]["annotations"]["soup_signer"].endswith(digest(keys[1]))


def test_of_a_statement_that_no_trusted_key_signed_not_even_the_subject_is_believed(soup: Soup) -> None:
    attested(soup)
    soup.write("policy.json", policy({"key": fingerprint(soup), "builder": LOCAL, "level": 1}))
    soup.write("weights", "w")
    alone = vsa(soup, key=B)
    assert (alone.code, (soup.work / "vsa.json").exists()) == (3, False)
    assert "--artifact" in alone.err
    assert soup.events(VsaDeclared) == []
    assert vsa(soup, "--artifact", "weights", key=B).code == 3
    made = summary(soup)
    assert made["subject"] == [{"name": "weights", "digest": {"sha256": digest("w")}}]
    assert made["predicate"]["verificationResult"] == "FAILED"
    assert "soup_builder" not in made["predicate"]["inputAttestations"][0]["annotations"]


def test_an_unsigned_or_edited_attestation_fails(soup: Soup) -> None:
    attested(soup, "--sign", "unsigned")
    soup.write("policy.json", policy({"key": fingerprint(soup), "builder": LOCAL, "level": 1}))
    soup.write("weights", "w")
    assert vsa(soup, "--artifact", "weights").code == 3
    soup.ok("attest", "emit", "--stage", "train", "--run", RUN, "--output", "train.json")
    envelope = json.loads((soup.work / "train.json").read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(OUTPUT.encode(), A.encode())
    soup.write("train.json", json.dumps({**envelope, "payload": base64.b64encode(payload).decode()}))
    assert vsa(soup, "--artifact", "weights").code == 3
    assert [event.result for event in soup.events(VsaDeclared)] == ["FAILED", "FAILED"]


def test_another_artifact_fails_and_is_the_subject_of_the_failure(soup: Soup) -> None:
    attested(soup)
    soup.write("policy.json", policy({"key": fingerprint(soup), "builder": LOCAL, "level": 1}))
    soup.write("other/file", "w")
    assert vsa(soup, "--artifact", "other").code == 3
    made = summary(soup)
    listing = digest(f"{digest('w')}  file\n")
    assert made["subject"] == [{"name": "other", "digest": {"sha256": listing}}]
    assert "no subject" in made["predicate"]["inputAttestations"][0]["annotations"]["soup_reason"]


def test_the_artifact_that_was_verified_is_the_only_subject(soup: Soup) -> None:
    soup.write("adapter/a", "a")
    soup.write("adapter/b", "b")
    soup.ok("attest", "emit", "--stage", "train", "--subject", "adapter", "--output", "train.json")
    soup.write("policy.json", policy({"key": fingerprint(soup), "builder": LOCAL, "level": 1}))
    assert vsa(soup, "--artifact", "adapter/b").code == 0
    assert summary(soup)["subject"] == [{"name": "adapter/b", "digest": {"sha256": digest("b")}}]


@pytest.mark.parametrize(
    "statement",
    [
        provenance(predicateType="https://in-toto.io/attestation/test-result/v0.1"),
        provenance(builder=None),
        provenance(builder={"a": 1}),
        provenance(predicate=[]),
        provenance(predicate={"runDetails": "x"}),
        provenance(builder="x\x1b[2J\u0000"),
    ],
    ids=["no provenance", "no builder", "an object", "a list", "a string", "control characters"],
)
def test_a_statement_without_a_builder_that_the_policy_knows_fails(soup: Soup, statement: dict[str, Any]) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    soup.write("train.json", foreign(key, statement))
    soup.write("policy.json", policy({"key": digest(public), "builder": LOCAL, "level": 3}))
    outcome = vsa(soup, key=public.hex())
    assert outcome.code == 3
    assert "\x1b" not in outcome.err
    (event,) = soup.events(VsaDeclared)
    assert (event.result, event.levels) == ("FAILED", ["FAILED"])


@pytest.mark.parametrize(
    "subject",
    [
        {"digest": {"sha256": "a b"}},
        {"digest": {"": "a"}},
        {"digest": {"sha256": 1}},
        {"digest": {"sha256": "a" * 300}},
    ],
)
def test_a_digest_of_no_form_is_an_error(soup: Soup, subject: dict[str, Any]) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    soup.write("train.json", foreign(key, provenance(subject=[subject])))
    soup.write("policy.json", policy({"key": digest(public), "builder": LOCAL, "level": 3}))
    outcome = vsa(soup, key=public.hex())
    assert outcome.code == 1
    assert "malformed" in outcome.err
    assert soup.events(VsaDeclared) == []


def test_a_secret_in_a_verified_statement_reaches_neither_ledger_nor_summary(soup: Soup) -> None:
    secret = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    soup.write("train.json", foreign(key, provenance(builder=f"https://ci.example/{secret}")))
    soup.write("policy.json", policy({"key": digest(public), "builder": LOCAL, "level": 3}))
    assert vsa(soup, key=public.hex()).code == 3
    assert secret.encode() not in soup.stored()
    assert secret.encode() not in base64.b64decode(json.loads((soup.work / "vsa.json").read_bytes())["payload"])


def test_without_a_key_nothing_is_verified(soup: Soup) -> None:
    attested(soup)
    soup.write("policy.json", policy({"key": fingerprint(soup), "builder": LOCAL, "level": 1}))
    outcome = soup("attest", "vsa", "train.json", "--policy", "policy.json", "--output", "vsa.json")
    assert outcome.code == 4
    assert soup.events(VsaDeclared) == []


RULE = {"key": A, "builder": LOCAL, "level": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "- a",
        policy(),
        policy({"key": A, "builder": LOCAL}),
        policy({"key": A, "builder": LOCAL, "level": 4}),
        policy({"key": A, "builder": LOCAL, "level": "high"}),
        policy({"key": A, "builder": "", "level": 1}),
        policy({"key": "a", "builder": LOCAL, "level": 1}),
        policy({"builder": LOCAL, "level": 1}),
        policy({"identity": "a@b.example", "builder": LOCAL, "level": 1}),
        policy({**RULE, "identity": "a@b.example", "issuer": "https://b.example"}),
        policy({**RULE, "issuer": "https://b.example"}),
        policy({**RULE, "levle": 1}),
        policy(RULE, verifier="nobody"),
        policy(RULE, minimum=0),
        policy(RULE, comment="x"),
        policy(RULE)[:-1],
        policy(RULE).replace('"level"', '"level": 3, "level"'),
        "rules: &a [*a]\n",
        "verifier: !!python/object:os.system x\n",
        "a: " * 100,
        "[" * 100_000,
        "x" * 70_000,
    ],
)
def test_what_is_no_policy_is_an_error_and_nothing_is_verified(soup: Soup, text: str) -> None:
    key = Ed25519PrivateKey.generate()
    soup.write("train.json", foreign(key, provenance()))
    soup.write("policy.json", text)
    outcome = vsa(soup, key=key.public_key().public_bytes_raw().hex())
    assert outcome.code == 1, outcome.err
    assert "a fault in soup itself" not in outcome.err
    assert soup.events(VsaDeclared) == []


@pytest.mark.parametrize("uri", ["no uri", "relative", ""])
def test_an_attestations_uri_is_absolute(soup: Soup, uri: str) -> None:
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    soup.write("train.json", foreign(key, provenance()))
    soup.write("policy.json", policy({"key": digest(public), "builder": LOCAL, "level": 1}))
    assert vsa(soup, "--attestation-uri", uri, key=public.hex()).code == 2


def test_a_summary_can_be_signed_with_a_key_of_ones_own_or_not_at_all(soup: Soup) -> None:
    attested(soup)
    soup.write("policy.json", policy({"key": fingerprint(soup), "builder": LOCAL, "level": 1}))
    assert vsa(soup, "--sign", "unsigned").code == 0
    assert json.loads((soup.work / "vsa.json").read_bytes())["signatures"] == []
    key = Ed25519PrivateKey.generate()
    private = soup.write("own.pem", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private.chmod(0o600)
    assert vsa(soup, "--signing-key", private).code == 0
    soup.ok("attest", "verify", "vsa.json", "--key", key.public_key().public_bytes_raw().hex())
    assert soup("attest", "verify", "vsa.json", "--key", "author.pem").code == 3


def test_a_file_that_soup_did_not_write_needs_force(soup: Soup) -> None:
    attested(soup)
    soup.write("policy.json", policy({"key": fingerprint(soup), "builder": LOCAL, "level": 1}))
    soup.write("vsa.json", "theirs")
    assert vsa(soup).code == 1
    assert (soup.work / "vsa.json").read_text() == "theirs"
    assert soup.events(VsaDeclared) == []


def test_no_signature_of_a_replaced_summary_stays_beside_the_new_one(soup: Soup) -> None:
    attested(soup)
    soup.write("policy.json", policy({"key": fingerprint(soup), "builder": LOCAL, "level": 1}))
    assert vsa(soup, "--bundle", "vsa.sigstore.json").code == 0
    assert vsa(soup, "--sign", "unsigned").code == 0
    assert not (soup.work / "vsa.sigstore.json").exists()
