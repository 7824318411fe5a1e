"""`soup attest`: what was signed can be checked with tools that soup did not write, and nothing in it was invented."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from commands.attest import STAGES
from commands.version import VERSION
from ledger.entry import time_text
from ledger.events.attestation import AttestationDeclared2
from ledger.events.document import DocumentRendered, DocumentSigned2
from tests.runner import BOM, A, B, C, Soup, digest, tree_of

PAYLOAD_TYPE = "application/vnd.in-toto+json"
TOKEN = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"
WEIGHTS = b"weights"
A_BOM = (*BOM, "--output", "bom.json")


def emit(soup: Soup, *more: str | Path, stage: str = "train", output: str = "train.json") -> dict[str, Any]:
    """Attest `adapter.safetensors`, which is there; give the envelope."""
    if not (soup.work / "adapter.safetensors").exists():
        soup.write("adapter.safetensors", WEIGHTS)
    line = ("attest", "emit", "--stage", stage, "--subject", "adapter.safetensors", "--builder", "soup-cli")
    soup.ok(*line, *more, "--output", output)
    envelope = json.loads((soup.work / output).read_bytes())
    assert isinstance(envelope, dict)
    return envelope


def statement(envelope: dict[str, Any]) -> dict[str, Any]:
    document = json.loads(base64.b64decode(envelope["payload"], validate=True))
    assert isinstance(document, dict)
    return document


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding, from its text (secure-systems-lab/dsse, protocol.md)."""
    return b" ".join(
        [b"DSSEv1", str(len(payload_type)).encode(), payload_type.encode(), str(len(payload)).encode(), payload]
    )


def author(soup: Soup, form: str = "vkey") -> str:
    return soup.ok("keys", "export", "author", "--format", form).out.strip()


def signed_by(key: Ed25519PrivateKey, payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """An envelope that somebody else made, with their own tools."""
    signature = key.sign(pae(payload_type, payload))
    return json.dumps(
        {
            "payloadType": payload_type,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": "", "sig": base64.b64encode(signature).decode()}],
        }
    ).encode()


@pytest.fixture
def stranger() -> tuple[Ed25519PrivateKey, str]:
    """A key that soup has never seen, and its public half in hex."""
    key = Ed25519PrivateKey.generate()
    return key, key.public_key().public_bytes_raw().hex()


# Emission.


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_is_a_statement_with_slsa_provenance_where_nothing_else_was_stated(soup: Soup, stage: str) -> None:
    envelope = emit(soup, "--sha", digest(WEIGHTS), stage=stage)
    assert set(envelope) == {"payload", "payloadType", "signatures"}
    assert envelope["payloadType"] == PAYLOAD_TYPE
    made = statement(envelope)
    assert set(made) == {"_type", "subject", "predicateType", "predicate"}
    assert made["_type"] == "https://in-toto.io/Statement/v1"
    assert made["predicateType"] == "https://slsa.dev/provenance/v1"
    (subject,) = made["subject"]
    assert (subject["name"], subject["digest"]) == ("adapter.safetensors", {"sha256": digest(WEIGHTS)})
    definition, run = made["predicate"]["buildDefinition"], made["predicate"]["runDetails"]
    assert set(definition) == {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"}
    assert set(run) == {"builder", "metadata", "byproducts"}
    assert definition["externalParameters"]["stage"] == stage
    assert definition["buildType"] == f"urn:soup-ledger:build-type:{stage}:v1"
    assert run["builder"] == {"id": "urn:soup-ledger:builder:local:soup-cli", "version": {"soup": VERSION}}
    assert run["byproducts"] == []
    assert "slsa" not in json.dumps(made["predicate"]).lower()  # a level is a verifier's conclusion


def test_an_unknown_stage_is_a_usage_error(soup: Soup) -> None:
    assert soup("attest", "emit", "--stage", "cook", "--subject", "x", "--sha", A, "--builder", "b").code == 2


def test_the_signature_holds_for_tools_that_soup_did_not_write(soup: Soup) -> None:
    envelope = emit(soup)
    payload = base64.b64decode(envelope["payload"])
    (signature,) = envelope["signatures"]
    public = load_pem_public_key(author(soup, "pem").encode())
    assert isinstance(public, Ed25519PublicKey)
    public.verify(base64.b64decode(signature["sig"]), pae(envelope["payloadType"], payload))
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature["sig"]), payload)


