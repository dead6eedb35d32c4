"""Two runs of the same prompts, before and after: paired differences with intervals, and the prompts that changed.

    found = loopguard.compare("runs/before", "runs/after")
    found.rates, found.differences, found.changed      # polars frames
    found.plots.differences()                          # charts

Only prompts that both sides answered are compared. A prompt loops where at least one of its outputs does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from loopguard.counted import counted
from loopguard.errors import InputError
from loopguard.look import rates as paired
from loopguard.look.subject import Subject, open_subject

if TYPE_CHECKING:
    from loopguard.look.compare_panels import ComparisonPlots
    from loopguard.prefs.run import Run

BEFORE, AFTER = "before", "after"
CHANGES = ("loops → clean", "clean → loops", "loops in both", "clean in both")
"""What can become of a prompt."""

PROMPTS, ALL = "prompts with a loop", "all outputs"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two subjects over the prompts that both have answered."""

    before: Subject
    after: Subject
    counted: pl.DataFrame
    """prompt_id, group, and of each side the looping outputs, the outputs, the sum of lengths; one row a prompt and group."""
    notes: tuple[str, ...]
    """What a reader should know before believing a figure."""

    @cached_property
    def groups(self) -> list[str]:
        """What is compared: greedy, sampled (or all outputs), and prompts."""
        return self.counted["group"].unique(maintain_order=True).to_list()

    @cached_property
    def rates(self) -> pl.DataFrame:
        """group, run (before, after), looping, total, prompts, rate, low, high."""
        rows = []
        for group in self.groups:
            for run in (BEFORE, AFTER):
                found = paired.rate(*self._side(group, run))
                rows.append(
                    {
                        "group": group,
                        "run": run,
                        "looping": int(found.hits),
                        "total": found.total,
                        "prompts": found.prompts,
                    }
                    | {"rate": found.value, "low": found.low, "high": found.high}
                )
        return pl.DataFrame(rows)

    @cached_property
    def differences(self) -> pl.DataFrame:
        """group, before, after, difference (after - before), low, high, shown: 95 % intervals on the same prompts.

        Also `lost` and `gained`: prompts that loop less, and more, in the second run; `p` of McNemar's exact test on them.
        """
        rows = []
        for group in self.groups:
            found = self.difference(group)
            lost, gained = self._moved(group)
            sides = [paired.rate(*self._side(group, run)).value for run in (BEFORE, AFTER)]
            rows.append(
                {"group": group, "before": sides[0], "after": sides[1], "difference": found.value, "low": found.low}
                | {
                    "high": found.high,
                    "shown": found.shown,
                    "lost": lost,
                    "gained": gained,
                    "p": paired.mcnemar(lost, gained),
                }
            )
        return pl.DataFrame(rows)

    def difference(self, group: str) -> paired.Difference:
        """Rate after less rate before, of one group."""
        return paired.difference(self._side(group, BEFORE), self._side(group, AFTER))

    @cached_property
    def changed(self) -> pl.DataFrame:
        """prompt_id, before, after (share of its outputs that loop), change (one of CHANGES); one row a prompt."""
        per_prompt = (
            self.counted.filter(pl.col("group") != PROMPTS)
            .group_by("prompt_id", maintain_order=True)
            .agg(
                before=pl.col("before_looping").sum() / pl.col("before_outputs").sum(),
                after=pl.col("after_looping").sum() / pl.col("after_outputs").sum(),
            )
        )
        was, now = pl.col("before") > 0, pl.col("after") > 0
        change = pl.when(was & ~now).then(pl.lit(CHANGES[0])).when(~was & now).then(pl.lit(CHANGES[1]))
        return per_prompt.with_columns(change=change.when(was).then(pl.lit(CHANGES[2])).otherwise(pl.lit(CHANGES[3])))

    @cached_property
    def length_difference(self) -> paired.Difference:
        """Mean length after less mean length before, over all outputs; in the unit of both, else nothing."""
        if self.before.unit != self.after.unit:
            return paired.Difference(value=None, low=0.0, high=0.0)
        outputs = self.counted.filter(pl.col("group") != PROMPTS)
        summed = outputs.group_by("prompt_id", maintain_order=True).agg(pl.col("^(before|after)_.*$").sum())
        sides = [(_floats(summed, f"{run}_length"), _floats(summed, f"{run}_measured")) for run in (BEFORE, AFTER)]
        return paired.mean_difference(sides[0], sides[1])

    @property
    def plots(self) -> ComparisonPlots:
        """The charts: rates, differences, changes, lengths. Need the extra `report`."""
        from loopguard.look.compare_panels import ComparisonPlots

        return ComparisonPlots(self)

    def _side(self, group: str, run: str) -> tuple[paired.Array, paired.Array]:
        rows = self.counted.filter(pl.col("group") == group)
        return _floats(rows, f"{run}_looping"), _floats(rows, f"{run}_outputs")

    def _moved(self, group: str) -> tuple[int, int]:
        """Prompts with a lower, and with a higher, share of looping outputs than before."""
        rows = self.counted.filter(
            (pl.col("group") == group) & (pl.col("before_outputs") > 0) & (pl.col("after_outputs") > 0)
        )
        moved = rows["after_looping"] * rows["before_outputs"] - rows["before_looping"] * rows["after_outputs"]
        return int((moved < 0).sum()), int((moved > 0).sum())

    def __repr__(self) -> str:
        return f"Comparison({str(self.before.path)!r}, {str(self.after.path)!r})"


