"""The figures of a run: counted while its tables are written, told to a person at the end. Statistics, no verdicts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from loopguard.loops.statistics import Z95, Rate, wilson
from loopguard.prefs.outputs import Outcome
from loopguard.records import TRUNCATED, Skip

__all__ = ["Z95", "Figures", "Rate", "wilson"]


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
    stopped_early: int = 0
    stopped_early_tokens: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one prompt and its candidates."""
        self.prompts += 1
        requests = {(c.decoding, c.temperature): c.prompt_tokens for c in outcome.candidates}
        self.prompt_tokens += sum(requests.values())  # a prompt is read once for all samples of one request
        for candidate in outcome.candidates:
            (self.greedy if candidate.decoding == "greedy" else self.sampled).add(candidate.looping)
            self.truncated_clean += not candidate.looping and candidate.finish_reason in TRUNCATED
            self.merged += candidate.merged_into is not None
            self.judge_calls_saved += candidate.looping and candidate.merged_into is None
            self.scored += candidate.score is not None
            self.unscored += candidate.judge_error is not None
            self.completion_tokens += candidate.completion_tokens
            if candidate.finish_reason == "repetition":
                self.stopped_early += 1
                self.stopped_early_tokens += candidate.completion_tokens
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