def test_an_unsigned_attestation_carries_no_signature_and_says_so(soup: Soup) -> None:
    assert emit(soup, "--sign", "unsigned")["signatures"] == []
    (event,) = soup.events(DocumentSigned2)
    assert (event.backend, event.key, event.signature) == ("unsigned", None, None)
    outcome = soup("attest", "verify", "train.json", "--key", author(soup))
    assert outcome.code == 4
    assert "is unsigned" in outcome.err


def test_without_an_output_the_envelope_and_nothing_else_is_on_stdout(soup: Soup) -> None:
    soup.write("x", WEIGHTS)
    outcome = soup.ok("attest", "emit", "--stage", "eval", "--subject", "x", "--builder", "b")
    assert outcome.json["payloadType"] == PAYLOAD_TYPE
    assert soup.events(DocumentRendered)[0].sha256 == digest(outcome.raw)


def test_a_subject_that_is_here_is_hashed_and_one_that_is_not_is_declared(soup: Soup) -> None:
    (here,) = statement(emit(soup))["subject"]
    assert here["annotations"] == {"soup_origin": "observed"}
    soup.ok(
        "attest", "emit", "--stage", "eval", "--subject", "far", "--sha", B, "--builder", "b", "--output", "far.json"
    )
    (far,) = statement(json.loads((soup.work / "far.json").read_bytes()))["subject"]
    assert (far["digest"], far["annotations"]) == ({"sha256": B}, {"soup_origin": "declared"})


def test_a_subject_that_is_here_must_match_the_typed_digest(soup: Soup) -> None:
    soup.write("adapter.safetensors", WEIGHTS)
    outcome = soup(
        "attest", "emit", "--stage", "train", "--subject", "adapter.safetensors", "--sha", A, "--builder", "b"
    )
    assert (outcome.code, outcome.raw) == (1, b"")
    assert "--sha says" in outcome.err
    assert soup.events(AttestationDeclared2) == []


def test_a_subject_that_is_neither_here_nor_has_a_digest_is_an_error(soup: Soup) -> None:
    outcome = soup("attest", "emit", "--stage", "train", "--subject", "nothing", "--builder", "b")
    assert outcome.code == 1
    assert "there is no file 'nothing'" in outcome.err


@pytest.mark.parametrize("sha", ["", "a" * 63, "z" * 64])
def test_a_digest_is_64_hex_digits(soup: Soup, sha: str) -> None:
    assert soup("attest", "emit", "--stage", "train", "--subject", "x", "--sha", sha, "--builder", "b").code == 2


def test_a_secret_in_an_invocation_reaches_neither_statement_nor_ledger(soup: Soup) -> None:
    hf_token = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz012345"
    line = f"HF_TOKEN={hf_token} soup train --api-key correct-horse-battery --url https://u:hunter2hunter2@h/x {TOKEN}"
    envelope = emit(soup, "--invocation", line)
    everywhere = json.dumps(statement(envelope)).encode() + soup.stored()
    found = {
        secret
        for secret in (hf_token, "correct-horse-battery", "hunter2hunter2", TOKEN)
        if secret.encode() in everywhere
    }
    assert found == set()
    assert "soup train" in statement(envelope)["predicate"]["buildDefinition"]["externalParameters"]["invocation"]


# What happened before is looked up, never made up.


def metadata(soup: Soup, *more: str) -> dict[str, Any]:
    found = statement(emit(soup, *more))["predicate"]["runDetails"]["metadata"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    "more", [(), ("--invocation", "soup train --config soup.yaml"), ("--invocation", "an 'open quote")]
)
def test_times_that_no_event_knows_are_left_out(soup: Soup, more: tuple[str, ...]) -> None:
    assert metadata(soup, *more) == {}


