"""SLSA Verification Summary v1: an attestation was verified under keys and a policy, and this came of it.

What is true here:

- `timeVerified` is the time of the entry that holds the result.
- A level stands here and nowhere else: the verifier's policy maps a signer and a builder to it. FAILED has no level.
- Subjects are those of the attestation that was verified, digests untouched. Where its signature did not hold, nothing in it
  was believed: the only subject is the artifact that the verifier had in hand.

Not known here: how it was verified.

Source: SLSA v1.1, Verification Summary Attestation (`slsaVersion` names the version whose rules were applied).
"""

from __future__ import annotations

from typing import Any

from ledger.entry import time_text
from ledger.events.attestation import VsaDeclared
from ledger.events.command import CommandStarted
from ledger.reader import Record
from projections.documents import Sources

PREDICATE_TYPE = "https://slsa.dev/verification_summary/v1"
SLSA_VERSION = "1.1"

Object = dict[str, Any]


def subjects(declared: VsaDeclared) -> list[Object]:
    """Give the subjects as ResourceDescriptors."""
    return [
        {**({"name": subject.name} if subject.name is not None else {}), "digest": subject.digest}
        for subject in declared.subjects
    ]


def predicate(sources: Sources, record: Record, declared: VsaDeclared) -> tuple[str, Object]:
    """Give the predicate's type and body."""
    return PREDICATE_TYPE, {
        "verifier": {"id": declared.verifier, "version": {"soup": _soup_version(sources, record)}},
        "timeVerified": time_text(record.time),
        "resourceUri": declared.resource,
        "policy": {"uri": declared.policy.uri, "digest": {"sha256": declared.policy.sha256}},
        "inputAttestations": [_input(sources, record, declared)],
        "verificationResult": declared.result,
        "verifiedLevels": declared.levels,
        "slsaVersion": SLSA_VERSION,
    }


def _input(sources: Sources, record: Record, declared: VsaDeclared) -> Object:
    """Give the attestation's descriptor. What came of it in words, and where that is recorded, stands in its annotations."""
    given = declared.attestation
    seen = {
        "soup_predicate_type": given.predicate_type,
        "soup_builder": given.builder,
        "soup_signer": given.signer,
        "soup_reason": declared.reason,
        "soup_ledger": {"command": record.command, "origin": sources.origin, "position": record.position},
    }
    descriptor: Object = {
        "name": given.name,
        "digest": {"sha256": given.sha256},
        "annotations": {name: value for name, value in seen.items() if value is not None},
    }
    if given.uri is not None:
        descriptor["uri"] = given.uri
    return descriptor


def _soup_version(sources: Sources, record: Record) -> str:
    for other in sources.records:
        event = other.event() if other.type == CommandStarted.TYPE and other.command == record.command else None
        if isinstance(event, CommandStarted):
            return event.soup_version
    return "unknown"
