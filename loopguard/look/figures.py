"""The figures behind the charts: polars frames of a few rows each, counted from a Subject. No charts, no words.

Every function gives an empty frame (with its columns) where the subject holds nothing of the kind.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from loopguard.errors import InputError
from loopguard.look import rates
from loopguard.look.subject import Subject, column_named

MOST_GROUPS = 24
"""Groups in one chart; of more the ones with the highest rates are kept."""

MOST_VALUES = 1_000
"""Distinct texts that a column to group by may have."""

CUT_ABOVE = 12
"""A column of numbers with more distinct values is cut into fifths."""

_RATES = {"group": pl.String, "looping": pl.Int64, "total": pl.Int64, "prompts": pl.Int64} | dict.fromkeys(
    ("rate", "low", "high"), pl.Float64
)


# -- rates


def loop_rate(subject: Subject, by: str | None = None) -> pl.DataFrame:
    """group, looping, total, prompts, rate, low, high: one row a value of the column, by rate; or one row, `all`.

    A column of numbers keeps its order, and is cut into fifths where it has more than a dozen values.

    Raises:
        InputError: there is no such column, or it has a thousand values.
    """
    outputs = subject.judged
    grouped = outputs.select("prompt_id", "looping", group=_labels(subject, outputs, by))
    found = [{"group": name, **_as_rate(*per_prompt)} for name, per_prompt in _by_prompt(grouped)]
    frame = pl.DataFrame(found, schema=_RATES)
    kind = outputs.schema[column_named(subject, by)] if by is not None else pl.String()
    ordered = kind.is_numeric() or kind == pl.Boolean
    return frame if ordered or by is None else frame.sort("rate", "group", descending=[True, False])


def _as_rate(hits: rates.Array, totals: rates.Array) -> dict[str, object]:
    found = rates.rate(hits, totals)
    return {"looping": int(found.hits), "total": found.total, "prompts": found.prompts} | {
        "rate": found.value,
        "low": found.low,
        "high": found.high,
    }


def _by_prompt(grouped: pl.DataFrame) -> Iterator[tuple[str, tuple[rates.Array, rates.Array]]]:
    """Each group's (looping outputs, outputs) of every prompt in it, groups in the order of their first row."""
    counted = grouped.group_by("group", "prompt_id", maintain_order=True).agg(
        hits=pl.col("looping").sum().cast(pl.Float64), totals=pl.len().cast(pl.Float64)
    )
    for (name,), rows in counted.group_by("group", maintain_order=True):
        yield str(name), (rows["hits"].to_numpy(), rows["totals"].to_numpy())


def _labels(subject: Subject, outputs: pl.DataFrame, by: str | None) -> pl.Series:
    """The group of every output, as a text."""
    if by is None:
        return pl.Series("group", ["all"] * outputs.height, pl.String)
    return labels(outputs[column_named(subject, by)], by, where=subject.path)


def labels(column: pl.Series, by: str, *, where: Path) -> pl.Series:
    """The group of every value, as a text: itself, or its fifth where there are many numbers. Raises InputError."""
    if column.dtype.is_numeric() and column.n_unique() > CUT_ABOVE:
        return fifths(column)
    distinct = column.n_unique()
    if distinct > MOST_VALUES:
        raise InputError(
            f"{where}: column {by!r} has {distinct:,} values: a column with at most {MOST_VALUES:,} is wanted"
        )
    return _texts(column)


def _texts(column: pl.Series) -> pl.Series:
    if column.dtype.is_float():
        return pl.Series("group", [None if value is None else f"{value:g}" for value in column]).fill_null("(none)")
    if column.dtype == pl.Boolean:
        return column.replace_strict({True: "yes", False: "no"}, default=None).fill_null("(none)").alias("group")
    return column.cast(pl.String).fill_null("(none)").alias("group")


def fifths(column: pl.Series) -> pl.Series:
    """Each number's fifth as `low to high`; equal numbers are in one fifth."""
    known = np.sort(column.drop_nulls().drop_nans().cast(pl.Float64).to_numpy())
    upper = np.unique(np.quantile(known, [0.2, 0.4, 0.6, 0.8, 1.0], method="inverted_cdf"))
    names = []
    for at, high in enumerate(upper):
        low = known[0] if at == 0 else known[np.searchsorted(known, upper[at - 1], side="right")]
        names.append(_number(low) if low == high else f"{_number(low)} to {_number(high)}")
    place = np.searchsorted(upper, column.cast(pl.Float64).fill_null(math.inf).fill_nan(math.inf).to_numpy())
    return pl.Series("group", [names[k] if k < len(names) else "(none)" for k in place])


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"


def rate_difference(subject: Subject, by: str, first: str, second: str) -> rates.Difference:
    """rate(second) - rate(first) of two values of a column, over the prompts of both."""
    outputs = subject.judged
    grouped = outputs.select("prompt_id", "looping", group=_labels(subject, outputs, by))
    counted = grouped.group_by("prompt_id", maintain_order=True).agg(
        *(_hits(name).alias(f"hits_{at}") for at, name in enumerate((first, second))),
        *(
            (pl.col("group") == name).sum().cast(pl.Float64).alias(f"of_{at}")
            for at, name in enumerate((first, second))
        ),
    )
    sides = [(counted[f"hits_{at}"].to_numpy(), counted[f"of_{at}"].to_numpy()) for at in (0, 1)]
    return rates.difference(sides[0], sides[1])


def _hits(name: str) -> pl.Expr:
    return (pl.col("looping") & (pl.col("group") == name)).sum().cast(pl.Float64)


# -- loops


def kinds(subject: Subject) -> pl.DataFrame:
    """kind, ending (terminal, recovered), outputs: the loop that wastes most of each looping output."""
    found = subject.looping.group_by(
        kind=pl.col("loop_kind").fill_null("(engine stopped it)"),
        ending=pl.when(pl.col("loop_terminal").fill_null(True)).then(pl.lit("terminal")).otherwise(pl.lit("recovered")),
    ).agg(outputs=pl.len().cast(pl.Int64))
    return found.sort("outputs", "kind", "ending", descending=[True, False, False])


def onsets(subject: Subject) -> pl.DataFrame:
    """low, high, outputs: where loops start, from 1, in the subject's unit, in bins that widen."""
    return binned(subject.looping["onset"].drop_nulls() + 1)


def waste(subject: Subject) -> pl.DataFrame:
    """low, high, outputs: how much of each looping output only repeats, in the subject's unit."""
    return binned(subject.looping["wasted"].drop_nulls())


def periods(subject: Subject) -> pl.DataFrame:
    """low, high, outputs: length of one copy, in characters (in tokens where token ids were examined)."""
    return binned(subject.looping["loop_period"].drop_nulls())


def copies(subject: Subject) -> pl.DataFrame:
    """low, high, outputs: how often the stretch is said."""
    return binned(subject.looping["loop_repeats"].drop_nulls())


def lengths(subject: Subject) -> pl.DataFrame:
    """low, high, what (clean, looping), outputs: output lengths in the subject's unit."""
    known = subject.judged.filter(pl.col("length") > 0)
    edges = bin_edges(known["length"].cast(pl.Float64), fine=True)
    parts = [
        binned(known.filter(pl.col("looping") == looping)["length"], edges).with_columns(what=pl.lit(what))
        for what, looping in (("clean", False), ("looping", True))
    ]
    return pl.concat(parts).select("low", "high", "what", "outputs").filter(pl.col("outputs") > 0)


# -- scores and pairs


def scores(subject: Subject) -> pl.DataFrame:
    """low, high, used (chosen, rejected, neither), outputs: the judge's scores in twentieths of their range."""
    schema = {"low": pl.Float64, "high": pl.Float64, "used": pl.String, "outputs": pl.Int64}
    judged = _scored(subject)
    if judged.is_empty():
        return pl.DataFrame(schema=schema)
    edges = _even(judged["score"], 20)
    parts = [
        binned(rows["score"], edges).with_columns(used=pl.lit(used))
        for used in ("chosen", "rejected", "neither")
        if not (rows := judged.filter(pl.col("used_as").fill_null("neither") == used)).is_empty()
    ]
    return pl.concat(parts).select(*schema).filter(pl.col("outputs") > 0)


def _scored(subject: Subject) -> pl.DataFrame:
    if "score" not in subject.outputs.columns:
        return pl.DataFrame(
            schema={"score": pl.Float64, "used_as": pl.String, "length": pl.Int64, "prompt_id": pl.String}
        )
    known = subject.outputs.filter(pl.col("score").is_not_null() & pl.col("score").is_finite())
    return known if "used_as" in known.columns else known.with_columns(used_as=pl.lit(None, pl.String))


