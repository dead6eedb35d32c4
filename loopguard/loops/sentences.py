"""Sentences that come back at the end of a text: a numba kernel that reads whole sentences.

Reasoning that goes round says the same few thoughts in changing order, each after another word of doubt: "Hmm, D is not in the
text. Wait, B contradicts the passage. Actually, D is not in the text." Few n-grams come back often enough for `repetition.py`
there, because the sentences are short and their neighbours change. A sentence is the same whatever word and comma lead into it.

What ends in a full stop, a question or an exclamation mark counts from its third copy, each within reach of the one before. Other
lines (headings, list items, code, verse) only cost, where they are new among sentences that come back: so a chorus between new
verses, the same answers under new questions earn nothing. A sentence counts once it has ended, so a prefix never says what the text
takes back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.byte_masks import BYTES, among, zero_bits
from loopguard.loops.grams import at, slot_of
from loopguard.loops.kernels import kernel
from loopguard.loops.lists import hash_of
from loopguard.loops.rounds import STATE as FIRST_OF_SENTENCES

_SHORTEST = 12
"""Letters (bytes of them) below which a sentence says nothing: "Wait, no.", "Let me see.", "x = 3."."""
_LEAD = 24
"""Bytes within which the comma after a leading word or two is looked for."""
_WIDE_LEAD = 15
"""The same for the comma of ideographs: four of them and the comma."""
_COUNTS = 3
"""Copies from which a sentence counts."""
_FOLD = np.uint64(0x2020202020202020)
"""Tells no capital from its small letter."""

# what is carried along: the number of the text in the table, where the next byte is read, where the sentence begins; of the streak
# that is open: its number, sentences that came back less what new ones cost, different ones among them, where the first copy of the
# first of them begins, where it begins itself, bytes back to their last copies, how many; its highest score, and where that ended
(
    TEXT, READ, BEGIN, STREAK, SCORE, DISTINCT, FIRST, FROM, BACKS, AGAIN, TOP, TO, STATE,
) = range(FIRST_OF_SENTENCES, FIRST_OF_SENTENCES + 13)  # fmt: skip
ENTRY, OWNER, COPIES, ONCE, LAST, IN_STREAK, COLUMNS = range(7)
"""Columns of the table: hash of a sentence, number of its text, copies, where the first and the last begin, its last streak."""
_BITS = 9
TABLE = 1 << _BITS
"""Rows of the table: more than twice as many as sentences have room within reach. One more holds the number of the newest text."""
_TRIES = 8


def fresh_sentences() -> NDArray[np.int64]:
    """The table before the first text."""
    return np.zeros((TABLE + 1, COLUMNS), np.int64)


def _closing() -> NDArray[np.bool_]:
    closes = np.zeros(256, np.bool_)
    closes[[*b"\"')]*_"]] = True
    return closes


_CLOSES = _closing()
"""What may stand between the mark that ends a sentence and the blank after it."""


@kernel
def _is_letter(byte: int) -> bool:
    return byte >= 0x80 or 0x41 <= (byte & 0xDF) <= 0x5A


@kernel
def _ends_a_sentence(data: NDArray[np.uint8], begin: int, end: int) -> bool:
    """Whether data[begin:end] ends in a mark that ends sentences, closing quotes and brackets aside."""
    i = end - 1
    while i > begin and (_CLOSES[data[at(i)]] or data[at(i)] == 0x0D):
        i -= 1
    return i >= begin and (data[at(i)] == 0x2E or data[at(i)] == 0x21 or data[at(i)] == 0x3F)


@kernel
def _body(data: NDArray[np.uint8], begin: int, end: int) -> tuple[int, int]:
    """The sentence data[begin:end] less blanks and marks around it, and the word or two before a comma that lead into it."""
    while begin < end and not (_is_letter(data[at(begin)]) or 0x30 <= data[at(begin)] <= 0x39):
        begin += 1
    while end > begin and not (_is_letter(data[at(end - 1)]) or 0x30 <= data[at(end - 1)] <= 0x39):
        end -= 1
    blanks, i = 0, begin
    while i < min(end, begin + _LEAD) and blanks < 2:
        if data[at(i)] == 0x2C:
            i += 1
            while i < end and data[at(i)] == 0x20:
                i += 1
            return i, end
        if (
            data[at(i)] == 0xEF
            and i + 3 <= min(end, begin + _WIDE_LEAD)
            and data[at(i + 1)] == 0xBC
            and data[at(i + 2)] == 0x8C
        ):
            return i + 3, end
        blanks += data[at(i)] == 0x20
        i += 1
    return begin, end


@kernel
def _row_of(value: np.uint64, low: int, reach: int, text: int, table: NDArray[np.int64]) -> int:
    """The row of a sentence that begins at `low`; COPIES is 0 there if it is new, or the last copy is out of reach."""
    first, entry, free = slot_of(value, _BITS), np.int64(value), -1
    for k in range(_TRIES):
        row = (first + k) & (TABLE - 1)
        if table[at(row), OWNER] != text or low - table[at(row), LAST] > reach:
            if free < 0:
                free = row
        elif table[at(row), ENTRY] == entry:
            return row
    row = free if free >= 0 else first
    table[at(row), ENTRY], table[at(row), OWNER], table[at(row), ONCE] = entry, text, low
    table[at(row), COPIES], table[at(row), IN_STREAK] = 0, 0
    return row


@kernel
def _sentence(
    low: int, end: int, told: bool, data: NDArray[np.uint8], rule: NDArray[np.int64], state: NDArray[np.int64],
    table: NDArray[np.int64],
) -> None:  # fmt: skip
    """Take in data[low:end]: a sentence, if `told`, or another line."""
    if not told and state[SCORE] == 0:
        return  # nothing that it could cost
    begin, stop = _body(data, low, end)
    letters, i = 0, begin
    while i < stop and letters < _SHORTEST:
        letters += _is_letter(data[at(i)])
        i += 1
    if letters < _SHORTEST:
        return
    row = _row_of(hash_of(data, begin, stop, _FOLD), begin, rule[3], state[TEXT], table)
    back = begin - table[at(row), LAST]
    table[at(row), COPIES] += 1
    table[at(row), LAST] = begin
    if table[at(row), COPIES] == 1:
        state[SCORE] -= rule[8]
        if state[SCORE] <= 0:
            state[SCORE] = state[TOP] = 0
    elif told and table[at(row), COPIES] >= _COUNTS:
        if state[SCORE] == 0:
            state[STREAK] += 1
            state[FIRST], state[FROM] = table[at(row), ONCE], begin
            state[DISTINCT] = state[BACKS] = state[AGAIN] = 0
        if table[at(row), IN_STREAK] != state[STREAK]:
            table[at(row), IN_STREAK] = state[STREAK]
            state[DISTINCT] += 1
        state[FIRST] = min(state[FIRST], table[at(row), ONCE])
        state[SCORE] += 1
        state[AGAIN] += 1
        state[BACKS] += back
        if state[DISTINCT] >= rule[7] and state[SCORE] >= state[TOP]:
            state[TOP], state[TO] = state[SCORE], end


@kernel
def read_sentences(
    high: int, data: NDArray[np.uint8], rule: NDArray[np.int64], state: NDArray[np.int64], table: NDArray[np.int64]
) -> None:
    """Take the sentences that end in data[:high]; those before were taken with the same `state` and `table`.

    `rule[3]` is the reach, `rule[7]` how many different sentences must come back for a streak to count, `rule[8]` what a new
    sentence or line takes from its score.
    """
    if state[TEXT] == 0:
        table[TABLE, OWNER] += 1
        state[TEXT] = table[TABLE, OWNER]
    i, begin = int(state[READ]), int(state[BEGIN])
    while i < high:
        if high - i >= BYTES:
            # a blank after ! " ' ( ) * . ? _ and line ends: the marks that end sentences, and what may close after them
            marks = (
                among(data, i, 0x21, 2) | among(data, i, 0x27, 4) | among(data, i, 0x2E, 1) | among(data, i, 0x3F, 1)
            )
            marks = (marks | among(data, i, 0x5F, 1) | among(data, i, 0x0D, 1)) << np.uint64(1) | np.uint64(1)
            ends = (among(data, i, 0x20, 1) & marks) | among(data, i, 0x0A, 1)
            ends |= among(data, i, 0xE3, 1) | among(data, i, 0xEF, 1)
            step = BYTES
        else:
            byte = data[at(i)]
            ends, step = np.uint64(byte == 0x20 or byte == 0x0A or byte == 0xE3 or byte == 0xEF), 1
        while ends != 0:
            p = int(i + np.int64(zero_bits(ends)))
            ends &= ends - np.uint64(1)
            byte = data[at(p)]
            if (
                byte >= 0x80
            ):  # the full stop, the question and the exclamation mark of ideographs end a sentence by themselves
                if p + 3 > high:
                    state[READ], state[BEGIN] = p, begin
                    return
                middle, last = data[at(p + 1)], data[at(p + 2)]
                if (byte == 0xE3 and middle == 0x80 and last == 0x82) or (
                    byte == 0xEF and middle == 0xBC and (last == 0x81 or last == 0x9F)
                ):
                    _sentence(begin, p + 3, True, data, rule, state, table)
                    begin = p + 3
            elif byte == 0x0A:
                if p > begin:
                    _sentence(begin, p, _ends_a_sentence(data, begin, p), data, rule, state, table)
                begin = p + 1
            elif p > begin and _ends_a_sentence(data, begin, p):
                _sentence(begin, p, True, data, rule, state, table)
                begin = p + 1
        i += step
    state[READ], state[BEGIN] = i, begin
