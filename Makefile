# Needs Python 3.11 or newer (with venv and pip) and make; everything else goes into .venv.
#
#   make demo        the demonstration
#   make test        what continuous integration runs: lint, the built wheel, the tests
#   make test-full   the same with the slow tests
#   make lint        ruff, mypy, import-linter
#   make bench       benchmarks beside plaintext SQLite
#   make bench-stores  every kind of store under load, beside plaintext databases, near and at a distance
#   make bench-indexes  every index method, beside pyope, a textbook index and libmongocrypt
#   make lock        renew requirements-dev.lock
#   make clean       remove everything that make has made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
LOCK := requirements-dev.lock
JOBS ?= 2
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip --quiet

SOURCES := $(shell find encdb proxy indexes -name '*.py' 2>/dev/null)

.PHONY: demo test test-full lint bench lock clean wheel-check install
.DEFAULT_GOAL := test

# --- The environment --------------------------------------------------------------------------------

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "encdb needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/locked: $(LOCK) | $(STAMPS)/venv
	$(PIP) install --requirement $(LOCK)
	@touch $@

$(STAMPS)/installed: pyproject.toml encdb/_version.py $(STAMPS)/locked
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

install: $(STAMPS)/installed

# --- What people run --------------------------------------------------------------------------------

demo: install
	@$(BIN)/encdb demo

test: lint wheel-check
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

test-full: lint wheel-check
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "slow or not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: install
	@$(BIN)/python -m tests.benchmarks.run

.PHONY: bench-stores
bench-stores: install
	@$(BIN)/python -m tests.benchmarks.stores

.PHONY: bench-indexes
bench-indexes: $(STAMPS)/peers
	@$(BIN)/python -m tests.benchmarks.family

# Peers that only the benchmark needs.
$(STAMPS)/peers: $(STAMPS)/installed
	$(PIP) install 'pymongocrypt>=1.13' 'pymongo>=4.10'
	@touch $@

# --- The wheel works outside of the checkout --------------------------------------------------------

wheel-check: $(STAMPS)/wheel-checked

$(STAMPS)/wheel-checked: $(SOURCES) pyproject.toml README.md LICENSE $(LOCK) tests/wheel_check.sh | $(STAMPS)/installed
	PYTHON=$(abspath $(BIN)/python) sh tests/wheel_check.sh
	@touch $@

# --- Upkeep -----------------------------------------------------------------------------------------

# A universal lock: one file for every supported Python and platform.
lock: $(STAMPS)/venv
	$(PIP) install 'uv>=0.5'
	$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --group dev \
	    --no-emit-index-url --no-emit-find-links --no-annotate \
	    --custom-compile-command "make lock" --output-file $(LOCK) pyproject.toml

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find encdb proxy indexes tests -name __pycache__ -type d -prune -exec rm -rf {} +
