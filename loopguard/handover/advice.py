"""What to change in max_length, trim_loops and min_margin, each counted on the pairs themselves: before and after.

max_length and min_margin are counted on all pairs. trim_loops makes other rejected texts: the run's candidates are paired again
from its ledger (of more than 2,000 prompts so many, evenly spread). Where a loop lies does not change when its end is trimmed:
trimming shows no loop that lies beyond the cut; it takes away length, and the tokens that an epoch costs.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loopguard.errors import LoopguardError
from loopguard.handover.check import Checked
from loopguard.handover.check_figures import UNSEEN, Setting, least_max_length, setting
from loopguard.handover.tokenizers_at_hand import Tokenizer
from loopguard.prefs.continuing import saved_recipe
from loopguard.prefs.recipe import PairingSection, Recipe
from loopguard.prefs.run import Run

__all__ = ["BIASED", "Advice", "advise"]

TRIMS = (0, 2, 3)
"""trim_loops that are tried: whole, and the least that still repeats."""

BIASED = 0.8
"""Share of pairs above which (or below 1 - which) length alone tells chosen from rejected: four of five."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The tables before and after, and what they mean in words."""

    settings: list[Setting]
    """On all pairs: now, then other max_length and min_margin."""
    trimmed: list[Setting]
    """On the prompts that were paired again: now, then other trim_loops. Empty where there is no run."""
    prompts: int
    """Prompts paired again for `trimmed`."""
    lines: list[str]

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        tables = {name: [asdict(one) for one in getattr(self, name)] for name in ("settings", "trimmed")}
        return {**tables, "prompts_paired_again": self.prompts, "lines": self.lines}


def advise(found: Checked, tokenizer: Tokenizer, *, run: Run | None, max_unseen: float) -> Advice:
    """Count the settings that may help. Reads the run's ledger where there is one; asks nothing."""
    rules = (saved_recipe(run.path) or Recipe()).pairing if run else None
    settings = [setting("now", found.columns, found.max_length, found.trainer)]
    settings += _longer(found, max_unseen)
    settings += _wider(found, rules)
    trimmed: list[Setting] = []
    prompts, trouble = 0, ""
    if run is not None and rules is not None and settings[0].loops:
        try:
            trimmed, prompts = _trimmed(run.path, rules, tokenizer, found)
        except LoopguardError as error:
            trouble = f"trim_loops could not be tried: {error}"
    lines = [*_lines(found, settings, trimmed, max_unseen, is_run=run is not None), *([trouble] if trouble else [])]
    if run is not None and any("--trim-loops" in line or "--min-margin" in line for line in lines):
        again = ["loopguard", "build-prefs", str(run.summary["prompts_from"]), "--out", str(run.path), "--offline"]
        lines.append(f"To pair again, which asks nothing: {shlex.join(again)} and the option")
    return Advice(settings=settings, trimmed=trimmed, prompts=prompts, lines=lines)


def _longer(found: Checked, max_unseen: float) -> Iterator[Setting]:
    """Each max_length above the present one that reaches an aim which is missed now."""
    wanted = least_max_length(found.columns, found.trainer)
    missed = {
        "loops_seen_95%": found.counts[UNSEEN] > 0,
        "loops_seen_99%": found.counts[UNSEEN] > 0,
        "chosen_ends_seen_95%": found.counts["chosen_end_cut"] > 0,
        "no_pair_equal_after_cut": found.counts["equal_after_cut"] > 0,
        "no_pair_dropped": found.counts["dropped"] > 0,
        "no_prompt_cut": found.counts["prompt_cut"] > 0,
    }
    values = {value for name, value in wanted.items() if missed.get(name) and value and value > found.max_length}
    return (
        setting(f"{found.trainer.option} = {value}", found.columns, value, found.trainer) for value in sorted(values)
    )


