"""What is seen in each chart, in words: computed from its figures, and never more than its interval carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from loopguard.counted import counted
from loopguard.look import figures, rates
from loopguard.look.subject import Subject

if TYPE_CHECKING:
    from loopguard.look.rates import Difference, Estimate

CUT = 1024
"""max_length of TRL's DPOTrainer when nothing is set: a loop that starts later is not seen by the trainer."""


def percent(value: float) -> str:
    """`12.5 %`, with as many digits as a small rate needs."""
    points = 100 * value
    digits = 1 if points == 0 or points >= 1 or points <= -1 else 2
    return f"{points:.{digits}f} %"


def interval(low: float, high: float) -> str:
    """`(3.1 to 4.5 %)`."""
    return f"({percent(low).removesuffix(' %')} to {percent(high)})"


def rate(found: Estimate) -> str:
    """`12.5 % (3.1 to 40.2 %)`."""
    return "no outputs" if found.value is None else f"{percent(found.value)} {interval(found.low, found.high)}"


def number(value: float) -> str:
    """A length or a count: whole from 10 on."""
    return f"{value:,.0f}" if abs(value) >= 10 or float(value).is_integer() else f"{value:.1f}"


def amount(value: float, unit: str) -> str:
    """`12 tokens`, `1 token`; `unit` is a plural."""
    said = number(value)
    return f"{said} {unit.removesuffix('s') if said == '1' else unit}"


def _row(row: dict[str, float]) -> str:
    return f"{percent(row['rate'])} {interval(row['low'], row['high'])}"


def _quantile(values: pl.Series, share: float) -> float:
    return float(values.quantile(share, "nearest") or 0.0)


# -- rates


def loop_rate(subject: Subject, by: str | None, frame: pl.DataFrame) -> str:
    """Of `figures.loop_rate`."""
    rows = {row["group"]: row for row in frame.to_dicts()}
    if len(rows) == 1:
        (name, row), *_ = rows.items()
        of = "outputs" if by is None else f"outputs with {by} {name}"
        return f"{row['looping']:,} of {row['total']:,} {of} {'loops' if row['looping'] == 1 else 'loop'}: {_row(row)}."
    if by == "decoding" and set(rows) == {"greedy", "sampled"}:
        return _two(subject, by, rows, "greedy", "sampled", ("Greedy answers", "sampled ones"))
    if len(rows) == 2:
        first, second = sorted(rows, key=lambda name: -rows[name]["rate"])
        return _two(subject, str(by), rows, first, second, (f"Outputs with {by} {first}", f"those with {second}"))
    return _extremes(str(by), frame)


def _two(
    subject: Subject, by: str, rows: dict[str, dict[str, float]], one: str, other: str, names: tuple[str, str]
) -> str:
    """Two groups, compared on the same prompts."""
    found = figures.rate_difference(subject, by, other, one)
    figures_ = f"{_row(rows[one])} against {_row(rows[other])}"
    if not found.shown:
        return f"No difference shows between {names[0][0].lower()}{names[0][1:]} and {names[1]}: {figures_}."
    return f"{names[0]} loop {_times(rows[one]['rate'], rows[other]['rate'])} {names[1]}: {figures_}."


def _times(one: float, other: float) -> str:
    if other == 0:
        return "more often than"
    if one == 0:
        return "less often than"
    ratio = one / other
    if 0.95 <= ratio <= 1.05:
        return "slightly more often than" if ratio > 1 else "slightly less often than"
    return f"{ratio:.1f} times as often as" if ratio > 1 else f"{ratio:.2f} times as often as"


def _extremes(by: str, frame: pl.DataFrame) -> str:
    """Many groups: the highest, the lowest, and whether their intervals meet."""
    ranked = frame.filter(pl.col("rate").is_not_null()).sort("rate", "total", descending=[True, True]).to_dicts()
    if not ranked:
        return "No outputs."
    high, low = ranked[0], ranked[-1]
    if high["rate"] == low["rate"]:
        return f"All {len(ranked)} values of {by} have the same rate: {percent(high['rate'])}."
    apart = (
        "their intervals do not meet"
        if high["low"] > low["high"]
        else "their intervals meet, so the order may be chance"
    )
    shown = (
        f" The {figures.MOST_GROUPS} highest of {len(ranked)} are drawn." if len(ranked) > figures.MOST_GROUPS else ""
    )
    return (
        f"Of {len(ranked)} values of {by}, {high['group']} has the highest rate, {_row(high)}, and {low['group']} the lowest, "
        f"{_row(low)}; {apart}.{shown}"
    )


