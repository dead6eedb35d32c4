"""The shares of reading.md, counted from the log of what was read, with 95 % Wilson intervals.

    python -m benchmarks.detector.reading

reading.jsonl has one line per output: which `set` it is from (flagged or nearly flagged), model and index, the verdict's reason
and loudness, the reader's `label` and a `note`. A note on an output that is doubtful or missed begins with what kind it is.
"""

from __future__ import annotations

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


def main() -> None:
    """Print the shares of both sets, of the flagged by reason, of the nearly flagged by loudness, and the kinds."""
    log = read()
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
