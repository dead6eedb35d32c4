"""The charts of a comparison, each with its figures and its sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from loopguard.counted import counted
from loopguard.look import charts, figures, sentences
from loopguard.look.charts import CALM, GOOD, LOOP, SOFT
from loopguard.look.compare import AFTER, BEFORE, CHANGES, PROMPTS, Comparison
from loopguard.look.panels import Panel


def rates(found: Comparison) -> Panel:
    """Loop rates of both sides."""
    frame = found.rates
    told = [
        f"{group}: {sentences.percent(before)} before, {sentences.percent(after)} after"
        for group, before, after in found.differences.select("group", "before", "after").iter_rows()
    ]
    return Panel(
        key="change",
        title="Loop rates before and after",
        frame=frame,
        sentence=_sentence("; ".join(told)),
        draw=lambda: charts.change(frame, (BEFORE, AFTER)),
    )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def differences(found: Comparison) -> Panel:
    """After less before, with intervals."""
    frame = found.differences
    told = [sentences.change(found.difference(group), group) for group in found.groups]
    return Panel(
        key="differences",
        title="What changed",
        frame=frame,
        sentence=" ".join(map(_sentence, told)),
        draw=lambda: charts.differences(frame),
    )


def changes(found: Comparison) -> Panel:
    """Prompts by what became of them."""
    counts = dict(found.changed.group_by("change").agg(pl.len()).iter_rows())
    frame = pl.DataFrame({"change": list(CHANGES), "prompts": [counts.get(one, 0) for one in CHANGES]})
    cured, fell = (counts.get(one, 0) for one in CHANGES[:2])
    p = found.differences.filter(pl.col("group") == PROMPTS)["p"][0]
    chance = f"McNemar's exact test: p = {p:.2g}" if cured + fell else "no prompt changed"
    better = counted(cured, "prompt", "that looped is clean", "that looped are clean")
    worse = "was clean loops" if fell == 1 else "were clean loop"
    return Panel(
        key="changes",
        title="Prompts that changed",
        frame=frame,
        sentence=f"{better}, {fell:,} that {worse} ({chance}).",
        draw=lambda: charts.bars(
            frame,
            name="change",
            count="prompts",
            title="prompts",
            by=("change", CHANGES, (GOOD, LOOP, SOFT, CALM)),
            legend=False,
        ),
    )


def lengths(found: Comparison) -> Panel:
    """Output lengths of both sides."""
    sides = [subject.judged.filter(pl.col("length") > 0)["length"] for subject in (found.before, found.after)]
    edges = figures.bin_edges(pl.concat([side.cast(pl.Float64) for side in sides]), fine=True)
    frame = pl.concat(
        [
            figures.binned(side, edges).with_columns(run=pl.lit(run))
            for side, run in zip(sides, (BEFORE, AFTER), strict=True)
        ]
    ).filter(pl.col("outputs") > 0)
    moved, unit = found.length_difference, found.before.unit
    if moved.value is None:
        said = (
            "The two are not measured in the same unit."
            if found.before.unit != found.after.unit
            else "Lengths are unknown."
        )
    else:
        around = f"({moved.low:+,.0f} to {moved.high:+,.0f})"
        less = "longer" if moved.value > 0 else "shorter"
        said = (
            f"Outputs are {abs(moved.value):,.0f} {unit} {less} in the mean {around}."
            if moved.shown
            else f"No difference in mean length shows: {moved.value:+,.0f} {unit} {around}."
        )
    by = ("run", (BEFORE, AFTER), (SOFT, CALM))
    if found.before.unit != found.after.unit:
        frame = frame.clear()
    return Panel(
        key="lengths",
        title="Output length",
        frame=frame,
        sentence=said,
        draw=lambda: charts.histogram(frame, title=unit, logarithmic=True, by=by, share=True, counted="share"),
    )


def panels(found: Comparison) -> Iterator[Panel]:
    """All charts of a comparison."""
    yield from (rates(found), differences(found), changes(found), lengths(found))


class ComparisonPlots:
    """The charts of one comparison; each raises MissingExtra where altair is not installed."""

    def __init__(self, comparison: Comparison) -> None:
        """For Comparison.plots."""
        self._of = comparison

    def rates(self) -> Any:
        """Loop rates before and after, with 95 % intervals."""
        return rates(self._of).chart()

    def differences(self) -> Any:
        """After less before, paired, with 95 % intervals."""
        return differences(self._of).chart()

    def changes(self) -> Any:
        """Prompts that looped and do not, and the other way round."""
        return changes(self._of).chart()

    def lengths(self) -> Any:
        """Output lengths before and after."""
        return lengths(self._of).chart()
