"""When what repeats is a loop: the thresholds applied to what `repetition.advance` has measured.

One kernel, `judge`, reads the state at any position; so a stream, a batch and a single text give the same verdict on the same
prefix. The thresholds are the fields of `DetectorSettings`, in their order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops import counting, few_words, lists, ordinals, rounds, sentences
from loopguard.loops.grams import GRAM, ZERO
from loopguard.loops.kernels import kernel
from loopguard.loops.repetition import (
    BACKS,
    BEST,
    COUNTED,
    FIRST,
    FRESH,
    FROM,
    HITS,
    KNOWN,
    LETTERS,
    MARKS,
    OPEN,
    PIECES,
    RUN_BEGIN,
    RUN_END,
    RUN_KNOWN,
    RUN_PERIOD,
    RUN_WEIGHT,
    RUNS,
    SCORE,
    STEPS,
    TO,
)

LOOPS = RUNS + 10
"""Most loops a verdict can name: the runs kept, the best stretch, the open one, the same of runs that count on in numbers and of
those in words, a list, an end that goes round, sentences, few words."""
KIND, START, END, PERIOD, TERMINAL, RULE, LOOP = range(7)
"""Columns of a loop: kind, first byte, one past the last byte, bytes of a copy, ends the text, which rule found it."""
VERBATIM, COUNTER, NEAR = 0, 1, 2
RUN_OPEN, RUN_SHORT, RUN_LONG, STRETCH_RULE, STRETCH_OPEN, COUNTING, LIST = range(7)
"""Rules: a run at the end, a run of a short period, a run of a long one, a stretch that earned enough, one at the end, a run
that counts on, a list."""

_GAP = 3 * GRAM
"""N-grams in a row that need not come back inside a first copy: those that hold one slot, and a few more."""
_PIPE, _PLUS = 0x7C, 0x2B
_BARE = 4.0
"""Score over letters from which it is numbers that earn: 1 2 3 4 5 as in sieves and tables of primes."""
_SAID = 0.8
"""Share of a turn that must come back for it to be the loop's first."""
_AFTER = 300
"""Bytes that may follow sentences that come back: an answer in a line or two, at last."""
_PIECES = 0.3
"""Share of symbols that are single letters of runs without spaces, from which a stretch is no prose: bases, base64."""


@kernel
def _in_table(data: NDArray[np.uint8], begin: int, end: int) -> bool:
    """Padding or a rule inside a table row: one blank or dash again and again, with a border beside it."""
    if data[begin] != 0x20 and data[begin] != 0x2D and data[begin] != 0x3D:
        return False
    for i in range(max(0, begin - 2), min(data.size, end + 2)):
        if begin <= i < end:
            continue
        if data[i] == _PIPE or data[i] == _PLUS:
            return True
    return False


@kernel
def _run_rule(
    data: NDArray[np.uint8], begin: int, end: int, period: int, weight: int, size: int, limits: NDArray[np.float64]
) -> tuple[int, float]:
    """The rule that speaks loudest for a loop, and how loud: what is measured over what is needed. Lengths in bytes."""
    min_copies, min_wasted, short_period, short_wasted, open_copies, open_wasted, open_letters, gap = limits[:8]
    few_copies, few_wasted = limits[19:21]
    wasted, copies = np.float64(end - begin - period), (end - begin) / period
    rule, loud = RUN_LONG, 0.0
    if copies >= min_copies:
        if weight == 0:
            needed = short_wasted if period <= short_period else 1.5 * min_wasted
            if period == 1 and _in_table(data, begin, end):
                needed *= 10
        else:
            needed = short_wasted if period <= short_period else min_wasted
        loud = wasted / needed
    if copies >= few_copies and period > short_period:
        loud = max(loud, wasted / few_wasted)
    if loud > 0 and (weight == 0 or period <= short_period):
        rule = RUN_SHORT
    if weight > 0 and size - end <= gap and copies >= open_copies:
        at_end = min(wasted / open_wasted, weight * (copies - 1) / open_letters)
        if loud < 1 and at_end > loud:
            rule = RUN_OPEN
        loud = max(loud, at_end)
    return rule, loud


