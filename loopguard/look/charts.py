"""Figures to Altair charts: one function a chart, small frames in, no raw rows in a specification.

Every chart is as wide as a telephone, so that a page can set them side by side or one below the other without making their
text smaller. Colours are few and mean the same everywhere: LOOP loops, CALM does not, GOOD is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from loopguard.errors import MissingExtra
from loopguard.visible import visible

if TYPE_CHECKING:
    import polars as pl

INSTALL = "pip install 'loopguard-prefs[report]'"

LOOP, CALM, GOOD, SOFT = "#c4553b", "#5f7f9c", "#3d8b6d", "#b4bfc9"
"""Loops; what does not loop; chosen; what is neither here nor there."""
INK, MUTED, RULE = "#31373d", "#68727c", "#e2e6ea"
"""Text, axis labels, grid. A page gives all seven other values in the dark."""

WIDTH, HEIGHT = 344, 176
_ROW = 23
_LONGEST = 160
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"


def altair() -> Any:
    """The package. Raises MissingExtra."""
    try:
        import altair as found
    except ImportError:
        raise MissingExtra(f"charts need the packages altair and vl-convert-python: {INSTALL}") from None
    return found


def _room(rows: list[dict[str, Any]]) -> float:
    """Length of an axis over its largest value, so that the counts beside the marks fit: both in pixels, roughly."""
    names, counts = (max((len(row[key]) for row in rows), default=0) for key in ("group", "count"))
    plot = WIDTH - 14 - 6.3 * min(names, 21)
    return 1 / (1 - min(0.6, (12 + 6 * counts) / plot))


def vegalite_version() -> str:
    """Major and minor version of the Vega-Lite that altair writes: `6.1`."""
    return ".".join(str(altair().SCHEMA_VERSION).removeprefix("v").split(".")[:2])


def rates(frame: pl.DataFrame, *, title: str = "share of outputs that loop") -> Any:
    """Rates with their intervals: group, rate, low, high, looping, total."""
    alt = altair()
    rows = [
        row | {"count": f"{row['looping']:,} of {row['total']:,}"}
        for row in _rows(frame.filter(frame["rate"].is_not_null()))
    ]
    order = [row["group"] for row in rows]
    top = max((row["high"] for row in rows), default=1.0)
    scale = alt.Scale(domain=[0, top * _room(rows)], nice=False)
    base = alt.Chart(alt.Data(values=rows)).encode(y=_names(order))
    ticks = alt.Axis(format=_percent(top), tickCount=4, values=_ticks(top))
    span = base.mark_rule(color=LOOP, strokeWidth=5, opacity=0.28, strokeCap="round").encode(
        x=alt.X("low:Q", scale=scale, axis=ticks, title=title), x2="high:Q"
    )
    dots = base.mark_point(color=LOOP, filled=True, size=52, opacity=1).encode(x=alt.X("rate:Q", scale=scale))
    text = base.mark_text(align="left", dx=9, color=MUTED, fontSize=10.5).encode(
        x=alt.X("high:Q", scale=scale), text="count:N"
    )
    return _dressed(alt.layer(span, dots, text), rows=len(rows))


def change(frame: pl.DataFrame, names: tuple[str, str]) -> Any:
    """Rates of two runs, one above the other: group, run (before, after), rate, low, high."""
    alt = altair()
    rows = _rows(frame.filter(frame["rate"].is_not_null()))
    order = list(dict.fromkeys(row["group"] for row in rows))
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=_names(order),
        yOffset=alt.YOffset("run:N", sort=list(names), scale=alt.Scale(domain=list(names), paddingOuter=0.25)),
        color=alt.Color("run:N", scale=alt.Scale(domain=list(names), range=[SOFT, LOOP]), legend=_legend()),
    )
    top = max((row["high"] for row in rows), default=1.0)
    axis = alt.Axis(format=_percent(top), values=_ticks(top))
    scale = alt.Scale(domain=[0, top * 1.04], nice=False)
    span = base.mark_rule(strokeWidth=5, opacity=0.4, strokeCap="round").encode(
        x=alt.X("low:Q", axis=axis, scale=scale, title="share of outputs that loop"), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=52, opacity=1).encode(x=alt.X("rate:Q", scale=scale))
    return _dressed(alt.layer(span, dots), rows=len(order), row=34)


def differences(frame: pl.DataFrame) -> Any:
    """Differences with their intervals around 0: group, difference, low, high, in points of a rate."""
    alt = altair()
    rows = _rows(frame.filter(frame["difference"].is_not_null()))
    reach = max((max(abs(row["low"]), abs(row["high"])) for row in rows), default=1.0) * 1.05 or 1.0
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    base = alt.Chart(alt.Data(values=rows)).encode(y=_names([row["group"] for row in rows]))
    axis = alt.Axis(format=f"+{_percent(reach)}", tickCount=4)
    zero = (
        alt.Chart(alt.Data(values=[{"at": 0}]))
        .mark_rule(color=MUTED, strokeDash=[2, 3])
        .encode(x=alt.X("at:Q", scale=scale, axis=axis, title="change of the share that loops"))
    )
    span = base.mark_rule(color=LOOP, strokeWidth=5, opacity=0.28, strokeCap="round").encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q"
    )
    dots = base.mark_point(color=LOOP, filled=True, size=52, opacity=1).encode(x=alt.X("difference:Q", scale=scale))
    return _dressed(alt.layer(zero, span, dots), rows=len(rows))


def bars(
    frame: pl.DataFrame,
    *,
    name: str,
    count: str,
    title: str,
    colour: str = CALM,
    by: tuple[str, Sequence[str], Sequence[str]] | None = None,
    legend: bool = True,
    form: str = ",.0f",
) -> Any:
    """Counts as bars with their numbers beside them; `by` = (column, its values, their colours) stacks them.

    `form`: how numbers are written, in d3's words; `~` drops zeros at the end.
    """
    alt = altair()
    rows = _rows(frame)
    totals: dict[str, float] = {}
    for row in rows:
        totals[row[name]] = totals.get(row[name], 0) + row[count]
    order = sorted(totals, key=lambda one: (-totals[one], one))
    whole = form == ",.0f"
    written = {one: f"{total:,.0f}" if whole or total >= 1000 else f"{total:.3g}" for one, total in totals.items()}
    longest = max(map(len, written.values()), default=1)
    scale = alt.Scale(domain=[0, max(totals.values(), default=1) * (1.1 + 0.045 * longest) or 1], nice=False)
    x = alt.X(
        f"{count}:Q",
        scale=scale,
        axis=_counting() if whole else alt.Axis(format=form, tickCount=3),
        title=title,
        stack="zero",
    )
    marks = (
        alt.Chart(alt.Data(values=rows)).mark_bar(height=12, cornerRadiusEnd=2).encode(y=_names(order, field=name), x=x)
    )
    marks = marks.encode(color=_colour(*by, legend=legend)) if by else marks.encode(color=alt.value(colour))
    told = [{name: one, "total": total, "told": written[one]} for one, total in totals.items()]
    text = (
        alt.Chart(alt.Data(values=told))
        .mark_text(align="left", dx=6, color=MUTED, fontSize=10.5)
        .encode(y=_names(order, field=name), x=alt.X("total:Q", scale=scale), text="told:N")
    )
    return _dressed(alt.layer(marks, text), rows=len(order))


def histogram(
    frame: pl.DataFrame,
    *,
    title: str,
    count: str = "outputs",
    logarithmic: bool = False,
    colour: str = CALM,
    by: tuple[str, Sequence[str], Sequence[str]] | None = None,
    counted: str = "outputs",
    share: bool = False,
) -> Any:
    """Counts in bins low to high; `by` = (column, its values, their colours) stacks them.

    `share`: each value of `by` as shares of its own total, one over the other, so that a rare one is seen beside a common one.
    """
    alt = altair()
    rows = _shares(_rows(frame), count, by) if share and by else _stacked(_rows(frame), count, by)
    edges = [row["low"] for row in rows] + [row["high"] for row in rows]
    scale = alt.Scale(
        type="log" if logarithmic else "linear", domain=[min(edges, default=1), max(edges, default=2)], nice=False
    )
    ticks = {"format": ",~d", "values": _powers(edges)} if logarithmic else {"format": "~g", "tickCount": 6}
    axis = alt.Axis(**ticks, grid=False, labelOverlap=True)
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_rect(stroke="none", opacity=0.6 if share else 1)
        .encode(
            x=alt.X("low:Q", scale=scale, axis=axis, title=title),
            x2="inner:Q",
            y=alt.Y("from:Q", title=counted, axis=_counting(share=share)),
            y2="to:Q",
        )
    )
    for row in rows:  # a hair of the page between two bars
        low, high = row["low"], row["high"]
        row["inner"] = low * (high / low) ** 0.93 if logarithmic else low + (high - low) * 0.93
    chart = chart.encode(color=_colour(*by)) if by else chart.encode(color=alt.value(colour))
    return _dressed(chart, height=HEIGHT)


def _stacked(
    rows: list[dict[str, Any]], count: str, by: tuple[str, Sequence[str], Sequence[str]] | None
) -> list[dict[str, Any]]:
    """The rows with `from` and `to`: where each bar begins and ends when bars of one bin stand on each other."""
    reached: dict[float, float] = {}
    order = list(by[1]) if by else []
    for row in sorted(rows, key=lambda row: order.index(row[by[0]]) if by else 0):
        row["from"] = reached.get(row["low"], 0)
        row["to"] = reached[row["low"]] = row["from"] + row[count]
    return rows


def _shares(
    rows: list[dict[str, Any]], count: str, by: tuple[str, Sequence[str], Sequence[str]]
) -> list[dict[str, Any]]:
    totals: dict[str, float] = {}
    for row in rows:
        totals[row[by[0]]] = totals.get(row[by[0]], 0) + row[count]
    for row in rows:
        row["from"], row["to"] = 0, row[count] / totals[row[by[0]]]
    return rows


def means(frame: pl.DataFrame, *, title: str, names: str) -> Any:
    """Means with their intervals along ordered groups: group, mean, low, high."""
    alt = altair()
    rows = [row | {"group": row["group"].replace(" to ", "–")} for row in _rows(frame)]
    axis = alt.Axis(labelAngle=0, labelFontSize=10, labelOverlap=False, labelLimit=64, grid=False)
    # the order is said: a group without an interval is no mark of the first layer, and would come last
    order = [row["group"] for row in rows]
    base = alt.Chart(alt.Data(values=rows)).encode(x=alt.X("group:N", sort=order, title=names, axis=axis))
    y = alt.Scale(zero=False, nice=True)
    span = base.mark_rule(color=CALM, strokeWidth=5, opacity=0.3, strokeCap="round").encode(
        y=alt.Y("low:Q", scale=y, title=title, axis=alt.Axis(tickCount=4)), y2="high:Q"
    )
    dots = base.mark_point(color=CALM, filled=True, size=52, opacity=1).encode(y=alt.Y("mean:Q", scale=y))
    return _dressed(alt.layer(span, dots), height=HEIGHT)


def nothing(title: str, said: Sequence[str]) -> Any:
    """A title and why there is nothing under it."""
    alt = altair()
    chart = alt.Chart(alt.Data(values=[{}])).mark_point(opacity=0)
    return _dressed(chart.properties(title=alt.TitleParams(text=title, subtitle=list(said))), height=1)


# -- what they share


def _rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows, texts made safe to draw: no control characters, and short."""
    return [
        {name: visible(value)[:_LONGEST] if isinstance(value, str) else value for name, value in row.items()}
        for row in frame.to_dicts()
    ]


