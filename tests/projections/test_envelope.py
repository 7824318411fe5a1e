"""One recorded signature, two wrappings: whoever reads them gets the bytes that were signed, and nobody's word for more."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import given
from hypothesis import strategies as st
from sigstore_models.bundle.v1 import Bundle

from ledger import dsse
from ledger.errors import AlteredError
from ledger.events.base import Digest, Event
from ledger.events.document import DocumentSigned, DocumentSigned2
from ledger.reader import Reader
from projections import documents
from projections.attestation.envelope import BUNDLE_TYPE, bundle, envelope, signature_for
from projections.bom import statement
from projections.documents import Sources
from projections.errors import ProjectionError
from tests.projections.ledgers import BOM, command, sha, started
from tests.simulator import SmallLedger, found

IN_TOTO = "application/vnd.in-toto+json"
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
P256 = ec.derive_private_key(7, ec.SECP256R1())
payload_types = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=60)


def signed(payload: bytes, backend: str = "ed25519", payload_type: str = IN_TOTO, **other: Any) -> DocumentSigned2:
    """The event of a signature, made with another library than soup's."""
    message = dsse.pae(payload_type, payload)
    signature: bytes | None = None
    key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey = ED25519
    if backend == "ed25519":
        signature = ED25519.sign(message)
    elif backend == "ecdsa-p256":
        key, signature = P256, P256.sign(message, ec.ECDSA(hashes.SHA256()))
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    fields: dict[str, Any] = {
        "backend": backend,
        "payload_sha256": sha256(payload).hexdigest(),
        "payload_type": payload_type,
        "key": sha256(spki).hexdigest() if signature else None,
        "public": public if signature else None,
        "signature": signature.hex() if signature else None,
        "bundle": None,
        "identity": None,
    }
    return DocumentSigned2(**(fields | other))


def holds(spki: bytes, message: bytes, signature: bytes) -> None:
    """Raise where a signature does not hold under a key, by `cryptography`."""
    key = load_der_public_key(spki)
    if isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, message)
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))


@given(payload=st.binary(max_size=300), payload_type=payload_types, backend=st.sampled_from(["ed25519", "ecdsa-p256"]))
def test_envelope_and_bundle_hold_the_same_signature_over_the_same_bytes(
    payload: bytes, payload_type: str, backend: str
) -> None:
    event = signed(payload, backend, payload_type)
    outer = dsse.decode_strict(envelope(event, payload).removesuffix(b"\n"))
    inner = json.loads(bundle(event, payload))
    again = dsse.decode(json.dumps(inner["dsseEnvelope"]).encode())
    assert (outer.payload, outer.payload_type) == (again.payload, again.payload_type) == (payload, payload_type)
    assert outer.signatures[0].sig == again.signatures[0].sig
    assert event.public is not None
    spki = base64.b64decode("".join(event.public.splitlines()[1:-1]))
    holds(spki, dsse.pae(payload_type, payload), outer.signatures[0].sig)


@pytest.mark.parametrize("backend", ["ed25519", "ecdsa-p256"])
def test_a_bundle_of_a_key_names_it_twice_by_the_digest_of_its_public_key_and_claims_no_log_and_no_time(
    backend: str,
) -> None:
    event = signed(b"{}", backend)
    document = json.loads(bundle(event, b"{}"))
    key = (ED25519 if backend == "ed25519" else P256).public_key()
    hint = base64.b64encode(sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()).decode()
    assert document["mediaType"] == BUNDLE_TYPE
    assert document["verificationMaterial"] == {"publicKey": {"hint": hint}, "tlogEntries": []}
    assert [each["keyid"] for each in document["dsseEnvelope"]["signatures"]] == [hint]


@pytest.mark.parametrize("backend", ["ed25519", "ecdsa-p256"])
def test_a_bundle_is_one_by_sigstores_own_model(backend: str) -> None:
    parsed = Bundle.from_json(bundle(signed(b'{"a":1}', backend), b'{"a":1}'))
    assert parsed.dsse_envelope.payload == b'{"a":1}'


