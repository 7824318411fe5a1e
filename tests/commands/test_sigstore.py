"""Keyless signing and its verification, against a Sigstore of one's own: real HTTP, real certificates, real proofs."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from commands.attest_verify import read_statement, verified_statement, verify_bundle
from commands.errors import AlteredEvidence, Incomplete, InputError, UsageProblem
from commands.signing import Signing, sign
from commands.signing.sigstore import MAX_PAYLOAD
from commands.signing.verify import is_keyless
from ledger import dsse
from ledger.events.document import DocumentSigned2
from projections.attestation.envelope import bundle, envelope
from tests.commands.test_signing import IN_TOTO, PAYLOAD, PREDICATE, at_work, payload_of
from tests.runner import A, Soup, digest
from tests.sigstore_standin import IDENTITY, ISSUER, Standin


@contextmanager
def standin(directory: Path) -> Iterator[Standin]:
    directory.mkdir(exist_ok=True)
    with Standin(directory) as services:
        yield services


def signing(soup: Soup, services: Standin, rekor: int = 2, token: str | None = None) -> Signing:
    config = soup.write("trust-config.json", json.dumps(services.trust_config(rekor)))
    return Signing("sigstore", trust_config=config, identity_token=token or services.token())


def signed(soup: Soup, how: Signing, payload: bytes = PAYLOAD) -> DocumentSigned2:
    """Sign, record, and give the event as the ledger has it."""
    with at_work(soup) as session:
        event = sign(session, how, IN_TOTO, payload)
        session.append([(f"document/{event.payload_sha256}", event)])
    return soup.events(DocumentSigned2)[-1]


@dataclass
class Attested:
    """A bundle in a file, made by services that are no longer there; and what they were trusted by."""

    soup: Soup
    event: DocumentSigned2
    file: Path
    root: Path
    foreign: dict[str, Any]

    def verify(self, identity: str | None = IDENTITY, issuer: str | None = ISSUER) -> bytes:
        verified = verify_bundle(self.file, identity, issuer, self.root, staging=False)
        assert verified.payload_type == IN_TOTO
        assert verified.signer == f"identity {identity}, as {issuer} vouched for it"
        return verified.payload

    def change_bundle(self, change: Callable[[dict[str, Any]], object]) -> None:
        document = json.loads(self.file.read_bytes())
        change(document)
        self.file.write_text(json.dumps(document))

    def change_root(self, part: str) -> None:
        """Trust somebody else's key for a part of the services."""
        document = json.loads(self.root.read_bytes())
        document[part] = self.foreign[part]
        self.root.write_text(json.dumps(document))


@pytest.fixture(params=[1, 2], ids=["Rekor v1", "Rekor v2"])
def attested(request: pytest.FixtureRequest, soup: Soup, tmp_path: Path) -> Attested:
    with standin(tmp_path / "services") as services:
        event = signed(soup, signing(soup, services, request.param))
        root = soup.write("trusted_root.json", json.dumps(services.trusted_root()))
    with standin(tmp_path / "foreign") as other:
        foreign = other.trusted_root()
    return Attested(soup, event, soup.write("a.sigstore.json", bundle(event, PAYLOAD)), root, foreign)


def test_what_was_signed_is_verified_offline_and_comes_back_byte_for_byte(attested: Attested) -> None:
    assert attested.verify() == PAYLOAD


def test_the_event_holds_the_whole_bundle_and_what_an_envelope_needs(attested: Attested) -> None:
    event = attested.event
    assert event.backend == "sigstore"
    assert event.bundle is not None
    assert attested.file.read_text() == event.bundle
    outer = json.loads(envelope(event, PAYLOAD))
    inner = json.loads(event.bundle)["dsseEnvelope"]
    assert outer["payload"] == inner["payload"]
    assert outer["signatures"][0]["sig"] == inner["signatures"][0]["sig"]
    assert event.payload_sha256 == digest(PAYLOAD)


