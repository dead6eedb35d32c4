"""Sixty-four bytes at a time: which of them lie in a range, as the bits of one number.

Only what numba has no words for: compares of many bytes at once (LLVM makes of them what the processor has), loads of 64 and
of 128 bits from wherever they lie, and counts of bits. Nothing here checks that the bytes are there. intrinsics.py has the code.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from loopguard.loops.kernels import late

BYTES = 64
"""Bytes of which one mask tells."""
LINE = 16
"""Bytes that `line` loads."""


def _intrinsic(name: str) -> Any:
    return late(lambda: getattr(import_module("loopguard.loops.intrinsics"), name))


among: Any = _intrinsic("among")
eight_bytes: Any = _intrinsic("eight_bytes")
line: Any = _intrinsic("line")
zero_bits: Any = _intrinsic("zero_bits")
set_bits: Any = _intrinsic("set_bits")
