# Few verbs; what CI runs is what these run.
SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
JOBS  ?= 2

.PHONY: setup check format test test-unit test-root test-clients test-cluster test-vm test-vm-all test-long demo demo-cluster bench docs clean

setup: $(VENV)/.done                ## system packages through apt, Python ones into .venv
$(VENV)/.done: pyproject.toml packaging/setup packaging/apt-packages packaging/thin-command
	packaging/setup $(VENV)

check: $(VENV)/.done                ## format, lint, types, docs and room tests
	$(BIN)/ruff format --check src tests bench demo
	$(BIN)/ruff check src tests bench demo
	$(BIN)/mypy
	$(BIN)/pytest -q tests/unit/test_rooms.py tests/unit/test_docs.py

format: $(VENV)/.done
	$(BIN)/ruff format src tests bench demo
	$(BIN)/ruff check --fix src tests bench demo

test: $(VENV)/.done                 ## everything this machine can run
	packaging/test $(BIN)

test-unit: $(VENV)/.done            ## seconds, no root
	$(BIN)/pytest -q tests/unit

test-root: $(VENV)/.done            ## real kernel, in namespaces of its own
	packaging/sshd-setup
	$(BIN)/pytest -q -n $(JOBS) tests/root

test-clients: $(VENV)/.done         ## the real docker CLI, docker-py and docker-compose, beside a real dockerd
	packaging/peer-setup
	PATH=$$PATH:$$PWD/.peer/usr/bin $(BIN)/pytest -q tests/clients

test-cluster: $(VENV)/.done         ## what several hosts share, on a real etcd
	packaging/etcd-setup
	$(BIN)/pytest -q -n 3 --dist loadfile tests/cluster

test-vm: $(VENV)/.done              ## what this kernel lacks, under a distribution's kernel in QEMU
	packaging/vm-setup
	packaging/etcd-setup
	packaging/test-vm $(BIN)

test-vm-all: $(VENV)/.done          ## the whole root tier under that kernel, and ipvlan beside a real dockerd there
	packaging/vm-setup
	packaging/sshd-setup
	packaging/peer-setup
	JOBS=$(JOBS) packaging/test-vm-all $(BIN)

test-long: $(VENV)/.done            ## five times the contract's cases, longer crowds and fuzzing, more kills
	BASCULE_CASES=5 BASCULE_CROWD=60 BASCULE_FUZZ=20 $(BIN)/pytest -q tests/clients -k "contract or crowd or fuzz"
	BASCULE_FAULTS=1 $(BIN)/pytest -q tests/root/test_faults.py -k restart

demo: $(VENV)/.done                 ## the main job, shown and checked
	$(BIN)/python -m demo

demo-cluster: $(VENV)/.done         ## three hosts on this machine, with an etcd of their own, shown and checked
	packaging/etcd-setup
	$(BIN)/python -m demo --cluster

bench: $(VENV)/.done                ## against Debian's dockerd, in one run
	packaging/bench-setup
	$(BIN)/python -m bench

docs: $(VENV)/.done                 ## regenerate what docs quote from golden files
	$(BIN)/python -m docs.generate
