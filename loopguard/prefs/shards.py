"""A shard: a block of rows of the prompts file, done by one worker at a time; its finished tables in a folder of its own.

    FOLDER/answers/000000001-000000512/1-sample-HOST-PID-3f2a.answers
                                                 every answer to it, on disk before it is used; a file for each attempt
    FOLDER/shards/000000001-000000512/           its tables and shard.json; there under this name: finished

FOLDER is the run directory, or what the recipe names as `ray.shared`. Rows are counted from 1, in the order of the prompts
file, so that a run that is taken up again sees the same shards. Knows no Ray.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from loopguard import __version__
from loopguard.engines import Completion
from loopguard.files import storage_error
from loopguard.prefs.judging import JudgeSpec
from loopguard.prefs.ledger import Failure, Ledger, SourceRow
from loopguard.prefs.outputs import Provenance
from loopguard.prefs.recipe import Recipe
from loopguard.prefs.summary import Figures, Rate
from loopguard.prompt_columns import Kind

ANSWERS, SHARDS, REPORT = "answers", "shards", "shard.json"

MOST = 512
"""Prompts in one shard at the most: some 3,000 candidates, a few MB to some hundred MB in a worker's memory."""

SHARES = 4
"""Shards for each worker at the least, while there are prompts enough: what the slowest of them delays."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows `first` to `last` of the prompts file, counted from 1."""

    number: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """Its folder's name; names sort as shards do."""
        return f"{self.first:09d}-{self.last:09d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What every worker of a run is told. Small, the same for all, and without secrets."""

    recipe: Recipe
    spec: JudgeSpec | None
    mark: str
    """The fingerprint under which a prompt counts as done."""
    provenance: Provenance
    folder: Path
    """Absolute; on storage that every node sees."""
    started_in: Path
    """Where the command was started: relative paths in the recipe begin there."""
    keys: tuple[str, ...] = ()
    """Names of the environment variables with keys that are set at the driver, so that a worker can say it lacks one."""
    version: str = __version__
    token: str = ""
    """What the file `.shared` in the folder must hold: proof that a worker sees the same storage."""

    def answers(self, shard: Shard) -> Path:
        """The folder of the files with the answers to a shard."""
        return self.folder / ANSWERS / shard.name

    def tables(self, shard: Shard) -> Path:
        """The folder of a shard's finished tables."""
        return self.folder / SHARDS / shard.name

    def mark_of(self, rows: Sequence[SourceRow], columns: Mapping[str, Kind]) -> str:
        """16 hex digits over all that decides the tables of a shard, the engine's answers apart."""
        recipe = self.recipe
        made = [self.mark, recipe.pairing.model_dump(mode="json"), _flat(self.provenance), self.version]
        text = json.dumps(
            [made, [_identity(row) for row in rows], *([list(columns.items())] if columns else [])], sort_keys=True
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _flat(provenance: Provenance) -> list[str]:
    return [provenance.model, provenance.judge, provenance.detector]


def _identity(row: SourceRow) -> list[Any]:
    if row.prompt is None:
        return [row.row, None, row.reason, row.detail]
    others = [dict(row.prompt.columns)] if row.prompt.columns else []
    return [row.row, row.prompt.prompt_id, row.prompt.reference, *others]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One shard as the ledger knows it: what a worker needs to begin, or to go on."""

    shard: Shard
    rows: Sequence[SourceRow]
    todo: frozenset[str]
    """Ids of the prompts that are not done under the plan's fingerprint."""
    answers: Mapping[str, Mapping[bytes, Completion]]
    failures: Mapping[str, Mapping[bytes, Failure]]
    columns: Mapping[str, Kind]
    """As the run's ledger has them: the same in all shards."""


def cut(rows: int, *, size: int, workers: int) -> list[Shard]:
    """`rows` rows as shards of `size`; 0: SHARES for each of `workers`, of at most MOST rows."""
    size = size or max(1, min(MOST, -(-rows // (SHARES * workers))))
    return [Shard(k, first, min(first + size - 1, rows)) for k, first in enumerate(range(1, rows + 1, size))]


def work_on(ledger: Ledger, shard: Shard, mark: str) -> Work:
    """All that the ledger has for a shard."""
    rows = list(ledger.rows(first=shard.first, last=shard.last))
    todo = ledger.rows(first=shard.first, last=shard.last, todo_under=mark)
    ids = [row.prompt.prompt_id for row in rows if row.prompt is not None]
    return Work(
        shard=shard,
        rows=rows,
        todo=frozenset(row.prompt.prompt_id for row in todo if row.prompt is not None),
        answers={one: found for one in ids if (found := ledger.answers(one))},
        failures={one: lost for one in ids if (lost := ledger.failures(one))},
        columns=ledger.columns(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What shard.json says of the tables beside it."""

    mark: str
    finished: bool
    """False: prompts failed or are missing, so that the next run takes the shard up again."""
    figures: Figures

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"mark": self.mark, "finished": self.finished, "figures": _figures_to_json(self.figures)}


def read_report(folder: Path) -> Report | None:
    """The report in a shard's folder; None where there is no whole one."""
    try:
        raw = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        return Report(mark=raw["mark"], finished=raw["finished"], figures=_figures_from_json(raw["figures"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def publish(made: Path, final: Path) -> None:
    """Give a shard's folder its name, in place of an older one. Raises StorageError."""
    try:
        if final.exists():
            shutil.rmtree(final)
        os.rename(made, final)
    except OSError as error:
        raise storage_error(final, error) from error


def _figures_to_json(figures: Figures) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for item in fields(figures):
        value = getattr(figures, item.name)
        flat[item.name] = [value.looping, value.total] if isinstance(value, Rate) else value
    return flat


def _figures_from_json(flat: Mapping[str, Any]) -> Figures:
    return Figures(**{name: _value_from_json(value) for name, value in flat.items()})


def _value_from_json(value: Any) -> Any:
    if isinstance(value, list):
        return Rate(*value)
    return Counter(value) if isinstance(value, dict) else value


def add_figures(total: Figures, more: Figures) -> None:
    """Add the counts of one shard to those of the run."""
    for item in fields(total):
        before, value = getattr(total, item.name), getattr(more, item.name)
        if isinstance(before, Rate):
            before.looping, before.total = before.looping + value.looping, before.total + value.total
        elif isinstance(before, Counter):
            before.update(value)
        else:
            setattr(total, item.name, before + value)
