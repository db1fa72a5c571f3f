# Set-up, checks, tests and the demo; every target works on a fresh checkout.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
LONG_STAMP := $(VENV)/.installed-long
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
WORKERS ?= 2
DEMO_OUT ?= histonic-demo

.PHONY: demo test test-long bench-smoke notebooks check format docs dist clean

demo: $(STAMP)
	$(BIN)/histonic demo --out $(DEMO_OUT) $(DEMO_ARGS)

test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not long" $(PYTEST_ARGS)

test-long: $(LONG_STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m long $(PYTEST_ARGS)

bench-smoke: $(STAMP)
	$(BIN)/python benchmarks/smoke.py $(BENCH_ARGS)

notebooks: $(LONG_STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python docs/execute_notebooks.py $(NOTEBOOKS)

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(DOCS_STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

dist: $(LONG_STAMP)
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e ".[dev]"
	touch $(STAMP)

$(DOCS_STAMP): $(STAMP)
	$(PIP) -e ".[docs]"
	touch $(DOCS_STAMP)

$(LONG_STAMP): $(STAMP)
	$(PIP) -e ".[long]"
	touch $(LONG_STAMP)

clean:
	rm -rf $(VENV) $(DEMO_OUT) dist docs/_build .mypy_cache .ruff_cache .pytest_cache
