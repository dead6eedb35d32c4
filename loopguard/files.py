"""Files out: what appears under its name is complete, whatever happens while it is written.

    write to a temporary file in the same folder -> fsync -> rename -> fsync the folder

A process killed on the way leaves at most a `.loopguard-*.tmp` beside the old file (`remove_leftovers` clears them).
Every failure of the disk is a StorageError that names the path and what to do. Knows nothing of prompts or pairs.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from loopguard.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "JsonlWriter",
    "TableWriter",
    "atomic_path",
    "clean_text",
    "json_line",
    "remove_leftovers",
    "storage_error",
    "write_json",
    "write_text",
]

_GROUP_CHARACTERS = 32_000_000
"""A row group is also closed after this much text, so memory stays flat when rows are long."""

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, or choose another folder, and run again",
    errno.EDQUOT: "the disk quota is used up: free some space, or choose another folder, and run again",
    errno.EFBIG: "the file is larger than this system allows: raise the limit (ulimit -f) or choose another folder",
    errno.EACCES: "no right to write there: choose another folder, or change its permissions",
    errno.EPERM: "no right to write there: choose another folder, or change its permissions",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.ENOENT: "the folder does not exist: create it first",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another folder",
    errno.EEXIST: "a file of that name is in the way: remove it, or choose another folder",
    errno.EISDIR: "a folder of that name is in the way: remove it, or choose another name",
    errno.ENOTEMPTY: "a folder of that name is in the way: remove it, or choose another name",
    errno.ENAMETOOLONG: "the name is too long for this file system: choose a shorter one",
}

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_BREAKS = re.compile("[\u0085\u2028\u2029]")


def storage_error(path: str | os.PathLike[str], error: OSError) -> StorageError:
    """A StorageError in one line: the path, what the system said, what to do."""
    said = error.strerror or str(error) or type(error).__name__
    advice = _ADVICE.get(error.errno or 0, "see to the disk, then run again")
    return StorageError(f"cannot write {os.fspath(path)}: {said}: {advice}")


def clean_text(text: str) -> str:
    """The text with every lone surrogate replaced by U+FFFD: length and positions stay, and UTF-8 can hold it.

    Models and broken servers can produce such halves of a character; no file format takes them. NUL is kept: Arrow
    and JSON hold it.
    """
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def remove_leftovers(folder: str | os.PathLike[str]) -> int:
    """Delete the temporary files that a killed process left in the folder, and say how many.

    Only for a folder that no other process writes to.
    """
    count = 0
    for path in Path(folder).glob(".loopguard-*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
            count += 1
    return count


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The path of a temporary file in the same folder; takes the given name when the block ends without an error.

    On an error in the block the temporary file is removed and the old file, if any, stays as it was.

    Raises:
        StorageError: the folder is missing or not writable, the disk is full.
    """
    pending = _Pending(path)
    pending.file.close()
    try:
        yield pending.temporary
        pending.reopen()
    except OSError as error:
        pending.discard()
        if error.filename in (None, str(pending.temporary)):
            raise storage_error(path, error) from error
        raise
    except BaseException:
        pending.discard()
        raise
    pending.commit()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file in one atomic step; lone surrogates become U+FFFD. Raises StorageError."""
    with _Pending(path) as pending:
        pending.write(clean_text(text).encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Write one JSON document, indented by 2, keys in their order, in one atomic step.

    Raises:
        StorageError: the file cannot be written.
        ValueError: the value holds NaN or an infinity, which JSON has no word for.
    """
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def json_line(row: Mapping[str, Any]) -> str:
    """The row as one line of JSONL without its newline: keys in their order, text as it is.

    U+0085, U+2028 and U+2029 are escaped, so that readers which split at Unicode line breaks see one line too.
    """
    line = json.dumps(row, ensure_ascii=False, allow_nan=False)
    return line if line.isascii() else clean_text(_LINE_BREAKS.sub(lambda m: f"\\u{ord(m[0]):04x}", line))


