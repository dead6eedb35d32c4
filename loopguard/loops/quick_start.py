"""A quicker start of the kernels and of Arrow, for the command alone. In a user's own process nothing is changed.

When numba compiles or loads its first kernel it imports `scipy.linalg`, where there is one, to learn whether `np.dot` can be
compiled: a quarter of a second for what no kernel here uses. When Arrow makes its first array of Python's values it imports
pandas, where there is one, to learn whether they are of its kinds: a third of a second, and a command has no values of pandas.
When Arrow's functions are imported it writes a Python function and its documentation for each of three hundred, some twenty of
which a command calls: 40 ms.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from loopguard.loops.kernels import before_numba

__all__ = ["loading", "numba_without_scipy", "quick_arrow"]


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """While the block lasts nobody looks for objects to free: of modules none are, and to look takes 25 ms."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()


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


def quick_arrow() -> None:
    """Let Arrow look for pandas while there seems to be none, and make each of its functions when it is first asked for.

    Where pandas is imported later, Arrow still takes its tables.
    """
    if "pyarrow.compute" not in sys.modules:
        try:
            _functions_when_asked()
        except (
            AttributeError,
            ImportError,
            KeyError,
            TypeError,
        ):  # an Arrow that makes them in another way is only slower
            sys.modules.pop("pyarrow.compute", None)
    if "pandas" not in sys.modules:
        import pyarrow as pa

        with _absent("pandas"):
            pa.array([])


def _functions_when_asked() -> None:
    import pyarrow._compute as inside

    whole: Any = inside.function_registry
    inside.function_registry = lambda: _Few(whole())
    try:
        import pyarrow.compute as compute
    finally:
        inside.function_registry = whole
    functions: Any = vars(compute)
    functions["function_registry"], wrap = whole, functions["_wrap_function"]

    def made(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        known = name.removesuffix("_") if name in ("and_", "or_") else name
        with contextlib.suppress(KeyError):
            function = whole().get_function(known)
            grouped = function.kind == "hash_aggregate" or (function.kind == "scalar_aggregate" and function.arity == 0)
            if not grouped:
                return functions.setdefault(name, wrap(name, function))
        raise AttributeError(f"module 'pyarrow.compute' has no attribute {name!r}")

    functions["__getattr__"] = made


class _Few:
    """Arrow's registry of functions, of which it is told only those that its own module calls by name as it is imported."""

    def __init__(self, registry: Any) -> None:
        self.get_function = registry.get_function

    def list_functions(self) -> list[str]:
        return ["utf8_zero_fill"]


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
