"""A run's tables as a dataset's files: Parquet by config and split, with explicit features; equal rows give equal bytes.

    preferences/train-00000-of-00001.parquet   candidates/...   skipped/...

A config or a split without rows has no file: `datasets` cannot read an empty one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopguard.errors import InputError, StorageError
from loopguard.files import storage_error
from loopguard.prefs.outputs import CANDIDATES, PREFERENCES, SKIPPED
from loopguard.sources import group_batches

if TYPE_CHECKING:
    import pyarrow as pa

CONFIGS = {"preferences": PREFERENCES, "candidates": CANDIDATES, "skipped": SKIPPED}
"""Config of the dataset -> table of the run. The first is the default one."""

SPLITS = ("train", "test")

FILE_BYTES = 300_000_000
"""Arrow bytes of one file, at most one row group more; packed it is a third to a tenth of that."""

GROUP_BYTES = 32_000_000
"""Arrow bytes of one row group, at most 1,000 rows more: what is held in memory; the Hub's viewer reads whole groups."""

_NAME = re.compile(rf"(?:{'|'.join(CONFIGS)})/(?:{'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One Parquet file of a dataset."""

    config: str
    split: str
    name: str
    """Its path in the dataset."""
    path: Path
    """Where it is on this machine."""
    rows: int
    arrow_bytes: int
    """Size of its rows in memory."""
    size: int
    """Size of the file in bytes."""
    features: list[dict[str, Any]]
    """Of its columns, as a dataset card lists them."""


def is_ours(name: str) -> bool:
    """Whether a path in a dataset is one that `write_files` gives."""
    return _NAME.fullmatch(name) is not None


def in_test(prompt_id: str | None, share: float) -> bool:
    """Whether a prompt's rows go to the test split: by a hash of its id, so the same on every machine and in every run."""
    if prompt_id is None:
        return False
    digest = hashlib.sha256(f"loopguard split {prompt_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def features(kind: Any) -> Any:
    """The `datasets` feature of an Arrow type, as JSON: a list is [item], which every version of `datasets` knows."""
    import pyarrow as pa

    if pa.types.is_list(kind):
        return [features(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: features(field.type) for field in kind}
    return {"dtype": _dtype(kind), "_type": "Value"}


def card_features(schema: pa.Schema) -> list[dict[str, Any]]:
    """The features of a table as a dataset card lists them under `dataset_info`."""
    return [_card_feature(field.name, field.type) for field in schema]


def _card_feature(name: str, kind: Any) -> dict[str, Any]:
    import pyarrow as pa

    if pa.types.is_list(kind):
        inner = kind.value_type
        if pa.types.is_struct(inner):
            return {"name": name, "list": [_card_feature(field.name, field.type) for field in inner]}
        return {"name": name, "list": _dtype(inner)}
    return {"name": name, "dtype": _dtype(kind)}


def _dtype(kind: Any) -> str:
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind))


def with_features(schema: pa.Schema) -> pa.Schema:
    """The schema with its features where `datasets` looks for them."""
    known = {field.name: features(field.type) for field in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": known}})})


def batches(file: Any, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a ParquetFile, at most 1,000 at a time."""
    return group_batches(file, 1_000, columns)


def write_files(run_dir: Path, folder: Path, *, test_share: float = 0.0) -> list[DataFile]:
    """Write the files of all configs under `folder`, in flat memory, and say what they are.

    Raises InputError for a damaged table or a split without pairs, StorageError where the disk is full.
    """
    found: list[DataFile] = []
    for config, table in CONFIGS.items():
        try:
            found += _write_config(run_dir / table, folder, config, test_share)
        except OSError as error:
            if not error.errno:  # Arrow's word for a file that is no Parquet
                raise InputError(f"{run_dir / table}: damaged: {' '.join(str(error).split())[:200]}") from error
            told = storage_error(folder, error)
            raise StorageError(f"{told} (TMPDIR names another folder for temporary files)") from error
        if config == "preferences" and test_share:
            _check_split(found, test_share)
    return found


def _check_split(pairs: list[DataFile], share: float) -> None:
    counts = {split: sum(file.rows for file in pairs if file.split == split) for split in SPLITS}
    for split, count in counts.items():
        if not count:
            raise InputError(
                f"a test share of {share:g} leaves none of {sum(counts.values())} pairs for {split}; pass another --split"
            )


def _write_config(table: Path, folder: Path, config: str, share: float) -> list[DataFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / config).mkdir(parents=True, exist_ok=True)
    try:
        source = pq.ParquetFile(table)
    except pa.ArrowInvalid as error:
        raise InputError(f"{table}: damaged: {' '.join(str(error).split())[:200]}") from error
    with source:
        schema = with_features(source.schema_arrow)
        parts = {split: _Part(folder / config, split, schema) for split in SPLITS}
        try:
            for batch in batches(source):
                for split, rows in _dealt(batch, share):
                    parts[split].add(rows)
        finally:
            for part in parts.values():
                part.close()
    return [file for part in parts.values() for file in part.named(config)]


def _dealt(batch: pa.RecordBatch, share: float) -> Iterator[tuple[str, pa.RecordBatch]]:
    import pyarrow as pa

    if not share:
        yield "train", batch
        return
    mask = [in_test(prompt_id, share) for prompt_id in batch.column("prompt_id").to_pylist()]
    yield "train", batch.filter(pa.array([not one for one in mask], pa.bool_()))
    yield "test", batch.filter(pa.array(mask, pa.bool_()))


class _Part:
    """One split of one config while it is written: a new file after FILE_BYTES, a row group after GROUP_BYTES."""

    def __init__(self, folder: Path, split: str, schema: pa.Schema) -> None:
        self._folder, self._split, self._schema = folder, split, schema
        self._done: list[tuple[Path, int, int]] = []
        self._writer: Any = None
        self._path = folder
        self._rows = self._bytes = self._held_bytes = 0
        self._held: list[pa.RecordBatch] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """More rows."""
        if batch.num_rows:
            self._held.append(batch)
            self._held_bytes += batch.nbytes
        if self._held_bytes >= GROUP_BYTES:
            self._flush()
        if self._bytes >= FILE_BYTES:
            self._end_file()

    def close(self) -> None:
        """Write what is held and end the file."""
        self._flush()
        self._end_file()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._held:
            return
        if self._writer is None:
            self._path = self._folder / f"{self._split}-{len(self._done):05}.part"
            self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd", write_page_index=True)
        table = pa.Table.from_batches(self._held).replace_schema_metadata(self._schema.metadata)
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._rows, self._bytes = self._rows + table.num_rows, self._bytes + self._held_bytes
        self._held, self._held_bytes = [], 0

    def _end_file(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._done.append((self._path, self._rows, self._bytes))
        self._writer, self._rows, self._bytes = None, 0, 0

    def named(self, config: str) -> Iterator[DataFile]:
        """The files under the names they keep, now that their number is known."""
        for k, (path, rows, size) in enumerate(self._done):
            final = path.with_name(f"{self._split}-{k:05}-of-{len(self._done):05}.parquet")
            path.rename(final)
            name = f"{config}/{final.name}"
            yield DataFile(
                config=config,
                split=self._split,
                name=name,
                path=final,
                rows=rows,
                arrow_bytes=size,
                size=final.stat().st_size,
                features=card_features(self._schema),
            )
