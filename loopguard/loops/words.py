"""Text to symbols: UTF-8 bytes become words, the integers that the kernels of repetition.py work on.

A symbol is about what a BPE token is: a word with the space before it, a number, one punctuation mark, one ideograph. Equal
symbols have equal bytes (up to a 64-bit hash), so a run that repeats symbol for symbol repeats byte for byte.

What this simplifies: no Unicode tables. Bytes are classed by their lead byte alone; that is enough to tell letters of
alphabets from ideographs and marks, and it never fails on invalid UTF-8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.repetition import NUMBER, PIECE, kernel

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


LEXER = 8
"""Integers that `split` carries from one byte to the next; START is where the unfinished symbol begins."""
_COUNT, STATE_OF_LEXER, _LENGTH, START, _KIND_NOW, _VALUE, _GLUED, _DEEP = range(LEXER)


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
    a prefix of the symbols.
    """
    prime = np.uint64(0x100000001B3)
    slide = np.uint64(0x9E3779B97F4A7C10)  # 16 * odd: after 16 steps an older byte is shifted out of the 64 bits
    count, state, length, start = lexer[_COUNT], lexer[STATE_OF_LEXER], lexer[_LENGTH], lexer[START]
    kind, value = np.uint8(lexer[_KIND_NOW]), np.uint64(lexer[_VALUE])
    glued, deep = np.uint64(lexer[_GLUED]), lexer[_DEEP] == 1
    for i in range(low, high):
        byte = data[i]
        lex = _LEX[byte]
        if lex == _LETTER and state == _CAPITAL:
            state = _LETTER
        if lex == state:
            if (lex == _LETTER or lex == _CAPITAL) and length < LONGEST_WORD:
                value = (value ^ byte) * prime
                length += 1
                continue
            if lex == _DIGIT and length < LONGEST_NUMBER:
                value = value * np.uint64(10) + np.uint64(byte - 48)
                length += 1
                continue
            if lex == _SPACE and length < LONGEST_BLANK:
                length += 1
                continue
        elif lex == _CONTINUES and state >= 0 and i - start < _LONGEST_SYMBOL:
            value = value * slide + np.uint64(byte) if deep else (value ^ byte) * prime
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
                symbols[count] = (value ^ (value >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + glued
                if kind != MARK and kind != BLANK:
                    weights[count] = i - start - np.int64(glued)
            kinds[count] = kind
            starts[count] = start
            count += 1
            start = i
            glued = np.uint64(0)
        if lex == state and lex != _OWN:
            value = (value if deep else np.uint64(0)) * slide + np.uint64(byte)
            deep = True
            length = LONGEST_BLANK + 1
            kind = np.uint8(BLANK if lex == _SPACE else PIECE)
        else:
            deep = False
            state = np.int64(_OWN if lex == _CONTINUES else lex)
            length = 1
            kind = _KIND[byte]
            value = np.uint64(byte - 48) if lex == _DIGIT else (np.uint64(0xCBF29CE484222325) ^ byte) * prime
    lexer[_COUNT], lexer[STATE_OF_LEXER], lexer[_LENGTH], lexer[START] = count, state, length, start
    lexer[_KIND_NOW], lexer[_VALUE], lexer[_GLUED], lexer[_DEEP] = kind, np.int64(value), np.int64(glued), deep
    return int(count)


def fresh_lexer() -> NDArray[np.int64]:
    """The lexer before the first byte."""
    lexer = np.zeros(LEXER, np.int64)
    lexer[STATE_OF_LEXER] = -1
    return lexer
