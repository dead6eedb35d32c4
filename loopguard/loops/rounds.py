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
    cost, least, score, t = rule[1], rule[2], state[SCORE], int(state[SETTLED])
    to, steps, backs = state[TO], state[STEPS], state[BACKS]
    letters, marks, pieces = state[LETTERS], state[MARKS], state[PIECES]
    # the last n-gram of those that cover `t` that came before, and the last that came often enough
    known, often, seen = t - 1, t - 1, t
    while t <= count - GRAM:
        if score <= 0 and often < t:
            k = max(seen, t)
            while k < count and chain[at(k)] < _ENOUGH:
                k += 1
            t = max(t, k - GRAM + 1)
            if k == count:
                break
            seen = max(seen, t)
        while seen < t + GRAM:
            if chain[at(seen)] > 0:
                known = seen
                if chain[at(seen)] >= _ENOUGH:
                    often = seen
            seen += 1
        weight, kind = int(weights[at(t)]), kinds[at(t)]
        gain, fresh, far = 0, 0, 0
        if known >= t:
            k = t
            while back[at(k)] == 0:
                k += 1
            far = int(back[at(k)])
            if kind != NUMBER:
                gain = weight if often >= t else 0
            else:
                fresh = number_news(t, far, symbols, values, least)
                if fresh < 0:
                    fresh, gain = 0, (weight if often >= t else 0)
        elif kind == NUMBER:
            fresh = least
        elif weight > 0:
            fresh = weight if kind == PIECE else max(weight, least)
        if score <= 0 and gain > 0:
            score, steps, backs, letters, marks, pieces = 0, 0, 0, 0, 0, 0
            state[FROM], state[FIRST] = t, -1
        if score > 0 or gain > 0:
            score += gain - cost * fresh
            if kind == NUMBER or weight == 0:
                marks += 1
            else:
                letters += weight
                pieces += kind == PIECE
            if known >= t:
                to = t + 1
                steps += 1
                backs += starts[at(t)] - starts[at(t - far)]
        t += 1
    if score > 0 and state[FIRST] < 0:
        state[FIRST] = first_copy(state[FROM], count - 1, back, chain)
    state[SCORE], state[SETTLED], state[TO], state[STEPS], state[BACKS] = score, t, to, steps, backs
    state[LETTERS], state[MARKS], state[PIECES] = letters, marks, pieces
