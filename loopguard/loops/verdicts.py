"""Verdicts as columns: an Arrow array of outputs in, the nine columns of a verdict table out, in the order of the rows.

    looping bool    loop_reason string    loop_kind string    loop_terminal bool
    loop_start, loop_end, loop_period int64    loop_repeats, wasted_fraction float64

`loop_reason` is the verdict's named reason, for clean outputs too. `loop_*` describe the loop that wastes most; null where
nothing loops. A null output has a null verdict: all nine are null. Positions are characters of the text, or tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from loopguard.loops import arrow
from loopguard.loops.batch import COUNT, LENGTH
from loopguard.records import Verdict

if TYPE_CHECKING:
    from loopguard.loops.detector import Detector

SCHEMA = pa.schema(
    [
        ("looping", pa.bool_()),
        ("loop_reason", pa.string()),
        ("loop_kind", pa.string()),
        ("loop_terminal", pa.bool_()),
        ("loop_start", pa.int64()),
        ("loop_end", pa.int64()),
        ("loop_period", pa.int64()),
        ("loop_repeats", pa.float64()),
        ("wasted_fraction", pa.float64()),
    ]
)
"""The columns of a verdict, by name and type."""

NAMES: tuple[str, ...] = tuple(SCHEMA.names)


def verdict_columns(detector: Detector, outputs: pa.Array, *, threads: int = 1) -> pa.RecordBatch:
    """The verdict of every output: rows of `SCHEMA`, as many as `outputs` has.

    `outputs` is large_string, large_binary or large lists of integers (columns.examined makes it so). Its buffers are
    read where they are; only looping rows become Python objects. `threads` 0: one for each core.
    """
    offsets, values = arrow.rows(outputs)
    figures, loops = detector.scan(offsets, values, threads=threads)
    looping = figures[:, COUNT] > 0
    unit = "tokens" if pa.types.is_large_list(outputs.type) else "characters"
    nulls = arrow.flags(outputs.is_null()) if outputs.null_count else None
    verdicts, at = [], 0
    for row in figures[looping].tolist():
        verdicts.append(detector.verdict(row, loops[at : at + row[COUNT]].tolist(), unit))
        at += row[COUNT]
    return _table(looping, figures[:, LENGTH] == 0, verdicts, nulls)


def _table(
    looping: NDArray[np.bool_],
    empty: NDArray[np.bool_],
    verdicts: Sequence[Verdict],
    nulls: NDArray[np.bool_] | None,
) -> pa.RecordBatch:
    """Columns from what is known of every row, and the verdicts of the looping ones."""
    loops = [verdict.loop for verdict in verdicts if verdict.loop is not None]
    none = ~looping if nulls is None else ~looping | nulls
    place = arrow.column(np.cumsum(looping, dtype=np.int64) - 1, pa.int64(), none)
    arrays = {"loop_kind": arrow.strings([loop.kind for loop in loops]).take(place)}
    for name in ("terminal", "start", "end", "period", "repeats"):
        kind = SCHEMA.field(f"loop_{name}").type
        found = np.array([getattr(loop, name) for loop in loops], kind.to_pandas_dtype())
        arrays[f"loop_{name}"] = arrow.column(found, kind).take(place)
    wasted = np.zeros(looping.size)
    wasted[looping] = [verdict.wasted_fraction for verdict in verdicts]
    code = empty.astype(np.int64)
    code[looping] = np.arange(2, len(verdicts) + 2)
    reasons = arrow.strings(["clean", "empty", *(verdict.reason for verdict in verdicts)])
    arrays["looping"] = arrow.column(looping, pa.bool_(), nulls)
    arrays["loop_reason"] = reasons.take(arrow.column(code, pa.int64(), nulls))
    arrays["wasted_fraction"] = arrow.column(wasted, pa.float64(), nulls)
    return pa.RecordBatch.from_arrays([arrays[name] for name in NAMES], schema=SCHEMA)
