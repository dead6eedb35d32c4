"""The driver's side of shards: what a killed run left, which shards are finished, and one run directory out of all of them.

The tables of the shards are put one after the other, in the order of the prompts: the rows of the local runner, in its order.
"""

from __future__ import annotations

import dataclasses
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopguard.errors import InputError, StorageError
from loopguard.files import atomic_path, remove_leftovers, storage_error, write_text
from loopguard.prefs.ledger import Ledger
from loopguard.prefs.outputs import PREFERENCES_JSONL, schemas
from loopguard.prefs.pipeline import Watcher, make_step
from loopguard.prefs.shard_ledger import ShardLedger, ingest
from loopguard.prefs.shard_work import TOKEN_FILE, write_shard
from loopguard.prefs.shards import ANSWERS, SHARDS, Plan, Shard, Work, add_figures, read_report, work_on
from loopguard.prefs.summary import Figures
from loopguard.prompt_columns import Kind
from loopguard.sources import group_batches

if TYPE_CHECKING:
    import pyarrow as pa

SHARED, TOKEN = "ray_shared", "ray_token"
"""Facts of the run that the ledger keeps: where its shards are, and what proves that a folder is theirs."""

ROWS_HELD, BYTES_HELD = 100_000, 256_000_000
"""Rows, or bytes, of one table that are put together into one row group."""


async def take_leftovers(ledger: Ledger, run_dir: Path) -> int:
    """Bring the answers of shards that a killed run left into the ledger; says of how many shards. Raises StorageError."""
    taken = 0
    for folder in {run_dir, Path(ledger.get(SHARED) or run_dir)}:
        for shard in sorted(path for path in (folder / ANSWERS).glob("*") if path.is_dir()):
            await ingest(ledger, shard, again=True)
            taken += 1
    return taken


def share(ledger: Ledger, run_dir: Path, folder: Path) -> str:
    """Make the shared folder ready and return the token in it. Raises InputError when it is another run's, StorageError."""
    token = ledger.get(TOKEN) or secrets.token_hex(16)
    place = folder / TOKEN_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if folder != run_dir and place.is_file() and place.read_text(encoding="utf-8") != token:
            raise InputError(f"{folder} holds the shards of another run: name a folder of its own as ray.shared")
    except OSError as error:
        raise storage_error(folder, error) from error
    ledger.put(TOKEN, token)
    ledger.put(SHARED, str(folder))
    write_text(place, token)
    return token


def finished(ledger: Ledger, plan: Plan, shards: Sequence[Shard]) -> set[int]:
    """The numbers of the shards whose tables stand; folders that belong to no shard as it is now are deleted."""
    whole, columns = set(), ledger.columns()
    folders = {path.name for path in (plan.folder / SHARDS).glob("*")}
    for shard in shards:
        if shard.name not in folders:
            continue
        report = read_report(plan.tables(shard))
        rows = list(ledger.rows(first=shard.first, last=shard.last))
        if report is not None and report.finished and report.mark == plan.mark_of(rows, columns):
            whole.add(shard.number)
    for name in folders - {shard.name for shard in shards}:
        shutil.rmtree(plan.folder / SHARDS / name, ignore_errors=True)
    return whole


async def write_run(
    ledger: Ledger, plan: Plan, shards: Sequence[Shard], *, ready: Collection[int], run_dir: Path, watcher: Watcher
) -> Figures:
    """The tables of the run from those of its shards. Shards that are not `ready` are made here, from the ledger alone.

    Raises StorageError.
    """
    figures = Figures()
    watcher.writing(total=len(shards))
    remove_leftovers(run_dir)
    with _joined(run_dir, ledger.columns()) as add:
        for shard in shards:
            if shard.number in ready or await _made_here(ledger, plan, shard, figures):
                report = read_report(plan.tables(shard))
                if report is None:
                    raise StorageError(
                        f"{plan.tables(shard)} has gone or is damaged; run again, nothing is asked twice"
                    )
                add_figures(figures, report.figures)
                add(plan.tables(shard))
            watcher.wrote()
    return figures


async def _made_here(ledger: Ledger, plan: Plan, shard: Shard, figures: Figures) -> bool:
    """The tables of a shard that no worker finished, from what the ledger has of it; False where that is nothing."""
    from loopguard.loops.detector import Detector

    whole = work_on(ledger, shard, plan.mark)
    known = {*whole.answers, *whole.failures}
    rows = [row for row in whole.rows if row.prompt is None or row.prompt.prompt_id in known]
    figures.missing += len(whole.rows) - len(rows)
    if not rows:
        return False
    work: Work = dataclasses.replace(whole, rows=rows)
    kept = ShardLedger(work, plan.answers(shard), stage="0-replay")
    replay = make_step(plan.recipe, kept, Detector(**plan.recipe.detector), plan.spec, None, None)
    await write_shard(plan, work, replay)
    return True


@contextmanager
def _joined(run_dir: Path, columns: Mapping[str, Kind]) -> Iterator[Any]:
    """A function that appends a shard's tables to the run's; those appear together when the block ends well."""
    with ExitStack() as stack:
        lines = stack.enter_context(_open(stack.enter_context(atomic_path(run_dir / PREFERENCES_JSONL))))
        tables = {
            name: stack.enter_context(_Table(stack.enter_context(atomic_path(run_dir / name)), schema))
            for name, schema in schemas(columns).items()
        }

        def add(folder: Path) -> None:
            for name, table in tables.items():
                table.add(folder / name)
            with (folder / PREFERENCES_JSONL).open("rb") as more:
                shutil.copyfileobj(more, lines, 1 << 20)

        yield add


def _open(path: Path) -> Any:
    return path.open("wb")


class _Table:
    """A Parquet file that others are appended to, in large row groups."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._held: list[pa.RecordBatch] = []

    def add(self, path: Path) -> None:
        """Append the rows of a file. Raises StorageError when it is damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                for batch in group_batches(file, ROWS_HELD):
                    self._held.append(batch)
                    if (
                        sum(b.num_rows for b in self._held) >= ROWS_HELD
                        or sum(b.nbytes for b in self._held) >= BYTES_HELD
                    ):
                        self._flush()
        except pa.ArrowInvalid as error:
            raise StorageError(f"{path} is damaged ({error}); delete its folder and run again") from None

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            table = pa.Table.from_batches(self._held, self._schema)
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
            self._held = []

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()
