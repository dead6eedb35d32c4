"""04_before_after: on two runs whose figures are known beforehand, and on the two that it makes itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import loopguard
from tests.notebooks.executed import MOST_TOKENS, Executed, execute, pixels_of, spent

NAME = "04_before_after.ipynb"
LOOP = "#c4553b"

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]

PROMPTS = [f"Question {n}: what grows on hill number {n}?" for n in range(40)]
REPEATED = "Wait, let me check that again. " * 40


def scripted_run(folder: Path, name: str, *, greedy: set[int], samples: set[int]) -> loopguard.Run:
    """A run of three answers a prompt: which prompts loop greedily, and which in both samples."""

    def answer(n: int, k: int, loops: set[int]) -> dict[str, str]:
        text = f"{n}{k}. {REPEATED}" if n in loops else f"Heather and pine, as on {n} others; number {k} is bare."
        return {"content": text, "finish_reason": "length" if n in loops else "stop"}

    script = folder / f"{name}.jsonl"
    rules = [
        {"prompt": prompt, "greedy": answer(n, 0, greedy), "samples": [answer(n, k, samples) for k in (1, 2)]}
        for n, prompt in enumerate(PROMPTS)
    ]
    script.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    changes = {"engine.engine": f"scripted:{script}", "sampling.samples": 2, "judge.spec": "none"}
    return loopguard.build_prefs(PROMPTS, loopguard.Recipe().override(changes), out=folder / name)


def held(executed: Executed) -> None:
    """What stands in every execution."""
    assert len(executed.charts) == 4
    assert all(chart.width > 600 and len(chart.getcolors(1 << 24)) > 10 for chart in executed.charts)
    assert pixels_of(executed.charts[2], LOOP) > 200, "the point of these runs on the line of what can be seen"
    assert len([html for html in executed.shown("text/html") if "<caption" in html]) == 2, "both runs show themselves"
    assert executed.tables("group", "before", "after", "difference", "low", "high", "p")
    assert executed.tables("looping", "looping_after", "prompts")


def test_on_runs_whose_figures_are_known(tmp_path: Path) -> None:
    """Greedy loops on 20 prompts before and 6 after, of which one is new; both samples of ten before and of none after."""
    before = scripted_run(tmp_path, "before", greedy=set(range(20)), samples=set(range(10)))
    after = scripted_run(tmp_path, "after", greedy={0, 1, 2, 3, 4, 35}, samples=set())
    executed = execute(NAME, tmp_path, LOOPGUARD_BEFORE=str(before.path), LOOPGUARD_AFTER=str(after.path))
    held(executed)
    assert "Same prompts, same temperatures, same detector." in executed.printed
    assert "Less looping on **20** prompts, more on **1**, the same on 19" in executed.said
    points = -100 * (20 + 2 * 10 - 6) / (3 * 40)
    assert f"Mean change over all answers **{points:+.1f} points**" in executed.said
    p = 2 * (1 + 16) / 2**16
    assert f"Stopped looping: **15**, began to: **1**; exact two-sided **p = {p:.3g}**" in executed.said
    interval = re.search(r"points\*\*, 95 % interval ([-+.\d]+) to ([-+.\d]+)\.\n", executed.said)
    assert interval
    # mean and standard error of the 40 changes by hand: 5 of -2/3 (the greedy loop stays), 5 of -1, 10 of -1/3, one of +1/3
    changes = [-2 / 3] * 5 + [-1] * 5 + [-1 / 3] * 10 + [1 / 3] + [0] * 19
    error = (sum((c - sum(changes) / 40) ** 2 for c in changes) / 40) ** 0.5 / 40**0.5
    low, high = float(interval[1]), float(interval[2])
    assert low == pytest.approx(points - 196 * error, abs=1.5)
    assert high == pytest.approx(points + 196 * error, abs=1.5)
    assert (
        "On 40 prompts the model, asked greedily, loops **less** than before: 50% of answers before, 15% after"
        in executed.said
    )
    assert "a difference of -35.0 points" in executed.said
    assert "stand-in" not in executed.said
    assert "Ended by themselves: **67%** of answers before, **95%** after" in executed.said
    assert sum("<mark" in html for html in executed.shown("text/html")) >= 2, "the changed answers are shown"
    assert not (tmp_path / "runs").exists(), "no model was asked"


def test_a_run_against_itself_shows_no_change(tmp_path: Path) -> None:
    run = scripted_run(tmp_path, "before", greedy={1, 2, 3}, samples={1})
    executed = execute(NAME, tmp_path, LOOPGUARD_BEFORE=str(run.path), LOOPGUARD_AFTER=str(run.path))
    assert "the same on 40. Mean change over all answers **+0.0 points**" in executed.said
    assert "exact two-sided **p = 1**" in executed.said
    assert "the model, asked greedily, **does not show a change** in looping" in executed.said


@pytest.mark.embedded
def test_on_two_runs_that_it_makes(tmp_path: Path) -> None:
    executed = execute(NAME, tmp_path)
    held(executed)
    before, after = (loopguard.open_run(tmp_path / "runs" / name) for name in ("04_before", "04_after"))
    assert len(before.candidates) == len(after.candidates) == 8 * 2
    assert set(before.candidates["prompt_id"]) == set(after.candidates["prompt_id"])
    assert before.candidates["text"].to_list() != after.candidates["text"].to_list(), "the penalty does something"
    rates = [run.summary["loop_rate"]["greedy"]["looping"] for run in (before, after)]
    assert rates[0] > rates[1], "SmolLM2 loops when it is greedy, and a penalty of 1.3 keeps it from that"
    assert "*After* is a stand-in:" in executed.said
    asked = spent(tmp_path)
    assert asked.answers == 2 * 8 * 2
    assert asked.tokens <= MOST_TOKENS