def test_the_recorded_identity_is_redacted(attested: Attested) -> None:
    assert attested.event.identity
    assert IDENTITY not in attested.event.identity


def test_a_token_reaches_nothing_that_is_stored(soup: Soup, tmp_path: Path) -> None:
    with standin(tmp_path / "services") as services:
        token = services.token()
        signed(soup, signing(soup, services, token=token))
    assert token.encode() not in soup.stored()
    assert token.rpartition(".")[2].encode() not in soup.stored()


def test_a_client_trust_configuration_serves_as_a_trusted_root(attested: Attested) -> None:
    attested.root = attested.soup.work / "trust-config.json"
    assert attested.verify() == PAYLOAD


def test_the_command_of_sigstore_itself_verifies_what_soup_signed(attested: Attested) -> None:
    """An independent road: another process, the library's own command line, the artifact's digest."""
    artifact = attested.soup.write("model", "weights")
    command = [sys.executable, "-m", "sigstore", "--trust-config", "trust-config.json", "verify", "identity"]
    command += ["--bundle", str(attested.file), "--cert-identity", IDENTITY, "--cert-oidc-issuer", ISSUER]
    run = [*command, "--offline", str(artifact)]
    done = subprocess.run(run, cwd=attested.soup.work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("identity", "issuer"),
    [
        ("eve@example.org", ISSUER),
        (IDENTITY.upper(), ISSUER),
        ("", "https://evil.example"),
        (IDENTITY, "https://evil.example"),
        (IDENTITY, ISSUER + "/"),
    ],
)
def test_another_identity_or_another_issuer_is_refused(attested: Attested, identity: str, issuer: str) -> None:
    with pytest.raises(AlteredEvidence, match="does not hold") as refusal:
        attested.verify(identity or "eve@example.org", issuer)
    assert refusal.value.exit_code == 3


@pytest.mark.parametrize(("identity", "issuer"), [(None, None), (IDENTITY, None), (None, ISSUER), ("", ISSUER)])
def test_without_identity_and_issuer_nothing_is_valid(
    attested: Attested, identity: str | None, issuer: str | None
) -> None:
    with pytest.raises(Incomplete, match="no trusted identity") as refusal:
        attested.verify(identity, issuer)
    assert refusal.value.exit_code == 4


@pytest.mark.parametrize("part", ["ctlogs", "certificateAuthorities", "tlogs"])
def test_other_keys_for_a_service_make_its_word_worthless(attested: Attested, part: str) -> None:
    attested.change_root(part)
    with pytest.raises(AlteredEvidence, match="does not hold"):
        attested.verify()


