# Everything here needs Python 3.11 or newer, and make. Another interpreter: make PYTHON=python3.12 demo
PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/core.stamp
DEV := $(VENV)/dev.stamp
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Images of 8x8 pixels are too little work for threads to share, but two networks can train at once.
DISTIL := $(BIN)/limbeck distill --method dm --profile small --data digits --networks 5 \
	--set 'execution.executor={name: processes, workers: 2}'

.PHONY: help .venv dev demo test check bench clean

help:
	@echo "make demo    distil handwritten digits and write pages with the pictures (runs/demo)"
	@echo "make test    run the tests"
	@echo "make check   lint, types, import rules"
	@echo "make bench   run what lies in benchmarks/"
	@echo "make .venv   install Limbeck into .venv; make dev adds what tests and checks need"
	@echo "make clean   remove .venv, caches and runs/demo"

.venv: $(CORE)

dev: $(DEV)

$(CORE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Limbeck needs Python 3.11 or newer, and $(PYTHON) is not. Type for example: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@echo "installing Limbeck into $(VENV) (PyTorch is large: this takes a few minutes)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -e .
	@touch $@

$(DEV): $(CORE)
	@echo "installing what tests and checks need"
	@$(PIP) -e '.[dev]'
	@touch $@

demo: $(CORE)
	@rm -rf runs/demo
	@$(DISTIL) --ipc 1 --out runs/demo/ipc1
	@$(DISTIL) --ipc 10 --out runs/demo/ipc10
	@echo "The pictures and figures: runs/demo/ipc1/report.html and runs/demo/ipc10/report.html"

# One thread for each worker: two that share the cores run faster than four that fight for them.
test: $(DEV)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS)

check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(DEV)
	@set -e; for script in $(wildcard benchmarks/*.py); do echo "$$script"; $(BIN)/python "$$script"; done

clean:
	rm -rf $(VENV) runs/demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks .coverage* htmlcov build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
