"""The Ray runner under failures: a run whose latencies are drawn from real output lengths, with workers and driver killed.

    .venv-ray/bin/python -m benchmarks.scale_simulation [--prompts 960] [--json benchmarks/results/scale.json]

The scripted engine answers with real outputs (outputs.parquet of LOOPGUARD_SHARED), after a time that goes with the output's
length: 4 bytes a token, SECONDS a token, shortened SHORTENED times. So engines are simulated; Ray, its actors, their deaths,
the files and the ledger are real, on one machine. The figures stand behind docs/scale.md, which says what they do not show.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.environment import environment
from benchmarks.shared import shared_data
from loopguard.dataset import read_prompts
from loopguard.engines import Completion
from loopguard.prefs.answer_file import AnswerFile, answer_lines
from loopguard.prefs.ledger import Ledger
from loopguard.prefs.recipe import Recipe
from loopguard.prefs.sampling import draws
from loopguard.prefs.shard_ledger import ingest
from loopguard.records import Prompt

WORKERS, JUDGES, SLOTS = 4, 2, 16
"""Sampling workers, judging workers, and requests that each may have in flight."""

SECONDS, SHORTENED = 0.010, 4.0
"""Seconds a token in a well filled batch (an assumption: 100 tokens/s a sequence), and how much faster time goes here."""

BYTES_PER_TOKEN = 4
SHARD = 32
OUTPUTS = 1500


def write_inputs(folder: Path, prompts: int, *, latency: bool) -> dict[str, Any]:
    """prompts.jsonl and answers.jsonl; returns the latencies of the samples and of the greedy answer in seconds."""
    import polars as pl

    table = pl.read_parquet(shared_data() / "outputs.parquet")
    texts = table["output"].sample(OUTPUTS, seed=1).to_list()
    asked = table["prompt"].unique(maintain_order=True).to_list()
    with open(folder / "prompts.jsonl", "w", encoding="utf-8") as file:
        for k in range(prompts):
            file.write(json.dumps({"prompt": f"({k}) {asked[k % len(asked)]}"}) + "\n")
    tokens = [len(text.encode()) // BYTES_PER_TOKEN + 1 for text in texts]
    waits = [count * SECONDS / SHORTENED if latency else 0.0 for count in tokens]
    answers = [
        {"content": text, "latency": round(wait, 4), "completion_tokens": count}
        for text, wait, count in zip(texts, waits, tokens, strict=True)
    ]
    judged = {"content": "4", "logprobs": {"4": -0.3, "5": -1.6, "3": -3.0}, "latency": 0.02 if latency else 0.0}
    middle = sorted(range(OUTPUTS), key=tokens.__getitem__)[OUTPUTS // 2]
    rules = [{"contains": "<<<ANSWER", "greedy": judged}, {"samples": answers, "greedy": answers[middle]}]
    (folder / "answers.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    tokens.sort()
    return {
        "waits": waits,
        "greedy": waits[middle],
        "tokens": {f"p{q}": tokens[min(OUTPUTS - 1, OUTPUTS * q // 100)] for q in (10, 50, 90, 99)}
        | {"mean": round(sum(tokens) / OUTPUTS, 1), "max": tokens[-1]},
    }


def command(folder: Path, out: str, *, ray: bool) -> list[str]:
    engine = f"scripted:{folder / 'answers.jsonl'}"
    given = ["build-prefs", str(folder / "prompts.jsonl"), "--engine", engine, "--concurrency", str(SLOTS)]
    given += ["--judge-engine", engine, "--judge-model", "judge", "--out", str(folder / out), "--quiet"]
    if ray:
        settings = {"sample_workers": WORKERS, "judge_workers": JUDGES, "num_cpus": 0.1, "prompts_per_shard": SHARD}
        given += ["--runner", "ray", *(part for k, v in settings.items() for part in ("--set", f"ray.{k}={v}"))]
    return [sys.executable, "-m", "loopguard", *given]


def busy_seconds(folder: Path, inputs: dict[str, Any]) -> float:
    """Seconds that the places of the sampling engines were taken: a request has its place until its longest choice is done."""
    sampling, waits, total = Recipe().sampling, inputs["waits"], 0.0
    for prompt in read_prompts(folder / "prompts.jsonl"):
        assert isinstance(prompt, Prompt)
        for draw in draws(prompt, sampling):
            seed = draw.request.seed or 0
            several = [waits[(seed + k) % OUTPUTS] for k in range(draw.request.n)]
            total += max(several) if draw.request.temperature else inputs["greedy"]
    return total


def follow(folder: Path, out: str, *, kills: int, restart: bool) -> dict[str, Any]:
    """One run; `kills` workers are killed, evenly spread over its shards, and the driver once in the middle."""
    chance, killed, begun, run_dir = random.Random(7), [], 0.0, folder / out
    shards = -(-(folder / "prompts.jsonl").read_bytes().count(b"\n") // SHARD)
    due = [shards * (k + 1) // (kills + 1) for k in range(kills)]
    driver_at = shards // 2 if restart else shards + 1
    process, most, last, lives, away = subprocess.Popen(command(folder, out, ray=True)), 0, 0.0, 1, 0.0
    while process.poll() is None:
        time.sleep(0.1)
        files = sorted(run_dir.glob("answers/*/*.answers"))
        done = len(list(run_dir.glob("shards/[0-9]*")))
        begun = begun or (time.monotonic() if files else 0.0)
        most = max(most, sum(size(path) for path in files))
        last = time.monotonic() if done < shards or not last else last
        if due and done >= due[0] and (young := samples(run_dir)):
            due.pop(0)
            killed.append(done)
            with_pid = int(chance.choice(young[-WORKERS:]).stem.split("-")[-2])
            try:
                os.kill(with_pid, signal.SIGKILL)
            except ProcessLookupError:
                killed.pop()
        if done >= driver_at:
            driver_at, lives, left = shards + 1, lives + 1, time.monotonic()
            process.kill()
            process.wait()
            time.sleep(5)  # the workers of a dead driver end
            old, process = set(samples(run_dir)), subprocess.Popen(command(folder, out, ray=True))
            while process.poll() is None and not set(samples(run_dir)) - old:
                time.sleep(0.1)
            away = time.monotonic() - left
    summary = json.loads((run_dir / "summary.json").read_text(encoding="utf-8"))
    return {
        "exit": process.returncode,
        "seconds_of_work": round(last - begun - away, 1),
        "workers_killed": len(killed),
        "driver_killed": lives - 1,
        "seconds_until_driver_was_back": round(away, 1),
        "prompts": summary["prompts"],
        "answered_requests": summary["spent"]["requests"],
        "answer_files_mb_most": round(most / 1e6, 2),
    }


def samples(run_dir: Path) -> list[Path]:
    """The answer files of the sampling stage, one for each attempt at an unfinished shard."""
    return sorted(run_dir.glob("answers/*/1-sample*"))


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def bytes_of(run_dir: Path) -> dict[str, int]:
    with Ledger.read(run_dir) as ledger:
        answers, prompts = ledger.tally()["answers"], ledger.count()
    shards = sum(size(path) for path in run_dir.glob("shards/*/*"))
    return {
        "prompts": prompts,
        "answers": answers,
        "ledger_bytes_a_prompt": size(run_dir / "ledger.sqlite") // prompts,
        "shard_bytes_a_prompt": shards // prompts,
        "tables_bytes_a_prompt": sum(size(path) for path in run_dir.glob("*.parquet")) // prompts,
    }


def ingested(folder: Path, *, shards: int = 60) -> float:
    """Answers/s that the driver takes from the files of finished shards into a ledger, real outputs, index included."""
    import polars as pl

    texts = pl.read_parquet(shared_data() / "outputs.parquet")["output"].head(6 * 512).to_list()

    async def fill() -> None:
        for shard in range(shards):
            file = AnswerFile(folder / "ingest" / str(shard) / "1-all-x.answers")
            lines = []
            for k, text in enumerate(texts):
                prompt_id = hashlib.sha256(f"{shard} {k // 6}".encode()).hexdigest()
                lines.append(answer_lines(prompt_id, {bytes([k % 6] * 16): Completion(content=text)}))
            await file.append(b"".join(lines))
            await file.close()

    async def take(ledger: Ledger) -> float:
        begun = time.monotonic()
        for shard in range(shards):
            await ingest(ledger, folder / "ingest" / str(shard))
        return shards * len(texts) / (time.monotonic() - begun)

    with Ledger.open(folder / "ingested") as ledger:
        asyncio.run(fill())
        return asyncio.run(take(ledger))


def rates(folder: Path, prompts: int) -> dict[str, float]:
    """Prompts/s without any latency: on Ray from its first answer on, by the local runner with its start."""
    write_inputs(folder, prompts, latency=False)
    on_ray = follow(folder, "fast", kills=0, restart=False)["seconds_of_work"]
    subprocess.run(command(folder, "local", ray=False), check=True)
    summary = json.loads((folder / "local" / "summary.json").read_text(encoding="utf-8"))
    local = summary["this_session"]["seconds"]
    return {"ray": round(prompts / on_ray, 1), "local": round(prompts / local, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=960)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = write_inputs(folder, given.prompts, latency=True)
        places, busy = WORKERS * SLOTS, busy_seconds(folder, inputs)
        calm = follow(folder, "calm", kills=0, restart=False)
        rough = follow(folder, "rough", kills=given.kills, restart=True)
        for found in (calm, rough):
            found["places_busy"] = round(busy / (places * found["seconds_of_work"]), 3)
        same = (folder / "calm" / "preferences.jsonl").read_bytes() == (
            folder / "rough" / "preferences.jsonl"
        ).read_bytes()
        result = {
            "benchmark": "scale",
            **environment(),
            "prompts": given.prompts,
            "tokens_an_output": inputs["tokens"],
            "seconds_a_token": SECONDS,
            "time_shortened": SHORTENED,
            "workers": WORKERS,
            "judges": JUDGES,
            "places_a_worker": SLOTS,
            "prompts_a_shard": SHARD,
            "seconds_at_least": round(busy / places, 1),
            "calm": calm,
            "with_kills": rough,
            "same_preferences": same,
            "answered_twice": rough["answered_requests"] - calm["answered_requests"],
            "seconds_lost_a_kill": round((rough["seconds_of_work"] - calm["seconds_of_work"]) / max(1, given.kills), 1),
            "bytes": bytes_of(folder / "calm"),
            "ingested_answers_per_s": round(ingested(folder)),
            "prompts_per_s_without_latency": rates(folder, given.prompts * 2),
        }
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
