"""`loopguard check` on pairs made of real outputs: pairs/s, memory, and what of it is the tokenizer's own encoding.

python -m benchmarks.check [--pairs 8000] [--json benchmarks/results/check.json]

The pairs: outputs to the same prompt, two by two. The bare encoder gets the very texts that a check has to encode.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.environment import environment
from benchmarks.shared import shared_data
from loopguard.handover.check import BATCH
from loopguard.handover.pairs import PairRow, open_pairs
from loopguard.handover.tokenizers_at_hand import open_tokenizer

TOKENIZER, MAX_LENGTH = "embedded", 1024


def write_pairs(path: Path, count: int) -> None:
    outputs = pl.read_parquet(shared_data() / "outputs.parquet").drop_nulls("output")
    by_prompt = outputs.group_by("prompt", maintain_order=True).agg("output").rows()
    pairs = [(prompt, *pair) for prompt, texts in by_prompt for pair in zip(texts[::2], texts[1::2], strict=False)]
    roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
    rows = [
        {name: [{"role": role, "content": text}] for (name, role), text in zip(roles.items(), pair, strict=True)}
        for pair in pairs[:count]
    ]
    pl.DataFrame(rows).write_parquet(path)


def bare(path: Path) -> dict[str, float]:
    """Reading, rendering and encoding alone: processor seconds of the encoder, and MB of text that it took."""
    tokenizer = open_tokenizer(TOKENIZER)
    with open_pairs(str(path)) as pairs:
        rows = [row for row in pairs if isinstance(row, PairRow)]
    texts = [
        text
        for row in rows
        for text in (
            tokenizer.render(row.prompt, add_generation_prompt=True),  # type: ignore[arg-type]
            tokenizer.render([*row.prompt, *row.chosen]),  # type: ignore[list-item]
            tokenizer.render([*row.prompt, *row.rejected]),  # type: ignore[list-item]
        )
    ]
    begun, wall = time.process_time(), time.perf_counter()
    for at in range(0, len(texts), 3 * BATCH):
        tokenizer.encode_batch(texts[at : at + 3 * BATCH])
    cpu, wall = time.process_time() - begun, time.perf_counter() - wall
    return {"cpu_s": round(cpu, 3), "s": round(wall, 3), "mb": round(sum(map(len, texts)) / 1e6, 1)}


def command(path: Path) -> dict[str, float]:
    """The command in a fresh process: wall and processor seconds, and the most memory it held."""
    begun = time.perf_counter()
    arguments = [sys.executable, "-m", "loopguard", "check", str(path), "--tokenizer", TOKENIZER, "--quiet"]
    process = subprocess.Popen([*arguments, "--max-length", str(MAX_LENGTH), "--fail-on", "none", "--max-unseen", "1"])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    cpu = usage.ru_utime + usage.ru_stime
    return {
        "s": round(time.perf_counter() - begun, 3),
        "cpu_s": round(cpu, 3),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


def measure(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pairs.parquet")
        write_pairs(path, count)
        encoder, whole = bare(path), command(path)
    return {
        "pairs": count,
        "tokenizer": TOKENIZER,
        "bare encoder": encoder,
        "command": whole | {"pairs_per_s": round(count / whole["s"])},
        "processor time of the command over that of the bare encoder": round(whole["cpu_s"] / encoder["cpu_s"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=8_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = environment() | measure(arguments.pairs)
    print(json.dumps(found, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
