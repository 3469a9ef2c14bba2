# Everything a newcomer types. `make demo` and `make test` set up what they need first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PGM := .venv-pgm/bin/python
NATIVE := $(shell find feed bots -name '*.pyx' -o -name '*.pxd' -o -name '*.h' 2>/dev/null)

.PHONY: help setup pgm demo test soak bench lint clean

help:
	@echo "make demo    run the feed on the simulator with three bots and show rates and latency (Ctrl-C ends it)"
	@echo "make test    lint, types, import layers and all tests"
	@echo "make soak    ten minutes of a feed and eight bots that are killed, cut off and lied to (a minute of it in test),"
	@echo "             10,000 histories of the recovery core, 10,000 power cuts of the archive and 200 kills"
	@echo "make bench   the benchmarks beside their peers (nothing else should run)"
	@echo "make setup   only what the others need: $(VENV) with the commands feed and bots"
	@echo "make pgm     as root: .venv-pgm, the same with a pyzmq that has epgm:// (deploy/MULTICAST.md)"
	@echo "make lint    ruff, mypy --strict, import layers"

setup: $(VENV)/.built

$(VENV)/.system:
	@bash deploy/system-packages.sh
	@mkdir -p $(VENV) && touch $@

$(VENV)/.tools: $(VENV)/.system pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "setuptools==84.2.1" "Cython>=3.1,<4"
	@touch $@

$(VENV)/.built: $(VENV)/.tools pyproject.toml $(NATIVE)
	$(BIN)/pip install --quiet --no-build-isolation --editable ".[dev]"
	@touch $@

pgm: setup
	@bash deploy/install-pgm.sh

demo: setup
	$(BIN)/feed demo $(ARGS)

test: lint
	@bash deploy/system-packages.sh test
	@if [ "$$(id -u)" -eq 0 ]; then bash deploy/install-pgm.sh; fi
	$(BIN)/pytest --numprocesses 2 --dist loadfile $(ARGS)
	@if [ -x $(PGM) ]; then $(PGM) -m pytest --numprocesses 2 --dist loadfile tests/links/test_contract.py tests/links/test_epgm.py; \
	else echo "not tested: epgm, for which make pgm must have been run as root"; fi

soak: setup
	$(BIN)/python -m tests.chaos.soak $(ARGS)
	TICKCAST_EXAMPLES=10000 $(BIN)/pytest tests/property/test_recovery_machine.py --timeout 0
	TICKCAST_SOAK=1 $(BIN)/pytest tests/store/test_crash.py --timeout 0

bench: setup
	$(BIN)/feed bench latency --transport shm --idle spin
	$(BIN)/feed bench latency --transport shm --idle park
	$(BIN)/feed bench throughput --transport shm --api batch
	$(BIN)/feed bench throughput --transport shm --api callback
	$(BIN)/feed bench latency --transport tcp --rate 5000 --processes one --vs libzmq-c
	$(BIN)/feed bench latency --transport tcp --rate 5000 --processes many --vs libzmq-c
	$(BIN)/feed bench throughput --transport tcp --batch 1 --api batch --vs libzmq-c
	$(BIN)/feed bench throughput --transport tcp --api batch
	$(BIN)/feed bench fanout --bots 24
	$(BIN)/feed bench recovery
	$(BIN)/feed bench measuring

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) .venv-pgm build *.egg-info
	find feed bots -name '*.so' -delete
	find feed bots -name '*.c' -delete
