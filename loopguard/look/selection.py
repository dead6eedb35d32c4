"""Which prompts can be read in the page: all of them, or the most wasteful of each reason and kind and a random sample.

One row a prompt of a run (or an output of a verdict file): key, reason, kind, waste, margin, what, priority, drawn.
"""

from __future__ import annotations

import polars as pl

from loopguard.look.subject import Subject

MOST = 3_000
"""Prompts in one page."""


def selection(subject: Subject) -> pl.DataFrame:
    """The prompts in the order in which they are taken until the page is full."""
    items = _outputs(subject) if subject.source == "verdicts" else _prompts(subject)
    return ranked(items, ["reason", "kind"])


def ranked(items: pl.DataFrame, strata: list[str]) -> pl.DataFrame:
    """The items with `drawn` (waste or random), the first MOST of them, in turns one of each stratum and one at random."""
    count = max(1, items.select(strata).n_unique())
    wasteful = pl.struct("waste", "margin").rank("ordinal", descending=True).over(strata) * count * 2
    chance = pl.col("key").cast(pl.String).hash(seed=7).rank("ordinal") * 2 - 1
    placed = items.with_columns(by_waste=wasteful.cast(pl.Int64), by_chance=chance.cast(pl.Int64))
    drawn = pl.when(pl.col("by_waste") < pl.col("by_chance")).then(pl.lit("waste")).otherwise(pl.lit("random"))
    ordered = placed.with_columns(drawn=drawn, priority=pl.min_horizontal("by_waste", "by_chance"))
    return ordered.sort("priority", "key").drop("by_waste", "by_chance").head(MOST)


def _outputs(subject: Subject) -> pl.DataFrame:
    return subject.judged.select(
        key=pl.col("at").cast(pl.Int64),
        reason=pl.col("loop_reason").fill_null("clean"),
        kind=pl.col("loop_kind").fill_null(""),
        waste=pl.col("wasted").fill_null(0.0),
        margin=pl.lit(0.0),
    )


def _prompts(subject: Subject) -> pl.DataFrame:
    """One row a prompt that has an output."""
    worst = subject.outputs.sort("wasted", descending=True, nulls_last=True, maintain_order=True)
    items = worst.group_by("prompt_id", maintain_order=True).agg(
        kind=pl.col("loop_kind").first().fill_null(""), waste=pl.col("wasted").sum().fill_null(0.0)
    )
    pairs = subject.pairs.group_by("prompt_id", maintain_order=True).agg(
        pair=pl.col("reason").first(), margin=pl.col("margin").max()
    )
    items = items.join(pairs, on="prompt_id", how="left", maintain_order="left")
    if "prompt_id" in subject.skipped.columns:
        skips = subject.skipped.filter(pl.col("prompt_id").is_not_null()).unique("prompt_id", maintain_order=True)
        items = items.join(skips.select("prompt_id", skip="reason"), on="prompt_id", how="left", maintain_order="left")
    else:
        items = items.with_columns(skip=pl.lit(None, pl.String))
    return items.select(
        key="prompt_id",
        reason=pl.coalesce("pair", "skip").fill_null("no pair"),
        kind="kind",
        waste=pl.col("waste").cast(pl.Float64),
        margin=pl.col("margin").fill_null(0.0).fill_nan(0.0),
    )
