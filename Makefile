# Each target makes what it needs: Python 3.11 or newer and make are all that has to be there.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin

.PHONY: demo test lint screenshots monitoring neighbours quota backfill feed bench notify plans faults week upgrade model mutants audit vm clean

demo: .venv/ready
	@$(BIN)/python daemon.py demo $(ARGS)

test: lint
	$(BIN)/pytest -n auto $(ARGS)

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# The pictures of the walkthrough in docs/, from the real pages; needs Chromium.
screenshots: .venv/ready
	@mkdir -p docs/screenshots
	CALENDAR_SYNC_LEAVE_NOTHING_OUT=1 CALENDAR_SYNC_SCREENSHOTS=docs/screenshots $(BIN)/pytest -q tests/browser/test_story.py tests/browser/test_life.py

# What the dashboard shows while things go wrong; needs Prometheus. Ten minutes; docs/monitoring/README.md explains it.
monitoring: .venv/ready
	@$(BIN)/python -m tests.monitoring.pictures

# Does one user's trouble delay anybody else? Two runs, about eight minutes; docs/neighbours.md explains the figures.
neighbours: .venv/ready
	@$(BIN)/python -m tests.bench.neighbours $(ARGS)

# How much of Google's quotas do two daemons use, and are they ever refused? Fifteen minutes; docs/quotas.md explains the figures.
quota: .venv/ready
	@$(BIN)/python -m tests.bench.quota $(ARGS)

# How long from consent to a complete calendar of 2,000 jobs, and are live edits quick meanwhile? Four minutes; docs/backfill.md explains it.
backfill: .venv/ready
	@$(BIN)/python -m tests.bench.backfill $(ARGS)

# How long does a calendar app wait for a feed among ten thousand jobs? A minute; docs/feed.md explains it.
feed: .venv/ready
	@$(BIN)/python -m tests.bench.feed $(ARGS)

# Our daemon beside the best queues, on the same work? Needs Go and a PostgreSQL server; docs/performance.md explains the figures.
bench: .venv/ready
	@$(BIN)/python -m tests.bench.compare --write $(ARGS)

# What do commits into the outbox cost that notify the daemons? Four minutes; docs/operations.md explains the figures.
notify: .venv/ready
	@$(BIN)/python -m tests.bench.notify $(ARGS)

# Does every hot statement touch as little beside 1,000,000 waiting rows as beside the 50,000 of the tests? A minute or two; memory for 2 GB.
plans: .venv/ready
	CALENDAR_SYNC_PLANS_TIMES=20 $(BIN)/pytest -q tests/integration/test_plans.py $(ARGS)

# A thousand faults of all kinds, and every calendar right in the end? A quarter of an hour; docs/faults.md explains it.
faults: .venv/ready
	@$(BIN)/python -m tests.faults.run $(ARGS)

# A week of traffic in twenty minutes: does anything grow, or get slower? Needs Go; docs/week.md explains the figures.
week: .venv/ready
	@$(BIN)/python -um tests.bench.week --write $(ARGS)

# The upgrade from the release before this one, and the way back, process by process and under traffic. Needs the project's git history.
# Three minutes; docs/faults.md explains it.
upgrade: .venv/ready
	@$(BIN)/python -m tests.upgrade.run $(ARGS)

# Long stories about the whole engine, held against a model, about half an hour; SEED=... repeats a run.
model: .venv/ready
	@echo "SEED=$(SEED)"
	CALENDAR_SYNC_MODEL_STORIES=500 CALENDAR_SYNC_MODEL_STEPS=60 CALENDAR_SYNC_MODEL_SEED=$(SEED) \
		$(BIN)/pytest -q -rP -n 2 tests/model $(ARGS)
model: SEED := $(or $(SEED),$(shell od -An -N4 -tu4 /dev/urandom | tr -d ' '))

# Would a test notice? One small fault after another in what decides, encrypts, fences and isolates; docs/mutations.md explains it.
mutants: .venv/ready
	@$(BIN)/python -m tests.mutation $(ARGS)

# Is anything known against the packages that are pinned? Asks the advisory database, so it is no part of the tests; docs/security.md explains it.
audit: .venv/audit/ready
	@$(BIN)/python -m tests.audit

# From a fresh Debian to an event, then an upgrade and the way back, by docs/getting-started.md and docs/upgrading.md word for word?
# As root, with mmdebstrap; four minutes.
vm: .venv/ready
	@$(BIN)/python -m tests.systemd.vm $(ARGS)

lock: .venv/ready
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile $(LOCK) --extra dev pyproject.toml -o requirements-dev.lock
	echo "pip-audit>=2.10" | $(BIN)/uv pip compile $(LOCK) - -o requirements-audit.lock
	echo 'setuptools>=75' | $(BIN)/uv pip compile $(LOCK) - -o requirements-build.lock
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --upgrade

clean:
	rm -rf .venv

.venv/ready: requirements-dev.lock
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found; name one with: make PYTHON=..." >&2; exit 2; }
	@echo "Preparing .venv (once, about half a minute) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

.venv/audit/ready: requirements-audit.lock .venv/ready
	@$(PYTHON) -m venv --clear .venv/audit
	@.venv/audit/bin/pip install -qq --disable-pip-version-check --require-hashes -r requirements-audit.lock
	@touch $@
