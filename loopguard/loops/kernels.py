"""Functions that numba compiles once the first of them is called: to import numba takes a quarter of a second.

Few processes call one: the verdicts of texts and token ids go through machine code that is kept (machine.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

SOURCES = (
    "batch",
    "byte_masks",
    "counting",
    "entries",
    "few_words",
    "glance",
    "grams",
    "intrinsics",
    "kernels",
    "lists",
    "machine",
    "ordinals",
    "repetition",
    "rounds",
    "rules",
    "sentences",
    "settings",
    "words",
)
"""Modules that make the machine code of a verdict."""
OPTIONS = {"nogil": True, "error_model": "numpy"}
"""Without the interpreter lock; nothing is divided by nought, so no division asks."""


class Late:
    """Stands where a compiled function will stand, in every module that has it by name, until one of them is called."""

    def __init__(self, make: Callable[[], Any], py_func: Callable[..., Any] | None = None) -> None:
        """`make` gives the compiled function; `py_func`, as numba calls it, is the function as it is written."""
        self.make, self.py_func = make, py_func
        self.made: Any = None

    def __call__(self, *arguments: Any) -> Any:
        """Compile and call."""
        if self.made is None:
            compile_all()
        return self.made(*arguments)


_WAITING: list[Late] = []
_BEFORE: set[Callable[[], None]] = set()
_LOCK = threading.RLock()
_READY = False


def kernel(function: F) -> F:
    """Compiled when called, and kept on disk; where no folder can be written, compiled anew in each process.

    No kernel makes an array, so nobody counts who refers to one (`_nrt`): an atomic step for each array that one kernel hands
    to another takes longer than most of them do.
    """
    return cast(F, late(lambda: _njit(function, _nrt=False), function))


def kernel_with_arrays(function: F) -> F:
    """The same for a kernel that makes arrays."""
    return cast(F, late(lambda: _njit(function), function))


def late(make: Callable[[], Any], py_func: Callable[..., Any] | None = None) -> Any:
    """What `make` gives, made when something here is called for the first time."""
    with _LOCK:
        if _READY:
            return make()
        _WAITING.append(Late(make, py_func))
        return _WAITING[-1]


def before_numba(act: Callable[[], None]) -> None:
    """Call this before numba is asked for the first time."""
    _BEFORE.add(act)


def compile_all() -> None:
    """Make everything that waits, and put it in its place: numba looks for the names in a kernel when it compiles it."""
    global _READY
    with _LOCK:
        if not _READY:
            for act in _BEFORE:
                act()
        _READY = True
        made = []
        while _WAITING:
            one = _WAITING.pop()
            one.made = one.make()
            made.append(one.made)
        for folder in {
            Path(one.stats.cache_path) for one in made if getattr(one, "stats", None) and one.stats.cache_path
        }:
            _forget_stale(folder)
        for name, module in list(sys.modules.items()):
            if name.startswith("loopguard.loops."):
                for key, value in list(vars(module).items()):
                    if isinstance(value, Late):
                        setattr(module, key, value.made)


def key_of(sources: Path) -> str | None:
    """What tells these sources from others, or None where they cannot be read."""
    found = hashlib.blake2b(digest_size=16)
    try:
        for name in SOURCES:
            found.update((sources / f"{name}.py").read_bytes())
    except OSError:
        return None
    return found.hexdigest()


def _forget_stale(folder: Path) -> None:
    """Drop the kernels that numba keeps of other sources: it looks at the file of a kernel, not at those of the kernels in it."""
    key, mark = key_of(Path(__file__).parent), folder / "kernels.key"
    with contextlib.suppress(OSError):
        if key is None or (mark.exists() and mark.read_text() == key):
            return
        for path in folder.glob("*.nb[ic]"):
            path.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(key)


def as_written(function: F) -> F:
    """The Python behind a kernel, for a call that is not worth a compiler."""
    return cast(F, function.py_func)  # type: ignore[attr-defined]


def _njit(function: Callable[..., Any], **options: Any) -> Any:
    compiled: Any = import_module("numba").njit
    try:
        return compiled(cache=True, **OPTIONS, **options)(function)
    except RuntimeError:
        return compiled(**OPTIONS, **options)(function)
