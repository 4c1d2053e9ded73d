# Two commands on a fresh machine: `make demo` shows the main job, `make test` runs everything that must hold.
# They need Python 3.11+, make and a package registry; they make .venv and install what constraints.txt pins.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types types-for-users unit crash bench pictures reference build clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[diagrams]'
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo  ## the main job on real input: start, kill -9, resume, ask, report, picture
	$(BIN)/orchestra demo

test: check unit  ## lint, types and every test

check: lint types  ## lint and types

lint: $(VENV)/.dev  ## style, and the floors that imports must keep to
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.dev  ## mypy --strict over the package, the tests and the examples
	$(BIN)/mypy

types-for-users: $(VENV)/.dev  ## pyright, strict, over what users write
	$(BIN)/pyright

unit: $(VENV)/.dev  ## every test; PYTEST_ARGS goes to pytest
	$(BIN)/python -m pytest --numprocesses=$${PYTEST_WORKERS:-auto} $(PYTEST_ARGS)

crash: $(VENV)/.dev  ## kill at every point: 200 random graphs and the examples, on every store; 20,000 seeds of fleets
	CRASH_ALL=1 SIMULATION_SEEDS=$${SIMULATION_SEEDS:-20000} $(BIN)/python -m pytest \
		--numprocesses=$${PYTEST_WORKERS:-auto} --timeout=3600 tests/crash tests/simulation $(PYTEST_ARGS)

bench: $(VENV)/.dev  ## measure: ratios against floors of the same run
	$(BIN)/python -m tests.benchmarks

pictures: $(VENV)/.dev  ## draw the pictures of the documentation again
	$(BIN)/python -m docs.draw_pictures

reference: $(VENV)/.dev  ## make the pages of the reference that are made from the code
	$(BIN)/python -m docs.make_reference

build: $(VENV)/.dev  ## a wheel, in dist/
	$(BIN)/python -m build --wheel

clean:  ## take away what was made
	rm -rf $(VENV) dist demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis
