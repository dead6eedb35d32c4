"""Loop rates of a table of verdicts, of the whole or by any of its columns, with 95 % intervals.

loopguard.loop_rates(loopguard.scan("outputs.parquet"), by="model")
loopguard.loop_rates(run, by=["decoding", "category"])    # category: a column of the prompts file
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import polars as pl

from loopguard.errors import InputError
from loopguard.loops.statistics import wilson
from loopguard.prompt_columns import column_of

FIGURES = ("looping", "total", "rate", "low", "high")
"""Columns of the result beside its groups."""


class HasCandidates(Protocol):
    """A Run."""

    @property
    def candidates(self) -> pl.DataFrame:
        """One row a candidate, with a column `looping`."""


def loop_rates(table: pl.DataFrame | HasCandidates, by: str | Sequence[str] = ()) -> pl.DataFrame:
    """One row a group: the columns of `by`, then looping, total, rate, low, high; the highest rate first.

    `table` is a Run, or a frame with a column `looping`: what `scan` gives, or the candidates of a run. Rows whose verdict is null
    are not counted. A column of the prompts file has its own name here, or `source_NAME` where ours or a figure has that name.
    low and high are the 95 % Wilson interval, which takes the outputs for independent: several answers to one prompt are
    not quite, so that over them it is somewhat too narrow.

    Raises:
        InputError: there is no column `looping` of truth values, or none of `by` (says which there are), or one of `by` is
            called like a figure.
    """
    frame = table if isinstance(table, pl.DataFrame) else table.candidates
    names = [by] if isinstance(by, str) else list(by)
    if "looping" not in frame.columns:
        raise _no_column("looping", frame)
    if frame.schema["looping"] != pl.Boolean:
        raise InputError(f"loop_rates: column 'looping' holds {frame.schema['looping']}, not truth values")
    groups: dict[str, str] = {}
    for name in names:
        column = column_of(name, frame.columns)
        if column is None:
            raise _no_column(name, frame)
        groups.setdefault(column, column if name in FIGURES else name)
    if taken := [name for name in groups.values() if name in FIGURES]:
        raise InputError(f"loop_rates: {taken[0]!r} is a column of the result; rename that of the table to group by it")
    names, frame = list(groups.values()), frame.rename(groups)
    counts = [pl.col("looping").sum().cast(pl.Int64), pl.col("looping").count().cast(pl.Int64).alias("total")]
    found = frame.group_by(names, maintain_order=True).agg(counts) if names else frame.select(counts)
    bounds = [wilson(row["looping"], row["total"]) for row in found.iter_rows(named=True)]
    measured = found.with_columns(
        pl.when(pl.col("total") > 0).then(pl.col("looping") / pl.col("total")).alias("rate"),
        pl.Series("low", [low for low, _ in bounds], pl.Float64),
        pl.Series("high", [high for _, high in bounds], pl.Float64),
    )
    return measured.sort("rate", "total", descending=True, nulls_last=True, maintain_order=True)


def _no_column(name: str, frame: pl.DataFrame) -> InputError:
    return InputError(f"loop_rates: no column {name!r} in the table; it has {', '.join(frame.columns) or 'none'}")
