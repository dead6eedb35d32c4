"""The few figures at the head of a page: label, value, what stands beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from loopguard.counted import counted
from loopguard.look import cost as costs
from loopguard.look import figures
from loopguard.look.sentences import interval, number, percent
from loopguard.look.subject import Subject


@dataclass(frozen=True, slots=True)
class Tile:
    """One headline figure."""

    label: str
    value: str
    detail: str = ""
    tone: str = ""
    """loop: a rate of loops."""


def headline(subject: Subject) -> list[Tile]:
    """The headline of one run or verdict file."""
    found = [*_rates(subject), *_waste(subject)]
    return [*found, *_pairs(subject), *_cost(subject)] if subject.source == "run" else found


def _rates(subject: Subject) -> list[Tile]:
    """Of a run greedy and sampled apart, for they are two questions; else all."""
    by = "decoding" if subject.source == "run" and "decoding" in subject.outputs.columns else None
    rows = figures.loop_rate(subject, by).to_dicts()
    tiles = []
    for row in rows:
        what = "outputs that loop" if by is None else f"{row['group']} answers that loop"
        detail = f"{interval(row['low'], row['high'])} · {row['looping']:,} of {row['total']:,}"
        tiles.append(Tile(what, percent(row["rate"]), detail, "loop"))
    return tiles


def _waste(subject: Subject) -> list[Tile]:
    total = int(subject.judged["length"].sum() or 0)
    if not total:
        return []
    wasted = float(subject.looping["wasted"].sum() or 0.0)
    detail = f"{number(wasted)} of {number(total)} {subject.unit}"
    return [Tile("of all that was generated only repeats", percent(wasted / total), detail)]


def _pairs(subject: Subject) -> list[Tile]:
    prompts, paired = _prompts(subject), subject.pairs["prompt_id"].n_unique()
    loops = int((subject.pairs["reason"] == "loop").sum())
    tiles = [
        Tile("pairs", number(subject.pairs.height), f"{loops:,} by loop, {subject.pairs.height - loops:,} by score"),
        Tile("prompts", number(prompts), f"{prompts - paired:,} without a pair"),
    ]
    if subject.so_far is not None:
        through, prompts = subject.so_far
        tiles[1] = Tile("prompts are through", f"{through:,} of {prompts:,}", f"{through - paired:,} without a pair")
    calls = dict(figures.judge_calls(subject).iter_rows())
    saved = sum(count for part, count in calls.items() if part.startswith("saved"))
    if calls:
        asked = calls.get("scored", 0) + calls.get("no score: the judge failed", 0)
        tiles.append(Tile("judge calls saved", number(saved), counted(asked, "output", "was judged", "were judged")))
    return tiles


def _cost(subject: Subject) -> list[Tile]:
    """What was spent, where there are prices."""
    frame = costs.cost(subject)
    spent = frame.filter(~pl.col("stage").str.starts_with("saved"))
    if not costs.priced(spent):
        return []
    parts = [f"{stage} {costs.amount(money or 0.0)}" for stage, money in spent.select("stage", "money").iter_rows()]
    return [Tile("spent, in the currency of the prices", costs.amount(float(spent["money"].sum())), ", ".join(parts))]


def _prompts(subject: Subject) -> int:
    told: Any = subject.summary.get("prompts")
    if isinstance(told, dict) and isinstance(told.get("total"), int):
        return int(told["total"])
    return subject.outputs["prompt_id"].n_unique()


def about(subject: Subject) -> list[tuple[str, str]]:
    """What the figures were made of: name and value, for the foot of a page."""
    found = [("from", str(subject.path)), ("outputs", f"{subject.outputs.height:,}")]
    for label, column in (("model", "model"), ("judge", "judge")):
        if subject.source == "run" and column in subject.outputs.columns:
            names = subject.outputs[column].drop_nulls().unique(maintain_order=True).to_list()
            if names:
                found.append((label, ", ".join(map(str, names[:5]))))
    if subject.detector:
        found.append(("detector", subject.detector))
    versions = subject.summary.get("versions")
    if isinstance(versions, dict) and versions.get("loopguard"):
        found.append(("made by", f"loopguard {versions['loopguard']}"))
    nulls = int(subject.outputs.select(pl.col("looping").is_null().sum()).item())
    return [*found, ("without a verdict", f"{nulls:,}")] if nulls else found
