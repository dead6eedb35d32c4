"""Where an n-gram came last: hash tables of two generations, in numba kernels.

A table holds the n-grams of the window that is being filled and of the one before, each in a half of its own; what an earlier
text or generation left behind counts as empty, so that a table is not cleared between texts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.kernels import kernel

at = np.uint64
"""What an index goes through: a signed one is looked at for being negative whenever it is used, which takes as long as the rest."""

ZERO: Any = np.int64(0)
"""Nought, as a variable begins with that goes into another kernel: numba compiles that one again for every plain number."""

GRAM = 5
"""Symbols in an n-gram: about 24 bytes of prose, as 5 or 6 tokens of a BPE are."""
WINDOW = 1 << 13
"""Symbols after which a generation of the tables is full: an n-gram is remembered for one to two windows, 36 to 72 KB of prose.
So the tables stay in the cache, and no period longer than that is found."""

ODD = np.uint64(0x9E3779B97F4A7C15)
"""Odd, near 2^64 over the golden ratio: what an n-gram's hash is multiplied with for each symbol."""
OUT = np.uint64(pow(0x9E3779B97F4A7C15, GRAM + 1, 1 << 64))
"""What takes the symbol that leaves an n-gram out of its hash."""


@kernel
def equal(grams: NDArray[np.uint64], values: NDArray[np.int64], i: int, j: int, exact: bool) -> bool:
    """Whether the same n-gram ends at `i` and at `j`, by their hashes of 64 bits; `exact`: with the same numbers."""
    if grams[at(i)] != grams[at(j)]:
        return False
    if exact:
        for k in range(GRAM):
            if values[at(i - k)] != values[at(j - k)]:
                return False
    return True


@kernel
def _exact(symbols: NDArray[np.uint64], values: NDArray[np.int64], i: int) -> np.uint64:
    """A symbol that differs from number to number; that of no number is the symbol itself."""
    return symbols[at(i)] ^ (np.uint64(values[at(i)]) * OUT)  # type: ignore[no-any-return]


@kernel
def exact_hash(
    symbols: NDArray[np.uint64], values: NDArray[np.int64], i: int, before: np.uint64, known: bool
) -> np.uint64:
    """The hash of the n-gram that ends at `i`, its numbers included; quicker where that of the one `before` is known."""
    if known:
        return (before + _exact(symbols, values, i)) * ODD - _exact(symbols, values, i - GRAM) * OUT
    value = np.uint64(0)
    for k in range(GRAM - 1, -1, -1):
        value = (value + _exact(symbols, values, i - k)) * ODD
    return value


@kernel
def slot_of(value: np.uint64, bits: int) -> int:
    """The first slot of a hash."""
    return np.int64(((value ^ (value >> np.uint64(32))) * ODD) >> np.uint64(64 - bits))  # type: ignore[return-value]


@kernel
def place(
    grams: NDArray[np.uint64],
    values: NDArray[np.int64],
    i: int,
    value: np.uint64,
    exact: bool,
    table: NDArray[np.int32],
    bits: int,
    base: int,
    age: int,
) -> tuple[int, int, int]:
    """Where the generation `age` holds the n-gram ending at `i`, or would; its last position in it, or -1; slots looked at."""
    half, born = (age & 1) << bits, base + age * WINDOW
    slot = half | slot_of(value, bits)
    looked = 0
    while table[at(slot)] >= born:
        looked += 1
        j = int(table[at(slot)]) - base
        if equal(grams, values, i, j, exact):
            return slot, j, looked
        slot = half | ((slot + 1) & ((1 << bits) - 1))
    return slot, -1, looked


@kernel
def _seen(
    grams: NDArray[np.uint64],
    values: NDArray[np.int64],
    i: int,
    value: np.uint64,
    exact: bool,
    table: NDArray[np.int32],
    bits: int,
    base: int,
) -> tuple[int, int]:
    """The last position of the n-gram ending at `i`, or -1; and `i` takes its place. Also the number of slots looked at."""
    age, found, looked = i // WINDOW, -1, 0
    half, born = (age & 1) << bits, base + age * WINDOW
    slot = half | slot_of(value, bits)
    while table[at(slot)] >= born:  # as in `place`, without the call
        looked += 1
        found = int(table[at(slot)]) - base
        if equal(grams, values, i, found, exact):
            break
        found = -1
        slot = half | ((slot + 1) & ((1 << bits) - 1))
    table[at(slot)] = base + i
    if found < 0 and age > 0:
        _, found, before = place(grams, values, i, value, exact, table, bits, base, age - 1)
        looked += before
    return found, looked


@kernel
def numbered(values: NDArray[np.int64], i: int) -> bool:
    """Whether the n-gram that ends at `i` holds a number."""
    any_bit = np.int64(0)
    for k in range(GRAM):
        any_bit |= values[at(i - k)]
    return any_bit != 0  # type: ignore[no-any-return]


@kernel
def nearest(
    grams: NDArray[np.uint64],
    values: NDArray[np.int64],
    i: int,
    j: int,
    value: np.uint64,
    exact: NDArray[np.int32],
    bits: int,
    base: int,
) -> int:
    """The last position of the n-gram ending at `i` with the same numbers, whose hash is `value`; `j`: with any numbers."""
    k, _ = _seen(grams, values, i, value, True, exact, bits, base)
    return j if k != j and equal(grams, values, i, j, True) else k


@kernel
def enter(
    symbols: NDArray[np.uint64],
    values: NDArray[np.int64],
    grams: NDArray[np.uint64],
    low: int,
    high: int,
    tables: NDArray[np.int32],
    bits: int,
    base: int,
) -> None:
    """Enter the n-grams that end in `low` to `high`, which a run has passed over; `grams` holds their hashes."""
    loose, value, last = tables[0], np.uint64(0), -1
    for i in range(low, high):
        if numbered(values, i):
            j, _ = _seen(grams, values, i, grams[at(i)], False, loose, bits, base)
            if j >= 0:
                value = exact_hash(symbols, values, i, value, last == i - 1 and i >= GRAM)
                last = i
                nearest(grams, values, i, j, value, tables[1], bits, base)
        else:
            slot, _, _ = place(grams, values, i, grams[at(i)], False, loose, bits, base, i // WINDOW)
            loose[at(slot)] = base + i
