# Everything runs in .venv, which is made from the hashed locks and made anew when they change.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
VENV_STAMP := .venv/.locks-installed
RUN_STAMP := .venv/.runtime-installed
DEV_STAMP := .venv/.dev-installed
BENCH_STAMP := .venv-bench/.bench-installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types unit bench bench-install crash fuzz soak lock clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

install: $(DEV_STAMP) ## Make .venv from the locks: the runtime and the development tools

demo: $(RUN_STAMP) ## Run a team, kill it in the middle of a phase, resume it
	@$(BIN)/maestro-runtime demo

test: lint types unit ## Lint, types and tests

lint: $(DEV_STAMP) ## Style, formatting and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(DEV_STAMP) ## mypy, strict
	$(BIN)/mypy

unit: $(DEV_STAMP) ## The test-suite alone
	$(BIN)/python -P -m pytest -q -n 2 --dist loadfile

bench: $(RUN_STAMP) ## Measure, and write a report: make bench ARGS="--fast attempts"
	$(if $(wildcard $(BENCH_STAMP)),.venv-bench/bin,$(BIN))/python -P benchmarks $(ARGS)

bench-install: $(BENCH_STAMP) ## Make .venv-bench: the runtime and what it is measured beside

crash: $(DEV_STAMP) ## A long campaign of faults: make crash ROUNDS=500 SEED=1 FAULT=kill
	$(BIN)/python -P tests/crash/run_campaign.py $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(SEED),--seed $(SEED)) $(if $(FAULT),--fault $(FAULT))

fuzz: $(DEV_STAMP) ## Hostile clients against a daemon: make fuzz ROUNDS=5000 SEED=1
	$(BIN)/python -P tests/fuzz/storm.py $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEED),--seed $(SEED))

soak: $(DEV_STAMP) ## A daemon that works for long, and what it still holds then: make soak HOURS=8
	$(BIN)/python -P tests/soak/soak.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(HOURS),--hours $(HOURS))

lock: ## Write the hashed locks anew (needs uv; names no index)
	uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		pyproject.toml requirements/build.in -o requirements/runtime.txt
	uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		pyproject.toml --extra checks --extra jira requirements/build.in --group dev -c requirements/runtime.txt -o requirements/dev.txt
	uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		pyproject.toml requirements/build.in --group bench -c requirements/runtime.txt -o requirements/bench.txt

clean: ## Remove the environments and the caches
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV_STAMP): requirements/runtime.txt
	$(PYTHON) -m venv --clear .venv
	$(PIP) install --require-hashes -r requirements/runtime.txt
	@touch $@

$(RUN_STAMP): $(VENV_STAMP) pyproject.toml
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# Pykka's source distribution carries the test-suite that our actors have to pass.
$(DEV_STAMP): $(RUN_STAMP) requirements/dev.txt requirements/pykka-sdist.txt
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) download --require-hashes --no-deps --no-build-isolation --no-binary pykka \
		-r requirements/pykka-sdist.txt -d .venv/share
	@touch $@

$(BENCH_STAMP): requirements/bench.txt pyproject.toml
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/bench.txt
	.venv-bench/bin/python -m pip --quiet --disable-pip-version-check install --no-deps --no-build-isolation -e .
	@touch $@