def test_times_are_those_of_the_recorded_command(soup: Soup) -> None:
    soup.ok("ledger", "log", "--limit", "3")
    found = metadata(soup, "--invocation", "soup ledger log --limit 3")
    begin = next(record for record in soup.records() if record.type == "command.started/1")
    end = next(record for record in soup.records() if record.type == "command.finished/1")
    assert found == {
        "invocationId": f"urn:uuid:{begin.command}",
        "startedOn": time_text(begin.time),
        "finishedOn": time_text(end.time),
    }


@pytest.mark.slow
def test_a_command_without_an_end_lends_no_times(soup: Soup) -> None:
    soup.ok("keys", "list")
    soup.killed_at("commands.record:_finish", "ledger", "log", "--limit", "3")
    assert metadata(soup, "--invocation", "soup ledger log --limit 3") == {}


def test_a_command_that_failed_lends_no_times(soup: Soup) -> None:
    soup("ledger", "show", "999")
    assert metadata(soup, "--invocation", "soup ledger show 999") == {}


def test_a_command_cannot_name_itself_as_its_own_invocation(soup: Soup) -> None:
    soup.write("x", WEIGHTS)
    soup.ok("attest", "emit", "--stage", "train", "--subject", "x", "--builder", "b", "--invocation", "soup keys list")
    assert soup.events(AttestationDeclared2)[0].invocation_id is None


def dependencies(envelope: dict[str, Any]) -> list[tuple[str, str, str]]:
    found = statement(envelope)["predicate"]["buildDefinition"]["resolvedDependencies"]
    return [
        (each["annotations"]["soup_role"], each["digest"]["sha256"], each["annotations"]["soup_origin"])
        for each in found
    ]


def test_without_an_earlier_bill_of_materials_there_are_no_dependencies(soup: Soup) -> None:
    soup.ok(*A_BOM, "--base-sha", A, "--data-sha", B)  # of another model
    assert dependencies(emit(soup)) == []


def test_dependencies_are_those_of_the_newest_bill_of_materials_of_this_very_artifact(soup: Soup) -> None:
    soup.write("adapter.safetensors", WEIGHTS)
    soup.write("data.jsonl", "{}\n")
    soup.ok(*A_BOM, "--model", "adapter.safetensors", "--base-sha", C)
    soup.ok(*A_BOM, "--model", "adapter.safetensors", "--base-sha", A, "--config-sha", B, "--data", "data.jsonl")
    assert dependencies(emit(soup)) == [
        ("base", A, "declared"),
        ("config", B, "declared"),
        ("data", digest("{}\n"), "observed"),
    ]
    position = statement(emit(soup))["predicate"]["buildDefinition"]["resolvedDependencies"][0]["annotations"][
        "soup_position"
    ]
    assert next(record for record in soup.records() if record.position == position).type == "bom.declared/2"


def test_an_attestation_is_rebuilt_byte_for_byte(soup: Soup) -> None:
    emit(soup)
    emit(soup, "--sign", "unsigned", output="unsigned.json")
    assert soup.ok("rebuild", "--check", "--json").json["counts"] == {"identical": 2}


@pytest.mark.slow
def test_a_kill_between_record_and_rename_is_completed_with_the_same_signature(soup: Soup) -> None:
    soup.write("adapter.safetensors", WEIGHTS)
    line = (
        "attest",
        "emit",
        "--stage",
        "train",
        "--subject",
        "adapter.safetensors",
        "--builder",
        "b",
        "--output",
        "a.json",
    )
    soup.killed_at("commands.publish:Publication.commit", *line)
    assert not (soup.work / "a.json").exists()
    soup.ok("rebuild", "--publish")
    assert digest((soup.work / "a.json").read_bytes()) == soup.events(DocumentRendered)[0].sha256
    soup.ok("attest", "verify", "a.json", "--key", author(soup), "--artifact", "adapter.safetensors")


def test_an_envelope_that_soup_did_not_write_needs_force(soup: Soup) -> None:
    soup.write("train.json", "theirs")
    outcome = soup(
        "attest", "emit", "--stage", "train", "--subject", "x", "--sha", A, "--builder", "b", "--output", "train.json"
    )
    assert outcome.code == 1
    assert tree_of(soup.work) == {"train.json": b"theirs"}


# Verification.


