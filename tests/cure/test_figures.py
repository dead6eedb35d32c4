"""The cure's figures: McNemar and bootstrap against values worked out by hand, on tables and on two real runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from loopguard import Recipe, Run, build_prefs

sys.path.insert(0, str(Path(__file__).parents[2] / "pipelines" / "cure"))

from figures import bootstrap, mcnemar, measured, paired
from harm import right
from trials import side_by_side

LOOP = {"content": "Well. " + "Wait, let me check the sum again. " * 40, "finish_reason": "length"}
CLEAN = "Four, I think."


def test_mcnemar_is_the_exact_two_sided_test() -> None:
    before = {str(k): 1.0 for k in range(10)} | {"a": 0.0, "b": 0.0, "same": 1.0}
    after = {str(k): 0.0 for k in range(10)} | {"a": 1.0, "b": 1.0, "same": 1.0, "not asked before": 0.0}
    found = mcnemar(before, after)
    assert (found["prompts"], found["only_before"], found["only_after"]) == (13, 10, 2)
    assert found["p"] == pytest.approx(2 * (1 + 12 + 66) / 4096)
    assert mcnemar({"a": 1.0}, {"a": 1.0})["p"] == 1.0


def test_the_bootstrap_takes_prompts_not_answers() -> None:
    before = {str(k): 1.0 for k in range(100)}
    after = {str(k): float(k < 50) for k in range(100)}
    found = bootstrap(before, after)
    assert (found["prompts"], found["change"]) == (100, -0.5)
    assert found["low"] == pytest.approx(-0.598, abs=0.02)  # 1.96 times the root of 0.25 / 100
    assert found["high"] == pytest.approx(-0.402, abs=0.02)


def run_of(folder: Path, answers: dict[str, tuple[list[object], object]]) -> Run:
    folder.mkdir()
    rules = [{"prompt": q, "samples": samples, "greedy": greedy} for q, (samples, greedy) in answers.items()]
    (folder / "answers.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in rules))
    changes = {"engine.engine": f"scripted:{folder}/answers.jsonl", "sampling.samples": 2, "judge.spec": "none"}
    return build_prefs([{"prompt": q} for q in answers], Recipe().override(changes), out=folder / "run")


def test_two_runs_of_the_same_prompts(tmp_path: Path) -> None:
    before = run_of(tmp_path / "before", {"A?": ([LOOP, CLEAN], LOOP), "B?": ([LOOP, CLEAN], CLEAN)})
    after = run_of(tmp_path / "after", {"A?": ([CLEAN, "Four."], CLEAN), "B?": ([LOOP, CLEAN], CLEAN)})
    found = paired(before, after)
    assert found["greedy"] == {"prompts": 2, "only_before": 1, "only_after": 0, "p": 1.0}
    assert (found["sampled"]["prompts"], found["sampled"]["change"]) == (2, -0.25)
    assert measured(before)["greedy"]["looping"] == 1
    assert measured(before)["ended"]["count"] == 3


def trial_of(out: Path, name: str, run: Run, **how: object) -> None:
    """A finished trial as cure.py leaves it."""
    folder = out / "trials" / name
    folder.mkdir(parents=True)
    run.path.rename(folder / "aside")
    log = [{"rewards/margins": k, "logps/chosen": -100.0} for k in range(6)]
    results = {
        **{
            "model": "m",
            "sampler": "embedded",
            "max_tokens": 9,
            "prompts": {"held aside": 2},
            "pairs": 7,
            "clean": None,
        },
        **{"before": {"greedy": {"rate": 0.5}, "sampled": {"rate": 0.5}}, "after": measured(Run(folder / "aside"))},
        **{
            "training": {"beta": 0.1, "sft_weight": 0.2} | how,
            "trim_loops": 3,
            "log": log,
            "environment": {},
            "ordinary text": None,
        },
    }
    (folder / "results.json").write_text(json.dumps(results))


def test_trials_are_held_against_the_first(tmp_path: Path) -> None:
    cured = run_of(tmp_path / "one", {"A?": ([CLEAN, "Four."], CLEAN), "B?": (["Five.", CLEAN], CLEAN)})
    looping = run_of(tmp_path / "other", {"A?": ([LOOP, CLEAN], LOOP), "B?": ([CLEAN, "Six."], CLEAN)})
    trial_of(tmp_path / "cure", "plain", cured)
    trial_of(tmp_path / "cure", "alone", looping, sft_weight=0)
    found = side_by_side(tmp_path / "cure", "plain")["trials"]
    assert list(found) == ["plain", "alone"]
    assert (found["plain"]["differs"], found["alone"]["differs"]) == ({}, {"sft_weight": 0})
    assert (found["alone"]["steps"], found["alone"]["last margin"]) == (6, 3.0)
    against = found["alone"]["against the first"]
    assert (found["plain"]["against the first"], against["greedy"]["only_before"], against["greedy"]["only_after"]) == (
        None,
        0,
        1,
    )
    assert against["sampled"]["change"] == 0.25
    with pytest.raises(SystemExit, match="no finished trial 'first'; there are: alone, plain"):
        side_by_side(tmp_path / "cure", "first")


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("It is Au, of course.", "Au", True),
        ("It is so because it is.", "Au", False),
        ("Two dollars", "dollar", True),
        ("So 3 and 4 make 1,007.0", "long sum\n#### 1007", True),
        ("It is 7, not 8.", "7", False),
        ("It is H2O.", "H2O", True),
    ],
)
def test_an_answer_is_right(answer: str, reference: str, *, expected: bool) -> None:
    assert right(answer, reference) is expected
