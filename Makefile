# Two commands: `make demo` and `make test`. Both set up what they need; nothing is installed twice.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PYTHON ?= python3
BIN := .venv/bin
SOLC_VERSION := 0.8.30

# The npm compiler behind a wrapper, unless the user names a folder with a native `solc-v$(SOLC_VERSION)`.
SOLCX_BINARY_PATH ?= $(CURDIR)/.ballast/solc
export SOLCX_BINARY_PATH
export FOUNDRY_SOLC := $(SOLCX_BINARY_PATH)/solc-v$(SOLC_VERSION)
export FOUNDRY_DISABLE_NIGHTLY_WARNING := 1
# The binary itself: the npm wrapper around it exits with 0 whatever happened.
FORGE = $$(ls node_modules/@foundry-rs/forge-*/bin/forge | head -n 1)

SOURCES := $(shell find contracts -name '*.sol' -not -path '*/.cache/*')

.PHONY: help setup demo test test-contracts test-python test-fork fuzz coverage mutate prove slither audit bench-gas bench-routing bench-vaults bench-backtest study chaos soak check format clean lock

help: ## what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready node_modules/.ready .ballast/solc/.ready .build/.ready .ballast/kernels/.ready ## install everything, locked, and compile the contracts

demo: setup ## rebalance a real basket through real DEX bytecode on the embedded chain
	@$(BIN)/ape run demo

test: setup test-contracts test-python test-fork ## every test

test-contracts: setup ## forge: unit, fuzz, invariants
	@$(FORGE) test

test-python: setup ## pytest: unit, property, end to end on the embedded chain
	@$(BIN)/pytest tests/unit tests/property tests/e2e tests/chaos

test-fork: setup ## ape: the fork suite, on the embedded chain or on MAINNET_RPC_URL
	@$(BIN)/ape test --network ethereum:mainnet-fork:foundry

fuzz: setup ## the invariant campaign, a hundred times longer than in `make test`
	@FOUNDRY_INVARIANT_RUNS=25600 $(FORGE) test --match-path 'tests/contracts/invariants/*'

coverage: setup ## which lines and branches of the contracts the forge tests reach; fails below 99%
	@$(BIN)/python scripts/coverage.py

mutate: setup ## removes each guard in turn, moves each bound, turns each rounding: which would no test notice? (half an hour)
	@$(BIN)/python scripts/mutate.py

prove: setup .venv-proof/.ready ## symbolic execution of the libraries with halmos
	@# halmos builds by itself, but knows only where to look for what came out. The rest of the project is not its subject.
	@FOUNDRY_SRC=contracts/libraries FOUNDRY_TEST=tests/contracts/symbolic FOUNDRY_OUT=.build/proof \
	  FOUNDRY_CACHE_PATH=.build/proof-cache PATH="$(CURDIR)/node_modules/.bin:$$PATH" .venv-proof/bin/halmos

slither: setup .venv-proof/.ready ## static analysis
	@rm -rf .build/slither
	@$(FORGE) build --build-info --ast --out .build/slither --skip 'tests/**' --quiet
	@PATH="$(CURDIR)/node_modules/.bin:$$PATH" .venv-proof/bin/slither . --config-file slither.config.json

audit: setup .venv-audit/.ready ## known vulnerabilities of the locked dependencies, where an advisory source can be reached
	@.venv-audit/bin/python scripts/audit.py

bench-gas: setup ## what a rebalance, a mint and a redemption cost, beside the bare swaps and other protocols
	@$(BIN)/python benchmarks/gas.py

bench-routing: setup benchmarks/peers/node_modules/.ready ## how good and how fast the router is, beside Uniswap's, cvxpy and one pair at a time (minutes)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.routing

bench-vaults: setup ## 100 vaults of 8 assets among 60 pools in one process: time and requests for a block (minutes)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.vaults

bench-backtest: setup ## how many steps and batches a second the simulation makes, and that its memory stays constant
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.backtest

study: setup ## every trigger on synthetic paths and real prices: cost at the same tracking error (half an hour; resumable)
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.strategies

