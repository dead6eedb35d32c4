"""Loop rates of two runs by a column, before and after: on the same prompts, each group with its paired difference."""

from __future__ import annotations

import polars as pl

from loopguard.counted import counted
from loopguard.errors import InputError
from loopguard.look import charts, figures, rates
from loopguard.look.compare import AFTER, BEFORE, Comparison
from loopguard.look.panels import Panel, automatic
from loopguard.look.sentences import percent
from loopguard.look.subject import Subject, column_named, of_prompts
from loopguard.prompt_columns import PREFIX, column_of

_DIFFERENCE = {"difference": pl.Float64, "low": pl.Float64, "high": pl.Float64, "shown": pl.Boolean}


def differences(found: Comparison, by: str) -> pl.DataFrame:
    """group, prompts, before, after, difference (after - before), low, high, shown: groups of both sides, by the rate before.

    A column of the prompts file may be in one of the two runs alone: the prompts are the same.

    Raises:
        InputError: neither run has the column, or it is one of outputs and one run lacks it.
    """
    counted, ordered = _counted(found, by)
    rows = []
    for (group,), of_group in counted.group_by("group", maintain_order=True):
        sides = [(of_group[f"{run}_hits"].to_numpy(), of_group[f"{run}_all"].to_numpy()) for run in (BEFORE, AFTER)]
        before, after = (rates.rate(*side).value for side in sides)
        if before is not None and after is not None:
            moved = rates.difference(*sides)
            row = {"group": group, "prompts": of_group.height, "before": before, "after": after, "shown": moved.shown}
            rows.append(row | {"difference": moved.value, "low": moved.low, "high": moved.high})
    schema = {"group": pl.String, "prompts": pl.Int64, "before": pl.Float64, "after": pl.Float64} | _DIFFERENCE
    frame = pl.DataFrame(rows, schema=schema)
    return frame if ordered else frame.sort("before", "group", descending=[True, False])


def panel(found: Comparison, by: str) -> Panel:
    """Rates before and after of every group."""
    frame = differences(found, by)
    drawn = _rates(found, by, frame["group"].to_list()[: figures.MOST_GROUPS])
    return Panel(
        key=f"rate-{by}",
        title=f"Loop rate by {by}",
        frame=frame,
        sentence=_sentence(by, frame) if frame.height else "No group was answered by both.",
        draw=lambda: charts.change(drawn, (BEFORE, AFTER)),
    )


def by_itself(found: Comparison) -> list[str]:
    """Columns of the prompts file worth a chart without being asked for."""
    for subject in (found.after, found.before):
        if names := [
            name for name in automatic(subject) if (column_of(name, subject.outputs.columns) or "").startswith(PREFIX)
        ]:
            return names
    return []


def _sentence(by: str, frame: pl.DataFrame) -> str:
    less = frame.filter(pl.col("shown") & (pl.col("difference") < 0)).height
    more = frame.filter(pl.col("shown") & (pl.col("difference") > 0)).height
    rest = frame.height - less - more
    told = [
        f"in {n:,} {what}" for n, what in ((less, "less loops"), (more, "more loops"), (rest, "no change shows")) if n
    ]
    most = frame.sort(pl.col("difference").abs(), descending=True, maintain_order=True).row(0, named=True)
    around = f"{100 * most['difference']:+.1f} points, {100 * most['low']:+.1f} to {100 * most['high']:+.1f}"
    return (
        f"Of {counted(frame.height, 'value')} of {by}: {', '.join(told)}. Largest: {by} {most['group']},"
        f" {percent(most['before'])} before, {percent(most['after'])} after ({around})."
    )


def _rates(found: Comparison, by: str, groups: list[str]) -> pl.DataFrame:
    """group, run, rate, low, high of the groups, for the chart."""
    counted, _ = _counted(found, by)
    rows = []
    for group in groups:
        of_group = counted.filter(pl.col("group") == group)
        for run in (BEFORE, AFTER):
            one = rates.rate(of_group[f"{run}_hits"].to_numpy(), of_group[f"{run}_all"].to_numpy())
            rows.append({"group": group, "run": run, "rate": one.value, "low": one.low, "high": one.high})
    schema = {"group": pl.String, "run": pl.String, "rate": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows, schema=schema)


def _counted(found: Comparison, by: str) -> tuple[pl.DataFrame, bool]:
    """group, prompt_id, and of each side its looping outputs and outputs; whether the groups have an order of their own."""
    sides = [(found.before, found.after, BEFORE), (found.after, found.before, AFTER)]
    both = pl.concat(
        [_outputs(one, other, by).with_columns(run=pl.lit(run)) for one, other, run in sides], how="vertical_relaxed"
    )
    both = both.filter(pl.col("prompt_id").is_in(found.counted["prompt_id"].unique().implode()))
    labels = figures.labels(both["value"], by, where=found.before.path)
    ordered = both["value"].dtype.is_numeric() or both["value"].dtype == pl.Boolean
    both = both.with_columns(group=labels)
    if ordered:
        both = both.sort("value", nulls_last=True, maintain_order=True)
    counts = [
        expression.filter(pl.col("run") == run).sum().cast(pl.Float64).alias(f"{run}_{name}")
        for run in (BEFORE, AFTER)
        for name, expression in (("hits", pl.col("looping")), ("all", pl.lit(1)))
    ]
    return both.group_by("group", "prompt_id", maintain_order=True).agg(counts), ordered


def _outputs(subject: Subject, other: Subject, by: str) -> pl.DataFrame:
    """prompt_id, looping, value: of a side that lacks a column of the prompts file the value that the other has."""
    judged = subject.judged
    try:
        return judged.select("prompt_id", "looping", value=column_named(subject, by))
    except InputError:
        column = column_of(by, other.outputs.columns)
        if column is None or column not in of_prompts(other):
            raise
    known = other.outputs.select("prompt_id", value=column).unique("prompt_id", keep="first", maintain_order=True)
    return judged.select("prompt_id", "looping").join(known, on="prompt_id", how="left", maintain_order="left")
