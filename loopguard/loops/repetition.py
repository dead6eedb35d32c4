"""Where a sequence of integers repeats: numba kernels. They know no text, no files and no threshold of taste.

`advance` reads a sequence from left to right and keeps, at every position, what a verdict on that prefix needs:

- for the n-gram that ends there, how far back it last came and how long the chain of its copies is (none further apart than a
  reach);
- runs: stretches in which every symbol equals the one a period before (verbatim loops, of any period);
- the stretch that earns most when symbols that have come back often earn their weight and new ones cost a multiple of
  theirs (near loops: the same few sentences, in any order, with any slots).

Linear on every input: inside a run nothing is looked up, outside at most a fixed number of symbols is compared at a position.
Cutting the input into pieces changes nothing, so one code serves a whole text, a batch and a stream.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.grams import (
    GRAM,
    ODD,
    OUT,
    WINDOW,
    at,
    enter,
    equal,
    exact_hash,
    nearest,
    numbered,
    place,
    slot_of,
)
from loopguard.loops.kernels import kernel

NUMBER = 2
"""Kind of a symbol that is a number: all numbers share one symbol, `values >> 5` is what they say."""
PIECE = 4
"""Kind of a symbol that is one letter of a run without spaces: new ones cost their weight only."""

RUNS = 8
"""Runs kept for each sequence: those that waste most."""

# what `advance` carries from one position to the next, one integer each. LAST_MUCH: where an n-gram last came back often,
# HITS: how many came back, SETTLED: symbols that have earned or cost, COMPARED: work done
PERIOD, BEGIN, NOTED, HASH, LAST_MUCH, HITS, SETTLED, COMPARED = range(8)
OPEN, BEST, STATE = 8, 20, 32
# the stretch that is open begins at OPEN, the best one so far at BEST: its score, its symbols (from, to), the first copy of its
# first symbol, symbols that came back and the bytes back to their last copies, numbers that counted on, weight that was
# new, and HITS then; what it is made of: letters, symbols without letters, letters that stand as symbols of their own
SCORE, FROM, TO, FIRST, STEPS, BACKS, COUNTED, FRESH, KNOWN, LETTERS, MARKS, PIECES, STRETCH = range(13)

# columns of a run
RUN_BEGIN, RUN_END, RUN_PERIOD, RUN_WEIGHT, RUN_WASTED, RUN_KNOWN, RUN = range(7)


@kernel
def _note_run(
    symbols: NDArray[np.uint64],
    values: NDArray[np.int64],
    weights: NDArray[np.uint8],
    starts: NDArray[np.int64],
    end: int,
    least: int,
    state: NDArray[np.int64],
    runs: NDArray[np.int64],
) -> None:
    """Keep the run that ends before `end` if it has shown a whole copy and wastes `least`. It is widened to the left once."""
    period, row = state[PERIOD], state[NOTED]
    if row < 0:
        begin = state[BEGIN]
        if period == 0 or end - begin <= period or starts[at(end - 1)] - starts[at(begin)] < least:
            return
        while (
            begin > period
            and symbols[at(begin - 1)] == symbols[at(begin - 1 - period)]
            and values[at(begin - 1)] == values[at(begin - 1 - period)]
        ):
            begin -= 1
            state[COMPARED] += 1
        state[BEGIN] = begin
        for other in range(RUNS):
            if row < 0 or runs[other, RUN_WASTED] < runs[row, RUN_WASTED]:
                row = other
        if starts[at(end - 1)] - starts[at(begin)] <= runs[row, RUN_WASTED]:
            return
        state[NOTED] = row
        weight = 0
        for k in range(begin - period, begin):
            if values[at(k)] == 0:
                weight += weights[at(k)]
        runs[row, RUN_BEGIN], runs[row, RUN_PERIOD], runs[row, RUN_WEIGHT] = begin - period, period, weight
    runs[row, RUN_END], runs[row, RUN_KNOWN] = end, state[HITS]
    runs[row, RUN_WASTED] = starts[at(end - 1)] - starts[at(runs[row, RUN_BEGIN] + period)]


@kernel
def first_copy(t: int, newest: int, back: NDArray[np.int32], chain: NDArray[np.int32]) -> int:
    """Where symbol `t` was said first, at most 64 copies back."""
    k = t
    while k < newest and chain[at(k)] == 0:
        k += 1
    shift = k - t
    for _ in range(64):
        if chain[at(k)] == 0:
            break
        k -= back[at(k)]
    return max(0, k - shift)


@kernel
def _look_for_first(newest: int, back: NDArray[np.int32], chain: NDArray[np.int32], state: NDArray[np.int64]) -> None:
    """Where the first symbol of the open stretch was said first, unless that is known."""
    if state[OPEN + FIRST] < 0:
        state[OPEN + FIRST] = first_copy(state[OPEN + FROM], newest, back, chain)


@kernel
def number_news(t: int, far: int, symbols: NDArray[np.uint64], values: NDArray[np.int64], most: int) -> int:
    """What a number says that its last two copies did not: bits by which its step changed, at most `most`. -1: none."""
    last = values[at(t - far)]
    if values[at(t)] == last:
        return 0
    if t < 2 * far or symbols[at(t - 2 * far)] != symbols[at(t)]:
        return most
    change = abs((values[at(t)] >> 5) - 2 * (last >> 5) + (values[at(t - 2 * far)] >> 5))
    if change == 0:
        return -1
    news = 0
    while change > 0 and news < most:
        change >>= 1
        news += 1
    return news


@kernel
def _keep(
    where: int, state: NDArray[np.int64], score: int, to: int, steps: int, backs: int, counted: int, news: int, known: int,
    letters: int, marks: int, pieces: int,
) -> None:  # fmt: skip
    """Write the open stretch to `where`: OPEN, or BEST where it is the best one so far."""
    state[where + SCORE], state[where + FROM], state[where + TO], state[where + FIRST] = (
        score,
        state[OPEN + FROM],
        to,
        state[OPEN + FIRST],
    )
    state[where + STEPS], state[where + BACKS], state[where + COUNTED], state[where + FRESH] = (
        steps,
        backs,
        counted,
        news,
    )
    state[where + KNOWN], state[where + LETTERS], state[where + MARKS], state[where + PIECES] = (
        known,
        letters,
        marks,
        pieces,
    )


@kernel
def _all_new(
    i: int, high: int, hashed: np.uint64, symbols: NDArray[np.uint64], grams: NDArray[np.uint64], back: NDArray[np.int32],
    chain: NDArray[np.int32], again: NDArray[np.uint8], loose: NDArray[np.int32], bits: int, base: int, born: int, half: int,
) -> tuple[int, np.uint64]:  # fmt: skip
    """Pass over n-grams whose slots are free, which therefore are new: where that ends, and the hash of the one before."""
    other = half ^ (1 << bits)
    while i < high:
        new = (hashed + symbols[at(i)]) * ODD - symbols[at(i - GRAM)] * OUT
        slot = slot_of(new, bits)
        if loose[at(half | slot)] >= born or (born > base and loose[at(other | slot)] >= born - WINDOW):
            break
        hashed = new
        loose[at(half | slot)] = base + i
        grams[at(i)], back[at(i)], chain[at(i)], again[at(i)] = hashed, 0, 0, 0
        i += 1
    return i, hashed


@kernel
def advance(
    low: int,
    high: int,
    symbols: NDArray[np.uint64],
    values: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    weights: NDArray[np.uint8],
    starts: NDArray[np.int64],
    grams: NDArray[np.uint64],
    back: NDArray[np.int32],
    chain: NDArray[np.int32],
    again: NDArray[np.uint8],
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
    from which a run is kept). Written for the n-gram that ends at each symbol: `grams`, its hash, `back`, the distance to
    its last copy, `chain`, the copies before it, `again`, whether it came back.
    """
    loose, exact = tables[0], tables[1]
    enough, cost, least, reach = rule[0], rule[1], rule[2], rule[3]
    mask = (1 << bits) - 1
    hashed, period, last_much = np.uint64(state[HASH]), state[PERIOD], state[LAST_MUCH]
    hits, settled, compared = state[HITS], state[SETTLED], 0
    score, steps, backs, counted = state[OPEN + SCORE], state[OPEN + STEPS], state[OPEN + BACKS], state[OPEN + COUNTED]
    news, to, known, best = state[OPEN + FRESH], state[OPEN + TO], state[OPEN + KNOWN], state[BEST + SCORE]
    letters, marks, pieces = state[OPEN + LETTERS], state[OPEN + MARKS], state[OPEN + PIECES]
    rising, numbers, numbers_at = False, np.uint64(0), -2
    age = low // WINDOW
    born, half, turn = base + age * WINDOW, (age & 1) << bits, (age + 1) * WINDOW
    i = low - 1
    while i + 1 < high:
        i += 1
        if period == 0 and score <= 0 and i - last_much >= GRAM and i >= GRAM:
            # where nothing comes back, as below, but with nothing to decide
            i, hashed = _all_new(
                i, min(high, turn), hashed, symbols, grams, back, chain, again, loose, bits, base, born, half
            )
            if i == high:
                break
        if i == turn:
            born, half, turn = born + WINDOW, half ^ (1 << bits), turn + WINDOW
        symbol = symbols[at(i)]
        hashed = (hashed + symbol) * ODD
        if i >= GRAM:
            hashed -= symbols[at(i - GRAM)] * OUT
        grams[at(i)] = hashed
        far = 0
        if period > 0 and symbol == symbols[at(i - period)] and values[at(i)] == values[at(i - period)]:
            far = period
        else:
            if period > 0:
                # inside a run nothing was entered: enter its last period, so that what follows finds the nearest copy
                begin = state[BEGIN]
                wasted = starts[at(i - 1)] - starts[at(begin)]
                if state[NOTED] >= 0 or (i - begin > period and wasted >= rule[4]):  # else there is nothing to note
                    state[HITS] = hits
                    _note_run(symbols, values, weights, starts, i, rule[4], state, runs)
                passed = max(state[BEGIN] + GRAM, i - period)
                if passed < i:
                    enter(symbols, values, grams, passed, i, tables, bits, base)
                    compared += i - passed
                period = 0
                state[PERIOD], state[NOTED] = 0, -1
            if i >= GRAM - 1:
                # the newest generation is looked through here, the same as in `place`, without the call
                j = -1
                slot = half | slot_of(hashed, bits)
                while loose[at(slot)] >= born:
                    compared += 1
                    j = int(loose[at(slot)]) - base
                    if equal(grams, values, i, j, False):
                        break
                    j = -1
                    slot = half | ((slot + 1) & mask)
                loose[at(slot)] = base + i
                if j < 0 and born > base:
                    _, j, looked = place(grams, values, i, hashed, False, loose, bits, base, i // WINDOW - 1)
                    compared += looked
                if j >= 0:
                    far = i - j
                    k = j
                    if numbered(values, i):
                        numbers = exact_hash(symbols, values, i, numbers, numbers_at == i - 1 and i >= GRAM)
                        numbers_at = i
                        k = nearest(grams, values, i, j, numbers, exact, bits, base)
                    if k >= 0:
                        period = i - k
                        state[PERIOD], state[BEGIN], state[NOTED] = period, i - GRAM + 1, -1
        back[at(i)] = far
        again[at(i)] = 0
        copies = 0
        if far > 0:
            if starts[at(i)] - starts[at(i - far)] <= reach:
                copies = int(chain[at(i - far)]) + 1
            hits += 1
            again[at(i - far)] = copies > 0
            if copies >= enough:
                last_much = i
        chain[at(i)] = copies
        if score <= 0 and i - last_much >= GRAM:
            continue
        # what came back lately has now been seen by every n-gram that covers it
        settled = max(settled, i - 2 * GRAM + 2)
        while settled <= i - GRAM + 1:
            t = settled
            settled += 1
            weight = int(weights[at(t)])
            if score <= 0 and weight == 0:  # nothing can begin with it
                continue
            copies = int(chain[at(t + GRAM - 1)])
            if copies < enough:  # else the others do not matter
                copies = max(
                    copies, int(chain[at(t)]), int(chain[at(t + 1)]), int(chain[at(t + 2)]), int(chain[at(t + 3)])
                )
            far, k = int(back[at(t)]), t
            while far == 0 and k < i:
                k += 1
                far = int(back[at(k)])
            gain, fresh, counts = 0, 0, 0
            if copies == 0:
                if kinds[at(t)] == NUMBER:
                    fresh = least
                elif weight > 0:
                    fresh = weight if kinds[at(t)] == PIECE else max(weight, least)
            elif kinds[at(t)] == NUMBER:
                fresh = number_news(t, far, symbols, values, least)
                if fresh < 0:
                    fresh, counts = 0, 1
                    gain = weight if copies >= enough else 0
            elif copies >= enough:
                gain = weight
            if score <= 0:
                if gain == 0:
                    continue
                score, steps, backs, counted, news = 0, 0, 0, 0, 0
                letters, marks, pieces = 0, 0, 0
                # its first copy is looked for when it is asked for: most stretches are short
                state[OPEN + FROM], state[OPEN + FIRST] = t, -1
            if fresh > 0 and rising:
                _look_for_first(i, back, chain, state)
                _keep(BEST, state, score, to, steps, backs, counted, news, known, letters, marks, pieces)
                rising = False
            score += gain - cost * fresh
            counted += counts
            news += fresh
            if kinds[at(t)] == NUMBER or weight == 0:
                marks += 1
            else:
                letters += weight
                pieces += kinds[at(t)] == PIECE
            if copies > 0:
                to, known = t + 1, hits
                steps += 1
                backs += starts[at(t)] - starts[at(t - far)]
            if score >= best and score > 0:
                best, rising = score, True
    state[HASH], state[LAST_MUCH], state[HITS] = np.int64(hashed), last_much, hits
    state[SETTLED], state[COMPARED] = settled, state[COMPARED] + compared
    if score > 0:
        _look_for_first(high - 1, back, chain, state)
    if rising:
        _keep(BEST, state, score, to, steps, backs, counted, news, known, letters, marks, pieces)
    _keep(OPEN, state, score, to, steps, backs, counted, news, known, letters, marks, pieces)
    _note_run(symbols, values, weights, starts, high, rule[4], state, runs)
