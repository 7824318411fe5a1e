"""Statements: a pure function of the records, the form that in-toto asks for, whatever was recorded."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import canonical
from ledger.entry import time_text
from ledger.events import Event
from ledger.events.artifact import ArtifactObserved
from ledger.events.attestation import (
    AttestationDeclared2,
    AttestedArtifact,
    ClaimedCi,
    DependencyRole,
    EvaluationOutcome,
    ReferencedDocument,
    Release,
    SummarizedAttestation,
    SummaryPolicy,
    SummarySubject,
    UsedArtifact,
    VsaDeclared,
)
from ledger.events.base import Digest, FileDigest
from ledger.events.document import DocumentSigned
from ledger.reader import Record
from projections.attestation import predicates
from projections.attestation import statement as statements
from projections.attestation.statement import bundle, envelope, statement
from projections.documents import Sources
from projections.errors import ProjectionError
from tests.projections.ledgers import ATTESTATION, command, sha, started, stream

ORIGIN = "example.org/ledger"
TIME = 1_795_377_600_000_001


def record(position: int, event: Event, in_stream: str = stream(2), by: int = 2) -> Record:
    """A record as the reader gives it; only what a renderer looks at is true."""
    payload = canonical.encode(event)
    return Record(
        position, in_stream, 1, event.TYPE, TIME + position, command(by), "", b"", len(payload), None, payload,
        b"", b"", b"", 0, 0, 1, "",
    )  # fmt: skip


def sources(*records: Record) -> Sources:
    return Sources(ORIGIN, records)


def made(*records: Record) -> dict[str, Any]:
    document = json.loads(statement(sources(*records)))
    assert isinstance(document, dict)
    return document


def declared(**changes: Any) -> AttestationDeclared2:
    usual: dict[str, Any] = {
        "stage": "train",
        "subjects": [AttestedArtifact(name="a", digest=Digest(sha256=sha(1), origin="observed"), kind="file")],
        "builder": "soup-cli",
        "ci": None,
        "run": None,
        "invocation": None,
        "invocation_id": None,
        "started_on": None,
        "finished_on": None,
        "dependencies": [],
        "byproducts": [],
        "outcome": None,
        "release": None,
        "redactions": {},
    }
    return AttestationDeclared2(**{**usual, **changes})


digests = st.builds(
    Digest, sha256=st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}"), origin=st.sampled_from(["observed", "declared"])
)  # fmt: skip
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30)
kinds = st.sampled_from(["file", "directory", None])
declarations = st.builds(
    AttestationDeclared2,
    stage=st.sampled_from(["extract", "train", "eval", "export", "publish"]),
    subjects=st.lists(
        st.builds(AttestedArtifact, name=texts, digest=digests, kind=kinds),
        min_size=1,
        max_size=4,
        unique_by=lambda s: s.name,
    ),
    builder=texts,
    ci=st.none()
    | st.builds(ClaimedCi, system=st.just("github"), variables=st.dictionaries(st.just("GITHUB_SHA"), texts)),
    run=st.none(),
    invocation=st.none() | texts,
    invocation_id=st.none() | texts,
    started_on=st.none() | st.just(time_text(TIME)),
    finished_on=st.none() | st.just(time_text(TIME)),
    dependencies=st.lists(
        st.builds(
            UsedArtifact,
            role=st.sampled_from(get_args(DependencyRole)),
            name=st.none() | texts,
            digest=digests,
            kind=kinds,
            position=st.none() | st.integers(1, 9),
        ),
        max_size=3,
    ),
    byproducts=st.lists(
        st.builds(
            ReferencedDocument,
            kind=st.just("bom.spdx"),
            name=texts,
            media_type=st.just("application/json"),
            sha256=st.just(sha(3)),
            position=st.just(3),
        ),
        max_size=2,
    ),
    outcome=st.none()
    | st.builds(
        EvaluationOutcome,
        result=st.sampled_from(["PASSED", "WARNED", "FAILED"]),
        url=st.none() | st.just("https://ci.example/1"),
        passed=st.lists(texts, max_size=2),
        warned=st.lists(texts, max_size=2),
        failed=st.lists(texts, max_size=2),
    ),
    release=st.none() | st.builds(Release, purl=st.just("pkg:generic/x@1"), release_id=st.none() | texts),
    redactions=st.just({}),
)


@settings(max_examples=150, deadline=None)
@given(declarations)
def test_every_declaration_gives_a_statement_that_keeps_the_rules_of_in_toto(event: AttestationDeclared2) -> None:
    raw = statement(sources(record(5, event)))
    assert raw == statement(sources(record(5, event)))
    assert canonical.is_canonical(raw)
    document = json.loads(raw)
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    names = [subject["name"] for subject in document["subject"]]
    assert len(set(names)) == len(names)
    for subject in document["subject"]:
        assert set(subject["digest"]) == {"sha256"}  # all that sigstore-python accepts in a subject and we can give
        assert all(value == value.lower() and len(value) == 64 for value in subject["digest"].values())
    expected = {
        predicates.TEST_RESULT: event.outcome is not None,
        predicates.RELEASE: event.outcome is None and event.release is not None,
        predicates.PROVENANCE: event.outcome is None and event.release is None,
    }
    assert expected[document["predicateType"]]
    details = document["predicate"].get("runDetails", {})
    builder = details.get("builder") or document["subject"][0]["annotations"]["soup_builder"]
    assert predicates.URI.fullmatch(builder["id"])
    assert "SLSA_BUILD_LEVEL" not in raw.decode()


def test_an_old_declaration_still_folds() -> None:
    old = made(record(12, started("attest emit")), record(13, ATTESTATION))
    assert old["subject"] == [
        {"name": "adapter.safetensors", "digest": {"sha256": sha(1)}, "annotations": {"soup_origin": "observed"}}
    ]
    assert old["predicateType"] == predicates.PROVENANCE
    definition, details = old["predicate"]["buildDefinition"], old["predicate"]["runDetails"]
    assert definition["externalParameters"] == {"stage": "train", "invocation": "soup train"}
    assert definition["resolvedDependencies"] == [
        {
            "digest": {"sha256": sha(3)},
            "annotations": {"soup_origin": "declared", "soup_position": 6, "soup_role": "data"},
        }
    ]
    assert details["builder"] == {"id": "urn:soup-ledger:builder:local:soup-cli", "version": {"soup": "0.1.0"}}
    assert details["metadata"] == {"startedOn": "2026-11-22T20:00:00.000001Z"}
    assert definition["internalParameters"]["soup_ledger"] == {"command": command(2), "origin": ORIGIN, "position": 13}


def test_an_old_signature_is_put_around_an_old_declaration() -> None:
    payload = statement(sources(record(13, ATTESTATION)))
    signed = DocumentSigned(
        payload_sha256=canonical.sha256(payload).hex(), payload_type="x", key=sha(77), signature="ab" * 64
    )
    found = json.loads(envelope(sources(record(13, ATTESTATION), record(14, signed))))
    assert [each["keyid"] for each in found["signatures"]] == [sha(77)]


def test_without_a_declaration_or_a_signature_there_is_no_document() -> None:
    for render, records in (
        (statement, []),
        (statement, [record(1, started("x"))]),
        (envelope, [record(13, ATTESTATION)]),
        (bundle, [record(13, ATTESTATION)]),
    ):
        with pytest.raises(ProjectionError):
            render(sources(*records))


def test_the_newest_declaration_counts() -> None:
    assert made(record(1, declared(stage="train")), record(2, declared(stage="export")))["predicate"][
        "buildDefinition"
    ]["buildType"].endswith("export:v1")


def seen(files: int, directory: str = sha(1)) -> ArtifactObserved:
    return ArtifactObserved(
        role="subject",
        path="/srv/a",
        kind="directory",
        sha256=directory,
        size=files,
        files=[FileDigest(path=f"{n:05d}", sha256=sha(n), size=1) for n in range(files)],
    )


A_DIRECTORY = declared(
    subjects=[AttestedArtifact(name="a/", digest=Digest(sha256=sha(1), origin="observed"), kind="directory")]
)


def test_files_are_those_that_this_very_command_has_seen() -> None:
    mine, others = record(1, seen(2), f"model/{sha(1)}"), record(2, seen(3), f"model/{sha(1)}", by=1)
    assert [each["name"] for each in made(others, mine, record(3, A_DIRECTORY))["subject"]] == [
        "a/",
        "a/00000",
        "a/00001",
    ]
    assert [each["name"] for each in made(others, record(3, A_DIRECTORY))["subject"]] == ["a/"]
    assert [each["name"] for each in made(record(1, seen(2, sha(9))), record(3, A_DIRECTORY))["subject"]] == ["a/"]


def test_a_directory_of_very_many_files_is_its_dirhash_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "MAX_FILES", 2)
    assert len(made(record(1, seen(2)), record(3, A_DIRECTORY))["subject"]) == 3
    assert len(made(record(1, seen(3)), record(3, A_DIRECTORY))["subject"]) == 1


def test_two_files_of_one_name_get_a_name_each() -> None:
    twice = ArtifactObserved(
        role="subject",
        path="/srv/a",
        kind="directory",
        sha256=sha(1),
        size=2,
        files=[FileDigest(path="[redacted:token]", sha256=sha(n), size=1) for n in (1, 2)],
    )
    names = [each["name"] for each in made(record(1, twice), record(3, A_DIRECTORY))["subject"]]
    assert names == ["a/", "a/[redacted:token]", "a/[redacted:token]#2"]


def test_a_dependency_without_a_position_stands_on_the_declaration_itself() -> None:
    used = UsedArtifact(
        role="data", name=None, digest=Digest(sha256=sha(2), origin="declared"), kind="directory", position=None
    )
    (found,) = made(record(9, declared(dependencies=[used])))["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert found["digest"] == {"sha256": sha(2), "dirHash": sha(2)}
    assert found["annotations"]["soup_position"] == 9


def test_a_summary_holds_the_time_of_its_own_entry_and_foreign_digests_untouched() -> None:
    event = VsaDeclared(
        subjects=[SummarySubject(name=None, digest={"sha512": "ab" * 64, "gitCommit": "c" * 40})],
        verifier="https://verifier.example/",
        resource="pkg:generic/x@1",
        policy=SummaryPolicy(uri="https://verifier.example/p", sha256=sha(4)),
        attestation=SummarizedAttestation(
            name="a.json", uri=None, sha256=sha(5), predicate_type=None, builder=None, signer=None
        ),
        result="FAILED",
        levels=["FAILED"],
        reason="no signature holds",
        redactions={},
    )
    document = made(record(7, event))
    assert document["subject"] == [{"digest": {"sha512": "ab" * 64, "gitCommit": "c" * 40}}]
    assert document["predicate"]["timeVerified"] == time_text(TIME + 7)
    (examined,) = document["predicate"]["inputAttestations"]
    assert (examined["name"], examined["digest"]) == ("a.json", {"sha256": sha(5)})
    assert set(examined["annotations"]) == {"soup_reason", "soup_ledger"}


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("soup-cli", "urn:soup-ledger:builder:local:soup-cli"),
        ("my laptop", "urn:soup-ledger:builder:local:my-laptop"),
        ("https://ci.example/x@v1", "https://ci.example/x@v1"),
        ("https://ci.example/a b", "urn:soup-ledger:builder:local:https---ci.example-a-b"),
        ("C:", "urn:soup-ledger:builder:local:C-"),
    ],
)
def test_a_builder_is_always_a_uri(name: str, uri: str) -> None:
    assert predicates.builder_uri(name) == uri
