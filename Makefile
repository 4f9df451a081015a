# Everything begins here: `make help`.
.DEFAULT_GOAL := help
.PHONY: help setup run test check test-long bench lock clean

PYTHON_RUN := .venv/bin/python
ARGS ?=
# Tests that run at the same time; files stay whole. 0 for one after the other. Three keep two cores busy, for many wait
# for other processes; and no more than three, since some count in seconds what a crowded host does not do in time.
SIDE_BY_SIDE ?= 3

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## Set up what running needs: system packages (as root), .venv, the locked Python packages
	@.ci/setup run

run: setup ## Set up and show the product: all processes on loopback, a sample mail through the real path
	@$(PYTHON_RUN) -m relay.cli.main demo $(ARGS)

test: ## Set up and run all tests but the long ones
	@.ci/setup test
	@# A short folder: the path of a unix socket may have 107 octets.
	@folder=$$(mktemp -d /tmp/llXXXXXX) && chmod 755 $$folder && \
	$(PYTHON_RUN) -m pytest -q -m "not long" -n $(SIDE_BY_SIDE) --dist loadfile --no-loadscope-reorder --durations=15 --basetemp=$$folder/t $(ARGS); \
	code=$$?; rm -rf $$folder; exit $$code

check: ## Lint, format, types and import directions
	@.ci/setup test
	@$(PYTHON_RUN) -m ruff check .
	@$(PYTHON_RUN) -m ruff format --check .
	@$(PYTHON_RUN) -m mypy
	@.venv/bin/lint-imports --no-cache

test-long: ## Soak, long fuzzing, 200 power cuts
	@.ci/setup test
	@$(PYTHON_RUN) -m pytest -q -m long --timeout=3600 $(ARGS)

bench: ## Measure the product against openssl and Postfix on this host
	@.ci/setup test
	@$(PYTHON_RUN) -m tests.bench $(ARGS)

lock: ## Write the locks anew from pyproject.toml
	@.ci/lock

clean: ## Remove .venv, caches and the demo's state
	@rm -rf .venv build dist demo-state *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
