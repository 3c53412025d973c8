# The two commands: `make run` (the main job) and `make test`. Both build .venv first, when it is not there yet.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run full test app figures site clean

run: .venv/.installed
	$(BIN)/python -m fer_utils run --quick

full: .venv/.installed
	$(BIN)/python -m fer_utils run --full

app: .venv/.installed
	$(BIN)/python -m fer_utils app

figures: .venv/.installed
	$(BIN)/python -m fer_utils figures

# The committed notebooks, the docs and the model cards as web pages in _site/. A warning, such as a dead link, fails.
site: build/site-env/.installed
	build/site-env/bin/python -m sphinx --fail-on-warning --quiet --jobs auto -c docs -d build/site-cache . _site
	@echo "Look at it: $(PYTHON) -m http.server --directory _site, then http://localhost:8000"

build/site-env/.installed: docs/requirements.txt
	$(PYTHON) -m venv build/site-env
	build/site-env/bin/python -m pip install --quiet --requirement docs/requirements.txt
	touch $@

test: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

.venv/.installed: requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; name one with: make run PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	# Compiled afterwards, on all cores; pip itself does it on one.
	$(BIN)/python -m pip install --quiet --no-compile --editable ".[test]"
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	touch $@

clean:
	rm -rf .venv executed models/runs data/cache