# -- loops


def kinds(subject: Subject, frame: pl.DataFrame) -> str:
    """Of `figures.kinds`."""
    total = int(frame["outputs"].sum())
    most = frame.group_by("kind").agg(pl.col("outputs").sum()).sort("outputs", "kind", descending=[True, False]).row(0)
    ended = int(frame.filter(pl.col("ending") == "terminal")["outputs"].sum())
    return (
        f"{most[1]:,} of {counted(total, 'loop')} {'is' if most[1] == 1 else 'are'} {most[0]} ({percent(most[1] / total)}). "
        f"{counted(ended, 'output', 'ends inside its', 'end inside their')} loop, {total - ended:,} left it again."
    )


def onsets(subject: Subject) -> str:
    """Of `figures.onsets`."""
    starts = subject.looping["onset"].drop_nulls() + 1
    half, late = _quantile(starts, 0.5), _quantile(starts, 0.9)
    said = f"Half of the loops start within the first {amount(half, subject.unit)}, nine in ten within {number(late)}."
    beyond = int((starts > CUT).sum())
    if subject.unit == "tokens" and beyond:
        those = ("starts", "it") if beyond == 1 else ("start", "them")
        said += f" {beyond:,} of {len(starts):,} {those[0]} beyond token {CUT:,}: a trainer that cuts there never sees {those[1]}."
    return said


def waste(subject: Subject) -> str:
    """Of `figures.waste`."""
    wasted = subject.looping["wasted"].drop_nulls()
    worst = number(_quantile(wasted, 1))
    said = f"The median looping output repeats {amount(_quantile(wasted, 0.5), subject.unit)}, the worst {worst}."
    total = int(subject.judged["length"].sum() or 0)
    if total:
        said += f" Of all that was generated {percent(float(wasted.sum()) / total)} is repetition."
    return said


def periods(subject: Subject) -> str:
    """Of `figures.periods`."""
    found = subject.looping["loop_period"].drop_nulls()
    ends = f"the shortest {number(_quantile(found, 0))}, the longest {number(_quantile(found, 1))}"
    unit = "tokens" if subject.texts.token_ids else "characters"
    return f"The stretch that comes back has {amount(_quantile(found, 0.5), unit)} in the median, {ends}."


def copies(subject: Subject) -> str:
    """Of `figures.copies`."""
    found = subject.looping["loop_repeats"].drop_nulls()
    most = amount(_quantile(found, 1), "times")
    return f"The median loop says its stretch {amount(_quantile(found, 0.5), 'times')}, the longest {most}."


def lengths(subject: Subject) -> str:
    """Of `figures.lengths`."""
    known = subject.judged.filter(pl.col("length") > 0)
    medians = {
        what: _quantile(rows["length"], 0.5)
        for what, rows in (("looping", known.filter("looping")), ("clean", known.filter(~pl.col("looping"))))
        if rows.height
    }
    told = " and ".join(f"{what} outputs {amount(value, subject.unit)}" for what, value in medians.items())
    return (
        f"In the median {told}. Each colour is a share of its own kind."
        if len(medians) > 1
        else f"In the median {told}."
    )


# -- scores and pairs


def scores(subject: Subject) -> str:
    """Of `figures.scores`."""
    known = subject.outputs.filter(pl.col("score").is_not_null())
    sums = known.group_by("prompt_id", maintain_order=True).agg(pl.col("score").sum(), n=pl.len().cast(pl.Float64))
    found = rates.mean(sums["score"].to_numpy(), sums["n"].to_numpy())
    low, high = _quantile(known["score"], 0.05), _quantile(known["score"], 0.95)
    spread = f"nine in ten lie between {low:.2f} and {high:.2f}"
    around = f" ({found.low:.2f} to {found.high:.2f})" if found.prompts > 1 else ""
    return f"{counted(known.height, 'output', 'has', 'have')} a score: {found.value:.2f}{around} in the mean; {spread}."


