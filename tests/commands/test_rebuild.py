"""`soup rebuild`: every document ever shown, again from the ledger, byte for byte, or the first difference."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from projections import kinds
from tests.runner import BOM, A, Soup, digest, tree_of

ATTEST = ("attest", "emit", "--stage", "train", "--subject", "adapter", "--sha", A, "--builder", "b")


@pytest.fixture
def emitted(soup: Soup) -> Soup:
    """A user who has emitted three documents of three kinds."""
    soup.ok(*BOM, "--base-sha", A, "--format", "both", "--output", "m")
    soup.ok(*ATTEST, "--output", "a.json")
    return soup


def everything(soup: Soup) -> int:
    """Emit a document of every kind; give how many."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    soup.write("p256.pem", pem).chmod(0o600)
    soup.write("model/weights", b"weights")
    p256 = ("--sign", "ecdsa-p256", "--key", "p256.pem")  # its signatures are random: no two are the same
    soup.ok(*BOM, "--base-sha", A, "--format", "all", *p256, "--output", "n")
    soup.ok(*BOM, "--base-sha", A, "--spec-version", "1.7", "--sign", "ed25519", "--output", "n17")
    soup.ok(*ATTEST, *p256, "--bundle", "b.sigstore.json", "--output", "b.json")
    soup.ok("attest", "model", "model", *p256, "--output", "model.sig")
    return 6 + 2 + 2 + 1


def check(soup: Soup) -> dict[str, Any]:
    found = soup.ok("rebuild", "--check", "--json").json
    assert isinstance(found, dict)
    return found


def test_every_document_ever_emitted_is_rebuilt_identically(emitted: Soup) -> None:
    emitted.ok(*BOM, "--base-sha", A)  # to standard output
    count = 4 + everything(emitted)
    found = check(emitted)
    assert found["counts"] == {"identical": count}
    assert {row["kind"] for row in found["documents"]} == set(kinds.DOCUMENTS)
    assert f"{count} documents: {count} identical" in emitted.ok("rebuild", "--check").out


def test_a_ledger_without_documents_has_nothing_to_compare(soup: Soup) -> None:
    assert check(soup)["documents"] == []


def test_rebuilding_does_not_touch_published_files(emitted: Soup) -> None:
    before = tree_of(emitted.work)
    emitted.write("m.cdx.json", "edited since")
    emitted.ok("rebuild")
    assert (emitted.work / "m.cdx.json").read_text() == "edited since"
    assert {**tree_of(emitted.work), "m.cdx.json": before["m.cdx.json"]} == before


def test_documents_of_another_renderer_are_not_comparable_and_no_alarm(
    emitted: Soup, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = kinds.DOCUMENTS["bom.cyclonedx"]
    monkeypatch.setitem(kinds.DOCUMENTS, "bom.cyclonedx", row._replace(renderer="cyclonedx/3"))
    found = check(emitted)
    assert found["counts"] == {"identical": 2, "not comparable": 1}
    (odd,) = [row for row in found["documents"] if row["verdict"] != "identical"]
    assert odd["reason"] == "rendered by cyclonedx/2, this is cyclonedx/3"


def test_documents_of_an_unknown_kind_are_not_comparable(emitted: Soup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(kinds.DOCUMENTS, "bom.spdx")
    assert check(emitted)["counts"] == {"identical": 2, "not comparable": 1}


def test_other_bytes_from_other_libraries_are_not_comparable(emitted: Soup, monkeypatch: pytest.MonkeyPatch) -> None:
    from projections import documents

    monkeypatch.setattr(documents, "libraries", lambda kind: {"cyclonedx-python-lib": "99"})
    assert check(emitted)["counts"] == {"identical": 3}  # the same bytes are the same bytes, whoever made them
    render = documents.render
    monkeypatch.setattr(documents, "render", lambda kind, sources: render(kind, sources) + b" ")
    assert check(emitted)["counts"] == {"not comparable": 3}


def test_other_bytes_from_the_same_renderer_are_an_alarm(emitted: Soup, monkeypatch: pytest.MonkeyPatch) -> None:
    from projections import documents

    render = documents.render
    monkeypatch.setattr(documents, "render", lambda kind, sources: render(kind, sources) + b" ")
    outcome = emitted("rebuild", "--check")
    assert outcome.code == 3
    assert "bom.cyclonedx is not what was emitted" in outcome.err
    assert "3 different" in outcome.out


def test_an_edited_payload_is_refused_before_it_is_rendered(emitted: Soup) -> None:
    connection = sqlite3.connect(emitted.ledger, isolation_level=None)
    (trigger,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'payloads_keep'").fetchone()
    (position,) = connection.execute("SELECT rowid FROM entries WHERE topic = 'bom.declared/2'").fetchone()
    connection.execute("DROP TRIGGER payloads_keep")
    connection.execute(
        'UPDATE payloads SET body = CAST(replace(CAST(body AS TEXT), \'"name":"m"\', \'"name":"n"\') AS BLOB) WHERE position = ?',
        (position,),
    )
    connection.execute(trigger)
    connection.close()
    outcome = emitted("rebuild", "--check")
    assert outcome.code == 3
    assert f"entry {position}: its payload does not hash to the digest in its header" in outcome.err


def test_the_projection_file_is_a_cache_that_may_be_deleted_and_is_made_again(emitted: Soup) -> None:
    emitted.ok("rebuild")
    files = [path for path in (emitted.home / "projections").rglob("*") if path.is_file()]
    assert files
    for path in files:
        path.unlink()
    emitted.ok("rebuild", "--check")
    emitted.ok("rebuild")
    assert [path for path in (emitted.home / "projections").rglob("*") if path.is_file()]


def test_with_publish_nothing_waits_after_whole_commands(emitted: Soup) -> None:
    before = tree_of(emitted.work)
    assert emitted.ok("rebuild", "--publish", "--json").json == []
    assert tree_of(emitted.work) == before


@pytest.mark.slow
def test_two_homes_with_one_ledger_rebuild_the_same_bytes(emitted: Soup) -> None:
    """A second process has other hash seeds, other threads, an empty cache."""
    assert emitted.with_env(PYTHONHASHSEED="1", TZ="Asia/Tokyo", LC_ALL="C").process("rebuild", "--check").code == 0
    assert digest((emitted.work / "a.json").read_bytes()) in emitted.ok("rebuild", "--check").out