chaos: setup ## 300 kills, every kind of fault and a soak: is anything sent twice, lost, or left to a person? (minutes)
	@$(BIN)/python benchmarks/chaos.py

soak: setup ## 2,000 blocks of moving prices and a node that fails now and then
	@$(BIN)/python benchmarks/chaos.py --soak-only --blocks 2000

check: setup ## lint, types, format, import rule; known vulnerabilities, where a source answers at once
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(FORGE) fmt --check
	@$(BIN)/pytest -q tests/unit/test_import_rule.py
	@$(BIN)/python scripts/audit.py --quick

format: setup ## rewrite Python and Solidity in the house format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(FORGE) fmt

lock: ## resolve the Python lock anew (needs `uv`)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet --output-file requirements.lock
	printf 'halmos\nslither-analyzer\n' | uv pip compile - --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet --output-file requirements-proof.lock
	printf 'pip-audit\n' | uv pip compile - --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --quiet --output-file requirements-audit.lock

clean: ## remove everything that setup made
	rm -rf .venv .venv-proof .venv-audit node_modules benchmarks/peers/node_modules .ballast .build contracts/.cache

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Ballast needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=") if sys.version_info < (3, 11) else None'
	@echo "installing Python packages (about a minute) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@# So that `ape` finds the compiler however it is called: a start-up file sets the default for every interpreter here.
	@echo "import os; os.environ.setdefault('SOLCX_BINARY_PATH', '$(CURDIR)/.ballast/solc')" \
	  > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/ballast_solc.pth"
	@touch $@

# Apart from .venv: what the provers pin and what Ape pins exclude each other.
.venv-proof/.ready: requirements-proof.lock
	@test -x .venv-proof/bin/python || $(PYTHON) -m venv .venv-proof
	@.venv-proof/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-proof.lock
	@touch $@

# Apart from .venv too: what audits the keeper is no part of it.
.venv-audit/.ready: requirements-audit.lock
	@test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-audit.lock
	@touch $@

node_modules/.ready: package-lock.json
	@node -e 'if (parseInt(process.versions.node) < 20) { console.error("Ballast needs Node 20 or newer, this is " + process.version); process.exit(1) }'
	@echo "installing npm packages ..."
	@# Not `npm ci`: it insists that the lock lists Foundry's binaries for platforms that no registry may carry.
	@npm install --no-save --ignore-scripts --no-audit --no-fund --silent
	@touch $@

.ballast/kernels/.ready: keeper/routing/kernels.py keeper/routing/jit.py .venv/.ready
	@echo "compiling the solver's kernels (half a minute) ..."
	@$(BIN)/python -m keeper.routing.warm
	@mkdir -p $(@D)
	@touch $@

benchmarks/peers/node_modules/.ready: benchmarks/peers/package-lock.json
	@echo "installing the routers to compare with ..."
	@cd benchmarks/peers && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

.ballast/solc/.ready: scripts/solc.js node_modules/.ready
	@mkdir -p $(@D)
	@# forge asks for the version again and again; to load the compiler for each answer costs a second a run.
	@node scripts/solc.js --version > $(@D)/version
	@printf '#!/bin/sh\n[ "$$1" = --version ] && exec cat "%s/version"\nexec node "%s" "$$@"\n' "$(CURDIR)/$(@D)" \
	  "$(CURDIR)/scripts/solc.js" > $(@D)/solc-v$(SOLC_VERSION)
	@chmod +x $(@D)/solc-v$(SOLC_VERSION)
	@touch $@

.build/.ready: $(SOURCES) ape-config.yaml .venv/.ready .ballast/solc/.ready
	@test -x "$(FOUNDRY_SOLC)" || { echo "no solc-v$(SOLC_VERSION) in $(SOLCX_BINARY_PATH); unset SOLCX_BINARY_PATH to use the npm compiler"; exit 1; }
	@echo "compiling contracts ..."
	@mkdir -p $(@D)
	@$(BIN)/ape compile --force > .build/compile.log 2>&1 || { tail -n 20 .build/compile.log; exit 1; }
	@touch $@
