"""How the thresholds were chosen that labelled outputs can choose, and what they are worth on outputs that did not choose them.

    python -m benchmarks.detector.fit ../shared/data/loops_dev.jsonl --json benchmarks/results/detector-fit.json

Everything else in DetectorSettings was set by reading (reading.md). The script takes the thresholds with the highest F1 on labelled
outputs plus F1 on the generated corpora, less the share of flagged files of this installation, and does so again for every fold of
the labelled outputs, which is then judged without having been used. The optimum is flat, and the defaults lie in it.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.detector.corpora import corpus
from benchmarks.detector.installed import installed
from benchmarks.detector.run import read_labelled
from benchmarks.detector.scores import rates
from benchmarks.environment import environment
from loopguard.loops.detector import Detector

GRID: list[dict[str, float]] = [
    {
        "stretch_score": best,
        "open_score": end,
        "plain_factor": plain,
        "dense_factor": dense,
        "few_wasted": few,
        "short_min_wasted": short,
        "round_score": again,
    }
    for best, end, plain, dense, few, short, again in itertools.product(
        (360, 480, 600), (180, 220, 260), (0.7, 1.0), (1.0, 2.0), (300, 500, 1e6), (200, 300), (420, 560, 700, 1e6)
    )
]


def f1(flagged: NDArray[np.bool_], loops: NDArray[np.bool_]) -> float:
    return float(2 * (flagged & loops).sum() / max(1, flagged.sum() + loops.sum()))


def shown(found: dict[str, Any]) -> str:
    return f"P {found['precision']:.3f}  R {found['recall']:.3f}  F1 {found['f1']:.3f}"


def flags(detector: Detector, texts: list[str]) -> NDArray[np.bool_]:
    return np.array([verdict.looping for verdict in detector.detect_batch(texts)])


def main() -> None:
    """Print the chosen thresholds, the figures they give, and the figures on held-out folds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    sets = {"labelled": read_labelled(asked.labelled), "generated": corpus(asked.seed), "files": installed(asked.seed)}
    texts = {name: [row["text"] for row in rows] for name, rows in sets.items()}
    loops = {name: np.array([row["label"] != "ok" for row in rows]) for name, rows in sets.items()}
    flagged = {name: np.array([flags(Detector(**values), rows) for values in GRID]) for name, rows in texts.items()}
    apart = np.array([f1(row, loops["generated"]) for row in flagged["generated"]]) - flagged["files"].mean(axis=1)

    def choose(kept: NDArray[np.bool_]) -> int:
        return int(np.argmax(apart + [f1(row[kept], loops["labelled"][kept]) for row in flagged["labelled"]]))

    everything = np.ones(len(texts["labelled"]), bool)
    chosen = choose(everything)
    fold = np.random.default_rng(asked.seed).integers(0, asked.folds, len(everything))
    held = np.zeros(len(everything), bool)
    for k in range(asked.folds):
        held[fold == k] = flagged["labelled"][choose(fold != k)][fold == k]
    result = {
        **environment(),
        "detector": Detector().signature,
        "chosen": GRID[chosen],
        "labelled, all used": rates(loops["labelled"].tolist(), flagged["labelled"][chosen].tolist()),
        f"labelled, {asked.folds} folds": rates(loops["labelled"].tolist(), held.tolist()),
        "generated": rates(loops["generated"].tolist(), flagged["generated"][chosen].tolist()),
        **{
            f"defaults, {name}": rates(loops[name].tolist(), flags(Detector(), texts[name]).tolist())
            for name in ("labelled", "generated")
        },
        "files flagged": {
            "chosen": float(flagged["files"][chosen].mean()),
            "defaults": float(flags(Detector(), texts["files"]).mean()),
        },
    }
    print("chosen:", result["chosen"])
    for name, found in result.items():
        if isinstance(found, dict) and "precision" in found:
            print(f"{name:22}", shown(found))
    print("files flagged:", result["files flagged"])
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
