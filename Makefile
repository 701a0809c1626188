# TinyTorch: each target sets itself up on first use; `make help` lists them.
#   make journey PYTHON=python3.12      uses that Python instead of the first one found

VENV       ?= .venv
VENV_PEERS ?= .venv-peers
FIND_PYTHON = for p in python3 python3.13 python3.12 python3.14 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done
ifeq ($(origin PYTHON), undefined)
PYTHON := $(shell $(FIND_PYTHON))
endif

BIN       := $(VENV)/bin
BIN_PEERS := $(VENV_PEERS)/bin
UV        := $(shell command -v uv 2>/dev/null)
PINS      := pyproject.toml constraints.txt
RUN       := $(VENV)/.ready-run
DEV       := $(VENV)/.ready-dev
PEERS     := $(VENV_PEERS)/.ready-peers

ifneq ($(UV),)
MAKE_VENV = "$(UV)" venv --quiet --allow-existing --python "$(PYTHON)" $(VENV)
INSTALL   = "$(UV)" pip install --quiet --python $(BIN)/python
else
MAKE_VENV = "$(PYTHON)" -m venv $(VENV)
INSTALL   = $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

# The suite runs two processes: one BLAS thread each keeps them from fighting over the cores. All tests of a
# file run in one of them, so that what they share is made once.
ONE_THREAD = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
JOBS      ?= 2

# Tests start thousands of processes, each of which would compile the package anew where this is set.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help journey test check peers lessons lessons-gate lessons-learner bench clean python
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

journey: $(RUN)  ## train an MLP, a CNN and a GPT on real data, see where time goes, make them faster and smaller
	$(BIN)/tito journey $(ARGS)

test: $(DEV)  ## all tests but the peers', the examples in docstrings, and coverage of at least 90 %
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --ignore=tests/peers --cov --cov-report=term --cov-fail-under=90 $(ARGS)

check: $(DEV)  ## format, lint, types and the order of the lessons
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

peers: $(PEERS)  ## parity with PyTorch, in an environment of its own
	$(BIN_PEERS)/tito model get minilm
	$(BIN_PEERS)/tito model get smollm2
	$(BIN_PEERS)/python -m pytest tests/peers $(ARGS)

lessons: $(DEV)  ## the gate of the course: checks tell right from wrong, and a scripted learner walks through it
	+@$(MAKE) --no-print-directory -j2 lessons-gate lessons-learner

lessons-gate: $(DEV)
	$(ONE_THREAD) $(BIN)/python -m tinytorch.learn.gate $(ARGS)

lessons-learner: $(DEV)
	$(ONE_THREAD) $(BIN)/python -m tests.learn.scripted_learner

bench: $(PEERS)  ## speed and memory beside PyTorch, as a table
	$(BIN_PEERS)/python -m benchmarks $(ARGS)

clean:  ## remove what the targets made, environments included
	rm -rf $(VENV) $(VENV_PEERS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "TinyTorch needs Python 3.11 or newer, and $(if $(PYTHON),$(PYTHON) is not,none was found): say make PYTHON=/path/to/python3.12" >&2; exit 1; }

$(RUN): $(PINS) | python
	@echo "Setting up $(VENV) (once; about a minute) ..."
	@$(MAKE_VENV)
	@$(INSTALL) -c constraints.txt -e ".[learn]"
	@touch $@

$(DEV): $(RUN)
	@$(INSTALL) -c constraints.txt -e ".[learn,server,notebook,browser,dev]"
	@touch $@

# Made with pip, never uv: PyTorch's wheels for a plain CPU are found by pip's own configuration.
$(PEERS): $(PINS) | python
	@echo "Setting up $(VENV_PEERS) with PyTorch (once; some minutes) ..."
	@"$(PYTHON)" -m venv $(VENV_PEERS)
	@$(BIN_PEERS)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,peers]"
	@touch $@
