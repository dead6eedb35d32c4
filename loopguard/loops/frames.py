"""Verdicts where tables are: a polars frame, a polars expression, a function for `datasets.Dataset.map`.

loopguard.scan(["a text", "another"])                            # text, looping, loop_reason, ..., wasted_fraction
loopguard.scan("runs/*.parquet", text_column="output")

import loopguard.loops.frames                                    # or loopguard.register_polars()
frame.with_columns(pl.col("output").loops.detect()).unnest("loops")

dataset.map(loopguard.detect_rows, batched=True, fn_kwargs={"column": "output"})
"""

from __future__ import annotations

import os
from typing import Any

import polars as pl
import pyarrow as pa

from loopguard.errors import InputError
from loopguard.loops.columns import examined, find_column
from loopguard.loops.detector import Detector
from loopguard.loops.inputs import expand, unified
from loopguard.loops.judged import Judged, judged_batches, open_outputs
from loopguard.loops.scan import check_limit
from loopguard.loops.settings import DetectorSettings
from loopguard.loops.verdict_file import converted, without_verdicts
from loopguard.loops.verdicts import NAMES, SCHEMA, verdict_columns
from loopguard.messages import BadRow

__all__ = ["LoopsExpr", "LoopsSeries", "detect_rows", "register_polars", "scan"]

DTYPE = pl.Struct(dict(pl.Schema(SCHEMA)))
"""Type of what `loops.detect()` gives: a struct of the verdict's columns."""


def scan(
    source: Any,
    *,
    text_column: str | None = None,
    tokens_column: str | None = None,
    detector: Detector | None = None,
    limit: int | None = None,
) -> pl.DataFrame:
    """Every output's verdict as a frame: the source's columns, then `looping`, `loop_reason`, ... `wasted_fraction`.

    Args:
        source: a list of texts (column `text`), of token ids (column `tokens`) or of objects; a polars, pandas or Arrow
            table or series; a datasets.Dataset; or a path, a glob, a folder or `hf:user/dataset`.
        text_column: the outputs' column; by default found by name (columns.TEXT_COLUMNS).
        tokens_column: a column of token ids to examine instead.
        detector: thresholds other than the default ones.
        limit: at most so many rows.

    Raises:
        InputError: the source, or a row of it, cannot be read; there is no such column (says which there are).
    """
    check_limit(limit)
    detector = detector or Detector()
    names = expand([source]) if isinstance(source, str | os.PathLike) else [source]
    schemas, found, left = [], [], limit
    for name in names:
        opened = open_outputs(name, text_column=text_column, tokens_column=tokens_column)
        schemas.append(without_verdicts(opened.source.schema))
        for item in judged_batches(opened, detector, limit=left):
            if isinstance(item, BadRow):
                raise InputError(f"{opened.source.name}, row {item.row}: {item.reason}: {item.detail}")
            left = None if left is None else left - item.rows.num_rows
            schemas.append(without_verdicts(item.rows.schema))
            found.append(item)
        if left == 0:
            break
    return _frame(unified(schemas), found)


def _frame(inputs: pa.Schema, found: list[Judged]) -> pl.DataFrame:
    schema = pa.schema([*inputs, *SCHEMA])
    batches = []
    for item in found:
        held = set(item.rows.schema.names)
        nulls = pa.nulls(item.rows.num_rows)
        columns = [converted(item.rows.column(f.name) if f.name in held else nulls, f.type) for f in inputs]
        batches.append(pa.RecordBatch.from_arrays([*columns, *item.verdicts.columns], schema=schema))
    return pl.DataFrame(pa.Table.from_batches(batches, schema))


def _detect(outputs: pl.Series, detector: Detector) -> pl.Series:
    cells = outputs.to_arrow()
    find_column(pa.schema([("output", cells.type)]), "the expression", text_column="output")
    verdicts = verdict_columns(detector, examined(cells), threads=0)
    return pl.DataFrame(pa.Table.from_batches([verdicts])).to_struct("loops")


@pl.api.register_expr_namespace("loops")
class LoopsExpr:
    """`pl.col("output").loops`: what the detector says of every output in a column of text, messages or token ids."""

    def __init__(self, expr: pl.Expr) -> None:
        """For polars."""
        self._expr = expr

    def detect(self, **settings: float) -> pl.Expr:
        """A struct `loops` with the columns of a verdict; a null output gives nulls. `settings` are the detector's."""
        detector = Detector(settings=DetectorSettings.make(settings))
        verdicts = self._expr.map_batches(lambda outputs: _detect(outputs, detector), DTYPE, is_elementwise=True)
        return verdicts.alias("loops")


@pl.api.register_series_namespace("loops")
class LoopsSeries:
    """`frame["output"].loops`: the same for a series."""

    def __init__(self, series: pl.Series) -> None:
        """For polars."""
        self._series = series

    def detect(self, **settings: float) -> pl.Series:
        """A struct series `loops` with the columns of a verdict."""
        return _detect(self._series, Detector(settings=DetectorSettings.make(settings)))


def register_polars() -> None:
    """Give polars expressions and series their `.loops`. Importing this module has done so already."""


def detect_rows(rows: Any, *, column: str | None = None, detector: Detector | None = None) -> Any:
    """For `datasets.Dataset.map(detect_rows, batched=True, fn_kwargs={"column": "output"})`: adds the verdict's columns.

    Takes a batch as `map` gives it: a mapping of columns to lists, or an Arrow table where the format is "arrow". Without
    `column` it is found by name. A Dataset in memory or on disk gets an Arrow table back, so that columns
    which are null in the first batch keep their type; `map(remove_columns=...)` has no effect then, call
    `remove_columns` on the result.

    Raises:
        InputError: there is no such column.
    """
    table = rows if isinstance(rows, pa.Table) else getattr(rows, "pa_table", None)
    whole = table if table is not None else pa.table({str(name): pa.array(cells) for name, cells in rows.items()})
    where = find_column(whole.schema, "the dataset", text_column=column)
    verdicts = verdict_columns(detector or Detector(), examined(whole.column(where.name)))
    if table is None:
        return {name: verdicts.column(name).to_pylist() for name in NAMES}
    kept = table.select(without_verdicts(table.schema).names)
    for name in NAMES:
        kept = kept.append_column(SCHEMA.field(name), verdicts.column(name))
    return kept
