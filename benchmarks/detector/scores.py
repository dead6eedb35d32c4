"""The statistics of the table: precision, recall, F1 with a bootstrap interval, false-positive rate, onset and period.

Statistics only: what a rule said and what is true come in, numbers go out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.detector.rows import Row
from loopguard.records import Loop, Verdict

RESAMPLES = 2000


def _f1(tp: Any, fp: Any, fn: Any) -> Any:
    """F1 from counts or arrays of counts; 0 where nothing is true and nothing was said."""
    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def rates(truth: Sequence[bool], said: Sequence[bool], *, seed: int = 0) -> dict[str, float]:
    """Precision, recall, F1 with its 95 % bootstrap interval (rows drawn with replacement), false-positive rate.

    Resampling rows changes the four counts as a multinomial draw does, so that is what is drawn.
    """
    true, fired = np.asarray(truth, dtype=bool), np.asarray(said, dtype=bool)
    counts = np.array([(true & fired).sum(), (~true & fired).sum(), (true & ~fired).sum(), (~true & ~fired).sum()])
    tp, fp, fn, tn = (int(count) for count in counts)
    draws = np.random.default_rng(seed).multinomial(len(true), counts / max(1, len(true)), size=RESAMPLES)
    low, high = np.quantile(_f1(draws[:, 0], draws[:, 1], draws[:, 2]), (0.025, 0.975))
    return {
        "precision": tp / max(1, tp + fp),
        "recall": tp / max(1, tp + fn),
        "f1": float(_f1(tp, fp, fn)),
        "f1_low": float(low),
        "f1_high": float(high),
        "false_positive_rate": fp / max(1, fp + tn),
        "true_positives": tp,
        "false_positives": fp,
        "false_negatives": fn,
        "true_negatives": tn,
    }


def recall_by(groups: Sequence[str | None], said: Sequence[bool]) -> dict[str, float]:
    """The share that fired in each group; None is no group."""
    names = sorted({group for group in groups if group})
    return {
        name: float(np.mean([fired for group, fired in zip(groups, said, strict=True) if group == name]))
        for name in names
    }


def _matching(row: Row, verdict: Verdict) -> Loop | None:
    """The loop of the verdict that shares most with the true one."""
    assert row["start"] is not None
    assert row["end"] is not None
    start, end = row["start"], row["end"]
    best = max(verdict.loops, key=lambda loop: min(loop.end, end) - max(loop.start, start), default=None)
    return best if best is not None and min(best.end, end) > max(best.start, start) else None


def spans(rows: Sequence[Row], verdicts: Sequence[Verdict]) -> dict[str, float]:
    """How well the spans fit on planted loops: shares of all planted loops, missed ones count as wrong.

    onset: within one true period of the true start. period: exact, verbatim loops only. kind, terminal: as planted.
    """
    pairs = [
        (row, _matching(row, verdict)) for row, verdict in zip(rows, verdicts, strict=True) if row["start"] is not None
    ]
    verbatim = [(row, loop) for row, loop in pairs if row["kind"] == "verbatim"]

    def share(hits: Sequence[bool]) -> float:
        return float(np.mean(hits)) if hits else float("nan")

    return {
        "planted": len(pairs),
        "found": share([loop is not None for _, loop in pairs]),
        "onset_within_one_period": share(
            [loop is not None and abs(loop.start - (row["start"] or 0)) <= (row["period"] or 0) for row, loop in pairs]
        ),
        "period_exact_verbatim": share([loop is not None and loop.period == row["period"] for row, loop in verbatim]),
        "kind": share([loop is not None and loop.kind == row["kind"] for row, loop in pairs]),
        "terminal": share([loop is not None and loop.terminal == row["terminal"] for row, loop in pairs]),
    }
