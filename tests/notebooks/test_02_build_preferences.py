"""02_build_preferences: a real run of the embedded model; what the notebook says of it, held against the run it leaves."""

from __future__ import annotations

import re

import polars as pl
import pytest

import loopguard
from tests.notebooks.executed import MOST_TOKENS, Executed, execute, pixels_of, rows_of, spent

NAME = "02_build_preferences.ipynb"
LOOP = "#c4553b"

pytestmark = [pytest.mark.notebooks, pytest.mark.slow, pytest.mark.embedded]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    return execute(NAME, tmp_path_factory.mktemp("02"))


@pytest.fixture(scope="module")
def run(executed: Executed) -> loopguard.Run:
    return loopguard.open_run(executed.folder / "runs" / "02_build_preferences")


def test_the_run_shows_itself(executed: Executed, run: loopguard.Run) -> None:
    [shown] = [html for html in executed.shown("text/html") if "<caption" in html]
    greedy = run.summary["loop_rate"]["greedy"]
    assert f"({greedy['looping']} of {greedy['total']};" in shown
    assert "SmolLM2-135M-Instruct" in shown


def test_every_row_has_its_fate(executed: Executed, run: loopguard.Run) -> None:
    [fates] = executed.tables("row", "prompt", "became", "reason", "detail")
    assert rows_of(fates) == 6
    assert fates.count("&quot;pair&quot;") == len(run.preferences)
    skipped = dict(run.skipped.select("row", "reason").iter_rows())
    assert (skipped[5], skipped[6]) == ("duplicate", "empty_prompt")
    looping = int(run.candidates["looping"].sum())
    assert looping >= 1
    assert f"**{looping} of {len(run.candidates)} answers loop**" in executed.said
    counts = {reason: (run.preferences["reason"] == reason).sum() for reason in ("loop", "score")}
    assert f"**{counts['loop']} pairs by loop, {counts['score']} by score.**" in executed.said


def test_loops_are_marked_beside_what_was_chosen(executed: Executed, run: loopguard.Run) -> None:
    shown = [html for html in executed.shown("text/html") if '<div class="loopguard">' in html]
    pairs = run.preferences.sort("rejected_wasted_fraction", descending=True).head(2)
    assert len(shown) == 2 * len(pairs)
    assert ["<mark" in html for html in shown[::2]] == [False] * len(pairs)
    assert ["<mark" in html for html in shown[1::2]] == (pairs["reason"] == "loop").to_list()


def test_it_asks_little(executed: Executed, run: loopguard.Run) -> None:
    judged = run.candidates.filter(pl.col("score").is_not_null()).height
    asked = spent(executed.folder)
    assert asked.answers == 4 * 4 + judged, "every clean answer is judged at the first try"
    assert asked.tokens <= MOST_TOKENS


def test_other_rules_cost_nothing(executed: Executed, run: loopguard.Run) -> None:
    assert "**12 rules tried, 0 requests.**" in executed.said
    [margins] = executed.tables("min_margin", "loop", "score", "requests")
    [rules] = executed.tables("max_pairs_per_prompt", "trim_loops", "requests")
    assert (rows_of(margins), rows_of(rules)) == (6, 6)
    asked = run.summary["this_session"]
    assert asked["sampling"]["requests"] == asked["judging"]["requests"] == 0
    loops = run.preferences.filter(pl.col("reason") == "loop", pl.col("rejected_loop_repeats") > 3)
    assert loops["rejected_trimmed"].all(), "the last rules cut loops after three copies"
    assert re.search(r"[\d,]+ bytes  preferences\.parquet", executed.printed)


def test_the_charts_are_drawn(executed: Executed) -> None:
    assert len(executed.charts) == 3
    assert pixels_of(executed.charts[0], LOOP) > 100
