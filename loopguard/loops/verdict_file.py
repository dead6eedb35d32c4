"""The verdict table on disk: every input column in its order and with its type, then the verdict; Parquet, in row groups.

The file appears under its name when it is complete. Later rows may need a wider type than earlier ones (null then text,
whole numbers then fractions, a new column): then what is written so far is written again with the wider type, in flat
memory. A type that has nothing in common with the one before becomes text: strings as they are, the rest as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from loopguard.errors import StorageError
from loopguard.files import atomic_path, storage_error
from loopguard.loops.inputs import as_text, unified
from loopguard.loops.verdicts import NAMES, SCHEMA

_T = TypeVar("_T")

GROUP_ROWS = 65_536
GROUP_BYTES = 24_000_000
"""A row group is closed after so many rows or bytes."""

METADATA_KEY = "loopguard"
"""Key in the schema's metadata: JSON with the detector's signature, the column that was examined, the version."""


@contextlib.contextmanager
def verdict_file(path: str | os.PathLike[str], inputs: pa.Schema, about: Mapping[str, str]) -> Iterator[VerdictFile]:
    """A file to `write` to; it takes its name when the block ends without an error.

    Raises:
        StorageError: the file cannot be written.
    """
    with atomic_path(path) as temporary:
        file = VerdictFile(Path(path), temporary, without_verdicts(inputs), about)
        try:
            yield file
            file.close()
        except BaseException:
            file.abandon()
            raise


def without_verdicts(schema: pa.Schema) -> pa.Schema:
    """The columns but for those that an earlier scan has added."""
    return pa.schema([field for field in schema if field.name not in NAMES])


class VerdictFile:
    """Rows with their verdicts, written in order; for `verdict_file`."""

    def __init__(self, path: Path, temporary: Path, inputs: pa.Schema, about: Mapping[str, str]) -> None:
        self._path, self._temporary, self._inputs = path, temporary, inputs
        self._metadata = {METADATA_KEY: json.dumps(dict(about))}
        self._held: list[pa.RecordBatch] = []
        self._pool = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None
        self._writer = self._open(temporary)

    def write(self, rows: pa.RecordBatch, verdicts: pa.RecordBatch) -> None:
        """Append rows; their verdicts are as many."""
        inputs = without_verdicts(rows.schema)
        if inputs != self._inputs:
            wide = unified([self._inputs, inputs])
            if wide != self._inputs:
                self._widen(wide)
        self._held.append(self._fitted(rows, verdicts))
        if sum(b.num_rows for b in self._held) >= GROUP_ROWS or sum(b.nbytes for b in self._held) >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is held, and the footer."""
        self._finish()
        self._pool.shutdown()

    def abandon(self) -> None:
        """Let go of the file; what is in it is of no use."""
        self._pool.shutdown()
        with contextlib.suppress(OSError, ValueError, StorageError):
            self._writer.close()

    def _finish(self) -> None:
        self._flush()
        self._wait()
        self._guard(self._writer.close)

    def _schema(self) -> pa.Schema:
        return pa.schema([*self._inputs, *SCHEMA], metadata=self._metadata)

    def _open(self, path: Path) -> pq.ParquetWriter:
        return self._guard(lambda: pq.ParquetWriter(path, self._schema(), compression="zstd"))

    def _flush(self) -> None:
        """Hand what is held to the thread that writes, once it is done with what came before."""
        self._wait()
        if self._held:
            table = pa.Table.from_batches(self._held, self._schema())
            self._held = []
            self._pending = self._pool.submit(self._writer.write_table, table, row_group_size=table.num_rows)

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            self._guard(pending.result)

    def _fitted(self, rows: pa.RecordBatch, verdicts: pa.RecordBatch) -> pa.RecordBatch:
        columns = [
            converted(rows.column(field.name), field.type)
            if field.name in rows.schema.names
            else pa.nulls(rows.num_rows, field.type)
            for field in self._inputs
        ]
        return pa.RecordBatch.from_arrays([*columns, *verdicts.columns], schema=self._schema())

    def _widen(self, inputs: pa.Schema) -> None:
        """Write the rows so far once more, with wider types."""
        self._finish()
        written = self._temporary.with_name(self._temporary.name.removesuffix(".tmp") + "-narrow.tmp")
        os.replace(self._temporary, written)
        self._inputs = inputs
        self._writer = self._open(self._temporary)
        try:
            with pq.ParquetFile(written, buffer_size=1 << 20) as file:
                for group in range(file.num_row_groups):
                    rows = file.read_row_group(group).combine_chunks()
                    for batch in rows.to_batches():
                        self._held.append(self._fitted(batch, batch.select(list(NAMES))))
                    self._flush()
                self._wait()
        finally:
            written.unlink()

    def _guard(self, action: Callable[[], _T]) -> _T:
        try:
            return action()
        except OSError as error:
            raise storage_error(self._path, error) from error


def converted(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """The column with a type that holds all its values."""
    if column.type == kind:
        return column
    text = pa.types.is_large_string(kind) or pa.types.is_string(kind)
    if text and not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return pa.array([None if value is None else as_text(value) for value in column.to_pylist()], kind)
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return pa.array(column.to_pylist(), kind)
