"""How many letters of ASCII come next, eight bytes at a time: most of what is read are words of these.

Only `eight_bytes` needs more than numba has words for: a load of 64 bits from wherever they lie, and a count of zero bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from loopguard.loops.grams import kernel

_EACH, _HIGH = 0x0101010101010101, np.uint64(0x8080808080808080)
_LOW = np.uint64(0x7F * _EACH)
_FROM_SMALL, _PAST_SMALL = np.uint64((0x80 - 0x61) * _EACH), np.uint64((0x80 - 0x7B) * _EACH)
_FROM_CAPITAL, _PAST_CAPITAL = np.uint64((0x80 - 0x41) * _EACH), np.uint64((0x80 - 0x5B) * _EACH)
"""Added to the low seven bits of a byte they carry into the eighth: from "a" on, past "z", from "A" on, past "Z"."""


def _eight_bytes(_typing: Any, data: Any, at: Any) -> Any:
    """data[at : at + 8] as one little-endian number; nothing checks that these bytes are there."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.int64), build


def _zero_bits(_typing: Any, word: Any) -> Any:
    """How many of the lowest bits are zero; 64 for 0."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.uint64(types.uint64), build


eight_bytes: Any = intrinsic(_eight_bytes)
_zero_bits_of: Any = intrinsic(_zero_bits)


@kernel
def small_letters(word: Any) -> Any:
    """How many of eight bytes, from the lowest on, are a to z."""
    low = word & _LOW
    return _zero_bits_of(~(((low + _FROM_SMALL) & ~(low + _PAST_SMALL)) & ~word) & _HIGH) >> np.uint64(3)


@kernel
def capitals(word: Any) -> Any:
    """How many of eight bytes, from the lowest on, are A to Z."""
    low = word & _LOW
    return _zero_bits_of(~(((low + _FROM_CAPITAL) & ~(low + _PAST_CAPITAL)) & ~word) & _HIGH) >> np.uint64(3)
