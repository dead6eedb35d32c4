"""Text to symbols: UTF-8 bytes become words, the integers that the kernels of repetition.py work on.

A symbol is about what a BPE token is: a word with the space before it, a number, one punctuation mark, one ideograph. Equal
symbols have equal bytes (up to a 64-bit hash), so a run that repeats symbol for symbol repeats byte for byte.

What this simplifies: no Unicode tables. Bytes are classed by their lead byte alone; that is enough to tell letters of
alphabets from ideographs and marks, and it never fails on invalid UTF-8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.eight_bytes import capitals, eight_bytes, small_letters
from loopguard.loops.grams import kernel
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


LEXER = 9
"""Integers that `split` carries from one byte to the next; START is where the unfinished symbol begins."""
_COUNT, STATE_OF_LEXER, _LENGTH, START, _KIND_NOW, _VALUE, _GLUED, _DEEP, _LANE = range(LEXER)

_PRIME = np.uint64(0x100000001B3)
_BASIS = np.uint64(0xCBF29CE484222325)
_SLIDE = np.uint64(0x9E3779B97F4A7C10)
"""16 times an odd number: after 16 steps an older byte is shifted out of the 64 bits."""


@kernel
def _finish(value: np.uint64, lane: np.uint64, glued: np.uint64) -> np.uint64:
    """The symbol of a word, a piece or a mark."""
    value = (value ^ lane) * _PRIME
    return (value ^ (value >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + glued


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
    a prefix of the symbols. Letters of ASCII are taken eight at a time, with the same outcome as one by one.
    """
    count, state, length, start = lexer[_COUNT], lexer[STATE_OF_LEXER], lexer[_LENGTH], lexer[START]
    kind, value, lane = np.uint8(lexer[_KIND_NOW]), np.uint64(lexer[_VALUE]), np.uint64(lexer[_LANE])
    glued, deep = np.uint64(lexer[_GLUED]), lexer[_DEEP] == 1
    i = low
    while i < high:
        byte = data[i]
        lex = _LEX[byte]
        i += 1
        if lex == _LETTER and state == _CAPITAL:
            state = _LETTER
        if lex == state:
            if (lex == _LETTER or lex == _CAPITAL) and length < LONGEST_WORD:
                place = np.uint64((length - 1) & 7)
                lane |= np.uint64(byte) << (place << np.uint64(3))
                if place == np.uint64(7):
                    value, lane = (value ^ lane) * _PRIME, np.uint64(0)
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
            if lane != 0:
                value, lane = (value ^ lane) * _PRIME, np.uint64(0)
            value = value * _SLIDE + np.uint64(byte) if deep else (value ^ np.uint64(byte)) * _PRIME
            continue
        if state == _SPACE and length == 1 and lex != _SPACE:
            glued = np.uint64(1)
        elif state >= 0:
            values[count] = 0
            weights[count] = 0
            if kind == NUMBER:
                symbols[count] = _NUMBER
                values[count] = np.int64((value << np.uint64(5)) | (np.uint64(length) << np.uint64(1)) | glued)
                weights[count] = min(length, 4)
            elif state == _SPACE:
                symbols[count] = np.uint64(0xABCDEF0123456789) * np.uint64(length)
            else:
                symbols[count] = _finish(value, lane, glued)
                if kind != MARK and kind != BLANK:
                    weights[count] = i - 1 - start - np.int64(glued)
            kinds[count] = kind
            starts[count] = start
            count += 1
            start = i - 1
            glued = np.uint64(0)
        lane = np.uint64(0)
        if lex == state and lex != _OWN:
            value = (value if deep else np.uint64(0)) * _SLIDE + np.uint64(byte)
            deep = True
            length = LONGEST_BLANK + 1
            kind = np.uint8(BLANK if lex == _SPACE else PIECE)
            # one letter or digit after the other, the same as once round the loop for each
            while lex != _SPACE and i < high and _LEX[data[i]] == state:
                symbols[count] = _finish(value, lane, glued)
                values[count] = 0
                weights[count] = i - start - np.int64(glued)
                kinds[count] = kind
                starts[count] = start
                count += 1
                start, glued = i, np.uint64(0)
                value = value * _SLIDE + np.uint64(data[i])
                i += 1
            continue
        deep = False
        state = np.int64(_OWN if lex == _CONTINUES else lex)
        length = 1
        kind = _KIND[byte]
        if lex == _DIGIT:
            value = np.uint64(byte - 48)
            continue
        value = (_BASIS ^ np.uint64(byte)) * _PRIME
        # words of ASCII, and " word" after " word"; whatever else comes is left to the loop above
        while (state == _LETTER or state == _CAPITAL) and byte < 0x80 and i + 8 <= high:
            word = eight_bytes(data, i)
            taken = np.int64(0)
            if state == _CAPITAL:
                taken = np.int64(capitals(word))
                if taken < 8:
                    small = np.int64(small_letters(word >> np.uint64(8 * taken)))
                    if small > 0:
                        state, taken = np.int64(_LETTER), taken + small
            else:
                taken = np.int64(small_letters(word))
            if taken == 8 and length == 1:
                value = (value ^ word) * _PRIME
                length, i = length + 8, i + 8
                continue
            taken = min(taken, np.int64(LONGEST_WORD - length))
            lane = word & ((np.uint64(1) << np.uint64(8 * taken)) - np.uint64(1))
            length, i = int(length + taken), int(i + taken)
            if i + 1 >= high or data[i] != 0x20:
                break
            byte = data[i + 1]
            lex = _LEX[byte]
            if byte >= 0x80 or (lex != _LETTER and lex != _CAPITAL):
                break
            symbols[count] = _finish(value, lane, glued)
            values[count] = 0
            weights[count] = i - start - np.int64(glued)
            kinds[count] = WORD
            starts[count] = start
            count += 1
            start, glued, lane = i, np.uint64(1), np.uint64(0)
            state, length = np.int64(lex), 1
            value = (_BASIS ^ np.uint64(byte)) * _PRIME
            i += 2
    lexer[_COUNT], lexer[STATE_OF_LEXER], lexer[_LENGTH], lexer[START] = count, state, length, start
    lexer[_KIND_NOW], lexer[_VALUE], lexer[_GLUED], lexer[_DEEP] = kind, np.int64(value), np.int64(glued), deep
    lexer[_LANE] = np.int64(lane)
    return int(count)


def fresh_lexer() -> NDArray[np.int64]:
    """The lexer before the first byte."""
    lexer = np.zeros(LEXER, np.int64)
    lexer[STATE_OF_LEXER] = -1
    return lexer
