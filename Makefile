# make train   from a fresh clone to a trained model, its metrics and a forecast
# make test    the whole test suite
# make lint    style and types
# make docs    the reference of every module, from its docstrings
# make soak    what takes hours: kills at random moments, memory, the long tests; with time limits
# make mutants  whether small changes of losses, step, metrics, intervals, history are seen: an hour
# make coverage  the test suite, with the lines and branches of mfp/ that it reaches
# make reproduce  the README's figures, over five seeds
# make ablation   what each option of configs/base.toml buys, on validation films: half an hour
# make audit   known vulnerabilities and licences of what is installed
# make sbom    a bill of materials of it (CycloneDX), in build/sbom.json
# make notebooks   run all of notebooks/ in place: a few minutes
# make bench   how fast it is, beside PyTorch and Keras: half an hour, and 2 GB of packages
#
# Everything is installed into .venv from the pinned versions of constraints.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/base.toml

.DEFAULT_GOAL := help
.PHONY: help train test notebooks docs soak mutants coverage bench reproduce ablation lint format lock audit sbom clean

help: ## show this help
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

train: $(VENV)/.sample ## prepare the bundled films, train, evaluate, export (CONFIG=configs/base.toml)
	$(BIN)/mfp train --config $(CONFIG)

# Three workers suit two cores, for many tests wait for processes that they start; and a file's tests share what they train.
WORKERS ?= 3
test: $(VENV)/.dev ## run all tests (WORKERS=8: so many processes)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# A package that says what it offers (__all__) hides its modules from pdoc: these are named.
MODULES = mfp $(subst /,.,$(basename $(wildcard mfp/forecast/[a-z]*.py mfp/schema/[a-z]*.py)))
# Names of other packages' annotations, which stand in classes that are inherited, cannot be found.
docs: $(VENV)/.dev ## write the reference of all modules to build/docs
	$(BIN)/python -W 'ignore:Error parsing type annotation' -m pdoc -o build/docs $(MODULES)

# Each part ends within its time, and says what it counted.
soak: $(VENV)/.dev ## kills at random moments of runs, memory, and the tests that take long
	timeout 90m $(BIN)/python tests/soak/kills.py --minutes 60
	timeout 90m $(BIN)/python tests/soak/memory.py
	timeout 4h $(BIN)/python -m pytest -m soak -n $(WORKERS)

notebooks: $(VENV)/.notebooks ## run every notebook in place (NOTEBOOKS="01 08": only those)
	$(BIN)/python tests/notebooks/execute.py $(NOTEBOOKS)

mutants: $(VENV)/.proof ## test the tests: small changes of the core, each of which they should see
	$(BIN)/python tests/soak/mutants.py

coverage: $(VENV)/.proof ## lines and branches of mfp/ that the tests reach; at least 95 %
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov \
	  --cov-report=term-missing:skip-covered --cov-fail-under=95

bench: $(VENV)/.bench ## measure train step and prediction beside PyTorch and Keras, restarts, mfp-predict
	$(BIN)/python tests/benchmarks/contest.py step
	$(BIN)/python tests/benchmarks/contest.py predict
	$(BIN)/python tests/benchmarks/devices.py
	$(BIN)/python tests/benchmarks/restart.py
	test -d runs/base/bundle || $(BIN)/mfp train --quiet
	$(BIN)/python tests/benchmarks/prediction.py

# With a table of one's own: make reproduce TABLE=films.csv MEDIA=media
reproduce: $(VENV)/.dev ## the README's figures over five seeds, beside the rivals: an hour and a half
	$(BIN)/python tests/benchmarks/reproduce.py films
	$(BIN)/python tests/benchmarks/reproduce.py reviews
	test -z '$(TABLE)' || $(BIN)/python tests/benchmarks/reproduce.py table '$(TABLE)' '$(MEDIA)'

ablation: $(VENV)/.dev ## what each option buys, on validation films: half an hour
	$(BIN)/python tests/benchmarks/reproduce.py ablation --seeds 1

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

$(VENV)/.proof: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sample,proof]'
	@touch $@

# Into the same place, so that both are measured with the same JAX.
$(VENV)/.bench: $(VENV)/.sample
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sample,bench]'
	@touch $@

lock: ## pin the newest versions that satisfy pyproject.toml in constraints.txt
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check '.[sample,dev,beam]'
	build/lock/bin/python -m pip freeze --exclude mfp > constraints.txt

# Tools in a place of their own, so that they are not among what they look at.
build/audit/bin/pip-audit: $(VENV)/bin/python
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --quiet --disable-pip-version-check \
	  pip-audit==2.10.1 pip-licenses==5.5.5 cyclonedx-bom==7.5.0

audit: build/audit/bin/pip-audit ## known vulnerabilities (where the network allows) and licences of what is pinned
	build/audit/bin/pip-licenses --python $(BIN)/python --order license --format csv \
	  --output-file build/licences.csv
	@echo "licences: build/licences.csv"
	@build/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip \
	  > build/vulnerabilities.txt 2> build/audit.log; code=$$?; \
	all=$$(grep -c == constraints.txt); \
	unknown=$$(grep -c "could not be audited" build/vulnerabilities.txt); \
	if [ "$$unknown" = "$$all" ] || grep -qiE "connection ?error|max retries" build/audit.log; then \
	  echo "vulnerabilities: not looked up, no list of them can be reached (build/audit.log)"; \
	else grep -v "could not be audited" build/vulnerabilities.txt; tail -1 build/audit.log; \
	  echo "not looked up: $$unknown of $$all packages"; exit $$code; fi

sbom: build/audit/bin/pip-audit ## a bill of materials of .venv (CycloneDX), in build/sbom.json
	build/audit/bin/cyclonedx-py environment --output-format JSON --output-file build/sbom.json \
	  $(BIN)/python
	@echo "bill of materials: build/sbom.json"

clean: ## remove what make created (not runs/)
	rm -rf $(VENV) build *.egg-info .coverage* .pytest_cache .mypy_cache .ruff_cache
