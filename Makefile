# make train   from a fresh clone to a trained model, its metrics and a forecast
# make test    the whole test suite
# make lint    style and types
# make notebooks   run all of notebooks/ in place: a few minutes
# make bench   how fast it is, beside PyTorch and Keras: half an hour, and 2 GB of packages
#
# Everything is installed into .venv from the pinned versions of constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/base.toml

.DEFAULT_GOAL := help
.PHONY: help train test notebooks bench lint format lock clean

help: ## show this help
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

train: $(VENV)/.sample ## prepare the bundled films, train, evaluate, export (CONFIG=configs/base.toml)
	$(BIN)/mfp train --config $(CONFIG)

test: $(VENV)/.dev ## run all tests
	$(BIN)/python -m pytest

notebooks: $(VENV)/.notebooks ## run every notebook in place (NOTEBOOKS="01 08": only those)
	$(BIN)/python tests/notebooks/execute.py $(NOTEBOOKS)

bench: $(VENV)/.bench ## measure train step and prediction beside PyTorch and Keras, restarts, mfp-predict
	$(BIN)/python tests/benchmarks/contest.py step
	$(BIN)/python tests/benchmarks/contest.py predict
	$(BIN)/python tests/benchmarks/devices.py
	$(BIN)/python tests/benchmarks/restart.py
	test -d runs/base/bundle || $(BIN)/mfp train --quiet
	$(BIN)/python tests/benchmarks/prediction.py

lint: $(VENV)/.dev ## check style (ruff) and types (mypy)
	$(BIN)/ruff check mfp tests
	$(BIN)/ruff format --check mfp tests
	$(BIN)/mypy

format: $(VENV)/.dev ## let ruff rewrite the sources
	$(BIN)/ruff format mfp tests
	$(BIN)/ruff check --fix mfp tests

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and \
	  f"mfp needs Python 3.11 or newer, {sys.executable} is {v[0]}.{v[1]}; use: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.sample: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sample]'
	@touch $@

$(VENV)/.dev: $(VENV)/.sample
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sample,dev,beam]'
	@touch $@

$(VENV)/.notebooks: $(VENV)/.sample
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[notebooks]'
	@touch $@

# Into the same place, so that both are measured with the same JAX.
$(VENV)/.bench: $(VENV)/.sample
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sample,bench]'
	@touch $@

lock: ## pin the newest versions that satisfy pyproject.toml in constraints.txt
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check '.[sample,dev,beam]'
	build/lock/bin/python -m pip freeze --exclude mfp > constraints.txt

clean: ## remove what make created (not runs/)
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
