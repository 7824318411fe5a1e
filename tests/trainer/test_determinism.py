"""What is set before torch is loaded. The rest is asserted where it matters, in test_finetune. Needs no torch."""

from __future__ import annotations

import os
import sys
from types import ModuleType

import pytest

from trainer import determinism


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name in ("OMP_WAIT_POLICY", "CUBLAS_WORKSPACE_CONFIG"):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)


def test_threads_wait_without_spinning_where_nobody_said_otherwise(without_torch) -> None:
    assert determinism.spins()
    determinism.before_torch()
    assert not determinism.spins()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_what_somebody_said_is_kept(without_torch, monkeypatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    determinism.before_torch()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert determinism.spins()


def test_once_torch_is_loaded_nothing_is_pretended(without_torch, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    determinism.before_torch()
    assert determinism.spins()
