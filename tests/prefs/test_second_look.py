"""`judge.second_look`: a pair by score stands only where the judge prefers its chosen side in both orders."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loopguard import Recipe, Run, build_prefs
from loopguard.dataset import read_prompts
from loopguard.prefs.build import make_detector
from loopguard.prefs.continuing import fingerprint, same_judge
from loopguard.prefs.estimate import estimate
from loopguard.prefs.judging import load_judge
from loopguard.prefs.shard_merge import finished, ingest, write_run
from loopguard.prefs.watching import Nobody
from tests.prefs.test_shards import InShards

PROMPTS = ["steady", "first", "second", "turned", "torn", "unread", "loops"]
"""What the judge does with the pair of each: keeps to the better one, to a place, to the worse one; half and half; says nothing."""


def say(grade: float) -> dict[str, Any]:
    """A judge that is sure; 1.5: of nothing."""
    logs = {"1": -0.6931, "2": -0.6931} if grade == 1.5 else {str(int(grade)): 0.0}
    return {"content": "1" if grade == 1.5 else str(int(grade)), "logprobs": logs}


def rules() -> list[dict[str, Any]]:
    replies = {"steady": (1, 2), "first": (1, 1), "second": (2, 2), "turned": (2, 1), "torn": (1, 1.5)}
    pairs = [
        {"contains": f"{name} good.\n<<<END {place}", "greedy": say(grade)}
        for name, grades in replies.items()
        for place, grade in zip(("FIRST", "SECOND"), grades, strict=True)
    ]
    pairs += [{"contains": "SECOND is better", "greedy": "Both."}]
    scores = [
        {"contains": f"{word}.\n<<<END ANSWER", "greedy": say(n)} for word, n in (("good", 5), ("fair", 3), ("bad", 1))
    ]
    said = [
        {"prompt": name, "samples": [f"{name} {word}." for word in ("bad", "good", "fair")]} for name in PROMPTS[:-1]
    ]
    said += [{"prompt": "loops", "samples": ["loops good.", "loops good.", "and so on " * 60]}]
    return [*said, *pairs, *scores]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in rules()), encoding="utf-8")
    changes = {"engine.engine": f"scripted:{tmp_path / 'all.jsonl'}", "engine.model": "all"}
    changes |= {"sampling.samples": 3, "sampling.greedy": False, "judge.second_look": True}  # type: ignore[dict-item]
    return Recipe().override(changes)


def pairs_of(run: Run) -> dict[str, list[tuple[int, str, str]]]:
    found: dict[str, list[tuple[int, str, str]]] = {}
    for row in run.preferences.iter_rows(named=True):
        texts = (row["chosen"][0]["content"], row["rejected"][0]["content"])
        found.setdefault(row["prompt"][0]["content"], []).append((row["pair_index"], *texts))
    return found


def skipped(run: Run) -> dict[str, tuple[str, str]]:
    rows = run.skipped.iter_rows(named=True)
    return {row["prompt"][0]["content"]: (row["reason"], row["detail"]) for row in rows}


def told(forth: str, back: str) -> tuple[str, str]:
    words = f"the chosen one is better with probability {forth} when shown first, {back} when shown second"
    return "second_look", words


def test_pairs_that_do_not_stand_are_dropped_with_the_reason(recipe: Recipe, tmp_path: Path) -> None:
    run = build_prefs(PROMPTS, recipe, out=tmp_path / "run")
    assert pairs_of(run) == {
        "steady": [(0, "steady good.", "steady bad.")],
        "loops": [(0, "loops good.", "and so on " * 60)],
    }
    assert skipped(run) == {
        "first": told("1.00", "0.00"),
        "second": told("0.00", "1.00"),
        "turned": told("0.00", "0.00"),
        "torn": told("1.00", "0.50"),
        "unread": ("second_look", "no score in 3 replies: neither log-probabilities nor a bare integer: 'Both.'"),
    }
    assert run.summary["skipped_by_reason"] == {"second_look": 5}
    assert set(run.candidates.filter(pl.col("used_as").is_not_null())["prompt_id"]) == set(run.preferences["prompt_id"])
    unread = 2 * 3 * 2  # both orders, three attempts, each once more in JSON
    alone = 1  # the clean one beside the loop
    assert run.summary["this_session"]["judging"]["requests"] == 6 * 3 + alone + 5 * 2 + unread


def test_without_it_nothing_is_dropped_and_switching_it_on_asks_for_the_pairs_alone(
    recipe: Recipe, tmp_path: Path
) -> None:
    off = recipe.override({"judge.second_look": False})
    before = build_prefs(PROMPTS[:5], off, out=tmp_path / "run")
    assert len(pairs_of(before)) == 5
    assert before.summary["this_session"]["judging"]["requests"] == 5 * 3
    after = build_prefs(PROMPTS[:5], recipe, out=tmp_path / "run")
    assert list(pairs_of(after)) == ["steady"]
    assert after.summary["this_session"]["sampling"]["requests"] == 0
    assert after.summary["this_session"]["judging"]["requests"] == 5 * 2
    back = build_prefs(PROMPTS[:5], off, out=tmp_path / "run")
    assert len(pairs_of(back)) == 5
    assert back.summary["this_session"]["judging"]["requests"] == 0


def test_more_pairs_of_one_prompt_are_looked_at_one_by_one(recipe: Recipe, tmp_path: Path) -> None:
    """Good against bad is doubted, good against fair is not: the one that is left is the first."""
    doubts = {"contains": "turned bad.\n<<<END", "greedy": say(1)}
    stands = {"contains": "turned good.\n<<<END FIRST", "greedy": say(1)}
    other = {"contains": "turned good.\n<<<END SECOND", "greedy": say(2)}
    judged = [rule for rule in rules() if "END ANSWER" in str(rule)]
    script = [{"prompt": "turned", "samples": rules()[3]["samples"]}, *judged, doubts, stands, other]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in script), encoding="utf-8")
    run = build_prefs(["turned"], recipe.override({"pairing.max_pairs_per_prompt": 2}), out=tmp_path / "run")
    assert pairs_of(run) == {"turned": [(0, "turned good.", "turned fair.")]}


def test_a_pair_that_fails_is_asked_again(recipe: Recipe, tmp_path: Path) -> None:
    script = [{"contains": "steady good.\n<<<END SECOND", "greedy": {"error": "it rained"}}, *rules()]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in script), encoding="utf-8")
    first = build_prefs(["steady"], recipe, out=tmp_path / "run")
    assert (first.summary["failed_by_reason"], skipped(first)) == (
        {"not_answered": 1},
        {"steady": ("not_answered", "it rained")},
    )
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in rules()), encoding="utf-8")
    second = build_prefs(["steady"], recipe, out=tmp_path / "run")
    assert list(pairs_of(second)) == ["steady"]
    assert second.summary["this_session"]["judging"]["requests"] == 1


def test_by_shards_the_tables_are_those_of_the_local_runner(recipe: Recipe, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in PROMPTS), encoding="utf-8")
    own = recipe.override({"judge.engine": recipe.engine.engine, "judge.model": "judge"})
    run = InShards(tmp_path, own, prompts, tmp_path / "run", size=3)

    async def all_of_it() -> None:
        for shard in run.shards:
            assert (await run.do(shard)).done
            await ingest(run.ledger, run.plan.answers(shard))
        ready = finished(run.ledger, run.plan, run.shards)
        await write_run(run.ledger, run.plan, run.shards, ready=ready, run_dir=run.run_dir, watcher=Nobody())

    asyncio.run(all_of_it())
    run.ledger.close()
    build_prefs(prompts, own, out=tmp_path / "local")
    for name in ("candidates.parquet", "preferences.parquet", "preferences.jsonl", "skipped.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()


def test_what_it_changes_of_a_recipe(recipe: Recipe, tmp_path: Path) -> None:
    off = recipe.override({"judge.second_look": False})
    spec, detector = load_judge("helpfulness"), make_detector(recipe)
    assert fingerprint(recipe, detector, spec) != fingerprint(off, detector, spec)
    assert fingerprint(recipe, detector, None) == fingerprint(off, detector, None)
    assert recipe.asks() == off.asks(), "the samples are the same"
    assert not same_judge(off, recipe)
    assert same_judge(recipe, recipe)
    counted = [estimate(read_prompts(PROMPTS), one, tmp_path / "none") for one in (off, recipe)]
    assert [one.judge_requests for one in counted] == [7 * 3, 7 * 5]
    assert counted[0].judge_prompt_tokens < counted[1].judge_prompt_tokens
