"""The shares of reading.md, counted from the log of what was read, with 95 % Wilson intervals.

    python -m benchmarks.detector.reading
    python -m benchmarks.detector.reading --now ../shared/data/outputs.parquet    # what the detector of today says of them

reading.jsonl has one line per output: which `set` it is from (flagged or nearly flagged), model and index, the verdict's reason
and loudness, the reader's `label` and a `note`. A note on an output that is doubtful or missed begins with what kind it is.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

from loopguard.loops.statistics import wilson

LOG = Path(__file__).with_name("reading.jsonl")
LABELS = {"flagged": ("right", "doubtful", "wrong"), "nearly": ("right", "doubtful", "missed")}
BANDS = ((0.5, 1.0), (0.3, 0.5), (0.0, 0.3))
"""Of loudness, lower bound included."""


class Line(TypedDict):
    """One output that was read."""

    set: str
    model: str
    index: int
    reason: str
    loudness: float
    label: str
    note: str


def read(path: Path = LOG) -> list[Line]:
    """The log."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def shown(name: str, labels: Iterable[str], lines: list[Line]) -> str:
    """A row: how many, and for each label how many of them, with the interval of the share."""
    cells = []
    for label in labels:
        hits = sum(line["label"] == label for line in lines)
        low, high = wilson(hits, len(lines))
        cells.append(f"{label} {hits:3} ({low:5.1%} to {high:6.1%})")
    return f"{name:18} {len(lines):3}   {'   '.join(cells)}"


def now(log: list[Line], outputs: Path) -> None:
    """Of each label of each set, how many the detector of today flags; and how many of all outputs."""
    import pyarrow.parquet as pq

    from loopguard.loops.detector import Detector

    rows = pq.read_table(outputs, columns=["model", "index", "output"]).to_pylist()
    said = {
        (row["model"], row["index"]): verdict.looping
        for row, verdict in zip(rows, Detector().detect_batch([row["output"] for row in rows], threads=0), strict=True)
    }
    total, flagged = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for line in log:
        total[line["set"], line["label"]] += 1
        flagged[line["set"], line["label"]] += said[line["model"], line["index"]]
    print(Detector().signature, f"flags {sum(said.values())} of {len(said)} outputs")
    for name, label in sorted(total):
        print(f"{name:8} {label:8} {flagged[name, label]:3} of {total[name, label]:3} flagged")


def main() -> None:
    """Print the shares of both sets, of the flagged by reason, of the nearly flagged by loudness, and the kinds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--now", type=Path, metavar="OUTPUTS", help="outputs.parquet that was read")
    asked = parser.parse_args()
    log = read()
    if asked.now:
        now(log, asked.now)
        return
    for name, labels in LABELS.items():
        lines = [line for line in log if line["set"] == name]
        print(shown(name, labels, lines))
        if name == "flagged":
            for reason, _ in Counter(line["reason"] for line in lines).most_common():
                print(shown(f"  {reason}", labels, [line for line in lines if line["reason"] == reason]))
        else:
            for low, high in BANDS:
                kept = [line for line in lines if low <= line["loudness"] < high]
                print(shown(f"  {low} to {high}", labels, kept))
        for label in labels[1:]:
            kinds = Counter(line["note"].partition(":")[0] for line in lines if line["label"] == label)
            if kinds:
                print(f"  {label}: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))


if __name__ == "__main__":
    main()
