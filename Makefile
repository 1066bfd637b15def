# All that a fresh machine with python3 (3.11 or newer) and make needs; `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PY := $(BIN)/python
READY := $(VENV)/.ready
# the versions to set up; `make CONSTRAINTS= ...` takes the newest that pyproject.toml admits, which Python 3.10 needs
CONSTRAINTS ?= .ci/constraints.txt
DEMO_ARGS ?=
# the tests of a file stay with one process while there are others to take
PYTEST_ARGS ?= -n 2 --dist worksteal
# the networks of demo and tests are so small that more threads only wait for each other
export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test check lint types tests unit coverage docs links bench package sbom security lowest newest nightly gpu clean

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1 /p' $(MAKEFILE_LIST) | while read -r name what; do printf 'make %-9s %s\n' "$$name" "$$what"; done

$(READY): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, $(if $(CONSTRAINTS),11,10)) or sys.exit("Python 3.11 or newer is needed here; name one: make PYTHON=python3.11")'
	@echo "setting up $(VENV); the first time takes some minutes"
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS:%=-c %) 'pip>=25.1'
	$(PY) -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS:%=-c %) -e . --group dev
	@$(PY) -c 'open("$@", "w").close()'

setup: $(READY)  ## make the virtual environment .venv with all that the targets need

demo: $(READY)  ## search the learning rate on handwritten digits (DEMO_ARGS='--epochs 3')
	$(PY) examples/digits.py $(DEMO_ARGS)

test: check  ## format, lint, types, tests, doctests, docs: what a change has to pass

check: lint types tests  ## the same as make test

lint: $(READY)  ## check format and style
	$(PY) -m ruff format --check
	$(PY) -m ruff check

types: $(READY)  ## mypy --strict
	$(PY) -m mypy

tests: $(READY)  ## all tests and doctests (PYTEST_ARGS='-n 0 tests/test_house.py'; GAMMABO_MATRIX=whole: all crosses)
	$(PY) -m pytest $(PYTEST_ARGS)

unit: $(READY)  ## the tests of single rooms, without fits in other processes, browsers or docs
	$(PY) -m pytest $(PYTEST_ARGS) -m 'not slow' tests/unit

coverage: $(READY)  ## all tests, and the lines and branches that they reach; fails below 95 %
	$(PY) -m pytest $(PYTEST_ARGS) --cov --cov-report=term-missing:skip-covered

docs: $(READY)  ## the docs as HTML, in docs/_build/html; warnings are errors
	$(PY) -m sphinx -W --keep-going -b html docs docs/_build/html

links: $(READY)  ## check that every link of the docs leads somewhere; needs the internet
	$(PY) -m sphinx -W --keep-going -b linkcheck docs docs/_build/links

bench: $(READY)  ## measure machinery, ask(), snapshots and import time; compare with the baseline
	$(PY) -m benchmarks.speed.run $(BENCH_ARGS)

package: $(READY)  ## build wheel and sdist, check both, install both into clean environments and test there
	$(PY) .ci/package.py $(if $(TAG),--tag "$(TAG)") $(PACKAGE_ARGS)

sbom: $(READY)  ## the bill of materials of the wheel and its dependencies, in dist/
	$(PY) .ci/sbom.py

security: $(READY)  ## known faults in code, workflows and dependencies; the last needs the internet
	$(PY) -m bandit --quiet --recursive --configfile pyproject.toml lightning_gammabo
	$(BIN)/zizmor --offline --quiet .github
	$(PY) -m pip_audit --local --skip-editable

lowest: $(READY)  ## the suites of exactness on the lowest versions that pyproject.toml admits
	$(PY) -m benchmarks.trust.versions lowest $(VERSIONS_ARGS)

newest: $(READY)  ## the same suites on the newest versions
	$(PY) -m benchmarks.trust.versions newest $(VERSIONS_ARGS)

nightly: $(READY)  ## the same suites on Lightning's main branch; needs the internet
	$(PY) -m benchmarks.trust.versions newest --main lightning $(VERSIONS_ARGS)

gpu: $(READY)  ## the checks that wait for a GPU, ten minutes at most
	$(BIN)/python -m benchmarks.devices.gpu

clean:  ## remove what the targets made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov docs/_build
