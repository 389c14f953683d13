# protonqa: `make demo` shows the main job on a built-in case, `make test` checks everything. Linux and macOS;
# the same for Windows, as plain pip lines, stands in README.md.

PYTHON ?= python3
VENV ?= .venv
OUT ?= demo-out
PYTEST_ARGS ?=
COVERAGE_FLOOR ?= 85

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --no-input --disable-pip-version-check

# A Linux computer without an NVIDIA driver does not need torch's CUDA libraries (gigabytes): the CPU build is taken
# where torch's own index can be reached. `make demo TORCH_INDEX=` leaves the choice to pip.
ifndef TORCH_INDEX
TORCH_INDEX := $(shell [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null 2>&1 \
                 && echo https://download.pytorch.org/whl/cpu)
endif
TORCH_RANGE = $$($(BIN)/python -c "import tomllib; \
	print(*(d for d in tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'] if d.startswith('torch')))")

.DEFAULT_GOAL := help
.PHONY: help demo test lint style types layers suite docs clean

help:
	@echo "make demo   install into $(VENV) and verify the built-in case; report in $(OUT)/"
	@echo "make test   install with the test extra; lint, types, layers, tests and coverage"
	@echo "make docs   build the documentation into docs/_build/"
	@echo "make clean  remove what demo, test and docs wrote, but not $(VENV)"

demo: $(VENV)/.installed
	@$(BIN)/protonqa demo --out "$(OUT)"

test: lint suite

lint: style types layers

style: $(VENV)/.installed-test
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	$(BIN)/mypy

layers: $(VENV)/.installed-test
	$(BIN)/lint-imports --no-logo

# Compiled kernels are invisible to the coverage tool, so their smallest cases run once more as plain Python.
suite: $(VENV)/.installed-test
	QT_QPA_PLATFORM=$${QT_QPA_PLATFORM:-offscreen} $(BIN)/python -m pytest --cov --cov-report= $(PYTEST_ARGS)
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest --cov --cov-append --cov-report= \
		tests/montecarlo/test_mc_plain_python.py tests/montecarlo/test_mc_laws.py
	$(BIN)/coverage report --skip-covered --fail-under=$(COVERAGE_FLOOR)

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build
	@echo "docs: docs/_build/index.html"

clean:
	rm -rf demo-out docs/_build build dist .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "protonqa needs Python 3.11 or newer; name one: make demo PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv "$(VENV)" || \
		{ echo "no virtual environment could be made; Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@touch $@

# Installed editable, so that the environment follows the tree and is renewed only when pyproject.toml changes.
$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	@echo "installing protonqa and what it needs into $(VENV) (minutes, the first time)"
	@if [ -n "$(TORCH_INDEX)" ] && ! $(BIN)/python -c 'import importlib.util as u; u.find_spec("torch") or exit(1)'; then \
		$(PIP) --no-deps --retries 1 --index-url "$(TORCH_INDEX)" "$(TORCH_RANGE)" 2>/dev/null || \
			echo "no CPU build of torch there, pip takes its own choice"; \
	fi
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/.installed
	@$(PIP) --editable ".[test]"
	@touch $@

$(VENV)/.installed-docs: pyproject.toml | $(VENV)/.installed
	@$(PIP) --editable ".[docs]"
	@touch $@
