"""Facts for the tests of both formats: a few written out, and a strategy for all others."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st
from msgspec import inspect

from ledger.events.artifact import ArtifactDescribed
from ledger.events.document import Parent
from ledger.events.energy import Energy
from ledger.events.environment import EnvironmentObserved
from ledger.events.facts import DatasetStated, Facts, Metric
from ledger.events.run import RunCompleted, RunStarted
from projections.facts import Artifact, BomFacts, Digest, FileFact, Known, Reference, RunFacts

T = TypeVar("T")

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
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.sampled_from((HOSTILE, "org/name", "/", "a/", "urn:cdx:x", "NOASSERTION", "SPDXRef-DOCUMENT", "soup", "model")),
)
_decimals = st.sampled_from(
    ("0", "5", "0.1", "-3.25", "1e999", "1E-400", "9" * 30, "123456789.987654321098765432109876543210")
)
_urls = st.sampled_from(
    (
        "https://example.org/a?b=c#d", "pkg:pypi/soup@1", "pkg:", "pkg:a", "pkg:a/%2F", "pkg:a/b/%2F@1", "urn:cdx:x",
        "urn:uuid:1b4e28ba", "a:%zz", "a:[", "http://[::1", "http://[::1]/", "http://a:b:c/", "http://a@b@c/", "a:#a#b", "a:\x01", "http://\u00e9/'", "a://%zz@h",
        "mailto:a@b", "http://\ue000/\U000e0041", "x:" + "y" * 2000,
    )
)  # fmt: skip
_emails = st.sampled_from(
    ("a@b.example", "a..b@c", "a@-b", "(@x", "\u00e9@\u00e9", "a@\x01", ".@b", "a@b_c", "a@" + "b" * 255)
)
_dates = st.sampled_from(("2026-11-22", "2026-11-22T20:00:00Z"))
# By an example: the first that a field's pattern lets through is its own.
_BY_EXAMPLE = {
    "key": st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=12),
    "5": _decimals,
    "2026-11-22": _dates,
    "a@b.example": _emails,
    "urn:x": _urls,
    "ab" * 32: st.binary(max_size=8).map(lambda raw: hashlib.sha256(raw).hexdigest()),
    "observed": st.sampled_from(("observed", "declared")),
}


def anything(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Give values that msgspec would decode as `kind`: of the events' structs, whatever fields they have."""
    return _BY_TYPE[type(kind)](kind)


def _struct(kind: inspect.StructType) -> st.SearchStrategy[Any]:
    fields = {field.name: anything(field.type) for field in kind.fields}
    optional = {field.name: fields.pop(field.name) for field in kind.fields if not field.required}
    return st.fixed_dictionaries(fields, optional=optional).map(lambda said: kind.cls(**said))


def _text(kind: inspect.StrType) -> st.SearchStrategy[str]:
    if kind.pattern:
        return next(known for example, known in _BY_EXAMPLE.items() if re.search(kind.pattern, example))
    return _texts if kind.min_length else _texts | st.just("")


_BY_TYPE: dict[type[inspect.Type], Callable[[Any], st.SearchStrategy[Any]]] = {
    inspect.StructType: _struct,
    inspect.StrType: _text,
    inspect.UnionType: lambda kind: st.one_of(*map(anything, kind.types)),
    inspect.ListType: lambda kind: st.lists(anything(kind.item_type), max_size=2),
    inspect.DictType: lambda kind: st.dictionaries(anything(kind.key_type), anything(kind.value_type), max_size=2),
    inspect.LiteralType: lambda kind: st.sampled_from(kind.values),
    inspect.IntType: lambda _: st.integers(0, 2**53 - 1),
    inspect.NoneType: lambda _: st.none(),
}


def _any(struct: type[T]) -> st.SearchStrategy[T]:
    return anything(inspect.type_info(struct))


def _known(values: st.SearchStrategy[T]) -> st.SearchStrategy[Known[T]]:
    return st.builds(
        Known, value=values, origin=st.sampled_from(("observed", "declared")), position=st.integers(1, 2**53)
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
    named = {
        "role": st.just(role),
        "name": _texts,
        "digest": st.none() | _digests,
        "size": st.none() | _sizes,
        "position": st.none() | st.integers(1, 2**53),
        "described": st.none() | _known(_any(ArtifactDescribed)),
        "stated": st.none() | _any(DatasetStated) if role == "data" else st.none(),
    }
    return st.builds(Artifact, **named, kind=st.sampled_from((None, "file"))) | st.builds(
        Artifact, **named, kind=st.just("directory"), files=_directories
    )


def _all_artifacts() -> st.SearchStrategy[tuple[Artifact, ...]]:
    most = {"model": 1, "base": 1, "config": 3, "data": 3, "artifact": 2}
    lists = (st.lists(_artifacts(role), max_size=count) for role, count in most.items())
    return (
        st.tuples(*lists).map(lambda found: [one for few in found for one in few]).flatmap(st.permutations).map(tuple)
    )


_licences = st.sampled_from(
    ("apache-2.0", "MIT", "gpl-2.0", "llama3.1", "MIT OR bsd-3-clause", "OpenMDW-1.0", "(((( OR")
)

_times = st.datetimes(timezones=st.just(UTC))
_runs = st.builds(
    RunFacts,
    started=_known(_any(RunStarted)),
    started_at=_times,
    completed=st.none() | _known(_any(RunCompleted)),
    finished_at=st.none() | _times,
    outcome=st.sampled_from(("completed", "failed", "running")),
    error=st.none() | _texts,
    command=st.none() | st.lists(_texts, max_size=3).map(tuple),
    command_id=st.none() | _texts,
)
_references = st.builds(
    Reference,
    kind=st.sampled_from(("attestation", "bom")),
    sha256=_digests.map(lambda digest: digest.sha256),
    name=_texts,
    position=st.integers(1, 2**53),
)

_plain = {
    "name": _texts,
    "version": _texts,
    "base_model": st.none() | _texts,
    "task": st.none() | st.sampled_from(("sft", "DPO", "grpo")) | _texts,
    "license": st.none() | _licences | _texts,
    "soup_version": _texts,
    "command_id": _texts,
    "ledger_origin": _texts,
    "position": st.integers(1, 2**53),
    "seed": _digests.map(lambda digest: digest.sha256),
    "declared_at": _times,
    "artifacts": _all_artifacts(),
}
plain_facts = st.builds(facts, **_plain)
"""Facts of a document without a run, an environment or a facts file: quicker, for the laws that need none."""
any_facts = st.builds(
    facts,
    **_plain,
    base_revision=st.none() | _texts,
    stated=st.none() | _known(_any(Facts)),
    run=st.none() | _runs,
    metrics=st.lists(_known(_any(Metric)), max_size=3).map(tuple),
    energy=st.lists(_known(_any(Energy)), max_size=2).map(tuple),
    environment=st.none() | _known(_any(EnvironmentObserved)),
    parent=st.none() | _known(_any(Parent)),
    references=st.lists(_references, max_size=2).map(tuple),
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
