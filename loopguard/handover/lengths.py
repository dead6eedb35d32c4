"""The sequence length that a run's pairs need of a trainer, from the token counts of the engine that wrote them.

Trainers cut at the right (TRL: 1,024 tokens): a loop that begins late is then never seen. What must fit is the prompt with the
whole chosen answer, and with the rejected one up to the end of its second copy: from there on it is a loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loopguard.prefs.outputs import CANDIDATES

if TYPE_CHECKING:
    from loopguard.prefs.run import Run

__all__ = ["Lengths", "lengths", "round_up"]

STEP = 128
"""Recommendations are multiples of this many tokens."""

SPARE = 16
"""Tokens for what the template writes around an answer."""

COPIES = 2
"""Copies of a loop that must be seen."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of the longest sequence, prompt and answer; estimates, since the trainer's tokenizer may be another."""

    needed: int
    """Chosen whole, loops to the end of their second copy."""
    whole: int
    """Everything whole."""
    prompts_known: bool
    """The engine reported how long the prompts were; else they are not in these figures."""


def lengths(run: Run, *, trim_loops: int, all_loops: bool = False) -> Lengths:
    """What the pairs of a run need; with `all_loops` every looping candidate too. `trim_loops` is the recipe's."""
    import polars as pl

    size, tokens = pl.col("text").str.len_chars(), pl.col("completion_tokens")
    tokens = pl.when(tokens > 0).then(tokens).otherwise(pl.col("text").str.len_bytes() // 4)

    def through(copies: int) -> pl.Expr:
        """Tokens up to the end of that many copies of the loop; of the whole text where there is none."""
        end = pl.min_horizontal(pl.col("loop_start") + copies * pl.col("loop_period"), size)
        return pl.when(pl.col("looping")).then((tokens * end / pl.max_horizontal(size, 1)).ceil()).otherwise(tokens)

    kept = pl.col("used_as").is_not_null()
    kept = kept | pl.col("looping") if all_loops else kept
    found = (
        pl.scan_parquet(run.path / CANDIDATES)
        .filter(kept)
        .select(
            needed=(pl.col("prompt_tokens") + through(COPIES).fill_null(tokens)).max(),
            whole=(pl.col("prompt_tokens") + (through(trim_loops).fill_null(tokens) if trim_loops else tokens)).max(),
            prompts=pl.col("prompt_tokens").max(),
        )
        .collect()
        .row(0)
    )
    needed, whole, prompts = (int(value or 0) for value in found)
    return Lengths(needed, max(whole, needed), prompts > 0)


def round_up(tokens: int) -> int:
    """The recommended limit for so many tokens."""
    return -(-(tokens + SPARE) // STEP) * STEP
