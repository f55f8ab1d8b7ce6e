# `make demo` and `make test` do all the set-up; Python >= 3.11 is needed, nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where a PyTorch for CPUs comes from; on a machine with an NVIDIA GPU the default index has the
# right one. `make install TORCH_INDEX=` skips it, another address replaces it.
ifeq ($(shell command -v nvidia-smi 2>/dev/null),)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
endif
TORCH := $(shell grep '^torch==' requirements.lock)
# One more than two cores keep busy: many tests wait for processes. One thread each: more would only
# wait for one another.
WORKERS ?= 3
LANES ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder
PACKAGE ?= simlib
N ?= 60
SEED ?= 0
SHIPPED := trainlib/onsky/shipped
# The run of the shipped bundle, of which the README tells; it is judged on more than usual.
SURVEY := survey --set dataset.mode=endless --set evaluate.spectra=16384 \
	--set evaluate.template_spectra=6144 --set evaluate.fit_spectra=2048

# Many processes are started; what Python compiles for one is kept for the next.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all mutants lint bench bundle results lock clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install: $(VENV)/.installed  ## create .venv from the lock

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "specdenoise needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet pip==26.3
	@# A PyTorch without GPU libraries, where its index answers; otherwise the default index's.
	if [ -n "$(TORCH_INDEX)" ]; then $(BIN)/pip install --quiet --no-deps --retries 0 --timeout 10 \
	    --index-url "$(TORCH_INDEX)" "$(TORCH)" 2>/dev/null \
	  || echo "no PyTorch from $(TORCH_INDEX); taking the default index's"; fi
	$(BIN)/pip install --quiet --constraint requirements.lock --editable '.[all,dev]'
	touch $@

demo: install  ## the whole workflow on the embedded figures; prints the report's path last
	@$(BIN)/specdenoise demo

test: install  ## everything that needs no server, browser, root or GPU
	$(PYTEST) -m "not slow and not browser and not gpu"

test-all: install  ## also the slow tests and those in a browser (installs Debian's Chromium as root)
	infra/test-all/prepare
	$(PYTEST) -m "not gpu"

mutants: install  ## try N careless changes of a PACKAGE, one at a time; prints what no test noticed
	$(BIN)/python -m tests.mutants $(PACKAGE) --count $(N) --seed $(SEED) --workers $(LANES)

lint: install  ## format, style, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: install  ## time the parts against named alternatives; writes bench.json, fills the README's table in
	$(BIN)/pip install --quiet --constraint requirements.lock --editable '.[bench]' \
	  || echo "the packages to compare with could not be installed; they are left out"
	$(BIN)/python -m tests.bench
	$(BIN)/python -m infra.readme --bench bench.json

bundle: install  ## train, judge and export the shipped bundle anew, some 20 minutes on two cores
	run=$$($(BIN)/specdenoise train $(SURVEY)) \
	  && $(BIN)/specdenoise evaluate "$$run" \
	  && rm -rf $(SHIPPED) && $(BIN)/specdenoise export "$$run" $(SHIPPED)

results: install  ## the README's figures: make the runs that it tells of where they are missing, fill in
	survey=$$($(BIN)/specdenoise train $(SURVEY)) \
	  && $(BIN)/specdenoise evaluate "$$survey" \
	  && $(BIN)/specdenoise generalise "$$survey" --spectra 384 \
	  && continuous=$$($(BIN)/specdenoise build survey --set dataset.name=continuous \
	    --set dataset.mode=virtual --set stellar.sampling=continuous) \
	  && demo=$$($(BIN)/specdenoise train demo) \
	  && ablated=$$($(BIN)/specdenoise train demo --set dataset.n_train=16384) \
	  && $(BIN)/specdenoise ablate "$$ablated" --minutes 1.2 --spectra 192 \
	  && $(BIN)/python -m infra.readme --survey "$$survey" --continuous "$$continuous" \
	    --demo "$$demo" --ablated "$$ablated"

lock:  ## write requirements.lock anew from the ranges in pyproject.toml
	infra/lock

clean:  ## remove the virtual environment
	rm -rf $(VENV)