def test_a_keyless_bundle_is_given_byte_for_byte_as_it_was_recorded() -> None:
    recorded = '{"odd":  "layout", "mediaType": "x"}'
    assert bundle(signed(b"{}", "ecdsa-p256", bundle=recorded), b"{}") == recorded.encode()


def test_who_does_not_sign_gets_an_envelope_without_signatures_and_no_bundle() -> None:
    event = signed(b"{}", "unsigned")
    assert json.loads(envelope(event, b"{}"))["signatures"] == []
    with pytest.raises(ProjectionError, match="unsigned"):
        bundle(event, b"{}")


def test_a_signature_of_the_first_version_has_an_envelope_and_no_bundle_for_want_of_a_public_key() -> None:
    key = sha(7)
    event = DocumentSigned(
        payload_sha256=sha256(b"{}").hexdigest(),
        payload_type=IN_TOTO,
        key=key,
        signature=ED25519.sign(dsse.pae(IN_TOTO, b"{}")).hex(),
    )
    document = dsse.decode_strict(envelope(event, b"{}").removesuffix(b"\n"))
    assert dsse.verify(document, [ED25519.public_key().public_bytes_raw()]) == b"{}"
    assert document.signatures[0].keyid == key
    with pytest.raises(ProjectionError, match="public key"):
        bundle(event, b"{}")


@pytest.mark.parametrize("render", [envelope, bundle])
def test_a_signature_is_never_wrapped_around_another_payload(render: Any) -> None:
    with pytest.raises(ProjectionError, match="not of this statement"):
        render(signed(b"{}"), b"{ }")


def test_a_public_key_that_is_no_pem_makes_no_bundle() -> None:
    with pytest.raises(ProjectionError, match="no PEM"):
        bundle(signed(b"{}", public="-----BEGIN\n?\n-----END"), b"{}")


