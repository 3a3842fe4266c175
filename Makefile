# `make demo` and `make test` need git, make and Python >= 3.11; they set everything else up in .venv.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.docs-ready
UNFINISHED := $(VENV)/.unfinished
PIP := $(BIN)/python -m pip install --disable-pip-version-check
CODE := src tests examples benchmarks
SIDE_BY_SIDE := -n 2 --dist worksteal

# The newest Python that runs, is recent enough and can make virtual environments. Override with `make PYTHON=... setup`.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3 python; do \
	"$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& { echo "$$python"; break; }; done)

.PHONY: help demo test test-slow docs lint format typecheck table setup ci clean

help:
	@echo "make demo       train, evaluate and plot a small agent, in minutes"
	@echo "make test       the everyday tests"
	@echo "make test-slow  the longer learning runs"
	@echo "make docs       the documentation, into site/"
	@echo "make lint       lint and format check        make format     put the code into shape"
	@echo "make typecheck  static types                 make table      result tables of README and docs"
	@echo "make setup      only the set-up              make ci         all that has to pass before a merge"
	@echo "make clean      remove what these commands made, the set-up included"

demo: $(READY)
	$(BIN)/innerloop demo

test: $(READY)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

docs: $(DOCS_READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

lint: $(READY)
	$(BIN)/python -m ruff check $(CODE)
	$(BIN)/python -m ruff format --check $(CODE)

format: $(READY)
	$(BIN)/python -m ruff check --fix $(CODE)
	$(BIN)/python -m ruff format $(CODE)

typecheck: $(READY)
	$(BIN)/python -m mypy

table: $(READY)
	$(BIN)/python -m innerloop.report

setup: $(READY)

ci:
	.ci/run

clean:
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache

# An install that was interrupted leaves $(UNFINISHED) behind; the next one then starts from an empty environment.
$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { \
		echo "innerloop needs Python >= 3.11 with the venv module (on Debian and Ubuntu: the package python3-venv)." >&2; \
		echo "None of python3.13, python3.12, python3.11, python3 is that; name one with: make PYTHON=/path/to/python setup" >&2; \
		exit 1; }
	@if [ ! -x $(BIN)/python ] || [ -e $(UNFINISHED) ]; then \
		echo "Making the virtual environment $(VENV) with $(PYTHON) ..."; "$(PYTHON)" -m venv --clear $(VENV); fi
	@touch $(UNFINISHED)
	@echo "Installing what requirements.lock names (a few hundred megabytes the first time) ..."
	@$(PIP) --requirement requirements.lock
	@$(PIP) --quiet --no-deps --editable .
	@rm -f $(UNFINISHED)
	@touch $(READY)
	@echo "Set-up done."

$(DOCS_READY): $(READY) requirements-docs.lock
	@$(PIP) --requirement requirements-docs.lock
	@touch $(DOCS_READY)
