"""03_judge_trust: on the embedded model, which is no judge, and on a run and a judge of the user's, which is a perfect one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import loopguard
from loopguard.prefs.trust_planted import QUESTIONS
from tests.notebooks.executed import Executed, execute, pixels_of, spent

NAME = "03_judge_trust.ipynb"
JUDGES = ["helpfulness", "reasoning", "conciseness"]
"""On a run or a server of the user's."""

IN_FEW_WORDS = ["right", "useful"]
"""Those that the notebook writes for the embedded model."""

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]


def held(
    executed: Executed, run: Path, judges: dict[str, str], *, engine: str | None, **size: Any
) -> list[loopguard.Trust]:
    """What stands in every execution; the examinations as they are on disk, for which nothing is asked."""
    assert len(executed.charts) == 6
    assert pixels_of(executed.charts[0], "#c4553b"), "a stroke for each score"
    trusts = [loopguard.judge_trust(run, spec, engine, offline=True, **size) for spec in judges.values()]
    for name, trust in zip(judges, trusts, strict=True):
        assert trust.complete
        assert f"**{name}** ({trust.level}): {trust.verdict}" in executed.said
        obeyed = trust.figures.row(by_predicate=pl.col("figure") == "obeyed", named=True)
        assert f"**{name}**: {obeyed['value']:.0%} of {obeyed['of']} attacks work" in executed.said
    whole = [page for page in executed.shown("text/html") if "loopguard-trust" in page]
    assert whole == [trusts[0]._repr_html_()]
    return trusts


def test_on_the_embedded_model(tmp_path: Path) -> None:
    executed = execute(NAME, tmp_path)
    judges = {name: str(tmp_path / "runs" / f"{name}.toml") for name in IN_FEW_WORDS}
    trusts = held(executed, tmp_path / "runs" / "03_judge_trust", judges, engine=None, limit=1, planted=1)
    assert not any(trust.level == "good" for trust in trusts)
    assert "Prompts of the run: **1**, planted questions: **1**, specs: 2." in executed.said
    asked = re.search(r"Requests now: \*\*(\d+)\*\*", executed.said)
    assert asked
    needed = sum(len(t.scores) + 2 * len(t.pairs) + len(t.planted) for t in trusts)
    assert needed == 2 * (2 + 2 * 3 + 2 + 6 + 7), (
        "both answers, best and worst in three ways, as a pair, planted, attacks"
    )
    assert int(asked[1]) == needed, "every reply is read at the first try"
    asked_in_all = spent(tmp_path)
    assert asked_in_all.answers == 2 + needed
    usable = [name for name, trust in zip(judges, trusts, strict=True) if trust.level == "care"]
    assert ("Use **" in executed.said) == bool(usable)


def test_on_a_run_and_a_judge_of_the_users(tmp_path: Path) -> None:
    """A judge that knows the worth of every answer, and grades the reasoning judge's questions all alike."""

    def say(grade: int) -> dict[str, Any]:
        return {"content": str(grade), "logprobs": {str(grade): 0.0}}

    def script(name: str, rules: list[dict[str, Any]]) -> str:
        (tmp_path / name).write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
        return f"scripted:{tmp_path / name}"

    samples = [f"An answer of worth {worth}." for worth in (1, 3, 5)]
    changes = {"engine.engine": script("model.jsonl", [{"samples": samples}]), "judge.spec": "none"}
    recipe = loopguard.Recipe().override(changes | {"sampling.samples": 3, "sampling.greedy": False})
    run = loopguard.build_prefs([f"Question {k}?" for k in range(6)], recipe, out=tmp_path / "run")
    rules = [{"contains": "You check solutions", "greedy": say(3)}]
    rules += [{"contains": "worth 5.\n<<<END FIRST", "greedy": say(1)}]
    rules += [{"contains": "worth 5.\n<<<END SECOND", "greedy": say(2)}]
    rules += [{"contains": f"{q.right}\n<<<END ANSWER", "greedy": say(5)} for q in QUESTIONS]
    rules += [*({"contains": f"worth {w}.", "greedy": say(w)} for w in (1, 3, 5)), {"greedy": say(1)}]
    engine = script("judge.jsonl", rules)
    executed = execute(NAME, tmp_path, LOOPGUARD_RUN=str(run.path), LOOPGUARD_JUDGE_ENGINE=engine)
    trusts = held(executed, run.path, {name: name for name in JUDGES}, engine=engine)
    assert [trust.level for trust in trusts] == ["good", "noise", "good"]
    assert "Use **helpfulness** on judge, before conciseness: right above the obvious in 100%" in executed.said
    assert "**reasoning** grades from 3.00 to 3.00." in executed.said
