# `make demo`, `make test` and `make install` each start from a fresh clone: they make .venv when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Test files run side by side in so many processes; each trains on one thread.
JOBS ?= 2
STAMP := $(VENV)/.installed

.PHONY: install demo test lint types imports check docs clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "prefdata needs Python 3.11 or newer; try: make PYTHON=python3.11" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,annotate,dev]'
	touch $(STAMP)

demo: install
	$(BIN)/prefdata demo --output demo-out --overwrite

test: install
	tests/annotation/ensure_chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

check: lint types imports test

docs: install
	$(BIN)/python -m prefdata.cli.docs > docs/commands.md
	$(BIN)/python -m prefdata.validation.docs > docs/rules.md

clean:
	rm -rf $(VENV) demo-out dist build .mypy_cache .ruff_cache .pytest_cache
