"""The closed table of events: the type name in an entry header, and the struct that reads its payload.

Nothing outside of this table is ever decoded; a stored name is looked up here and never imported. Old versions stay for
ever: a changed event gets a new version and a line more.
"""

from __future__ import annotations

from ledger.events.artifact import ArtifactDeclared, ArtifactDescribed, ArtifactObserved
from ledger.events.attestation import AttestationDeclared2, VsaDeclared
from ledger.events.audit_log import AuditSegmentSealed
from ledger.events.base import Event
from ledger.events.command import CommandFinished, CommandStarted
from ledger.events.document import (
    AttestationDeclared,
    BomDeclared,
    BomDeclared2,
    DocumentPublished,
    DocumentRendered,
    DocumentSigned,
    DocumentSigned2,
    ModelSignatureDeclared,
)
from ledger.events.energy import EnergyDeclared, EnergyMeasured
from ledger.events.environment import EnvironmentObserved
from ledger.events.facts import FactsDeclared
from ledger.events.key import KeyRegistered
from ledger.events.ledger import LedgerCreated, LedgerExported
from ledger.events.query import QueryExecuted, ReceiptIssued
from ledger.events.run import RunCompleted, RunEvaluated, RunFailed, RunStarted

EVENT_TYPES: dict[str, type[Event]] = {
    event.TYPE: event
    for event in (
        LedgerCreated,
        LedgerExported,
        KeyRegistered,
        CommandStarted,
        CommandFinished,
        QueryExecuted,
        ReceiptIssued,
        ArtifactObserved,
        ArtifactDeclared,
        ArtifactDescribed,
        BomDeclared,
        BomDeclared2,
        FactsDeclared,
        EnergyDeclared,
        EnergyMeasured,
        EnvironmentObserved,
        RunStarted,
        RunEvaluated,
        RunCompleted,
        RunFailed,
        AttestationDeclared,
        AttestationDeclared2,
        VsaDeclared,
        DocumentRendered,
        DocumentSigned,
        DocumentSigned2,
        ModelSignatureDeclared,
        DocumentPublished,
        AuditSegmentSealed,
    )
}

__all__ = ["EVENT_TYPES", "Event"]
