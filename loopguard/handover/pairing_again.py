"""The pairs of a run under other pairing rules, from its ledger: nothing is asked, nothing in the run changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from loopguard.handover.check import Columns, measured_rows
from loopguard.handover.measured import Measured
from loopguard.handover.pairs import PairRow, pair_of
from loopguard.handover.tokenizers_at_hand import Tokenizer
from loopguard.handover.trainer_views import Trainer
from loopguard.prefs.build import make_detector
from loopguard.prefs.continuing import saved_recipe
from loopguard.prefs.judging import load_judge
from loopguard.prefs.ledger import Ledger
from loopguard.prefs.outputs import pair_row
from loopguard.prefs.pairing import make_pairs
from loopguard.prefs.pipeline import build_one, make_step
from loopguard.prefs.recipe import PairingSection, Recipe
from loopguard.records import Prompt, Skip

__all__ = ["AT_MOST", "measure_again"]

AT_MOST = 2_000
"""Prompts that are paired again; of a larger run so many, evenly spread."""


def measure_again(
    run_dir: Path, rules: Sequence[PairingSection], tokenizer: Tokenizer, trainer: Trainer, *, at_most: int = AT_MOST
) -> tuple[list[Columns], int]:
    """(the places of all pairs under each of the rules, how many prompts were paired).

    Raises LoopguardError: the ledger is damaged, the run's judge spec is not there any more.
    """
    recipe = saved_recipe(run_dir) or Recipe()
    detector = make_detector(recipe)
    columns, prompts = [Columns() for _ in rules], 0
    for of_prompt in _paired(run_dir, recipe, rules, at_most):
        prompts += 1
        distinct = {key: row for pairs in of_prompt for key, row in pairs.items()}
        places = {
            row.row: measured
            for row, measured in measured_rows(list(distinct.values()), tokenizer, detector, trainer)
            if isinstance(measured, Measured)
        }
        for held, pairs in zip(columns, of_prompt, strict=True):
            for key, row in pairs.items():
                if (measured := places.get(distinct[key].row)) is not None:
                    held.add(measured, row.margin)
    return columns, prompts


def _paired(
    run_dir: Path, recipe: Recipe, rules: Sequence[PairingSection], at_most: int
) -> Iterator[list[dict[tuple[str, str], PairRow]]]:
    """For each prompt the pairs under each of the rules, by what makes them the same pair."""
    detector, spec = make_detector(recipe), None if recipe.judge.spec == "none" else load_judge(recipe.judge.spec)
    with Ledger.read(run_dir) as ledger, asyncio.Runner() as runner:
        step = make_step(recipe, ledger, detector, spec, None, None)
        every = -(-ledger.count() // at_most)
        asked: Iterator[Prompt] = (row.prompt for row in ledger.rows() if row.prompt is not None)
        for number, prompt in enumerate(asked):
            if number % every:
                continue
            outcome = runner.run(build_one(prompt, step))
            if isinstance(outcome.result, Skip) and outcome.result.status == "failed":
                continue
            found, numbers = [], iter(range(1, 1 << 30))
            for rule in rules:
                pairs = make_pairs(prompt, outcome.candidates, rule, judged=spec is not None)
                rows = [] if isinstance(pairs, Skip) else [pair_of(next(numbers), pair_row(pair)) for pair in pairs]
                found.append({(str(row.chosen), str(row.rejected)): row for row in rows})
            yield found
