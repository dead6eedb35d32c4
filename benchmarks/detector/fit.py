"""How the two scores of the stretch rule were chosen, and what they are worth on outputs that did not choose them.

    python -m benchmarks.detector.fit ../shared/data/loops_dev.jsonl

Everything else in DetectorSettings was set by reading (reading.md). The script chooses the scores where F1 on labelled outputs
plus F1 on the generated corpora is highest, and does so again for every fold of the labelled outputs, which is then judged
without having been used. The optimum is flat; the defaults lie at its strict end, where no clean labelled output is flagged.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.detector.corpora import corpus
from loopguard.loops.detector import Detector

GRID = [(best, end) for best in range(200, 1001, 40) for end in range(80, 601, 20) if end <= best]
NEVER = 1e8


def figures(detector: Detector, texts: list[str]) -> NDArray[np.float64]:
    """One row each: flagged by a run, score of the best stretch, score of the open one."""
    verdicts = detector.detect_batch(texts)
    return np.array([[v.looping, v.figures["stretch_score"], v.figures["open_score"]] for v in verdicts])


def f1(flagged: NDArray[np.bool_], loops: NDArray[np.bool_]) -> float:
    return float(2 * (flagged & loops).sum() / max(1, flagged.sum() + loops.sum()))


def shown(flagged: NDArray[np.bool_], loops: NDArray[np.bool_]) -> str:
    right = (flagged & loops).sum()
    return f"P {right / max(1, flagged.sum()):.3f}  R {right / loops.sum():.3f}  F1 {f1(flagged, loops):.3f}"


def main() -> None:
    """Print the chosen scores, the figures they give, and the figures on held-out folds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", type=Path)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    real = [row for row in map(json.loads, asked.labelled.read_text("utf-8").splitlines()) if row["label"] != "unsure"]
    made = corpus(asked.seed)
    detector = Detector(stretch_score=NEVER, open_score=NEVER)
    marks = [figures(detector, [row["text"] for row in rows]) for rows in (real, made)]
    loops = [np.array([row["label"] != "ok" for row in rows]) for rows in (real, made)]
    flagged = [np.array([(m[:, 0] > 0) | (m[:, 1] >= best) | (m[:, 2] >= end) for best, end in GRID]) for m in marks]
    on_made = np.array([f1(row, loops[1]) for row in flagged[1]])

    def choose(kept: NDArray[np.bool_]) -> int:
        return int(np.argmax(on_made + [f1(row[kept], loops[0][kept]) for row in flagged[0]]))

    chosen = choose(np.ones(len(real), bool))
    print(f"chosen: stretch_score {GRID[chosen][0]}, open_score {GRID[chosen][1]}")
    print("labelled, all used   ", shown(flagged[0][chosen], loops[0]))
    print("generated            ", shown(flagged[1][chosen], loops[1]))
    fold = np.random.default_rng(asked.seed).integers(0, asked.folds, len(real))
    held = np.zeros(len(real), bool)
    for k in range(asked.folds):
        held[fold == k] = flagged[0][choose(fold != k)][fold == k]
    print(f"labelled, {asked.folds} folds   ", shown(held, loops[0]))
    for name, rows in (("labelled", real), ("generated", made)):
        now = np.array([verdict.looping for verdict in Detector().detect_batch([row["text"] for row in rows])])
        print(f"defaults, {name:10} ", shown(now, loops[rows is made]))


if __name__ == "__main__":
    main()
