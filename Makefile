# Everything goes through here: `make help`. Needs make and a tested Python (3.11+); the rest is installed into .venv.
# Variables given in the environment or on the command line (STATE, HEADLESS, DURATION, REPLAY, SPEED, SEED …) reach the
# programs through the environment: make exports both kinds by itself.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.SUFFIXES:

PY := .venv/bin/python
TRADEBOT := .venv/bin/tradebot
SETUP_STAMP := .venv/.setup-stamp
PACKAGES := tradebot marketdata engine riskd execd recorder simexchange console backtest cli benchmarks scripts tests
# Rooms that do not exist yet are left out, so every target works from the first commit on.
SOURCES = $(wildcard $(PACKAGES))

# Test workers: two cores is the smallest machine we promise times for.
WORKERS ?= 2
STRATEGY ?= breakout_atr
# Empty unless somebody chose one.
GIVEN_STRATEGY := $(if $(filter file,$(origin STRATEGY)),,$(STRATEGY))
ARGS ?=

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- house -----------------------------------------------------------------------------------------------------------

$(SETUP_STAMP): requirements/dev.txt pyproject.toml scripts/bootstrap.sh
	@PYTHON="$(PYTHON)" sh scripts/bootstrap.sh
	@touch $@

.PHONY: setup
setup: $(SETUP_STAMP) proto ## Create .venv with the locked packages and generate the stubs (PYTHON=… chooses the interpreter)

.PHONY: proto
proto: $(SETUP_STAMP) ## Generate tradebot/rpc from proto/ when a contract changed
	@$(PY) -m scripts.generate_stubs

.PHONY: lock
lock: $(SETUP_STAMP) ## Resolve pyproject.toml again into requirements/*.txt (UPGRADE=1 takes the newest)
	@sh scripts/lock.sh

.PHONY: tools
tools: ## Build grpcurl into .tools/bin (needs Go)
	@sh scripts/grpcurl.sh

.PHONY: fmt
fmt: setup ## Format and sort imports
	@$(PY) -m ruff check --fix-only --quiet .
	@$(PY) -m ruff format .

.PHONY: lint
lint: setup ## ruff, formatting, contracts (buf), breaking-change report
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@sh scripts/buf.sh lint
	@sh scripts/buf.sh breaking

.PHONY: types
types: setup ## mypy --strict over everything
	@$(PY) -m mypy $(SOURCES)

# --- tests -----------------------------------------------------------------------------------------------------------

.PHONY: test
test: setup ## Quick tests: virtual time, no external program (WORKERS=n, ARGS=…)
	@$(PY) -m tradebot.sim.warm_up  # one process compiles the kernels, not every worker
	@$(PY) -m pytest -m "not slow and not component" -n $(WORKERS) --dist loadfile $(ARGS)

.PHONY: test-slow
test-slow: setup ## The other tests: wall time, real processes, external programs; one at a time
	@$(PY) -m pytest -m "slow or component" $(ARGS) || { code=$$?; [ $$code -eq 5 ] || exit $$code; echo "no slow test yet"; }

.PHONY: test-all
test-all: test test-slow ## Every test

.PHONY: soak
soak: setup ## The demo headless for DURATION seconds (default four hours), judged by its own exit code
	@HEADLESS=1 DURATION=$${DURATION:-14400} $(TRADEBOT) demo

.PHONY: mutate
mutate: setup ## Break the risk and order code on purpose, one place at a time; every break must fail a test (ONLY="module ...")
	@$(PY) -m scripts.mutate $(if $(ONLY),--only $(ONLY)) $(ARGS)

.PHONY: bench
bench: setup ## Measure ours beside the bare floors, write build/bench.json (ONLY=id)
	@$(PY) -m benchmarks $(if $(ONLY),--only "$(ONLY)") $(ARGS)

# --- running it ------------------------------------------------------------------------------------------------------

# HEADLESS=1 promises one JSON object as the last line of stdout: nothing may be printed after it.
.PHONY: demo
demo: setup ## The whole system on a synthetic market (STATE, HEADLESS, DURATION, REPLAY, SPEED, SEED)
	@$(TRADEBOT) demo $(ARGS)

.PHONY: paper
paper: setup ## Paper trading on the real venue's market data (STRATEGY, SYMBOLS=BTC-USDT, MINUTES, HEADLESS, STATE)
	@$(TRADEBOT) paper-run $(if $(SYMBOLS)$(GIVEN_STRATEGY),--strategy $(STRATEGY)) $(if $(SYMBOLS),--symbols "$(SYMBOLS)") $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

.PHONY: up
up: setup ## Start the daemons (ARGS="--mode paper" …)
	@$(TRADEBOT) up $(ARGS)

.PHONY: down
down: setup ## Stop the daemons
	@$(TRADEBOT) down $(ARGS)

.PHONY: console
console: setup ## Operator console on the running daemons
	@$(PY) -m console $(ARGS)

.PHONY: backtest
backtest: setup ## Backtest over gRPC (STRATEGY=breakout_atr DATA=file)
	@$(TRADEBOT) backtest --strategy $(STRATEGY) $(if $(DATA),--data "$(DATA)") $(ARGS)

# --- rest ------------------------------------------------------------------------------------------------------------

.PHONY: ci
ci: ## Exactly what the build machine runs
	@bash .ci/run

.PHONY: clean
clean: ## Remove everything generated, .venv and .tools too; never state
	@rm -rf .venv .tools build dist tradebot/rpc scripts/buf/node_modules *.egg-info
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
