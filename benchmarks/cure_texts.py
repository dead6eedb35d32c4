"""The prompts and the ordinary text of the measured cure, out of the shared data: `python -m benchmarks.cure_texts FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl

from benchmarks.shared import shared_data

STRONG = "claude-3-opus-20240229"
"""Whose outputs are the ordinary text."""


def write(folder: Path) -> None:
    """prompts.jsonl: 805 open prompts and the first turns of 80 more; ordinary.jsonl: 200 outputs of a strong model."""
    folder.mkdir(parents=True, exist_ok=True)
    outputs = pl.read_parquet(shared_data() / "outputs.parquet")
    prompts = outputs["prompt"].unique(maintain_order=True).to_list()
    bench = (shared_data() / "mt_bench_question.jsonl").read_text().splitlines()
    prompts += [json.loads(line)["turns"][0] for line in bench]
    ordinary = outputs.filter(pl.col("model") == STRONG)["output"].to_list()[:200]
    for name, column, texts in (("prompts", "prompt", prompts), ("ordinary", "text", ordinary)):
        lines = [json.dumps({column: text}, ensure_ascii=False) + "\n" for text in texts]
        (folder / f"{name}.jsonl").write_text("".join(lines))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
