"""A run in words and in Jupyter: finished, not finished, unreadable, and with names that are markup."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from loopguard import Recipe, Run, build_prefs, open_run
from loopguard.prefs.told import summary_lines

LOOP = "and so on it goes, " * 60
HOSTILE = "<script>alert(1)</script>\x1b[31m"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    script = tmp_path / "script.jsonl"
    rule = {"samples": ["A good answer."], "greedy": {"content": LOOP, "finish_reason": "length"}}
    script.write_text(json.dumps(rule) + "\n", encoding="utf-8")
    changes = {"engine.engine": f"scripted:{script}", "sampling.samples": 1, "judge.spec": "none"}
    recipe = Recipe().override(changes | {"engine.model": HOSTILE})
    return build_prefs(["What is it?", "And what is that?", ""], recipe, out=tmp_path / "a <b> run")


def rows(html: str) -> dict[str, str]:
    """Names and values of a shown run, as a reader sees them."""
    found = re.findall(r"<tr><th[^>]*>([^<]*)</th><td[^>]*>([^<]*)</td></tr>", html)
    return {unescape(name): unescape(value) for name, value in found}


def test_a_finished_run_shows_its_summary(run: Run) -> None:
    shown = run._repr_html_()
    told = rows(shown)
    assert told["loop rate greedy"].startswith("100.0% (2 of 2; 95 % interval 34.2% to 100.0%)")
    assert told["pairs"] == "2 from 2 prompts: 2 by loop, 0 by score"
    assert told["rows left out"] == "1 empty_prompt"
    assert list(told) == [name for name, _ in summary_lines(run.summary)], "the lines that a terminal shows"
    assert "Run " in shown
    assert "a &lt;b&gt; run" in shown


def test_nothing_in_it_becomes_markup(run: Run) -> None:
    shown = run._repr_html_()
    assert "<script" not in shown
    assert "\x1b" not in shown
    assert rows(shown)["model"].startswith("<script>alert(1)</script>")


def test_an_unfinished_run_shows_how_far_it_is(run: Run) -> None:
    for name in ("summary.json", "candidates.parquet", "preferences.parquet", "preferences.jsonl", "skipped.parquet"):
        (run.path / name).unlink()
    again = open_run(run.path)
    assert again.unfinished
    told = rows(again._repr_html_())
    assert told["prompts"] == "2 of 2 done, 0 missing, 0 failed"
    assert told["now"] == "everything is answered"
    assert told["loop rate sampled"].startswith("0.0% (0 of 2;")


def test_a_run_that_cannot_be_read_says_why(run: Run) -> None:
    (run.path / "summary.json").unlink()
    (run.path / "recipe.toml").write_text("[engine\n", encoding="utf-8")
    told = rows(open_run(run.path)._repr_html_())
    assert list(told) == ["cannot be read"]
    assert "recipe.toml" in told["cannot be read"]