class _Pending:
    """A file that is being written under a temporary name: commit() gives it its own, discard() removes it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.temporary = self.path.parent / f".loopguard-{secrets.token_hex(8)}.tmp"
        try:
            with contextlib.suppress(FileNotFoundError):
                if stat.S_ISDIR(os.stat(self.path).st_mode):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self.file: IO[bytes] = open(self.temporary, "xb")  # noqa: SIM115
        except OSError as error:
            raise storage_error(self.path, error) from error

    def write(self, data: bytes) -> None:
        try:
            self.file.write(data)
        except OSError as error:
            raise storage_error(self.path, error) from error

    def reopen(self) -> None:
        """Look again at the file under the temporary name: the block may have replaced it."""
        self.file = open(self.temporary, "r+b")  # noqa: SIM115

    def commit(self) -> None:
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            os.replace(self.temporary, self.path)
            _sync_folder(self.path.parent)
        except OSError as error:
            self.discard()
            raise storage_error(self.path, error) from error

    def discard(self) -> None:
        with contextlib.suppress(OSError):  # closing flushes, and the disk may be full
            self.file.close()
        with contextlib.suppress(OSError):
            self.temporary.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.discard()


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; Windows has no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _RowWriter:
    """What the two row writers share: a block that ends without an error commits, any other end leaves nothing."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.rows = 0
        self._pending: _Pending | None = _Pending(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def close(self) -> None:
        """Finish the file and give it its name. A second call does nothing. Raises StorageError."""
        if self._pending is None:
            return
        try:
            self._finish()
        except BaseException:
            self.discard()
            raise
        pending, self._pending = self._pending, None
        pending.commit()

    def discard(self) -> None:
        """Remove what was written; a file of that name from before stays as it was."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.discard()

    def _finish(self) -> None:
        """Write what is still held in memory."""

    def _file(self) -> _Pending:
        if self._pending is None:
            raise ValueError(f"{self.path} is closed")
        return self._pending


class JsonlWriter(_RowWriter):
    """Rows to a JSONL file, one at a time, in flat memory: keys in their order, every line ended by a newline.

        with JsonlWriter("preferences.jsonl") as file:
            file.write({"prompt": ...})

    The file has its name only after the block ended without an error. Raises StorageError.
    """

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row. Lone surrogates become U+FFFD."""
        self._file().write(json_line(row).encode("utf-8") + b"\n")
        self.rows += 1


class TableWriter(_RowWriter):
    """Rows to a Parquet file with a fixed schema, one at a time, in flat memory, by row groups.

        with TableWriter("preferences.parquet", schema) as table:
            table.write({"prompt": ...})

    Equal rows give equal bytes (zstd; no time stamps; the one thing that varies is the version of Arrow). A key that a
    row lacks is null. The file has its name only after the block ended without an error.

    Raises:
        StorageError: the file cannot be written.
        ValueError: a row has a key that the schema lacks, or a value of another type.
    """

    def __init__(self, path: str | os.PathLike[str], schema: pa.Schema, *, rows_per_group: int = 10_000) -> None:
        """Open the file; `rows_per_group` rows (or 32 million characters) are held before they are written."""
        import pyarrow.parquet as pq

        super().__init__(path)
        self.schema = schema
        self._names = frozenset(schema.names)
        self._rows_per_group = rows_per_group
        self._held: list[Mapping[str, Any]] = []
        self._characters = 0
        try:
            self._parquet = self._guard(lambda: pq.ParquetWriter(self._file().file, schema, compression="zstd"))
        except BaseException:
            super().discard()
            raise

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row. Lone surrogates become U+FFFD."""
        self._file()
        if unknown := row.keys() - self._names:
            raise ValueError(f"{self.path}: the schema has no column {', '.join(sorted(unknown))}")
        self._held.append(dict(row))
        self._characters += _characters(row)
        self.rows += 1
        if len(self._held) >= self._rows_per_group or self._characters >= _GROUP_CHARACTERS:
            self._flush()

    def discard(self) -> None:
        """Remove what was written; a file of that name from before stays as it was."""
        self._held = []
        if self._pending is not None:
            with contextlib.suppress(OSError, ValueError):  # Arrow writes its footer on closing
                self._parquet.close()
        super().discard()

    def _finish(self) -> None:
        if self._held:
            self._flush()
        self._guard(self._parquet.close)

    def _flush(self) -> None:
        import pyarrow as pa

        try:
            batch = pa.RecordBatch.from_pylist(self._held, schema=self.schema)
        except UnicodeEncodeError:
            batch = pa.RecordBatch.from_pylist([_clean(row) for row in self._held], schema=self.schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ValueError(f"{self.path}: a row does not fit the schema: {error}") from error
        self._held, self._characters = [], 0
        self._guard(lambda: self._parquet.write_batch(batch, row_group_size=max(1, batch.num_rows)))

    def _guard(self, action: Any) -> Any:
        try:
            return action()
        except OSError as error:
            raise storage_error(self.path, error) from error


def _characters(row: Mapping[str, Any]) -> int:
    """Length of all the text in a row: of strings, and of message lists."""
    found = 0
    for value in row.values():
        kind = type(value)
        if kind is str:
            found += len(value)
        elif kind is list or kind is tuple:
            found += sum(
                len(text) for item in value if type(item) is dict for text in item.values() if type(text) is str
            )
            found += sum(len(item) for item in value if type(item) is str)
    return found


def _clean(value: Any) -> Any:
    """The value with clean_text applied to every string in it."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
