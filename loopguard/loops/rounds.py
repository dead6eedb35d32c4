"""Where a text ends in going round: what has been said twice before, in any order, and hardly anything new. A numba kernel over
what `advance` has found.

A stretch of `advance` earns from a symbol's fifth copy on, for refrains and recaps come back three times. Reasoning that goes
round in a few changing sentences ("Plan A costs less. Wait, ...") says each of them in every second or third round only, and is
cut off before much has come five times. So the end of a text is weighed once more, earning from the third copy on; `judge` asks
more of it, and takes nothing but prose. Inside a text people go on after such a stretch: lesson plans, itineraries, patents.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.grams import GRAM, at
from loopguard.loops.kernels import kernel
from loopguard.loops.lists import STATE as FIRST_OF_ROUNDS
from loopguard.loops.repetition import NUMBER, PIECE, first_copy, number_news

# the stretch that is open: its score, its symbols (from, to), the first copy of its first symbol, symbols that came back and the
# bytes back to their last copies, and what it is made of: letters, symbols without letters, letters that stand as symbols of
# their own; and how many symbols have earned or cost
SCORE, FROM, TO, FIRST, STEPS, BACKS, LETTERS, MARKS, PIECES, SETTLED, STATE = range(
    FIRST_OF_ROUNDS, FIRST_OF_ROUNDS + 11
)

_ENOUGH = 2
"""Copies before a symbol that comes back earns."""


@kernel
def go_round(
    count: int,
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
    """Weigh the symbols before `count` that every n-gram has seen and that were not weighed before with this `state`."""
    cost, least, score = rule[1], rule[2], state[SCORE]
    t = state[SETTLED]
    while t <= count - GRAM:
        if score <= 0:
            k = t
            while k < count and chain[at(k)] < _ENOUGH:
                k += 1
            t = max(t, k - GRAM + 1)
            if k == count:
                break
        copies, far = np.int32(0), np.int32(0)
        for k in range(t, t + GRAM):
            copies = max(copies, chain[at(k)])
            if far == 0:
                far = back[at(k)]
        weight, kind = int(weights[at(t)]), kinds[at(t)]
        gain, fresh = 0, 0
        if copies == 0:
            if kind == NUMBER:
                fresh = least
            elif weight > 0:
                fresh = weight if kind == PIECE else max(weight, least)
        elif kind == NUMBER:
            fresh = number_news(t, int(far), symbols, values, least)
            if fresh < 0:
                fresh, gain = 0, (weight if copies >= _ENOUGH else 0)
        elif copies >= _ENOUGH:
            gain = weight
        if score <= 0 and gain > 0:
            score = 0
            state[FROM], state[FIRST], state[STEPS], state[BACKS] = t, -1, 0, 0
            state[LETTERS], state[MARKS], state[PIECES] = 0, 0, 0
        if score > 0 or gain > 0:
            score += gain - cost * fresh
            if kind == NUMBER or weight == 0:
                state[MARKS] += 1
            else:
                state[LETTERS] += weight
                state[PIECES] += kind == PIECE
            if copies > 0:
                state[TO] = t + 1
                state[STEPS] += 1
                state[BACKS] += starts[at(t)] - starts[at(t - far)]
        t += 1
    if score > 0 and state[FIRST] < 0:
        state[FIRST] = first_copy(state[FROM], count - 1, back, chain)
    state[SCORE], state[SETTLED] = score, t