def flip(text: str) -> str:
    """Change the middle of base64 text by one bit of what it stands for."""
    raw = bytearray(base64.b64decode(text))
    raw[len(raw) // 2] ^= 1
    return base64.b64encode(raw).decode()


def entry(document: dict[str, Any]) -> dict[str, Any]:
    (found,) = document["verificationMaterial"]["tlogEntries"]
    assert isinstance(found, dict)
    return found


def other_payload(document: dict[str, Any]) -> None:
    document["dsseEnvelope"]["payload"] = base64.b64encode(payload_of(predicate={"a": 1})).decode()


def other_payload_type(document: dict[str, Any]) -> None:
    document["dsseEnvelope"]["payloadType"] = "text/plain"


def other_signature(document: dict[str, Any]) -> None:
    signature = document["dsseEnvelope"]["signatures"][0]
    signature["sig"] = flip(signature["sig"])


def two_signatures(document: dict[str, Any]) -> None:
    document["dsseEnvelope"]["signatures"] *= 2


def other_proof(document: dict[str, Any]) -> None:
    hashes = entry(document)["inclusionProof"]["hashes"]
    hashes[0] = flip(hashes[0])


def short_proof(document: dict[str, Any]) -> None:
    entry(document)["inclusionProof"]["hashes"].pop()


def other_root(document: dict[str, Any]) -> None:
    proof = entry(document)["inclusionProof"]
    proof["rootHash"] = flip(proof["rootHash"])


def other_checkpoint(document: dict[str, Any]) -> None:
    checkpoint = entry(document)["inclusionProof"]["checkpoint"]
    lines = checkpoint["envelope"].split("\n")
    lines[2] = flip(lines[2])
    checkpoint["envelope"] = "\n".join(lines)


def no_checkpoint(document: dict[str, Any]) -> None:
    entry(document)["inclusionProof"].pop("checkpoint")


def no_proof(document: dict[str, Any]) -> None:
    entry(document).pop("inclusionProof")


def no_entry(document: dict[str, Any]) -> None:
    document["verificationMaterial"]["tlogEntries"] = []


def other_entry(document: dict[str, Any]) -> None:
    entry(document)["canonicalizedBody"] = flip(entry(document)["canonicalizedBody"])


def no_time(document: dict[str, Any]) -> None:
    entry(document).pop("inclusionPromise", None)
    entry(document).pop("integratedTime", None)
    document["verificationMaterial"].pop("timestampVerificationData", None)


def other_time(document: dict[str, Any]) -> None:
    if "integratedTime" in entry(document):
        entry(document)["integratedTime"] = str(int(entry(document)["integratedTime"]) - 60)
    stamps = document["verificationMaterial"].get("timestampVerificationData") or {}
    for stamp in stamps.get("rfc3161Timestamps") or []:
        stamp["signedTimestamp"] = flip(stamp["signedTimestamp"])


def other_certificate(document: dict[str, Any]) -> None:
    certificate = document["verificationMaterial"]["certificate"]
    certificate["rawBytes"] = flip(certificate["rawBytes"])


def no_certificate_at_all(document: dict[str, Any]) -> None:
    document["verificationMaterial"]["certificate"] = {"rawBytes": "AAAA"}


def not_a_number(document: dict[str, Any]) -> None:
    entry(document)["logIndex"] = "many"


TAMPERED = (
    other_payload,
    other_payload_type,
    other_signature,
    two_signatures,
    other_proof,
    short_proof,
    other_root,
    other_checkpoint,
    no_checkpoint,
    no_proof,
    no_entry,
    other_entry,
    no_time,
    other_time,
    other_certificate,
    no_certificate_at_all,
    not_a_number,
)


@pytest.mark.parametrize("change", TAMPERED, ids=lambda change: change.__name__.replace("_", " "))
def test_a_bundle_that_was_tampered_with_is_refused_in_one_line(
    attested: Attested, change: Callable[[dict[str, Any]], object]
) -> None:
    attested.change_bundle(change)
    with pytest.raises(AlteredEvidence, match="does not hold") as refusal:
        attested.verify()
    assert "\n" not in refusal.value.sentence


def test_the_part_of_one_bundle_does_not_prove_another(soup: Soup, tmp_path: Path) -> None:
    """A log entry is about one signature: an honest entry of another document does not cover this one."""
    other_statement = payload_of(predicate={"other": True})
    with standin(tmp_path / "services") as services:
        how = signing(soup, services)
        ours, other = signed(soup, how), signed(soup, how, other_statement)
        root = soup.write("trusted_root.json", json.dumps(services.trusted_root()))
    documents = [json.loads(each.bundle or "") for each in (ours, other)]
    documents[0]["verificationMaterial"]["tlogEntries"] = documents[1]["verificationMaterial"]["tlogEntries"]
    file = soup.write("a.json", json.dumps(documents[0]))
    with pytest.raises(AlteredEvidence, match="inconsistent"):
        verify_bundle(file, IDENTITY, ISSUER, root, staging=False)


def test_no_second_envelope_is_smuggled_in_under_a_duplicate_key(attested: Attested) -> None:
    text = attested.file.read_text()
    attested.file.write_text(text.replace('"payload":', '"payload":"e30=","payload":'))
    with pytest.raises(InputError, match="a key stands twice"):
        attested.verify()


def test_a_keyless_bundle_is_not_verified_by_a_key_nor_a_keyed_envelope_by_an_identity(attested: Attested) -> None:
    assert is_keyless(attested.file)
    with pytest.raises(Incomplete, match="signed by an identity"):
        verified_statement(attested.file, [bytes.fromhex(A)], None)
    attested.file.write_bytes(envelope(attested.event, PAYLOAD))
    assert not is_keyless(attested.file)
    with pytest.raises(Incomplete, match="not signed by an identity"):
        attested.verify()


def test_the_statement_is_read_from_the_verified_bytes(attested: Attested) -> None:
    verified = verify_bundle(attested.file, IDENTITY, ISSUER, attested.root, staging=False)
    artifact = attested.soup.write("model", "weights")
    assert read_statement(verified, artifact, PREDICATE) == json.loads(PAYLOAD)
    artifact.write_text("other")
    with pytest.raises(AlteredEvidence, match="no subject"):
        read_statement(verified, artifact)


@pytest.mark.parametrize("staging", [False, True])
def test_the_public_instances_do_not_vouch_for_a_stand_in_and_are_known_without_network(
    attested: Attested, monkeypatch: pytest.MonkeyPatch, staging: bool
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    home = attested.soup.work / "nobody's home"
    monkeypatch.setenv("HOME", str(home))
    with pytest.raises(AlteredEvidence, match="does not hold"):
        verify_bundle(attested.file, IDENTITY, ISSUER, None, staging=staging)
    assert not home.exists(), "verifying leaves nothing behind, and believes no cache"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"a":1,"a":2}', '{"mediaType":"other"}', '{"trustedRoot":[]}'])
def test_what_is_no_trusted_root_is_refused_by_name(attested: Attested, content: str) -> None:
    attested.root.write_text(content)
    with pytest.raises(InputError, match=r"trusted_root\.json.*no trusted root"):
        attested.verify()


def test_another_certificate_authority_may_mean_another_sigstore(attested: Attested) -> None:
    attested.change_root("certificateAuthorities")
    with pytest.raises(AlteredEvidence) as refusal:
        attested.verify()
    assert "another Sigstore" in (refusal.value.hint or "")


def test_what_a_hostile_certificate_says_steers_no_terminal(soup: Soup, tmp_path: Path) -> None:
    with standin(tmp_path / "services") as services:
        event = signed(soup, signing(soup, services, token=services.token(issuer="https://x/\x1b[2J\u202e")))
        root = soup.write("trusted_root.json", json.dumps(services.trusted_root()))
    with pytest.raises(AlteredEvidence) as refusal:
        verify_bundle(soup.write("a.json", bundle(event, PAYLOAD)), IDENTITY, ISSUER, root, staging=False)
    assert "https://x/\\u001b[2J" in refusal.value.sentence
    assert refusal.value.sentence.isprintable()


# Signing where the services, the token or the configuration is not what it should be


def refused(soup: Soup, how: Signing, hint: str | None = "") -> str:
    """Demand that signing is refused, with a hint that holds `hint` (None: without any); give the sentence."""
    with pytest.raises(InputError) as refusal:
        signed(soup, how)
    assert "\n" not in refusal.value.sentence
    assert refusal.value.hint is None if hint is None else hint in (refusal.value.hint or "")
    assert not soup.events(DocumentSigned2), "what does not verify is never recorded"
    return refusal.value.sentence


def test_services_that_are_down_are_named(soup: Soup, tmp_path: Path) -> None:
    with standin(tmp_path / "services") as services:
        how = signing(soup, services)
    assert f"{services.url}/api/v2/signingCert does not answer" in refused(soup, how)


@pytest.mark.parametrize("path", ["/api/v2/signingCert", "/api/v2/log/entries"])
def test_a_service_that_is_out_of_order_fails_the_command(soup: Soup, tmp_path: Path, path: str) -> None:
    with standin(tmp_path / "services") as services:
        services.faults.add(path)
        assert "503" in refused(soup, signing(soup, services), hint=None)


def test_without_a_time_stamp_a_bundle_that_needs_one_is_not_made(soup: Soup, tmp_path: Path) -> None:
    with standin(tmp_path / "services") as services:
        services.faults.add("/api/v1/timestamp")
        assert "timestamp" in refused(soup, signing(soup, services))


@pytest.mark.parametrize(("fault", "rekor"), [("inclusion proof", 1), ("inclusion proof", 2), ("sct", 2)])
def test_a_service_that_lies_is_found_before_anything_is_recorded(
    soup: Soup, tmp_path: Path, fault: str, rekor: int
) -> None:
    with standin(tmp_path / "services") as services:
        services.faults.add(fault)
        told = refused(soup, signing(soup, services, rekor))
    assert "invalid" in told


def test_a_token_of_somebody_else_or_of_the_past_is_refused_and_not_shown(soup: Soup, tmp_path: Path) -> None:
    with standin(tmp_path / "services") as services:
        genuine = services.token()
        forged = genuine.rpartition(".")[0] + ".AAAA"
        tokens = [forged, services.token(exp=1, iat=0), services.token(aud="other"), "not a token"]
        for token in tokens:
            assert token not in refused(soup, signing(soup, services, token=token), hint="fresh token")
    assert services.requests == ["/api/v2/signingCert"], "only the forged one looks like one from here"


def test_without_an_identity_and_a_terminal_nobody_is_asked(
    soup: Soup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with standin(tmp_path / "services") as services:
        config = signing(soup, services).trust_config
        assert "no identity to sign as" in refused(soup, Signing("sigstore", trust_config=config))
    assert services.requests == []


def test_the_surroundings_give_the_token_where_none_was_given(
    soup: Soup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow = "https://ci.example.org/team/project/.ci/train.yml@refs/heads/main"
    with standin(tmp_path / "services") as services:
        monkeypatch.setattr("sigstore.oidc.detect_credential", lambda: services.token(workflow))
        config = signing(soup, services).trust_config
        event = signed(soup, Signing("sigstore", trust_config=config))
        root = soup.write("trusted_root.json", json.dumps(services.trusted_root()))
    file = soup.write("a.json", bundle(event, PAYLOAD))
    assert verify_bundle(file, workflow, ISSUER, root, staging=False).payload == PAYLOAD
    assert event.identity == workflow


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"trustedRoot":{}}', "\x00"])
def test_what_is_no_trust_configuration_is_refused_by_name(soup: Soup, content: str) -> None:
    config = soup.write("trust.json", content)
    assert "trust.json" in refused(soup, Signing("sigstore", trust_config=config))


def test_what_sigstore_cannot_sign_is_said_before_any_service_is_asked(soup: Soup, tmp_path: Path) -> None:
    with standin(tmp_path / "services") as services:
        how = signing(soup, services)
        with at_work(soup) as session:
            with pytest.raises(UsageProblem, match="in-toto statements"):
                sign(session, how, "text/plain", PAYLOAD)
            with pytest.raises(InputError, match="too many for a Sigstore bundle"):
                sign(session, how, IN_TOTO, b"x" * (MAX_PAYLOAD + 1))
            with pytest.raises(InputError, match="malformed in-toto statement"):
                sign(session, how, IN_TOTO, b"{}")
    assert "/api/v2/log/entries" not in services.requests


def test_the_largest_statement_that_is_signed_fits_its_event(soup: Soup, tmp_path: Path) -> None:
    padded = payload_of(predicate={"a": "x" * (MAX_PAYLOAD - len(payload_of(predicate={"a": ""})))})
    assert len(padded) == MAX_PAYLOAD
    with standin(tmp_path / "services") as services:
        event = signed(soup, signing(soup, services), padded)
    assert dsse.decode(envelope(event, padded)).payload == padded


def test_where_the_library_is_missing_it_is_named(soup: Soup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore.dsse", None)
    assert "not installed" in refused(soup, Signing("sigstore", identity_token=None))
