"""Where a sequence goes on like its last turn but for one number that counts on: a numba kernel over what `advance` has found.

"5. Add the sugar. 6. Add the sugar. 7. ..." is a run of which one symbol in each turn moves by the same step. The score of a
stretch asks for many turns of it, since rows of tables and code look alike there. One number a turn, and words beside it, is
what a loop does: where several numbers move together, something is calculated or listed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.grams import GRAM, at, numbered
from loopguard.loops.kernels import kernel
from loopguard.loops.repetition import NUMBER
from loopguard.loops.repetition import STATE as FIRST

# the run that is open is kept from NOW, the closed one with most letters from LONGEST: its period in symbols (0: none), its
# first symbol that equals the one a period before, one past its last, letters after the first turn, symbols there that are
# neither words nor numbers, numbers that moved between the first two turns (one that stands in several places is one); of the
# open run also the last of those numbers, how it moved, and whether the turn began between two of its places
PERIOD, BEGIN, END, LETTERS, MARKS, MOVING, NUMBER_NOW, STEP, WRAPPED, RUN = range(10)
NOW, LONGEST, STATE = FIRST, FIRST + RUN, FIRST + 2 * RUN
_UNCOUNTED = np.int64(-1)
"""Letters of a run before its third turn has ended: what it is made of is looked at then, once."""


@kernel
def _steady(i: int, period: int, begin: int, symbols: NDArray[np.uint64], values: NDArray[np.int64]) -> bool:
    """Whether symbol `i` goes on like the one a period before; a number must move as it did the last time."""
    if symbols[at(i)] != symbols[at(i - period)]:
        return False
    if values[at(i)] == 0 or i - period < begin:
        return True
    last = values[at(i - period)] >> 5
    return (values[at(i)] >> 5) - last == last - (values[at(i - 2 * period)] >> 5)  # type: ignore[no-any-return]


@kernel
def _first_turn(number: int, last: int, state: NDArray[np.int64]) -> None:
    """A number in the second turn that was `last` in the first: whether it moves, and whether it is one that moved before."""
    step = number - last
    if step == 0:
        return
    if state[NOW + MOVING] > 0 and step == state[NOW + STEP]:
        if number == state[NOW + NUMBER_NOW]:
            return
        if state[NOW + WRAPPED] == 0 and number == state[NOW + NUMBER_NOW] + step:
            state[NOW + WRAPPED], state[NOW + NUMBER_NOW] = 1, number
            return
    state[NOW + MOVING] += 1
    state[NOW + NUMBER_NOW], state[NOW + STEP] = number, step


@kernel
def count_on(
    low: int,
    high: int,
    symbols: NDArray[np.uint64],
    values: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    weights: NDArray[np.uint8],
    back: NDArray[np.int32],
    state: NDArray[np.int64],
) -> None:
    """Read the symbols from `low` to `high`, for which `advance` has written `back`; all before have been read with `state`."""
    period, begin = int(state[NOW + PERIOD]), int(state[NOW + BEGIN])
    letters, marks = state[NOW + LETTERS], state[NOW + MARKS]
    i = low
    while i < high:
        if period > 0 and not _steady(i, period, begin, symbols, values):
            if state[NOW + MOVING] == 1 and letters > state[LONGEST + LETTERS]:
                state[LONGEST + PERIOD], state[LONGEST + BEGIN], state[LONGEST + END] = period, begin, i
                state[LONGEST + LETTERS], state[LONGEST + MARKS], state[LONGEST + MOVING] = letters, marks, 1
            period = 0
        if period == 0:
            while i < high and (back[at(i)] == 0 or not numbered(values, i)):
                i += 1
            if i == high:
                break
            period, begin, letters, marks = int(back[at(i)]), i - GRAM + 1, _UNCOUNTED, 0
            state[NOW + MOVING] = state[NOW + WRAPPED] = 0
            for k in range(begin + period, i + 1):  # a turn shorter than the n-gram
                if not _steady(k, period, begin, symbols, values):
                    period = 0
                    break
        i += 1
        if period == 0 or i - begin < 2 * period:
            continue
        first = i - 1
        if letters == _UNCOUNTED:  # most break off before
            first, letters = begin, 0
        for k in range(first, i):
            if kinds[at(k)] == NUMBER:
                if k - period < begin:
                    _first_turn(values[at(k)] >> 5, values[at(k - period)] >> 5, state)
            elif weights[at(k)] > 0:
                letters += weights[at(k)]
            else:
                marks += kinds[at(k)] == 0
    state[NOW + PERIOD], state[NOW + BEGIN], state[NOW + END] = period, begin, high
    state[NOW + LETTERS], state[NOW + MARKS] = letters, marks
