BIN := .venv/bin
READY := .venv/.ready
SEED := 1
# Most tests of real servers wait for them: five processes are busy together on two cores.
WORKERS := $(shell expr 5 '*' $$(getconf _NPROCESSORS_ONLN) / 2)
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

# Candidates are run, not just found: version managers leave shims on PATH that only fail.
PYTHON = $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c '$(USABLE)' 2>/dev/null && echo $$python && break; done)

.PHONY: help setup demo services test lint format docs bench rivals crash rules clean

help:  ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

setup: $(READY)  ## make .venv with everything in it

$(READY): pyproject.toml
	@$(BIN)/python -c '$(USABLE)' 2>/dev/null && $(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		test -n '$(PYTHON)' || { \
			echo 'cnstra needs Python 3.11 or newer, with venv and pip. On Debian and Ubuntu:' >&2; \
			echo '    apt install python3 python3-venv' >&2; \
			echo 'One that is not on PATH: make setup PYTHON=/path/to/python' >&2; \
			exit 1; }; \
		echo 'Making .venv with $(PYTHON)'; \
		$(PYTHON) -m venv --clear .venv; }
	@echo 'Installing cnstra and its tools into .venv'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'  # knows --group
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]' --group dev
	@touch $@

demo: setup  ## audit this machine's Python packages while the worker is killed
	@$(BIN)/cnstra demo

services:  ## install the servers that the tests start, where they are missing
	@tests/services.sh

test: setup services  ## run every test
	@$(BIN)/python -m pytest -n $(WORKERS)

lint: setup  ## check style and types
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/pyright

format: setup  ## put the code in shape
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

docs: setup  ## build the documentation into build/site
	@$(BIN)/python -m website.llms
	@$(BIN)/python -m mkdocs build --strict --quiet
	@echo 'build/site/index.html is the documentation'

bench: setup  ## measure each cost against its limit
	@$(BIN)/python -m benchmarks

rivals: setup services  ## kill DBOS, LangGraph, Celery and Dramatiq as cnstra is killed; RIVAL=dbos: one of them
	@test -x .venv-rivals/bin/python || $(BIN)/python -m venv .venv-rivals
	@.venv-rivals/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/rivals/requirements.txt
	@$(BIN)/python -m benchmarks.rivals --kills 200 --seed $(SEED) --together $(WORKERS) $(RIVAL)

crash: setup services  ## kill workers at every point and in mid-work; QUICK=1: in two minutes
ifdef QUICK
	@$(BIN)/python -m pytest -n $(WORKERS) tests/crash/test_exhaustive.py tests/crash/test_random.py \
		tests/crash/test_kills.py tests/crash/test_points.py
else
	@CRASH=full CRASH_SEED=$(SEED) $(BIN)/python -m pytest -n $(WORKERS) tests/crash
	@$(BIN)/python -m tests.crash --seed $(SEED)
	@$(BIN)/python -m tests.crash.effects_campaign --broker rabbitmq --kills 1000 --seed $(SEED)
	@$(BIN)/python -m tests.crash.effects_campaign --broker bullmq --kills 1000 --seed $(SEED)
	@$(BIN)/python -m tests.crash.effects_campaign --broker rabbitmq --kills 100 --bare --seed $(SEED)
endif

rules: setup  ## take out the line that keeps each rule; see its test turn red
	@$(BIN)/python -m tests.rules

clean:  ## remove what can be made again
	@rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	@find src tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
