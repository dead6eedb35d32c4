"""The generated corpora: planted loops, human look-alikes, files of this installation, and their split in two.

    python -m benchmarks.detector.corpora all --seed 0 --out corpus.jsonl
    python -m benchmarks.detector.corpora planted lookalikes --fold dev --out dev.jsonl

Everything is written by code from a seed; no text is copied. `--fold` keeps the template families of one half, so one
half can tune and the other test: a detector must not be fitted to the templates it is measured on.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.detector.installed import installed
from benchmarks.detector.lookalikes import lookalikes
from benchmarks.detector.planted import planted
from benchmarks.detector.rows import Row, fold

PARTS = {"planted": planted, "lookalikes": lookalikes, "installed": installed}


def corpus(seed: int = 0) -> list[Row]:
    """Planted loops and generated look-alikes: the same rows on every machine."""
    return [*planted(seed), *lookalikes(seed)]


def main() -> None:
    """Write the parts asked for as JSONL."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=[*PARTS, "all"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fold", choices=["dev", "test"])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    parts = list(PARTS) if "all" in asked.parts else asked.parts
    rows = [row for part in parts for row in PARTS[part](asked.seed)]
    kept = [row for row in rows if asked.fold in (None, fold(row["category"]))]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
    if asked.out:
        asked.out.write_text(lines, encoding="utf-8")
    else:
        sys.stdout.write(lines)


if __name__ == "__main__":
    main()
