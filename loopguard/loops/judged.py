"""Record batches in, the same batches with their verdicts out: in order, on all cores, in flat memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from loopguard.errors import InputError
from loopguard.loops.columns import OutputColumn, examined, find_column
from loopguard.loops.detector import Detector
from loopguard.loops.inputs import Batch, BatchSource, open_batches
from loopguard.loops.verdicts import verdict_columns
from loopguard.messages import BadRow

__all__ = ["Judged", "Opened", "cores", "judged_batches", "open_outputs"]


@dataclass(frozen=True)
class Opened:
    """A source, and where its outputs are."""

    source: BatchSource
    column: OutputColumn


@dataclass(frozen=True)
class Judged:
    """A batch with its verdicts."""

    rows: pa.RecordBatch
    first_row: int
    """Number of the first row in its source, from 1, counting those that can be read."""
    outputs: pa.Array
    """What was examined: large_string, large_binary or large lists of integers."""
    verdicts: pa.RecordBatch
    """Rows of verdicts.SCHEMA, as many as `rows`."""


def open_outputs(source: Any, *, text_column: str | None, tokens_column: str | None) -> Opened:
    """Open a path, an `hf:` name or a Python value, and find its outputs. Raises InputError."""
    opened = open_batches(source)
    column = find_column(opened.schema, opened.name, text_column=text_column, tokens_column=tokens_column)
    return Opened(opened, column)


def judged_batches(
    opened: Opened, detector: Detector, *, limit: int | None = None, threads: int | None = None
) -> Iterator[Judged | BadRow]:
    """The batches of a source with their verdicts, and rows that cannot be read, in order; at most `limit` rows.

    Raises:
        InputError: the source breaks off; what came before has been yielded.
    """
    count = threads or cores()
    ahead: deque[Future[Judged] | BadRow] = deque()
    broken: InputError | None = None
    row = 1
    with ThreadPoolExecutor(count) as pool:
        try:
            for item in _limited(opened.source.batches(), limit):
                if isinstance(item, BadRow):
                    ahead.append(item)
                else:
                    ahead.append(pool.submit(_judge, item, row, opened, detector))
                    row += item.num_rows
                while len(ahead) > 2 * count:
                    yield _done(ahead.popleft())
        except InputError as error:
            broken = error
        while ahead:
            yield _done(ahead.popleft())
    if broken is not None:
        raise broken


def _done(item: Future[Judged] | BadRow) -> Judged | BadRow:
    return item if isinstance(item, BadRow) else item.result()


def _judge(rows: pa.RecordBatch, first_row: int, opened: Opened, detector: Detector) -> Judged:
    name = opened.column.name
    if name in rows.schema.names:
        outputs = examined(rows.column(name), parse_text=opened.source.only_text)
    else:
        outputs = pa.nulls(rows.num_rows, pa.large_string())
    return Judged(rows, first_row, outputs, verdict_columns(detector, outputs))


def _limited(batches: Iterable[Batch], limit: int | None) -> Iterator[Batch]:
    left = limit
    for item in batches:
        if left is None or isinstance(item, BadRow):
            yield item
            continue
        if left <= 0:
            return
        yield item.slice(0, left)
        left -= item.num_rows


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
