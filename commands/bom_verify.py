"""Checking a document that somebody holds: whether the ledger gives it again, and whether its inputs have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from commands.emit import restore_path
from commands.errors import CommandError, OutputError
from commands.observe import observe, read_small
from commands.record import Session
from ledger.entry import time_text
from ledger.events.artifact import ArtifactDeclared, ArtifactObserved
from ledger.events.document import DocumentRendered
from ledger.identity import read_identity
from ledger.reader import Reader, Record
from projections import documents

MAX_DOCUMENT = 256 * 1024 * 1024


def verify_document(session: Session, file: Path, *, kinds: tuple[str, ...], strict: bool) -> dict[str, Any]:
    """Check `file` in three steps; the report lists what was altered, and what could not be reached."""
    raw = read_small(file, MAX_DOCUMENT)
    digest = hashlib.sha256(raw).hexdigest()
    report: dict[str, Any] = {
        "file": str(file), "sha256": digest, "known": False, "altered": [], "unreachable": [], "lines": [f"sha256 {digest}"]
    }  # fmt: skip
    with session.reader() as reader:
        record = next(
            (
                record
                for record in reader.stream(f"document/{digest}")
                if isinstance(event := record.event(), DocumentRendered) and event.kind in kinds
            ),
            None,
        )
        if record is None:
            report["altered"] += list(_altered_copy(reader, file, digest, kinds))
            return report
        report["known"] = True
        _rebuild(reader, record, report)
        _inputs(reader, record, report)
    if strict:
        _strict(record, raw, report)
    return report


def _altered_copy(reader: Reader, file: Path, digest: str, kinds: tuple[str, ...]) -> Iterator[str]:
    """Say so where the ledger published other bytes under this very path: then somebody has changed the file."""
    here = str(file.resolve())
    for record in reversed(documents.rendered(reader)):
        event = record.event()
        if not isinstance(event, DocumentRendered) or event.kind not in kinds or event.target is None:
            continue
        try:
            target = restore_path(event.target)
        except OutputError:
            continue
        if str(target.resolve()) == here:
            yield f"the ledger published {event.sha256[:16]}... as {file} (entry {record.position}); it now has {digest[:16]}..."
            return


def _rebuild(reader: Reader, record: Record, report: dict[str, Any]) -> None:
    result = documents.compare(reader, read_identity(reader).origin, record)
    report["position"], report["rendered"] = record.position, time_text(record.time)
    report["lines"].append(
        f"ledger entry {record.position}, {time_text(record.time)}: {result.event.kind} by {result.event.renderer}"
    )
    report["lines"].append(f"rebuilt from the ledger: {result.verdict} {result.reason}".rstrip())
    if result.verdict == "different":
        report["altered"].append(f"the ledger no longer gives this document: {result.reason}")


def _inputs(reader: Reader, record: Record, report: dict[str, Any]) -> None:
    for entry in reader.of_command(record.command):
        event = entry.event()
        if isinstance(event, ArtifactDeclared):
            report["lines"].append(f"{event.role}: {event.sha256} was declared; nobody has seen the bytes")
        if not isinstance(event, ArtifactObserved):
            continue
        try:
            now = observe(restore_path(event.path)).sha256
        except CommandError as error:
            report["unreachable"].append(event.path)
            report["lines"].append(f"{event.role}: {event.path} is out of reach ({error})")
            continue
        if now == event.sha256:
            report["lines"].append(f"{event.role}: {event.path} is unchanged")
        else:
            report["altered"].append(
                f"{event.role}: {event.path} has changed: {event.sha256[:16]}... then, {now[:16]}... now"
            )
            report["lines"].append(report["altered"][-1])


def _strict(record: Record, raw: bytes, report: dict[str, Any]) -> None:
    from projections.bom.validate import check_strict

    event = record.event()
    if isinstance(event, DocumentRendered):
        check_strict(event.kind.removeprefix("bom."), raw)  # type: ignore[arg-type]  # a kind of this command
        report["lines"].append("strict validation: passed")
