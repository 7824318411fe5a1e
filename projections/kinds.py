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


DOCUMENTS: dict[str, DocumentKind] = {
    "bom.cyclonedx": DocumentKind(
        "projections.bom.fold:cyclonedx",
        "cyclonedx/1",
        "application/vnd.cyclonedx+json; version=1.6",
        ("cyclonedx-python-lib", "license-expression"),
        ".cdx.json",
    ),
    "bom.spdx": DocumentKind(
        "projections.bom.fold:spdx2",
        "spdx2/1",
        "application/spdx+json; version=2.3",
        ("spdx-tools", "license-expression"),
        ".spdx.json",
    ),
    "attestation": DocumentKind(
        "projections.attestation.statement:envelope",
        "in-toto-provenance/1",
        "application/vnd.dsse.envelope.v1+json",
        (),
        ".json",
    ),
}