@given(st.binary(min_size=1, max_size=64), st.integers(min_value=0))
def test_no_flipped_bit_of_payload_or_signature_survives_verification(payload: bytes, bit: int) -> None:
    event = signed(payload)
    document = dsse.decode_strict(envelope(event, payload).removesuffix(b"\n"))
    altered = bytearray(payload + document.signatures[0].sig)
    altered[bit // 8 % len(altered)] ^= 1 << bit % 8
    body, sig = bytes(altered[: len(payload)]), bytes(altered[len(payload) :])
    forged = dsse.Envelope(body, IN_TOTO, (dsse.Signature("", sig),))
    with pytest.raises(AlteredError):
        dsse.verify(forged, [ED25519.public_key().public_bytes_raw()])


def append(ledger: SmallLedger, *events: tuple[str, Event]) -> Sources:
    """Append events to a real ledger, each by itself; give all its records."""
    writer = ledger.open()
    for event in events:
        writer.append(command(1), [event])
    writer.close()
    with Reader.open_foreign(ledger.path) as reader:
        return Sources(ledger.identity.origin, tuple(reader.records()))


def sources(directory: Path, *events: tuple[str, Event]) -> Sources:
    """The records of a new ledger that holds these events."""
    return append(found(directory), *events)


def test_the_newest_signature_over_exactly_these_bytes_counts(tmp_path: Path) -> None:
    older, newer, other = signed(b"{}"), signed(b"{}", "ecdsa-p256"), signed(b"[]")
    found_in = sources(tmp_path, ("document/a", older), ("document/a", newer), ("document/b", other))
    assert signature_for(found_in.records, b"{}") == newer
    assert signature_for(reversed(found_in.records), b"{}") == newer


def test_a_statement_emitted_again_unsigned_takes_the_stale_signature_away(tmp_path: Path) -> None:
    found_in = sources(tmp_path, ("document/a", signed(b"{}")), ("document/a", signed(b"{}", "unsigned")))
    assert json.loads(envelope(signature_for(found_in.records, b"{}"), b"{}"))["signatures"] == []


def test_what_nobody_signed_has_no_envelope(tmp_path: Path) -> None:
    with pytest.raises(ProjectionError, match="no recorded signature"):
        signature_for(sources(tmp_path, ("document/a", signed(b"{}"))).records, b"{} ")


WITHOUT_MODEL = {name: getattr(BOM, name) for name in BOM.__struct_fields__ if name != "model"}


def bom_sources(directory: Path, *, model: bool, sign: bool = False) -> Sources:
    """A ledger with a declared BOM; with `sign` also with the signature over its statement in CycloneDX."""
    digest = Digest(sha256=sha(1), origin="declared") if model else None
    declared = type(BOM)(**WITHOUT_MODEL, model=digest)
    ledger = found(directory)
    before = append(ledger, (f"command/{command(1)}", started("bom emit")), (f"command/{command(1)}", declared))
    return append(ledger, ("document/a", signed(statement.payload("bom.cyclonedx", before)))) if sign else before


@pytest.fixture(params=["bom.cyclonedx", "bom.spdx", "bom.spdx3"])
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """A document format."""
    return request.param  # type: ignore[no-any-return]


def test_the_subject_of_a_bom_is_the_model_and_says_whether_its_digest_was_seen(tmp_path: Path) -> None:
    payload = json.loads(statement.payload("bom.cyclonedx", bom_sources(tmp_path, model=True)))
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    assert payload["subject"] == [
        {"name": "llama", "digest": {"sha256": sha(1)}, "annotations": {"soup_origin": "declared"}}
    ]


def test_where_no_model_is_known_the_subject_is_the_very_file_that_the_bom_is(tmp_path: Path, kind: str) -> None:
    made = bom_sources(tmp_path, model=False)
    (subject,) = json.loads(statement.payload(kind, made))["subject"]
    assert subject["digest"] == {"sha256": sha256(statement.FORMS[kind].render(made)).hexdigest()}


def test_the_predicate_is_the_bom_value_for_value_under_the_type_in_toto_gives_it(tmp_path: Path, kind: str) -> None:
    made = bom_sources(tmp_path, model=True)
    payload = json.loads(statement.payload(kind, made))
    assert payload["predicate"] == json.loads(documents.render(kind, made))
    assert (
        payload["predicateType"]
        == {
            "bom.cyclonedx": "https://cyclonedx.org/bom",
            "bom.spdx": "https://spdx.dev/Document/v2.3",
            "bom.spdx3": "https://spdx.dev/Document/v3",
        }[kind]
    )


def test_every_form_of_bom_has_a_renderer_and_a_predicate_type_of_its_own_format() -> None:
    assert {name: form.predicate_type for name, form in statement.FORMS.items()} == {
        "bom.cyclonedx": "https://cyclonedx.org/bom",
        "bom.cyclonedx17": "https://cyclonedx.org/bom",
        "bom.spdx": "https://spdx.dev/Document/v2.3",
        "bom.spdx3": "https://spdx.dev/Document/v3",
    }


def test_the_envelope_of_a_bom_is_rebuilt_byte_for_byte_from_its_records(tmp_path: Path) -> None:
    made = bom_sources(tmp_path, model=True, sign=True)
    first = statement.cyclonedx(made)
    assert first == statement.cyclonedx(made)
    opened = dsse.decode_strict(first.removesuffix(b"\n"))
    assert dsse.verify(opened, [ED25519.public_key().public_bytes_raw()]) == statement.payload("bom.cyclonedx", made)


def test_a_bom_that_nobody_signed_has_no_envelope(tmp_path: Path) -> None:
    with pytest.raises(ProjectionError, match="no recorded signature"):
        statement.cyclonedx(bom_sources(tmp_path, model=True))