@kernel
def _needed(at: int, plain: bool, limits: NDArray[np.float64], state: NDArray[np.int64]) -> float:
    """The score from which the stretch at BEST or OPEN is a loop: less for prose, more for rows that each say something new.

    `plain` is False for token ids, of which it is not known what they are.
    """
    plain_marks, plain_yield, open_marks, open_yield, plain_factor, dense_marks, dense_yield, dense_factor = limits[
        11:19
    ]
    needed, few, enough = np.float64(limits[8]), plain_marks, plain_yield
    if at == OPEN:
        needed, few, enough = np.float64(limits[9]), open_marks, open_yield
    if not plain:
        return needed
    symbols = max(1, state[at + TO] - state[at + FROM])
    marks, gained = state[at + MARKS] / symbols, state[at + SCORE] / max(1, state[at + LETTERS])
    if marks > dense_marks and (gained < dense_yield or gained > _BARE):
        needed *= dense_factor
    elif marks < few and gained >= enough and state[at + PIECES] < _PIECES * symbols:
        needed *= plain_factor
    return needed


@kernel
def _ends_there(count: int, size: int, end: int, last: int, known: int, gap: float, state: NDArray[np.int64]) -> bool:
    """The text ends in the loop: hardly anything follows, or what follows has nearly all been said before."""
    return size - end <= gap or (count > last and state[HITS] - known >= 0.8 * (count - last))


@kernel
def judge(
    count: int,
    size: int,
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    again: NDArray[np.uint8],
    limits: NDArray[np.float64],
    state: NDArray[np.int64],
    runs: NDArray[np.int64],
    loops: NDArray[np.int64],
) -> tuple[int, float]:
    """Write the loops of the text read so far, runs first. Returns how many, and how loud the loudest rule speaks: 1 is a loop.

    `count` symbols have been read, `size` bytes; `starts[count]` is where the next symbol begins. `data` is empty for
    token ids: then runs are not widened to the byte.
    """
    found, loudest = ZERO, 0.0
    for row in range(RUNS):
        period_symbols = runs[row, RUN_PERIOD]
        if period_symbols == 0:
            continue
        begin, end = starts[runs[row, RUN_BEGIN]], starts[runs[row, RUN_END]]
        period = starts[runs[row, RUN_BEGIN] + period_symbols] - begin
        if data.size > 0:
            least = max(0, begin - 128)
            while begin > least and data[begin - 1] == data[begin - 1 + period]:
                begin -= 1
            while end < size and data[end] == data[end - period]:
                end += 1
        rule, loud = _run_rule(data, begin, end, period, runs[row, RUN_WEIGHT], size, limits)
        loudest = max(loudest, loud)
        if loud >= 1:
            loops[found, KIND], loops[found, RULE] = VERBATIM, rule
            loops[found, START], loops[found, END], loops[found, PERIOD] = begin, end, period
            loops[found, TERMINAL] = _ends_there(
                count, size, end, runs[row, RUN_END], runs[row, RUN_KNOWN], limits[7], state
            )
            found += 1
    for at in (BEST, OPEN):
        loudest = max(loudest, state[at + SCORE] / _needed(at, data.size > 0, limits, state))
    found = _stretches(found, count, size, data.size > 0, starts, again, limits, state, loops)
    for at in (counting.NOW, counting.LONGEST, ordinals.NOW, ordinals.LONGEST):
        found, loud = _counting(found, at, size, starts, limits, state, loops)
        loudest = max(loudest, loud)
    loudest = max(loudest, state[lists.BEST + lists.SCORE] / limits[26])
    found = _list(found, size, limits, state, loops)
    found, loud = _round(found, size, starts, again, limits, state, loops)
    loudest = max(loudest, loud)
    if size - state[sentences.TO] <= _AFTER:
        loudest = max(loudest, state[sentences.TOP] / limits[30])
        found = _sentences(found, size, limits, state, loops)
    found, loud = _few_words(found, count, size, starts, limits, state, loops)
    return found, max(loudest, loud)


@kernel
def _said(found: int, begin: int, end: int, loops: NDArray[np.int64]) -> int:
    """Bytes from `begin` to `end` that the loops found before say."""
    said = np.int64(0)
    for k in range(found):
        said += max(0, min(end, loops[k, END]) - max(begin, loops[k, START]))
    return said  # type: ignore[return-value]


