"""Intervals of rates and differences: published examples, the plain formula where it must hold, and coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopguard.look import rates
from loopguard.loops.statistics import wilson

ONES = np.ones(1)


def arrays(*pairs: tuple[int, int]) -> tuple[rates.Array, rates.Array]:
    return np.array([h for h, _ in pairs], float), np.array([n for _, n in pairs], float)


def paired(both: int, first: int, second: int, neither: int) -> rates.Difference:
    """first - second of a table of pairs, as Newcombe writes it."""
    one = [1] * (both + first) + [0] * (second + neither)
    other = [1] * both + [0] * first + [1] * second + [0] * neither
    totals = np.ones(len(one))
    return rates.difference((np.array(other, float), totals), (np.array(one, float), totals))


def test_newcombes_example_of_paired_rates() -> None:
    """Newcombe 1998 (Statistics in Medicine 17, 2635), table II, 36/12/2/0, method 10: 0.0569 to 0.3404."""
    found = paired(36, 12, 2, 0)
    assert (round(found.value or 0, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0569, 0.3404)
    assert found.shown


def newcombe(e: int, f: int, g: int, h: int) -> tuple[float, float]:
    """Method 10 as the paper writes it: e both, f first only, g second only, h neither; of first - second."""
    n = e + f + g + h
    (l2, u2), (l3, u3) = wilson(e + f, n), wilson(e + g, n)
    p2, p3 = (e + f) / n, (e + g) / n
    margins = (e + f) * (g + h) * (e + g) * (f + h)
    over = e * h - f * g
    phi = (max(over - n / 2, 0) if over > 0 else over) / math.sqrt(margins) if margins else 0.0
    delta = math.sqrt((p2 - l2) ** 2 - 2 * phi * (p2 - l2) * (u3 - p3) + (u3 - p3) ** 2)
    epsilon = math.sqrt((u2 - p2) ** 2 - 2 * phi * (u2 - p2) * (p3 - l3) + (p3 - l3) ** 2)
    return p2 - p3 - delta, p2 - p3 + epsilon


@given(*[st.integers(0, 25)] * 4)
def test_one_output_a_prompt_gives_newcombes_interval(e: int, f: int, g: int, h: int) -> None:
    if e + f + g + h:
        found = paired(e, f, g, h)
        assert (found.low, found.high) == pytest.approx(newcombe(e, f, g, h), abs=1e-9)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_one_output_a_prompt_gives_the_plain_wilson_interval(outputs: list[bool]) -> None:
    hits = np.array(outputs, float)
    found = rates.rate(hits, np.ones(len(outputs)))
    low, high = wilson(sum(outputs), len(outputs))
    assert found.low == pytest.approx(low, abs=1e-12)
    assert found.high == pytest.approx(high, abs=1e-12)
    assert (found.hits, found.total, found.prompts) == (sum(outputs), len(outputs), len(outputs))


def test_six_equal_answers_say_as_much_as_one() -> None:
    """Prompts whose answers all loop or none: the effective number is that of the prompts, up to m / (m - 1)."""
    hits, totals = arrays(*[(6, 6)] * 10, *[(0, 6)] * 30)
    found = rates.rate(hits, totals)
    low, high = wilson(0.25 * 39, 39)
    assert (found.low, found.high) == pytest.approx((low, high))
    wide = found.high - found.low
    assert wide > 2 * (wilson(60, 240)[1] - wilson(60, 240)[0])


@pytest.mark.parametrize(
    ("hits", "totals", "prompts"),
    [([0, 0, 0], [6, 6, 6], 3), ([6, 6], [6, 6], 2), ([2], [5], 1), ([0, 3, 0], [0, 5, 0], 1)],
)
def test_where_no_variation_can_be_seen_prompts_count(hits: list[int], totals: list[int], prompts: int) -> None:
    found = rates.rate(np.array(hits, float), np.array(totals, float))
    rate = sum(hits) / sum(totals)
    assert found.prompts == prompts
    assert (found.low, found.high) == pytest.approx(wilson(rate * prompts, prompts))


def test_nothing() -> None:
    none = np.zeros(0)
    assert rates.rate(none, none) == rates.Estimate(value=None, low=0.0, high=1.0, hits=0, total=0, prompts=0)
    assert rates.difference((none, none), (none, none)).value is None
    assert not rates.difference((none, none), (ONES, ONES)).shown
    assert rates.mean(none, none).value is None
    assert rates.mean_difference((none, none), (none, none)).value is None


def simulated(draw: np.random.Generator, prompts: int, each: int, *, shift: float) -> tuple[rates.Array, rates.Array]:
    """Looping outputs of prompts that differ in how often they loop, before and after; the same prompts."""
    chance = np.clip(draw.beta(0.6, 3, prompts), 0, 1)
    before, after = draw.binomial(each, chance), draw.binomial(each, np.clip(chance + shift, 0, 1))
    return before.astype(float), after.astype(float)


@pytest.mark.parametrize("each", [1, 5])
def test_coverage(each: int) -> None:
    """Of 1,000 simulated runs of 60 prompts about 95 % of the intervals hold the truth; the plain Wilson's do not."""
    draw = np.random.default_rng(5)
    truth, held, plain, zero = 0.6 / 3.6, 0, 0, 0
    totals = np.full(60, float(each))
    for _ in range(1_000):
        before, after = simulated(draw, 60, each, shift=0.0)
        found = rates.rate(before, totals)
        held += found.low <= truth <= found.high
        low, high = wilson(before.sum(), totals.sum())
        plain += low <= truth <= high
        zero += not rates.difference((before, totals), (after, totals)).shown
    assert 930 <= held <= 975
    assert zero >= 935
    assert each == 1 or plain < 850


def test_a_real_change_is_shown_by_pairing() -> None:
    """Every prompt loops once less of five: unpaired intervals of the two rates meet, the paired difference is sure."""
    before, after = np.array([1, 2, 3, 4, 5] * 6, float), np.array([0, 1, 2, 3, 4] * 6, float)
    totals = np.full(30, 5.0)
    found = rates.difference((before, totals), (after, totals))
    assert found.value == pytest.approx(-0.2)
    assert found.shown
    assert rates.rate(after, totals).high > rates.rate(before, totals).low


def test_means() -> None:
    sums, totals = np.array([2.0, 4.0, 9.0]), np.array([1.0, 1.0, 3.0])
    found = rates.mean(sums, totals)
    assert found.value == 3.0
    residuals = np.array([2 - 3, 4 - 3, 9 - 9]) / 5
    half = 1.959963984540054 * math.sqrt((residuals**2).sum() * 3 / 2)
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half))


def test_the_mean_of_one_prompt_has_no_interval() -> None:
    found = rates.mean(np.array([4.0]), np.array([2.0]))
    assert (found.value, found.low, found.high) == (2.0, -math.inf, math.inf)


def test_equal_means_do_not_differ() -> None:
    sums, totals = np.array([2.0, 4.0, 9.0]), np.array([1.0, 1.0, 3.0])
    found = rates.mean_difference((sums, totals), (sums, totals))
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)
    assert not found.shown


@pytest.mark.parametrize(
    ("lost", "gained", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 6, 2 / 64), (12, 2, 2 * 106 / 2**14), (1, 0, 1.0)]
)
def test_mcnemar(lost: int, gained: int, p: float) -> None:
    assert rates.mcnemar(lost, gained) == pytest.approx(min(1.0, p))
    assert rates.mcnemar(lost, gained) == rates.mcnemar(gained, lost)


def test_mcnemar_of_many_is_that_of_whole_numbers() -> None:
    exact = sum(math.comb(2_200, k) for k in range(1_001)) / 2**2_199
    assert rates.mcnemar(1_000, 1_200) == pytest.approx(exact)
