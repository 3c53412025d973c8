# The two commands: `make run` (the main job) and `make test`. Both build .venv first, when it is not there yet.
UV := $(shell command -v uv 2>/dev/null)
UV_PYTHON_WANTED := $(if $(PYTHON),$(PYTHON),'>=3.11,<3.14')
PYTHON ?= python3
BIN := .venv/bin
# Python compiles the modules that are used, and keeps the result, also where the environment says no.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run full test checks pytest app figures site lock clean

run: .venv/.installed
	$(BIN)/python -m fer_utils run --quick

full: .venv/.installed
	$(BIN)/python -m fer_utils run --full

app: .venv/.installed
	$(BIN)/python -m fer_utils app

figures: .venv/.installed
	$(BIN)/python -m fer_utils figures

# The committed notebooks, the docs and the model cards as web pages in _site/; a warning, such as a dead link, fails.
# And the page without a server: in _site/fer/, and as one file, _site/fer.html.
site: build/site-env/.installed
	build/site-env/bin/python -m sphinx --fail-on-warning --quiet --jobs auto -c docs -d build/site-cache . _site
	build/site-env/bin/python -m fer_utils site --out _site/fer
	mv _site/fer/fer.html _site/fer.html
	@echo "Look at it: $(PYTHON) -m http.server --directory _site, then http://localhost:8000 and http://localhost:8000/fer/"

build/site-env/.installed: docs/requirements.txt pyproject.toml
	$(PYTHON) -m venv build/site-env
	build/site-env/bin/python -m pip install --quiet --requirement docs/requirements.txt --editable .
	touch $@

# The checks of the code run beside the tests, which leave a part of two cores idle.
test: .venv/.installed
	@$(MAKE) --no-print-directory --jobs 2 checks pytest

checks:
	@$(BIN)/ruff check . && $(BIN)/lint-imports --no-cache && $(BIN)/mypy

pytest:
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 20 --durations-min 5

# The versions of requirements-lock.txt, checked by their hashes; with NEWEST=1 the newest that pyproject.toml allows.
# uv, where it is installed, is much faster. It finds a Python that fits, or fetches one, unless PYTHON names one.
LOCKED := $(if $(NEWEST),,--require-hashes --requirement requirements-lock.txt)
PROJECT := $(if $(NEWEST),--upgrade,--no-deps --no-build-isolation) --editable ".[test]"

.venv/.installed: requirements-lock.txt pyproject.toml
ifdef UV
	rm -rf .venv
	$(UV) venv --quiet --seed --python $(UV_PYTHON_WANTED) .venv
	$(if $(LOCKED),$(UV) pip install --quiet --python .venv $(LOCKED))
	$(UV) pip install --quiet --python .venv $(PROJECT)
else
	$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and \
		'Python 3.11, 3.12 or 3.13 is needed; name one with: make run PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(if $(LOCKED),$(BIN)/python -m pip install --quiet --no-compile $(LOCKED))
	$(BIN)/python -m pip install --quiet --no-compile $(PROJECT)
endif
	touch $@

# Writes the newest versions that pyproject.toml allows into the lock: for every system, and every Python from 3.11 on.
lock:
	uv pip compile --universal --python-version 3.11 --upgrade --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --extra test --output-file requirements-lock.txt pyproject.toml

clean:
	rm -rf .venv executed models/runs data/cache build _site site/node_modules
