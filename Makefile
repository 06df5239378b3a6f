# The only door to the project: `make run`, `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# An interpreter to use (empty: the newest on PATH, 3.11 or later) and the environment made from it.
PYTHON ?=
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-14s %s\n", $$1, $$2 }'

.PHONY: setup
setup: $(STAMP) ## create the virtual environment from the pinned requirements

$(STAMP): requirements-dev.txt pyproject.toml scripts/setup.sh scripts/find_python.sh
	@scripts/setup.sh "$(VENV)" "$(PYTHON)"
	@touch $@

.PHONY: requirements
requirements: $(STAMP) ## pin the requirements anew (the only target that changes versions)
	$(BIN)/python scripts/requirements.py compile
