"""Throughput of build-prefs against a server with a limit of its own, which dies for a while and sends some garbage.

    python -m benchmarks.build_prefs_load [--prompts 600] [--rate 60] [--dead 30] [--json benchmarks/results/load.json]

The server is a process of its own (tests/fake_server.py): it lets `--rate` requests a second through (a bucket of one second's
worth), answers 429 with Retry-After: 1 to all others, sends 2 % garbage, takes 0.3 s for an answer, and is killed when a
third is answered and started again at the same address after `--dead` seconds. build-prefs has 200 requests in flight at most.
`share_of_the_limit` is what was let through over what the server would have let through while it was there and build-prefs
asked: rate x seconds + the full bucket of each start.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.environment import environment

ROOT = Path(__file__).parents[1]
GARBAGE = ("invalid_json", "truncated_json", "empty_choices", "html")


def start(port: int, log: Path, rate: float) -> tuple[subprocess.Popen[str], str]:
    """A server and its address."""
    command = [sys.executable, "-m", "tests.fake_server", "--port", str(port), "--log", str(log)]
    command += ["--rate", str(rate), "--latency", "0.3"]
    for kind in GARBAGE:
        command += ["--fault", f"{kind},every={50 * len(GARBAGE)}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def events(log: Path) -> list[dict[str, Any]]:
    """What the server wrote."""
    return [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]


def measure(folder: Path, *, prompts: int, rate: float, dead: float) -> dict[str, Any]:
    """One run, and what the server says of it."""
    import loopguard

    source = folder / "prompts.jsonl"
    source.write_text(
        "".join(json.dumps({"prompt": f"Question {k}: what is {k} + {k}?"}) + "\n" for k in range(prompts))
    )
    logs = [folder / "before.jsonl", folder / "after.jsonl"]
    first, url = start(0, logs[0], rate)
    second: list[subprocess.Popen[str]] = []
    gone: list[float] = []

    def die_and_come_back() -> None:
        while not logs[0].exists() or logs[0].read_text().count('"answered"') < 8 * prompts // 3:
            time.sleep(0.2)
        gone.append(time.time())
        first.send_signal(signal.SIGKILL)
        time.sleep(dead)
        second.append(start(int(url.split(":")[2].split("/")[0]), logs[1], rate)[0])
        gone.append(time.time())

    thread = threading.Thread(target=die_and_come_back)
    thread.start()
    try:
        recipe = loopguard.Recipe().override({"engine.engine": f"openai:{url}", "engine.concurrency": 200})
        run = loopguard.build_prefs(source, recipe, out=folder / "run")
        thread.join()
    finally:
        for process in (first, *second):
            process.kill()
            process.wait()
    return figures(run, [events(log) for log in logs], gone, rate)


def figures(run: Any, lives: list[list[dict[str, Any]]], gone: list[float], rate: float) -> dict[str, Any]:
    """The figures of a run, from what each life of the server wrote."""
    asked = [event for life in lives for event in life if event["event"] == "asked"]
    refused = [event for life in lives for event in life if event["event"] == "refused"]
    bodies = [{e["number"]: e["body"] for e in life if e["event"] == "asked"} for life in lives]
    paid = Counter(
        json.dumps(bodies[k][e["number"]], sort_keys=True)
        for k, life in enumerate(lives)
        for e in life
        if e["event"] == "answered"
    )
    there = (gone[0] - asked[0]["time"]) + (asked[-1]["time"] - gone[1])
    let_through = len(asked) - len(refused)
    counts = run.summary["prompts"]
    return {
        "prompts": counts["total"],
        "prompts_failed_or_missing": counts["failed"] + counts["missing"],
        "requests_let_through": let_through,
        "requests_refused_429": len(refused),
        "requests_answered_twice": sum(paid.values()) - len(paid),
        "server_was_there_s": round(there, 1),
        "server_was_gone_s": round(gone[1] - gone[0], 1),
        "limit_requests_per_s": rate,
        "share_of_the_limit": round(let_through / (rate * there + 2 * rate), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=600)
    parser.add_argument("--rate", type=float, default=60)
    parser.add_argument("--dead", type=float, default=30)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), prompts=given.prompts, rate=given.rate, dead=given.dead)
    result = {"benchmark": "load", **environment(), "concurrency": 200, **measured}
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
