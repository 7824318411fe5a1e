"""The visible table of document kinds: a name, the function that renders it, and what shapes its bytes.

Adding a kind is one file and one line here. Bump the renderer's version whenever the same records would give other bytes.
"""

from __future__ import annotations

from typing import NamedTuple


class DocumentKind(NamedTuple):
    """One kind of document. `function` is `module:name`, a pure function from `documents.Sources` to bytes."""

    function: str
    renderer: str
    media_type: str
    libraries: tuple[str, ...]
    suffix: str


_CYCLONEDX = ("cyclonedx-python-lib", "license-expression")
_SPDX2 = ("spdx-tools", "license-expression")
_SPDX3 = ("spdx-python-model", "license-expression")
_ENVELOPE = "application/vnd.dsse.envelope.v1+json"
_BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"

DOCUMENTS: dict[str, DocumentKind] = {
    "bom.cyclonedx": DocumentKind(
        "projections.bom.fold:cyclonedx",
        "cyclonedx/2",
        "application/vnd.cyclonedx+json; version=1.6",
        _CYCLONEDX,
        ".cdx.json",
    ),
    "bom.cyclonedx17": DocumentKind(
        "projections.bom.fold:cyclonedx17",
        "cyclonedx17/2",
        "application/vnd.cyclonedx+json; version=1.7",
        _CYCLONEDX,
        ".cdx.json",
    ),
    "bom.spdx": DocumentKind(
        "projections.bom.fold:spdx2",
        "spdx2/2",
        "application/spdx+json; version=2.3",
        _SPDX2,
        ".spdx.json",
    ),
    "bom.spdx3": DocumentKind(
        "projections.bom.fold:spdx3",
        "spdx3/1",
        "application/spdx+json; version=3.0.1",
        _SPDX3,
        ".spdx3.json",
    ),
    "bom.cyclonedx.statement": DocumentKind(
        "projections.bom.statement:cyclonedx", "cyclonedx-statement/1", _ENVELOPE, _CYCLONEDX, ".cdx.intoto.json"
    ),
    "bom.cyclonedx17.statement": DocumentKind(
        "projections.bom.statement:cyclonedx17", "cyclonedx17-statement/1", _ENVELOPE, _CYCLONEDX, ".cdx.intoto.json"
    ),
    "bom.spdx.statement": DocumentKind(
        "projections.bom.statement:spdx2", "spdx2-statement/1", _ENVELOPE, _SPDX2, ".spdx.intoto.json"
    ),
    "bom.spdx3.statement": DocumentKind(
        "projections.bom.statement:spdx3", "spdx3-statement/1", _ENVELOPE, _SPDX3, ".spdx3.intoto.json"
    ),
    "attestation": DocumentKind(
        "projections.attestation.statement:envelope",
        "in-toto/2",
        _ENVELOPE,
        (),
        ".json",
    ),
    "attestation.bundle": DocumentKind(
        "projections.attestation.statement:bundle",
        "in-toto-bundle/2",
        _BUNDLE,
        (),
        ".sigstore.json",
    ),
    "model-signature": DocumentKind(
        "projections.attestation.oms:bundle",
        "oms/1",
        _BUNDLE,
        (),
        ".oms.json",
    ),
}
