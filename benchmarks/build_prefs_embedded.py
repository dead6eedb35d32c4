"""Tokens/s of build-prefs on the embedded model, over the bare engine (llama.cpp's server) with the same requests.

    python -m benchmarks.build_prefs_embedded [--prompts 4] [--max-tokens 120] [--json benchmarks/results/embedded.json]

The bare side loads the same weights with the same settings and sends the same sampling requests, as many at a time as
build-prefs has in flight, with nothing else around. Both in turns in one process, two rounds; sampled tokens per second, model
loading included on both sides. Without a judge: its requests read much and write one token, which is no measure of tokens/s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import loopguard
from benchmarks.environment import environment
from loopguard.engines import Request, open_engine
from loopguard.prefs.build import prompts_in_flight

PROMPTS = Path(__file__).parent.parent / "pipelines" / "demo_prompts.jsonl"


def build(recipe: loopguard.Recipe, prompts: int, out: Path) -> tuple[float, int, list[Request]]:
    """Seconds, sampled tokens and the requests of one build_prefs."""
    from loopguard.prefs import asking

    seen: list[Request] = []
    plain = asking.Asker._ask_engine

    async def noting(self: Any, prompt_id: str, request: Request, key: bytes) -> Any:
        seen.append(request)
        return await plain(self, prompt_id, request, key)

    asking.Asker._ask_engine = noting  # type: ignore[method-assign]
    try:
        begun = time.perf_counter()
        run = loopguard.build_prefs(PROMPTS, recipe, out=out, limit=prompts)
        seconds = time.perf_counter() - begun
    finally:
        asking.Asker._ask_engine = plain  # type: ignore[method-assign]
    session = run.summary["this_session"]
    return seconds, session["sampling"]["completion_tokens"], seen


async def bare(recipe: loopguard.Recipe, requests: list[Request]) -> tuple[float, int]:
    """Seconds, model loading included, and tokens for these requests in the same order, with nothing around the engine."""
    begun = time.perf_counter()
    engine = open_engine(recipe.engine.engine, recipe.engine.options())
    await engine.start()
    waiting, tokens = iter(requests), 0

    async def work() -> None:
        nonlocal tokens
        for request in waiting:
            answered = await engine.ask(request)
            tokens += sum(completion.completion_tokens for completion in answered)

    await asyncio.gather(*(work() for _ in range(2 * prompts_in_flight(recipe))))
    seconds = time.perf_counter() - begun
    await engine.close()
    return seconds, tokens


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=120)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    recipe = loopguard.load_recipe("demo").override({"sampling.max_tokens": given.max_tokens, "judge.spec": "none"})
    rounds = []
    loopguard.detect("warm")
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(2):
            seconds, tokens, requests = build(recipe, given.prompts, Path(folder) / str(turn))
            bare_seconds, bare_tokens = asyncio.run(bare(recipe, requests))
            ours, theirs = tokens / seconds, bare_tokens / bare_seconds
            rounds.append({"build_prefs_tokens_per_s": round(ours, 1), "bare_tokens_per_s": round(theirs, 1)})
            rounds[-1] |= {"requests": len(requests), "ratio": round(ours / theirs, 3)}
    result = {"benchmark": "embedded", **environment(), "prompts": given.prompts, "rounds": rounds}
    result["ratio"] = round(sum(r["ratio"] for r in rounds) / len(rounds), 3)
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
