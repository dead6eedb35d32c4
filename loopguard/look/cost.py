"""What a run cost, by sampling and judging, and what was saved because looping and equal answers need no judge.

Money where the recipe has prices, else tokens; both of all sessions, as the engines reported them. A saved call is worth a mean
request to the judge: there is no way to know what the judge would have replied.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from loopguard.look import figures
from loopguard.look.subject import Subject

SAVED = {"saved: it loops": "saved: loops", "saved: equal to another": "saved: equal answers"}
"""Part of figures.judge_calls -> stage."""

_SCHEMA = {"stage": pl.String, "requests": pl.Int64, "tokens": pl.Int64, "money": pl.Float64}


def cost(subject: Subject) -> pl.DataFrame:
    """stage, requests, tokens, money (null without prices): sampling, judging, then what was saved; empty if unknown."""
    stages = _stages(subject.summary)
    rows = [
        (stage, of["requests"], of["prompt_tokens"] + of["completion_tokens"], of["money"])
        for stage, of in stages.items()
    ]
    judging = next((row for row in rows if row[0] == "judging" and row[1]), None)
    if judging is not None:
        calls = dict(figures.judge_calls(subject).iter_rows())
        for part, name in SAVED.items():
            if count := calls.get(part, 0):
                _, requests, tokens, money = judging
                rows.append(
                    (name, count, round(count * tokens / requests), None if money is None else count * money / requests)
                )
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _stages(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """sampling and judging as summary.json tells them; a damaged one tells nothing."""
    try:
        told = summary["spent"]["by_stage"]
        return {
            stage: {
                **{name: int(told[stage][name]) for name in ("requests", "prompt_tokens", "completion_tokens")},
                "money": None if told[stage]["money"] is None else float(told[stage]["money"]),
            }
            for stage in ("sampling", "judging")
            if stage in told
        }
    except (KeyError, TypeError, ValueError):
        return {}


def drawn(frame: pl.DataFrame) -> pl.DataFrame:
    """stage, amount, part (spent, saved): what is charted, in money or tokens."""
    amount = pl.col("money") if priced(frame) else pl.col("tokens").cast(pl.Float64)
    saved = pl.col("stage").str.starts_with("saved")
    return frame.select(
        "stage", amount=amount.fill_null(0.0), part=pl.when(saved).then(pl.lit("saved")).otherwise(pl.lit("spent"))
    )


def priced(frame: pl.DataFrame) -> bool:
    """There are prices."""
    return frame["money"].is_not_null().any()


def amount(value: float) -> str:
    """Money: `12.40`, `0.00312`, `1,204`."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.2f}" if value >= 0.1 else f"{value:.3g}"


def sentence(frame: pl.DataFrame) -> str:
    """Of `cost`."""
    rows = {row["stage"]: row for row in frame.to_dicts()}
    money = priced(frame)

    def told(row: dict[str, Any]) -> str:
        return amount(row["money"] or 0.0) if money else f"{row['tokens']:,} tokens"

    spent = [
        f"{stage} took {told(rows[stage])} ({rows[stage]['requests']:,} requests"
        + (f", {rows[stage]['tokens']:,} tokens)" if money else ")")
        for stage in ("sampling", "judging")
        if stage in rows
    ]
    said = f"{', '.join(spent)}{', in the currency of the prices' if money else ''}."
    said = said[:1].upper() + said[1:]
    saved = [
        f"about {told(rows[name])} by {rows[name]['requests']:,} {what}"
        for name, what in (("saved: loops", "that loop"), ("saved: equal answers", "equal to another one"))
        if name in rows
    ]
    if saved:
        said += f" Answers that needed no judge saved, at the price of a mean request, {', '.join(saved)}."
    return said if money else f"{said} The recipe has no prices, so it is told in tokens."
