"""Rates and means with intervals that know that answers to one prompt resemble each other. Arrays in, no frames, no files.

A rate's interval is Wilson's on the effective number of outputs: the number of independent ones whose rate would vary as much as
this one does from prompt to prompt (Kish's design effect; never more than the outputs themselves). With one output a prompt it is
the plain Wilson interval. A difference's interval is Newcombe's (1998, method 10: square-and-add of Wilson limits, less their
correlation), the correlation taken over the prompts that both sides answered.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from loopguard.loops.statistics import Z95, wilson

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

__all__ = ["Difference", "Estimate", "difference", "mcnemar", "mean", "mean_difference", "rate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A rate or a mean with its 95 % interval; value None and an empty interval where nothing was counted."""

    value: float | None
    low: float
    high: float
    hits: float
    """Looping outputs; the sum of what is averaged."""
    total: int
    """Outputs."""
    prompts: int

    def as_dict(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """b - a with its 95 % interval; value None where one side has nothing."""

    value: float | None
    low: float
    high: float

    @property
    def shown(self) -> bool:
        """The interval does not hold 0: the data show a difference."""
        return self.value is not None and (self.low > 0 or self.high < 0)


def rate(hits: Array, totals: Array) -> Estimate:
    """The rate of looping outputs from each prompt's looping outputs and outputs."""
    hits, totals = _there(hits, totals)
    total = float(totals.sum())
    if not total:
        return Estimate(value=None, low=0.0, high=1.0, hits=0, total=0, prompts=0)
    value = float(hits.sum()) / total
    effective = _effective(hits, totals, value)
    low, high = wilson(value * effective if value < 1 else effective, effective)
    return Estimate(value=value, low=low, high=high, hits=int(hits.sum()), total=int(total), prompts=hits.size)


def _there(hits: Array, totals: Array) -> tuple[Array, Array]:
    """Prompts with an output."""
    there = totals > 0
    return hits[there], totals[there]


def _effective(hits: Array, totals: Array, value: float) -> float:
    """The effective number of outputs; at a rate of 0 or 1, which shows no variation, the number of prompts."""
    total, prompts = float(totals.sum()), hits.size
    if prompts == total:
        return total
    variance = _variance((hits - value * totals) / total)
    if prompts < 2 or not 0 < value < 1:
        return float(prompts)
    return total if variance <= 0 else min(total, max(1.0, value * (1 - value) / variance))


def _variance(residuals: Array) -> float:
    """Of a sum of independent prompts' residuals."""
    prompts = residuals.size
    return float((residuals**2).sum()) * prompts / (prompts - 1) if prompts > 1 else math.inf


def difference(before: tuple[Array, Array], after: tuple[Array, Array]) -> Difference:
    """rate(after) - rate(before): (hits, totals) of the same prompts in the same order, totals 0 where a side has none."""
    a, b = rate(*before), rate(*after)
    if a.value is None or b.value is None:
        return Difference(value=None, low=-1.0, high=1.0)
    value, correlation = b.value - a.value, _correlation(before, after, a.value, b.value)
    down = _square_and_add(b.value - b.low, a.high - a.value, correlation)
    up = _square_and_add(b.high - b.value, a.value - a.low, correlation)
    return Difference(value=value, low=value - down, high=value + up)


def _correlation(before: tuple[Array, Array], after: tuple[Array, Array], a: float, b: float) -> float:
    """Of the two rates from prompt to prompt; a positive one is lessened by half a prompt, as in method 10."""
    first = (before[0] - a * before[1]) / before[1][before[1] > 0].mean()
    second = (after[0] - b * after[1]) / after[1][after[1] > 0].mean()
    spread = math.sqrt(float((first**2).sum()) * float((second**2).sum()))
    shared = float((first * second).sum())
    shared = max(0.0, shared - 0.5) if shared > 0 else shared
    return max(-1.0, shared / spread) if spread else 0.0


def _square_and_add(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other))


def mean(sums: Array, totals: Array) -> Estimate:
    """The mean over all outputs from each prompt's sum and number; normal interval, prompts taken as independent."""
    sums, totals = _there(sums, totals)
    total = float(totals.sum())
    if not total:
        return Estimate(value=None, low=-math.inf, high=math.inf, hits=0, total=0, prompts=0)
    value = float(sums.sum()) / total
    half = Z95 * math.sqrt(_variance((sums - value * totals) / total))
    return Estimate(
        value=value, low=value - half, high=value + half, hits=float(sums.sum()), total=int(total), prompts=sums.size
    )


def mean_difference(before: tuple[Array, Array], after: tuple[Array, Array]) -> Difference:
    """mean(after) - mean(before) of the same prompts in the same order; normal interval over prompts."""
    a, b = mean(*before), mean(*after)
    if a.value is None or b.value is None:
        return Difference(value=None, low=-math.inf, high=math.inf)
    residuals = (after[0] - b.value * after[1]) / after[1].sum() - (before[0] - a.value * before[1]) / before[1].sum()
    half = Z95 * math.sqrt(_variance(residuals[(before[1] > 0) | (after[1] > 0)]))
    return Difference(value=b.value - a.value, low=b.value - a.value - half, high=b.value - a.value + half)


def mcnemar(lost: int, gained: int) -> float:
    """The two-sided exact p-value of McNemar's test: discordant pairs one way and the other, a fair coin each."""
    discordant = lost + gained
    tail: int = sum(math.comb(discordant, k) for k in range(min(lost, gained) + 1))
    return min(1.0, (2 * tail) / 2**discordant) if discordant < 1000 else min(1.0, math.exp(_log_tail(lost, gained)))


def _log_tail(lost: int, gained: int) -> float:
    """log of twice the tail of a fair binomial, where the whole numbers are too large for a float."""
    n, least = lost + gained, min(lost, gained)
    logs = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(least + 1)]
    top = max(logs)
    return math.log(2) + top + math.log(sum(math.exp(one - top) for one in logs)) - n * math.log(2)
