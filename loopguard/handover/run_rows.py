"""The rows of a finished run's tables, read batch by batch in flat memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loopguard.errors import StorageError
from loopguard.prefs.ledger import Ledger
from loopguard.prefs.outputs import CANDIDATES, PREFERENCES
from loopguard.prefs.run import Run
from loopguard.records import Prompt
from loopguard.sources import group_batches

__all__ = ["Row", "outcomes", "pairs"]

Row = dict[str, Any]

_BATCH = 500
"""Rows read at one time: long outputs are some 20 KB each."""


def pairs(run: Run) -> Iterator[Row]:
    """The rows of preferences.parquet, in their order."""
    return _rows(run.path / PREFERENCES)


def outcomes(run: Run) -> Iterator[tuple[Prompt, list[Row]]]:
    """Each prompt that was answered, with its rows of candidates.parquet, in the order of the prompts."""
    with Ledger.read(run.path) as ledger:
        prompts = (row.prompt for row in ledger.rows() if row.prompt is not None)
        groups = itertools.groupby(_rows(run.path / CANDIDATES), key=lambda row: row["prompt_id"])
        for prompt_id, candidates in groups:
            prompt = next((prompt for prompt in prompts if prompt.prompt_id == prompt_id), None)
            if prompt is None:
                raise StorageError(f"{run.path}: {CANDIDATES} does not fit the ledger; run build-prefs on it once more")
            yield prompt, list(candidates)


def _rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file. Raises StorageError where it is missing or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in group_batches(file, _BATCH):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        said = " ".join(str(error).split())[:200]
        raise StorageError(f"{path}: cannot be read ({said}); run build-prefs on the run once more") from None
