"""02_build_preferences: a real run of the embedded model; what the notebook says of it, held against the run it leaves."""

from __future__ import annotations

import re

import pytest

import loopguard
from tests.notebooks.executed import Executed, execute, pixels_of, rows_of

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
    assert rows_of(fates) == 7
    assert fates.count("&quot;pair&quot;") == len(run.preferences)
    skipped = dict(run.skipped.select("row", "reason").iter_rows())
    assert (skipped[6], skipped[7]) == ("duplicate", "empty_prompt")
    looping = int(run.candidates["looping"].sum())
    assert looping >= 1
    assert f"**{looping} of {len(run.candidates)} answers loop**" in executed.said
    counts = {reason: (run.preferences["reason"] == reason).sum() for reason in ("loop", "score")}
    assert f"**{counts['loop']} pairs by loop, {counts['score']} by score.**" in executed.said


def test_a_loop_is_shown_beside_what_was_chosen(executed: Executed) -> None:
    shown = [html for html in executed.shown("text/html") if '<div class="loopguard">' in html]
    assert len(shown) == 4
    assert ["<mark" in html for html in shown[:2]] == [False, True]


def test_other_rules_cost_nothing(executed: Executed, run: loopguard.Run) -> None:
    assert "**12 rules tried, 0 requests.**" in executed.said
    [margins] = executed.tables("min_margin", "loop", "score", "requests")
    [rules] = executed.tables("max_pairs_per_prompt", "trim_loops", "requests")
    assert (rows_of(margins), rows_of(rules)) == (6, 6)
    asked = run.summary["this_session"]
    assert asked["sampling"]["requests"] == asked["judging"]["requests"] == 0
    assert run.preferences.filter(reason="loop")["rejected_trimmed"].any(), "the last rules trim loops"
    assert re.search(r"[\d,]+ bytes  preferences\.parquet", executed.printed)


def test_the_charts_are_drawn(executed: Executed) -> None:
    assert len(executed.charts) == 3
    assert pixels_of(executed.charts[0], LOOP) > 100
