"""The figures of a run: counted while its tables are written, told to a person at the end. Statistics, no verdicts."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from loopguard.prefs.outputs import TRUNCATED, Outcome
from loopguard.records import Skip

Z95 = 1.959963984540054
"""97.5 % quantile of the normal distribution: two-sided 95 % intervals."""


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a rate (Wilson 1927); (0.0, 1.0) when nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    rate, z2 = hits / total, Z95**2
    centre = (rate + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * math.sqrt(rate * (1 - rate) / total + z2 / (4 * total**2))
    return (0.0 if hits == 0 else max(0.0, centre - half)), (1.0 if hits == total else min(1.0, centre + half))


@dataclass(slots=True)
class Rate:
    """Looping outputs among all of one decoding."""

    looping: int = 0
    total: int = 0

    def add(self, looping: bool) -> None:
        """Count one output."""
        self.looping += looping
        self.total += 1

    def as_dict(self) -> dict[str, Any]:
        """looping, total, rate, and the interval's low and high; rate is None when nothing was counted."""
        low, high = wilson(self.looping, self.total)
        rate = self.looping / self.total if self.total else None
        return {"looping": self.looping, "total": self.total, "rate": rate, "low": low, "high": high}

    def __str__(self) -> str:
        """For a person: 12.5% (1 of 8; 95 % interval 2.2% to 47.1%)."""
        if not self.total:
            return "none"
        low, high = wilson(self.looping, self.total)
        rate = f"{self.looping / self.total:.1%} ({self.looping} of {self.total}"
        return f"{rate}; 95 % interval {low:.1%} to {high:.1%})"


@dataclass(slots=True)
class Figures:
    """Counts over the outcomes of a run, one `add` a prompt."""

    prompts: int = 0
    missing: int = 0
    with_pairs: int = 0
    greedy: Rate = field(default_factory=Rate)
    sampled: Rate = field(default_factory=Rate)
    truncated_clean: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    pairs: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    broken_rows: Counter[str] = field(default_factory=Counter)
    merged: int = 0
    scored: int = 0
    unscored: int = 0
    score_methods: Counter[str] = field(default_factory=Counter)
    judge_calls_saved: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    wasted_tokens: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one prompt and its candidates."""
        self.prompts += 1
        for candidate in outcome.candidates:
            (self.greedy if candidate.decoding == "greedy" else self.sampled).add(candidate.looping)
            self.truncated_clean += not candidate.looping and candidate.finish_reason in TRUNCATED
            self.merged += candidate.merged_into is not None
            self.judge_calls_saved += candidate.looping and candidate.merged_into is None
            self.scored += candidate.score is not None
            self.unscored += candidate.judge_error is not None
            self.prompt_tokens += candidate.prompt_tokens
            self.completion_tokens += candidate.completion_tokens
            if candidate.score:
                self.score_methods[candidate.score.method] += 1
            if candidate.verdict and candidate.verdict.loop:
                kind, terminal = candidate.verdict.loop.kind, candidate.verdict.terminal
                self.kinds[f"{kind}, {'terminal' if terminal else 'recovered'}"] += 1
                self.wasted_tokens += candidate.verdict.wasted_fraction * candidate.completion_tokens
        if isinstance(outcome.result, Skip):
            (self.failed if outcome.result.status == "failed" else self.skipped)[outcome.result.reason] += 1
        else:
            self.with_pairs += 1
            self.pairs.update(pair.reason for pair in outcome.result)

    def as_dict(self, *, judged: bool) -> dict[str, Any]:
        """The counts as JSON values; the judge's part is None where the recipe has none."""
        judge = {
            "scored": self.scored,
            "unscored": self.unscored,
            "methods": dict(sorted(self.score_methods.items())),
            "calls_saved_by_loops": self.judge_calls_saved,
        }
        return {
            "prompts": {
                "total": self.prompts + self.missing,
                "with_pairs": self.with_pairs,
                "skipped": sum(self.skipped.values()),
                "failed": sum(self.failed.values()),
                "missing": self.missing,
                "broken_rows": sum(self.broken_rows.values()),
            },
            "candidates": {
                "total": self.greedy.total + self.sampled.total,
                "equal_merged": self.merged,
                "truncated_not_looping": self.truncated_clean,
            },
            "loop_rate": {"greedy": self.greedy.as_dict(), "sampled": self.sampled.as_dict()},
            "loops_by_kind": dict(sorted(self.kinds.items())),
            "pairs": {"total": sum(self.pairs.values()), "loop": self.pairs["loop"], "score": self.pairs["score"]},
            "skipped_by_reason": dict(sorted(self.skipped.items())),
            "failed_by_reason": dict(sorted(self.failed.items())),
            "broken_rows_by_reason": dict(sorted(self.broken_rows.items())),
            "tokens": {
                "prompt": self.prompt_tokens,
                "completion": self.completion_tokens,
                "wasted_in_loops": round(self.wasted_tokens),
            },
            "judge": judge if judged else None,
        }
