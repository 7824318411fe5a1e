"""A recorded signature and its payload, as a DSSE envelope or as a Sigstore bundle: two wrappings of the same bytes.

What is true here:

- Both are assembled from the event alone, so a ledger gives them again byte for byte; nothing is signed here.
- A bundle of a key (not of a certificate) names it by the SHA-256 of its SubjectPublicKeyInfo, in `publicKey.hint` and in
  the signature's `keyid`: the two must be equal (sigstore/protobuf-specs, sigstore_bundle.proto). It has no entry of a
  transparency log and no time, and claims none: the ledger is the log.
- A keyless bundle holds an answer of outside services that nothing can make again; its recorded bytes are given as they are.

Not known here: what the payload says, and whether the signature holds.

Sources: DSSE 1.0.2; Sigstore bundle v0.3.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from hashlib import sha256

from ledger import dsse
from ledger.events.document import DocumentSigned, DocumentSigned2
from ledger.reader import Record
from projections.errors import ProjectionError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"

Signed = DocumentSigned | DocumentSigned2


def signature_for(records: Iterable[Record], payload: bytes) -> Signed:
    """Give the newest signature over exactly these bytes. Raises ProjectionError where there is none.

    An event that says `unsigned` counts: it takes back an older signature, so that none stays beside a new statement.
    """
    digest = sha256(payload).hexdigest()
    for record in sorted(records, key=lambda record: record.position, reverse=True):
        if record.type not in (DocumentSigned.TYPE, DocumentSigned2.TYPE):
            continue
        event = record.event()
        if isinstance(event, Signed) and event.payload_sha256 == digest:
            return event
    raise ProjectionError("the statement has no recorded signature")


def envelope(signed: Signed, payload: bytes) -> bytes:
    """Render the DSSE envelope and a newline; an unsigned one has no signatures. Raises ProjectionError."""
    _check_payload(signed, payload)
    signatures: tuple[dsse.Signature, ...] = ()
    if signed.signature is not None:
        signatures = (dsse.Signature(signed.key or "", bytes.fromhex(signed.signature)),)
    return dsse.encode(dsse.Envelope(payload, signed.payload_type, signatures)) + b"\n"


def bundle(signed: Signed, payload: bytes) -> bytes:
    """Render the Sigstore bundle v0.3 and a newline, or the recorded bundle as it is. Raises ProjectionError."""
    return bundle_under(lambda public: (hint := _base64(sha256(_spki(public)).digest()), hint), signed, payload)


def bundle_under(name: Callable[[str], tuple[str, str]], signed: Signed, payload: bytes) -> bytes:
    """As `bundle`, for a key that others name otherwise: `name` gives hint and key id of a public key in PEM."""
    _check_payload(signed, payload)
    if isinstance(signed, DocumentSigned):
        raise ProjectionError("the ledger holds no public key beside this signature, which a bundle needs; sign again")
    if signed.bundle is not None:
        return signed.bundle.encode()
    if signed.signature is None or signed.public is None:
        raise ProjectionError("a bundle holds a signature, and this document is unsigned")
    hint, keyid = name(signed.public)
    return _json(
        {
            "mediaType": BUNDLE_TYPE,
            "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": _base64(payload),
                "payloadType": signed.payload_type,
                "signatures": [{"keyid": keyid, "sig": _base64(bytes.fromhex(signed.signature))}],
            },
        }
    )


def _check_payload(signed: Signed, payload: bytes) -> None:
    if sha256(payload).hexdigest() != signed.payload_sha256:
        raise ProjectionError(f"the recorded signature is of {signed.payload_sha256}, not of this statement")


def _spki(public: str) -> bytes:
    """Give the DER that a PEM holds (RFC 7468 section 2)."""
    body = "".join(line for line in public.splitlines() if not line.startswith("-----"))
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise ProjectionError("the recorded public key is no PEM") from None


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _json(document: dict[str, object]) -> bytes:
    """One form: compact, in the order of the specification; ASCII, as every value is base64 or a media type."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
