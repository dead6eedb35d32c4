"""numpy <-> Arrow by their buffers. pyarrow's own ways import pandas, which takes as long as to examine 10 MB of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def column(values: NDArray[Any], kind: pa.DataType, nulls: NDArray[np.bool_] | None = None) -> pa.Array:
    """An Arrow array of numbers or truth values; null where `nulls` is true."""
    data = np.packbits(values, bitorder="little") if values.dtype == np.bool_ else values
    known = None if nulls is None else pa.py_buffer(np.packbits(~nulls, bitorder="little"))
    return pa.Array.from_buffers(kind, values.size, [known, pa.py_buffer(data)])


def strings(values: Sequence[str]) -> pa.Array:
    """An Arrow array of ASCII names."""
    ends = np.cumsum([0, *map(len, values)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(ends), pa.py_buffer("".join(values).encode("ascii")))


def flags(array: pa.BooleanArray) -> NDArray[np.bool_]:
    """The truth values of an Arrow array; what is null is false."""
    valid, bits = array.buffers()
    part = slice(array.offset, array.offset + len(array))
    found = _bits(bits)[part]
    return found if valid is None else found & _bits(valid)[part]


def _bits(buffer: pa.Buffer) -> NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(buffer, np.uint8), bitorder="little").view(np.bool_)


def numbers(array: pa.Array, kind: type[np.generic]) -> NDArray[Any]:
    """The numbers of an Arrow array without nulls whose type is `kind`, where they are."""
    data = array.buffers()[1]
    if not len(array) or data is None:
        return np.zeros(0, kind)
    return np.frombuffer(data, kind)[array.offset : array.offset + len(array)]


def rows(outputs: pa.Array) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Offsets and values of large_string, large_binary or large lists of integers: row i is values[offsets[i]:offsets[i + 1]].

    Values are bytes as uint8, or ids as uint64.
    """
    if pa.types.is_large_list(outputs.type):
        ids = outputs.values.cast(pa.uint64() if pa.types.is_uint64(outputs.type.value_type) else pa.int64())
        values = numbers(ids.fill_null(0) if ids.null_count else ids, np.uint64)
    else:
        data = outputs.buffers()[2]
        values = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    if not len(outputs):
        return np.zeros(1, np.int64), values
    offsets = np.frombuffer(outputs.buffers()[1], np.int64)
    return offsets[outputs.offset : outputs.offset + len(outputs) + 1], values
