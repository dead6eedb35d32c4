"""A run directory as a Subject: its tables without their texts, and what is missing of them.

Of a run that is still going, or was killed before it wrote its tables, they are made from its ledger, in a folder of their own that
goes with the Subject.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any, Literal

import polars as pl

from loopguard.counted import counted
from loopguard.errors import InputError
from loopguard.files import write_json
from loopguard.look.subject import PAIR_COLUMNS, SKIP_COLUMNS, Subject, Texts, no_pairs, placed
from loopguard.prefs.database import is_worked_on
from loopguard.prefs.ledger import FILE_NAME
from loopguard.prefs.outputs import CANDIDATES, PREFERENCES, SKIPPED
from loopguard.prefs.run import SUMMARY
from loopguard.prefs.so_far import tables_are_behind, write_so_far


def run_subject(path: Path) -> Subject:
    """The run in a directory. Raises InputError where there is none, or none of its tables."""
    if not (path / FILE_NAME).is_file() and not (path / CANDIDATES).is_file():
        raise InputError(f"{path}: no run directory (it holds neither {FILE_NAME} nor {CANDIDATES})")
    if not tables_are_behind(path):
        return _of_tables(path, path)
    folder = Path(tempfile.mkdtemp(prefix="loopguard-report-"))
    try:
        subject = _so_far(path, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(subject, shutil.rmtree, folder, ignore_errors=True)
    return subject


def _so_far(path: Path, folder: Path) -> Subject:
    """What is answered of a run that is still going; where that is nothing, what its former session wrote."""
    try:
        found = write_so_far(path, folder)
    except InputError:
        if not (path / CANDIDATES).is_file():
            raise
        note = "A session has begun that has not written its tables yet: what is seen here is of the one before."
        former = _of_tables(path, path)
        return dataclasses.replace(former, notes=(note, *former.notes))
    write_json(folder / SUMMARY, found.summary)
    subject = _of_tables(path, folder)
    through = f"{found.answered:,} of {found.total:,} prompts"
    state, note = _NOW[is_worked_on(path)]
    kept = [one for one in subject.notes if not one.startswith(_UNFINISHED)]
    return dataclasses.replace(
        subject, so_far=(found.answered, found.total), state=state, notes=(note.format(through), *kept)
    )


_NOW: dict[bool | None, tuple[Literal["still going", "stopped", "not finished"], str]] = {
    True: ("still going", "Still going: {} are through, and this page is of those."),
    False: (
        "stopped",
        "Stopped: no process works on it. {} are through, and this page is of those; the same command goes on with it.",
    ),
    None: (
        "not finished",
        "Not finished: {} are through, and this page is of those. If it was stopped, the same command goes on with it.",
    ),
}
"""What a page says of a run whose tables are behind, by whether a process works on it."""
_UNFINISHED = "The run is not finished: "


def _of_tables(path: Path, tables: Path) -> Subject:
    """The run in a directory, whose tables are in that one or in another."""
    table = _renamed(pl.scan_parquet(tables / CANDIDATES, glob=False))
    wide = table.with_columns(characters=pl.col("text").str.len_chars()).drop("text", "reasoning").collect()
    outputs, unit = _measured(wide.with_row_index("at"), _counted(wide))
    notes: list[str] = []
    summary, pairs, skipped = _summary(tables, notes), _pairs(tables, notes), _skipped(tables, notes)
    notes += _unfinished(summary, outputs.height, None if pairs is None else pairs.height)
    detector = outputs["detector"].drop_nulls() if "detector" in outputs.columns else pl.Series()
    return Subject(
        name=path.resolve().name or str(path),
        path=path,
        source="run",
        outputs=outputs,
        pairs=no_pairs() if pairs is None else pairs,
        skipped=skipped if skipped is not None else pl.DataFrame(schema=SKIP_COLUMNS),
        summary=summary,
        texts=Texts(path=tables / CANDIDATES, output="text", prompt=None),
        unit=unit,
        detector=str(detector[0]) if len(detector) else "",
        notes=tuple(notes),
    )


def _renamed(table: pl.LazyFrame) -> pl.LazyFrame:
    missing = [name for name in ("prompt_id", "text", "looping") if name not in table.collect_schema().names()]
    if missing:
        raise InputError(
            f"{CANDIDATES} has no column {', '.join(missing)}; run build-prefs again: it asks nothing twice"
        )
    return table


def _counted(wide: pl.DataFrame) -> pl.Series:
    """Tokens of each output as the engine counted them; null where it did not: 0 for a text that is not empty."""
    if "completion_tokens" not in wide.columns:
        return pl.Series("tokens", [None] * wide.height, pl.Int64)
    counted = pl.when((pl.col("completion_tokens") > 0) | (pl.col("characters") == 0)).then(pl.col("completion_tokens"))
    return wide.select(tokens=counted.cast(pl.Int64)).to_series()


def _measured(wide: pl.DataFrame, counted: pl.Series) -> tuple[pl.DataFrame, Literal["tokens", "characters"]]:
    """The outputs with `tokens`, `length`, `onset`, `wasted`, and the unit of the last three."""
    frame = wide.with_columns(tokens=counted)
    known = frame.filter(pl.col("tokens") > 0)
    characters, tokens = known["characters"].sum() or 0, known["tokens"].sum() or 0
    unit: Literal["tokens", "characters"] = "tokens" if tokens and characters else "characters"
    if unit == "tokens":
        estimate = (pl.col("characters") * tokens / characters).round().cast(pl.Int64)
        frame = frame.with_columns(tokens=pl.col("tokens").fill_null(estimate))
        per_character: pl.Expr = pl.when(pl.col("characters") > 0).then(pl.col("tokens") / pl.col("characters"))
    else:
        per_character = pl.lit(1.0)
    length = pl.col("tokens") if unit == "tokens" else pl.col("characters")
    return placed(frame.with_columns(length=length.cast(pl.Int64)), per_character), unit


def _summary(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        found = json.loads((path / SUMMARY).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    except FileNotFoundError:
        notes.append(f"The run has no {SUMMARY}: prompts without an answer are not counted.")
        return {}
    except (OSError, ValueError):
        pass
    notes.append(f"{SUMMARY} is damaged and left out; run build-prefs again: it asks nothing twice.")
    return {}


def _pairs(path: Path, notes: list[str]) -> pl.DataFrame | None:
    if not (path / PREFERENCES).is_file():
        notes.append(f"The run has no {PREFERENCES}: nothing is said of pairs.")
        return None
    table = pl.scan_parquet(path / PREFERENCES, glob=False)
    names = set(table.collect_schema().names())
    wanted = [name for name in PAIR_COLUMNS if name in names]
    lengths = [_written(side).alias(f"{side}_characters") for side in ("chosen", "rejected") if side in names]
    return pl.concat([no_pairs(), table.select(*wanted, *lengths).collect()], how="diagonal_relaxed")


def _written(side: str) -> pl.Expr:
    return pl.col(side).list.eval(pl.element().struct.field("content").str.len_chars()).list.sum().cast(pl.Int64)


def _skipped(path: Path, notes: list[str]) -> pl.DataFrame | None:
    if not (path / SKIPPED).is_file():
        notes.append(f"The run has no {SKIPPED}: prompts without a pair are not explained.")
        return None
    return pl.scan_parquet(path / SKIPPED, glob=False).select("status", "reason", "prompt_id").collect()


def _unfinished(summary: dict[str, Any], candidates: int, pairs: int | None) -> list[str]:
    try:
        missing, failed = summary["prompts"]["missing"], summary["prompts"]["failed"]
        told = summary["candidates"]["total"], summary["pairs"]["total"]
    except (KeyError, TypeError):
        return []
    found = []
    if missing:
        have = "has" if missing == 1 else "have"
        found.append(
            f"{_UNFINISHED}{missing:,} of {counted(summary['prompts']['total'], 'prompt')} {have} no answers yet."
        )
    if failed:
        found.append(f"{counted(failed, 'prompt')} failed; the next run asks {'it' if failed == 1 else 'them'} again.")
    if told != (candidates, told[1] if pairs is None else pairs):
        found.append("The tables and summary.json are not of one session: the run may be writing right now.")
    return found
