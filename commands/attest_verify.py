"""Verifying an attestation that somebody hands in: the signature first, and only then what it says.

What is true here:

- What is read is what was verified, byte for byte; payload type, statement type, predicate type and subject are checked
  after the signature, and all of them are part of what was signed.
- Subjects are matched by digest only (in-toto Statement v1). Names are for people.

Not known here: how a signature is verified (`commands.signing.verify`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from commands.errors import AlteredEvidence, InputError, quoted
from commands.observe import observe
from commands.signing.verify import Verified, verify_keyed, verify_keyless
from projections.attestation.envelope import PAYLOAD_TYPE, STATEMENT_TYPE


def verified_statement(file: Path, trusted: Sequence[bytes], artifact: Path | None) -> dict[str, Any]:
    """Give the statement that one of the `trusted` keys has signed, with `artifact` among its subjects.

    `file` is a DSSE envelope or a Sigstore bundle of a key; keys are as `commands.signing.verify.trusted_keys` reads them.
    Raises InputError for what is no envelope or statement, AlteredEvidence where no trusted key signed these bytes or the
    artifact is another, Incomplete where nobody signed or no key was given.
    """
    return read_statement(verify_keyed(file, trusted), artifact)


def verify_bundle(
    file: Path,
    identity: str | None,
    issuer: str | None,
    trusted_root: Path | None,
    staging: bool,
    offline: bool = True,
) -> Verified:
    """Verify a keyless Sigstore bundle; see `commands.signing.verify.verify_keyless`. `read_statement` reads the answer."""
    return verify_keyless(file, identity, issuer, trusted_root, staging=staging, offline=offline)


def read_statement(
    verified: Verified, artifact: Path | None = None, predicate_type: str | None = None
) -> dict[str, Any]:
    """Read what has been verified; demand the wanted subject and predicate. Raises InputError, AlteredEvidence."""
    statement = _parse(verified.payload_type, verified.payload)
    if predicate_type is not None and statement["predicateType"] != predicate_type:
        raise AlteredEvidence(
            f"the statement holds {quoted(statement['predicateType'])}, not the wanted {quoted(predicate_type)}"
        )
    if artifact is not None:
        _match_artifact(statement, artifact, observe(artifact).sha256)
    return statement


def _parse(payload_type: str, payload: bytes) -> dict[str, Any]:
    """Read what has been verified; the type is part of what was signed, and must be the one expected."""
    if payload_type != PAYLOAD_TYPE:
        raise InputError(f"the envelope holds {quoted(payload_type)}, not an in-toto statement")
    try:
        statement = json.loads(payload, object_pairs_hook=_no_duplicates)
        subjects = statement["subject"]
        well_formed = statement["_type"] == STATEMENT_TYPE and all(
            isinstance(subject["digest"], dict) for subject in subjects
        )
        well_formed = well_formed and isinstance(statement["predicateType"], str)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"the signed payload is no in-toto statement: {error}") from None
    if not well_formed or not subjects:
        raise InputError("the signed payload is no in-toto Statement v1 with a subject")
    return dict(statement)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _match_artifact(statement: dict[str, Any], artifact: Path, sha256: str) -> None:
    """Subjects are matched by digest only (in-toto Statement v1)."""
    if all(subject["digest"].get("sha256") != sha256 for subject in statement["subject"]):
        raise AlteredEvidence(f"{quoted(artifact)} has SHA-256 {sha256}, which is no subject of this attestation")


def summary(statement: dict[str, Any], artifact: Path | None, signer: str = "a key that you trust") -> Iterator[str]:
    """Say what was verified. The predicate is signed, but its form is the signer's business: odd parts are left out."""
    yield f"valid       signed by {signer}"
    for subject in statement["subject"]:
        yield f"subject     {_named(subject)}"
    yield f"artifact    {'matches a subject' if artifact else 'not checked: none was given (--artifact)'}"
    yield f"predicate   {statement.get('predicateType')}"
    for dependency in _list(_part(statement, "predicate", "buildDefinition", "resolvedDependencies")):
        yield f"dependency  {_named(dependency)}"
    yield "not proven  the SLSA level: that depends on how far you trust the builder (on one's own machine, Build L1)"


def _named(descriptor: Any) -> str:
    return f"{_part(descriptor, 'name') or '(no name)'} sha256:{_part(descriptor, 'digest', 'sha256') or '?'}"


def _part(value: Any, *path: str) -> Any:
    """Give a nested member, None where anything on the way is missing or no object."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
