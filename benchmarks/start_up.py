"""How long the command takes to say anything, and a fresh process to its first verdict: best and median of 15.

python -m benchmarks.start_up [--json benchmarks/results/start_up.json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.environment import environment

COMMANDS = {
    "loopguard --help": ["-m", "loopguard", "--help"],
    "loopguard build-prefs --help": ["-m", "loopguard", "build-prefs", "--help"],
    "the first verdict": ["-c", "import loopguard; loopguard.detect('and so on, ' * 99)"],
    "a stream's first verdict, which needs numba": [
        "-c",
        "import loopguard; loopguard.StreamDetector().feed('and so on, ' * 99)",
    ],
    "python -c pass": ["-c", "pass"],
}


def seconds(arguments: list[str], rounds: int) -> list[float]:
    """Wall time of a fresh Python with these arguments, `rounds` times."""
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        found.append(time.perf_counter() - begun)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    timed = {name: seconds(arguments, 15) for name, arguments in COMMANDS.items()}
    result = {"benchmark": "start_up", **environment()} | {
        name: {"best_s": round(min(t), 3), "median_s": round(statistics.median(t), 3)} for name, t in timed.items()
    }
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
