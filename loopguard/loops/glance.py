"""A first look that most outputs do not get past: numba kernels that say whether anything in a text is said often at all.

Whatever loops says many things a third time. So only this is looked at: at each beginning of a word, whether the next sixteen
bytes have come before. That takes a fraction of what the full examination takes, and nine outputs in ten are told clean by it.
A text is examined in full

- if beginnings come for the third time and later, and few new ones in between (near loops, counters, lists);
- if beginnings come back, one after the other, from one and the same distance for most of that distance (runs);
- if words begin nowhere for a while: rules, digits, base64, which this look knows nothing about;
- if it is longer than `LONGEST`: much is said a third time there, and the table would leave the cache.

Token ids are always examined in full: of their cost no part goes into words, so a first look at them takes as long.

Each of these stays true once it is: what must be examined must be so however it goes on, and a stream examines nothing before
it must. Of all loops at hand (labelled, flagged in outputs.parquet, generated, stitched together at random) none is passed
over: `benchmarks.detector.glance` counts them. Nothing proves that there is no loop of another kind: settings that are looser in
anything than the default, and `Detector(in_full=True)`, do without this look.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.byte_masks import BYTES, LINE, among, line, zero_bits
from loopguard.loops.grams import ODD, at
from loopguard.loops.kernels import as_written, kernel

LONGEST = 1 << 13
"""Bytes up to which a first look is taken: of longer outputs, 3 in 100, seven in ten would be examined all the same."""
ENOUGH = 12
"""Score from which a text is examined. A beginning that comes for the third time or later counts two, a new one takes one off."""
_THIRD = 2
_SHARE = 0.8
"""Share of its distance for which one distance must be kept: a run of 2.3 copies, the shortest that counts, keeps it for 1.3."""
_SHORTEST = 16
"""Bytes for which it must be kept at least: of the 70 that the shortest run comes back for, long words and the last sixteen may
leave no more to be seen."""
_DARK = 54
"""Bytes without the beginning of a word: 70, of which the last 16 are not looked at."""

# what is carried along: the next place to look at, whether a letter stands before it, the last beginning, the score, the
# distance that is kept and from where, whether enough was found
NEXT, LETTER, LAST, SCORE, DISTANCE, SINCE, FOUND, GLANCE = range(8)
# a row of the table: what was seen; number of the text << 20 | where last << 3 | how often, at most 7
SEEN, WHERE, COLUMNS = range(3)
_TEXT = 20


@kernel
def room_for(size: int) -> int:
    """A table of two to the this many rows is at most half full with the beginnings of words in so many bytes."""
    bits = 6
    while (1 << bits) < size:
        bits += 1
    return bits


def fresh_table(size: int) -> NDArray[np.uint64]:
    """A table for texts of up to `size` bytes."""
    return np.zeros((1 << as_written(room_for)(min(size, LONGEST)), COLUMNS), np.uint64)


@kernel
def _see(p: int, seen: np.uint64, table: NDArray[np.uint64], bits: int, text: int) -> tuple[int, int]:
    """Take in what begins at `p`: how often it came before, at most 7, and how far back."""
    seen = (seen ^ (seen >> np.uint64(32))) * ODD
    slot = seen >> np.uint64(64 - bits)
    number, here = np.uint64(text) << np.uint64(_TEXT), np.uint64(p) << np.uint64(3)
    while True:
        before = table[at(slot), WHERE] ^ number
        if before >> np.uint64(_TEXT) != 0:
            table[at(slot), SEEN], table[at(slot), WHERE] = seen, number | here | np.uint64(1)
            return 0, 0
        if table[at(slot), SEEN] == seen:
            often = before & np.uint64(7)
            table[at(slot), WHERE] = number | here | min(np.uint64(7), often + np.uint64(1))
            return int(often), p - int(before >> np.uint64(3))
        slot = (slot + np.uint64(1)) & np.uint64((1 << bits) - 1)


@kernel
def _weigh(
    p: int, often: int, far: int, score: int, distance: int, since: int, enough: int
) -> tuple[int, int, int, bool]:
    """The score, the distance that is kept and from where, after something that came `often` before; whether that is enough."""
    if often == 0:
        return max(0, score - 1), 0, p, False
    if often >= 2:
        score += _THIRD
    if far != distance:
        distance, since = far, p
    kept = p - since
    return score, distance, since, score >= enough or (kept >= _SHORTEST and kept >= _SHARE * far)


@kernel
def glance(
    high: int,
    data: NDArray[np.uint8],
    table: NDArray[np.uint64],
    bits: int,
    text: int,
    state: NDArray[np.int64],
    enough: int,
) -> bool:
    """Whether data[:high] must be examined; what comes before was looked at with the same `state`, `table`, `bits` and `text`.

    `text` is a number above 0 that no other text in this table has. A place is looked at once sixteen bytes have come.
    """
    i, last, score, distance, since = state[NEXT], state[LAST], state[SCORE], state[DISTANCE], state[SINCE]
    found, before = state[FOUND] == 1 or high > LONGEST, np.uint64(state[LETTER])
    while not found and i + LINE <= high:
        if i + BYTES + LINE <= high:
            letters = among(data, i, 0x61, 26) | among(data, i, 0x41, 26) | among(data, i, 0x80, 128)
            begins = (letters & ~((letters << np.uint64(1)) | before)) | among(data, i, 0xE3, 11)
            before = letters >> np.uint64(63)
            step = BYTES
        else:
            byte = data[at(i)]
            letter = byte >= 0x80 or 0x41 <= (byte & 0xDF) <= 0x5A
            begins = np.uint64((letter and before == 0) or 0xE3 <= byte < 0xEE)
            before = np.uint64(letter)
            step = 1
        while begins != 0:
            p = i + np.int64(zero_bits(begins))
            begins &= begins - np.uint64(1)
            early, late = line(data, p)
            often, far = _see(p, early * ODD + late, table, bits, text)
            score, distance, since, found = _weigh(p, often, far, score, distance, since, enough)
            found = found or p - last > _DARK
            last = p
            if found:
                break
        i += step
    found = found or i - last > _DARK
    state[NEXT], state[LETTER], state[LAST], state[SCORE] = i, np.int64(before), last, score
    state[DISTANCE], state[SINCE], state[FOUND] = distance, since, found
    return found
