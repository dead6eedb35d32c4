"""Every chart of a subject with its title, its figures and its sentence; what there is nothing of is said in one line.

for panel in panels(subject):
    panel.title, panel.sentence, panel.frame, panel.chart()      # chart: an Altair chart, or None with a reason
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from loopguard.look import charts, figures, sentences
from loopguard.look import cost as costs
from loopguard.look.charts import CALM, GOOD, LOOP, SOFT
from loopguard.look.subject import Subject, column_named, of_prompts
from loopguard.prompt_columns import PREFIX
from loopguard.visible import visible

MOST_AUTOMATIC = 3
"""Columns of a verdict file, or of the prompts of a run, that are charted without being asked for."""

MOST_CATEGORIES = 100
"""Values that a column has at most which is charted without being asked for; of a number 12: CUT_ABOVE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One chart and what belongs to it."""

    key: str
    title: str
    frame: pl.DataFrame
    sentence: str
    draw: Callable[[], Any]

    @property
    def empty(self) -> bool:
        """There is nothing to draw; the sentence says why."""
        return self.frame.is_empty()

    def chart(self) -> Any:
        """The Altair chart with its title and sentence above it: it shows itself in Jupyter."""
        alt_ = charts.altair()
        title, said = visible(self.title), textwrap.wrap(visible(self.sentence), 52)
        if self.empty:
            return charts.nothing(title, said).properties(background="white")
        titled = alt_.TitleParams(text=title, subtitle=said)
        return self.draw().properties(title=titled, background="white")  # its ink is dark, a notebook may be too


def _panel(
    key: str, title: str, frame: pl.DataFrame, say: Callable[[], str], draw: Callable[[], Any], *, without: str
) -> Panel:
    sentence = without if frame.is_empty() else say()
    return Panel(key=key, title=title, frame=frame, sentence=sentence, draw=draw)


def loop_rate(subject: Subject, by: str | None = None) -> Panel:
    """How often outputs loop, by a column."""
    frame = figures.loop_rate(subject, by)
    drawn = frame
    if frame.height > figures.MOST_GROUPS:
        drawn = frame.sort("rate", descending=True, maintain_order=True).head(figures.MOST_GROUPS)
    return _panel(
        f"rate-{by}" if by else "rate",
        f"Loop rate by {by}" if by else "Loop rate",
        frame,
        lambda: sentences.loop_rate(subject, by, frame),
        lambda: charts.rates(drawn),
        without="No outputs have a verdict.",
    )


def kinds(subject: Subject) -> Panel:
    """What sort of loops there are, and whether they end."""
    frame = figures.kinds(subject)
    return _panel(
        "kinds",
        "Kinds of loops",
        frame,
        lambda: sentences.kinds(subject, frame),
        lambda: charts.bars(
            frame, name="kind", count="outputs", title="outputs", by=("ending", ("terminal", "recovered"), (LOOP, SOFT))
        ),
        without=_NO_LOOPS,
    )


def onsets(subject: Subject) -> Panel:
    """Where loops start."""
    return _of_loops(
        "onsets",
        "Where loops start",
        figures.onsets(subject),
        subject,
        sentences.onsets,
        f"first of the loop's {subject.unit}",
    )


def waste(subject: Subject) -> Panel:
    """How much of a looping output only repeats."""
    return _of_loops(
        "waste",
        "What a loop wastes",
        figures.waste(subject),
        subject,
        sentences.waste,
        f"{subject.unit} that only repeat",
    )


def periods(subject: Subject) -> Panel:
    """How long the stretch is that comes back."""
    unit = "tokens" if subject.texts.token_ids else "characters"
    return _of_loops("periods", "Length of one copy", figures.periods(subject), subject, sentences.periods, unit)


def copies(subject: Subject) -> Panel:
    """How often it comes back."""
    return _of_loops("copies", "Copies in a loop", figures.copies(subject), subject, sentences.copies, "copies")


def _of_loops(
    key: str, title: str, frame: pl.DataFrame, subject: Subject, say: Callable[[Subject], str], axis: str
) -> Panel:
    return _panel(
        key,
        title,
        frame,
        lambda: say(subject),
        lambda: charts.histogram(frame, title=axis, logarithmic=True, colour=LOOP),
        without=_NO_LOOPS,
    )


def lengths(subject: Subject) -> Panel:
    """Output lengths, clean and looping."""
    frame = figures.lengths(subject)
    by = ("what", ("clean", "looping"), (CALM, LOOP))
    return _panel(
        "lengths",
        "Output length",
        frame,
        lambda: sentences.lengths(subject),
        lambda: charts.histogram(frame, title=subject.unit, logarithmic=True, by=by, share=True, counted="share"),
        without="The lengths of the outputs are unknown.",
    )


def scores(subject: Subject) -> Panel:
    """The judge's scores."""
    frame = figures.scores(subject)
    by = ("used", ("chosen", "rejected", "neither"), (GOOD, LOOP, SOFT))
    return _panel(
        "scores",
        "Scores",
        frame,
        lambda: sentences.scores(subject),
        lambda: charts.histogram(frame, title="score", by=by),
        without=_NO_SCORES,
    )


def score_by_length(subject: Subject) -> Panel:
    """Whether longer answers score higher."""
    frame = figures.score_by_length(subject)
    return _panel(
        "score-by-length",
        "Score by length",
        frame,
        lambda: sentences.score_by_length(subject),
        lambda: charts.means(frame, title="mean score", names=f"{subject.unit}, in fifths of the answers"),
        without=_NO_SCORES,
    )


def margins(subject: Subject) -> Panel:
    """How far chosen and rejected are apart."""
    frame = figures.margins(subject)
    return _panel(
        "margins",
        "Margins",
        frame,
        lambda: sentences.margins(subject),
        lambda: charts.histogram(frame, title="score of chosen less score of rejected", counted="pairs"),
        without="No pair has two scores.",
    )


