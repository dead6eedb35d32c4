"""Where rows come from: a file or values in Python -> (row number, value), lazily. (The Hub is in hubrows.py.)

    .jsonl .ndjson .json .csv .tsv (each also .gz)   .parquet
    lists and other iterables, polars / pandas / pyarrow tables, datasets.Dataset

A value is what the row holds (an object, a string, a list) or a BadRow where it cannot be read. What makes the whole
source useless is an InputError. Which column holds the prompt, and what a cell means, is not known here.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import itertools
import os
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from loopguard.errors import InputError
from loopguard.jsonrows import Row, document_rows, is_lines, line_rows
from loopguard.messages import BadRow, printable, shown

__all__ = ["Source", "batch_rows", "open_dataset", "open_source"]

_TEXT_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
_READ = ".jsonl, .ndjson, .json, .csv, .tsv (each also .gz), .parquet, hf:user/dataset[:split]"
_BATCH = 1024  # rows turned into Python objects at once
_LARGEST_CELL = 2**31 - 1  # characters; csv stops at 131,072 unless told otherwise


@dataclass(frozen=True)
class Source:
    """Rows that can be read again and again (once, if an iterator was given)."""

    name: str
    """For errors: the file, the dataset, or what kind of value was given."""
    rows: Callable[[Sequence[str] | None], Iterator[Row]]
    """Start reading; the argument names the columns that are needed, None asks for all."""
    columns: tuple[str, ...] | None = None
    """The columns, where the source says so itself; None: look at the rows."""
    only_text: bool = False
    """Cells hold text only (CSV), so lists are written as JSON."""
    path: Path | None = None
    """The file that holds all of it, where it is one."""
    nested: tuple[str, ...] = ()
    """Of the columns, those that hold lists, objects or bytes, as far as the source itself says so."""


def open_source(source: object, *, row_keys: Collection[str] = ()) -> Source:
    """The rows behind a path or a Python value; in a JSON document an object with one of `row_keys` is a row.

    Raises:
        InputError: there is no such file, it cannot be read at all, or its format is not known.
    """
    if isinstance(source, str | os.PathLike):
        return _open_file(Path(source), row_keys)
    module = type(source).__module__.partition(".")[0]
    if module in _TABLES and hasattr(source, _TABLES[module][0]):
        return _TABLES[module][1](source)
    return _open_iterable(source)


def _open_file(path: Path, row_keys: Collection[str]) -> Source:
    suffix = path.name.lower().removesuffix(".gz")
    kind = next((s for s in (*_TEXT_SUFFIXES, ".parquet") if suffix.endswith(s)), None)
    if not os.path.isfile(path):  # unlike Path.is_file it has an answer for every name
        raise InputError(_no_file(path))
    if kind is None or (kind == ".parquet" and path.name.lower().endswith(".gz")):
        raise InputError(f"{path}: unknown format {path.suffix or '(no suffix)'}; read are {_READ}")
    if kind == ".parquet":
        return _open_parquet(path)
    with _text_file(path) as file:
        head = file.read(1 << 20)
    if not head:
        raise InputError(f"{path} is empty")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"{path} is UTF-16: save it as UTF-8")
    if kind in (".csv", ".tsv"):
        return _open_csv(path, "," if kind == ".csv" else "\t")
    lines = is_lines(head, by_name=kind != ".json")

    def rows(_: Sequence[str] | None) -> Iterator[Row]:
        with _text_file(path) as file:
            yield from line_rows(file) if lines else document_rows(file, str(path), row_keys)

    return Source(str(path), rows, path=path)


def _no_file(path: Path) -> str:
    """What to say where no file is: the folder's files, or the name that was perhaps meant."""
    said = printable(str(path))
    if os.path.isdir(path):
        files = sorted(name for name in os.listdir(path) if name.endswith((*_TEXT_SUFFIXES, ".parquet")))
        return f"{said} is a folder; give one of its files" + (f": {', '.join(files[:5])}" if files else "")
    try:
        names = os.listdir(path.parent)
    except PermissionError:
        return f"no such file, or no right to read it: {said}"
    except (OSError, ValueError):
        return f"no such file: {said} (its folder does not exist)"
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.75)
    return f"no such file: {said}" + (f"; did you mean {path.parent / near[0]}?" if near else "")


