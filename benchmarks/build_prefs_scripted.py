"""100,000 prompts (or a million) through build-prefs with the scripted engine: prompts/s, resident memory, seconds to resume.

    python -m benchmarks.build_prefs_scripted [--prompts 1000000] [--json benchmarks/results/scripted-million.json]

The scripted engine answers at once, so what is measured is loopguard alone: detector, ledger (every answer on disk before it
is used), pairing, tables. The run is made in a process of its own, which says after each tenth of the prompts how long it
took and what it held in memory. Half-way through it is killed (kill -9) and taken up again; when it is done, it is run once
more: the seconds to resume are those from the start of the process to the first prompt that is through (to the end, where
nothing is missing). On a machine that does other work besides, processor seconds say more than seconds.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import loopguard
from benchmarks.environment import environment
from loopguard.prefs.watching import Nobody

TEXT = (
    "river stone lamp quiet garden seven paper window morning yellow engine silver cloud letter market "
    "bread winter island mirror copper valley thunder pencil orange station velvet harbour ladder meadow "
    "signal "
)
WORDS = TEXT.split()


def write_inputs(folder: Path, prompts: int) -> tuple[Path, Path]:
    """Prompts, and the script that answers them: about one prompt in eight has a looping greedy answer."""
    draw = random.Random(0)
    text = lambda n: " ".join(draw.choices(WORDS, k=n))  # noqa: E731
    with open(folder / "prompts.jsonl", "w", encoding="utf-8") as file:
        for k in range(prompts):
            file.write(json.dumps({"prompt": f"Question {k}: say something about {text(6)}."}) + "\n")
    rules = [
        {"contains": "<<<ANSWER", "greedy": {"content": "4", "logprobs": {"4": -0.3, "5": -1.6, "3": -3.0}}},
        {
            "contains": "7: say",
            "samples": [text(150) for _ in range(5)],
            "greedy": {"content": text(60) + " and so it goes" * 120, "finish_reason": "length"},
        },
        {"samples": [text(150) for _ in range(2)] * 2 + [text(90)], "greedy": text(120)},
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    return folder / "prompts.jsonl", folder / "answers.jsonl"


class Blocks(Nobody):
    """A watcher that writes a line of JSON when the asking begins, at the first prompt through, and after each block."""

    def __init__(self, log: Path, block: int) -> None:
        self._log, self._block = log, block
        self._begun = time.time()
        self._pass, self._count, self._peak = "asking", 0, 0.0

    def asking(self, *, total: int, done: int) -> None:
        self._tell("begins", done=done)

    def asked(self, outcome: object) -> None:
        self._next("asked")

    def writing(self, *, total: int) -> None:
        self._count, self._peak = 0, 0.0
        self._tell("writing")

    def wrote(self) -> None:
        self._next("wrote")

    def _next(self, what: str) -> None:
        self._count += 1
        if self._count % 5_000 == 0 or self._count % self._block == 0:
            self._peak = max(self._peak, resident())
        if self._count == 1 or self._count % self._block == 0:
            self._tell(what, resident_mb=round(self._peak or resident(), 1))
            self._peak = 0.0

    def _tell(self, what: str, **more: object) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        line = {"what": what, "count": self._count, "time": time.time(), "cpu": used.ru_utime + used.ru_stime, **more}
        with open(self._log, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def resident() -> float:
    """Resident memory of this process in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def work(folder: Path, block: int) -> None:
    """What the process of its own does."""
    recipe = loopguard.Recipe().override(
        {"engine.engine": f"scripted:{folder / 'answers.jsonl'}", "engine.concurrency": 64}
    )
    loopguard.build_prefs(
        folder / "prompts.jsonl", recipe, out=folder / "run", watcher=Blocks(folder / "log.jsonl", block)
    )


class Life:
    """One process that works on the run, from its start to its end or to a kill."""

    def __init__(self, folder: Path, block: int) -> None:
        self._log = folder / "log.jsonl"
        self._log.unlink(missing_ok=True)
        self.begun = time.time()
        command = [sys.executable, "-m", "benchmarks.build_prefs_scripted", "--work", str(folder), str(block)]
        self.process = subprocess.Popen(command)

    def lines(self) -> list[dict[str, Any]]:
        if not self._log.exists():
            return []
        return [
            json.loads(line)
            for line in self._log.read_text(encoding="utf-8").splitlines(keepends=True)
            if line[-1] == "\n"
        ]

    def kill_after(self, count: int) -> None:
        """kill -9 when so many prompts are through."""
        while self.process.poll() is None and not any(
            e["what"] == "asked" and e["count"] >= count for e in self.lines()
        ):
            time.sleep(0.1)
        self.process.kill()
        self.process.wait()

    def end(self) -> float:
        """Seconds to its end."""
        assert self.process.wait() == 0
        return time.time() - self.begun

    def first(self) -> float:
        """Seconds from its start to the first prompt that was through."""
        return next(e["time"] for e in self.lines() if e["what"] == "asked") - self.begun

    def blocks(self, what: str) -> list[dict[str, Any]]:
        """Prompts/s, processor milliseconds a prompt and memory of each block of one pass."""
        found = [e for e in self.lines() if e["what"] == what]
        return [
            {
                "prompts": after["count"] - before["count"],
                "prompts_per_s": round((after["count"] - before["count"]) / (after["time"] - before["time"]), 1),
                "cpu_ms_per_prompt": round(
                    1000 * (after["cpu"] - before["cpu"]) / (after["count"] - before["count"]), 3
                ),
                "resident_mb": after["resident_mb"],
            }
            for before, after in pairwise(found)
        ]


def measure(prompts: int, folder: Path) -> dict[str, object]:
    """A life that is killed in the middle, one that ends the run, one that finds it done."""
    write_inputs(folder, prompts)
    block = max(1, prompts // 10)
    killed = Life(folder, block)
    killed.kill_after(prompts // 2)
    killed_after = time.time() - killed.begun
    blocks = killed.blocks("asked")
    resumed = Life(folder, block)
    seconds = killed_after + resumed.end()
    blocks += resumed.blocks("asked")
    written, to_resume = resumed.blocks("wrote"), resumed.first()
    summary = json.loads((folder / "run" / "summary.json").read_text())
    again = Life(folder, block)
    done_again = again.end()
    answers = summary["candidates"]["total"] + summary["judge"]["scored"]
    log = folder / "run" / "ledger.sqlite-wal"
    return {
        "prompts": prompts,
        "seconds": round(seconds, 1),
        "prompts_per_s": round(prompts / seconds, 1),
        "answers_per_s": round(answers / seconds, 1),
        "answers": answers,
        "pairs": summary["pairs"],
        "resident_mb_peak": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1),
        "asking_by_blocks": blocks,
        "writing_by_blocks": written,
        "ledger_mb": round((folder / "run" / "ledger.sqlite").stat().st_size / 1e6, 1),
        "log_mb": round(log.stat().st_size / 1e6, 1) if log.exists() else 0,
        "tables_mb": round(sum(p.stat().st_size for p in (folder / "run").glob("*[ls]*.parquet")) / 1e6, 1),
        "seconds_to_resume_after_kill": round(to_resume, 2),
        "seconds_to_say_nothing_is_missing": round(done_again, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", nargs=2, metavar=("FOLDER", "BLOCK"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(Path(given.work[0]), int(given.work[1]))
        return
    with tempfile.TemporaryDirectory() as folder:
        result = {"benchmark": "scripted", **environment(), **measure(given.prompts, Path(folder))}
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
