# Each target sets itself up in .venv (nothing global) and then does what `make help` says.
# The only things it asks of the machine: Python 3.11 or later with venv, and Go for `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := .venv-peers
PEERS_READY := $(PEERS)/.ready
INTEGRATIONS := .venv-integrations
# {library}.{oldest,latest}: what `make test-integrations` runs with.
LIBRARIES := $(patsubst tests/requirements/%.txt,%,$(wildcard tests/requirements/*.oldest.txt tests/requirements/*.latest.txt))
# One worker per core; the tests of a file stay together, for they share what they start.
PARALLEL := -n auto --dist loadfile
# How often the collector is killed in `make test-faults`; `make test` kills it 25 times.
ROUNDS ?= 200
# How long the decoder is fuzzed there; `make test` does it for about a minute.
FUZZ_SECONDS ?= 3600
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-faults test-integrations lint fmt bench bench-peers bench-conformance peers servers

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(READY) ## a real model, late labels, accuracy and latency: live, after a set-up of a minute or two
	@$(BIN)/inferspan demo $(ARGS)

test: lint servers ## all checks, with the real Jaeger, OTel Collector, Alertmanager (needs Go the first time), Prometheus and Chromium
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

test-fast: $(READY) ## the tests that need no real server
	@echo "Leaving out the tests marked 'real' (Jaeger, OTel Collector, Prometheus, Chromium); make test runs them too."
	@$(BIN)/python -m pytest $(PARALLEL) -m "not real" $(ARGS)

test-faults: $(READY) ## the fault tests at length: kill -9 in ROUNDS rounds (200), a minute of overload, an hour of fuzzing…
	@FAULT_ROUNDS=$(ROUNDS) FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest $(PARALLEL) tests/faults tests/fuzz $(ARGS)

test-integrations: $(LIBRARIES:%=$(INTEGRATIONS)/%/.ready) ## each model library in its oldest and latest supported version, in environments of their own
	@set -e; for one in $(LIBRARIES); do \
		of=$$(echo "$${one%%.*}" | tr _ -); \
		echo "== $$one: $$($(INTEGRATIONS)/$$one/bin/python -m pip --disable-pip-version-check list --format=freeze | grep -iE "^($$of|scikit-learn)" | tr '\n' ' ')"; \
		apart=$$(ls tests/apart/test_$${one%%.*}*.py 2>/dev/null || true); \
		TESTED_LIBRARIES=$${one%%.*} $(INTEGRATIONS)/$$one/bin/python -m pytest -q -p no:cacheprovider \
			$$apart $$(ls tests/sdk/integrations/$${one%%.*}_subjects.py >/dev/null 2>&1 && echo tests/sdk/integrations/test_conformance.py) \
			$$(ls tests/sdk/integrations/test_$${one%%.*}*.py 2>/dev/null) $(ARGS); done

lint: $(READY) ## ruff, and mypy --strict on both packages and on tests/typing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy tests/typing

fmt: $(READY) ## format, and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY) ## run the benchmarks, one after the other
	@set -e; for program in $(filter-out %/bench_conformance.py,$(wildcard benchmarks/bench_*.py)); do \
		echo "== $$program"; $(BIN)/python "$$program"; done

bench-peers: $(PEERS_READY) ## what a call costs, beside other tracing SDKs in the same process
	@$(PEERS)/bin/python benchmarks/bench_call.py --peers $(ARGS)

bench-conformance: $(PEERS_READY) ## our conformance cases against other tracing SDKs; writes docs/comparison.md
	@$(PEERS)/bin/python benchmarks/bench_conformance.py --write $(ARGS)

peers: $(PEERS_READY)

servers: $(READY)
	@$(BIN)/python tests/servers/build.py jaeger otelcol alertmanager amtool
	@PYTHONPATH=tests $(BIN)/python -m servers.debian prometheus promtool

$(READY): constraints.txt pyproject.toml collector/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "inferspan needs Python 3.11 or later; $(PYTHON) is not. Name another: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV) from constraints.txt (once; a minute or two)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) install -r constraints.txt
	@$(PIP) install --no-deps --no-build-isolation -e . -e ./collector
	@$(PIP) check
	@touch $@

$(INTEGRATIONS)/%/.ready: tests/requirements/%.txt tests/requirements/tests.txt pyproject.toml
	@echo "Setting up $(@D) (once; a minute)"
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install -r tests/requirements/tests.txt -r $<
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation -e .
	@touch $@

$(PEERS_READY): benchmarks/peers.txt pyproject.toml
	@echo "Setting up $(PEERS) from benchmarks/peers.txt (once; a minute or two)"
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps -r benchmarks/peers.txt
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation -e .
	@touch $@
