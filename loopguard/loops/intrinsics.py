"""What byte_masks.py names, in LLVM's words. Imported when numba is."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from loopguard.loops.byte_masks import BYTES, LINE


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


def _line(_typing: Any, data: Any, at: Any) -> Any:
    """data[at : at + LINE] as two little-endian numbers: nothing from a line end on, and every digit a nought."""
    kind, word = ir.VectorType(ir.IntType(8), LINE), ir.IntType(32)

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = _place(context, builder, signature, arguments, kind)
        ends = builder.bitcast(builder.icmp_unsigned("==", found, kind([0x0A] * LINE)), ir.IntType(LINE))
        size = builder.trunc(builder.cttz(builder.zext(ends, word), cgutils.false_bit), ir.IntType(8))  # 32: no end
        nowhere, everywhere = kind(ir.Undefined), ir.VectorType(word, LINE)([0] * LINE)
        sizes = builder.shuffle_vector(builder.insert_element(nowhere, size, word(0)), nowhere, everywhere)
        digits = builder.icmp_unsigned("<", builder.sub(found, kind([0x30] * LINE)), kind([10] * LINE))
        kept = builder.select(digits, kind([0x30] * LINE), found)
        kept = builder.select(builder.icmp_unsigned("<", kind(list(range(LINE))), sizes), kept, kind([0] * LINE))
        halves = builder.bitcast(kept, ir.VectorType(ir.IntType(64), 2))
        pack: Any = cgutils.pack_array
        return pack(builder, [builder.extract_element(halves, word(half)) for half in range(2)])

    pair: Any = types.UniTuple
    return pair(types.uint64, 2)(data, types.int64), build


def _zero_bits(_typing: Any, word: Any) -> Any:
    """How many of the lowest bits are zero; 64 for 0."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.uint64(types.uint64), build


def _set_bits(_typing: Any, word: Any) -> Any:
    """How many bits are one."""

    def build(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), build


among: Any = intrinsic(prefer_literal=True)(_among)
eight_bytes: Any = intrinsic(_eight_bytes)
line: Any = intrinsic(_line)
zero_bits: Any = intrinsic(_zero_bits)
set_bits: Any = intrinsic(_set_bits)
