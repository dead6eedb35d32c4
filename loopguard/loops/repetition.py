"""Where a sequence of integers repeats: numba kernels. They know no text, no files and no threshold of taste.

`previous` finds, for every position, the distance to the last occurrence of the n-gram that ends there, and how often that n-gram
has come. `runs` joins them: a stretch in which every symbol equals the one `period` before it. Both are linear on every input.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_ODD = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def previous(symbols: NDArray[np.uint64], gram: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For the n-gram ending at each position: (distance back to its last occurrence, how many occurrences came before).

    0 where it is new, and in the first `gram - 1` positions. Exact: a hash only picks the slot, symbols are compared.
    """
    size = symbols.size
    distance = np.zeros(size, np.int64)
    seen = np.zeros(size, np.int64)
    bits = 4
    while (1 << bits) < 2 * size:
        bits += 1
    last = np.full(1 << bits, -1, np.int64)
    mask = (1 << bits) - 1
    out = _ODD
    for _ in range(gram - 1):
        out *= _ODD
    value = np.uint64(0)
    for i in range(size):
        value = (value + symbols[i]) * _ODD
        if i >= gram:
            value -= symbols[i - gram] * out * _ODD
        if i < gram - 1:
            continue
        slot = np.int64((value ^ (value >> np.uint64(32))) * _ODD >> np.uint64(64 - bits))
        while last[slot] >= 0:
            j = last[slot]
            same = True
            for k in range(gram):
                if symbols[j - k] != symbols[i - k]:
                    same = False
                    break
            if same:
                distance[i] = i - j
                seen[i] = seen[j] + 1
                break
            slot = (slot + 1) & mask
        last[slot] = i
    return distance, seen


@njit(cache=True, nogil=True)
def runs(
    symbols: NDArray[np.uint64], distance: NDArray[np.int64], gram: int, shortest: int
) -> NDArray[np.int64]:
    """Rows (start, end, period): stretches of at least two periods and `shortest` symbols beyond the first copy.

    A run goes on while each symbol equals the one a period before. A shorter period inside it takes over where it has
    filled a whole longer one, or where the longer one ends.
    """
    found = np.zeros((symbols.size // max(1, shortest) + 1, 3), np.int64)
    count = 0
    period, begin = 0, 0
    inner, inner_begin = 0, 0
    for i in range(symbols.size + 1):
        d = distance[i] if i < symbols.size else 0
        if d == 0 or d != inner:
            inner, inner_begin = d, i - gram + 1
        if period > 0 and i < symbols.size and symbols[i] == symbols[i - period]:
            if inner >= period:
                inner = 0
            elif inner > 0 and i + 1 - inner_begin >= inner + period:
                period, begin, inner = inner, inner_begin, 0
            continue
        if period > 0 and i - begin >= max(shortest, period):
            while begin > period and symbols[begin - 1] == symbols[begin - 1 - period]:
                begin -= 1
            found[count] = (begin - period, i, period)
            count += 1
        period, begin, inner = inner, inner_begin, 0
    return found[:count]
