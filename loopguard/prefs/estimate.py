"""What a run would ask, before anything is asked: counted from the prompts, the recipe and what the ledger has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loopguard.dataset import BadRow, PromptReader
from loopguard.prefs.budget import MONEY, prices
from loopguard.prefs.ledger import FILE_NAME, Ledger
from loopguard.prefs.recipe import Recipe
from loopguard.prefs.sampling import draws

BYTES_PER_TOKEN = 4
"""Bytes of UTF-8 a token, roughly, in English and in Chinese alike."""

JUDGE_OVERHEAD = 400
"""Tokens of a shipped judge's own words, roughly."""

JUDGE_REPLY = 16
"""Tokens of a shipped judge's reply at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Upper bounds, but for the prompt tokens, which are a guess at 4 bytes each."""

    prompts: int
    """Distinct prompts that can be asked."""
    broken_rows: int
    already_done: int
    """Of the prompts, those that the run directory has answers for; the figures below leave them out."""
    sampling_requests: int
    candidates: int
    judge_requests: int
    """One for each candidate, two for each second look; fewer when candidates loop or are equal, more when replies are not read."""
    sampling_prompt_tokens: int
    sampling_completion_tokens: int
    judge_prompt_tokens: int


def money(found: Estimate, recipe: Recipe) -> float | None:
    """What it would come to at most, but for the guess of prompt tokens; None where the recipe has no prices."""
    rates = prices(recipe)
    if not any(map(any, rates.values())):
        return None
    sampling = rates["sampling"].of(0, found.sampling_prompt_tokens, found.sampling_completion_tokens)
    judging = rates["judging"].of(0, found.judge_prompt_tokens, found.judge_requests * JUDGE_REPLY)
    return (sampling.money + judging.money) / MONEY


def estimate(reader: PromptReader, recipe: Recipe, run_dir: Path, *, judge_again: bool = False) -> Estimate:
    """Read all prompts and add up. Asks no engine and writes nothing.

    `judge_again`: the judge is another one than the run's, so that prompts whose samples are there are judged anew.
    """
    done = _done_in(run_dir)
    judged = recipe.judge.spec != "none"
    looks = 2 * recipe.pairing.max_pairs_per_prompt if recipe.judge.second_look else 0
    prompts = broken = already = requests = candidates = judging = prompt_tokens = judge_tokens = 0
    for item in reader:
        if isinstance(item, BadRow):
            broken += 1
            continue
        prompts += 1
        drawn = draws(item, recipe.sampling)
        choices = sum(draw.request.n for draw in drawn)
        tokens = sum(len(m["content"].encode("utf-8", "replace")) for m in item.messages) // BYTES_PER_TOKEN + 8
        known = item.prompt_id in done
        already += known
        if not known:
            requests += len(drawn)
            candidates += choices
            prompt_tokens += tokens * len(drawn)
        if judged and (judge_again or not known):
            judging += choices
            judge_tokens += choices * (tokens + recipe.sampling.max_tokens + JUDGE_OVERHEAD)
            judging += looks
            judge_tokens += looks * (tokens + 2 * recipe.sampling.max_tokens + JUDGE_OVERHEAD)
    return Estimate(
        prompts=prompts,
        broken_rows=broken,
        already_done=already,
        sampling_requests=requests,
        candidates=candidates,
        judge_requests=judging,
        sampling_prompt_tokens=prompt_tokens,
        sampling_completion_tokens=candidates * recipe.sampling.max_tokens,
        judge_prompt_tokens=judge_tokens,
    )


def _done_in(run_dir: Path) -> set[str]:
    if not (run_dir / FILE_NAME).is_file():
        return set()
    with Ledger.read(run_dir) as ledger:
        return ledger.done_ids()
