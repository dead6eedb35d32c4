"""`run.plots`: one method a chart, each an Altair chart that shows itself in Jupyter, its sentence above it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopguard.look import panels
from loopguard.look.subject import Subject, open_subject

if TYPE_CHECKING:
    from loopguard.prefs.run import Run


class Plots:
    """The charts of one run or verdict file. Every method raises MissingExtra where altair is not installed."""

    def __init__(self, source: Run | Subject | str | Path) -> None:
        """Read a run (or its folder) or a verdict file. Raises InputError."""
        self.subject: Subject = open_subject(source)

    def loop_rate(self, by: str | None = "decoding") -> Any:
        """Share of outputs that loop, with 95 % intervals, by a column of the candidates; None: of all."""
        return panels.loop_rate(self.subject, by).chart()

    def kinds(self) -> Any:
        """Loops by kind, and whether the output ends inside."""
        return panels.kinds(self.subject).chart()

    def onsets(self) -> Any:
        """Where loops start."""
        return panels.onsets(self.subject).chart()

    def waste(self) -> Any:
        """How much of each looping output only repeats."""
        return panels.waste(self.subject).chart()

    def periods(self) -> Any:
        """Length of the stretch that comes back."""
        return panels.periods(self.subject).chart()

    def copies(self) -> Any:
        """How often it comes back."""
        return panels.copies(self.subject).chart()

    def lengths(self) -> Any:
        """Output lengths, clean and looping."""
        return panels.lengths(self.subject).chart()

    def scores(self) -> Any:
        """The judge's scores, chosen and rejected marked."""
        return panels.scores(self.subject).chart()

    def score_by_length(self) -> Any:
        """Mean score of the shortest to the longest fifth of answers."""
        return panels.score_by_length(self.subject).chart()

    def margins(self) -> Any:
        """Score of chosen less score of rejected."""
        return panels.margins(self.subject).chart()

    def pairs(self) -> Any:
        """Pairs by reason and kind of loop."""
        return panels.pairs(self.subject).chart()

    def skips(self) -> Any:
        """Prompts without a pair, by reason."""
        return panels.skips(self.subject).chart()

    def length_bias(self) -> Any:
        """Whether the chosen text is the shorter one."""
        return panels.length_bias(self.subject).chart()

    def spending(self) -> Any:
        """What was generated, and how much of it is repetition."""
        return panels.spending(self.subject).chart()

    def cost(self) -> Any:
        """What sampling and judging cost, in money or tokens, and what was saved."""
        return panels.cost(self.subject).chart()

    def judge_calls(self) -> Any:
        """What the judge was asked, and which calls were saved."""
        return panels.judge_calls(self.subject).chart()
