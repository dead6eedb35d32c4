"""The kernels against slow, obvious Python; and how much work they do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.loops.batch import Workspace, fresh_state, table_bits
from loopguard.loops.grams import GRAM
from loopguard.loops.repetition import (
    COMPARED,
    RUN_BEGIN,
    RUN_END,
    RUN_PERIOD,
    RUN_WASTED,
    advance,
)

RULE = np.array([4, 6, 4, 1 << 40, 1], np.int64)
Measured = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def measure(symbols: list[int] | np.ndarray, pieces: int = 1) -> Measured:
    """Distances, chains, runs and state of a sequence of symbols, read in one or more pieces."""
    size = len(symbols)
    room = Workspace(size)
    room.symbols[:size] = np.asarray(symbols, np.uint64)
    room.values[:] = 0
    room.kinds[:] = 1
    room.weights[:] = 1
    room.starts[:] = np.arange(size + 1)
    state, runs = fresh_state()
    cuts = [size * k // pieces for k in range(pieces + 1)]
    for low, high in itertools.pairwise(cuts):
        advance(low, high, *room.arrays(), table_bits(size), 0, RULE, state, runs)
    return room.back[:size].copy(), room.chain[:size].copy(), runs, state


def longest_back(symbols: list[int], i: int) -> set[int]:
    """Every distance at which the n-gram ending at `i` has come before."""
    gram = symbols[i - GRAM + 1 : i + 1]
    return {i - j for j in range(GRAM - 1, i) if symbols[j - GRAM + 1 : j + 1] == gram} if i >= GRAM - 1 else set()


def maximal_runs(symbols: list[int]) -> set[tuple[int, int, int]]:
    """(begin, end, period) of every stretch of at least three smallest periods that cannot be widened."""
    found = set()
    size = len(symbols)
    for period in range(1, size // 3 + 1):
        i = 0
        while i + period < size:
            end = i + period
            while end < size and symbols[end] == symbols[end - period]:
                end += 1
            if end - i >= 3 * period:
                smallest = next(
                    p for p in range(1, period + 1) if all(symbols[k] == symbols[k + p] for k in range(i, end - p))
                )
                if smallest == period:
                    found.add((i, end, period))
            i = max(i + 1, end - period + 1)
    return found


texts = st.lists(st.integers(0, 2), max_size=120)
tandem = st.tuples(texts, st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(3, 12), texts)


@given(texts)
@settings(max_examples=300, deadline=None)
def test_a_repeated_gram_is_found_and_a_new_one_is_not(symbols: list[int]) -> None:
    back, chain, _, _ = measure(symbols)
    for i in range(len(symbols)):
        known = longest_back(symbols, i)
        assert (back[i] > 0) == bool(known)
        assert back[i] == 0 or back[i] in known
        assert chain[i] == (chain[i - back[i]] + 1 if back[i] else 0)


@given(texts)
@settings(max_examples=300, deadline=None)
def test_runs_are_periodic_and_cannot_be_widened(symbols: list[int]) -> None:
    for row in measure(symbols)[2]:
        begin, end, period = int(row[RUN_BEGIN]), int(row[RUN_END]), int(row[RUN_PERIOD])
        if not period:
            continue
        assert all(symbols[k] == symbols[k + period] for k in range(begin, end - period))
        assert begin == 0 or symbols[begin - 1] != symbols[begin - 1 + period]
        assert end == len(symbols) or symbols[end] != symbols[end - period]
        assert row[RUN_WASTED] == end - 1 - begin - period


@given(tandem)
@settings(max_examples=300, deadline=None)
def test_the_longest_run_is_found_with_its_smallest_period(parts: tuple[list[int], list[int], int, list[int]]) -> None:
    before, unit, copies, after = parts
    symbols = [s + 10 for s in before] + unit * copies + [s + 20 for s in after]
    planted = max(
        (run for run in maximal_runs(symbols) if run[0] <= len(before) and run[1] >= len(before) + len(unit) * copies),
        key=lambda run: run[1] - run[0],
    )
    if planted[1] - planted[0] < planted[2] + 2 * GRAM:
        return
    begin, _, period = planted
    grams = {tuple(symbols[k : k + GRAM]) for k in range(begin, begin + period)}
    if len(grams) < period:
        return  # the nearest copy of an n-gram may be nearer than a turn: runs of the turn's own pieces take turns
    rows = {(int(r[RUN_BEGIN]), int(r[RUN_END]), int(r[RUN_PERIOD])) for r in measure(symbols)[2]}
    assert planted in rows


@given(texts, st.integers(1, 9))
@settings(max_examples=200, deadline=None)
def test_pieces_change_nothing(symbols: list[int], pieces: int) -> None:
    for whole, cut in zip(measure(symbols)[:3], measure(symbols, pieces)[:3], strict=True):
        assert np.array_equal(whole, cut)


def fibonacci(size: int) -> np.ndarray:
    one, two = [0], [1]
    while len(two) < size:
        one, two = two, two + one
    return np.array(two[:size])


def de_bruijn(order: int) -> np.ndarray:
    """A binary sequence in which every word of this length comes exactly once."""
    word, out = [0] * (order + 1), []

    def extend(t: int, p: int) -> None:
        if t > order:
            if order % p == 0:
                out.extend(word[1 : p + 1])
            return
        word[t] = word[t - p]
        extend(t + 1, p)
        for bit in range(word[t - p] + 1, 2):
            word[t] = bit
            extend(t + 1, t)

    extend(1, 1)
    return np.array(out)


SIZE = 1 << 16
ADVERSARIAL = {
    "all equal": np.zeros(SIZE, np.int64),
    "Fibonacci": fibonacci(SIZE),
    "de Bruijn": de_bruijn(16),
    "random bits": np.random.default_rng(0).integers(0, 2, SIZE),
    "random": np.random.default_rng(0).integers(0, 50_000, SIZE),
    "squares": np.concatenate([np.tile(np.arange(k), 2) for k in range(1, 250)])[:SIZE],
    "long periods": np.tile(np.random.default_rng(0).integers(0, 9, 5000), 13)[:SIZE],
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_work_is_linear(name: str) -> None:
    """Slots looked at and symbols stepped over: at most a few for each symbol, and no more for each when there are more."""
    symbols = ADVERSARIAL[name]
    whole = measure(symbols)[3][COMPARED] / len(symbols)
    quarter = measure(symbols[: len(symbols) // 4])[3][COMPARED] / (len(symbols) // 4)
    assert whole < 4
    assert whole < 1.5 * quarter + 1
