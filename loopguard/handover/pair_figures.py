"""The figures of a dataset card: how long chosen and rejected are, which max_length holds them, how the judge scored.

Lengths are the engine's token counts. Where there is none (a place within a text, a trimmed text, a server that reports no usage)
they are estimated from characters, at the characters per token of the same text, else of the pair's chosen answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopguard.handover.parquet_files import batches
from loopguard.prefs.outputs import CANDIDATES, PREFERENCES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Array = npt.NDArray[np.float64]

CHARACTERS_PER_TOKEN = 4.0
"""Where no answer of a run has a token count: about that of English in vocabularies of 50,000 to 150,000."""

COVERED = 0.95
"""Share of pairs that the recommended max_length must hold."""

STEP = 128
"""max_length is rounded up to a multiple of it."""

SPARE = 16
"""Tokens for what the chat template writes around an answer."""

LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Values of max_length whose share of whole pairs is told."""

_COLUMNS = (
    *("prompt_id", "prompt", "chosen", "rejected", "reason", "margin", "score_chosen", "score_rejected"),
    *("chosen_tokens", "rejected_tokens", "rejected_trimmed", "rejected_truncated", "rejected_wasted_fraction"),
    *(f"rejected_loop_{name}" for name in ("kind", "terminal", "start", "end", "period", "repeats")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Lengths of the pairs of one kind, in tokens."""

    pairs: int
    chosen: tuple[float, float, float]
    """Median, 90 % quantile, longest."""
    rejected: tuple[float, float, float]
    chosen_shorter: int
    """Pairs whose chosen answer is the shorter one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFigures:
    """What the table of pairs says in figures."""

    lengths: dict[str, Lengths]
    """By reason of the pair (loop, score), and all."""
    uncounted: int
    """Pairs with a text whose tokens no engine counted: their lengths are estimates."""
    truncated: int
    trimmed: int
    median_margin: float | None
    """Of the pairs by score."""
    max_length: int
    """Recommended: holds prompt, chosen, and of rejected all, or its loop to the end of the second copy, for 95 % of pairs."""
    within: dict[int, float]
    """max_length -> share of pairs that it holds so."""
    prompts_estimated: int
    """Pairs whose prompt's tokens no engine counted."""
    sample: dict[str, Any]
    """The pair whose rejected text wastes most in a loop; without loops the one with the largest margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreFigures:
    """The judge's scores, in its points."""

    mean: float
    median: float
    low: float
    high: float


def pair_figures(run_dir: Path) -> PairFigures:
    """Read the pairs once, by batches; some 150 bytes a pair are held. The run has at least one."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = []
    ids: list[pa.Array] = []
    best: tuple[tuple[bool, float], dict[str, Any]] | None = None
    with pq.ParquetFile(run_dir / PREFERENCES) as file:
        for batch in batches(file, list(_COLUMNS)):
            ids.append(batch.column("prompt_id"))
            found.append(_measured(batch))
            key, at = _best(found[-1])
            if best is None or key > best[0]:
                best = key, batch.slice(at, 1).to_pylist()[0]
    assert best is not None
    columns = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    columns["prompt_tokens"] = _prompt_tokens(run_dir, pa.chunked_array(ids))
    return _figures(columns, best[1])


def score_figures(run_dir: Path) -> ScoreFigures | None:
    """Of all candidates with a score; None where the judge gave none."""
    import numpy as np
    import pyarrow.parquet as pq

    with pq.ParquetFile(run_dir / CANDIDATES) as file:
        parts = [_numbers(batch, "score") for batch in batches(file, ["score"])]
    scores = np.concatenate(parts)
    scores = scores[~np.isnan(scores)]
    if not scores.size:
        return None
    low, median, high = (float(value) for value in np.quantile(scores, [0, 0.5, 1]))
    return ScoreFigures(mean=float(scores.mean()), median=median, low=low, high=high)


def _prompt_tokens(run_dir: Path, ids: pa.ChunkedArray) -> Array:
    """Tokens of each pair's prompt as the engine counted them; nan where it did not."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns = ["prompt_id", "prompt_tokens", "used_as"]
    with pq.ParquetFile(run_dir / CANDIDATES) as file:
        found = [
            batch.filter((pc.field("used_as") == "chosen") & (pc.field("prompt_tokens") > 0))
            for batch in batches(file, columns)
        ]
    table = pa.Table.from_batches(found)
    at = pc.index_in(ids, value_set=table["prompt_id"])
    tokens = pc.take(table["prompt_tokens"], at).cast(pa.float64())
    return np.asarray(pc.fill_null(tokens, float("nan")).to_numpy(), np.float64)


def _measured(batch: pa.RecordBatch) -> dict[str, Any]:
    """The figures of each pair as arrays; what is null is nan."""
    import numpy as np

    loop = np.array([reason == "loop" for reason in batch.column("reason").to_pylist()], bool)
    margin = _numbers(batch, "margin")
    return {
        **{f"{name}_characters": _characters(batch, name) for name in ("prompt", "chosen", "rejected")},
        **{name: _numbers(batch, name) for name in ("chosen_tokens", "rejected_tokens")},
        "trimmed": np.nan_to_num(_numbers(batch, "rejected_trimmed")) > 0,
        "truncated": np.nan_to_num(_numbers(batch, "rejected_truncated")) > 0,
        "loop": loop,
        "margin": margin,
        "second_copy": _numbers(batch, "rejected_loop_start") + 2 * _numbers(batch, "rejected_loop_period"),
        "written": np.where(_numbers(batch, "rejected_loop_terminal") > 0, _numbers(batch, "rejected_loop_end"), 0),
        "merit": np.nan_to_num(np.where(loop, _numbers(batch, "rejected_wasted_fraction"), margin)),
    }


def _best(part: dict[str, Any]) -> tuple[tuple[bool, float], int]:
    """How fit the best pair of a batch is to be shown, and where it is."""
    import numpy as np

    merit = np.where(part["loop"] | ~part["loop"].any(), part["merit"], -1.0)
    at = int(np.argmax(merit))
    return (bool(part["loop"][at]), float(merit[at])), at


def _numbers(batch: pa.RecordBatch, name: str) -> Array:
    import numpy as np
    import pyarrow as pa

    return np.asarray(batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _characters(batch: pa.RecordBatch, name: str) -> Array:
    """Characters of all contents in each row's messages."""
    import numpy as np
    import pyarrow.compute as pc

    column = batch.column(name)
    lengths = pc.fill_null(pc.utf8_length(column.flatten().field("content")), 0).to_numpy(zero_copy_only=False)
    sums = np.concatenate([[0], np.cumsum(lengths)])
    counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(counts)
    return np.asarray(sums[ends] - sums[ends - counts], np.float64)


def _figures(c: dict[str, Any], sample: dict[str, Any]) -> PairFigures:
    import numpy as np

    counted = (c["chosen_tokens"] > 0) & (c["chosen_characters"] > 0)
    tokens = c["chosen_tokens"][counted].sum()
    usual = c["chosen_characters"][counted].sum() / tokens if tokens else CHARACTERS_PER_TOKEN
    pace = np.where(counted, c["chosen_characters"] / np.maximum(c["chosen_tokens"], 1), usual)
    chosen = c["chosen_characters"] / pace
    written = np.where(c["trimmed"], c["written"], c["rejected_characters"])  # what the engine counted the tokens of
    told = (c["rejected_tokens"] > 0) & (written > 0)
    rejected_pace = np.where(told, written / np.maximum(c["rejected_tokens"], 1), pace)
    rejected = c["rejected_characters"] / rejected_pace
    placed = c["loop"] & ~np.isnan(c["second_copy"])
    seen = np.where(placed, np.minimum(c["second_copy"] / rejected_pace, rejected), rejected)
    no_prompt = np.isnan(c["prompt_tokens"])
    prompt = np.where(no_prompt, c["prompt_characters"] / pace, c["prompt_tokens"])
    needed = prompt + np.maximum(chosen, seen) + SPARE
    kinds = {"loop": c["loop"], "score": ~c["loop"], "all": np.ones(len(chosen), bool)}
    margins = c["margin"][~c["loop"] & ~np.isnan(c["margin"])]
    return PairFigures(
        lengths={name: _lengths(chosen[of], rejected[of]) for name, of in kinds.items() if of.any()},
        uncounted=int((~counted | ~(c["rejected_tokens"] > 0)).sum()),
        truncated=int(c["truncated"].sum()),
        trimmed=int(c["trimmed"].sum()),
        median_margin=float(np.median(margins)) if margins.size else None,
        max_length=int(-(-_quantile(needed, COVERED) // STEP) * STEP),
        within=dict(_within(needed)),
        prompts_estimated=int(no_prompt.sum()),
        sample=sample,
    )


def _within(needed: Array) -> Iterator[tuple[int, float]]:
    for length in LENGTHS:
        share = float((needed <= length).mean())
        yield length, share
        if share == 1:
            return


def _lengths(chosen: Array, rejected: Array) -> Lengths:
    import numpy as np

    def three(values: Array) -> tuple[float, float, float]:
        return float(np.median(values)), _quantile(values, 0.9), float(values.max())

    shorter = int((chosen < rejected).sum())
    return Lengths(pairs=len(chosen), chosen=three(chosen), rejected=three(rejected), chosen_shorter=shorter)


def _quantile(values: Array, share: float) -> float:
    """The least observed value that at least this share of values do not exceed."""
    import numpy as np

    return float(np.quantile(values, share, method="inverted_cdf"))
