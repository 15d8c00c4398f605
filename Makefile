# One environment, .venv, for everything. Variables: PYTHON (>= 3.10), VENV, PYTEST_ARGS, OUT.
#
# Where a ROS 2 distribution is sourced, the environment is laid over it; elsewhere the real rclpy,
# Fast DDS and rosidl come as pinned wheels. The two are never mixed: `make clean` between them.

PYTHON ?= python3
VENV ?= .venv
OUT ?= out/demo_$(shell date +%Y%m%d_%H%M%S)
PYTEST_ARGS ?=
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip

# The wheels restart Python once with a library path of their own. Inherited from another
# environment, the guard would stop that here and the path would lead to foreign libraries.
ifneq ($(_ROS_WHEELS_BOOTSTRAP_COMPLETE),)
  unexport LD_LIBRARY_PATH
endif
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

BUILD_FILES := setup.py setup.cfg package.xml pyproject.toml $(wildcard build_support/*.py)
SHARE_FILES := $(shell find launch config -type f -not -path '*/__pycache__/*' 2>/dev/null)
INTERFACES := $(wildcard msg/*.msg srv/*.srv)

.PHONY: help setup demo test test-fast test-slow lint bench clean system

help:
	@echo 'make setup | demo | test | test-fast | lint | bench | clean'

setup: $(VENV)/.installed

system: $(VENV)/.system

$(VENV)/.system: build_support/system.sh
	@PYTHON='$(PYTHON)' bash build_support/system.sh
	@mkdir -p $(VENV) && touch $@

$(VENV)/.requirements: $(VENV)/.system requirements/constraints.txt build_support/manifest.py \
    package.xml
	@PYTHON='$(PYTHON)' VENV='$(VENV)' bash build_support/environment.sh
	@touch $@

$(VENV)/.installed: $(VENV)/.requirements $(BUILD_FILES) $(INTERFACES) $(SHARE_FILES)
	@echo 'building the messages and installing wm_eval_ros into $(VENV)'
	@$(PIP) install --quiet --no-build-isolation --no-deps --editable .
	@$(BIN)/python -c 'import wm_eval_ros.msg' 2>/dev/null || echo 'wm_eval_ros: installed' \
	  'WITHOUT its ROS 2 messages: scoring works, nodes do not; `$(BIN)/wm-eval doctor` says why'
	@touch $@

demo: setup
	$(BIN)/wm-eval run reacher --out $(OUT) --baselines

# the pages of the reports are tested in a real browser; without one those tests skip
$(VENV)/.browser: build_support/system.sh
	@PYTHON='$(PYTHON)' bash build_support/system.sh browser
	@mkdir -p $(VENV) && touch $@

test: test-fast
	@$(MAKE) --no-print-directory test-slow

test-fast: setup
	$(BIN)/python -m pytest -q -m 'not slow' $(PYTEST_ARGS)

test-slow: setup $(VENV)/.browser
	$(BIN)/python -m pytest -q -m slow $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup
	@for file in bench/[a-z]*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

clean:
	rm -rf $(VENV) build dist install log *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
