"""Texts to integers where no tokenizer is at hand: words with their space, numbers, marks; about as long as BPE tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.kernels import kernel_with_arrays
from loopguard.loops.words import LEXER, STATE_OF_LEXER, split

_ODD = np.uint64(0x9E3779B97F4A7C15)


def rough_tokens(offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Offsets and ids of texts: text i is data[offsets[i]:offsets[i + 1]], UTF-8. Equal words have equal ids."""
    longest = int(np.diff(offsets).max(initial=0)) + 1
    ids = np.empty(int(offsets[-1] - offsets[0]), np.uint64)
    found = np.zeros(offsets.size, np.int64)
    bytes_ = [np.empty(longest, np.uint8) for _ in range(2)]
    _rough_tokens(
        offsets, data, ids, found, np.empty(longest, np.uint64), np.empty((2, longest), np.int64), bytes_[0], bytes_[1]
    )
    return found, ids[: found[-1]]


@kernel_with_arrays
def _rough_tokens(
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    ids: NDArray[np.uint64],
    found: NDArray[np.int64],
    symbols: NDArray[np.uint64],
    whole: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    weights: NDArray[np.uint8],
) -> None:
    lexer = np.empty(LEXER, np.int64)
    for row in range(offsets.size - 1):
        text = data[offsets[row] : offsets[row + 1]]
        lexer[:] = 0
        lexer[STATE_OF_LEXER] = -1
        count = split(0, text.size, text, symbols, whole[0], kinds, weights, whole[1], lexer)
        at = found[row]
        for i in range(count):  # all numbers share a symbol; whole[0] tells them apart
            ids[at + i] = symbols[i] + np.uint64(whole[0, i]) * _ODD
        found[row + 1] = at + count
