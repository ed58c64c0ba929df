# luaflow. "make help" lists what there is; every target sets up what it needs.

# Never shared: two copies of the project on one machine have nothing in common but the network.
BIN := .venv/bin
STAMP := .venv/.ready
PYTEST := $(BIN)/python -m pytest
WORKERS ?= 2
# What "make test-all" runs as a second server; any Redis >= 7.0 or Valkey >= 7.2.
SECOND_SERVER ?= $(shell command -v redis-server)

.DEFAULT_GOAL := help
AUDIT := .audit/bin
.PHONY: audit sbom help setup demo test test-acl test-all test-heavy test-second-server test-topologies check fix lock topologies chaos sim fuzz upgrade bench counts clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make the virtual environment .venv with everything pinned (once)

# The first Python >= 3.11 that can make virtual environments.
$(STAMP): requirements.lock pyproject.toml
	@set -e; for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Setting up .venv with $$($$python --version)"; \
	    $$python -m venv --clear .venv; exit 0; \
	  fi; \
	done; \
	echo "luaflow needs Python 3.11 or newer with venv (on Debian: apt-get install python3-venv)." >&2; exit 1
# The lock is whole, so nothing is resolved: older pips look for the newest coverage[toml] beside the
# pinned coverage, and refuse it once there is a newer one. pip check says what --no-deps would hide.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip check
	@touch $@

demo: setup ## Run the demo: an order workflow that survives crashes, on an embedded server
	@$(BIN)/luaflow demo

test: setup ## Run the tests on the embedded server (a few minutes)
	$(PYTEST) -n $(WORKERS) -m "not heavy" tests

test-all: test test-heavy test-acl test-second-server test-topologies ## Run all tests, also the long ones and on a second server

# Most of them wait most of the time; the long ones may come last.
test-heavy: setup
	$(PYTEST) -n $$(($(WORKERS) + 1)) --dist worksteal -m heavy tests

# What does not speak to a server, the table of counts, which is the embedded one's, and violations that
# are planted to prove a test are not run again.
AGAIN := --ignore=tests/lua --ignore=tests/unit --ignore=tests/performance -k "not planted"

test-second-server: setup
ifneq ($(SECOND_SERVER),)
	@$(SECOND_SERVER) --version
	LUAFLOW_TEST_SERVER=$(SECOND_SERVER) LUAFLOW_TEST_TRUE_PROCESSES=1 $(PYTEST) -n $(WORKERS) -m "not heavy" $(AGAIN) tests
else ifneq ($(CI),)
	@echo "No redis-server on PATH: the tests on a second server cannot run." >&2; exit 1
else
	@echo "SKIPPED: the tests on a second server. Install redis-server, or name one: make test-all SECOND_SERVER=/path/to/redis-server"
endif

# A part of the suites, without the planted violations, on three times as many servers.
ON_TOPOLOGIES := tests/store/test_client.py tests/store/test_relay.py tests/processes/test_calls.py \
  tests/processes/test_bonds.py $(addprefix tests/protocol/test_,$(addsuffix .py,engine outbox partitions \
  locks jobs queries updates retrying schedules))

test-topologies: setup ## Run a part of the tests on Sentinel and on a cluster
	LUAFLOW_TEST_TOPOLOGY=sentinel $(PYTEST) -n $(WORKERS) -m "not heavy" -k "not planted" $(ON_TOPOLOGIES)
	LUAFLOW_TEST_TOPOLOGY=cluster $(PYTEST) -n $(WORKERS) -m "not heavy" -k "not planted" $(ON_TOPOLOGIES)

# Not those that change the settings of their one store for everybody, or kill a worker that still writes.
test-acl: setup ## Run a part of the tests with workers, schedulers and clients as their users of the server
	LUAFLOW_TEST_ACL=1 $(PYTEST) -n $(WORKERS) -m "not heavy" \
	  -k "not planted and not answer_has_a_bound and not changed_code_fails" $(ON_TOPOLOGIES)

check: setup ## Check style, types, imports, sizes, lock file, manifests, dashboards, alerts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/hadolint deploy/Dockerfile deploy/overlays/dev/Dockerfile
	$(BIN)/python -m tools.validate_manifests
	$(BIN)/python -m tools.validate_compose
	$(BIN)/python -m tools.check_dashboards
	$(BIN)/python -m tools.check_alerts
	$(PYTEST) -q tests/unit/test_layout.py tests/unit/test_lock.py tests/unit/test_size_budget.py

fix: setup ## Repair what can be repaired: imports, formatting, simple findings
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The header of requirements.lock is this command.
lock: ## Write requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --group dev --extra cli --extra crypto --extra fast --extra http --universal \
	  --python-version 3.11 --generate-hashes --no-emit-index-url --upgrade --quiet \
	  --custom-compile-command "make lock" -o requirements.lock

MINUTES ?= 5
topologies: setup ## Fail over under load for MINUTES, at each durability level, and write figures
	$(BIN)/python -m tests.topologies.figures --minutes $(MINUTES)

# FAULTS: names with commas between, name=N for at least N; without, all of them. SEED repeats a plan.
CHAOS := $(if $(FAULTS),--faults $(FAULTS)) $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) \
  $(if $(FSYNC),--fsync $(FSYNC)) $(if $(SERVER),--server $(SERVER)) $(if $(AT_ONCE),--at-once $(AT_ONCE)) $(if $(DATA),--data $(DATA))

chaos: setup ## Real processes under faults for MINUTES: FAULTS, SEED, RUNS, FSYNC, SERVER, AT_ONCE, DATA
	$(BIN)/python -m tests.chaos --minutes $(MINUTES) $(CHAOS)

upgrade: setup ## Run the last release and this tree together, for MINUTES
	UPGRADE_SECONDS=$$(( $(MINUTES) * 30 )) $(PYTEST) -n 0 -m heavy tests/upgrade

bench: setup ## Measure throughput and latency
	$(BIN)/python bench/run.py

counts: setup ## Count anew what a step costs (round trips, commands, bytes, Lua), show what changed
	@$(BIN)/python -m tests.performance

SEEDS ?= 0-999
sim: setup ## Play seeds of the simulation, SEEDS=0-999 (docs/simulation.md)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --figures

# TARGETS: some of those that python -m tests.fuzz --help names; INPUTS: how many, and not how long.
fuzz: setup ## Hostile inputs for MINUTES, or INPUTS of them: TARGETS, SEED (docs/testing.md)
	@$(BIN)/python -m tests.fuzz $(TARGETS) $(if $(INPUTS),--inputs $(INPUTS),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) --figures

# In an environment of its own: what these tools depend on is no dependency of ours.
$(AUDIT): setup
	@test -x $(AUDIT)/cyclonedx-py || { $(BIN)/python -m venv --clear .audit && \
	  $(AUDIT)/python -m pip install --quiet --disable-pip-version-check "pip-audit==2.10.*" "cyclonedx-bom==7.5.*"; }

audit: $(AUDIT) ## Ask for known holes in all that is pinned (needs the network)
	$(AUDIT)/pip-audit --strict --requirement requirements.lock --require-hashes --disable-pip

sbom: $(AUDIT) ## Write dist/sbom.json, the bill of materials (CycloneDX)
	@mkdir -p dist
	$(AUDIT)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.json

clean: ## Delete everything that was made here
	rm -rf .venv .audit dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage coverage.xml htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
