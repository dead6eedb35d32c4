"""Figures before and after: rates with Wilson intervals, and what changed on the very same prompts.

Answers to one prompt hang together, so that the prompt is the unit of every paired figure: McNemar's exact test for what there is
one of (the greedy answer loops or not, is right or not), a bootstrap over prompts for the share of sampled answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb
from typing import Any

import loopguard

RESAMPLES = 10_000
"""Of the bootstrap; its seed is 0."""


def rate(count: int, total: int) -> dict[str, Any]:
    """A rate with its 95 % Wilson interval."""
    from loopguard.loops.statistics import Rate

    found = Rate(count, total).as_dict()
    return {"count": found.pop("looping"), **found}


def measured(run: loopguard.Run) -> dict[str, Any]:
    """Loop rates by decoding, share of answers that ended by themselves, their length in tokens."""
    frame = run.candidates
    clean = frame.filter(~frame["looping"])
    return {
        **run.summary["loop_rate"],
        "ended": rate(int((frame["finish_reason"] == "stop").sum()), len(frame)),
        "median_tokens": frame["completion_tokens"].median(),
        "median_tokens_clean": clean["completion_tokens"].median(),
        "distinct_words_clean": _distinct_words(clean["text"].to_list()),
        "wasted_tokens": run.summary["tokens"]["wasted_in_loops"],
    }


def _distinct_words(texts: Sequence[str]) -> float | None:
    """Mean share of different words among the first 100 of each text that has so many: falls where texts grow monotonous."""
    words = [text.casefold().split()[:100] for text in texts]
    shares = [len(set(some)) / 100 for some in words if len(some) == 100]
    return sum(shares) / len(shares) if shares else None


def paired(before: loopguard.Run, after: loopguard.Run) -> dict[str, Any]:
    """What became of the loops on the same prompts: `greedy` by McNemar's test, `sampled` by a bootstrap over prompts."""
    return {
        "greedy": mcnemar(_looping(before, "greedy"), _looping(after, "greedy")),
        "sampled": bootstrap(_looping(before, "sampled"), _looping(after, "sampled")),
    }


def _looping(run: loopguard.Run, decoding: str) -> dict[str, float]:
    """The share of a prompt's answers that loop, by prompt_id."""
    import polars as pl

    frame = run.candidates.filter(pl.col("decoding") == decoding)
    shares = frame.group_by("prompt_id").agg(pl.col("looping").mean())
    return dict(zip(shares["prompt_id"], shares["looping"], strict=True))


def mcnemar(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Any]:
    """Prompts that changed in one direction and in the other, and the exact two-sided p that both are as likely."""
    shared = before.keys() & after.keys()
    only_before = sum(before[key] > after[key] for key in shared)
    only_after = sum(before[key] < after[key] for key in shared)
    changed = only_before + only_after
    tail = sum(comb(changed, k) for k in range(min(only_before, only_after) + 1))
    p = min(1.0, 2 * tail / 2**changed) if changed else 1.0
    return {"prompts": len(shared), "only_before": only_before, "only_after": only_after, "p": p}


def bootstrap(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Any]:
    """The mean change of a share over prompts, with the 95 % percentile interval of resampled prompts."""
    import numpy as np

    shared = sorted(before.keys() & after.keys())
    changes = np.array([after[key] - before[key] for key in shared])
    draws = np.random.default_rng(0).integers(0, len(changes), (RESAMPLES, len(changes)))
    low, high = np.quantile(changes[draws].mean(axis=1), [0.025, 0.975])
    return {"prompts": len(shared), "change": float(changes.mean()), "low": float(low), "high": float(high)}
