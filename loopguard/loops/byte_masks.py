"""Sixty-four bytes at a time: which of them lie in a range, as the bits of one number.

Only what numba has no words for: compares of many bytes at once (LLVM makes of them what the processor has), a load of 64 bits
from wherever they lie, and a count of zero bits. Nothing here checks that the bytes are there.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

BYTES = 64
"""Bytes of which one mask tells."""


def _place(context: Any, builder: Any, signature: Any, arguments: Any, kind: Any) -> Any:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.load(builder.bitcast(builder.gep(array.data, [arguments[1]]), kind.as_pointer()), align=1)


def _among(_typing: Any, data: Any, at: Any, first: Any, count: Any) -> Any:
    """Bit k: first <= data[at + k] < first + count, both literal; k from 0 to 63."""
    kind, low, many = ir.VectorType(ir.IntType(8), BYTES), first.literal_value, count.literal_value

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        shifted = builder.sub(_place(context, builder, signature, arguments, kind), kind([low] * BYTES))
        within = builder.icmp_unsigned("<", shifted, kind([many] * BYTES))
        return builder.bitcast(within, ir.IntType(BYTES))

    return types.uint64(data, types.int64, first, count), build


def _eight_bytes(_typing: Any, data: Any, at: Any) -> Any:
    """data[at : at + 8] as one little-endian number."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _place(context, builder, signature, arguments, ir.IntType(64))

    return types.uint64(data, types.int64), build


def _zero_bits(_typing: Any, word: Any) -> Any:
    """How many of the lowest bits are zero; 64 for 0."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.uint64(types.uint64), build


among: Any = intrinsic(prefer_literal=True)(_among)
eight_bytes: Any = intrinsic(_eight_bytes)
zero_bits: Any = intrinsic(_zero_bits)
