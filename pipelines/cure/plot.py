"""Loop rates before and after, with their 95 % intervals, as one SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def plot(results: dict[str, Any], out: Path) -> None:
    """Two bars with intervals for each decoding: before, after."""
    import altair

    rows = [
        {
            "decoding": decoding,
            "when": when,
            "rate": results[when][decoding]["rate"],
            "low": results[when][decoding]["low"],
            "high": results[when][decoding]["high"],
            "count": f"{results[when][decoding]['looping']} of {results[when][decoding]['total']}",
        }
        for decoding in ("greedy", "sampled")
        for when in ("before", "after")
        if results[when][decoding]["total"]
    ]
    base = altair.Chart(altair.Data(values=rows)).encode(
        x=altair.X("when:N", sort=["before", "after"], title=None, axis=altair.Axis(labelAngle=0)),
        color=altair.Color(
            "when:N", sort=["before", "after"], scale=altair.Scale(range=["#c44e52", "#4c72b0"]), legend=None
        ),
    )
    bars = base.mark_bar(opacity=0.75).encode(
        y=altair.Y("rate:Q", axis=altair.Axis(format="%"), title="answers that loop")
    )
    intervals = base.mark_rule(color="black").encode(y="low:Q", y2="high:Q", color=altair.value("black"))
    counts = base.mark_text(dy=-6, align="left", dx=6).encode(y="high:Q", text="count:N", color=altair.value("black"))
    layered = altair.layer(bars, intervals, counts).properties(width=150, height=260)
    layered.facet(column=altair.Column("decoding:N", title=None)).save(str(out))
