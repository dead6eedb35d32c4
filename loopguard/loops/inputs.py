"""Files, Hub datasets and Python values -> Arrow record batches, in flat memory: a batch holds at most about 8 MB.

    runs/*.parquet   a glob          runs/   a folder: every file in it that can be read, by name
    x.jsonl .ndjson .json .csv .tsv (each also .gz)   .parquet   hf:user/dataset[:split]
    lists of strings, token ids or objects; polars, pandas and Arrow tables; datasets.Dataset

Rows that cannot be read come out as BadRow between the batches.
"""

from __future__ import annotations

import contextlib
import glob
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from loopguard.errors import InputError
from loopguard.files import clean_text
from loopguard.loops.jsonlines import holds_lines, line_batches
from loopguard.messages import BadRow, printable
from loopguard.sources import Source, group_batches, open_source

BATCH_ROWS = 8192
BATCH_BYTES = 8_000_000
"""A batch ends after so many rows or bytes, whichever comes first; one huge row is a batch of its own."""

_TEXT = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
SUFFIXES = (*_TEXT, *(f"{suffix}.gz" for suffix in _TEXT), ".parquet")
"""Names of files that are taken from a folder."""

_LOOK_AHEAD = 1000  # rows that show which columns there are, where the source does not say so itself

Batch: TypeAlias = "pa.RecordBatch | BadRow"


@dataclass(frozen=True)
class BatchSource:
    """Record batches that can be read once or more."""

    name: str
    schema: pa.Schema
    """Columns and types: exact for tables and Parquet, of the first rows elsewhere."""
    batches: Callable[[], Iterator[Batch]]
    only_text: bool = False
    """Cells hold text only (CSV), so message lists are written as JSON."""


