"""A ledger that holds a run and a bill of materials about it: what `--run`, `--facts`, `--energy` and `--sign` record."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs

from ledger.events import Event
from ledger.events.artifact import ArtifactObserved
from ledger.events.attestation import SummarizedAttestation, SummaryPolicy, SummarySubject, VsaDeclared
from ledger.events.base import Digest
from ledger.events.document import BomDeclared2, DocumentSigned2
from ledger.events.energy import EnergyDeclared, EnergyMeasured
from ledger.events.facts import FactsDeclared
from ledger.events.run import RunCompleted, RunEvaluated, RunFailed, RunStarted
from tests.projections import ledgers
from tests.projections.full_facts import RUN, described, full, stated
from tests.projections.ledgers import CYCLONEDX, ENVELOPE, SPDX, command, finished, rendered, sha, started, stream
from tests.simulator import SmallLedger

FACTS = full()
assert FACTS.run is not None
assert FACTS.run.completed is not None
assert FACTS.environment is not None
BEGUN: RunStarted = FACTS.run.started.value
DONE: RunCompleted = FACTS.run.completed.value
SUMMARY = VsaDeclared(
    subjects=[SummarySubject(name="adapter.safetensors", digest={"sha256": sha(1)})],
    verifier="https://verifier.example/",
    resource="pkg:generic/adapter",
    policy=SummaryPolicy(uri="https://verifier.example/policy-1", sha256=sha(80)),
    attestation=SummarizedAttestation(
        name="train.json", uri=None, sha256=sha(31), predicate_type=None, builder=None, signer=None
    ),
    result="PASSED",
    levels=["SLSA_BUILD_LEVEL_1"],
    reason="the policy asks for level 1",
    redactions={},
)
STREAMS = [stream(7), f"model/{sha(62)}", f"run/{RUN}", stream(5), f"document/{sha(63)}"]
FAILED = "0195f3a0-0000-7b52-9f0e-3f6f6d0c2b12"
STATED = FactsDeclared(sha256=sha(60), facts=stated(), redactions={})
DECLARED_ENERGY = EnergyDeclared(sha256=sha(61), energy=[FACTS.energy[0].value])
BOM = BomDeclared2(
    name="devils-dictionary",
    version="1.0.0",
    base_model=BEGUN.base,
    base_revision=BEGUN.base_revision,
    task="sft",
    license="apache-2.0",
    model=DONE.digest,
    base=BEGUN.base_digest,
    config=BEGUN.config,
    data=[Digest(sha256=each.sha256, origin="observed") for each in BEGUN.data],
    artifacts=[Digest(sha256=sha(62), origin="observed")],
    parent=FACTS.parent.value if FACTS.parent else None,
    run=RUN,
    redactions={},
)
SIGNED = DocumentSigned2(
    backend="ecdsa-p256",
    payload_sha256=sha(63),
    payload_type="application/vnd.in-toto+json",
    key="hint",
    public="-----BEGIN PUBLIC KEY-----",
    signature="ab" * 70,
    bundle=None,
    identity=None,
)
_FILE = ArtifactObserved(role="artifact", path="/srv/merged.gguf", kind="file", sha256=sha(62), size=5, files=[])
LATER: tuple[tuple[int, tuple[tuple[str, Event], ...]], ...] = (
    (5, ((stream(5), started("train")), (f"run/{RUN}", BEGUN))),  # 21, 22
    (
        5,
        (  # 23 to 26
            (f"run/{RUN}", RunEvaluated(run=RUN, step=4, metrics={"loss": "2.75"}, slice="held-out")),
            (f"run/{RUN}", RunEvaluated(run=RUN, step=8, metrics={"loss": "2.5"}, slice="held-out")),
            (f"run/{RUN}", EnergyMeasured(run=RUN, energy=FACTS.energy[0].value)),
            (f"run/{RUN}", DONE),
        ),
    ),
    (5, ((stream(5), finished(0)),)),  # 27
    (
        6,
        (  # 28, 29: a run that failed
            (f"run/{FAILED}", structs.replace(BEGUN, run=FAILED)),
            (f"run/{FAILED}", RunFailed(run=FAILED, step=3, error="the loss is nan")),
        ),
    ),
    (7, ((stream(7), started("bom emit", "--run", RUN)),)),  # 30
    (
        7,
        (  # 31 to 36
            (f"model/{sha(62)}", _FILE),
            (f"model/{sha(62)}", described(sha256=sha(62), format="gguf", parameters=5, base_model=None, settings={})),
            (stream(7), STATED),
            (stream(7), DECLARED_ENERGY),
            (stream(7), FACTS.environment.value),
            (stream(7), BOM),
        ),
    ),
    (7, ((f"document/{sha(63)}", SIGNED),)),  # 37
    (
        7,
        (  # 38 to 40
            (f"document/{sha(70)}", rendered("bom.cyclonedx", CYCLONEDX, 70, STREAMS, "/srv/d.cdx.json")),
            (f"document/{sha(71)}", rendered("bom.spdx3", SPDX, 71, STREAMS, "/srv/d.spdx3.json")),
            (f"document/{sha(72)}", rendered("bom.cyclonedx.statement", ENVELOPE, 72, STREAMS, "/srv/d.intoto.json")),
        ),
    ),
    (7, ((stream(7), finished(0)), (stream(8), SUMMARY))),  # 41, 42
)
SIZE = 42


def make(directory: Path) -> SmallLedger:
    """Found the ledger of `ledgers`, and go on."""
    ledger = ledgers.make(directory)
    opened = ledger.open()
    for number, events in LATER:
        opened.append(command(number), events)
    opened.close()
    return ledger