@contextmanager
def _text_file(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked if it is gzip. Raises InputError where it cannot be read."""
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else open(path, "rb") as file:
            yield file  # type: ignore[misc]
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path} is damaged or no gzip file: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _open_csv(path: Path, delimiter: str) -> Source:
    csv.field_size_limit(_LARGEST_CELL)

    @contextmanager
    def cells() -> Iterator[Iterator[list[str]]]:
        with (
            _text_file(path) as file,
            io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
        ):
            yield csv.reader(text, delimiter=delimiter, strict=True)

    with cells() as reader:
        try:
            header = [name.strip() for name in next(filter(None, reader), [])]
        except csv.Error as error:
            raise InputError(f"{path}: the header cannot be read: {error}") from None
    if not header:
        raise InputError(f"{path} is empty")

    def rows(_: Sequence[str] | None) -> Iterator[Row]:
        with cells() as reader:
            next(filter(None, reader))
            yield from _csv_rows(reader, header)

    return Source(str(path), rows, columns=tuple(header), only_text=True, path=path)


def _csv_rows(reader: Iterator[list[str]], header: Sequence[str]) -> Iterator[Row]:
    for row in itertools.count(1):
        try:
            cells = next(filter(None, reader), None)
        except csv.Error as error:
            yield row, BadRow(row, "broken_csv", f"{error} (a quote that is not closed or not doubled?)")
            continue
        if cells is None:
            return
        text = "".join(cells)
        if not text.isascii() and any("\udc80" <= c <= "\udcff" for c in text):
            yield row, BadRow(row, "invalid_utf8", shown(text))
        elif any(cells[len(header) :]):
            yield row, BadRow(row, "broken_csv", f"{len(cells)} cells, the header has {len(header)}: {shown(cells)}")
        else:
            yield row, dict(zip(header, cells, strict=False))


def _open_parquet(path: Path) -> Source:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns, nested = tuple(file.schema_arrow.names), _nested(file.schema_arrow)
            empty = file.metadata.num_rows == 0
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet: {_first_line(error)}") from error
    if empty:
        raise InputError(f"{path} holds no rows")

    def rows(needed: Sequence[str] | None) -> Iterator[Row]:
        try:
            with pq.ParquetFile(path, buffer_size=1 << 20) as file:
                yield from batch_rows(group_batches(file, _BATCH, None if needed is None else list(needed)))
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{path} is damaged: {_first_line(error)}") from error

    return Source(str(path), rows, columns=columns, path=path, nested=nested)


def _nested(schema: Any) -> tuple[str, ...]:
    """The columns of an Arrow schema that hold no single values."""
    import pyarrow as pa

    tests = (pa.types.is_nested, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return tuple(field.name for field in schema if any(test(field.type) for test in tests))


def group_batches(file: Any, size: int, columns: list[str] | None = None) -> Iterator[Any]:
    """The record batches of a ParquetFile, at most `size` rows each, one row group after the other.

    Asked for all groups at once, Arrow 26 keeps the bytes of every group that it has read until the file is closed.
    """
    for group in range(file.num_row_groups):
        yield from file.iter_batches(size, row_groups=[group], columns=columns)


def batch_rows(batches: Iterable[Any]) -> Iterator[Row]:
    """Rows of Arrow batches or tables. Text that is not UTF-8 makes a BadRow of its row alone."""
    row = 0
    for batch in batches:
        try:
            values: Iterable[Any] = batch.to_pylist()
        except UnicodeDecodeError:
            values = (_arrow_row(batch.slice(i, 1)) for i in range(batch.num_rows))
        for value in values:
            row += 1
            yield row, BadRow(row, value.reason, value.detail) if isinstance(value, BadRow) else value


def _arrow_row(one: Any) -> object:
    try:
        return one.to_pylist()[0]
    except UnicodeDecodeError as error:
        return BadRow(0, "invalid_utf8", f"byte 0x{error.object[error.start]:02x}")


def _open_polars(frame: Any) -> Source:
    if hasattr(frame, "collect"):
        frame = frame.collect()

    def rows(needed: Sequence[str] | None) -> Iterator[Row]:
        selected = frame if needed is None else frame.select(list(needed))
        slices = (part.to_dicts() for part in selected.iter_slices(_BATCH))
        return enumerate(itertools.chain.from_iterable(slices), start=1)

    nested = tuple(name for name, kind in frame.schema.items() if kind.is_nested() or str(kind) in ("Binary", "Object"))
    return Source("the polars frame", rows, columns=tuple(frame.columns), nested=nested)


def _open_pandas(frame: Any) -> Source:
    def rows(needed: Sequence[str] | None) -> Iterator[Row]:
        selected = frame if needed is None else frame[list(needed)]
        names = list(selected.columns)
        values = (dict(zip(names, row, strict=True)) for row in selected.itertuples(index=False, name=None))
        return enumerate(values, start=1)

    return Source("the pandas frame", rows, columns=tuple(map(str, frame.columns)))


def _open_arrow(table: Any) -> Source:
    def rows(needed: Sequence[str] | None) -> Iterator[Row]:
        selected = table if needed is None else table.select(list(needed))
        return batch_rows(selected.to_batches(max_chunksize=_BATCH))

    return Source("the Arrow table", rows, columns=tuple(table.column_names), nested=_nested(table.schema))


def open_dataset(dataset: Any, name: str = "the dataset") -> Source:
    """The rows of a datasets.Dataset or IterableDataset."""
    if isinstance(dataset, Mapping):
        first = next(iter(dataset), "train")
        raise InputError(f"{name} has splits ({', '.join(dataset)}): give one of them, like dataset[{first!r}]")

    def rows(needed: Sequence[str] | None) -> Iterator[Row]:
        selected = dataset if needed is None or dataset.column_names is None else dataset.select_columns(list(needed))
        return batch_rows(selected.with_format("arrow").iter(_BATCH))

    nested = _nested(dataset.features.arrow_schema) if dataset.features else ()
    return Source(name, rows, columns=tuple(dataset.column_names) if dataset.column_names else None, nested=nested)


_TABLES: dict[str, tuple[str, Callable[[Any], Source]]] = {
    "polars": ("lazy", _open_polars),
    "pandas": ("columns", _open_pandas),
    "pyarrow": ("column_names", _open_arrow),
    "datasets": ("column_names", open_dataset),
}
"""Package of a value's class -> an attribute that its tables have, and how they are opened. None is imported here."""


def _open_iterable(source: object) -> Source:
    kind = f"the {type(source).__name__}"
    if isinstance(source, Mapping | bytes | bytearray) or not isinstance(source, Iterable):
        raise InputError(f"prompts cannot be read from {kind} {shown(source)}: give a path, hf:user/dataset, or a list")
    if not isinstance(source, Iterator):
        return Source(kind, lambda _: enumerate(source, start=1))
    branches = list(itertools.tee(source))  # the first look at the rows must not use them up

    def rows(_: Sequence[str] | None) -> Iterator[Row]:
        return enumerate(branches.pop() if branches else iter(()), start=1)

    return Source(f"{kind} (which can be read once)", rows)


def _first_line(error: Exception) -> str:
    return printable((str(error).strip() or type(error).__name__).splitlines()[0])