def score_by_length(subject: Subject) -> str:
    """Of `figures.score_by_length`."""
    found = figures.longest_against_shortest(subject)
    if found.value is None:
        return "The scored outputs are too much alike in length to be compared."
    around = f"({found.low:+.2f} to {found.high:+.2f})"
    if not found.shown:
        return f"Between the longest fifth of answers and the shortest no difference in score shows: {found.value:+.2f} {around}."
    more = "higher" if found.value > 0 else "lower"
    return f"The longest fifth of answers scores {abs(found.value):.2f} points {more} than the shortest {around}."


def margins(subject: Subject) -> str:
    """Of `figures.margins`."""
    known = subject.pairs["margin"].drop_nulls()
    least = f"the smallest margin is {_quantile(known, 0):.2f}, the largest {_quantile(known, 1):.2f}"
    return f"Half of the {known.len():,} pairs with two scores are at least {_quantile(known, 0.5):.2f} points apart; {least}."


def pairs(subject: Subject, frame: pl.DataFrame) -> str:
    """Of `figures.pairs`."""
    total = int(frame["pairs"].sum())
    loops = int(frame.filter(pl.col("reason") == "loop")["pairs"].sum())
    rejecting = f"{loops:,} {'rejects' if loops == 1 else 'reject'} a loop ({percent(loops / total)})"
    return f"{counted(total, 'pair')}: {rejecting}, {total - loops:,} the lower score."


def skips(subject: Subject, frame: pl.DataFrame) -> str:
    """Of `figures.skips`."""
    total = int(frame["prompts"].sum())
    first = frame.row(0, named=True)
    return f"{counted(total, 'prompt')} gave no pair, most often for {first['reason']} ({first['prompts']:,})."


def length_bias(subject: Subject) -> str:
    """Of `figures.length_bias`."""
    told, biased = [], False
    for reason, found in figures.shorter_chosen(subject).items():
        told.append(f"in {rate(found)} of the pairs by {reason}")
        biased |= found.low > 0.5 or found.high < 0.5
    ending = "; where the interval leaves out 50 %, length alone tells the two apart" if biased else ""
    return f"The chosen text is the shorter one {', '.join(told)}{ending}."


# -- cost


def spending(subject: Subject, frame: pl.DataFrame) -> str:
    """Of `figures.spending`."""
    amounts = dict(frame.iter_rows())
    total = sum(amounts.values())
    wasted = amounts.get("repetition", 0.0)
    were = "was" if total == 1 else "were"
    return (
        f"{amount(total, subject.unit)} {were} generated; {percent(wasted / total)} of that only repeats what was said."
    )


def judge_calls(subject: Subject, frame: pl.DataFrame) -> str:
    """Of `figures.judge_calls`."""
    amounts = dict(frame.iter_rows())
    saved = sum(count for part, count in amounts.items() if part.startswith("saved"))
    total = sum(amounts.values())
    failed = amounts.get("no score: the judge failed", 0)
    scored = amounts.get("scored", 0)
    said = (
        f"Of {counted(total, 'output')} {scored:,} {'has' if scored == 1 else 'have'} a score; {saved:,} needed no call "
        f"({percent(saved / total)})"
    )
    return f"{said}, {failed:,} got none because the judge failed." if failed else f"{said}."


def change(found: Difference, name: str) -> str:
    """One difference between two runs, in words."""
    if found.value is None:
        return f"{name}: nothing to compare."
    around = f"({100 * found.low:+.1f} to {100 * found.high:+.1f})"
    if not found.shown:
        return f"{name}: no change shows, {100 * found.value:+.1f} points {around}."
    return f"{name}: {100 * abs(found.value):.1f} points {'more' if found.value > 0 else 'less'} {around}."
