"""Many texts or token sequences in one array: what the kernels find in each, with no Python between them.

`offsets` and `values` are laid out as Arrow lays out strings and lists: row i is values[offsets[i]:offsets[i + 1]].
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.byte_masks import BYTES as BLOCK
from loopguard.loops.byte_masks import among, set_bits
from loopguard.loops.counting import count_on
from loopguard.loops.few_words import fresh_words, weigh_words, worth_weighing
from loopguard.loops.glance import GLANCE, LONGEST, fresh_table, glance, room_for
from loopguard.loops.grams import GRAM, WINDOW, ZERO, at
from loopguard.loops.kernels import as_written, kernel
from loopguard.loops.lists import fresh_items, read_lines
from loopguard.loops.ordinals import STATE, count_in_words, fresh_ordinals
from loopguard.loops.repetition import (
    BEST,
    LAST_MUCH,
    NOTED,
    OPEN,
    RUN,
    RUN_WASTED,
    RUNS,
    SCORE,
    advance,
)
from loopguard.loops.rounds import go_round
from loopguard.loops.rules import END, LOOP, LOOPS, PERIOD, START, judge
from loopguard.loops.sentences import fresh_sentences, read_sentences
from loopguard.loops.words import LEXER, STATE_OF_LEXER, WORD, split
from loopguard.loops.words import START as LEXER_START

BYTES, LENGTH, SYMBOLS, STRETCH_SCORE, OPEN_SCORE, RUN_BYTES, LOUD, COUNT, FIGURES = range(9)
"""Columns of the figures: size in bytes, in characters or tokens, in symbols; scores; bytes the longest run wastes;
how loud the loudest rule speaks, in millionths of what is needed; loops."""

PART = 1 << 14
"""Bytes of a text whose symbols are examined before the next are read: they are still in the cache."""

TOKEN_BYTES = 3
"""Bytes that one token id counts as: a BPE token of prose holds 4.4, of outputs that loop or look like it 2 to 3.3."""
TOKEN_LETTERS = 2
"""Letters among them."""


class Workspace:
    """Arrays that one thread reuses from text to text. Tables need no clearing: every text has positions of its own.

    `told` counts the symbols of all texts so far, and the texts.
    """

    def __init__(self, longest: int) -> None:
        """Room for texts of up to `longest` bytes or tokens."""
        self.longest, size = longest, longest + 1
        self.symbols = np.empty(size, np.uint64)
        self.values = np.empty(size, np.int64)
        self.kinds = np.empty(size, np.uint8)
        self.weights = np.empty(size, np.uint8)
        self.starts = np.empty(size, np.int64)
        self.grams = np.empty(size, np.uint64)
        self.back = np.empty(size, np.int32)
        self.chain = np.empty(size, np.int32)
        self.again = np.empty(size, np.uint8)
        self.tables = np.full((2, 2 << as_written(table_bits)(longest)), -1, np.int32)
        self.state = np.empty(STATE, np.int64)
        self.runs = np.empty((RUNS, RUN), np.int64)
        self.lexer = np.empty(LEXER, np.int64)
        self.items = fresh_items()
        self.sentences = fresh_sentences()
        self.words = fresh_words()
        self.ordinals = fresh_ordinals()
        self.told = np.zeros(2, np.int64)
        self.seen = fresh_table(LONGEST)
        self.look = np.empty(GLANCE, np.int64)
        kept = (
            *self.arrays(),
            self.state,
            self.runs,
            self.told,
            self.lexer,
            self.items,
            self.seen,
            self.look,
            self.sentences,
            self.words,
            self.ordinals,
        )
        self._addresses = np.array([array.ctypes.data for array in kept], np.int64)
        self._sizes = np.array([array.shape[1] if array is self.tables else len(array) for array in kept], np.int64)
        self.for_entry = self._addresses.ctypes.data, self._sizes.ctypes.data
        self.figures = np.zeros((1, FIGURES), np.int64)
        self.loops = np.zeros((LOOPS, LOOP), np.int64)
        self.ends = np.zeros(2, np.int64)
        self.figures_at, self.loops_at, self.ends_at = (a.ctypes.data for a in (self.figures, self.loops, self.ends))

    def arrays(self) -> tuple[Any, ...]:
        """Those that `advance` takes, in its order."""
        return (
            self.symbols, self.values, self.kinds, self.weights, self.starts, self.grams, self.back, self.chain, self.again,
            self.tables,
        )  # fmt: skip


@kernel
def table_bits(symbols: int) -> int:
    """A table of two to the this many slots is at most an eighth full with this many symbols, a quarter with a window of them."""
    bits = 6
    while (1 << bits) < 8 * min(symbols, WINDOW // 2):
        bits += 1
    return bits


@kernel
def reset(state: NDArray[np.int64], runs: NDArray[np.int64]) -> None:
    """The state before the first symbol."""
    state[:] = 0
    state[NOTED], state[LAST_MUCH] = -1, -GRAM
    runs[:] = 0


def fresh_state() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A state and its runs before the first symbol."""
    state, runs = np.empty(STATE, np.int64), np.empty((RUNS, RUN), np.int64)
    reset(state, runs)
    return state, runs