@pytest.mark.parametrize("form", ["vkey", "hex", "pem"])
def test_an_envelope_is_valid_under_the_authors_key_in_any_form(soup: Soup, form: str) -> None:
    emit(soup)
    outcome = soup.ok(
        "attest", "verify", "train.json", "--key", author(soup, form), "--artifact", "adapter.safetensors"
    )
    assert outcome.out.startswith("valid ")
    assert "artifact    matches a subject" in outcome.out
    assert "Build L1" in outcome.out


def test_a_key_may_come_in_a_file_or_as_a_trust_root(soup: Soup) -> None:
    emit(soup)
    soup.ok("keys", "export", "--format", "pem", "--output", "author.pem")
    soup.ok("keys", "export", "--trust-root", "--output", "root.json")
    soup.ok("attest", "verify", "train.json", "--key", "author.pem")
    soup.ok("attest", "verify", "train.json", "--key", "root.json")
    soup.ok("attest", "verify", "train.json", "--key", B, "--key", "author.pem")


def test_without_a_trusted_key_the_answer_is_never_valid(soup: Soup) -> None:
    emit(soup)
    outcome = soup("attest", "verify", "train.json")
    assert (outcome.code, outcome.raw) == (4, b"")
    assert "cannot be called valid" in outcome.err


def test_a_key_that_did_not_sign_makes_nothing_valid(soup: Soup, stranger: tuple[Ed25519PrivateKey, str]) -> None:
    emit(soup)
    for key in (stranger[1], soup.ok("keys", "export", "log").out.strip()):
        outcome = soup("attest", "verify", "train.json", "--key", key)
        assert (outcome.code, outcome.raw) == (3, b"")


def test_what_is_no_key_is_an_error(soup: Soup) -> None:
    emit(soup)
    soup.write("notes", "my key is under the mat")
    for key in ("notes", "nothing-there", "ab" * 31):
        assert soup("attest", "verify", "train.json", "--key", key).code == 1


def test_another_artifact_is_not_the_subject(soup: Soup) -> None:
    emit(soup)
    soup.write("other", "other weights")
    outcome = soup("attest", "verify", "train.json", "--key", author(soup), "--artifact", "other")
    assert (outcome.code, outcome.raw) == (3, b"")
    assert "is no subject of this attestation" in outcome.err


def test_an_edited_payload_is_found(soup: Soup) -> None:
    envelope = emit(soup)
    payload = base64.b64decode(envelope["payload"]).replace(digest(WEIGHTS).encode(), A.encode())
    soup.write("train.json", json.dumps({**envelope, "payload": base64.b64encode(payload).decode()}))
    assert soup("attest", "verify", "train.json", "--key", author(soup)).code == 3


def test_a_payload_type_that_was_not_signed_is_found(soup: Soup) -> None:
    envelope = emit(soup)
    soup.write("train.json", json.dumps({**envelope, "payloadType": "application/vnd.in-toto+jso"}))
    assert soup("attest", "verify", "train.json", "--key", author(soup)).code == 3


def test_a_signature_of_another_statement_is_found(soup: Soup) -> None:
    one, other = emit(soup), emit(soup, stage="eval", output="eval.json")
    soup.write("train.json", json.dumps({**one, "signatures": other["signatures"]}))
    assert soup("attest", "verify", "train.json", "--key", author(soup)).code == 3


def test_a_stripped_signature_is_unsigned_not_valid(soup: Soup) -> None:
    soup.write("train.json", json.dumps({**emit(soup), "signatures": []}))
    assert soup("attest", "verify", "train.json", "--key", author(soup)).code == 4


def test_one_good_signature_beside_a_bad_one_is_enough_and_a_key_id_decides_nothing(soup: Soup) -> None:
    envelope = emit(soup)
    (good,) = envelope["signatures"]
    bad = {"keyid": good["keyid"], "sig": base64.b64encode(bytes(64)).decode()}
    soup.write("train.json", json.dumps({**envelope, "signatures": [bad, {**good, "keyid": "nobody"}]}))
    soup.ok("attest", "verify", "train.json", "--key", author(soup))


