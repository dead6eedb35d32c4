"""Tokens/s of build-prefs on vLLM over the bare `LLM.chat` with the same prompts and parameters, in one run.

    .venv-vllm/bin/python -m benchmarks.build_prefs_vllm --model .venv-vllm/smollm2 [--json benchmarks/results/vllm.json]
    python -m benchmarks.build_prefs_vllm --model Qwen/Qwen3-1.7B --file prompts.jsonl --prompts 2000 --max-tokens 1024 \\
        --arg gpu_memory_utilization=0.9

The bare side hands all conversations to one LLM.chat, with a list of SamplingParams: per prompt one of n = 5 and one greedy,
adjacent. Both sides load the model anew with the same engine arguments; loading it and ending vLLM are left out of the
seconds on both, everything else (reading, ledger, detection, tables) is in ours. Without a judge. The defaults suit two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import loopguard
from benchmarks.environment import environment
from loopguard.dataset import BadRow, read_prompts
from loopguard.engines.vllm import VllmEngine
from loopguard.engines.vllm_arguments import sampling_fields
from loopguard.prefs.sampling import draws

PROMPTS = Path(__file__).parent.parent / "pipelines" / "demo_prompts.jsonl"
ON_CPU = ["enforce_eager=true", "max_model_len=2048", "max_num_seqs=16"]


def build(recipe: loopguard.Recipe, file: Path, prompts: int, out: Path) -> tuple[float, int]:
    """Seconds and sampled tokens of one build_prefs; the seconds of the engine's start and end left out."""
    outside = 0.0
    plain = {name: getattr(VllmEngine, name) for name in ("start", "close")}

    def timed(name: str) -> Any:
        async def call(self: VllmEngine) -> None:
            nonlocal outside
            begun = time.perf_counter()
            await plain[name](self)
            if name == "close" or not loaded:
                outside += time.perf_counter() - begun
            loaded.add(name)

        return call

    loaded = set[str]()
    for name in plain:
        setattr(VllmEngine, name, timed(name))
    try:
        begun = time.perf_counter()
        run = loopguard.build_prefs(file, recipe, out=out, limit=prompts)
        seconds = time.perf_counter() - begun
    finally:
        for name, method in plain.items():
            setattr(VllmEngine, name, method)
    return seconds - outside, run.summary["this_session"]["sampling"]["completion_tokens"]


def bare(recipe: loopguard.Recipe, model: str, file: Path, prompts: int) -> tuple[float, int]:
    """Seconds and tokens of one LLM.chat."""
    from vllm import LLM, SamplingParams

    reader = read_prompts(file, limit=prompts)
    requests = [
        draw.request for item in reader if not isinstance(item, BadRow) for draw in draws(item, recipe.sampling)
    ]
    llm = LLM(model=model, disable_log_stats=True, **recipe.engine.engine_args)
    begun = time.perf_counter()
    parameters = [SamplingParams(**sampling_fields(request, {})) for request in requests]
    outputs = llm.chat([list(request.messages) for request in requests], parameters, use_tqdm=False)
    seconds = time.perf_counter() - begun
    tokens = sum(len(choice.token_ids) for output in outputs for choice in output.outputs)
    llm.llm_engine.engine_core.shutdown()
    return seconds, tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--file", type=Path, default=PROMPTS)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--arg", action="append", metavar="NAME=VALUE", help=f"engine arguments; default {ON_CPU}")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    args = tomllib.loads("\n".join(given.arg or ON_CPU))
    recipe = loopguard.Recipe().override({"engine.engine": f"vllm:{given.model}", "judge.spec": "none"})
    recipe = recipe.override({"engine.engine_args": args, "sampling.max_tokens": given.max_tokens})
    loopguard.detect("warm")
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(given.rounds):
            seconds, tokens = build(recipe, given.file, given.prompts, Path(folder) / str(turn))
            bare_seconds, bare_tokens = bare(recipe, given.model, given.file, given.prompts)
            ours, theirs = tokens / seconds, bare_tokens / bare_seconds
            rounds.append({"build_prefs_tokens_per_s": round(ours, 1), "bare_tokens_per_s": round(theirs, 1)})
            rounds[-1] |= {"tokens": tokens, "bare_tokens": bare_tokens, "ratio": round(ours / theirs, 3)}
    result = {"benchmark": "vllm", **environment(), "model": Path(given.model).name, "engine_args": args}
    result |= {"prompts": given.prompts, "max_tokens": given.max_tokens, "rounds": rounds}
    result["ratio"] = round(sum(r["ratio"] for r in rounds) / len(rounds), 3)
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
