"""`build-prefs --dry-run`: what a run would ask and cost, in words or as JSON. Asks nothing, writes nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopguard.counted import counted

if TYPE_CHECKING:
    from loopguard.prefs.estimate import Estimate
    from loopguard.prefs.recipe import Recipe


def dry_run_of(prompts: str, recipe: Recipe, run_dir: Path, columns: dict[str, Any], *, as_json: bool) -> None:
    """Print the estimate of a run; what would be wrong with its recipe is an error here too."""
    from loopguard.dataset import read_prompts
    from loopguard.prefs.budget import limits
    from loopguard.prefs.build import make_detector
    from loopguard.prefs.continuing import same_judge, saved_recipe
    from loopguard.prefs.estimate import estimate, money
    from loopguard.prefs.judging import load_judge

    make_detector(recipe)
    limits(recipe)
    if recipe.judge.spec != "none":
        load_judge(recipe.judge.spec)
    saved = saved_recipe(run_dir)
    judge_again = saved is not None and not same_judge(saved, recipe)
    found = estimate(read_prompts(prompts, **columns), recipe, run_dir, judge_again=judge_again)
    cost = money(found, recipe)
    if as_json:
        print(json.dumps(asdict(found) | ({} if cost is None else {"money_at_most": round(cost, 6)}), indent=2))
    else:
        print(_in_words(found, recipe, cost))


def _in_words(found: Estimate, recipe: Recipe, cost: float | None) -> str:
    return "\n".join(
        [
            f"{found.prompts:,} distinct prompts, {found.already_done:,} of them answered already;"
            f" {counted(found.broken_rows, 'row', 'holds', 'hold')} none that can be asked",
            f"sampling  {found.sampling_requests:,} requests for {found.candidates:,} candidates ({recipe.engine.engine}):"
            f" about {found.sampling_prompt_tokens:,} prompt tokens,"
            f" at most {found.sampling_completion_tokens:,} sampled tokens",
            f"judging   at most {found.judge_requests:,} requests where every reply can be read"
            f" ({recipe.judge.spec}): at most about {found.judge_prompt_tokens:,} prompt tokens",
            *([] if cost is None else [f"money     at most about {cost:,.4g}, at the recipe's prices"]),
            "Nothing was asked. Prompt tokens are guessed at 4 bytes each; looping and equal candidates need no judge.",
        ]
    )
