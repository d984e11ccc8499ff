# make demo, test, test-all, lint, docs, wheel. Needs Python 3.11 or newer with venv, and PyPI; no root, no other program.
PYTHON ?= python3
BIN := .venv/bin
# Workers are processes: a second thread in each would only take the cores from the others.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: .venv demo test test-all lint docs wheel clean

.venv: .venv/.installed

# torch stands in the same command as all that needs it: by itself pip would choose another build of it later on.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt torch==2.13.0 -e '.[dev]'
	touch $@

demo: .venv
	$(BIN)/python -m fewshot_sep.experiments.demo.run

# The fast tier: all that a change needs.
test: .venv
	$(PYTEST)

# The slow tier too.
test-all: .venv
	$(PYTEST) -m 'slow or not slow'

lint: .venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv
	$(BIN)/mkdocs build --strict --config-file docs/mkdocs.yml

wheel: .venv
	$(BIN)/python -m pip wheel --no-deps --wheel-dir dist .

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
