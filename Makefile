# Everything here works in a fresh clone on a machine with GNU make and Python 3.11 or later.

PYTHON ?= python3
VENV ?= .venv
# A constraint on SQLAlchemy for this environment, such as SQLAlchemy<2.1
SQLALCHEMY ?= SQLAlchemy
PYTEST_ARGS ?=
# Which versions `make test-pythons` looks for
PYTHONS ?= 3.11 3.12 3.13 3.14
# Tests wait for servers half of the time: three of them for two processors, four at most
WORKERS ?= $(shell processors=$$(getconf _NPROCESSORS_ONLN); \
  workers=$$((processors * 3 / 2)); echo $$((workers > 4 ? 4 : workers > 1 ? workers : 1)))
# How many writers `make torture` kills, and how many schedules of programs and operators it runs
KILLS ?= 10000
SCHEDULES ?= 100000
# How many requests `make fuzz` makes up
REQUESTS ?= 1000000
# The environment of the release that others are compared with
OLD ?= .venv-release-0.7.0
# What does not depend on the version of SQLAlchemy, or takes too long for a second time
ON_ONE_SQLALCHEMY := crash benchmarks detection storage testing transforms validators \
  serving/http serving/test_browser.py serving/test_nginx.py \
  serving/test_servers.py integrations/test_admins_in_browser.py
# What `make coverage` runs: no random programs, and columns of the matrix that differ in our code
COVERING := not test_scenario and not test_random_programs and not test_random_statements \
  or sqlite-async-memory or mariadb-memory
# Names of cases, or options: see `make bench BENCH_ARGS=--help`
BENCH_ARGS ?=

BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The contenders of the benchmarks, each in an environment of its own.
OTHERS := release_0_7 filedepot advanced_alchemy
release_0_7 := sqlalchemy-file==0.7.0 fasteners Pillow
filedepot := filedepot==0.12.0
advanced_alchemy := advanced-alchemy[obstore]==1.12.0

PACKAGES := strace mariadb-server ceph-mon ceph-osd ceph-common radosgw nginx-light chromium
# PostgreSQL comes as a wheel with the test dependencies, for these machines
ifeq ($(filter x86_64 aarch64 arm64,$(shell uname -m)),)
PACKAGES += postgresql
endif
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.DEFAULT_GOAL := help
.PHONY: help run test test-sqlalchemy-2.0 test-pythons coverage torture fuzz services check lint format types layers package bench clean

help: ## list these commands
	@sed -n 's/^\([a-z][a-z0-9.-]*\):.*## \(.*\)/  make \1: \2/p' Makefile

run: $(VENV)/.with-image ## run an example with SQLite and local files
	$(BIN)/python examples/attachments.py

test: $(VENV)/.with-dev $(OLD)/.with-0.7.0 ## run every test, with the servers that it starts
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

test-sqlalchemy-2.0: ## the same on the older SQLAlchemy, without the slowest columns and the crashes
	@$(MAKE) --no-print-directory test VENV=.venv-sqlalchemy-2.0 SQLALCHEMY='SQLAlchemy<2.1' \
	  PYTEST_ARGS='-k "not -s3] and not [mariadb and not -libcloud]" \
	  $(addprefix --ignore tests/,$(ON_ONE_SQLALCHEMY)) $(PYTEST_ARGS)'

test-pythons: ## run README, docs and examples on each installed Python from 3.11 to 3.14
	@PYTHONS="$(PYTHONS)" .ci/examples-on-pythons

coverage: $(VENV)/.with-dev $(OLD)/.with-0.7.0 ## require branch coverage of 97 %, in about half an hour (Python 3.12 or later)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { \
	  echo "On Python 3.11 a trace function hangs where a thread with greenlets ends. Use a later one:" \
	    "make coverage PYTHON=python3.12 VENV=.venv-python-3.12" >&2; exit 1; }
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist worksteal -k '$(COVERING)' \
	  --ignore tests/crash --ignore tests/benchmarks $(PYTEST_ARGS); \
	  status=$$?; $(BIN)/coverage combine --quiet && $(BIN)/coverage report && exit $$status

torture: $(VENV)/.with-dev $(OLD)/.with-0.7.0 ## kill 10,000 writers, and compare with release 0.7.0
	SQLALCHEMY_FILE_TEST_KILLS=$(KILLS) SQLALCHEMY_FILE_TEST_SCHEDULES=$(SCHEDULES) \
	  $(BIN)/python -m pytest -n $(WORKERS) \
	  --dist worksteal tests/crash $(PYTEST_ARGS)
	$(BIN)/python -m tests.crash.old_release $(OLD)/bin/python

fuzz: $(VENV)/.with-dev ## send 1,000,000 random requests to the file server
	$(INSTALL) 'atheris>=3'
	$(BIN)/python -m tests.serving.fuzz -atheris_runs=$(REQUESTS)

services: ## install the servers that the tests start (Debian and Ubuntu)
	@command -v apt-get >/dev/null || { \
	  echo "No apt-get here. Install what your system calls: $(PACKAGES)" >&2; exit 1; }
	@missing=; for package in $(PACKAGES); do \
	  dpkg-query --show --showformat='$${db:Status-Status}\n' $$package 2>/dev/null \
	  | grep -qx installed || missing="$$missing $$package"; done; \
	if [ -z "$$missing" ]; then echo "All installed: $(PACKAGES)"; else \
	  echo "Installing$$missing"; \
	  $(SUDO) apt-get update -qq && \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive \
	    apt-get install -qq -y --no-install-recommends $$missing >/dev/null; fi

check: lint types layers package ## run all checks except the tests

lint: $(VENV)/.with-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(VENV)/.with-dev ## format the code, and fix lint errors
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(VENV)/.with-dev
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python tests/typing
	PATH="$(abspath $(BIN)):$$PATH" pyright --verifytypes sqlalchemy_file --ignoreexternal

layers: $(VENV)/.with-dev
	$(BIN)/lint-imports

package: $(VENV)/.with-dev ## build the wheel, and test it in a clean environment
	rm -rf dist build/alone
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m venv build/alone
	build/alone/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	build/alone/bin/python -I -W error .ci/smoke.py

bench: $(VENV)/.with-dev $(addprefix benchmarks/.venvs/,$(addsuffix /.made,$(OTHERS))) ## measure the speed, compared with others
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

clean: ## remove all generated files
	rm -rf .venv .venv-* build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	rm -rf .hypothesis examples/output benchmarks/.venvs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

benchmarks/.venvs/%/.made: Makefile
	$(PYTHON) -m venv benchmarks/.venvs/$*
	benchmarks/.venvs/$*/bin/python -m pip install --quiet --disable-pip-version-check \
	  'SQLAlchemy[asyncio]' aiosqlite 'psycopg[binary]' $(foreach name,$($*),'$(name)')
	@touch $@

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "No $(PYTHON) here. Install Python 3.11 or later, or: make PYTHON=/path/to/python" >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or later is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
	    "Name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.with-image: $(VENV)/.created pyproject.toml
	$(INSTALL) --editable '.[image]' '$(SQLALCHEMY)'
	@touch $@

$(VENV)/.with-dev: $(VENV)/.created pyproject.toml
	$(INSTALL) --editable '.[dev]' '$(SQLALCHEMY)'
	@touch $@

$(OLD)/.with-0.7.0:
	$(PYTHON) -m venv $(OLD)
	$(OLD)/bin/python -m pip install --quiet --disable-pip-version-check \
	  'sqlalchemy-file==0.7.0' 'SQLAlchemy<2.2' 'fasteners>=0.19' Pillow
	@touch $@