@kernel
def characters(data: NDArray[np.uint8], high: int) -> int:
    """Characters that begin before byte `high`; of invalid UTF-8, bytes that are no continuation."""
    count, i = ZERO, ZERO
    while i + BLOCK <= high:
        count += BLOCK - np.int64(set_bits(among(data, i, 0x80, 0x40)))
        i += BLOCK
    while i < high:
        count += (data[at(i)] & 0xC0) != 0x80
        i += 1
    return int(count)


@kernel
def to_characters(data: NDArray[np.uint8], loops: NDArray[np.int64], found: int) -> None:
    """Bytes to characters, in place."""
    for k in range(found):
        once = characters(data, loops[k, START] + loops[k, PERIOD])
        loops[k, START] = characters(data, loops[k, START])
        loops[k, END] = characters(data, loops[k, END])
        loops[k, PERIOD] = max(1, once - loops[k, START])


@kernel
def fill_figures(
    size: int,
    length: int,
    count: int,
    found: int,
    loud: float,
    state: NDArray[np.int64],
    runs: NDArray[np.int64],
    row: NDArray[np.int64],
) -> None:
    """One row of the figures."""
    row[BYTES], row[LENGTH], row[SYMBOLS], row[COUNT] = size, length, count, found
    row[STRETCH_SCORE], row[OPEN_SCORE] = state[BEST + SCORE], max(0, state[OPEN + SCORE])
    row[LOUD], row[RUN_BYTES] = np.int64(loud * 1e6), 0
    for k in range(RUNS):
        row[RUN_BYTES] = max(row[RUN_BYTES], runs[k, RUN_WASTED])


