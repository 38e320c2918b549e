# `make demo` runs the main job on generated data, `make test` the fast tests. Both install what they need into VENV
# first; the second time that takes no time.

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet -c $(CONSTRAINTS)

# What decides whether an installation is still right.
PINS = pyproject.toml $(CONSTRAINTS)

# Shows a plmrs command, then runs it.
plmrs = @printf '\n$$ plmrs %s\n' "$(1)" && $(BIN)/plmrs $(1)

.PHONY: help demo test test-lowest test-newest lint clean

help:
	@echo "make demo   install plmrs, then prepare, encode, train, evaluate and inspect the demo data set"
	@echo "make test   install what tests need, then run the fast tests"
	@echo "make lint   check style and types"
	@echo "make test-lowest, make test-newest   the same tests with the lowest versions that are permitted, and the newest"
	@echo "make clean  remove what make and the tools made; data/ and runs/ stay"

demo: $(VENV)/installed-demo
	$(call plmrs,prepare demo)
	$(call plmrs,preinfer --dataset demo --plm minilm)
	$(call plmrs,train --dataset demo --plm minilm --max-epochs 15)
	$(call plmrs,evaluate)
	$(call plmrs,inspect)

test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses=4 --dist loadfile -m "not slow and not gpu"

# Each in an environment of its own; on Linux PyTorch then comes with its CUDA libraries, some gigabytes.
test-lowest:
	$(MAKE) test VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt

test-newest:
	rm -rf .venv-newest
	$(MAKE) test VENV=.venv-newest CONSTRAINTS=/dev/null

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/installed-%: $(PINS) | $(BIN)/pip
	@echo "→ installing plmrs with its $* extra into $(VENV); the first time this downloads PyTorch and takes minutes"
	@$(PIP) -e '.[$*]'
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
	  echo "plmrs needs Python 3.11, 3.12 or 3.13, and $(PYTHON) is none of them." >&2; \
	  echo "Name another one, as in: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@echo "→ creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv "$(VENV)" || { \
	  echo "Python's venv module is incomplete; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }

clean:
	rm -rf .venv .venv-lowest .venv-newest build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