@kernel
def _counting(
    found: int, at: int, size: int, starts: NDArray[np.int64], limits: NDArray[np.float64], state: NDArray[np.int64],
    loops: NDArray[np.int64],
) -> tuple[int, float]:  # fmt: skip
    """Add the run at a NOW or LONGEST that goes on but for one number, or one word that counts; and how loud it speaks."""
    copies, letters, open_copies, open_letters, marks = limits[21:26]
    period = state[at + counting.PERIOD]
    if period == 0 or state[at + counting.MOVING] != 1:
        return found, 0.0
    if state[at + counting.LETTERS] < marks * state[at + counting.MARKS]:
        return found, 0.0
    begin, to = state[at + counting.BEGIN] - period, state[at + counting.END]
    turns, loud = (to - begin) / period, 0.0
    if turns >= copies:
        loud = state[at + counting.LETTERS] / letters
    start, end = starts[begin], starts[to]
    ends = size - end <= limits[7]
    if ends and turns >= open_copies:
        loud = max(loud, state[at + counting.LETTERS] / open_letters)
    if loud >= 1 and _said(found, start, end, loops) < limits[10] * (end - start):
        loops[found, KIND], loops[found, RULE], loops[found, TERMINAL] = COUNTER, COUNTING, ends
        loops[found, START], loops[found, END] = start, end
        loops[found, PERIOD] = end - starts[to - period]
        found += 1
    return found, loud


