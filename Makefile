# Every command a person or CI uses; each is short, the work lives in the tool it calls.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libs/common services/auth services/catalog services/ingest services/governance services/workorder services/share-gateway services/portal cli
EDITABLE := $(foreach p,$(PACKAGES),-e $(p))
SOURCES := libs services cli tests loadtest conftest.py

.PHONY: help demo up test coverage check bench bench-wrk test-kafka test-kills test-oidc docs lock screenshots clean
help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps
COMPILE := build/lock/bin/pip-compile --quiet --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header --strip-extras --allow-unsafe

# The locks name every package, so pip resolves nothing (a release made today changes nothing) and checks afterwards.
$(VENV)/installed: requirements.lock requirements-dev.lock $(addsuffix /pyproject.toml,$(PACKAGES))
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements.lock -r requirements-dev.lock
	$(PIP) --no-build-isolation $(EDITABLE) && $(BIN)/pip check && touch $@

demo: $(VENV)/installed ## deliver dirty synthetic files, govern, publish and call them; show what happened
	$(BIN)/edulake demo

up: $(VENV)/installed ## run the whole suite on this machine (Ctrl-C stops it)
	$(BIN)/edulake up

test: $(VENV)/installed ## run every test that needs no broker
	$(BIN)/pytest -n 2 --dist loadfile -m "not kafka and not oidc"

coverage: $(VENV)/installed ## branches of steps, standards, masks and crypto that their unit tests reach
	$(BIN)/pytest -q -n 2 --cov --cov-report=term services/governance/tests/steps $(wildcard libs/common/tests/test_gm*.py libs/common/tests/test_mask.py libs/common/tests/test_standards*.py)

test-kafka: $(VENV)/installed ## the event bus and the whole journey on a real Kafka (Java and Maven needed)
	$(BIN)/python tests/kafka/broker.py $(BIN)/pytest -m kafka libs/common/tests tests

test-kills: $(VENV)/installed ## ten seeds of kill -9 in the middle of each step, on Kafka, with figures (10-20 minutes)
	EDULAKE_KILL_SEEDS=$${EDULAKE_KILL_SEEDS:-10} $(BIN)/python tests/kafka/broker.py $(BIN)/pytest -s -m kafka tests/test_kills.py

test-oidc: $(VENV)/installed ## log in and out with Keycloak, oidc-provider and a 一网通办 stand-in (Maven, npm, Chromium needed)
	$(BIN)/python tests/oidc/witnesses.py
	EDULAKE_OIDC_WITNESSES=1 $(BIN)/pytest -m oidc tests/oidc

check: $(VENV)/installed ## lint, types, architecture, dependencies, known holes
	$(BIN)/ruff check $(SOURCES) && $(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry --no-ansi . && $(BIN)/deptry --no-ansi --requirements-files requirements.in $(wildcard */*/src) cli/src
	$(BIN)/bandit -c pyproject.toml -q -ll -r $(wildcard */*/src cli/src)

lock: ## pin what requirements*.in add, with hashes and without index addresses (UPGRADE=--upgrade: newest of all)
	$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet pip-tools
	$(COMPILE) $(UPGRADE) -o requirements.lock requirements.in && $(COMPILE) $(UPGRADE) -c requirements.lock -o requirements-dev.lock requirements-dev.in

docs: $(VENV)/installed ## write docs/reference from the code and the standards
	$(BIN)/python docs/generate.py

screenshots: $(VENV)/installed ## every portal page, light, dark and 390 px wide, into build/screenshots (Chromium needed)
	EDULAKE_SCREENSHOTS=build/screenshots $(BIN)/pytest -q services/portal/tests/test_browser.py

bench: $(VENV)/installed ## load on a running suite (after `edulake up --detach` and `edulake demo`)
	$(BIN)/locust -f loadtest/locustfile.py --headless --users 40 --spawn-rate 40 --run-time 60s --only-summary

bench-wrk: $(VENV)/installed ## one gateway worker beside a running suite, cached and uncached (needs wrk)
	$(BIN)/python loadtest/worker.py
