"""Facts in which nothing is missing: a run, its environment, its energy, and a facts file that leaves nothing out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import yaml

from ledger.events.artifact import ArtifactDescribed
from ledger.events.base import Digest as RecordedDigest
from ledger.events.base import FileDigest
from ledger.events.document import Parent
from ledger.events.energy import Energy, Intensity
from ledger.events.environment import Device, EnvironmentObserved, Package
from ledger.events.facts import Facts, Metric
from ledger.events.run import RunCompleted, RunData, RunStarted
from projections.facts import Artifact, BomFacts, Digest, FileFact, Known, Reference, RunFacts
from tests.projections.bom_facts import facts, listing, sha

STATED = Path(__file__).parents[1] / "data" / "facts-full.yaml"
RUN = "0195f3a0-0000-7b52-9f0e-3f6f6d0c2b11"


def stated() -> Facts:
    """The facts file of the tests."""
    return msgspec.convert(yaml.load(STATED.read_text(), yaml.BaseLoader), Facts)  # noqa: S506 - texts only


def described(**said: object) -> ArtifactDescribed:
    """An adapter as its headers describe it."""
    known = {
        "sha256": sha("adapter"),
        "format": "peft-adapter",
        "parameters": 442_368,
        "tensors": 120,
        "dtypes": {"F32": 442_368},
        "architecture_family": None,
        "architecture": None,
        "name": None,
        "license": None,
        "base_model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "base_revision": None,
        "context_length": None,
        "vocabulary": None,
        "tokenizer": None,
        "quantization": None,
        "settings": {"peft_type": "LORA", "r": "8", "lora_alpha": "16", "target_modules": "k_proj,q_proj,v_proj"},
        "notes": [],
    }
    return ArtifactDescribed(**(known | said))  # type: ignore[arg-type]  # a test may say what is wrong


def full() -> BomFacts:
    """Everything that one bill of materials can say."""
    said = stated()
    weights = (
        FileFact(path="adapter_config.json", sha256=sha("config"), size=700),
        FileFact(path="adapter_model.safetensors", sha256=sha("weights"), size=1_800_000),
    )
    adapter = listing(*weights)
    started = RunStarted(
        run=RUN,
        name="dictionary",
        task="sft",
        base="HuggingFaceTB/SmolLM2-135M-Instruct",
        base_revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
        base_digest=RecordedDigest(sha256=sha("gguf"), origin="observed"),
        architecture="LlamaForCausalLM",
        parameters=134_515_008,
        trainable=442_368,
        config=RecordedDigest(sha256=sha("yaml"), origin="observed"),
        settings={"training.lr": "0.0002", "lora.r": "8", "training.epochs": "1"},
        data=[
            RunData(
                role="training",
                name="devils-dictionary.jsonl",
                sha256=sha("dictionary"),
                size=61_000,
                rows=195,
                kept=195,
                tokens=21_000,
                supervised=15_000,
            )
        ],
        seeds={"torch": "42"},
        steps=8,
    )
    completed = RunCompleted(
        run=RUN,
        output="~/models/out",
        digest=RecordedDigest(sha256=adapter, origin="observed"),
        files=[FileDigest(path=file.path, sha256=file.sha256, size=file.size) for file in weights],
        steps=8,
        last_loss="2.25",
        supervised=15_000,
        computed=24_000,
    )
    energy = Energy(
        activity="fine-tuning",
        kwh="0.0125",
        method="estimate from CPU time",
        source="soup",
        boundary="processor",
        lower_kwh="0.008",
        upper_kwh="0.02",
        pue="1.1",
        intensity=Intensity(g_per_kwh="380", source="Umweltbundesamt", zone="DE", year="2024"),
        co2_g="5.225",
        provider="Example Energy",
        energy_source="unknown",
    )
    environment = EnvironmentObserved(
        python="3.11.7",
        implementation="CPython",
        platform="Linux-6.1-x86_64",
        packages=[
            Package(
                name="safetensors",
                version="0.6.2",
                license="Apache-2.0",
                record_sha256=sha("safetensors RECORD"),
                supplier="Nicolas Patry",
                requires=[],
            ),
            Package(
                name="torch",
                version="2.13.0+cpu",
                license="BSD-3-Clause",
                record_sha256=sha("torch RECORD"),
                supplier="PyTorch Team",
                requires=["sympy"],
            ),
            Package(name="sympy", version="1.14.0", license="BSD", record_sha256=None, supplier=None, requires=[]),
        ],
        devices=[Device(kind="cpu", name="Example CPU 9000", count=2, memory=None, driver=None)],
        details={"kernel": "6.1.0"},
    )
    return facts(
        name="devils-dictionary",
        base_model="HuggingFaceTB/SmolLM2-135M-Instruct",
        task="sft",
        license="apache-2.0",
        artifacts=(
            Artifact(
                role="model",
                name="out",
                kind="directory",
                size=1_800_700,
                files=weights,
                digest=Digest(sha256=adapter, origin="observed"),
                position=4,
                described=Known(described(sha256=adapter), "observed", 5),
            ),
            Artifact(
                role="base",
                name="smollm2.gguf",
                kind="file",
                size=98_000_000,
                digest=Digest(sha256=sha("gguf"), origin="observed"),
                position=4,
                described=Known(
                    described(
                        sha256=sha("gguf"),
                        format="gguf",
                        parameters=134_515_008,
                        architecture_family="llama",
                        context_length=8192,
                        vocabulary=49_152,
                        tokenizer="gpt2",
                        quantization="Q4_K_M",
                        license="apache-2.0",
                        base_model=None,
                        settings={},
                    ),
                    "observed",
                    5,
                ),
            ),
            Artifact(
                role="config",
                name="soup.yaml",
                kind="file",
                size=120,
                digest=Digest(sha256=sha("yaml"), origin="observed"),
                position=4,
            ),
            Artifact(
                role="data",
                name="devils-dictionary.jsonl",
                kind="file",
                size=61_000,
                digest=Digest(sha256=sha("dictionary"), origin="observed"),
                position=4,
                stated=said.data[0],
            ),
            Artifact(
                role="artifact",
                name="merged.gguf",
                kind="file",
                size=5,
                digest=Digest(sha256=sha("merged"), origin="observed"),
                position=4,
            ),
        ),
        stated=Known(said, "declared", 6),
        run=RunFacts(
            started=Known(started, "observed", 2),
            started_at=datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC),
            completed=Known(completed, "observed", 3),
            finished_at=datetime(2026, 3, 1, 12, 10, 0, tzinfo=UTC),
            outcome="completed",
            command=("soup", "train", "--config", "soup.yaml"),
            command_id="0195f3a0-0000-7b52-9f0e-000000000001",
        ),
        metrics=(
            Known(Metric(type="loss", value="2.5", slice="held-out"), "observed", 3),
            *(Known(metric, "declared", 6) for metric in said.metrics),
        ),
        energy=(Known(energy, "observed", 3),),
        environment=Known(environment, "observed", 6),
        parent=Known(
            Parent(sha256=sha("parent"), format="cyclonedx", id="urn:uuid:1b4e28ba-2fa1-51d2-883f-0016d3cca427"),
            "observed",
            7,
        ),
        references=(Reference(kind="attestation", sha256=sha("attestation"), name="train.json", position=5),),
    )
