"""Prose that goes on with the same few words in ever new combinations: a numba kernel over the words of a text.

"Let me check the third part once more. Let us look at the first part again. I will check the third part again." Where every slot
of a sentence is filled anew, hardly an n-gram comes back often, and no sentence does. But no word is new: people, whatever they
write, use a new one every few words. So what is weighed here is words alone: those that have come often lately earn their
letters, a new one costs a multiple of its own.

What repeats words by its nature stays below: tables, code and logs are made of marks (`judge` asks for few), and verse is written
in lines that no sentence ends, each of which costs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.grams import at, slot_of
from loopguard.loops.kernels import kernel
from loopguard.loops.repetition import BEST as BEST_STRETCH
from loopguard.loops.repetition import HITS
from loopguard.loops.repetition import SCORE as STRETCH_SCORE
from loopguard.loops.sentences import STATE as FIRST_OF_FEW_WORDS
from loopguard.loops.words import WORD

_COPIES = 4
"""Copies of a word, none further than `_REACH` from the one before, after which it earns."""
_REACH = 300
"""Bytes: some fifty words. "The" and "of" come as often in any text; all words do only where there are few."""
_COST = 3
"""What one letter of a new word costs, in letters that earn."""
_LEAST = 3
"""A new word costs at least as much as one of so many letters."""
_LINE = 40
"""What a line of verse costs, one that ends in a word or a comma: as many letters as it has."""
_KNOWN = 60
"""Score at which it is looked for where a stretch began: the words that it is made of are known by then."""
_HITS, _STRETCH, _WIDE = 90, 20, 3.5
"""When the words are looked at at all: so many n-grams came back, so much the best stretch of `advance` has earned (what is made of
few words says some of them in the same order), and symbols have so many bytes (prose has 4.8, code and tables 3). Seven of
eight outputs that are examined do not get as far."""

# what is carried along: the number of the text in the table, the next symbol; where words have been coming back since, and the
# score of that
TEXT, NEXT, SINCE, KEEPS = range(FIRST_OF_FEW_WORDS, FIRST_OF_FEW_WORDS + 4)
NOW, BEST, STATE = FIRST_OF_FEW_WORDS + 4, FIRST_OF_FEW_WORDS + 11, FIRST_OF_FEW_WORDS + 18
# the stretch that is open begins at NOW, the best one so far at BEST: its score, its symbols (from, to), those that are no words,
# where what it goes on with began, words that came back and the bytes back to their last copies
SCORE, FROM, TO, MARKS, FIRST, BACKS, AGAIN = range(7)
ENTRY, OWNER, COPIES, LAST, COLUMNS = range(5)
"""Columns of the table: a word, the number of its text, copies in a row, where the last one begins."""
_BITS = 9
TABLE = 1 << _BITS
"""Rows of the table: more than twice as many as words have room within reach. One more holds the number of the newest text."""
_TRIES = 3


def fresh_words() -> NDArray[np.int64]:
    """The table before the first text."""
    return np.zeros((TABLE + 1, COLUMNS), np.int64)


@kernel
def _row_of(symbol: np.uint64, start: int, text: int, table: NDArray[np.int64]) -> tuple[int, bool]:
    """The row of a word that begins at `start`, or where it would go; and whether it came within reach."""
    first, entry, free = slot_of(symbol, _BITS), np.int64(symbol), -1
    for k in range(_TRIES):
        row = (first + k) & (TABLE - 1)
        if table[at(row), OWNER] != text or start - table[at(row), LAST] > _REACH:
            if free < 0:
                free = row
        elif table[at(row), ENTRY] == entry:
            return row, True
    return (free if free >= 0 else first), False


@kernel
def _began(
    since: int, now: int, symbols: NDArray[np.uint64], kinds: NDArray[np.uint8], starts: NDArray[np.int64], text: int,
    table: NDArray[np.int64],
) -> int:  # fmt: skip
    """The first symbol of what has been going on since symbol `since`: words before it, within reach, that have come back by `now`,
    with at most one in a row that has not."""
    begin, k, strange = since, since - 1, 0
    while k >= 0 and strange < 2 and starts[at(since)] - starts[at(k)] <= _REACH:
        if kinds[at(k)] == WORD:
            row, known = _row_of(symbols[at(k)], starts[at(now)], text, table)
            if known and table[at(row), COPIES] > 1:
                begin, strange = k, 0
            else:
                strange += 1
        k -= 1
    return begin


@kernel
def _verse(start: int, data: NDArray[np.uint8]) -> bool:
    """Whether a line ends at byte `start`, and that in a word or a comma."""
    if data[at(start)] != 0x0A or start == 0:
        return False
    last = data[at(start - 1)]
    return last == 0x2C or last >= 0x80 or 0x41 <= (last & 0xDF) <= 0x5A  # type: ignore[no-any-return]


@kernel
def worth_weighing(count: int, starts: NDArray[np.int64], state: NDArray[np.int64]) -> bool:
    """Whether the words of the text so far must be looked at."""
    much = state[HITS] >= _HITS and state[BEST_STRETCH + STRETCH_SCORE] >= _STRETCH
    return much and starts[count] >= _WIDE * count  # type: ignore[no-any-return]


@kernel
def weigh_words(
    count: int,
    data: NDArray[np.uint8],
    symbols: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    weights: NDArray[np.uint8],
    starts: NDArray[np.int64],
    state: NDArray[np.int64],
    table: NDArray[np.int64],
) -> None:
    """Weigh the symbols before `count` that were not weighed before with this `state` and `table`; `data` is the text.

    Called where `worth_weighing`; what was passed over is weighed then, and until then NEXT is not `count`.
    """
    if state[TEXT] == 0:
        table[TABLE, OWNER] += 1
        state[TEXT] = table[TABLE, OWNER]
    text, keeps, since = int(state[TEXT]), int(state[KEEPS]), int(state[SINCE])
    score, marks, backs, again = (
        int(state[NOW + SCORE]),
        state[NOW + MARKS],
        state[NOW + BACKS],
        state[NOW + AGAIN],
    )
    best = int(state[BEST + SCORE])
    for i in range(int(state[NEXT]), count):
        weight, start = int(weights[at(i)]), int(starts[at(i)])
        if kinds[at(i)] != WORD or weight == 0:
            if score > 0:
                marks += 1
                if _verse(start, data):
                    score -= _LINE
            continue
        row, known = _row_of(symbols[at(i)], start, text, table)
        back, copies, gain = 0, 1, 0
        if known:
            back, copies = start - int(table[at(row), LAST]), int(table[at(row), COPIES]) + 1
            if keeps <= 0:
                keeps, since = 0, i
            keeps += weight
            gain = weight if copies > _COPIES else 0
        else:
            table[at(row), ENTRY], table[at(row), OWNER] = np.int64(symbols[at(i)]), text
            gain = -_COST * max(weight, _LEAST)
            keeps = max(0, keeps + gain)
        table[at(row), COPIES], table[at(row), LAST] = copies, start
        if score <= 0:
            if gain <= 0:
                continue
            score, marks, backs, again = 0, 0, 0, 0
            state[NOW + FROM], state[NOW + FIRST] = i, -1
        score += gain
        if known:
            backs += back
            again += 1
            state[NOW + TO] = i + 1
        if score >= _KNOWN and state[NOW + FIRST] < 0:
            state[NOW + FIRST] = _began(since, i, symbols, kinds, starts, text, table)
        if score > best and score >= _KNOWN:
            best = score
            state[BEST + SCORE], state[BEST + FROM], state[BEST + TO] = score, state[NOW + FROM], i + 1
            state[BEST + MARKS], state[BEST + FIRST] = marks, state[NOW + FIRST]
            state[BEST + BACKS], state[BEST + AGAIN] = backs, again
    state[NEXT], state[KEEPS], state[SINCE] = count, keeps, since
    state[NOW + SCORE], state[NOW + MARKS], state[NOW + BACKS], state[NOW + AGAIN] = max(0, score), marks, backs, again