def compare(before: Run | Subject | str | Path, after: Run | Subject | str | Path) -> Comparison:
    """Two runs (or verdict files) of the same prompts.

    Raises:
        InputError: one cannot be read, or they have no prompt in common.
    """
    first, second = open_subject(before), open_subject(after)
    sides = [_counted(subject, run) for subject, run in ((first, BEFORE), (second, AFTER))]
    common = set(sides[0]["prompt_id"]) & set(sides[1]["prompt_id"])
    if not common:
        raise InputError(f"{first.path} and {second.path} have no prompt in common: there is nothing to compare")
    joined = sides[0].join(sides[1], on=["prompt_id", "group"], how="full", coalesce=True, maintain_order="left_right")
    kept = joined.filter(pl.col("prompt_id").is_in(list(common))).with_columns(
        pl.col("^(before|after)_.*$").fill_null(0)
    )
    notes = (*_missing(first, second, sides, common), *_unlike(first, second))
    return Comparison(before=first, after=second, counted=_in_order(_in_both(kept)), notes=notes)


def _counted(subject: Subject, run: str) -> pl.DataFrame:
    """prompt_id, group, {run}_looping, {run}_outputs, {run}_length, {run}_measured: every group of every prompt, and prompts."""
    by = "decoding" if "decoding" in subject.outputs.columns else None
    group = pl.col(by).fill_null(ALL) if by else pl.lit(ALL)
    keys = [pl.col("prompt_id"), group.alias("group")]
    counted = subject.judged.group_by(keys, maintain_order=True).agg(
        pl.col("looping").sum().cast(pl.Int64).alias(f"{run}_looping"),
        pl.len().cast(pl.Int64).alias(f"{run}_outputs"),
        pl.col("length").sum().cast(pl.Int64).alias(f"{run}_length"),
        pl.col("length").count().cast(pl.Int64).alias(f"{run}_measured"),
    )
    prompts = counted.group_by("prompt_id", maintain_order=True).agg(
        pl.lit(PROMPTS).alias("group"),
        (pl.col(f"{run}_looping").sum() > 0).cast(pl.Int64).alias(f"{run}_looping"),
        pl.lit(1, pl.Int64).alias(f"{run}_outputs"),
        pl.lit(0, pl.Int64).alias(f"{run}_length"),
        pl.lit(0, pl.Int64).alias(f"{run}_measured"),
    )
    return pl.concat([counted, prompts])


def _in_both(kept: pl.DataFrame) -> pl.DataFrame:
    """Without the groups that only one side has: greedy answers of a run without greedy ones cannot be compared."""
    there = kept.group_by("group").agg(pl.col("before_outputs").sum(), pl.col("after_outputs").sum())
    both = there.filter((pl.col("before_outputs") > 0) & (pl.col("after_outputs") > 0))["group"]
    return kept.filter(pl.col("group").is_in(both.implode()))


def _in_order(kept: pl.DataFrame) -> pl.DataFrame:
    order = {"greedy": 0, "sampled": 1, ALL: 2, PROMPTS: 9}
    return kept.sort(pl.col("group").replace_strict(order, default=5), "group", maintain_order=True)


def _missing(first: Subject, second: Subject, sides: list[pl.DataFrame], common: set[str]) -> list[str]:
    notes = []
    for subject, side in ((first, sides[0]), (second, sides[1])):
        alone = side["prompt_id"].n_unique() - len(common)
        if alone:
            are = "is" if alone == 1 else "are"
            notes.append(f"{counted(alone, 'prompt')} of {subject.path} {are} not in the other run, and left out.")
        notes += [f"{subject.path}: {note}" for note in subject.notes]
    return notes


def _unlike(first: Subject, second: Subject) -> list[str]:
    """Settings that should be equal where only the model is to differ."""
    notes = []
    if first.detector != second.detector:
        notes.append(
            f"The two were examined by different detectors: {first.detector or '?'} and {second.detector or '?'}."
        )
    for column in ("temperature", "top_p"):
        values = [_distinct(subject, column) for subject in (first, second)]
        if None not in values and values[0] != values[1]:
            notes.append(f"{column} differs: {values[0]} before, {values[1]} after.")
    return notes


def _distinct(subject: Subject, column: str) -> str | None:
    if column not in subject.outputs.columns:
        return None
    return ", ".join(f"{value:g}" for value in sorted(subject.outputs[column].drop_nulls().unique()))


def _floats(frame: pl.DataFrame, column: str) -> Any:
    return frame[column].cast(pl.Float64).to_numpy()
