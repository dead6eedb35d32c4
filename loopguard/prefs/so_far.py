"""The tables of a run that is still going, from its ledger into another folder: reads the run, asks nothing, changes nothing in it.

    found = write_so_far(Path("runs/mine"), folder)     # candidates.parquet, ... of the prompts that are through
    found.answered, found.total, found.summary          # as in summary.json, of these prompts

It is the second pass of the run itself (`write_tables`), so a figure here is the finished run's for these prompts.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopguard.errors import InputError
from loopguard.prefs.budget import spent_of
from loopguard.prefs.foreground import in_own_thread
from loopguard.prefs.ledger import FILE_NAME, TABLES_NOTE, Ledger
from loopguard.prefs.outputs import CANDIDATES, Provenance
from loopguard.prefs.recipe import parse_recipe, read_toml
from loopguard.prefs.run import RECIPE
from loopguard.prefs.watching import Nobody

__all__ = ["SoFar", "tables_are_behind", "write_so_far"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SoFar:
    """What a run that is still going has."""

    answered: int
    """Prompts that are through, those that failed included."""
    total: int
    summary: dict[str, Any]


def tables_are_behind(run_dir: Path) -> bool:
    """Whether the ledger has something that the tables lack: they are not there yet, or a session began and did not end."""
    if not (run_dir / FILE_NAME).is_file():
        return False
    if not (run_dir / CANDIDATES).is_file():
        return True
    with Ledger.read(run_dir) as ledger:
        note = ledger.get(TABLES_NOTE)
    return note is not None and "made_of" not in json.loads(note)


def write_so_far(run_dir: Path, folder: Path) -> SoFar:
    """Write the tables of what is answered into `folder`.

    Raises:
        InputError: nothing is answered yet.
    """
    # here, for whoever only asks whether tables are behind needs none of it
    from loopguard.loops.detector import Detector
    from loopguard.prefs.judging import load_judge
    from loopguard.prefs.pipeline import make_step, write_tables

    with Ledger.read(run_dir) as ledger:
        total = ledger.count()
        if not (run_dir / RECIPE).is_file() or not ledger.has_answers():
            raise InputError(
                f"{run_dir}: nothing is answered yet (0 of {total:,} prompts); look again when something is"
            )
        recipe = parse_recipe(read_toml(run_dir / RECIPE), where=str(run_dir / RECIPE))
        spec = None if recipe.judge.spec == "none" else load_judge(recipe.judge.spec)
        step = make_step(recipe, ledger, Detector(**recipe.detector), spec, None, None)
        provenance = Provenance(
            model=recipe.engine.model, judge=spec.signature if spec else "none", detector=step.detector.signature
        )
        passing = write_tables(step, folder, provenance, watcher=Nobody())
        figures = in_own_thread(
            lambda: asyncio.run(passing), on_interrupt=lambda: True
        )  # a notebook has a loop already
        spent = spent_of(recipe, ledger)
    if not figures.prompts:
        raise InputError(
            f"{run_dir}: no prompt is answered in full yet (0 of {total:,}); look again when one is, or at `loopguard status`"
        )
    summary = {**figures.as_dict(judged=spec is not None), "spent": spent}
    return SoFar(answered=figures.prompts, total=figures.prompts + figures.missing, summary=summary)
