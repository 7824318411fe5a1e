"""The same run twice, and what else it depended on.

What is true here:

- `before_torch` comes before torch is first imported, `arrange` before anything is computed, `seed` right before the
  adapter's weights are drawn;
- after `arrange` an operation without a deterministic implementation raises instead of guessing;
- `environment` reports what is realised, not what was asked for.

What none of this gives: equal bits on another kind of machine. They have been seen between processes on one machine;
another instruction set (`torch.backends.cpu.get_cpu_capability()`), attention kernel, number format or number of
devices changes the last bits of a loss. It does not know models or data.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

# What a waiting OpenMP thread does. libgomp spins by default: with two busy processes beside it, a small model on two
# threads made 1.4 steps a second spinning and 25.8 sleeping. libgomp reads it once, when torch loads it.
_WAIT_POLICY = ("OMP_WAIT_POLICY", "PASSIVE")
# NVIDIA cuBLAS, "Results reproducibility": a fixed workspace makes its results repeat. Read when CUDA starts.
_CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

_PACKAGES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy")
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "ATEN_CPU_CAPABILITY",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "ONEDNN_MAX_CPU_ISA",
    "CUBLAS_WORKSPACE_CONFIG",
)


def before_torch() -> None:
    """Set, where nobody has, the variables that torch reads while it loads; do nothing once it is loaded."""
    if "torch" not in sys.modules:
        for name, value in (_WAIT_POLICY, _CUBLAS):
            os.environ.setdefault(name, value)


def spins() -> bool:
    """Tell whether waiting threads burn the time of their neighbours."""
    name, value = _WAIT_POLICY
    return os.environ.get(name, "").upper() != value


def arrange() -> None:
    """Make every operation of this process deterministic, or an error (`torch.use_deterministic_algorithms`)."""
    import torch

    torch.use_deterministic_algorithms(mode=True)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def seed(value: int) -> None:
    """Seed torch's generators, on every device: the only randomness of a run (initial adapter weights, dropout)."""
    import torch

    torch.manual_seed(value)


def environment() -> Mapping[str, str]:
    """Return what the bits of a run depend on beside its inputs, sorted by name; no host name, no path, no user."""
    import torch

    facts = {
        "cpu.capability": torch.backends.cpu.get_cpu_capability(),
        "cpu.machine": platform.machine(),
        "os": platform.system(),
        "python": platform.python_version(),
        "torch.build_sha256": hashlib.sha256(torch.__config__.show().encode()).hexdigest(),
        "torch.deterministic": str(torch.are_deterministic_algorithms_enabled()).lower(),
        "torch.float32_matmul_precision": torch.get_float32_matmul_precision(),
        "torch.threads": str(torch.get_num_threads()),
    }
    facts |= {f"package.{name}": _installed(name) for name in _PACKAGES}
    facts |= {f"env.{name}": os.environ.get(name, "(unset)") for name in _VARIABLES}
    if torch.cuda.is_available():
        facts |= {"cuda": str(torch.version.cuda), "gpu": torch.cuda.get_device_name()}
        facts |= {
            "cudnn": str(torch.backends.cudnn.version()),
            "gpu.capability": str(torch.cuda.get_device_capability()),
        }
    return dict(sorted(facts.items()))


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(absent)"
