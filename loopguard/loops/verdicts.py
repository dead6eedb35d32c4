"""Verdicts as columns: an Arrow array of outputs in, the nine columns of a verdict table out, in the order of the rows.

    looping bool    loop_reason string    loop_kind string    loop_terminal bool
    loop_start, loop_end, loop_period int64    loop_repeats, wasted_fraction float64

`loop_reason` is the verdict's named reason, for clean outputs too. `loop_*` describe the loop that wastes most; null where
nothing loops. A null output has a null verdict: all nine are null. Positions are characters of the text, or tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

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


def verdict_columns(detector: Detector, outputs: pa.Array) -> pa.RecordBatch:
    """The verdict of every output: rows of `SCHEMA`, as many as `outputs` has.

    `outputs` holds text (string, binary) or token ids (lists of integers); anything that is null gets a null verdict.
    """
    if outputs.null_count:
        known = outputs.drop_null()
        columns = verdict_columns(detector, known)
        places = np.full(len(outputs), -1, np.int64)
        places[outputs.is_valid().to_numpy(zero_copy_only=False)] = np.arange(len(known))
        return columns.take(pa.array(places, mask=places < 0))
    return _table(detector.detect_batch(_values(outputs)))


def _values(outputs: pa.Array) -> Iterable[bytes]:
    """One object a row: bytes for text, a numpy array for token ids."""
    if pa.types.is_list(outputs.type) or pa.types.is_large_list(outputs.type):
        return (value.values.to_numpy(zero_copy_only=False) for value in outputs)
    return outputs.cast(pa.large_binary()).to_pylist()  # type: ignore[no-any-return]


def _table(verdicts: list[Verdict]) -> pa.RecordBatch:
    """Columns from verdicts. Only looping rows cost Python objects of their own."""
    count = len(verdicts)
    found = [(row, verdict, verdict.loop) for row, verdict in enumerate(verdicts) if verdict.loops]
    rows = np.full(count, -1, np.int64)
    rows[[row for row, _, _ in found]] = np.arange(len(found))
    loops = [loop for _, _, loop in found if loop is not None]
    columns: dict[str, list[object]] = {
        "loop_kind": [loop.kind for loop in loops],
        "loop_terminal": [loop.terminal for loop in loops],
        "loop_start": [loop.start for loop in loops],
        "loop_end": [loop.end for loop in loops],
        "loop_period": [loop.period for loop in loops],
        "loop_repeats": [loop.repeats for loop in loops],
    }
    take = pa.array(rows, mask=rows < 0)
    arrays = {name: pa.array(values, SCHEMA.field(name).type).take(take) for name, values in columns.items()}
    wasted = np.zeros(count)
    wasted[[row for row, _, _ in found]] = [verdict.wasted_fraction for _, verdict, _ in found]
    arrays["looping"] = pa.array([verdict.looping for verdict in verdicts], pa.bool_())
    arrays["loop_reason"] = pa.array([verdict.reason for verdict in verdicts], pa.string())
    arrays["wasted_fraction"] = pa.array(wasted)
    return pa.RecordBatch.from_arrays([arrays[name] for name in NAMES], schema=SCHEMA)
