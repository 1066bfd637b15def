# make demo | make test | make docs: all that a fresh machine with python3 (3.11 or newer) and make needs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_ARGS ?=
PYTEST_ARGS ?= -n 2
# the networks of demo and tests are so small that more threads only wait for each other
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types tests coverage docs clean

help:
	@echo "make demo   search the learning rate on handwritten digits (DEMO_ARGS='--epochs 3')"
	@echo "make test   format, lint, types, tests, doctests, docs; the same as make check"
	@echo "make docs   the docs as HTML, in docs/_build/html"
	@echo "make lint | types | tests | coverage | clean"

$(READY): pyproject.toml .ci/constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed here; name one: make PYTHON=python3.11")'
	@echo "setting up $(VENV); the first time takes some minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt -e '.[dev]'
	@touch $@

setup: $(READY)

demo: $(READY)
	$(BIN)/python examples/digits.py $(DEMO_ARGS)

test: check

check: lint types tests

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(READY)
	$(BIN)/mypy

tests: $(READY)
	$(BIN)/pytest $(PYTEST_ARGS)

coverage: $(READY)
	$(BIN)/pytest $(PYTEST_ARGS) --cov --cov-report=term-missing:skip-covered

docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov docs/_build
