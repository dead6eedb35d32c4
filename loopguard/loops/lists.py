"""Lists whose items come back: a numba kernel that reads whole lines.

A model that is asked for more than it knows fills the list with what it has listed already, in any order. Few n-grams come back
often enough for `repetition.py` there, because neighbours change. An item counts from its third copy: to say a list once more,
to the number that was asked for, is no loop yet to those who labelled outputs.

One list is what stands in lines of one marker and one indentation, with nothing but blank lines between. Under a heading, or
an item of another level, a new one begins: so plans by the day, questions with the same answers, two versions under two
titles are lists of their own. A line counts once it has ended, so a prefix never says what the text takes back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.byte_masks import BYTES, among, eight_bytes, zero_bits
from loopguard.loops.counting import STATE as FIRST_OF_LISTS
from loopguard.loops.grams import ODD, at, slot_of
from loopguard.loops.kernels import kernel

ITEMS = 128
"""Different items remembered of one list; later ones count as new whenever they come. Long lists of people's are shorter."""
_BITS = 8
_COUNTS = 3
"""Copies from which an item counts."""
_AS_IT_IS = np.uint64(0)
_SHORTEST = 3
"""Letters (bytes of them) below which an item says nothing: answer keys, brackets, coordinates."""

# what is carried from line to line. LINE: where the unfinished line begins, MARK: marker and indentation of the list, LIST: its
# number, from 1, KNOWN: its different items, STREAK: number of the streak, DISTINCT: different items in it
LINE, MARK, LIST, KNOWN, STREAK, DISTINCT = range(FIRST_OF_LISTS, FIRST_OF_LISTS + 6)
NOW, BEST, STATE = FIRST_OF_LISTS + 6, FIRST_OF_LISTS + 12, FIRST_OF_LISTS + 18
# the streak that is open begins at NOW, the best one so far at BEST: items that counted less what new ones cost, where the first
# copy of the first of them begins, where it begins itself, where the last one ends, bytes back to their last copies, how many
SCORE, FIRST, FROM, TO, BACKS, AGAIN = range(6)
ENTRY, OWNER, COPIES, ONCE, LAST, IN_STREAK, COLUMNS = range(7)
"""Columns of the table: hash of an item, number of its list, copies, where the first and the last begin, its last streak."""
TABLE = 1 << _BITS
"""Rows of the table; one more holds the number of the newest list, so that what earlier texts left counts as empty."""


def fresh_items() -> NDArray[np.int64]:
    """The table of items before the first text."""
    return np.zeros((TABLE + 1, COLUMNS), np.int64)


def _opening() -> NDArray[np.bool_]:
    opens = np.zeros(256, np.bool_)
    opens[[*b"\t\r -*0123456789", 0xE2]] = True
    return opens


_OPENS = _opening()
"""Bytes that a line of a list, or one of blanks, begins with."""


@kernel
def _item(data: NDArray[np.uint8], low: int, high: int) -> tuple[int, int]:
    """The marker of the line data[low:high] and where its content begins: (0, high) if it is blank, (-1, low) if unmarked."""
    i = low
    while i < high and (data[at(i)] == 0x20 or data[at(i)] == 0x09 or data[at(i)] == 0x0D):
        i += 1
    if i == high:
        return 0, high
    deep, byte = i - low, int(data[at(i)])
    mark = -1
    if byte == 0x2D or byte == 0x2A:
        mark, i = byte, i + 1
    elif byte == 0xE2 and i + 2 < high and data[at(i + 1)] == 0x80 and data[at(i + 2)] == 0xA2:
        mark, i = byte, i + 3
    elif 0x30 <= byte <= 0x39:
        k = i
        while k < high and k < i + 5 and 0x30 <= data[at(k)] <= 0x39:
            k += 1
        if k < high and (data[at(k)] == 0x2E or data[at(k)] == 0x29):
            mark, i = int(data[at(k)]), k + 1
    if mark < 0 or i >= high or (data[at(i)] != 0x20 and data[at(i)] != 0x09):
        return -1, low
    while i < high and (data[at(i)] == 0x20 or data[at(i)] == 0x09):
        i += 1
    return (deep << 8) | mark, i


@kernel
def _says(data: NDArray[np.uint8], low: int, high: int) -> bool:
    """Whether data[low:high] has letters enough to say something."""
    letters = 0
    for i in range(low, high):
        byte = data[at(i)]
        letters += byte >= 0x80 or 0x41 <= (byte & 0xDF) <= 0x5A
        if letters >= _SHORTEST:
            return True
    return False


