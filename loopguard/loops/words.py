"""Text to symbols: UTF-8 bytes become words, the integers that the kernels of repetition.py work on.

A symbol is about what a BPE token is: a word with the space before it, a number, one punctuation mark, one ideograph. Equal
symbols have equal bytes (up to a 64-bit hash), so a run that repeats symbol for symbol repeats byte for byte.

What this simplifies: no Unicode tables. Bytes are classed by their lead byte alone; that is enough to tell letters of
alphabets from ideographs and marks, and it never fails on invalid UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.byte_masks import among, eight_bytes, zero_bits
from loopguard.loops.grams import at
from loopguard.loops.kernels import as_written, kernel
from loopguard.loops.repetition import NUMBER, PIECE

MARK, WORD, BLANK, IDEOGRAPH = 0, 1, 3, 5
"""Kinds of symbols. PIECE: one more letter of a run without spaces (base64, 'nansannansan'), IDEOGRAPH: one CJK character."""

LONGEST_WORD = 16
"""Letters after which a run is taken letter by letter: longer runs are rarely words, and may repeat inside."""
LONGEST_NUMBER = 15
"""Digits after which a run is taken digit by digit: up to here the value is exact in 50 bits."""
LONGEST_BLANK = 16
"""Spaces after which a run is taken space by space: deeper indentation is rarely meant."""

_LONGEST_SYMBOL = 80
"""Bytes: 16 letters of four bytes, a space, and room. Only invalid UTF-8 has more continuation bytes; they become marks."""

_NUMBER = np.uint64(0x5851F42D4C957F2D)
_SPACES = np.uint64(0xABCDEF0123456789)

_CONTINUES, _LETTER, _DIGIT, _SPACE, _OWN, _CAPITAL = 0, 1, 2, 3, 4, 5


def _classes() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    lex = np.full(256, _OWN, np.uint8)
    kind = np.full(256, MARK, np.uint8)
    for low, high in ((0x41, 0x5A), (0x61, 0x7A), (0xC3, 0xDF), (0xE0, 0xE1)):
        lex[low : high + 1] = _LETTER
        kind[low : high + 1] = WORD
    lex[0x41:0x5B] = _CAPITAL
    lex[0x30:0x3A], kind[0x30:0x3A] = _DIGIT, NUMBER
    lex[0x80:0xC0] = _CONTINUES
    lex[0x20] = _SPACE
    for blank in (0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20):
        kind[blank] = BLANK
    kind[0xE3:0xEE] = IDEOGRAPH
    return lex, kind


_LEX, _KIND = _classes()


LEXER = 10
"""Integers that `split` carries from one byte to the next; START is where the unfinished symbol begins."""
_COUNT, STATE_OF_LEXER, _LENGTH, START, _KIND_NOW, _VALUE, _GLUED, _DEEP, _EARLY, _LATE = range(LEXER)

_PRIME = np.uint64(0x100000001B3)
_BASIS = np.uint64(0xCBF29CE484222325)
_SLIDE = np.uint64(0x9E3779B97F4A7C10)
"""16 times an odd number: after 16 steps an older byte is shifted out of the 64 bits."""


_BLOCK = 64 + LONGEST_WORD
"""Bytes that must be there for `_block`: those that it classes, and those that the last word in them may load."""
_LETTERS = (
    [min(count, 8) for count in range(LONGEST_WORD + 1)],
    [max(count - 8, 0) for count in range(LONGEST_WORD + 1)],
)
_EARLY_OF, _LATE_OF = (np.array([(1 << 8 * count) - 1 for count in counts], np.uint64) for counts in _LETTERS)
"""By the length of a word: which bits of its first eight bytes and of the next eight are its own."""


@kernel
def _finish(value: np.uint64, early: np.uint64, late: np.uint64, glued: np.uint64) -> np.uint64:
    """The symbol of a word, a piece or a mark: from its first eight letters, the next eight, and what else it holds."""
    mixed = (value ^ early) * _PRIME
    mixed = (mixed ^ (mixed >> np.uint64(32)) ^ late) * np.uint64(0xBF58476D1CE4E5B9)
    return (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0x94D049BB133111EB) + glued


def symbols_of(words: Sequence[str], glued: int) -> NDArray[np.uint64]:
    """The symbols of words of up to 16 ASCII letters; with `glued` 1 of those that have a space before them."""
    halves = [[int.from_bytes(word.encode()[k : k + 8], "little") for word in words] for k in (0, 8)]
    early, late = (np.array(half, np.uint64) for half in halves)
    of_many: Any = as_written(_finish)
    return of_many(_BASIS, early, late, np.uint64(glued))  # type: ignore[no-any-return]


@kernel
def _block(
    low: int,
    count: int,
    data: NDArray[np.uint8],
    symbols: NDArray[np.uint64],
    values: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    weights: NDArray[np.uint8],
    starts: NDArray[np.int64],
) -> tuple[int, int]:
    """Write the symbols of ASCII that begin at `low`, where one does, and end within 64 bytes; how many there are by now, and
    where the next begins. It stops before one that is too long to be taken whole."""
    one = np.uint64(1)
    small, capital = among(data, low, 0x61, 26), among(data, low, 0x41, 26)
    digit, space, beyond = among(data, low, 0x30, 10), among(data, low, 0x20, 1), among(data, low, 0x80, 128)
    goes_on = (small & ((small | capital) << one)) | (capital & (capital << one)) | (digit & (digit << one))
    goes_on |= space & (space << one)
    alone = space & ~(
        space << one
    )  # a space and none before it: what follows, if it is no space, is one symbol with it
    goes_on |= (alone << one) & ~space
    glues = alone & ~(space >> one)
    ends = ~goes_on & ~one & ~beyond & (beyond - one)  # before the first byte that is not ASCII
    begin = low
    while ends != 0:
        end = int(low + np.int64(zero_bits(ends)))
        ends &= ends - one
        glued = int(np.int64((glues >> np.uint64(begin - low)) & one))
        first = begin + glued
        length = end - first
        byte = data[at(first)]
        kind = _KIND[byte]
        values[at(count)] = 0
        weights[at(count)] = 0
        if kind == NUMBER:
            if length > LONGEST_NUMBER:
                break
            value = np.uint64(0)
            for k in range(first, end):
                value = value * np.uint64(10) + np.uint64(data[at(k)] - 48)
            symbols[at(count)] = _NUMBER
            values[at(count)] = np.int64(value << np.uint64(5)) | (length << 1) | glued
            weights[at(count)] = min(length, 4)
        elif byte == 0x20:
            if length > LONGEST_BLANK:
                break
            symbols[at(count)] = _SPACES * np.uint64(length)
        else:
            if length > LONGEST_WORD:
                break
            early = eight_bytes(data, first) & _EARLY_OF[at(length)]
            late = eight_bytes(data, first + 8) & _LATE_OF[at(length)]
            symbols[at(count)] = _finish(_BASIS, early, late, np.uint64(glued))
            weights[at(count)] = length * (kind == WORD)
        kinds[at(count)] = kind
        starts[at(count)] = begin
        count += 1
        begin = end
    return count, begin


@kernel
def split(
    low: int,
    high: int,
    data: NDArray[np.uint8],
    symbols: NDArray[np.uint64],
    values: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    weights: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lexer: NDArray[np.int64],
) -> int:
    """Write the symbols that end before byte `high`; all bytes before `low` have been read with the same `lexer`.

    Returns how many there are by now. The last, perhaps unfinished symbol is not written: so the symbols of a prefix are
    a prefix of the symbols. ASCII is taken in blocks of 64 bytes, with the same outcome as one by one.
    """
    count, state, length, start = lexer[_COUNT], lexer[STATE_OF_LEXER], lexer[_LENGTH], lexer[START]
    kind, value, early, late = (
        np.uint8(lexer[_KIND_NOW]),
        np.uint64(lexer[_VALUE]),
        np.uint64(lexer[_EARLY]),
        np.uint64(lexer[_LATE]),
    )
    glued, deep = np.uint64(lexer[_GLUED]), lexer[_DEEP] == 1
    i, rest = low, low  # before `rest` no block is tried: the last one held no whole symbol
    while i < high:
        if state < 0 and i >= rest and high - i >= _BLOCK:
            count, i = _block(i, count, data, symbols, values, kinds, weights, starts)
            if i == start:
                rest = i + 64
            start = i
            continue
        byte = data[at(i)]
        lex = _LEX[byte]
        i += 1
        if lex == _LETTER and state == _CAPITAL:
            state = _LETTER
        if lex == state:
            if (lex == _LETTER or lex == _CAPITAL) and length < LONGEST_WORD:
                if length < 8:
                    early |= np.uint64(byte) << np.uint64(8 * length)
                else:
                    late |= np.uint64(byte) << np.uint64(8 * length - 64)
                length += 1
                continue
            if lex == _DIGIT and length < LONGEST_NUMBER:
                value = value * np.uint64(10) + np.uint64(byte - 48)
                length += 1
                continue
            if lex == _SPACE and length < LONGEST_BLANK:
                length += 1
                continue
        elif lex == _CONTINUES and state >= 0 and state != _SPACE and i - 1 - start < _LONGEST_SYMBOL:
            where = np.uint64(byte) | (np.uint64(length) << np.uint64(8))
            value = value * _SLIDE + np.uint64(byte) if deep else (value ^ where) * _PRIME
            continue
        if state == _SPACE and length == 1 and lex != _SPACE:
            glued = np.uint64(1)
        elif state >= 0:
            values[at(count)] = 0
            weights[at(count)] = 0
            if kind == NUMBER:
                symbols[at(count)] = _NUMBER
                values[at(count)] = np.int64((value << np.uint64(5)) | (np.uint64(length) << np.uint64(1)) | glued)
                weights[at(count)] = min(length, 4)
            elif state == _SPACE:
                symbols[at(count)] = _SPACES * np.uint64(length)
            else:
                symbols[at(count)] = _finish(value, early, late, glued)
                if kind != MARK and kind != BLANK:
                    weights[at(count)] = i - 1 - start - np.int64(glued)
            kinds[at(count)] = kind
            starts[at(count)] = start
            count += 1
            start = i - 1
            glued = np.uint64(0)
            if (lex != state or lex == _OWN) and byte < 0x80 and start >= rest and high - start >= _BLOCK:
                state, i = -1, start
                continue
        early, late = np.uint64(0), np.uint64(0)
        if lex == state and lex != _OWN:
            value = (value if deep else np.uint64(0)) * _SLIDE + np.uint64(byte)
            deep = True
            length = LONGEST_BLANK + 1
            kind = np.uint8(BLANK if lex == _SPACE else PIECE)
            # one letter or digit after the other, the same as once round the loop for each
            while lex != _SPACE and i < high and _LEX[data[at(i)]] == state:
                symbols[at(count)] = _finish(value, early, late, glued)
                values[at(count)] = 0
                weights[at(count)] = i - start - np.int64(glued)
                kinds[at(count)] = kind
                starts[at(count)] = start
                count += 1
                start, glued = i, np.uint64(0)
                value = value * _SLIDE + np.uint64(data[at(i)])
                i += 1
            continue
        deep = False
        state = np.int64(_OWN if lex == _CONTINUES else lex)
        length = 1
        kind = _KIND[byte]
        if lex == _DIGIT:
            value = np.uint64(byte - 48)
        else:
            value, early = _BASIS, np.uint64(byte)
    lexer[_COUNT], lexer[STATE_OF_LEXER], lexer[_LENGTH], lexer[START] = count, state, length, start
    lexer[_KIND_NOW], lexer[_VALUE], lexer[_GLUED], lexer[_DEEP] = kind, np.int64(value), np.int64(glued), deep
    lexer[_EARLY], lexer[_LATE] = np.int64(early), np.int64(late)
    return int(count)


def fresh_lexer() -> NDArray[np.int64]:
    """The lexer before the first byte."""
    lexer = np.zeros(LEXER, np.int64)
    lexer[STATE_OF_LEXER] = -1
    return lexer
