"""Ledgers for the tests of the projections: one that holds every kind of event, and one of any length."""

from __future__ import annotations

import os
from pathlib import Path

from ledger.events import Event
from ledger.events.artifact import ArtifactDeclared, ArtifactObserved
from ledger.events.base import Digest, FileDigest
from ledger.events.command import Base64Argument, CommandFinished, CommandStarted, Operator, Process
from ledger.events.document import (
    AttestationDeclared,
    BomDeclared,
    Dependency,
    DocumentPublished,
    DocumentRendered,
    DocumentSigned,
)
from ledger.events.ledger import LedgerExported
from ledger.events.query import QueryExecuted, ReceiptIssued
from tests.simulator import SmallLedger, declared, found, ticking


def sha(number: int) -> str:
    return f"{number:064x}"


def command(number: int) -> str:
    return f"0190a1b2-0000-7000-8000-{number:012d}"


def stream(number: int) -> str:
    return f"command/{command(number)}"


def started(name: str, *arguments: str | Base64Argument, pid: int = 42) -> CommandStarted:
    return CommandStarted(
        command=name,
        argv=["soup", *name.split(), *arguments],
        directory="/work",
        operator=Operator(uid=1000, user="ada", claimed={"USER": "root"}),
        process=Process(host="host", pid=pid, boot_id=None, started_ticks=1),
        soup_version="0.1.0",
        redactions={"e-mail": 2, "token": 1},
    )


def finished(exit_code: int, error: str | None = None) -> CommandFinished:
    return CommandFinished(exit_code=exit_code, duration_us=1_234_567, error=error, redactions={"e-mail": 3})


def rendered(kind: str, media_type: str, number: int, streams: list[str], target: str | None) -> DocumentRendered:
    return DocumentRendered(
        kind=kind,
        renderer="renderer/1",
        libraries={"lib": "1.0"},
        media_type=media_type,
        sha256=sha(number),
        size=number,
        position=7,
        streams=streams,
        target=target,
        restorable=target is not None,
    )


CYCLONEDX = "application/vnd.cyclonedx+json; version=1.6"
SPDX = "application/spdx+json; version=2.3"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"

BOM = BomDeclared(
    name="llama",
    version="1.0.0",
    base_model="meta/llama",
    task=None,
    license="apache-2.0",
    model=Digest(sha256=sha(1), origin="observed"),
    base=None,
    config=Digest(sha256=sha(2), origin="declared"),
    data=[Digest(sha256=sha(3), origin="declared"), Digest(sha256=sha(4), origin="observed")],
    redactions={},
)
ATTESTATION = AttestationDeclared(
    stage="train",
    subject="adapter.safetensors",
    digest=Digest(sha256=sha(1), origin="observed"),
    builder="soup-cli",
    invocation="soup train",
    invocation_id=None,
    started_on="2026-11-22T20:00:00.000001Z",
    finished_on=None,
    dependencies=[Dependency(role="data", name=None, digest=Digest(sha256=sha(3), origin="declared"), position=6)],
    redactions={},
)
COMMITS: tuple[tuple[int, tuple[tuple[str, Event], ...]], ...] = (
    # 4: a BOM in two formats, of which one was published
    (1, ((stream(1), started("bom emit", "--name", "it's a model", Base64Argument(base64="/w=="))),)),
    (
        1,
        (  # 5 to 7
            (
                f"model/{sha(1)}",
                ArtifactObserved(
                    role="model",
                    path="/srv/m",
                    kind="directory",
                    sha256=sha(1),
                    size=30,
                    files=[FileDigest(path=name, sha256=sha(9), size=15) for name in ("a", "b")],
                ),
            ),
            (f"dataset/{sha(3)}", ArtifactDeclared(role="data", sha256=sha(3))),
            (stream(1), BOM),
        ),
    ),
    (
        1,
        (  # 8, 9
            (f"document/{sha(20)}", rendered("bom.cyclonedx", CYCLONEDX, 20, [stream(1)], "/srv/m.cdx.json")),
            (f"document/{sha(21)}", rendered("bom.spdx", SPDX, 21, [stream(1)], None)),
        ),
    ),
    (
        1,
        (  # 10, 11
            (f"document/{sha(20)}", DocumentPublished(sha256=sha(20), target="/srv/m.cdx.json")),
            (stream(1), finished(0)),
        ),
    ),
    # 12: a signed attestation, by a command that failed afterwards
    (2, ((stream(2), started("attest emit", pid=43)),)),
    (
        2,
        (  # 13 to 15
            (stream(2), ATTESTATION),
            (
                stream(2),
                DocumentSigned(payload_sha256=sha(30), payload_type="x", key=sha(77), signature="ab" * 64),
            ),
            (f"document/{sha(31)}", rendered("attestation", ENVELOPE, 31, [stream(2)], "/srv/train.json")),
        ),
    ),
    (2, ((stream(2), finished(1, "no space left\non device")),)),  # 16
    # 17: a question with a receipt, and a copy
    (3, ((stream(3), started("query")),)),
    (
        3,
        (  # 18 to 20
            (stream(3), QueryExecuted(sql="FROM events", sql_sha256=sha(40), head=16, as_of=None, rows=16)),
            (stream(3), ReceiptIssued(sha256=sha(41), size=99, position=16, target="/srv/r.json")),
            (
                "ledger/x",
                LedgerExported(
                    format="sqlite", size=16, checkpoint="note", files=[FileDigest(path="l.db", sha256=sha(50), size=7)]
                ),
            ),
        ),
    ),
)
SIZE = 20


def make(directory: Path) -> SmallLedger:
    """Found a ledger that holds every kind of event that a view shows."""
    clock = ticking()
    ledger = found(directory, clock=clock)
    opened = ledger.open(clock)
    for number, events in COMMITS:
        opened.append(command(number), events)
    opened.close()
    return ledger


def long(directory: Path, entries: int) -> SmallLedger:
    """Found a ledger of `entries` entries, in commits of a thousand."""
    clock = ticking()
    ledger = found(directory, clock=clock)
    lengthen(ledger, 3, entries)
    return ledger


def lengthen(ledger: SmallLedger, size: int, entries: int) -> None:
    """Append until a ledger of `size` has `entries`."""
    opened = ledger.open()
    for first in range(size + 1, entries + 1, 1000):
        numbers = range(first, min(first + 1000, entries + 1))
        opened.append(command(9), [(f"dataset/{sha(number)}", declared(number)) for number in numbers])
    opened.close()


def die(*_: object) -> None:
    """What a process of a pool does that is killed."""
    os._exit(9)
