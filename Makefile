# The developer's and newcomer's commands. Each does its own set-up; `make up` is all that is needed to start.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SCISERVER := $(BIN)/sciserver
EXTENSIONS := server_extensions/casjobs server_extensions/scidrive
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: up down test test-extensions test-packages lint docs bench lock clean

up: $(VENV)/installed proxy/node_modules/.package-lock.json
	@$(SCISERVER) up

down: $(VENV)/installed
	@$(SCISERVER) down

# pip only fetches uv; uv installs the rest, several times faster.
$(VENV)/installed: setup.cfg clients/python/setup.cfg $(EXTENSIONS:%=%/setup.cfg) constraints.txt scripts/venv.sh
	@PYTHON=$(PYTHON) VENV=$(VENV) sh scripts/venv.sh
	@touch $@

# npm leaves this file when it is done; Node itself is a pinned package of the virtual environment.
proxy/node_modules/.package-lock.json: proxy/package-lock.json scripts/proxy.sh scripts/npm.sh $(VENV)/installed
	@VENV=$(VENV) sh scripts/proxy.sh
	@touch $@

# To check types only: the images build what they install by themselves (images/base/Dockerfile).
server_extensions/node_modules/.package-lock.json: server_extensions/package-lock.json scripts/npm.sh $(VENV)/installed
	@VENV=$(VENV) sh scripts/npm.sh server_extensions ci --ignore-scripts
	@touch $@

test-packages:
	@sh scripts/test-packages.sh

# What the tests need of the machine (engine, images) is made by the fixtures, with the operator's own code.
# In two processes, each with directories of its own: tests/lanes.py. In one: make test ARGS="-n 0".
# The server extensions' come first, since they are a run of their own: but not where ARGS chooses others.
test: $(if $(filter tests% -k% -m%,$(ARGS)),,test-extensions) $(VENV)/installed proxy/node_modules/.package-lock.json \
		test-packages
	$(BIN)/python -m pytest -n 2 $(ARGS)

test-extensions: $(VENV)/installed proxy/node_modules/.package-lock.json test-packages
	$(BIN)/python -m pytest -c server_extensions/pytest.ini $(EXTENSIONS:%=%/tests) $(ARGS)

lint: $(VENV)/installed server_extensions/node_modules/.package-lock.json
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict clients/python/SciServer
	VENV=$(VENV) sh scripts/npm.sh server_extensions run check
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

docs: $(VENV)/installed
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

bench: $(VENV)/installed proxy/node_modules/.package-lock.json test-packages
	$(BIN)/python benchmarks/spawn.py
	$(BIN)/python benchmarks/auth.py
	$(BIN)/python -m benchmarks.casjobs
	$(BIN)/python -m benchmarks.casjobs_particles
	$(BIN)/python -m benchmarks.scidrive
	$(BIN)/python -m benchmarks.notebook

# Newest releases that setup.cfg admits; then run the tests, and commit.
lock: $(VENV)/installed
	$(BIN)/uv pip compile -q -U setup.cfg clients/python/setup.cfg --all-extras --universal --python-version 3.11 --no-annotate --no-header \
		-o constraints.txt
	echo "uv==$$($(BIN)/uv --version | cut -d' ' -f2)" >> constraints.txt
	sort -o constraints.txt constraints.txt

clean:
	rm -rf $(VENV) proxy/node_modules server_extensions/node_modules docs/_build
