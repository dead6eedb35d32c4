"""What models, judges, columns and files may say to break a page, and a run and verdict files full of it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

import loopguard
from loopguard.prefs.outputs import Outcome
from loopguard.records import Prompt, Skip
from tests.look.subjects import answer, looped, pair, small, write_run

SCRIPT = "<script>window.pwned=1</script>"
IMAGE = '<img src=x onerror="window.pwned=1">'
CLOSING = f"</script></style></title></textarea>{SCRIPT}{IMAGE}<svg onload=window.pwned=1>"
TEMPLATE = "{{ 7*7 }} {% for x in y %} ${7*7} &lt;b&gt; &amp; ]]> --> <!-- "
MOVING = "\u202eright to left\u202c \u2066\u200b\ufeff nul\x00 escape\x1b[31m"
LINE = "x" * 1_000_000
ALL = f"{SCRIPT}{IMAGE}{CLOSING}{TEMPLATE}{MOVING}"

NAME = "run <img src=x onerror=window.pwned=1> {{ 7*7 }}"
"""A folder may be called so."""

LOOP = f"{SCRIPT} and {IMAGE} "


def hostile_run(folder: Path) -> Path:
    """Four prompts that try everything, and the three small ones."""
    first, second, third = (Prompt.make(f"{n} {ALL}", row=row) for row, n in enumerate(("One", "Two", "Three"), 11))
    a = [
        looped(first, 0, LOOP, 30, f"{ALL}\n"),
        answer(first, 1, ALL, score=4.0),
        answer(first, 2, "", decoding="greedy"),
    ]
    b = [answer(second, 0, LINE, score=3.0), answer(second, 1, f"مرحبا {ALL}", score=1.0, finish_reason=SCRIPT)]
    c = [answer(third, 0, ALL, judge_error=f"the judge said {ALL}"), answer(third, 1, "\ud800 half", decoding="greedy")]
    huge = Prompt.make([{"role": SCRIPT, "content": "be brief"}, {"role": "user", "content": "Four " + LINE}], row=14)
    d = [looped(huge, 0, "y" * 400_000, 4, "a "), answer(huge, 1, "ok", decoding="greedy")]
    made = [
        Outcome(prompt=first, candidates=a, result=[pair(first, a[1], a[0])]),
        Outcome(prompt=second, candidates=b, result=[pair(second, b[0], b[1])]),
        Outcome(prompt=third, candidates=c, result=Skip(status="skipped", reason=f"no_score {IMAGE}", detail=ALL)),
        Outcome(prompt=huge, candidates=d, result=[pair(huge, d[1], d[0])]),
    ]
    return write_run(folder / NAME, [*made, *small()], model=f"model {ALL}", judge=f"judge {ALL}")


def hostile_verdicts(folder: Path) -> Path:
    """A verdict file whose columns and their values are hostile."""
    rows = {
        f"col {IMAGE}": [f"value {SCRIPT}", f"value {SCRIPT}", f"other {ALL}", f"other {ALL}"],
        "prompt": [ALL, "plain", ALL, "plain"],
        "output": [ALL, LOOP * 40, "fine", None],
    }
    path = folder / "verdicts.parquet"
    loopguard.scan(pl.DataFrame(rows)).write_parquet(path)
    return path
