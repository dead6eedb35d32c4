"""A quicker start of the kernels, for the command alone.

When numba loads its first kernel it imports `scipy.linalg`, where there is one, to learn whether `np.dot` can be compiled: a
quarter of a second for what no kernel here uses. In a user's own process, whose kernels may, nothing is changed.
"""

from __future__ import annotations

import contextlib
import sys

__all__ = ["numba_without_scipy"]

BLAS = "scipy.linalg.cython_blas"
"""What `numba.np.linalg.ensure_blas` imports."""


def numba_without_scipy() -> None:
    """Load the part of numba that asks for SciPy while there seems to be none; nothing where its `linalg` is there already."""
    if "scipy.linalg" in sys.modules:
        return
    sys.modules[BLAS] = None  # type: ignore[assignment]  # Python's way to say that there is no such module
    try:
        with contextlib.suppress(ImportError):  # a numba that has it elsewhere is only slower
            import numba.np.arraymath  # noqa: F401
    finally:
        del sys.modules[BLAS]
