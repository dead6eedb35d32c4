"""A run directory to look at: frames, figures, and what is still missing. Reads; never changes anything."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopguard.errors import InputError
from loopguard.prefs.budget import spent_of
from loopguard.prefs.capabilities import noted
from loopguard.prefs.database import is_worked_on
from loopguard.prefs.ledger import FILE_NAME, Ledger
from loopguard.prefs.outputs import CANDIDATES, PREFERENCES, SKIPPED
from loopguard.prefs.recipe import Recipe, parse_recipe, read_toml
from loopguard.prefs.summary import Rate

if TYPE_CHECKING:
    import polars as pl

    from loopguard.look.plots import Plots

RECIPE, SUMMARY = "recipe.toml", "summary.json"


class Run:
    """One run directory. The frames are polars frames, read when first asked for.

    Raises InputError where the folder is no run directory or the run has not written its tables yet.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not os.path.isfile(self.path / FILE_NAME):  # unlike Path.is_file it has an answer for every name
            raise InputError(f"{self.path}: no run directory (it holds no {FILE_NAME})")

    @cached_property
    def preferences(self) -> pl.DataFrame:
        """One row a pair: prompt, chosen, rejected as message lists, and flat metadata."""
        return self._table(PREFERENCES)

    @cached_property
    def candidates(self) -> pl.DataFrame:
        """One row a candidate: text, verdict, score, what became of it."""
        return self._table(CANDIDATES)

    @cached_property
    def skipped(self) -> pl.DataFrame:
        """One row for each prompt without a pair, and each row of the prompts file that holds none; with the reason."""
        return self._table(SKIPPED)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The figures of summary.json."""
        return dict(json.loads(self._file(SUMMARY).read_text(encoding="utf-8")))

    @cached_property
    def plots(self) -> Plots:
        """The charts of the run: `run.plots.loop_rate(by="decoding")`, `run.plots.onsets()`, ... Needs the extra `report`."""
        from loopguard.look.plots import Plots

        return Plots(self)

    def status(self) -> Status:
        """How far the run is, from the ledger alone: also while another process works on it."""
        with Ledger.read(self.path) as ledger:
            sums, total = ledger.tally(done_under=ledger.get("fingerprint") or ""), ledger.count()
            done = sums["done"]
            spent, engines = spent_of(self._recipe(), ledger), noted(ledger)
        return Status(
            total=total,
            done=done,
            failed=sums["failed"],
            missing=total - done - sums["failed"],
            answers=sums["answers"],
            greedy=Rate(sums["greedy_looping"], sums["greedy"]),
            sampled=Rate(sums["sampled_looping"], sums["sampled"]),
            spent=spent,
            engines=engines,
            working=is_worked_on(self.path),
        )

    def _recipe(self) -> Recipe:
        path = self.path / RECIPE
        return parse_recipe(read_toml(path), where=str(path)) if path.is_file() else Recipe()

    def _file(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise InputError(
                f"{self.path}: no {name} yet; finish the run, or stop it once: it then writes what is there"
            )
        return path

    def _table(self, name: str) -> pl.DataFrame:
        import polars as pl

        return pl.read_parquet(self._file(name))

    @property
    def unfinished(self) -> bool:
        """It has written no tables and no summary yet; `status` says how far it is."""
        return not (self.path / SUMMARY).is_file()

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """For Jupyter: the summary as `build-prefs` ends with it, or how far the run is."""
        from loopguard.prefs.told import run_html

        return run_html(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How far a run is."""

    total: int
    """Distinct prompts."""
    done: int
    """Prompts that need nothing more under the recipe of the latest session: another judge begins at 0 again."""
    failed: int
    """Prompts that a request failed for; the next run asks again."""
    missing: int
    """Prompts not asked yet."""
    answers: int
    """Engine answers in the ledger, judge replies included."""
    greedy: Rate
    sampled: Rate
    spent: dict[str, Any]
    """As in summary.json: requests, tokens and money of all sessions, and the budget, if there is one."""
    engines: dict[str, dict[str, Any]]
    """Engine and model -> what they can do, as probed; see loopguard/engines/probe.py."""
    working: bool | None
    """Whether a process works on it now; None where that cannot be told."""


def open_run(path: str | Path) -> Run:
    """The run in a directory. Raises InputError where there is none."""
    return Run(path)