@kernel
def hash_of(data: NDArray[np.uint8], low: int, high: int, fold: np.uint64) -> np.uint64:
    """A hash of data[low:high], each eight bytes with the bits of `fold` set."""
    value, i = np.uint64(high - low), low
    while i + 8 <= high:
        value = (value ^ (eight_bytes(data, i) | fold)) * ODD
        value ^= value >> np.uint64(29)
        i += 8
    rest = np.uint64(0)
    while i < high:
        rest = (rest << np.uint64(8)) | np.uint64(data[at(i)])
        i += 1
    value = (value ^ (rest | fold)) * ODD
    return value ^ (value >> np.uint64(29))


@kernel
def _listed(value: np.uint64, low: int, state: NDArray[np.int64], table: NDArray[np.int64]) -> int:
    """The row of an item in the table, with this copy of it, which begins at `low`; -1: it is new and there is no room."""
    slot, entry = slot_of(value, _BITS), np.int64(value)
    while table[at(slot), OWNER] == state[LIST] and table[at(slot), ENTRY] != entry:
        slot = (slot + 1) & (TABLE - 1)
    if table[at(slot), OWNER] != state[LIST]:
        if state[KNOWN] >= ITEMS:
            return -1
        state[KNOWN] += 1
        table[at(slot), ENTRY], table[at(slot), OWNER], table[at(slot), ONCE] = entry, state[LIST], low
        table[at(slot), COPIES], table[at(slot), IN_STREAK] = 0, 0
    table[at(slot), COPIES] += 1
    return slot


@kernel
def _again(
    row: int, low: int, end: int, back: int, distinct: int, state: NDArray[np.int64], table: NDArray[np.int64]
) -> None:  # fmt: skip
    """An item counts: it takes the open streak on, or begins one."""
    if state[NOW + SCORE] == 0:
        state[STREAK] += 1
        state[NOW + FIRST], state[NOW + FROM] = table[at(row), ONCE], low
        state[NOW + BACKS] = state[NOW + AGAIN] = state[DISTINCT] = 0
    if table[at(row), IN_STREAK] != state[STREAK]:
        table[at(row), IN_STREAK] = state[STREAK]
        state[DISTINCT] += 1
    state[NOW + SCORE] += 1
    state[NOW + AGAIN] += 1
    state[NOW + BACKS] += back
    state[NOW + TO] = end
    if state[DISTINCT] >= distinct and state[NOW + SCORE] >= state[BEST + SCORE]:
        for k in range(BEST - NOW):
            state[BEST + k] = state[NOW + k]


@kernel
def _line(
    low: int, high: int, data: NDArray[np.uint8], rule: NDArray[np.int64], state: NDArray[np.int64], table: NDArray[np.int64]
) -> None:  # fmt: skip
    """Take the line data[low:high] into the list, or end the list."""
    mark, begin = _item(data, low, high)
    if mark == 0:
        return
    begins, state[MARK] = mark != state[MARK], mark
    if mark < 0:
        return
    if begins:
        table[TABLE, OWNER] += 1
        state[LIST] = table[TABLE, OWNER]
        state[KNOWN] = state[NOW + SCORE] = 0
    end = high
    while end > begin and (data[at(end - 1)] == 0x20 or data[at(end - 1)] == 0x0D):
        end -= 1
    if not _says(data, begin, end):
        return
    row = _listed(hash_of(data, begin, end, _AS_IT_IS), low, state, table)
    if row < 0 or table[at(row), COPIES] == 1:
        state[NOW + SCORE] = max(0, state[NOW + SCORE] - rule[6])
    if row >= 0:
        back = low - table[at(row), LAST]
        table[at(row), LAST] = low
        if table[at(row), COPIES] >= _COUNTS:
            _again(row, low, end, back, rule[5], state, table)


@kernel
def read_lines(
    low: int, high: int, data: NDArray[np.uint8], rule: NDArray[np.int64], state: NDArray[np.int64], table: NDArray[np.int64]
) -> None:  # fmt: skip
    """Take the lines that end in data[low:high]; all bytes before `low` have been read with the same `state` and `table`.

    `rule[5]` is how many different items must come back for a streak to count, `rule[6]` what a new item takes from its score.
    """
    i, line, mark = low, state[LINE], state[MARK]
    while i < high:
        if high - i >= BYTES:
            ends, step = among(data, i, 0x0A, 1), BYTES
        else:
            ends, step = np.uint64(data[at(i)] == 0x0A), 1
        while ends != 0:
            end = int(i + np.int64(zero_bits(ends)))
            ends &= ends - np.uint64(1)
            if end > line and _OPENS[data[at(line)]]:
                state[MARK] = mark
                _line(line, end, data, rule, state, table)
                mark = state[MARK]
            elif end > line:
                mark = np.int64(-1)  # most lines: nothing that a marker, or a line of blanks, begins with
            line = np.int64(end + 1)
        i += step
    state[LINE], state[MARK] = line, mark