@pytest.mark.parametrize(
    "payload",
    [
        b'{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%b"}}],"subject":[{"digest":{"sha256":"%b"}}]}'
        % (A.encode(), B.encode()),
        b'{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"%b","sha256":"%b"}}]}'
        % (A.encode(), B.encode()),
        b'{"_type":"https://in-toto.io/Statement/v1","subject":[]}',
        b'{"_type":"https://in-toto.io/Statement/v2","subject":[{"digest":{"sha256":"%b"}}]}' % A.encode(),
        b'{"_type":"https://in-toto.io/Statement/v1"}',
        b'{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x"}]}',
        b'{"_type":"https://in-toto.io/Statement/v1","subject":{"digest":{"sha256":"x"}}}',
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"_type":"https://in-toto.io/Statement/v1","subject":[1]}',
    ],
    ids=["two subjects", "two digests", "no subject", "another version", "subject missing", "no digest", "an object",
         "a list", "null", "no UTF-8", "deep", "a number"],
)  # fmt: skip
def test_a_signed_payload_that_parsers_could_read_in_two_ways_or_none_is_refused(
    soup: Soup, stranger: tuple[Ed25519PrivateKey, str], payload: bytes
) -> None:
    key, public = stranger
    soup.write("theirs.json", signed_by(key, payload))
    outcome = soup("attest", "verify", "theirs.json", "--key", public, "--json")
    assert (outcome.code, outcome.raw) == (1, b"")
    assert "a fault in soup itself" not in outcome.err


def test_a_signed_payload_of_another_type_is_refused(soup: Soup, stranger: tuple[Ed25519PrivateKey, str]) -> None:
    key, public = stranger
    soup.write("theirs.json", signed_by(key, b"{}", "application/vnd.other+json"))
    assert soup("attest", "verify", "theirs.json", "--key", public).code == 1


def test_a_strangers_attestation_verifies_under_their_key(soup: Soup, stranger: tuple[Ed25519PrivateKey, str]) -> None:
    key, public = stranger
    soup.write("x", "x")
    made = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"digest": {"sha256": digest("x")}}],
        "predicateType": "https://example.org/tested\x1b[2J",
        "predicate": ["of", {"any": "shape"}],
    }
    soup.write("theirs.json", signed_by(key, json.dumps(made).encode()))
    outcome = soup.ok("attest", "verify", "theirs.json", "--key", public, "--artifact", "x")
    assert "\x1b" not in outcome.out
    assert soup.ok("attest", "verify", "theirs.json", "--key", public, "--json").json == made


@pytest.mark.parametrize(
    "predicate",
    [
        {"buildDefinition": {"resolvedDependencies": 5}},
        {"buildDefinition": {"resolvedDependencies": ["x"]}},
        {"buildDefinition": {"resolvedDependencies": [{"digest": "x"}]}},
        {"buildDefinition": 1},
        {"buildDefinition": {"resolvedDependencies": {"a": 1}}},
    ],
)
def test_a_predicate_of_any_shape_is_shown_without_a_fault(
    soup: Soup, stranger: tuple[Ed25519PrivateKey, str], predicate: dict[str, Any]
) -> None:
    key, public = stranger
    made = {"_type": "https://in-toto.io/Statement/v1", "subject": [{"digest": {"sha256": A}}], "predicate": predicate}
    soup.write("theirs.json", signed_by(key, json.dumps(made).encode()))
    outcome = soup("attest", "verify", "theirs.json", "--key", public)
    assert "a fault in soup itself" not in outcome.err
    assert outcome.code in {0, 1}


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[]", b"not json", b"\xff\xfe", b'{"payload":1,"payloadType":"x","signatures":[]}']
)
def test_what_is_no_envelope_is_an_error(soup: Soup, raw: bytes) -> None:
    soup.write("x.json", raw)
    outcome = soup("attest", "verify", "x.json", "--key", A)
    assert outcome.code == 1
    assert "is no DSSE envelope" in outcome.err


def test_with_json_the_verified_statement_and_nothing_else_is_on_stdout(soup: Soup) -> None:
    envelope = emit(soup)
    assert soup.ok("attest", "verify", "train.json", "--key", author(soup), "--json").json == statement(envelope)
