"""A quicker start of the kernels and of Arrow, for the command alone. In a user's own process nothing is changed.

When numba compiles or loads its first kernel it imports `scipy.linalg`, where there is one, to learn whether `np.dot` can be
compiled: a quarter of a second for what no kernel here uses. When Arrow makes its first array of Python's values it imports
pandas, where there is one, to learn whether they are of its kinds: a third of a second, and a command has no values of pandas.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from loopguard.loops.kernels import before_numba

__all__ = ["arrow_without_pandas", "numba_without_scipy"]


def numba_without_scipy() -> None:
    """When numba is needed, if it is, load the part of it that asks for SciPy while there seems to be none."""
    before_numba(_ask_for_scipy)


def _ask_for_scipy() -> None:
    if "scipy.linalg" in sys.modules or find_spec("scipy") is None:
        return
    with (
        _absent("scipy", "scipy.linalg"),
        contextlib.suppress(ImportError),
    ):  # a numba that has it elsewhere is only slower
        import numba.np.arraymath  # noqa: F401


def arrow_without_pandas() -> None:
    """Let Arrow look for pandas while there seems to be none. Where one is imported later, Arrow still takes its tables."""
    if "pandas" in sys.modules:
        return
    import pyarrow as pa

    with _absent("pandas"):
        pa.array([])


@contextlib.contextmanager
def _absent(*modules: str) -> Iterator[None]:
    """While the block lasts these modules cannot be imported."""
    sys.meta_path.insert(0, finder := _Absent(modules))
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Absent:
    """What Python asks first for a module: raises where it is one of these."""

    def __init__(self, modules: tuple[str, ...]) -> None:
        self._modules = modules

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """None: whoever comes next shall look."""
        if name in self._modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
