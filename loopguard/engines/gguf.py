"""The head of a GGUF file: enough to tell a model from anything else, how long its context is, what its tokenizer is.

Format: github.com/ggml-org/ggml/blob/master/docs/gguf.md. Little-endian, versions 2 and 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from loopguard.errors import InputError

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_LONGEST = 1 << 24  # characters of one key or string; more means that the file is damaged


def training_context(path: Path) -> int | None:
    """Tokens of context that the model was trained with; None when the file does not say.

    Raises InputError when the file is missing, is no GGUF file, or ends inside its header.
    """
    keys = _read(path, keep_arrays=False)  # it stands before the long token lists in every common file
    return next((value for key, value in keys if key.endswith(".context_length") and isinstance(value, int)), None)


def metadata(path: Path) -> dict[str, Any]:
    """Every key of the head with its value, arrays as lists: some 10 MB for a vocabulary of 50,000.

    Raises InputError when the file is missing, is no GGUF file, or ends inside its header.
    """
    return dict(_read(path, keep_arrays=True))


def _read(path: Path, *, keep_arrays: bool) -> Iterator[tuple[str, Any]]:
    """(key, value) of the head, in the order of the file."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
            if magic != b"GGUF":
                raise InputError(f"{path} is no GGUF file: it starts with {magic!r}, not b'GGUF'")
            version, _tensors, pairs = _unpack(file, "<IQQ")
            if version not in (2, 3):
                raise ValueError(version)
            for _ in range(pairs):
                key = _string(file)
                yield key, _value(file, _unpack(file, "<I")[0], keep_arrays)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except (struct.error, EOFError, ValueError, KeyError, MemoryError):
        raise InputError(f"{path} is a damaged GGUF file: its header cannot be read; fetch it again") from None


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _string(file: BinaryIO) -> str:
    length = _unpack(file, "<Q")[0]
    if length > _LONGEST:
        raise ValueError(length)
    text = file.read(length)
    if len(text) < length:
        raise EOFError
    return text.decode("utf-8", "replace")


def _value(file: BinaryIO, kind: int, keep_arrays: bool) -> Any:
    """One value; of an array nothing is kept unless `keep_arrays`."""
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        return _unpack(file, _SCALARS[kind])[0]
    inner, count = _unpack(file, "<IQ")
    if inner in _SCALARS and not keep_arrays:
        file.seek(count * struct.calcsize(_SCALARS[inner]), 1)
        return None
    if count > _LONGEST:
        raise ValueError(count)
    values = [_value(file, inner, keep_arrays) for _ in range(count)]
    return values if keep_arrays else None
