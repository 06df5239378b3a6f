# The only door to the project: `make run`, `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# An interpreter to use (empty: the newest on PATH, 3.11 or later) and the environment made from it.
PYTHON ?=
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

SAM := .cache/sam
CHECKOV := .cache/checkov

# What `make run` analyses unless INPUT says something else.
DOCUMENTS = $(wildcard README.md CONTRIBUTING.md docs/*.md)
TESTS ?= tests
WORKERS ?= auto
SEEDS ?= 10000

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-14s %s\n", $$1, $$2 }'

.PHONY: setup
setup: $(STAMP) ## create the virtual environment from the pinned requirements

$(STAMP): requirements-dev.txt pyproject.toml scripts/setup.sh scripts/find_python.sh
	@scripts/setup.sh "$(VENV)" requirements-dev.txt "$(PYTHON)"
	@# The build backend is pinned too: no isolation, no download.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: run
run: $(STAMP) ## run the sample workflows on the project's own documents, or on INPUT=file or folder
ifdef INPUT
	@$(BIN)/workflow-engine run document-analysis --input "$(INPUT)"
else
	@# A second workflow walks through all ways of waiting; the approval that it asks for is sent at once.
	@$(BIN)/workflow-engine run document-analysis $(DOCUMENTS:%=--input %) --and publish-report=README.md \
		--signal 'approval={"approved": true, "by": "make run"}' --by-schedule 'rate(1 day)'
endif

.PHONY: cost
cost: $(STAMP) ## what AWS would bill for the reference workloads, beside what they cost elsewhere
	@$(BIN)/python scripts/with_dynamodb_local.py $(BIN)/workflow-engine cost

.PHONY: coldstart
coldstart: $(STAMP) ## from a bare interpreter to a handled first message, beside boto3 and pydantic alone
	@$(BIN)/python benchmarks/coldstart/measure.py

.PHONY: bench
bench: $(STAMP) ## this engine beside durable functions and DBOS, in turns, with environments of their own
	@$(BIN)/python benchmarks/engines/compare.py

.PHONY: scale
scale: $(STAMP) ## a tick over 100,000 live and 10,000 due runs, and 1, 2, 4 workers, on DynamoDB Local
	@$(BIN)/python scripts/with_dynamodb_local.py $(BIN)/python benchmarks/scale/throughput.py
	SCALE_LIVE=100000 SCALE_DUE=10000 $(BIN)/pytest --timeout=1800 -s -q tests/integration/costing/test_tick_scale.py

.PHONY: lint
lint: $(STAMP) ## everything that can be said without running the code
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/requirements.py check

.PHONY: test
test: lint ## lint, then every test that needs no AWS account (TESTS=path for some of them)
	@$(BIN)/python scripts/dynamodb_local.py fetch || true
	$(BIN)/pytest --numprocesses=$(WORKERS) $(TESTS)

.PHONY: unit
unit: $(STAMP) ## the tests that need no emulator
	$(BIN)/pytest --numprocesses=$(WORKERS) tests/unit

# The engine on its memory adapters, and what holds model, kernel and adapters: what the rest adds is not counted.
COVERED_BY := tests/unit/kernel tests/unit/model tests/unit/adapters tests/contracts tests/integration/dynamodb

.PHONY: coverage
coverage: $(STAMP) ## the share of kernel, model and adapters that tests run, branches too, with a gate
	@rm -rf .cache/coverage && mkdir -p .cache/coverage
	@$(BIN)/python scripts/dynamodb_local.py fetch || true
	$(BIN)/coverage run -m pytest -q --numprocesses=$(WORKERS) tests/engine -k "memory or not aws"
	$(BIN)/coverage run -m pytest -q --numprocesses=$(WORKERS) $(COVERED_BY)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='src/workflow_engine/kernel/*' --fail-under=92 | tail -1
	$(BIN)/coverage report --include='src/workflow_engine/model/*' --fail-under=98 | tail -1
	$(BIN)/coverage report --include='src/workflow_engine/adapters/*' --fail-under=96 | tail -1

.PHONY: reliability
reliability: $(STAMP) ## try to break the engine: 10,000 simulated histories, every crash point, planted bugs (SEEDS=n)
	$(BIN)/python scripts/reliability.py --seeds $(SEEDS)

# `make test-3.13`, `make unit-3.11`: the same with that interpreter, in an environment of its own.
test-3.%: scripts/find_python.sh
	@$(MAKE) test VENV=.venv-3.$* PYTHON="$$(scripts/find_python.sh 3.$*)"

unit-3.%: scripts/find_python.sh
	@$(MAKE) unit VENV=.venv-3.$* PYTHON="$$(scripts/find_python.sh 3.$*)"

.PHONY: bundle
bundle: $(STAMP) $(SAM)/.installed ## build the Lambda bundle with the SAM CLI and look into it
	@scripts/find_python.sh 3.13 >/dev/null 2>&1 || echo "no Python 3.13 here, which sam build asks for: pip installs what sam would"
	SAM="$(SAM)/bin/sam" $(BIN)/pytest -m bundle tests/bundle

.PHONY: sam-local
sam-local: $(STAMP) $(SAM)/.installed ## both functions in containers by `sam local invoke`, with every file of events/
	@$(BIN)/python scripts/sam_local.py

$(SAM)/.installed: requirements-sam.txt scripts/setup.sh
	@scripts/setup.sh "$(SAM)" requirements-sam.txt "$(PYTHON)"
	@touch $@

.PHONY: checkov
checkov: $(CHECKOV)/.installed ## look for weaknesses in the template (an exception is justified beside its resource)
	$(CHECKOV)/bin/checkov --file template.yaml --framework cloudformation --compact --quiet --skip-download

$(CHECKOV)/.installed: requirements-checkov.txt scripts/setup.sh
	@scripts/setup.sh "$(CHECKOV)" requirements-checkov.txt "$(PYTHON)"
	@touch $@

.PHONY: format
format: $(STAMP) ## format the code and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: docs
docs: $(STAMP) ## write docs/reference anew, from docstrings, the template and the command line
	@$(BIN)/python scripts/reference.py

.PHONY: template
template: $(STAMP) ## write template.yaml anew, from what `workflow-engine init` gives to every project
	@$(BIN)/python scripts/template.py

.PHONY: dynamodb-local
dynamodb-local: $(STAMP) ## fetch DynamoDB Local, for the tests that need more than moto
	@$(BIN)/python scripts/dynamodb_local.py fetch

.PHONY: requirements
requirements: $(STAMP) ## pin the requirements anew (the only target that changes versions)
	$(BIN)/python scripts/requirements.py compile
