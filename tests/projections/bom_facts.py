"""Facts for the tests of both formats: a few written out, and a strategy for all others."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import strategies as st

from projections.bom.facts import Artifact, BomFacts, Digest, FileFact

ROOT = Path(__file__).parents[2]
GOLDENS = Path(__file__).parent / "goldens"

HOSTILE = "a\nSPDXID: SPDXRef-x\x00\x1b[2J\x9b1m\u202e\u2028</text>&lt;<script>\"'\\\U000e0041\u200b\u00e9\u65e5"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def listing(*files: FileFact) -> str:
    return sha("".join(f"{file.sha256}  {file.path}\n" for file in sorted(files, key=lambda file: file.path)))


def facts(**said: object) -> BomFacts:
    known = {
        "name": "llama3-8b-finetuned",
        "version": "1.0.0",
        "declared_at": datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC),
        "seed": sha("entry"),
        "ledger_origin": f"soup-ledger/{sha('ledger')}",
        "position": 7,
        "soup_version": "0.1.0",
        "command_id": "0195f3a0-7c1e-7b52-9f0e-3f6f6d0c2b11",
    }
    return BomFacts(**(known | said))  # type: ignore[arg-type]  # a test may say what is wrong


def _file(path: str) -> FileFact:
    return FileFact(path=path, sha256=sha(path), size=len(path))


_WEIGHTS = (_file("tokenizer/vocab.json"), _file("adapter_model.safetensors"), _file("adapter_config.json"))

SAMPLES: dict[str, BomFacts] = {
    "bare": facts(),
    "declared": facts(
        base_model="meta-llama/Llama-3.1-8B-Instruct",
        task="sft",
        license="apache-2.0",
        artifacts=(
            Artifact(role="base", name="base", digest=Digest(sha256=sha("base"), origin="declared")),
            Artifact(role="config", name="config", digest=Digest(sha256=sha("config"), origin="declared")),
            Artifact(role="data", name="data", digest=Digest(sha256=sha("data"), origin="declared")),
        ),
    ),
    "observed": facts(
        base_model="SmolLM2-135M-Instruct",
        task="grpo",
        license="mit or apache-2.0",
        artifacts=(
            Artifact(
                role="data",
                name="train.jsonl",
                kind="file",
                size=4711,
                digest=Digest(sha256=sha("train"), origin="observed"),
            ),
            Artifact(
                role="model",
                name="adapter",
                kind="directory",
                size=sum(file.size for file in _WEIGHTS),
                files=_WEIGHTS,
                digest=Digest(sha256=listing(*_WEIGHTS), origin="observed"),
            ),
            Artifact(
                role="config",
                name="soup.yaml",
                kind="file",
                size=120,
                digest=Digest(sha256=sha("yaml"), origin="observed"),
            ),
            Artifact(role="data", name="eval.jsonl", digest=Digest(sha256=sha("eval"), origin="declared")),
            Artifact(
                role="base",
                name="smollm2.gguf",
                kind="file",
                size=98_000_000,
                digest=Digest(sha256=sha("gguf"), origin="observed"),
            ),
        ),
    ),
    "hostile": facts(
        name=HOSTILE,
        version=HOSTILE,
        base_model=HOSTILE,
        task=HOSTILE,
        license=HOSTILE,
        ledger_origin=HOSTILE,
        soup_version=HOSTILE,
        command_id=HOSTILE,
        artifacts=(
            Artifact(role="data", name=HOSTILE, kind="directory", files=(_file(HOSTILE),)),
            Artifact(role="config", name=HOSTILE, kind="file"),
        ),
    ),
}

_texts = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40),
    st.sampled_from((HOSTILE, "org/name", "/", "a/", "urn:cdx:x", "NOASSERTION", "SPDXRef-DOCUMENT", "soup", "model")),
)
_digests = st.builds(
    Digest,
    sha256=st.binary().map(lambda raw: hashlib.sha256(raw).hexdigest()),
    origin=st.sampled_from(("observed", "declared")),
)
_sizes = st.integers(0, 2**53)
_files = st.builds(FileFact, path=_texts, sha256=_digests.map(lambda digest: digest.sha256), size=_sizes)
_directories = st.lists(_files, max_size=8, unique_by=lambda file: file.path).map(tuple)


def _artifacts(role: str) -> st.SearchStrategy[Artifact]:
    named = {"role": st.just(role), "name": _texts, "digest": st.none() | _digests, "size": st.none() | _sizes}
    return st.builds(Artifact, **named, kind=st.sampled_from((None, "file"))) | st.builds(
        Artifact, **named, kind=st.just("directory"), files=_directories
    )


def _all_artifacts() -> st.SearchStrategy[tuple[Artifact, ...]]:
    most = {"model": 1, "base": 1, "config": 3, "data": 3}
    lists = (st.lists(_artifacts(role), max_size=count) for role, count in most.items())
    return (
        st.tuples(*lists).map(lambda found: [one for few in found for one in few]).flatmap(st.permutations).map(tuple)
    )


_licences = st.sampled_from(
    ("apache-2.0", "MIT", "gpl-2.0", "llama3.1", "MIT OR bsd-3-clause", "OpenMDW-1.0", "(((( OR")
)

any_facts = st.builds(
    facts,
    name=_texts,
    version=_texts,
    base_model=st.none() | _texts,
    task=st.none() | st.sampled_from(("sft", "DPO", "grpo")) | _texts,
    license=st.none() | _licences | _texts,
    soup_version=_texts,
    command_id=_texts,
    ledger_origin=_texts,
    position=st.integers(1, 2**53),
    seed=_digests.map(lambda digest: digest.sha256),
    declared_at=st.datetimes(timezones=st.just(UTC)),
    artifacts=_all_artifacts(),
)


def compare_with_golden(name: str, rendered: bytes) -> None:
    """Demand the pinned bytes; SOUP_REGENERATE_GOLDENS=1 pins these instead (then read the difference)."""
    golden = GOLDENS / name
    if os.environ.get("SOUP_REGENERATE_GOLDENS") == "1":
        golden.write_bytes(rendered)
    assert rendered == golden.read_bytes()


def in_fresh_process(code: str, *, hash_seed: str = "random") -> str:
    """Return what `code` prints in an interpreter of its own."""
    environment = {"PYTHONHASHSEED": hash_seed, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo"}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return process.stdout