def expand(inputs: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The files and `hf:` names that the inputs stand for, in order; a name that matches nothing is kept as it is."""
    found: list[str] = []
    for given in (os.fspath(name) for name in inputs):
        if given.startswith("hf:") or os.path.isfile(given):
            found.append(given)
        elif os.path.isdir(given):
            inside = sorted(str(path) for path in Path(given).rglob("*") if path.name.lower().endswith(SUFFIXES))
            found += [name for name in inside if not os.path.basename(name).startswith(".")] or [given]
        else:
            found += sorted(name for name in glob.glob(given, recursive=True) if os.path.isfile(name)) or [given]
    return list(dict.fromkeys(found))


def open_batches(source: Any) -> BatchSource:
    """The record batches behind a path, an `hf:` name or a Python value.

    Raises:
        InputError: there is no such file or dataset, it cannot be read at all, or it holds no rows.
    """
    if isinstance(source, str) and source.startswith("hf:"):
        from loopguard.hubrows import hub_source

        return _from_rows(hub_source(source))
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        if path.lower().endswith(".parquet") and os.path.isfile(path):
            return _open_parquet(path)
        found = _from_rows(open_source(path), again=True)
        if path.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson")) and holds_lines(path):
            return replace(found, batches=lambda: line_batches(path, found.schema, row_batches))
        return found
    return _open_value(source)


def _open_parquet(path: str) -> BatchSource:
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
            size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{printable(path)} cannot be read as Parquet: {_first_line(error)}") from error
    step = max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(size, 1)))

    def batches() -> Iterator[Batch]:
        try:
            with pq.ParquetFile(path, buffer_size=1 << 20) as file:
                yield from group_batches(file, step)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{printable(path)} is damaged: {_first_line(error)}") from error

    return BatchSource(printable(path), schema.remove_metadata(), batches)


def _open_value(source: Any) -> BatchSource:
    module = type(source).__module__.partition(".")[0]
    if module == "polars":
        arrow = (source.collect() if hasattr(source, "collect") else source).to_arrow()
        return _from_table(arrow if isinstance(arrow, pa.Table) else pa.table({source.name or "text": arrow}))
    if module == "pyarrow":
        if isinstance(source, pa.Array | pa.ChunkedArray):
            return _from_table(pa.table({"text": source}))
        return _from_table(pa.Table.from_batches([source]) if isinstance(source, pa.RecordBatch) else source)
    if module == "pandas":
        return _from_table(pa.Table.from_pandas(source, preserve_index=False))
    if isinstance(source, list) and source and set(map(type, source)) <= {str, type(None)}:
        with contextlib.suppress(UnicodeEncodeError):  # a lone surrogate: row by row
            return _from_table(pa.table({"text": pa.array(source, pa.large_string())}))
    return _from_rows(open_source(source), plain=not isinstance(source, Mapping))


def _from_table(table: pa.Table) -> BatchSource:
    step = max(1, min(BATCH_ROWS, BATCH_BYTES * table.num_rows // max(table.nbytes, 1)))
    return BatchSource("the table", table.schema.remove_metadata(), lambda: iter(table.to_batches(max_chunksize=step)))


def _from_rows(source: Source, *, again: bool = False, plain: bool = False) -> BatchSource:
    """Batches of a source of rows; types are those of its first rows. `again`: read those rows anew, hold nothing open."""
    rows = source.rows(None)
    head = list(itertools.islice(rows, _LOOK_AHEAD))
    bare = _bare_column(head) if plain else None
    schemas = [item.schema for item in row_batches(head, bare=bare) if isinstance(item, pa.RecordBatch)]
    if not schemas:
        columns = source.columns or ((bare,) if bare else ())
        schemas = [pa.schema([(name, pa.large_string()) for name in columns])]

    def batches() -> Iterator[Batch]:
        return row_batches(source.rows(None) if again else itertools.chain(head, rows), bare=bare)

    schema = unified(schemas)
    if again:
        head, rows = [], iter(())
    return BatchSource(source.name, schema, batches, only_text=source.only_text)


def unified(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """One schema that all of these fit into; a column with types that have nothing in common becomes text."""
    try:
        return pa.unify_schemas(list(schemas), promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        pass
    fields: dict[str, pa.Field] = {}
    for field in itertools.chain.from_iterable(schemas):
        if field.name not in fields:
            fields[field.name] = field
            continue
        try:
            both = [pa.schema([fields[field.name]]), pa.schema([field])]
            fields[field.name] = pa.unify_schemas(both, promote_options="permissive").field(0)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            fields[field.name] = pa.field(field.name, pa.large_string())
    return pa.schema(list(fields.values()))


def row_batches(rows: Iterable[tuple[int, Any]], *, bare: str | None = None) -> Iterator[Batch]:
    """Record batches of rows as they come, BadRow as they are. `bare`: column of rows that are no objects."""
    held: list[Mapping[str, Any]] = []
    size = 0
    for number, value in rows:
        if bare is not None and not isinstance(value, Mapping | BadRow):
            value = {bare: value}
        if isinstance(value, Mapping):
            held.append(value)
            size += sum(len(cell) for cell in value.values() if isinstance(cell, str | bytes | list))
        else:
            yield value if isinstance(value, BadRow) else BadRow(number, "not_an_object", type(value).__name__)
        if len(held) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield _batch(held)
            held, size = [], 0
    if held:
        yield _batch(held)


def _bare_column(head: Sequence[tuple[int, Any]]) -> str:
    """What to call the column of a list of texts, of message lists or of token ids, by its first value."""
    value = next((value for _, value in head if value is not None), "")
    if isinstance(value, str | bytes):
        return "text"
    return "messages" if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping) else "tokens"


def _batch(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    names = dict.fromkeys(itertools.chain.from_iterable(rows))
    columns = {str(name): _array([row.get(name) for row in rows]) for name in names}
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _array(values: list[Any]) -> pa.Array:
    """The values with the type they have in common; as text (JSON but for strings) where they have none."""
    for attempt in (values, None):
        try:
            return pa.array([_without_surrogates(value) for value in values] if attempt is None else values)
        except UnicodeEncodeError:
            continue
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            break
    return pa.array([None if value is None else as_text(value) for value in values], pa.large_string())


def as_text(value: Any) -> str:
    """A value of a column with mixed types: strings as they are, everything else as JSON."""
    return clean_text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {key: _without_surrogates(item) for key, item in value.items()}
    return [_without_surrogates(item) for item in value] if isinstance(value, list | tuple) else value


def _first_line(error: Exception) -> str:
    return printable((str(error).strip() or type(error).__name__).splitlines()[0])
