"""A bill of materials as an in-toto Statement v1: the BOM is the predicate, the model is the subject, and both are signed.

What is true here:

- The subject is the model, by the digest that the BOM itself gives. Where no digest of the model is known, the subject is
  the BOM: the SHA-256 of the very file that `soup bom emit` writes. A subject is never invented, nor is its digest.
- The predicate is the BOM's JSON, value for value; only the layout is the statement's own.
- The statement is compact ASCII JSON with sorted keys: what steers a terminal is an escape in it. It is not the ledger's
  canonical form, which has no fractions; a BOM may.

Not known here: how a BOM is made, and who signs.

Sources: in-toto Statement v1; CycloneDX and SPDX as predicates (in-toto/attestation, spec/predicates).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

from projections.attestation.envelope import STATEMENT_TYPE, envelope, signature_for
from projections.bom import fold
from projections.documents import Sources


class Form(NamedTuple):
    """A document format: its renderer, what in-toto calls it, and the name of its file where that is the subject."""

    render: Callable[[Sources], bytes]
    predicate_type: str
    file: str


FORMS: dict[str, Form] = {
    "bom.cyclonedx": Form(fold.cyclonedx, "https://cyclonedx.org/bom", "bom.cdx.json"),
    "bom.cyclonedx17": Form(fold.cyclonedx17, "https://cyclonedx.org/bom", "bom.cdx.json"),
    "bom.spdx": Form(fold.spdx2, "https://spdx.dev/Document/v2.3", "bom.spdx.json"),
    "bom.spdx3": Form(fold.spdx3, "https://spdx.dev/Document/v3", "bom.spdx3.json"),
}


def payload(kind: str, sources: Sources) -> bytes:
    """Render the statement about the document `kind`, a row of `FORMS`: the bytes to be signed. Raises ProjectionError."""
    form = FORMS[kind]
    document = form.render(sources)
    statement: dict[str, Any] = {
        "_type": STATEMENT_TYPE,
        "subject": [_subject(sources, form, document)],
        "predicateType": form.predicate_type,
        "predicate": json.loads(document),
    }
    return json.dumps(statement, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()


def cyclonedx(sources: Sources) -> bytes:
    """Render the envelope around CycloneDX 1.6."""
    return _envelope("bom.cyclonedx", sources)


def cyclonedx17(sources: Sources) -> bytes:
    """Render the envelope around CycloneDX 1.7."""
    return _envelope("bom.cyclonedx17", sources)


def spdx2(sources: Sources) -> bytes:
    """Render the envelope around SPDX 2.3."""
    return _envelope("bom.spdx", sources)


def spdx3(sources: Sources) -> bytes:
    """Render the envelope around SPDX 3.0.1."""
    return _envelope("bom.spdx3", sources)


def _envelope(kind: str, sources: Sources) -> bytes:
    body = payload(kind, sources)
    return envelope(signature_for(sources.records, body), body)


def _subject(sources: Sources, form: Form, document: bytes) -> dict[str, Any]:
    facts = fold.bom_facts(sources)
    model = facts.artifact("model")
    if model is None or model.digest is None:
        return {"name": form.file, "digest": {"sha256": sha256(document).hexdigest()}}
    return {
        "name": facts.name,
        "digest": {"sha256": model.digest.sha256},
        "annotations": {"soup_origin": model.digest.origin},
    }
