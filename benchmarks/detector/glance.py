"""What the first look passes over: of every set the share it passes over, the loops among that, and what it saves.

    python -m benchmarks.detector.glance --seeds 4 --json benchmarks/results/detector-glance.json

Each text has two verdicts, with the first look and in full; `different` counts where they are not equal. `stricter` is the
same look with a score twice as high: how far the loops are from being passed over. The sets: the labelled outputs and
outputs.parquet of the folder $LOOPGUARD_SHARED, the generated corpora of `--seeds` seeds, texts stitched together at random
(`--stitched`), and the files of this installation. One core; both sides alternate in one run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detector.corpora import corpus
from benchmarks.detector.installed import installed
from benchmarks.detector.run import read_labelled
from benchmarks.detector.speed import best, read_outputs
from benchmarks.detector.stitched import stitched
from benchmarks.environment import environment
from benchmarks.shared import shared_data
from loopguard import Detector
from loopguard.loops import glance


def looked_at(texts: Sequence[bytes]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Of each text: whether the first look has it examined, and whether it would at twice the score."""
    table = glance.fresh_table(glance.LONGEST)
    found, stricter = np.zeros(len(texts), np.bool_), np.zeros(len(texts), np.bool_)
    for row, text in enumerate(texts):
        data = np.frombuffer(text, np.uint8)
        bits = glance.room_for(min(data.size, glance.LONGEST))
        for kept, number, enough in ((found, 1, glance.ENOUGH), (stricter, 2, 2 * glance.ENOUGH)):
            state = np.zeros(glance.GLANCE, np.int64)
            kept[row] = glance.glance(data.size, data, table, bits, 2 * row + number, state, enough)
    return found, stricter


def measure(texts: Sequence[str], repeat: int) -> dict[str, Any]:
    """One set."""
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    quick, full = Detector(), Detector(in_full=True)
    quick.detect_batch(texts[:4])
    some, whole = quick.detect_batch(texts), full.detect_batch(texts)
    seconds = best({"quick": partial(quick.detect_batch, texts), "full": partial(full.detect_batch, texts)}, repeat)
    found, stricter = looked_at(raw)
    loops = np.array([verdict.looping for verdict in whole])
    sizes = [len(text) for text in raw]
    return {
        "texts": len(texts),
        "megabytes": sum(sizes) / 1e6,
        "examined": float(found.mean()),
        "examined_by_size": float(np.dot(found, sizes) / max(1, sum(sizes))),
        "loops": int(loops.sum()),
        "different": sum(a.loops != b.loops for a, b in zip(some, whole, strict=True)),
        "loops_passed_over_at_twice_the_score": int((loops & ~stricter).sum()),
        "quicker_by": seconds["full"] / seconds["quick"],
    }


def main() -> None:
    """Print the table; write it with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4, help="generated corpora")
    parser.add_argument("--stitched", type=int, default=40_000, help="random loops")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    sets = {
        "generated": [row["text"] for seed in range(asked.seeds) for row in corpus(seed)],
        "stitched": stitched(0, asked.stitched),
        "installed": [row["text"] for row in installed(0)],
    }
    if (shared_data() / "outputs.parquet").exists():
        sets["labelled"] = [row["text"] for row in read_labelled(shared_data() / "loops_dev.jsonl")]
        sets["outputs"] = read_outputs(shared_data() / "outputs.parquet")
    result: dict[str, Any] = {**environment(), "detector": Detector().signature, "sets": {}}
    print("| set | texts | loops | examined | by size | different | lost at twice the score | quicker by |")
    print("|---|---|---|---|---|---|---|---|")
    for title, texts in sets.items():
        row = result["sets"][title] = measure(texts, asked.repeat)
        print(
            f"| {title} | {len(texts):,} | {row['loops']:,} | {row['examined']:.1%} | {row['examined_by_size']:.1%}"
            f" | {row['different']} | {row['loops_passed_over_at_twice_the_score']} | {row['quicker_by']:.1f}x |",
            flush=True,
        )
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
