"""What is looked at: a run or a verdict file, brought to one frame of outputs without their texts.

    outputs   one row an output: prompt_id, at, the verdict's columns, every column of the file that can be grouped by, and
              characters, tokens, length, onset, wasted (the last three in `unit`; null where nothing is known)
    pairs     one row a pair: reason, margin, scores, lengths of both sides in characters, as written
    skipped   one row a prompt (or a row of the prompts file) without a pair: status, reason

Lengths are the engine's token counts. An output without one is estimated from its characters, at the characters per token of
all counted ones; where nothing was counted, and in verdict files of text, the unit is characters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import polars as pl

from loopguard.errors import InputError
from loopguard.messages import printable
from loopguard.prefs.run import Run
from loopguard.prompt_columns import PREFIX, column_of

KEPT = ("prompt_id", "at", "characters", "tokens", "length", "onset", "wasted")
"""Columns that a subject makes itself, under these names."""


PAIR_COLUMNS: dict[str, Any] = {
    "prompt_id": pl.String,
    "reason": pl.String,
    "score_chosen": pl.Float64,
    "score_rejected": pl.Float64,
    "margin": pl.Float64,
    "chosen_index": pl.Int64,
    "rejected_index": pl.Int64,
    "rejected_loop_kind": pl.String,
    "rejected_truncated": pl.Boolean,
    "rejected_trimmed": pl.Boolean,
}
"""Columns of pairs that are looked at."""

SKIP_COLUMNS: dict[str, Any] = {"status": pl.String, "reason": pl.String}
"""Columns of prompts without a pair that are looked at."""


def no_pairs() -> pl.DataFrame:
    """The table of pairs of a subject that has none."""
    return pl.DataFrame(schema=PAIR_COLUMNS | {"chosen_characters": pl.Int64, "rejected_characters": pl.Int64})


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Where the texts of a subject are."""

    path: Path
    """A file; of a run its candidates.parquet, and its prompts are in the tables beside it."""
    output: str | None
    """The column of outputs; None: the file has none."""
    prompt: str | None
    """The column of prompts in the same file; None for a run (its prompts are in two other tables) and where there is none."""
    token_ids: bool = False


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One run, or one verdict file."""

    name: str
    path: Path
    source: Literal["run", "verdicts"]
    outputs: pl.DataFrame
    pairs: pl.DataFrame = field(default_factory=lambda: no_pairs())
    skipped: pl.DataFrame = field(
        default_factory=lambda: pl.DataFrame(schema={"status": pl.String, "reason": pl.String})
    )
    summary: dict[str, Any] = field(default_factory=dict)
    so_far: tuple[int, int] | None = None
    """(prompts that are through, all prompts) of a run that is not finished; None: its tables are written."""
    state: Literal["", "still going", "stopped", "not finished"] = ""
    """Of a run that is not finished: whether a process works on it; `not finished` where that cannot be told."""
    texts: Texts
    unit: Literal["tokens", "characters"]
    detector: str = ""
    notes: tuple[str, ...] = ()
    """What a reader should know before believing a figure: missing tables, prompts not asked yet."""

    @cached_property
    def judged(self) -> pl.DataFrame:
        """Outputs that have a verdict."""
        return self.outputs.filter(pl.col("looping").is_not_null())

    @cached_property
    def looping(self) -> pl.DataFrame:
        """Outputs that loop."""
        return self.outputs.filter(pl.col("looping"))


def open_subject(source: Run | Subject | str | Path) -> Subject:
    """A run directory or a verdict file as a Subject.

    Raises:
        InputError: neither; or its tables are not there, or damaged.
    """
    if isinstance(source, Subject):
        return source
    from loopguard.look.of_run import run_subject
    from loopguard.look.of_verdicts import verdicts_subject

    path = source.path if isinstance(source, Run) else Path(source)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; a run directory or a verdict file is wanted")
    try:
        return run_subject(path) if path.is_dir() else verdicts_subject(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: cannot be read: {said}") from None


def placed(frame: pl.DataFrame, per_position: pl.Expr) -> pl.DataFrame:
    """`onset` and `wasted` of the loop that wastes most; `wasted` of all loops where the length is known."""
    of_loop = pl.max_horizontal(0, pl.col("loop_end") - pl.col("loop_start") - pl.col("loop_period")) * per_position
    wasted = pl.coalesce(pl.col("wasted_fraction") * pl.col("length"), of_loop)
    looping = pl.col("looping").fill_null(False)
    return frame.with_columns(
        onset=pl.when(looping).then(pl.col("loop_start") * per_position).cast(pl.Float64),
        wasted=pl.when(looping).then(wasted).cast(pl.Float64),
    )


def column_named(subject: Subject, name: str) -> str:
    """The column of outputs with this name, or with the prompts' own. Raises InputError, which says which there are."""
    found = column_of(name, subject.outputs.columns)
    if found is not None:
        return found
    there = [one for one in subject.outputs.columns if one not in KEPT and not one.startswith(PREFIX)]
    said = f"{subject.path}: no column {printable(name)} to group by; it has {_listed(there)}"
    if subject.source == "run":
        theirs = [one.removeprefix(PREFIX) for one in of_prompts(subject)]
        said += f"; of the prompts file {_listed(theirs)}" if theirs else _NONE_OF_THE_PROMPTS
    raise InputError(said)


_NONE_OF_THE_PROMPTS = (
    "; no column of the prompts file came along: the run's command, given again, takes them in and asks nothing"
)


def of_prompts(subject: Subject) -> list[str]:
    """The columns of outputs that are columns of the prompts file."""
    return [one for one in subject.outputs.columns if subject.source == "run" and one.startswith(PREFIX)]


def _listed(names: list[str]) -> str:
    return ", ".join(printable(one) for one in names[:40]) + (f" and {len(names) - 40} more" if len(names) > 40 else "")
