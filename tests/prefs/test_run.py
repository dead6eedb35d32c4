"""Run.status: what is done is done under the recipe of the latest session, not under any that came before."""

from __future__ import annotations

import json
from pathlib import Path

from loopguard import Recipe, build_prefs, open_run
from loopguard.prefs.ledger import Ledger
from loopguard.prefs.told import now


def test_another_judge_begins_at_zero(tmp_path: Path) -> None:
    script = tmp_path / "answers.jsonl"
    rules = [
        {"contains": "<<<ANSWER", "greedy": {"content": "4", "logprobs": {"4": -0.1}}},
        {"samples": ["one answer", "another answer"], "greedy": "a third"},
    ]
    script.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    recipe = Recipe().override({"engine.engine": f"scripted:{script}", "sampling.samples": 2, "judge.spec": "none"})
    first = build_prefs(["What?", "Why?"], recipe, out=tmp_path / "run").status()
    assert (first.total, first.done, first.missing, first.answers) == (2, 2, 0, 6)
    with Ledger.open(tmp_path / "run") as ledger:
        ledger.put("fingerprint", "that of a session with a judge, killed before it asked")
    begun = open_run(tmp_path / "run").status()
    assert (begun.total, begun.done, begun.missing, begun.working) == (2, 0, 2, False)
    assert now(begun) == "stopped; the same command goes on with it"
    with Ledger.open(tmp_path / "run"):
        assert now(open_run(tmp_path / "run").status()) == "a process works on it"
    second = build_prefs(
        ["What?", "Why?"], recipe.override({"judge.spec": "helpfulness"}), out=tmp_path / "run"
    ).status()
    assert (second.done, second.missing, second.answers) == (2, 0, 12)