def _names(order: Sequence[str], *, field: str = "group") -> Any:
    alt = altair()
    axis = alt.Axis(
        labelLimit=132, labelColor=INK, labelFontSize=11.5, ticks=False, domain=False, grid=False, labelPadding=6
    )
    return alt.Y(f"{field}:N", sort=list(order), title=None, axis=axis)


def _colour(field: str, values: Sequence[str], colours: Sequence[str], *, legend: bool = True) -> Any:
    alt = altair()
    scale = alt.Scale(domain=list(values), range=list(colours))
    return alt.Color(f"{field}:N", scale=scale, legend=_legend() if legend else None)


def _legend() -> Any:
    return altair().Legend(orient="top", title=None, symbolType="circle", symbolSize=70, padding=0, offset=6)


def _counting(*, share: bool = False) -> Any:
    alt = altair()
    whole = "datum.value % 1 ? '' : format(datum.value, ',d')"  # tickMinStep does not hold where the most is 1 or 2
    return alt.Axis(format="~%", tickCount=4) if share else alt.Axis(labelExpr=whole, tickCount=4, tickMinStep=1)


def _percent(top: float) -> str:
    return "~%" if top > 0.04 else ".1~%"


def _ticks(top: float) -> Any:
    """Round ticks up to the highest interval, so that the room for the counts carries none."""
    step = next((one for one in _STEPS if top / one <= 4.2), 0.25)
    return [round(step * k, 6) for k in range(int(top / step + 1e-9) + 1)]


_STEPS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25)


def _powers(edges: Sequence[float]) -> list[int]:
    low, high = max(1, min(edges, default=1)), max(edges, default=2)
    found = [2**k for k in range(40) if low <= 2**k <= high]
    return found if len(found) <= 7 else found[:: len(found) // 7 + 1]


def _dressed(chart: Any, *, rows: int | None = None, height: int | None = None, row: int = _ROW) -> Any:
    """The chart at its size, with the house's look."""
    alt = altair()
    tall = max(1, rows) * row if rows is not None else height
    chart = chart.properties(width=WIDTH, height=tall, autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    axis = {"labelColor": MUTED, "titleColor": MUTED, "gridColor": RULE, "domainColor": RULE, "tickColor": RULE}
    return (
        chart.configure(font=_FONT, background="transparent", padding=2)
        .configure_view(stroke=None)
        .configure_axis(**axis, labelFontSize=11, titleFontSize=11, titleFontWeight="normal", titlePadding=8)
        .configure_legend(labelColor=INK, labelFontSize=11.5)
        .configure_title(anchor="start", color=INK, subtitleColor=MUTED, fontSize=14, subtitleFontSize=12, offset=12)
    )
