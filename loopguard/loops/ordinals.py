"""Where a sequence goes on like its last turn but for a letter, a Roman numeral or a number word that counts on: a numba kernel.

"Let A be a point on the line. Let B be a point on the line. ..." What `counting.py` finds of numbers, for what people count with
besides: A, B, C; i, ii, iii; one, two, three; first, second, third. Such a word is a symbol of its own, so the turns have no n-gram
with it in common and `advance` sees a new word in each. Here the turn before is looked for where the last letter stood.

Counted upwards by one, alone, with all else in the turn the same. `rules` asks for as many turns and letters as of numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.counting import BEGIN, END, LETTERS, MARKS, MOVING, PERIOD, RUN
from loopguard.loops.few_words import STATE as FIRST_OF_ORDINALS
from loopguard.loops.grams import at
from loopguard.loops.kernels import kernel
from loopguard.loops.repetition import NUMBER
from loopguard.loops.words import WORD, symbols_of

_WORDS = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen"
_RANKS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"
)
_ROMAN = 49
"""Roman numerals up to XLIX."""
_VALUES = 64
"""Rows of the table for each way of counting: more than any has values."""


def _roman(value: int) -> str:
    tens, ones = divmod(value, 10)
    return ["", "X", "XX", "XXX", "XL"][tens] + ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"][ones]


def _ways() -> list[list[str]]:
    """The ways of counting: the words of each, from one on."""
    numerals = [_roman(value) for value in range(1, _ROMAN + 1)]
    letters = [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    written = [letters, numerals, _WORDS.split(), _RANKS.split()]
    return [
        *written,
        [word.lower() for word in letters],
        [word.lower() for word in numerals],
        *([word.title() for word in words] for words in written[2:]),
    ]


WAYS = len(_ways())
_BITS = 11


def _known() -> tuple[NDArray[np.uint64], NDArray[np.int16]]:
    """A hash table by the low bits of a symbol: the symbol, and what it may be, way * 64 + value for at most two ways, or 0."""
    keys, means = np.zeros(1 << _BITS, np.uint64), np.zeros((1 << _BITS, 2), np.int16)
    for way, words in enumerate(_ways()):
        for glued in (0, 1):
            for value, symbol in enumerate(symbols_of(words, glued), start=1):
                slot = int(symbol) & ((1 << _BITS) - 1)
                while keys[slot] not in (0, symbol):
                    slot = (slot + 1) & ((1 << _BITS) - 1)
                keys[slot] = symbol
                means[slot, int(means[slot, 0] > 0)] = way * _VALUES + value
    return keys, means


_KEYS, _MEANS = _known()
_BLOOM = 13
"""One word in twenty that is none of them passes a set of two to the this many bits, which never leaves the nearest cache."""


def _set_of(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = np.zeros(1 << _BLOOM, np.uint8)
    bits[(keys[keys != 0] >> np.uint64(64 - _BLOOM)).astype(np.int64)] = 1
    return np.packbits(bits, bitorder="little").view(np.uint64)


_SET = _set_of(_KEYS)

# what is carried along: the number of the text in the table, the next symbol, where the last word that counted stands, which it
# was; runs are kept from NOW and LONGEST as those of `counting.py` are
TEXT, NEXT, PLACE, MEANT = range(FIRST_OF_ORDINALS, FIRST_OF_ORDINALS + 4)
NOW, LONGEST, STATE = FIRST_OF_ORDINALS + 4, FIRST_OF_ORDINALS + 4 + RUN, FIRST_OF_ORDINALS + 4 + 2 * RUN
OWNER, WHERE, TURN, COLUMNS = range(4)
"""Columns of the table, which has a row for every word that counts: the number of its text, where it stood last, symbols since the
word before it."""
TABLE = WAYS * _VALUES
"""Rows of the table; one more holds the number of the newest text."""


def fresh_ordinals() -> NDArray[np.int64]:
    """The table before the first text."""
    return np.zeros((TABLE + 1, COLUMNS), np.int64)


@kernel
def _same(i: int, j: int, symbols: NDArray[np.uint64], values: NDArray[np.int64]) -> bool:
    return symbols[at(i)] == symbols[at(j)] and values[at(i)] == values[at(j)]  # type: ignore[no-any-return]


@kernel
def _add(low: int, high: int, kinds: NDArray[np.uint8], weights: NDArray[np.uint8], state: NDArray[np.int64]) -> None:
    """Count what the symbols from `low` to `high` are made of, and end the run there."""
    for k in range(low, high):
        if kinds[at(k)] != NUMBER and weights[at(k)] > 0:
            state[NOW + LETTERS] += weights[at(k)]
        elif kinds[at(k)] == 0:
            state[NOW + MARKS] += 1
    state[NOW + END] = high


@kernel
def _close(state: NDArray[np.int64]) -> None:
    """The run that is open, if one is, has ended: keep it if none had more letters."""
    if state[NOW + PERIOD] > 0 and state[NOW + LETTERS] > state[LONGEST + LETTERS]:
        for k in range(RUN):
            state[LONGEST + k] = state[NOW + k]
    state[NOW + PERIOD] = 0


@kernel
def _counts(
    i: int, meant: int, symbols: NDArray[np.uint64], values: NDArray[np.int64], kinds: NDArray[np.uint8],
    weights: NDArray[np.uint8], state: NDArray[np.int64], table: NDArray[np.int64],
) -> None:  # fmt: skip
    """Take in the word at `i`, which is `meant`: whether it goes on with a run, or begins one with the two turns before."""
    text, before = state[TEXT], 0
    if meant % _VALUES > 1 and table[at(meant - 1), OWNER] == text:
        j = int(table[at(meant - 1), WHERE])
        before = i - j
    table[at(meant), OWNER], table[at(meant), WHERE], table[at(meant), TURN] = text, i, before
    if before == 0:
        return
    if state[NOW + PERIOD] == before and state[PLACE] == j and state[MEANT] == meant - 1 and state[NOW + END] == i:
        _add(i, i + 1, kinds, weights, state)
    elif table[at(meant - 1), TURN] == before:
        first = j - before  # the word before the last: the turn after it must be that after the last
        for k in range(1, before):
            if not _same(i - k, j - k, symbols, values):
                return
        _close(state)
        while first > 0 and j - first < 2 * before - 1 and _same(first - 1, first - 1 + before, symbols, values):
            first -= 1
        state[NOW + PERIOD], state[NOW + BEGIN], state[NOW + MOVING] = before, first + before, 1
        state[NOW + LETTERS] = state[NOW + MARKS] = 0
        _add(first + before, i + 1, kinds, weights, state)
    else:
        return
    state[PLACE], state[MEANT] = i, meant


@kernel
def count_in_words(
    count: int,
    symbols: NDArray[np.uint64],
    values: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    weights: NDArray[np.uint8],
    state: NDArray[np.int64],
    table: NDArray[np.int64],
) -> None:
    """Read the symbols before `count` that were not read before with this `state` and `table`."""
    if state[TEXT] == 0:
        table[TABLE, OWNER] += 1
        state[TEXT] = table[TABLE, OWNER]
    period = int(state[NOW + PERIOD])
    for i in range(int(state[NEXT]), count):
        if period > 0 and _same(i, i - period, symbols, values):
            _add(i, i + 1, kinds, weights, state)
        place = symbols[at(i)] >> np.uint64(64 - _BLOOM)
        if kinds[at(i)] == WORD and (_SET[at(place >> np.uint64(6))] >> (place & np.uint64(63))) & np.uint64(1) != 0:
            slot = np.int64(symbols[at(i)] & np.uint64((1 << _BITS) - 1))
            while _KEYS[at(slot)] != 0:
                if _KEYS[at(slot)] == symbols[at(i)]:
                    for k in range(2):
                        if _MEANS[slot, k] > 0:
                            _counts(i, int(_MEANS[slot, k]), symbols, values, kinds, weights, state, table)
                    break
                slot = (slot + 1) & ((1 << _BITS) - 1)
            period = int(state[NOW + PERIOD])
        if period > 0 and state[NOW + END] == i:
            _close(state)
            period = 0
    state[NEXT] = count
