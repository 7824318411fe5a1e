"""OpenSSF Model Signing v1.0: one signature over every file of a model, which `model_signing verify` accepts.

What is true here:

- The files are those that soup hashed, sorted by name (code points); the subject's digest is SHA-256 over their raw digests in
  that order (OMS v1.0, section 6).
- What Git keeps beside a model (`.git` and its kin, at the top) is left out, and the statement says so, as the reference does.
- The bundle names its key as the reference implementation does: SHA-256, in hex, of the PEM text of the public key. A
  `keyid` it leaves empty.

Not known here: keys, and whether a signature holds. OMS knows EC keys and certificates only, no Ed25519.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from ledger.events.artifact import ArtifactObserved
from ledger.events.document import ModelSignatureDeclared
from projections.attestation.envelope import STATEMENT_TYPE, bundle_under, signature_for
from projections.documents import Sources
from projections.errors import ProjectionError

PREDICATE_TYPE = "https://model_signing/signature/v1.0"
IGNORED = (".git", ".gitattributes", ".github", ".gitignore")
"""Top-level names that are no part of a model."""


def statement(sources: Sources) -> bytes:
    """Give the statement that is signed. Raises ProjectionError where no directory or file was declared for signing."""
    declared, seen = _declaration(sources)
    files = (
        {file.path: file.sha256 for file in seen.files} if seen.kind == "directory" else {declared.name: seen.sha256}
    )
    listed = sorted((path, digest) for path, digest in files.items() if path.partition("/")[0] not in IGNORED)
    if not listed:
        raise ProjectionError("there is no file to sign")
    root = sha256(b"".join(bytes.fromhex(digest) for _, digest in listed)).hexdigest()
    return _json(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": declared.name, "digest": {"sha256": root}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "resources": [{"name": path, "digest": digest, "algorithm": "sha256"} for path, digest in listed],
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    "ignore_paths": list(IGNORED),
                },
            },
        }
    )


def bundle(sources: Sources) -> bytes:
    """Render the signature file: a Sigstore bundle. Raises ProjectionError where nothing has signed the statement."""
    payload = statement(sources)
    return bundle_under(_key_name, signature_for(sources.records, payload), payload)


def _key_name(public: str) -> tuple[str, str]:
    return sha256(public.encode()).hexdigest(), ""


def _declaration(sources: Sources) -> tuple[ModelSignatureDeclared, ArtifactObserved]:
    for record in reversed(sources.records):
        event = record.event() if record.type == ModelSignatureDeclared.TYPE else None
        if isinstance(event, ModelSignatureDeclared):
            for other in sources.records:
                seen = (
                    other.event() if other.command == record.command and other.type == ArtifactObserved.TYPE else None
                )
                if isinstance(seen, ArtifactObserved) and seen.sha256 == event.digest:
                    return event, seen
    raise ProjectionError("no model was declared for signing in these streams")


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode()
