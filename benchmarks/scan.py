"""`loopguard scan` end to end: a Parquet file in, verdicts of every row out. MB are those of the examined text.

python -m benchmarks.scan outputs.parquet [--copies 10] [--json benchmarks/results/scan.json]

In the process (warm: kernels loaded), and as a command in a fresh process (with Python's start and all imports).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.environment import environment
from loopguard.loops.scan import scan_files


def timed(inputs: list[Path], out: Path | None, rounds: int = 3) -> dict[str, float]:
    """Best wall and processor seconds of `rounds` scans, and MB/s by the wall clock."""
    best, size = (float("inf"), 0.0), 0.0
    for _ in range(rounds):
        wall, processor = time.perf_counter(), time.process_time()
        size = scan_files(inputs, out=out).counts.size / 1e6
        best = min(best, (time.perf_counter() - wall, time.process_time() - processor))
    return {"mb": round(size, 1), "s": round(best[0], 3), "cpu_s": round(best[1], 3), "mb_per_s": round(size / best[0])}


def command(inputs: list[Path], out: Path | None, mb: float) -> dict[str, float]:
    """The same as a command: wall seconds, and the most memory it held."""
    begun = time.perf_counter()
    arguments = [
        sys.executable,
        "-m",
        "loopguard",
        "scan",
        *map(str, inputs),
        *(["--out", str(out)] if out else []),
        "--quiet",
    ]
    process = subprocess.Popen(arguments)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begun
    assert process.returncode == 0
    return {"s": round(seconds, 3), "mb_per_s": round(mb / seconds), "peak_mb": round(usage.ru_maxrss / 1024)}


def measure(file: Path, copies: int) -> dict[str, Any]:
    """All figures; `copies` are hard links, so that much text needs no space."""
    with tempfile.TemporaryDirectory(dir=file.parent if os.access(file.parent, os.W_OK) else None) as folder:
        many = [Path(folder, f"{k}.parquet") for k in range(copies)]
        for link in many:
            link.symlink_to(file.resolve())
        out = Path(folder, "verdicts.parquet")
        scan_files([file], limit=10_000)
        found = {"figures only": timed([file], None), "with --out": timed([file], out)}
        mb = found["with --out"]["mb"]
        found["command"] = min((command([file], None, mb) for _ in range(3)), key=lambda run: run["s"])
        found["command, with --out"] = command([file], out, mb)
        found[f"command, with --out, {copies} files"] = command(many, out, mb * copies)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    result = {"benchmark": "scan", **environment()} | measure(given.file, given.copies)
    result["peak_mb_of_this_process"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(result, indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
