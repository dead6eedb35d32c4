"""The machine code of the two ways into the kernels (entries.py), kept on disk: to import numba, and to let it load what it keeps
itself, takes ten times as long as to load this.

Made once for each processor, each version of llvmlite and of the sources, in half a minute; then found by that. It lies where
numba keeps its own: in NUMBA_CACHE_DIR, else in the `__pycache__` of these sources, else in the user's cache. Where none can be
written, and on systems on which loading it was not tried, numba is asked in every process, and keeps what it can.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import re
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from loopguard.loops.kernels import OPTIONS, compile_all, key_of

__all__ = ["entries", "folders", "make_ready"]

TRIED = sys.platform == "linux" and platform.machine() == "x86_64"
"""Whether machine code is kept here."""

_HERE = Path(__file__).parent
_KEPT = 8
"""Kept codes in one folder: those of some environments, some edits."""
_DIGEST = 32

_NAMES = ("texts", "tokens")
_ENTRY = ctypes.CFUNCTYPE(
    None,
    *(ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64),
    *(ctypes.c_void_p,) * 6,
)
_RAISES = (
    "NRT_Free",
    "NRT_MemInfo_call_dtor",
    "numba_do_raise",
    "numba_gil_ensure",
    "numba_gil_release",
    "numba_runtime_build_excinfo_struct",
    "numba_unpickle",
)
"""What code of numba names for exceptions and for arrays that it made. The kernels have neither: to call one would abort."""
_FOUND = re.compile("llvm[.]|Py|_Py|mem(cpy|move|set)$")
"""Functions that every process of Python has."""
_OURS, _NEVER = "loopguard_", "loopguard_never_"
"""What the entries are called in the kept code, and what the names of _RAISES begin with there: a numba in the same process goes on
having its own."""
_LOCK = threading.Lock()
_HELD: list[Any] = []
"""What must live as long as the code does."""

Entry = Callable[..., None]


def entries() -> tuple[Entry, Entry]:
    """`texts` and `tokens` of entries.py as functions of C, called without the interpreter lock."""
    with _LOCK:
        return _entries()


def make_ready(tell: Callable[[str], None]) -> None:
    """Have the code at hand; `tell` is told before it is made, if it must be."""
    key = _key(_HERE) if TRIED else None
    if key is not None and _kept(key) is None:
        tell("the detector is compiled for this machine, once: half a minute")
    entries()


@cache
def _entries() -> tuple[Entry, Entry]:
    key = _key(_HERE) if TRIED else None
    if key is None:
        return _of_numba(_compiled())
    code = _kept(key)
    if code is None:
        made = _compiled()
        code = _object(made)
        if code is None:
            return _of_numba(made)
        any(_keep(folder, _name(key), code) for folder in folders())
    return _loaded(code)


def _name(key: str) -> str:
    return f"machine-{key}.bin"


def _kept(key: str) -> bytes | None:
    """The code of this key in the first folder that has it, or None."""
    return next((code for folder in folders() if (code := _read(folder / _name(key))) is not None), None)


def folders() -> Iterator[Path]:
    """Where machine code is looked for and kept, best first."""
    asked = os.environ.get("NUMBA_CACHE_DIR")
    if asked:
        yield Path(asked)
    yield _HERE / "__pycache__"
    with contextlib.suppress(RuntimeError):  # no home
        yield Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loopguard"


def _key(sources: Path) -> str | None:
    """What the code depends on, or None where the sources cannot be read."""
    import llvmlite
    from llvmlite import binding

    known = key_of(sources)
    if known is None:
        return None
    features = binding.get_host_cpu_features().flatten()
    parts = [known, llvmlite.__version__, binding.get_process_triple(), binding.get_host_cpu_name(), features]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def _read(path: Path) -> bytes | None:
    """The code of a file, or None if there is none, it is torn, or it is another user's."""
    try:
        if path.stat().st_uid != os.getuid() and path.stat().st_uid != _HERE.stat().st_uid:
            return None
        held = path.read_bytes()
    except OSError:
        return None
    code = held[_DIGEST:]
    return code if hashlib.blake2b(code, digest_size=_DIGEST).digest() == held[:_DIGEST] else None


def _keep(folder: Path, name: str, code: bytes) -> bool:
    """Write the code, whole or not at all, and let the oldest go; False where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{name}.{os.getpid()}.part"
        part.write_bytes(hashlib.blake2b(code, digest_size=_DIGEST).digest() + code)
        part.replace(folder / name)
        kept = sorted(folder.glob("machine-*"), key=lambda path: path.stat().st_mtime)
        for path in kept[:-_KEPT]:
            path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _compiled() -> list[Any]:
    """The entries as numba's functions of C."""
    compile_all()
    import numba
    from numba import types

    from loopguard.loops import entries as ways

    of: Any = types.CPointer
    numbers, made = of(types.int64), []
    for name, values in zip(_NAMES, (types.uint8, types.uint64), strict=True):
        signature = types.void(
            *(types.int64, types.int64, numbers, of(values), types.int64, numbers, of(types.float64)),
            *(numbers, numbers, of(types.voidptr), numbers),
        )
        way = getattr(ways, name)
        cfunc: Any = numba.cfunc
        try:
            made.append(cfunc(signature, cache=not TRIED, **OPTIONS)(way))
        except RuntimeError:  # no folder can be written
            made.append(cfunc(signature, **OPTIONS)(way))
    return made


def _of_numba(made: list[Any]) -> tuple[Entry, Entry]:
    _HELD.append(made)
    texts, tokens = (_ENTRY(one.address) for one in made)
    return texts, tokens


def _object(made: list[Any]) -> bytes | None:
    """Both entries in one object file, or None where it would name what is not known here."""
    from llvmlite import binding

    modules = []
    for name, one in zip(_NAMES, made, strict=True):
        modules.append(binding.parse_assembly(one.inspect_llvm()))
        modules[-1].get_function(one.native_name).name = _OURS + name
        for function in list(modules[-1].functions):
            if function.name in _RAISES:
                function.name = _NEVER + function.name
            elif function.is_declaration and not _FOUND.match(function.name):
                return None
    whole, other = modules
    whole.link_in(other)
    machine = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        reloc="static",
        codemodel="jitdefault",
        jit=True,
    )
    code: bytes = machine.emit_object(whole)
    return code


def _loaded(code: bytes) -> tuple[Entry, Entry]:
    from llvmlite import binding

    with contextlib.suppress(RuntimeError):  # needed up to 0.44, refused later
        binding.initialize()
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    abort = ctypes.cast(ctypes.CDLL(None).abort, ctypes.c_void_p).value
    for name in _RAISES:
        binding.add_symbol(_NEVER + name, abort)
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.object_file.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _HELD.append(engine)
    texts, tokens = (_ENTRY(engine.get_function_address(_OURS + name)) for name in _NAMES)
    return texts, tokens