@kernel
def scan_texts(
    low: int,
    high: int,
    offsets: NDArray[np.int64],
    values: NDArray[np.uint8],
    enough: int,
    rule: NDArray[np.int64],
    limits: NDArray[np.float64],
    figures: NDArray[np.int64],
    loops: NDArray[np.int64],
    symbols: NDArray[np.uint64],
    numbers: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    weights: NDArray[np.uint8],
    starts: NDArray[np.int64],
    grams: NDArray[np.uint64],
    back: NDArray[np.int32],
    chain: NDArray[np.int32],
    again: NDArray[np.uint8],
    tables: NDArray[np.int32],
    state: NDArray[np.int64],
    runs: NDArray[np.int64],
    told: NDArray[np.int64],
    lexer: NDArray[np.int64],
    items: NDArray[np.int64],
    seen: NDArray[np.uint64],
    look: NDArray[np.int64],
    sentences: NDArray[np.int64],
    words: NDArray[np.int64],
    ordinals: NDArray[np.int64],
) -> None:
    """Fill the rows `low` to `high` of `figures`; their loops, in characters, one after the other in `loops`.

    With `enough`, the score for which a first look looks, texts that it passes over are not examined: all of their figures but
    the lengths are nought. With `enough` 0 every text is examined.
    """
    base, total = told[0], ZERO
    for row in range(low, high):
        data = values[offsets[row] : offsets[row + 1]]
        if enough > 0 and data.size <= LONGEST:
            told[1] += 1
            look[:] = 0
            if not glance(data.size, data, seen, room_for(data.size), told[1], look, enough):
                for column in range(FIGURES):
                    figures[row, column] = 0
                figures[row, BYTES], figures[row, LENGTH] = data.size, characters(data, data.size)
                continue
        lexer[:] = 0
        lexer[STATE_OF_LEXER] = -1
        reset(state, runs)
        if base + data.size >= 1 << 30:
            base = ZERO
            tables[:] = -1
        bits = table_bits(data.size)
        count = ZERO
        starts[0] = 0
        for low_byte in range(0, data.size, PART):
            done = count
            high_byte = min(low_byte + PART, data.size)
            count = split(low_byte, high_byte, data, symbols, numbers, kinds, weights, starts, lexer)
            starts[count] = lexer[LEXER_START]
            if data.size <= PART:
                bits = table_bits(count)
            advance(
                done,
                count,
                symbols,
                numbers,
                kinds,
                weights,
                starts,
                grams,
                back,
                chain,
                again,
                tables,
                bits,
                base,
                rule,
                state,
                runs,
            )
            count_on(done, count, symbols, numbers, kinds, weights, back, state)
            go_round(count, symbols, numbers, kinds, weights, starts, back, chain, rule, state)
            read_lines(low_byte, high_byte, data, rule, state, items)
            read_sentences(high_byte, data, rule, state, sentences)
            if worth_weighing(count, starts, state):
                weigh_words(count, data, symbols, kinds, weights, starts, state, words)
            count_in_words(count, symbols, numbers, kinds, weights, state, ordinals)
        base += count
        found, loud = judge(count, data.size, data, starts, again, limits, state, runs, loops[total : total + LOOPS])
        to_characters(data, loops[total : total + LOOPS], found)
        fill_figures(data.size, characters(data, data.size), count, found, loud, state, runs, figures[row])
        total += found
    told[0] = base


@kernel
def scan_tokens(
    low: int,
    high: int,
    offsets: NDArray[np.int64],
    values: NDArray[np.uint64],
    no_text: NDArray[np.uint8],
    rule: NDArray[np.int64],
    limits: NDArray[np.float64],
    figures: NDArray[np.int64],
    loops: NDArray[np.int64],
    symbols: NDArray[np.uint64],
    numbers: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    weights: NDArray[np.uint8],
    starts: NDArray[np.int64],
    grams: NDArray[np.uint64],
    back: NDArray[np.int32],
    chain: NDArray[np.int32],
    again: NDArray[np.uint8],
    tables: NDArray[np.int32],
    state: NDArray[np.int64],
    runs: NDArray[np.int64],
    told: NDArray[np.int64],
) -> None:
    """The same for token ids; positions in tokens."""
    base, total = told[0], ZERO
    longest = 0
    for row in range(low, high):
        longest = max(longest, offsets[row + 1] - offsets[row])
    numbers[:longest] = 0
    kinds[:longest] = WORD
    weights[:longest] = TOKEN_LETTERS
    for i in range(longest + 1):
        starts[i] = i * TOKEN_BYTES
    for row in range(low, high):
        ids = values[offsets[row] : offsets[row + 1]]
        reset(state, runs)
        if base + ids.size >= 1 << 30:
            base = ZERO
            tables[:] = -1
        bits = table_bits(ids.size)
        # into what may be written, as the symbols of a text are: else all is compiled once more
        for k in range(ids.size):
            symbols[k] = ids[k]
        advance(
            ZERO,
            ids.size,
            symbols,
            numbers,
            kinds,
            weights,
            starts,
            grams,
            back,
            chain,
            again,
            tables,
            bits,
            base,
            rule,
            state,
            runs,
        )
        base += ids.size
        size = ids.size * TOKEN_BYTES
        found, loud = judge(ids.size, size, no_text, starts, again, limits, state, runs, loops[total : total + LOOPS])
        for k in range(total, total + found):
            loops[k, START] //= TOKEN_BYTES
            loops[k, END] //= TOKEN_BYTES
            loops[k, PERIOD] = max(1, loops[k, PERIOD] // TOKEN_BYTES)
        fill_figures(size, ids.size, ids.size, found, loud, state, runs, figures[row])
        total += found
    told[0] = base
