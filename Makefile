# The ways into this checkout. `make setup` is part of each, and costs nothing once done.
.DEFAULT_GOAL := help
PY := .venv/bin/python

.PHONY: help setup setup-tests demo demo-down test test-fast lint pins bench bench-large bench-node clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-11s %s\n", $$1, $$2}' Makefile

setup: ## install what is missing: system packages (as root), .venv
	@scripts/bootstrap

setup-tests:
	@scripts/bootstrap tests

demo: setup ## hub to answer, across a gap, on this machine
	@$(PY) -m scripts.demo

demo-down: setup ## stop all that the demo has started
	@$(PY) -m scripts.demo down

test: setup-tests ## every test, with real registry, SSH host and engines
	@$(PY) -m pytest --numprocesses 2 --dist loadfile

test-fast: setup ## the tests that need nothing but Python
	@$(PY) -m pytest --numprocesses 2 --dist loadfile tests/unit

lint: setup ## ruff and mypy
	@$(PY) -m ruff check .
	@$(PY) -m mypy

pins: setup ## prove the locked requirements of the images against the package index
	@$(PY) -m scripts.pins

bench: setup ## figures against skopeo and scp, in one run
	@$(PY) -m scripts.bench

bench-large: setup ## peak memory and disk with a bundle of 10 GB
	@$(PY) -m scripts.bench large

bench-node: setup ## load, up, check and status on a node, with the demo up
	@$(PY) -m scripts.bench node

clean: setup ## stop everything and remove all that was made, but for .venv
	@$(PY) -m scripts.world down --purge
	@rm -rf dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +
