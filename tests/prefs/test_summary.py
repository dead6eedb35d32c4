"""The figures of a run: Wilson's interval against published numbers, and counts that were made by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.prefs.outputs import Outcome
from loopguard.prefs.pairing import make_pairs, merge_equal
from loopguard.prefs.recipe import PairingSection
from loopguard.prefs.summary import Z95, Figures, Rate, wilson
from loopguard.records import Candidate, Skip
from tests.prefs.made import PROMPT, candidate, loop, scored


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # these four: Newcombe 1998, Statistics in Medicine 17, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0000),  # mirrored
        (28, 29, 0.8282, 0.9939),
        (1, 1, 0.2065, 1.0000),
        (0, 1, 0.0000, 0.7935),
    ],
)
def test_wilson_against_published_intervals(hits: int, total: int, low: float, high: float) -> None:
    assert [round(bound, 4) for bound in wilson(hits, total)] == [low, high]


def test_wilson_of_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def score_test(rate: float, hits: int, total: int) -> float:
    """How many standard errors (of the true rate) the count is from a true rate: Wilson's interval inverts this."""
    return abs(hits / total - rate) / math.sqrt(rate * (1 - rate) / total)


@settings(deadline=None)
@given(st.integers(1, 5000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_wilson_holds_all_rates_that_the_count_does_not_refute(counted: tuple[int, int]) -> None:
    hits, total = counted
    low, high = wilson(hits, total)
    assert 0.0 <= low <= hits / total <= high <= 1.0
    for bound in (low, high):
        if 0 < bound < 1:
            assert score_test(bound, hits, total) == pytest.approx(Z95, rel=1e-6)
    assert wilson(total - hits, total) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    if hits < total:
        assert all(next_ > here for next_, here in zip(wilson(hits + 1, total), (low, high), strict=True) if here < 1)
    more = wilson(2 * hits, 2 * total)
    assert more[1] - more[0] < high - low


def test_a_rate() -> None:
    rate = Rate()
    assert rate.as_dict() == {"looping": 0, "total": 0, "rate": None, "low": 0.0, "high": 1.0}
    assert str(rate) == "none"
    for looping in [True] + [False] * 7:
        rate.add(looping)
    low, high = wilson(1, 8)
    assert rate.as_dict() == {"looping": 1, "total": 8, "rate": 0.125, "low": low, "high": high}
    assert str(rate) == "12.5% (1 of 8; 95 % interval 2.2% to 47.1%)"


def outcome(candidates: list[Candidate]) -> Outcome:
    merged = merge_equal(candidates)
    return Outcome(prompt=PROMPT, candidates=merged, result=make_pairs(PROMPT, merged, PairingSection()))


def greedy(one: Candidate) -> Candidate:
    return dataclasses.replace(one, decoding="greedy")


OUTCOMES = [
    outcome(  # two loops of which one twice, one clean: a loop pair
        [
            loop(0, 4, completion_tokens=100),
            loop(1, 4, completion_tokens=100),
            loop(2, 5, tail="Done", completion_tokens=19),
            greedy(candidate(3, "Four.", 4)),
        ]
    ),
    outcome(  # a score pair; one cut, one merged, one unscored
        [
            candidate(0, "Four.", 4, completion_tokens=10),
            candidate(1, "Fish.", finish_reason="length", score=scored(1, None), completion_tokens=10),
            candidate(2, "Four.", completion_tokens=10),
            greedy(candidate(3, "Er.", judge_error="no score", completion_tokens=10)),
        ]
    ),
    outcome([greedy(loop(0, 4, completion_tokens=10))]),  # skipped
    Outcome(prompt=PROMPT, candidates=[], result=Skip(status="failed", reason="not_answered")),
]


def test_figures_counted_by_hand() -> None:
    figures = Figures(missing=2)
    figures.broken_rows["no_prompt"] += 3
    for one in OUTCOMES:
        figures.add(one)
    greedy_low, greedy_high = wilson(1, 3)
    sampled_low, sampled_high = wilson(3, 6)
    found = figures.as_dict(judged=True)
    assert found == {
        "prompts": {"total": 6, "with_pairs": 2, "skipped": 1, "failed": 1, "missing": 2, "broken_rows": 3},
        "candidates": {"total": 9, "equal_merged": 2, "truncated_not_looping": 1},
        "loop_rate": {
            "greedy": {"looping": 1, "total": 3, "rate": 1 / 3, "low": greedy_low, "high": greedy_high},
            "sampled": {"looping": 3, "total": 6, "rate": 0.5, "low": sampled_low, "high": sampled_high},
        },
        "loops_by_kind": {"verbatim, recovered": 1, "verbatim, terminal": 3},
        "pairs": {"total": 2, "loop": 1, "score": 1},
        "skipped_by_reason": {"all_looping": 1},
        "failed_by_reason": {"not_answered": 1},
        "broken_rows_by_reason": {"no_prompt": 3},
        "tokens": {"prompt": 55, "completion": 274, "wasted_in_loops": 170},
        "judge": {
            "scored": 3,
            "unscored": 1,
            "methods": {"integer": 1, "logprobs": 2},
            "calls_saved_by_loops": 3,
        },
    }
    assert figures.as_dict(judged=False) == found | {"judge": None}


def test_each_prompt_is_in_one_place() -> None:
    figures = Figures()
    for one in OUTCOMES * 3:
        figures.add(one)
    prompts = figures.as_dict(judged=True)["prompts"]
    assert prompts["total"] == prompts["with_pairs"] + prompts["skipped"] + prompts["failed"] + prompts["missing"] == 12
