"""Requests/s of build-prefs against an instant local server, over a bare AsyncOpenAI loop that sends the same requests.

    python -m benchmarks.build_prefs_server [--prompts 2000] [--concurrency 64] [--json benchmarks/results/server.json]

The server is a process of its own that answers at once; both sides send the same number of requests of the same size at the
same concurrency, in turns, and the median of three rounds counts. build-prefs does all its work meanwhile: detector,
ledger, judge, pairs, tables. The ratio is of whole wall time, tables included, start of the command left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.environment import environment

SERVER = Path(__file__).with_name("instant_server.py")


async def bare(url: str, bodies: list[dict[str, Any]], concurrency: int) -> float:
    """Seconds for these requests with nothing around the client: workers that take one body after another."""
    from openai import AsyncOpenAI

    waiting = iter(bodies)
    async with AsyncOpenAI(base_url=url, api_key="none") as client:

        async def work() -> None:
            for body in waiting:
                await client.chat.completions.create(**body)

        begun = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        return time.perf_counter() - begun


def bodies_of(prompts: int, judged: int) -> list[dict[str, Any]]:
    """What build-prefs asks for so many prompts: n=5, greedy, and the judge's requests, by size and kind."""
    found: list[dict[str, Any]] = []
    for k in range(prompts):
        messages = [{"role": "user", "content": f"Question {k}: say something."}]
        common = {"model": "instant", "messages": messages, "max_tokens": 1024}
        found.append({**common, "temperature": 0.8, "top_p": 0.95, "n": 5, "seed": k})
        found.append({**common, "temperature": 0.0, "top_p": 1.0, "seed": k})
    asked = [{"role": "system", "content": "s" * 250}, {"role": "user", "content": "u" * 1700}]
    one = {
        "model": "instant",
        "messages": asked,
        "max_tokens": 16,
        "temperature": 0.0,
        "logprobs": True,
        "top_logprobs": 20,
    }
    return found + [one] * judged


def build(url: str, source: Path, out: Path, concurrency: int) -> tuple[float, int]:
    """Seconds and requests of one build_prefs."""
    import loopguard

    recipe = loopguard.Recipe().override({"engine.engine": f"openai:{url}", "engine.concurrency": concurrency})
    begun = time.perf_counter()
    run = loopguard.build_prefs(source, recipe, out=out)
    seconds = time.perf_counter() - begun
    session = run.summary["this_session"]
    return seconds, session["sampling"]["requests"] + session["judging"]["requests"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    server = subprocess.Popen([sys.executable, str(SERVER)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        result = {"benchmark": "server", **environment(), **measure(url, given.prompts, given.concurrency)}
    finally:
        server.kill()
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


def measure(url: str, prompts: int, concurrency: int) -> dict[str, Any]:
    """Three rounds of both, in turns, after a small one of each that is not counted."""
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "prompts.jsonl"
        lines = [json.dumps({"prompt": f"Question {k}: say something."}) for k in range(prompts)]
        source.write_text("\n".join(lines[:100]))
        build(url, source, Path(folder) / "warm", concurrency)
        source.write_text("\n".join(lines))
        requests = 0
        for turn in range(3):
            seconds, requests = build(url, source, Path(folder) / str(turn), concurrency)
            ours.append(requests / seconds)
            bodies = bodies_of(prompts, requests - 2 * prompts)
            theirs.append(len(bodies) / asyncio.run(bare(url, bodies, concurrency)))
    return {
        "prompts": prompts,
        "concurrency": concurrency,
        "requests": requests,
        "build_prefs_requests_per_s": [round(value, 1) for value in ours],
        "bare_client_requests_per_s": [round(value, 1) for value in theirs],
        "ratio": round(statistics.median(ours) / statistics.median(theirs), 3),
    }


if __name__ == "__main__":
    main()