@kernel
def _list(
    found: int, size: int, limits: NDArray[np.float64], state: NDArray[np.int64], loops: NDArray[np.int64]
) -> int:
    """Add the list that goes on with what it has listed before."""
    begin, end = state[lists.BEST + lists.FROM], state[lists.BEST + lists.TO]
    if state[lists.BEST + lists.SCORE] < limits[26] or _said(found, begin, end, loops) >= limits[10] * (end - begin):
        return found
    items = state[lists.BEST + lists.AGAIN]
    loops[found, KIND], loops[found, RULE] = NEAR, LIST
    loops[found, START], loops[found, END] = state[lists.BEST + lists.FIRST], end
    loops[found, PERIOD] = max(1, state[lists.BEST + lists.BACKS] // items)
    loops[found, TERMINAL] = size - end <= limits[7] + (end - begin) // items
    return found + 1


@kernel
def _round(
    found: int, size: int, starts: NDArray[np.int64], again: NDArray[np.uint8], limits: NDArray[np.float64],
    state: NDArray[np.int64], loops: NDArray[np.int64],
) -> tuple[int, float]:  # fmt: skip
    """Add the prose that the text ends in and that says for the third time what it says; and how loud it speaks."""
    needed, marks, least = limits[27:30]
    symbols = state[rounds.TO] - state[rounds.FROM]
    if state[rounds.SCORE] <= 0 or state[rounds.MARKS] >= marks * symbols or state[rounds.PIECES] >= _PIECES * symbols:
        return found, 0.0
    if state[rounds.SCORE] < least * state[rounds.LETTERS]:
        return found, 0.0
    core, end = starts[state[rounds.FROM]], starts[state[rounds.TO]]
    loud = state[rounds.SCORE] / needed
    if loud < 1:
        return found, loud
    period = max(1, state[rounds.BACKS] // max(1, state[rounds.STEPS]))
    start = starts[_onset(state[rounds.FIRST], 2 * period, starts, again)]
    if _said(found, core, end, loops) < limits[10] * (end - core):
        loops[found, KIND], loops[found, RULE], loops[found, TERMINAL] = NEAR, STRETCH_OPEN, True
        loops[found, START], loops[found, END], loops[found, PERIOD] = start, end, period
        return found + 1, loud
    for k in range(found):  # the same seen from its fifth copies on
        if loops[k, RULE] == STRETCH_OPEN and loops[k, END] > core:
            loops[k, START] = min(loops[k, START], start)
    return found, loud


@kernel
def _sentences(
    found: int, size: int, limits: NDArray[np.float64], state: NDArray[np.int64], loops: NDArray[np.int64]
) -> int:
    """Add the sentences that come back near the end of the text."""
    begin, end = state[sentences.FROM], state[sentences.TO]
    if state[sentences.TOP] < limits[30] or _said(found, begin, end, loops) >= limits[10] * (end - begin):
        return found
    loops[found, KIND], loops[found, RULE] = NEAR, STRETCH_OPEN
    loops[found, START], loops[found, END] = state[sentences.FIRST], end
    loops[found, PERIOD] = max(1, state[sentences.BACKS] // state[sentences.AGAIN])
    loops[found, TERMINAL] = size - end <= 2 * limits[7]
    return found + 1


@kernel
def _few_words(
    found: int, count: int, size: int, starts: NDArray[np.int64], limits: NDArray[np.float64], state: NDArray[np.int64],
    loops: NDArray[np.int64],
) -> tuple[int, float]:  # fmt: skip
    """Add the prose that goes on with the same few words, the open stretch or else the best one; and how loud it speaks."""
    loudest, at, ends = 0.0, few_words.NOW, False
    if state[few_words.NEXT] != count:
        return found, loudest
    for where in (few_words.NOW, few_words.BEST):
        symbols = state[where + few_words.TO] - state[where + few_words.FROM]
        if state[where + few_words.SCORE] > 0 and state[where + few_words.MARKS] < limits[33] * symbols:
            needed = limits[32] if where == few_words.NOW else limits[31]
            loud = state[where + few_words.SCORE] / needed
            if loud > loudest:
                loudest, at, ends = loud, where, where == few_words.NOW
    if loudest < 1:
        return found, loudest
    first = state[at + few_words.FIRST] if state[at + few_words.FIRST] >= 0 else state[at + few_words.FROM]
    start, end = starts[first], starts[state[at + few_words.TO]]
    if _said(found, start, end, loops) * 4 < end - start:  # else others know better where it begins
        loops[found, KIND], loops[found, START], loops[found, END] = NEAR, start, end
        loops[found, RULE] = STRETCH_OPEN if ends else STRETCH_RULE
        loops[found, PERIOD] = max(1, state[at + few_words.BACKS] // max(1, state[at + few_words.AGAIN]))
        loops[found, TERMINAL] = size - end <= 2 * limits[7]
        found += 1
    return found, loudest


@kernel
def _onset(first: int, reach: int, starts: NDArray[np.int64], again: NDArray[np.uint8]) -> int:
    """Where the first copy begins: from `first` at most `reach` bytes to the left, while what is said comes back."""
    begin = first + GRAM - 1
    i = begin
    while i >= 0 and begin - i <= _GAP and starts[first] - starts[i] <= reach:
        if again[i]:
            begin = i
        i -= 1
    return max(0, begin - GRAM + 1)


@kernel
def _settled(first: int, core: int, period: int, starts: NDArray[np.int64], again: NDArray[np.uint8]) -> int:
    """From `first` on, before `core`: the first turn of which nearly all is said again. Rows with something to say, of which only
    the frame comes back, are not yet the loop."""
    begin = first
    while True:
        j, said = begin, 0
        while j < core and starts[j] < starts[begin] + period:
            said += again[j + GRAM - 1]  # the n-gram that begins there
            j += 1
        if j >= core or said >= _SAID * (j - begin):
            return begin
        begin = j


@kernel
def _stretches(
    found: int,
    count: int,
    size: int,
    plain: bool,
    starts: NDArray[np.int64],
    again: NDArray[np.uint8],
    limits: NDArray[np.float64],
    state: NDArray[np.int64],
    loops: NDArray[np.int64],
) -> int:
    """Add the best stretch and the open one, unless the runs found already say nearly all of it."""
    runs = found
    for at in (BEST, OPEN):
        if state[at + SCORE] < _needed(at, plain, limits, state):
            continue
        if at == OPEN and found > runs and state[BEST + FIRST] == state[OPEN + FIRST]:
            continue
        core, end = starts[state[at + FROM]], starts[state[at + TO]]
        if _said(runs, core, end, loops) >= limits[10] * (end - core):
            continue
        period = max(1, state[at + BACKS] // max(1, state[at + STEPS]))
        first = _onset(state[at + FIRST], 2 * period, starts, again)
        start = starts[first]
        counts = state[at + COUNTED] * 2 * period >= end - start and state[at + FRESH] <= 4 * state[at + COUNTED]
        if counts:
            start = starts[_settled(first, state[at + FROM], period, starts, again)]
        loops[found, KIND], loops[found, RULE] = (
            (COUNTER if counts else NEAR),
            (STRETCH_RULE if at == BEST else STRETCH_OPEN),
        )
        loops[found, START], loops[found, END], loops[found, PERIOD] = start, end, period
        gap = max(2 * limits[7], min(period // 2, 60))
        loops[found, TERMINAL] = _ends_there(count, size, end, state[at + TO], state[at + KNOWN], gap, state)
        found += 1
    return found
