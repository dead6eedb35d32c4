"""100,000 prompts through build-prefs with the scripted engine: prompts/s, answers/s through the ledger, resident memory.

    python -m benchmarks.build_prefs_scripted [--prompts 100000] [--json benchmarks/results/scripted.json]

The scripted engine answers at once, so what is measured is loopguard alone: detector, ledger (every answer on disk before it
is used), pairing, tables. The run is made in a process of its own, whose memory is sampled while it works.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.environment import environment

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


def resident(pid: int) -> float:
    """Resident memory of a process in MB, 0.0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def measure(prompts: int, folder: Path) -> dict[str, object]:
    """Run the command once and look at it four times a second."""
    source, script = write_inputs(folder, prompts)
    command = [sys.executable, "-m", "loopguard", "build-prefs", str(source), "--engine", f"scripted:{script}"]
    command += ["--concurrency", "64", "--out", str(folder / "run"), "--quiet"]
    begun, memory = time.monotonic(), []
    process = subprocess.Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    while process.poll() is None:
        memory.append(resident(process.pid))
        time.sleep(0.25)
    seconds = time.monotonic() - begun
    summary = json.loads((folder / "run" / "summary.json").read_text())
    answers = sum(summary["this_session"][stage]["choices"] for stage in ("sampling", "judging"))
    again = time.monotonic()
    subprocess.run(command, check=True)
    tenth = max(1, len(memory) // 10)
    return {
        "prompts": prompts,
        "exit": process.returncode,
        "seconds": round(seconds, 1),
        "prompts_per_s": round(prompts / seconds, 1),
        "answers_per_s": round(answers / seconds, 1),
        "answers": answers,
        "pairs": summary["pairs"],
        "resident_mb_peak": round(max(memory), 1),
        "resident_mb_by_tenths": [round(max(memory[k * tenth : (k + 1) * tenth] or [0]), 1) for k in range(10)],
        "ledger_mb": round((folder / "run" / "ledger.sqlite").stat().st_size / 1e6, 1),
        "seconds_when_run_again": round(time.monotonic() - again, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = {"benchmark": "scripted", **environment(), **measure(given.prompts, Path(folder))}
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
