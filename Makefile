# Two commands do everything on a fresh machine with Python 3.11: `make demo` and `make test`.
# TORCH_INDEX chooses the package index that torch comes from (unset: pip's default).

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
ROOMS := ledger projections commands trainer
WORKERS ?= 2

.PHONY: demo test check lint bench conformance clean dev core torch

demo: core
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/demo.sh

test: dev torch
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

check: dev lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not slow"

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

conformance: core
	PYTHON=$(PYTHON) tests/conformance/prepare.sh
	.conformance/python/bin/python tests/conformance/run.py

bench: dev
	$(BIN)/python tests/benchmarks/run.py

# Stamps: an install runs again only when what it depends on has changed.
core: $(VENV)/core.stamp
dev: $(VENV)/dev.stamp
torch: $(VENV)/torch.stamp

$(VENV)/bin/python:
	command -v $(PYTHON) >/dev/null || { apt-get update -qq && apt-get install -y -qq python3.11 python3.11-venv; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"

$(VENV)/core.stamp: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable .
	touch $@

$(VENV)/dev.stamp: pyproject.toml $(VENV)/core.stamp
	$(PIP) install --group dev
	touch $@

$(VENV)/torch.stamp: pyproject.toml $(VENV)/core.stamp
	$(PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(PIP) install --editable ".[train]"
	touch $@

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .conformance
