"""Where a sequence of integers repeats: numba kernels. They know no text, no files and no threshold of taste.

`advance` reads a sequence from left to right and keeps, at every position, what a verdict on that prefix needs:

- for the n-gram that ends there, how far back it last came and how long the chain of its copies is (none further apart than a
  reach);
- runs: stretches in which every symbol equals the one a period before (verbatim loops, of any period);
- the stretch that earns most when symbols that have come back often earn their weight and new ones cost a multiple of
  theirs (near loops: the same few sentences, in any order, with any slots).

It is linear on every input: inside a run nothing is looked up, outside at most a fixed number of symbols is compared for each
position. Cutting the input into pieces changes nothing, so one code serves a whole text, a batch and a stream.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

GRAM = 5
"""Symbols in an n-gram: about 24 bytes of prose, as 5 or 6 tokens of a BPE are."""
NUMBER = 2
"""Kind of a symbol that is a number: all numbers share one symbol, `values >> 5` is what they say."""

WINDOW = 1 << 15
"""Symbols after which a generation of the tables is full: an n-gram is remembered for one to two windows (150 to 300 KB)."""
RUNS = 8
"""Runs kept for each sequence: those that waste most."""

# one integer each: what `advance` carries from one position to the next
(
    PERIOD, BEGIN, NOTED, HASH, LAST_HIT, LAST_NUMBER, SETTLED,
    SCORE, FROM, STEPS, BACKS, COUNTED, FRESH,
    BEST, BEST_FROM, BEST_TO, BEST_STEPS, BEST_BACKS, BEST_COUNTED, BEST_FRESH,
    COMPARED, STATE,
) = range(22)  # fmt: skip
"""SCORE..FRESH: the stretch that is open (score, first symbol, symbols that came back, the sum of their distances in bytes, numbers
that counted on, weight that was new); BEST..: the best stretch so far. COMPARED counts the work done."""

# columns of a run
RUN_BEGIN, RUN_END, RUN_PERIOD, RUN_WEIGHT, RUN_WASTED, RUN = range(6)

_ODD = np.uint64(0x9E3779B97F4A7C15)
_OUT = np.uint64(pow(0x9E3779B97F4A7C15, GRAM + 1, 1 << 64))


@njit(cache=True, nogil=True, inline="always")
def _slot(value: np.uint64, bits: int) -> int:
    return np.int64(((value ^ (value >> np.uint64(32))) * _ODD) >> np.uint64(64 - bits))


@njit(cache=True, nogil=True)
def _equal(symbols: NDArray[np.uint64], values: NDArray[np.int64], i: int, j: int, exact: bool) -> bool:
    for k in range(GRAM):
        if symbols[i - k] != symbols[j - k] or (exact and values[i - k] != values[j - k]):
            return False
    return True


@njit(cache=True, nogil=True)
def _seen(
    symbols: NDArray[np.uint64],
    values: NDArray[np.int64],
    i: int,
    value: np.uint64,
    exact: bool,
    table: NDArray[np.int32],
    bits: int,
    base: int,
    state: NDArray[np.int64],
) -> int:
    """The last position of the n-gram ending at `i`, or -1; and `i` takes its place. `table` holds two generations."""
    size = 1 << bits
    mask = size - 1
    age = i // WINDOW
    first = _slot(value, bits)
    found = -1
    for old in range(2):
        if age < old:
            break
        half = ((age - old) & 1) * size
        born = base + (age - old) * WINDOW
        slot = first
        while True:
            j = table[half + slot]
            if j < born or j >= born + WINDOW:
                break
            state[COMPARED] += 1
            if _equal(symbols, values, i, j - base, exact):
                found = j - base
                break
            slot = (slot + 1) & mask
        if old == 0:
            table[half + slot] = base + i
        if found >= 0:
            break
    return found


@njit(cache=True, nogil=True)
def _exact_hash(symbols: NDArray[np.uint64], values: NDArray[np.int64], i: int) -> np.uint64:
    value = np.uint64(0)
    for k in range(GRAM):
        value = (value + (symbols[i - k] ^ (np.uint64(values[i - k]) * _OUT))) * _ODD
    return value


@njit(cache=True, nogil=True)
def _note_run(
    symbols: NDArray[np.uint64],
    values: NDArray[np.int64],
    weights: NDArray[np.uint8],
    starts: NDArray[np.int64],
    end: int,
    state: NDArray[np.int64],
    runs: NDArray[np.int64],
) -> None:
    """Write the run that ends before `end`: widened to the left the first time, then only its end moves."""
    period, row = state[PERIOD], state[NOTED]
    if row < 0:
        begin = state[BEGIN]
        while begin > period and symbols[begin - 1] == symbols[begin - 1 - period] and values[begin - 1] == values[begin - 1 - period]:
            begin -= 1
            state[COMPARED] += 1
        state[BEGIN] = begin
        row = 0
        for other in range(RUNS):
            if runs[other, RUN_WASTED] < runs[row, RUN_WASTED]:
                row = other
        wasted = starts[end - 1] - starts[begin]
        if wasted <= runs[row, RUN_WASTED]:
            return
        state[NOTED] = row
        weight = np.int64(0)
        for k in range(begin - period, begin):
            weight += weights[k]
        runs[row, RUN_BEGIN], runs[row, RUN_PERIOD], runs[row, RUN_WEIGHT] = begin - period, period, weight
    runs[row, RUN_END] = end
    runs[row, RUN_WASTED] = starts[end - 1] - starts[runs[row, RUN_BEGIN] + period]


@njit(cache=True, nogil=True)
def _settle(
    t: int,
    newest: int,
    symbols: NDArray[np.uint64],
    values: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    weights: NDArray[np.uint8],
    starts: NDArray[np.int64],
    back: NDArray[np.int32],
    chain: NDArray[np.int32],
    rule: NDArray[np.int64],
    state: NDArray[np.int64],
) -> None:
    """What symbol `t` earns or costs, now that every n-gram that covers it has been seen: `rule` is (copies, cost, least cost)."""
    copies, far = np.int32(0), np.int32(0)
    for k in range(t, min(t + GRAM, newest + 1)):
        if chain[k] > copies:
            copies = chain[k]
        if far == 0:
            far = back[k]
    weight = np.int64(weights[t])
    fresh, counted, gain = np.int64(0), np.int64(0), np.int64(0)
    if kinds[t] == NUMBER:
        if copies == 0:
            fresh = rule[2]
        elif values[t] != values[t - far]:
            fresh = rule[2]
            if t >= 2 * far and kinds[t - 2 * far] == NUMBER and symbols[t - far] == symbols[t]:
                step = (values[t] >> 5) - (values[t - far] >> 5)
                change = step - ((values[t - far] >> 5) - (values[t - 2 * far] >> 5))
                change = abs(change)
                fresh = np.int64(0)
                while change > 0 and fresh < rule[2]:
                    fresh += 1
                    change >>= 1
                if fresh == 0:
                    counted = np.int64(1)
                    if copies >= rule[0]:
                        gain = weight
    elif copies == 0:
        if weight > 0:
            fresh = weight if weight == 1 else max(weight, rule[2])
    elif copies >= rule[0]:
        gain = weight
    if state[SCORE] <= 0:
        if gain == 0:
            return
        state[SCORE] = 0
        state[FROM] = t
        state[STEPS] = 0
        state[BACKS] = 0
        state[COUNTED] = 0
        state[FRESH] = 0
    state[SCORE] += gain - rule[1] * fresh
    state[COUNTED] += counted
    state[FRESH] += fresh
    if far > 0 and copies > 0:
        state[STEPS] += 1
        state[BACKS] += starts[t] - starts[t - far]
    if state[SCORE] > state[BEST]:
        for k in range(BEST, BEST_FRESH + 1):
            state[k] = state[k - BEST + SCORE] if k < BEST_TO else state[k - BEST + SCORE - 1]
        state[BEST_TO] = t + 1


@njit(cache=True, nogil=True)
def advance(
    low: int,
    high: int,
    symbols: NDArray[np.uint64],
    values: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    weights: NDArray[np.uint8],
    starts: NDArray[np.int64],
    back: NDArray[np.int32],
    chain: NDArray[np.int32],
    tables: NDArray[np.int32],
    bits: int,
    base: int,
    rule: NDArray[np.int64],
    state: NDArray[np.int64],
    runs: NDArray[np.int64],
) -> None:
    """Read the symbols from `low` to `high`; all before `low` have been read with the same `state`, `runs` and `tables`.

    `values` tells equal symbols apart that are numbers, `weights` is what a symbol earns, `starts` where it begins (bytes).
    `rule` is (copies before a symbol earns, cost of new weight, least cost of a new symbol, reach in bytes, wasted bytes
    from which a run is kept). `back` and `chain` are written: distance to the last copy of the n-gram, copies before it.
    """
    loose, exact = tables[0], tables[1]
    for i in range(low, high):
        number = kinds[i] == NUMBER
        if number:
            state[LAST_NUMBER] = i
        value = (np.uint64(state[HASH]) + symbols[i]) * _ODD
        if i >= GRAM:
            value -= symbols[i - GRAM] * _OUT
        state[HASH] = np.int64(value)
        period = state[PERIOD]
        far = np.int64(0)
        if period > 0 and symbols[i] == symbols[i - period] and values[i] == values[i - period]:
            far = period
            if (
                state[NOTED] >= 0 or (i + 1 - state[BEGIN] >= 2 * period and starts[i] - starts[state[BEGIN]] >= rule[4])
            ):
                _note_run(symbols, values, weights, starts, i + 1, state, runs)
        else:
            if period > 0:
                # inside a run nothing was entered: enter its end, so that what follows finds the nearest copy
                for k in range(max(state[BEGIN] + GRAM - 1, i - 2 * GRAM), i):
                    if k >= GRAM - 1:
                        _enter(symbols, values, k, loose, exact, bits, base, state)
                state[PERIOD] = 0
            if i >= GRAM - 1:
                j = _seen(symbols, values, i, value, False, loose, bits, base, state)
                if j >= 0:
                    far = i - j
                    if state[LAST_NUMBER] > i - GRAM:
                        same = _equal(symbols, values, i, j, True)
                        k = _seen(symbols, values, i, _exact_hash(symbols, values, i), True, exact, bits, base, state)
                        if same:
                            k = j
                        j = k
                    if j >= 0:
                        state[PERIOD] = i - j
                        state[BEGIN] = i - GRAM + 1
                        state[NOTED] = -1
        back[i] = far
        chain[i] = 0
        if far > 0:
            if starts[i] - starts[i - far] <= rule[3]:
                chain[i] = chain[i - far] + 1
            state[LAST_HIT] = i
        if state[SCORE] > 0 or i - state[LAST_HIT] < GRAM:
            while state[SETTLED] <= i - GRAM:
                _settle(state[SETTLED], i, symbols, values, kinds, weights, starts, back, chain, rule, state)
                state[SETTLED] += 1
        else:
            state[SETTLED] = i - GRAM + 1
