# Two commands do everything on a fresh machine: `make demo` and `make test`.
.PHONY: help install development demo test bench docs screenshots lint lock clean
VENV := .venv
BIN := $(VENV)/bin
# The folder of the running interpreter decides; an activated environment must not leak in.
# Nor may one that forbids bytecode (images of containers do): every start would compile everything.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

help:
	@echo 'make demo    a small shop under experiment, live, in about two minutes (ARGS="--seconds 120 --no-browser")'
	@echo 'make test    lint, types, import contracts and every test, on SQLite, PostgreSQL and Chromium'
	@echo 'make bench   the benchmarks, each beside a peer or its limit'
	@echo 'make screenshots  a picture of every page, in light, dark and on a phone, into screenshots/'
	@echo 'make docs    docs/reference and docs/figures, written anew from the code'
	@echo 'make lint    ruff, mypy and the import contracts alone'

install:
	@.ci/bootstrap service $(VENV)

demo: install
	@$(BIN)/flagstone demo $(ARGS)

development:
	@.ci/bootstrap development $(VENV)

lint: development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A worker for each core and one more, since many wait for processes; who has nothing left takes from
# the others. WORKERS=0: one process.
WORKERS := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
test: lint
	$(BIN)/pytest -n $(WORKERS) --dist worksteal $(ARGS)

# Peers' SDKs live in an environment of their own: they are no part of what we test or ship.
PEERS := .venv-peers
$(PEERS)/bin/python: requirements-peers.lock
	@.ci/bootstrap peers $(PEERS)

bench: development $(PEERS)/bin/python
	-PYTHONPATH=.:sdk $(PEERS)/bin/python -m web.bench --full
	PYTHONPATH=sdk $(PEERS)/bin/python benchmarks/differential.py --flags 60 --users 100000
	-$(BIN)/flagstone bench serve
	$(BIN)/python benchmarks/intake.py
	$(BIN)/python benchmarks/stats_speed.py
	$(BIN)/python benchmarks/proofs.py
	$(BIN)/python benchmarks/newcomer.py
	PYTHONPATH=. $(PEERS)/bin/python benchmarks/calibration.py

screenshots: development
	PYTHONPATH=.:sdk $(BIN)/python -m tests.web.pages.screenshots $(ARGS)

# Tests hold docs/reference against the code: after a new route, command, field or error, run this.
docs: install
	$(BIN)/python -m web.reference
	$(BIN)/python docs/figures.py

# Writes the lock files anew from pyproject.toml (needs uv).
lock:
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --extra postgresql --group build pyproject.toml -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --extra postgresql --group build --group test --group lint --group bench -c requirements.lock pyproject.toml -o requirements-development.lock
	uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
	  --group peers -o requirements-peers.lock

clean:
	rm -rf $(VENV) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis
