"""Outputs that loop and outputs that do not, beyond doubt, and files of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

CLEAN = "Paris is the capital of France. It lies on the Seine and has about two million people."
PERIOD = "The user wants a short answer, so let me think about it once more. "
LOOP = "First some words. " + PERIOD * 40
TOKEN_LOOP = [5, 6, 7, 8, 9, 10, 11, 12] * 50
TOKENS_CLEAN = list(range(300))

VERDICT = (
    "looping",
    "loop_reason",
    "loop_kind",
    "loop_terminal",
    "loop_start",
    "loop_end",
    "loop_period",
    "loop_repeats",
    "wasted_fraction",
)


def rows(count: int, *, loops: Iterable[int] = ()) -> list[dict[str, Any]]:
    """`count` rows with an id and an output; those numbered in `loops` loop."""
    looping = set(loops)
    return [{"id": i, "output": LOOP if i in looping else f"{CLEAN} {i}"} for i in range(count)]


def jsonl(path: Path, values: Iterable[Mapping[str, Any] | str]) -> Path:
    """A JSONL file; a string is a line as it is; gzip by its name."""
    lines = "".join((value if isinstance(value, str) else json.dumps(value)) + "\n" for value in values)
    data = lines.encode("utf-8")
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def parquet(path: Path, values: Iterable[Mapping[str, Any]] | pa.Table) -> Path:
    """A Parquet file."""
    pq.write_table(values if isinstance(values, pa.Table) else pa.Table.from_pylist(list(values)), path)
    return path