def pairs(subject: Subject) -> Panel:
    """Pairs by reason."""
    frame = figures.pairs(subject)
    shown = frame.with_columns(
        kind=pl.when(pl.col("reason") == "loop").then(pl.col("kind").fill_null("loop")).otherwise(pl.lit("no loop"))
    )
    kinds_ = [one for one in ("verbatim", "counter", "near", "loop", "no loop") if one in set(shown["kind"])]
    tones = {"verbatim": LOOP, "counter": "#d98f6c", "near": "#e3bfa8", "loop": LOOP, "no loop": CALM}
    by = ("kind", kinds_, [tones[one] for one in kinds_])
    return _panel(
        "pairs",
        "Pairs by reason",
        frame,
        lambda: sentences.pairs(subject, frame),
        lambda: charts.bars(shown, name="reason", count="pairs", title="pairs", by=by),
        without="There are no pairs.",
    )


def skips(subject: Subject) -> Panel:
    """Prompts without a pair by reason."""
    frame = figures.skips(subject)
    return _panel(
        "skips",
        "Prompts without a pair",
        frame,
        lambda: sentences.skips(subject, frame),
        lambda: charts.bars(frame, name="reason", count="prompts", title="prompts", colour=CALM),
        without="Every prompt gave a pair.",
    )


def length_bias(subject: Subject) -> Panel:
    """Whether the chosen text is the shorter one."""
    frame = figures.length_bias(subject)
    by = ("reason", ("loop", "score"), (LOOP, CALM))
    return _panel(
        "length-bias",
        "Length bias of the pairs",
        frame,
        lambda: sentences.length_bias(subject),
        lambda: charts.histogram(
            frame, title="← chosen is shorter · doublings · chosen is longer →", count="pairs", counted="pairs", by=by
        ),
        without="There are no pairs.",
    )


def spending(subject: Subject) -> Panel:
    """What was generated and what of it is repetition."""
    frame = figures.spending(subject)
    return _panel(
        "spending",
        "What was generated",
        frame,
        lambda: sentences.spending(subject, frame),
        lambda: charts.bars(frame, name="part", count="amount", title=subject.unit, by=_SPENT, legend=False),
        without="The lengths of the outputs are unknown.",
    )


def judge_calls(subject: Subject) -> Panel:
    """What the judge was asked, and what was saved."""
    frame = figures.judge_calls(subject)
    return _panel(
        "judge-calls",
        "Judge calls",
        frame,
        lambda: sentences.judge_calls(subject, frame),
        lambda: charts.bars(frame, name="part", count="outputs", title="outputs"),
        without=_NO_SCORES,
    )


def cost(subject: Subject) -> Panel:
    """What sampling and judging cost, and what was saved."""
    frame = costs.cost(subject)
    form = ",.3~g" if costs.priced(frame) else ",.0f"
    return _panel(
        "cost",
        "What it cost",
        frame,
        lambda: costs.sentence(frame),
        lambda: charts.bars(
            costs.drawn(frame),
            name="stage",
            count="amount",
            title="in the currency of the prices" if costs.priced(frame) else "tokens",
            by=("part", ("spent", "saved"), (CALM, GOOD)),
            form=form,
        ),
        without="The run does not say what was spent.",
    )


_SPENT = ("part", ("clean", "looping, said once", "repetition"), (CALM, SOFT, LOOP))
_NO_LOOPS = "Nothing loops."
_NO_SCORES = "No output has a score: the run had no judge, or it gave none."

OF_EVERYTHING = (kinds, spending, onsets, waste, lengths, periods, copies)
OF_RUNS = (pairs, skips, judge_calls, cost, scores, margins, score_by_length, length_bias)


def panels(subject: Subject, by: Sequence[str] = ()) -> Iterator[Panel]:
    """All panels that the subject can have; `by` names columns to chart the loop rate by, beside those that go without saying."""
    for name in by:
        column_named(subject, name)
    for name in dict.fromkeys([*by, *automatic(subject)]):
        yield loop_rate(subject, name)
    for make in (*OF_EVERYTHING, *(OF_RUNS if subject.source == "run" else ())):
        yield make(subject)


def automatic(subject: Subject) -> list[str]:
    """Columns worth a chart of loop rates without being asked for: decoding, temperature and categories, by the prompts' names."""
    frame = subject.outputs
    if subject.source == "run":
        several = (
            "temperature" in frame.columns and frame.filter(pl.col("temperature") > 0)["temperature"].n_unique() > 1
        )
        wanted = ["decoding", *(["temperature"] if several else [])]
        return [*(name for name in wanted if name in frame.columns), *categories(subject)]
    verdict = {"looping", "loop_reason", "loop_kind", "loop_terminal", "prompt_id"}
    kinds_ = (pl.String, pl.Boolean, pl.Categorical, pl.Enum)
    texts = [name for name, kind in frame.schema.items() if kind in kinds_ and name not in verdict]
    return [name for name in texts if 2 <= frame[name].n_unique() <= MOST_CATEGORIES][:MOST_AUTOMATIC]


def categories(subject: Subject) -> list[str]:
    """Columns of the prompts file whose values group prompts: not too many, and fewer by half than prompts."""
    prompts, found = subject.outputs["prompt_id"].n_unique(), []
    for name in of_prompts(subject):
        column = subject.outputs[name].drop_nulls()
        most = figures.CUT_ABOVE if column.dtype.is_numeric() else MOST_CATEGORIES
        if 2 <= column.n_unique() <= min(most, prompts // 2):
            short = name.removeprefix(PREFIX)
            found.append(name if short in subject.outputs.columns else short)
    return found[:MOST_AUTOMATIC]
