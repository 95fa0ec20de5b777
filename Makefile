# Each target works alone, from a fresh clone with nothing but Python 3.11: all of them share one .venv.
PYTHON ?= $(or $(shell command -v python3.11),python3)
BIN := .venv/bin

.PHONY: demo test lint docs figures notebooks clean

demo: .venv/.stamp
	$(BIN)/scidiff demo

test: .venv/.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS)

lint: .venv/.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

docs: .venv/.stamp
	$(BIN)/python -m sphinx -W --keep-going -q -b html -d build/doctrees docs build/docs
	@echo build/docs/index.html

figures: .venv/.stamp
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/figures.py

notebooks: .venv/.stamp
	OMP_NUM_THREADS=1 $(BIN)/python notebooks/execute.py

clean:
	rm -rf .venv build dist demo docs/api docs/notebooks *.egg-info .pytest_cache .ruff_cache .hypothesis
	find scidiff domains tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.stamp: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
