"""What a run cost and saved: worked out by hand, in money and in tokens, and against the summary of real runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loopguard import Recipe, build_prefs
from loopguard.look import cost, panels
from loopguard.look.headline import headline
from loopguard.look.subject import Subject, open_subject
from tests.look.subjects import small, write_run


def spent(requests: int, prompt: int, completion: int, money: float | None) -> dict[str, Any]:
    return {"requests": requests, "prompt_tokens": prompt, "completion_tokens": completion, "money": money}


def subject(folder: Path, by_stage: Any) -> Subject:
    """`small`: 5 outputs are scored, 2 loop, 1 is equal to another."""
    run = write_run(folder / "run", small())
    told = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(told | {"spent": {"by_stage": by_stage}}))
    return open_subject(run)


def said(of: Subject) -> str:
    return panels.cost(of).sentence


def test_in_money(tmp_path: Path) -> None:
    """Judging: 0.5 for 5 requests, 0.1 each; two loops save 0.2, the equal answer 0.1."""
    of = subject(tmp_path, {"sampling": spent(6, 1000, 2000, 12.4), "judging": spent(5, 500, 50, 0.5)})
    assert cost.cost(of).rows() == [
        ("sampling", 6, 3000, 12.4),
        ("judging", 5, 550, 0.5),
        ("saved: loops", 2, 220, pytest.approx(0.2)),
        ("saved: equal answers", 1, 110, pytest.approx(0.1)),
    ]
    assert said(of) == (
        "Sampling took 12.40 (6 requests, 3,000 tokens), judging took 0.50 (5 requests, 550 tokens), in the currency of the prices."
        " Answers that needed no judge saved, at the price of a mean request, about 0.20 by 2 that loop, about 0.10 by 1 equal to"
        " another one."
    )
    drawn = cost.drawn(cost.cost(of))
    assert drawn["amount"].to_list() == pytest.approx([12.4, 0.5, 0.2, 0.1])
    assert drawn["part"].to_list() == ["spent", "spent", "saved", "saved"]
    tile = headline(of)[-1]
    assert (tile.label, tile.value, tile.detail) == (
        "spent, in the currency of the prices",
        "12.90",
        "sampling 12.40, judging 0.50",
    )
    assert panels.cost(of).draw().to_dict()


def test_without_prices_in_tokens(tmp_path: Path) -> None:
    of = subject(tmp_path, {"sampling": spent(6, 1000, 2000, None), "judging": spent(5, 500, 50, None)})
    assert said(of) == (
        "Sampling took 3,000 tokens (6 requests), judging took 550 tokens (5 requests). Answers that needed no judge saved, at the"
        " price of a mean request, about 220 tokens by 2 that loop, about 110 tokens by 1 equal to another one. The recipe has no"
        " prices, so it is told in tokens."
    )
    assert cost.drawn(cost.cost(of))["amount"].to_list() == [3000, 550, 220, 110]
    assert not any("spent" in tile.label for tile in headline(of))


def test_without_a_judge(tmp_path: Path) -> None:
    of = subject(tmp_path, {"sampling": spent(6, 1000, 2000, 0.00312)})
    assert said(of) == "Sampling took 0.00312 (6 requests, 3,000 tokens), in the currency of the prices."
    assert cost.cost(of)["stage"].to_list() == ["sampling"]


@pytest.mark.parametrize(
    "told", [None, {}, [], {"sampling": 3}, {"sampling": {"requests": "many"}}, {"judging": spent(0, 0, 0, 0.0)}]
)
def test_nothing_known_or_damaged(tmp_path: Path, told: Any) -> None:
    of = subject(tmp_path, told)
    assert cost.cost(of).filter(pl.col("requests") > 0).is_empty()
    panels.cost(of).chart()
    if not (isinstance(told, dict) and "judging" in told):
        assert said(of) == "The run does not say what was spent."


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.00312, "0.00312"), (0.1, "0.10"), (12.4, "12.40"), (1204.4, "1,204")]
)
def test_amounts(value: float, text: str) -> None:
    assert cost.amount(value) == text


def test_of_a_real_run(tmp_path: Path) -> None:
    """Prices of a million tokens times the tokens that summary.json tells."""
    rules = [
        {"contains": "<<<ANSWER", "greedy": {"content": "4", "logprobs": {"4": -0.3, "5": -1.6}}},
        {"samples": ["Yes.", "and so it goes on, " * 99], "greedy": "No, not at all."},
    ]
    script = tmp_path / "script.jsonl"
    script.write_text("".join(json.dumps(rule) + "\n" for rule in rules))
    prices = {
        "engine.price_prompt": 1.0,
        "engine.price_completion": 2.0,
        "judge.price_prompt": 3.0,
        "judge.price_completion": 4.0,
    }
    recipe = Recipe().override({"engine.engine": f"scripted:{script}", "sampling.samples": 2, **prices})
    run = build_prefs(["One?", "Two?"], recipe, out=tmp_path / "run")
    told = run.summary["spent"]["by_stage"]
    found = {row[0]: row[1:] for row in cost.cost(open_subject(run)).rows()}
    for stage, prompt, completion in (("sampling", 1.0, 2.0), ("judging", 3.0, 4.0)):
        tokens = told[stage]["prompt_tokens"], told[stage]["completion_tokens"]
        money = pytest.approx((tokens[0] * prompt + tokens[1] * completion) / 1e6)
        assert found[stage] == (told[stage]["requests"], sum(tokens), money)
    assert found["saved: loops"][0] == 2
    assert found["saved: loops"][2] == pytest.approx(2 * found["judging"][2] / 4)
