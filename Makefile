# make demo, make test, make lint. Needs Python 3.10+ with venv, and PyPI; no root, no other program.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: .venv demo test lint clean

.venv: .venv/.installed

# torch stands in the same command as all that needs it: by itself pip would choose another build of it later on.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt torch==2.13.0 -e '.[dev,m4a]'
	touch $@

demo: .venv
	$(BIN)/python -m experiments.demo.run

test: .venv
	$(BIN)/python -m pytest

lint: .venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