def _wider(found: Checked, rules: PairingSection | None) -> Iterator[Setting]:
    """min_margin at the quartile and the median of the margins there are: exactly the pairs that would be left."""
    import numpy as np

    margin = found.columns.margin
    known = margin[~np.isnan(margin) & (found.columns["loop_seen"] == 0)]
    if rules is None or known.size < 4:
        return
    for value in sorted({round(float(one), 2) for one in np.quantile(known, [0.25, 0.5], method="inverted_cdf")}):
        keep = np.isnan(margin) | (found.columns["loop_seen"] != 0) | (margin >= value)
        if value > rules.min_margin and not keep.all():
            yield setting(f"min_margin = {value:g}", found.columns, found.max_length, found.trainer, keep=keep)


def _trimmed(run_dir: Path, rules: PairingSection, tokenizer: Tokenizer, of: Checked) -> tuple[list[Setting], int]:
    from loopguard.handover.pairing_again import measure_again

    copies = [rules.trim_loops, *(k for k in TRIMS if k != rules.trim_loops)]
    columns, prompts = measure_again(
        run_dir, [rules.model_copy(update={"trim_loops": k}) for k in copies], tokenizer, of.trainer
    )
    return [
        setting(f"trim_loops = {k}", held, of.max_length, of.trainer) for k, held in zip(copies, columns, strict=True)
    ], prompts


def _lines(
    found: Checked, settings: list[Setting], trimmed: list[Setting], max_unseen: float, *, is_run: bool
) -> Iterator[str]:
    trainer, counts, name = found.trainer, found.counts, shlex.quote(found.name)
    now, wanted, limit = settings[0], least_max_length(found.columns, trainer), trainer.option
    if now.loops and counts[UNSEEN] / now.loops > max_unseen:
        yield (
            f"{limit}: {wanted['loops_seen_95%']} tokens show 95 % of the loops, {wanted['loops_seen_99%']} show 99 %;"
            f" {found.max_length} show {now.seen / now.loops:.0%}"
        )
    if counts["equal_after_cut"]:
        yield f"{limit}: from {wanted['no_pair_equal_after_cut']} tokens on no two sides are equal"
    if counts["dropped"]:
        yield f"{limit}: from {wanted['no_pair_dropped']} tokens on no pair is dropped" + trainer.instead
    if counts["prompt_cut"]:
        yield f"{limit}: from {wanted['no_prompt_cut']} tokens on every prompt is whole"
    if (ends := wanted["chosen_ends_seen_95%"] or 0) > found.max_length:
        yield f"{limit}: {ends} tokens show the end of 95 % of the chosen answers"
    if counts["eos_after_cut_text"]:
        yield (
            f"{counts['eos_after_cut_text']:,} rejected texts did not end, but the trainer puts EOS after them and trains it down:"
            " never stop inside a loop"
            + (f"; without it: loopguard export {name} --format trl --pretokenized --tokenizer ..." if is_run else "")
        )
    if counts["chosen_end_cut"] and trainer.overwrites:
        yield (
            f"{trainer.name} puts EOS where it cuts: {counts['chosen_end_cut']:,} chosen answers teach to stop half-way;"
            f" leave them out, or raise {limit}"
        )
    if now.shorter_wins is not None and not 1 - BIASED < now.shorter_wins < BIASED:
        yield from _against_bias(now, settings, trimmed)
    if counts["no_eos"] == len(found.columns) > 0:
        yield "No answer ends with the tokenizer's EOS: the model would not learn to stop; look at eos_token and template"


def _against_bias(now: Setting, settings: list[Setting], trimmed: list[Setting]) -> Iterator[str]:
    assert now.shorter_wins is not None
    right = max(now.shorter_wins, 1 - now.shorter_wins)
    rule = "the shorter one wins" if now.shorter_wins > 0.5 else "the longer one wins"
    yield f'Length: "{rule}" tells chosen from rejected in {right:.0%} of the pairs'
    tried = [(one, now) for one in settings if one.name.startswith("min_margin")]
    tried += [(one, trimmed[0]) for one in trimmed[1:]]
    better = [
        f"--{one.name.replace('_', '-').replace(' =', '')} ({one.shorter_wins:.0%})"
        for one, before in tried
        if one.shorter_wins is not None
        and before.shorter_wins is not None
        and abs(one.shorter_wins - 0.5) < abs(before.shorter_wins - 0.5) - 0.005
    ]
    if better:
        yield f'Less so with (share of "the shorter one wins"): {", ".join(better)}'