def score_by_length(subject: Subject) -> pl.DataFrame:
    """group, outputs, mean, low, high: the mean score of each fifth of output lengths, 95 % interval over prompts."""
    schema = {"group": pl.String, "outputs": pl.Int64, "mean": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    judged = _scored(subject).filter(pl.col("length").is_not_null()).sort("length")
    if judged.is_empty():
        return pl.DataFrame(schema=schema)
    rows = []
    for name, sums in _sums(judged.with_columns(group=fifths(judged["length"]))):
        found = rates.mean(*sums)
        rows.append({"group": name, "outputs": found.total, "mean": found.value, "low": found.low, "high": found.high})
    return pl.DataFrame(rows, schema=schema)


def _sums(judged: pl.DataFrame) -> Iterator[tuple[str, tuple[rates.Array, rates.Array]]]:
    counted = judged.group_by("group", "prompt_id", maintain_order=True).agg(
        sums=pl.col("score").sum(), totals=pl.len().cast(pl.Float64)
    )
    for (name,), rows in counted.group_by("group", maintain_order=True):
        yield str(name), (rows["sums"].to_numpy(), rows["totals"].to_numpy())


def longest_against_shortest(subject: Subject) -> rates.Difference:
    """Mean score of the longest fifth of outputs less that of the shortest, over the prompts of both."""
    judged = _scored(subject).filter(pl.col("length").is_not_null()).sort("length")
    group = fifths(judged["length"]) if judged.height else pl.Series("group", [], pl.String)
    if group.n_unique() < 2:
        return rates.Difference(value=None, low=-math.inf, high=math.inf)
    ends = (group[0], group[-1])
    counted = (
        judged.with_columns(group=group)
        .group_by("prompt_id", maintain_order=True)
        .agg(
            *(pl.col("score").filter(pl.col("group") == end).sum().alias(f"sum_{k}") for k, end in enumerate(ends)),
            *((pl.col("group") == end).sum().cast(pl.Float64).alias(f"of_{k}") for k, end in enumerate(ends)),
        )
    )
    sides = [(counted[f"sum_{k}"].to_numpy(), counted[f"of_{k}"].to_numpy()) for k in (0, 1)]
    return rates.mean_difference(sides[0], sides[1])


def margins(subject: Subject) -> pl.DataFrame:
    """low, high, outputs: score of chosen less score of rejected, of the pairs by score, in twentieths of their range."""
    known = subject.pairs["margin"].drop_nulls().drop_nans()
    return binned(known, _even(known, 20, least=0.0))


def pairs(subject: Subject) -> pl.DataFrame:
    """reason, kind, pairs: pairs by why the rejected one is rejected; `kind` is its loop's, else null."""
    found = subject.pairs.group_by("reason", kind="rejected_loop_kind").agg(pairs=pl.len().cast(pl.Int64))
    return found.sort("pairs", "reason", "kind", descending=[True, False, False])


def skips(subject: Subject) -> pl.DataFrame:
    """status, reason, prompts: prompts and rows without a pair."""
    found = subject.skipped.group_by("status", "reason").agg(prompts=pl.len().cast(pl.Int64))
    return found.sort("prompts", "status", "reason", descending=[True, False, False])


def length_bias(subject: Subject) -> pl.DataFrame:
    """low, high, reason, pairs: log2 of chosen length over rejected length, in characters as written; cut at 64 times."""
    sided = _sided(subject)
    ratio = (sided["chosen_characters"] / sided["rejected_characters"]).log(2).clip(-6, 5.999)
    edges = np.arange(-6, 6.5, 0.5)
    parts = [
        binned(ratio.filter(sided["reason"] == reason), edges).with_columns(reason=pl.lit(reason))
        for reason in sorted(set(sided["reason"]))
    ]
    schema = {"low": pl.Float64, "high": pl.Float64, "reason": pl.String, "pairs": pl.Int64}
    if not parts:
        return pl.DataFrame(schema=schema)
    return pl.concat(parts).rename({"outputs": "pairs"}).select(*schema).filter(pl.col("pairs") > 0)


def _sided(subject: Subject) -> pl.DataFrame:
    return subject.pairs.filter((pl.col("chosen_characters") > 0) & (pl.col("rejected_characters") > 0))


def shorter_chosen(subject: Subject) -> dict[str, rates.Estimate]:
    """Reason -> share of pairs whose chosen text is the shorter one, in characters as written; equal ones count half."""
    found = {}
    for reason in sorted(set(_sided(subject)["reason"])):
        rows = (
            _sided(subject)
            .filter(pl.col("reason") == reason)
            .with_columns(
                shorter=(pl.col("chosen_characters") < pl.col("rejected_characters")).cast(pl.Float64)
                + 0.5 * (pl.col("chosen_characters") == pl.col("rejected_characters")).cast(pl.Float64)
            )
        )
        counted = rows.group_by("prompt_id", maintain_order=True).agg(
            hits=pl.col("shorter").sum(), totals=pl.len().cast(pl.Float64)
        )
        found[str(reason)] = rates.rate(counted["hits"].to_numpy(), counted["totals"].to_numpy())
    return found


# -- cost


def spending(subject: Subject) -> pl.DataFrame:
    """part, amount: what was generated, in the subject's unit: clean outputs, the rest of looping ones, repetition."""
    known = subject.judged.filter(pl.col("length").is_not_null())
    looping = known.filter("looping")
    wasted = float(looping["wasted"].fill_null(0).sum())
    rows = [
        ("clean", float(known.filter(~pl.col("looping"))["length"].sum())),
        ("looping, said once", float(looping["length"].sum()) - wasted),
        ("repetition", wasted),
    ]
    schema = {"part": pl.String, "amount": pl.Float64}
    return pl.DataFrame([row for row in rows if row[1] > 0], schema=schema, orient="row")


def judge_calls(subject: Subject) -> pl.DataFrame:
    """part, outputs: scored, not scored (the judge failed), saved (loops, equal answers, nothing said)."""
    schema = {"part": pl.String, "outputs": pl.Int64}
    outputs = subject.outputs
    if not {"score", "judge_error", "merged_into"} <= set(outputs.columns) or _scored(subject).is_empty():
        return pl.DataFrame(schema=schema)
    part = (
        pl.when(pl.col("merged_into").is_not_null()).then(pl.lit("saved: equal to another"))
        .when("looping").then(pl.lit("saved: it loops"))
        .when(pl.col("score").is_not_null()).then(pl.lit("scored"))
        .when(pl.col("judge_error").is_not_null()).then(pl.lit("no score: the judge failed"))
        .otherwise(pl.lit("not asked"))
    )  # fmt: skip
    counted = outputs.group_by(part=part).agg(outputs=pl.len().cast(pl.Int64))
    return counted.sort("outputs", "part", descending=[True, False])


# -- bins


def binned(values: pl.Series, edges: rates.Array | None = None) -> pl.DataFrame:
    """low, high, outputs: counts in bins; the last one holds its upper edge. Without edges: those of bin_edges."""
    known = values.drop_nulls().cast(pl.Float64).drop_nans()
    schema = {"low": pl.Float64, "high": pl.Float64, "outputs": pl.Int64}
    if known.is_empty():
        return pl.DataFrame(schema=schema)
    edges = bin_edges(known) if edges is None else edges
    counts, _ = np.histogram(np.clip(known.to_numpy(), edges[0], edges[-1]), edges)
    return pl.DataFrame({"low": edges[:-1], "high": edges[1:], "outputs": counts.astype(np.int64)}, schema=schema)


def bin_edges(values: pl.Series, *, fine: bool = False) -> rates.Array:
    """Whole edges that double, or grow by half an octave where no value is below 16.

    `fine`: by a quarter of an octave from 16; shorter ones are in the first bin.
    """
    known = values.drop_nulls().clip(lower_bound=16 if fine else 1)
    if known.is_empty():
        return np.array([1.0, 2.0])
    low, high = float(known.min()), float(known.max())  # type: ignore[arg-type]
    steps = 4 if fine else 2 if low >= 16 else 1
    first, last = math.floor(steps * math.log2(low)), math.floor(steps * math.log2(high)) + 1
    return np.array([round(2 ** (k / steps)) for k in range(first, last + 1)], dtype=np.float64)


def _even(values: pl.Series, bins: int, *, least: float | None = None) -> rates.Array:
    """Even bins between the whole numbers around all values."""
    if values.is_empty():
        return np.array([0.0, 1.0])
    low = math.floor(float(values.min())) if least is None else least  # type: ignore[arg-type]
    high = math.ceil(float(values.max()))  # type: ignore[arg-type]
    return np.linspace(low, high if high > low else low + 1, bins + 1)
