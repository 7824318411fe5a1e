"""Runs on the record, for tests of what is said about them: recorded through the same door as a command's own."""

from __future__ import annotations

from commands.context import Context
from commands.record import bracket
from ledger.events.base import Digest, Event, FileDigest
from ledger.events.run import RunCompleted, RunData, RunEvaluated, RunFailed, RunStarted
from tests.runner import A, B, Soup

RUN = "0195f3a0-1111-7b52-9f0e-3f6f6d0c2b12"
OUTPUT = "d" * 64
WEIGHTS_SHA = "e" * 64
CARD_SHA = "f" * 64
TRAINING, HELD_OUT = "1" * 64, "2" * 64
LINE = ("soup", "train", "--config", "soup.yaml")


def begun(run: str = RUN) -> RunStarted:
    def data(role: str, name: str, sha256: str) -> RunData:
        return RunData(role=role, name=name, sha256=sha256, size=1, rows=1, kept=1, tokens=1, supervised=1)  # type: ignore[arg-type]

    return RunStarted(
        run=run,
        name="devils-dictionary",
        task="sft",
        base="HuggingFaceTB/SmolLM2-135M",
        base_revision="93efa2f",
        base_digest=Digest(sha256=A, origin="observed"),
        architecture="LlamaForCausalLM",
        parameters=134_515_008,
        trainable=442_368,
        config=Digest(sha256=B, origin="observed"),
        settings={"lora.r": "8", "training.epochs": "1"},
        data=[data("training", "train.jsonl", TRAINING), data("evaluation", "held-out.jsonl", HELD_OUT)],
        seeds={"torch": "42"},
        steps=8,
    )


def completed(run: str = RUN) -> RunCompleted:
    return RunCompleted(
        run=run,
        output="/srv/out/adapter",
        digest=Digest(sha256=OUTPUT, origin="observed"),
        files=[
            FileDigest(path="README.md", sha256=CARD_SHA, size=3),
            FileDigest(path="adapter_model.safetensors", sha256=WEIGHTS_SHA, size=5),
        ],
        steps=8,
        last_loss="2.5",
        supervised=10,
        computed=20,
    )


def evaluated(step: int, loss: str, run: str = RUN) -> RunEvaluated:
    return RunEvaluated(run=run, step=step, metrics={"loss": loss}, slice="held-out")


def record(soup: Soup, *events: Event, run: str = RUN, line: tuple[str, ...] = LINE) -> str:
    """Record a run's events; give the id of the command that ran it."""
    context = Context.from_environment({**soup.environ, "SOUP_HOME": str(soup.home)})
    with bracket(context, "train", line, exit_code_of=lambda _: 1) as session:
        for event in events:
            session.append([(f"run/{run}", event)])
        return session.command


def a_run(soup: Soup) -> str:
    """Record a run that has an output."""
    return record(soup, begun(), evaluated(4, "2.75"), evaluated(8, "2.5"), completed())


def a_failed_run(soup: Soup) -> str:
    return record(soup, begun(), RunFailed(run=RUN, step=3, error="the loss is nan"))
