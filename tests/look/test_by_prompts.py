"""Loop rates by a column of the prompts file: of one run, of two, in the page's browser; which are charted unasked."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import loopguard
from loopguard.errors import InputError
from loopguard.look import figures, panels
from loopguard.look.browser import pack
from loopguard.look.compare import compare
from loopguard.look.compare_by import by_itself, differences, panel
from loopguard.look.compare_page import compared
from loopguard.look.page import single
from loopguard.look.rates import difference, rate
from loopguard.look.subject import open_subject
from loopguard.prefs.outputs import Outcome
from loopguard.records import Prompt
from tests.look.subjects import write_run
from tests.look.test_browser import opened
from tests.look.test_compare import outcomes

KINDS = {"category": "text", "level": "whole", "model": "text", "score": "real", "name": "text"}
BEFORE = {"a": (True, True), "b": (True, False), "c": (False, False), "d": (True, False)}
AFTER = {"a": (False, False), "b": (False, False), "c": (False, True), "d": (True, False)}


def with_columns(made: Sequence[Outcome]) -> list[Outcome]:
    """a, b: maths; c, d: code; and others that say less of them."""
    found = []
    for k, one in enumerate(made):
        columns: dict[str, Any] = {"category": ("maths", "code")[k // 2 % 2], "level": k % 2, "name": f"n{k}"}
        columns |= {"model": f"of {k % 2}"} if k else {}
        prompt = dataclasses.replace(one.prompt, columns=columns)
        found.append(dataclasses.replace(one, prompt=prompt))
    return found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", with_columns(outcomes(BEFORE)), columns=KINDS)


@pytest.fixture
def after(tmp_path: Path) -> Path:
    """A run of the same prompts from before columns came along."""
    return write_run(tmp_path / "after", outcomes(AFTER))


def test_a_rate_for_every_category(run: Path) -> None:
    subject = open_subject(run)
    found = figures.loop_rate(subject, "category")
    assert [tuple(row) for row in found.select("group", "looping", "total", "prompts").iter_rows()] == [
        ("maths", 3, 4, 2),
        ("code", 1, 4, 2),
    ]
    import numpy as np

    maths = rate(np.array([2.0, 1.0]), np.array([2.0, 2.0]))
    assert (found["low"][0], found["high"][0]) == (maths.low, maths.high)
    assert figures.loop_rate(subject, "source_category").equals(found)
    assert figures.loop_rate(subject, "level")["group"].to_list() == ["0", "1"]
    both = loopguard.loop_rates(loopguard.scan(["x"]).with_columns(source_a=pl.lit("b")), by="a")
    assert both["a"].to_list() == ["b"]


def test_ours_comes_before_the_prompts_own(run: Path) -> None:
    subject = open_subject(run)
    assert figures.loop_rate(subject, "model")["group"].to_list() == ["m"]
    assert set(figures.loop_rate(subject, "source_model")["group"]) == {"(none)", "of 0", "of 1"}


def test_no_such_column_names_both_kinds(run: Path, after: Path) -> None:
    with pytest.raises(InputError) as raised:
        figures.loop_rate(open_subject(run), "catgory")
    said = str(raised.value)
    assert said.startswith(f"{run}: no column catgory to group by; it has row, index, decoding,")
    assert said.endswith("; of the prompts file category, level, model, score, name")
    assert "source_" not in said
    with pytest.raises(InputError, match="no column of the prompts file came along: the run's command, given again"):
        figures.loop_rate(open_subject(after), "category")


def test_categories_are_charted_unasked(run: Path) -> None:
    """Columns that group prompts: no column with a value of its own for each, none that is always empty; by clear names."""
    subject = open_subject(run)
    assert panels.automatic(subject) == ["decoding", "category", "level", "source_model"]
    keys = [one.key for one in panels.panels(subject)]
    assert keys[:4] == ["rate-decoding", "rate-category", "rate-level", "rate-source_model"]
    page = single(subject)
    assert "Loop rate by category" in page
    assert "No difference shows between outputs with category maths and those with code: 75.0 % (" in page


def test_the_browser_has_them_once_a_prompt(run: Path) -> None:
    found = opened(pack(open_subject(run), ["category", "source_model", "finish_reason"]))
    assert (found["head"]["about"], found["head"]["labels"]) == (["category", "source_model"], ["finish_reason"])
    about = {item["prompt"][0][1][0][1]: item.get("about") for item in found["items"]}
    assert about == {
        "a": {"category": "maths"},
        "b": {"category": "maths", "source_model": "of 1"},
        "c": {"category": "code", "source_model": "of 0"},
        "d": {"category": "code", "source_model": "of 1"},
    }


# -- two runs


def test_the_change_of_every_category_is_paired(run: Path, after: Path) -> None:
    """The second run has no columns: its prompts are the same, so those of the first stand for both."""
    import numpy as np

    found = differences(compare(run, after), "category")
    assert [tuple(row) for row in found.select("group", "prompts", "before", "after", "difference").iter_rows()] == [
        ("maths", 2, 0.75, 0.0, -0.75),
        ("code", 2, 0.25, 0.5, 0.25),
    ]
    two = np.array([2.0, 2.0])
    by_hand = difference((np.array([2.0, 1.0]), two), (np.array([0.0, 0.0]), two))
    assert (found["low"][0], found["high"][0]) == (by_hand.low, by_hand.high)
    assert differences(compare(after, run), "category").sort("group")["difference"].to_list() == [-0.25, 0.75]
    assert differences(compare(run, run), "category")["difference"].to_list() == [0.0, 0.0]


def test_a_column_of_outputs_in_both(run: Path, after: Path) -> None:
    found = differences(compare(run, after), "decoding")
    assert [tuple(row) for row in found.select("group", "before", "after").iter_rows()] == [
        ("greedy", 0.75, 0.25),
        ("sampled", 0.25, 0.25),
    ]
    with pytest.raises(InputError, match="no column nothing to group by"):
        differences(compare(run, after), "nothing")


def test_numbers_are_cut_alike_in_both(tmp_path: Path) -> None:
    """Fifths are those of both runs together, in their order."""
    asked = {f"q{k}": (k % 3 == 0, False) for k in range(30)}
    made = [
        dataclasses.replace(one, prompt=dataclasses.replace(one.prompt, columns={"score": float(k)}))
        for k, one in enumerate(outcomes(asked))
    ]
    first = write_run(tmp_path / "a", made, columns=KINDS)
    second = write_run(tmp_path / "b", made[15:], columns=KINDS)
    found = differences(compare(first, second), "source_score")
    fifths = ["15 to 17", "18 to 20", "21 to 23", "24 to 26", "27 to 29"]
    assert [tuple(row) for row in found.select("group", "prompts", "before", "difference").iter_rows()] == [
        (fifth, 3, 1 / 6, 0.0) for fifth in fifths
    ]


def test_the_page_of_two_runs(run: Path, after: Path) -> None:
    before, now = open_subject(run), open_subject(after)
    assert by_itself(compare(before, now)) == ["category", "level", "source_model"]
    page = compared(before, now, ["decoding"])
    for title in ("Loop rates by group", "Loop rate by decoding", "Loop rate by category", "Loop rate by level"):
        assert title in page
    said = panel(compare(before, now), "category").sentence
    assert said.startswith("Of 2 values of category: in 2 no change shows. ")
    assert "Largest: category maths, 75.0 % before, 0.0 % after (-75.0 points, " in said


def test_a_prompt_of_another_run_is_not_counted(run: Path, tmp_path: Path) -> None:
    more = write_run(tmp_path / "more", with_columns(outcomes(AFTER | {"e": (True, True)})), columns=KINDS)
    found = compare(run, more)
    assert differences(found, "category")["prompts"].sum() == 4
    assert Prompt.make("e").prompt_id not in found.counted["prompt_id"]
