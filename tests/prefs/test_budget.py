"""Budgets: never passed, used as far as anything fits, exact under kill -9, resumable, told everywhere."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard import Recipe, build_prefs, open_run
from loopguard.engines import Completion, Request
from loopguard.errors import InputError
from loopguard.loops.detector import Detector
from loopguard.prefs.budget import MONEY, Account, Amount, Price, Purse, limits, prices, read_budget
from loopguard.prefs.continuing import fingerprint
from loopguard.prefs.judging import load_judge
from loopguard.prefs.ledger import Ledger, Spent
from tests.prefs.commands import Running, loopguard, questions, tables, write_prompts

SAMPLES = ["one answer to it", "another one, longer than that", "a third", "and a fourth answer", "the fifth"]
JUDGED = {"contains": "<<<ANSWER", "greedy": {"content": "4", "logprobs": {"4": -0.1}}}


def write_script(path: Path, *, latency: float = 0.0) -> Path:
    """Answers of known length; the scripted engine counts a token for every four characters, and one more."""
    samples = [{"content": text, "latency": latency * (k + 1)} for k, text in enumerate(SAMPLES)]
    rules = [JUDGED, {"samples": samples, "greedy": {"content": "the greedy one", "latency": latency}}]
    path.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf-8")
    return path


def recipe(script: Path, **changes: Any) -> Recipe:
    known = {"engine.engine": f"scripted:{script}", "sampling.max_tokens": 16}
    return Recipe().override(known | {key.replace("__", "."): value for key, value in changes.items()})


# -- what is given


@pytest.mark.parametrize(
    ("said", "changes"),
    [
        (["5000requests"], {"budget.requests": 5000}),
        (["5k requests"], {"budget.requests": 5000}),
        (["2Mtokens"], {"budget.tokens": 2_000_000}),
        (["1.5mtokens"], {"budget.tokens": 1_500_000}),
        (["20usd"], {"budget.money": 20.0}),
        (["0.5EUR"], {"budget.money": 0.5}),
        (["2kmoney", "7requests"], {"budget.money": 2000.0, "budget.requests": 7}),
        (["none"], {"budget.requests": 0, "budget.tokens": 0, "budget.money": 0}),
        ([], {}),
    ],
)
def test_a_budget_is_an_amount_and_a_unit(said: list[str], changes: dict[str, Any]) -> None:
    assert read_budget(said) == changes


@pytest.mark.parametrize(
    "said", ["5000", "tokens", "2Mtoken", "0requests", "-3usd", "1.5requests", "7req", "20 dollars"]
)
def test_what_is_no_budget_is_told(said: str) -> None:
    with pytest.raises(InputError, match="--budget"):
        read_budget([said])


def test_money_needs_prices() -> None:
    with pytest.raises(InputError, match=r"needs prices: set engine\.price_prompt"):
        limits(Recipe().override({"budget.money": 20}))
    priced = Recipe().override({"budget.money": 20, "engine.price_completion": 0.6})
    assert limits(priced) == Amount(0, 0, 20 * MONEY)
    assert limits(Recipe()) is None


def test_a_judge_without_an_engine_of_its_own_costs_what_sampling_costs() -> None:
    priced = Recipe().override({"engine.price_prompt": 0.15, "engine.price_completion": 0.6})
    assert prices(priced) == {"sampling": Price(150_000, 600_000), "judging": Price(150_000, 600_000)}
    local = priced.override({"judge.engine": "openai:http://localhost:8000/v1"})
    assert prices(local)["judging"] == Price(0, 0)
    assert prices(priced.override({"judge.price_prompt": 2}))["judging"] == Price(2_000_000, 0)


def test_a_budget_and_prices_are_no_part_of_what_is_asked() -> None:
    spec = load_judge("helpfulness")
    other = Recipe().override({"budget.tokens": 9, "engine.price_prompt": 3, "judge.price_prompt": 4})
    assert other.asks() == Recipe().asks()
    assert fingerprint(other, Detector(), spec) == fingerprint(Recipe(), Detector(), spec)


# -- the purse


def test_what_does_not_fit_waits_for_what_is_in_flight_and_is_refused_only_then() -> None:
    async def use() -> None:
        purse = Purse(Amount(tokens=100))
        assert await purse.take(Amount(tokens=60))
        waiting = [asyncio.create_task(purse.take(Amount(tokens=need))) for need in (60, 90)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        assert await purse.take(Amount(tokens=40))  # what fits does not wait behind what does not
        purse.settle(Amount(tokens=60), Amount(tokens=10))
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [False, False]  # 10 + 40 held + 60
        purse.settle(Amount(tokens=40), Amount(tokens=20))
        assert await waiting[0]
        assert purse.refused == ""
        purse.settle(Amount(tokens=60), Amount(tokens=5))
        assert await waiting[1] is False  # 35 are spent, nothing is in flight, 90 are too much
        assert purse.refused.startswith("budget: 35 of 100 tokens spent, and the next request may take 90; raise")
        assert await purse.take(Amount(tokens=65))
        assert purse.spent == Amount(tokens=35)

    asyncio.run(use())


def test_who_stops_waiting_holds_nothing_back() -> None:
    async def use() -> None:
        purse = Purse(Amount(requests=1))
        assert await purse.take(Amount(requests=1))
        waiting = asyncio.create_task(purse.take(Amount(requests=1)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        late = asyncio.create_task(purse.take(Amount(requests=1)))
        await asyncio.sleep(0)
        purse.settle(Amount(requests=1), Amount())
        late.cancel()  # it was let through in the same moment
        await asyncio.gather(late, return_exceptions=True)
        assert await asyncio.wait_for(purse.take(Amount(requests=1)), 60)

    asyncio.run(use())


class Server:
    """What an account asks of a server engine: how many choices one request may ask for, None before it is known."""

    choices_at_once: int | None = None


def test_choices_asked_singly_are_paid_singly(tmp_path: Path) -> None:
    request = Request(messages=[{"role": "user", "content": "1234"}], n=5, max_tokens=10, temperature=1)
    answers = [Completion(content="", prompt_tokens=7, completion_tokens=3)] * 5
    with Ledger.open(tmp_path) as ledger:
        server: Any = Server()
        account = Account(Purse(Amount(tokens=10**6)), ledger, "sampling", "m", Price(1, 2), server)
        prompt = 4 + 16 + 128
        assert account.worst(request) == Amount(5, 5 * prompt + 50, 5 * prompt + 100)  # it may turn out not to know n
        assert account.real(answers) == Spent("sampling", "m", 1, 7, 15, 1, 2)
        assert account.worst(request) == Amount(1, prompt + 50, prompt + 100)
        server.choices_at_once = 2
        assert account.real(answers) == Spent("sampling", "m", 3, 21, 15, 1, 2)
        assert account.worst(request) == Amount(3, 3 * prompt + 50, 3 * prompt + 100)


def test_the_projection_takes_this_sessions_pace_for_what_is_left() -> None:
    purse = Purse(None, Amount(10, 1000, 0))
    assert purse.projected(through=0, left=10) is None
    purse.spent = Amount(16, 1600, 0)
    assert purse.projected(through=2, left=6) == Amount(16 + 18, 1600 + 1800, 0)
    limited = Purse(Amount(requests=100), Amount())
    limited.spent = Amount(1, 50, 0)
    assert limited.told(through=1, left=9) == "1 of 100 requests, ~10 in all"
    assert purse.told(through=2, left=6) == ""
    priced = Purse(None, Amount(), priced=True)
    priced.spent = Amount(1, 50, MONEY // 2)
    assert priced.told(through=1, left=1) == "0.5 money, ~1 in all"


# -- whole runs


@settings(max_examples=30, deadline=None)
@given(
    prompts=st.integers(1, 8),
    concurrency=st.integers(1, 6),
    unit=st.sampled_from(["requests", "tokens", "money"]),
    share=st.floats(0.01, 1.1),
    seed=st.integers(0, 9),
)
def test_a_budget_is_never_passed_and_used_as_far_as_anything_fits(
    prompts: int, concurrency: int, unit: str, share: float, seed: int
) -> None:
    asked = questions(prompts)
    with tempfile.TemporaryDirectory() as folder:
        script = write_script(Path(folder, "script.jsonl"), latency=0.0005)
        base = recipe(script, engine__price_prompt=1.0, engine__price_completion=3.0, sampling__seed=seed)
        whole = build_prefs(asked, base, out=Path(folder, "whole"))
        total = as_amount(whole.summary["spent"])
        most = dict(zip(Amount._fields, total, strict=True))[unit] * share
        value: float = most / MONEY if unit == "money" else max(1, int(most))
        held = base.override({f"budget.{unit}": value, "engine.concurrency": concurrency})
        run = build_prefs(asked, held, out=Path(folder, "run"))
        spent, limit = as_amount(run.summary["spent"]), limits(held)
        assert limit is not None
        k = Amount._fields.index(unit)
        assert spent[k] <= limit[k]
        judge_prompt = 2500  # bytes of a judge's prompt, and what is held back beside them
        largest = Amount(1, judge_prompt + 5 * 16, 1_000_000 * judge_prompt + 3_000_000 * 5 * 16)
        if run.summary["prompts"]["missing"]:
            assert run.summary["stopped"].startswith("budget: ")
            assert limit[k] - spent[k] < largest[k], "there was room for one more request"
        else:
            assert run.summary["stopped"] is None
        assert run.status().spent == run.summary["spent"]
        done = build_prefs(asked, base, out=Path(folder, "run"))
        assert (done.summary["prompts"]["missing"], done.summary["stopped"]) == (0, None)
        assert as_amount(done.summary["spent"]) == total, "nothing was paid twice"
        assert tables(Path(folder, "run")) == tables(Path(folder, "whole"))


def as_amount(spent: dict[str, Any]) -> Amount:
    tokens = spent["prompt_tokens"] + spent["completion_tokens"]
    return Amount(spent["requests"], tokens, round(spent["money"] * MONEY))


def test_what_a_whole_run_spends_is_known_to_the_token(tmp_path: Path) -> None:
    script = write_script(tmp_path / "script.jsonl")
    run = build_prefs(
        ["1234567"], recipe(script, engine__price_prompt=1, engine__price_completion=2), out=tmp_path / "run"
    )
    stages = run.summary["spent"]["by_stage"]
    sampled = sum(len(text) // 4 + 1 for text in SAMPLES) + len("the greedy one") // 4 + 1
    assert stages["sampling"] == {
        "requests": 2,
        "prompt_tokens": 2 * 2,
        "completion_tokens": sampled,
        "money": (4 + 2 * sampled) / 1e6,
    }
    assert stages["judging"]["requests"] == stages["judging"]["completion_tokens"] == 6
    assert run.summary["spent"]["requests"] == 8
    assert run.summary["spent"]["budget"] is None


def test_another_judges_spending_keeps_its_own_price(tmp_path: Path) -> None:
    script = write_script(tmp_path / "script.jsonl")
    own = {"judge.engine": f"scripted:{script}", "judge.model": "dear", "judge.price_completion": 1000.0}
    build_prefs(["What?"], recipe(script).override(own), out=tmp_path / "run")
    cheap = recipe(script).override(own | {"judge.model": "cheap", "judge.price_completion": 1.0})
    spent = build_prefs(["What?"], cheap, out=tmp_path / "run").summary["spent"]
    assert spent["by_stage"]["judging"]["requests"] == 12
    assert spent["money"] == pytest.approx(6 * 1000 / 1e6 + 6 * 1 / 1e6, abs=0)


@pytest.mark.slow
def test_a_killed_run_has_paid_for_exactly_the_answers_on_disk(tmp_path: Path) -> None:
    script = write_script(tmp_path / "script.jsonl", latency=0.01)
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(200))
    arguments = [
        "build-prefs",
        prompts,
        "--engine",
        f"scripted:{script}",
        "--concurrency",
        4,
        "--out",
        tmp_path / "run",
    ]

    def answered() -> int:
        if not (tmp_path / "run" / "ledger.sqlite").exists():
            return 0
        with Ledger.read(tmp_path / "run") as ledger:
            return ledger.tally()["answers"] if ledger.has_answers() else 0

    for far in (50, 300, 700):
        with Running(*arguments) as process:
            assert process.wait_until(lambda far=far: (tmp_path / "run").exists() and safely(answered) >= far)
            process.kill()
        with Ledger.read(tmp_path / "run") as ledger:
            spent = {row.stage: row for row in ledger.spending()}
        connection = sqlite3.connect(tmp_path / "run" / "ledger.sqlite")
        texts = [json.loads(text) for (text,) in connection.execute("SELECT answer FROM answers")]
        connection.close()
        judged = [answer for answer in texts if answer["content"] == "4"]
        greedy = [answer for answer in texts if answer["content"] == "the greedy one"]
        first = [answer for answer in texts if answer["content"] == SAMPLES[0]]  # one in every request for samples
        assert (spent["judging"].requests, spent["sampling"].requests) == (len(judged), len(greedy) + len(first))
        assert spent["judging"].prompt_tokens == sum(answer["prompt_tokens"] for answer in judged)
        assert spent["sampling"].prompt_tokens == sum(answer["prompt_tokens"] for answer in greedy + first)
        paid = spent["judging"].completion_tokens + spent["sampling"].completion_tokens
        assert paid == sum(answer["completion_tokens"] for answer in texts)


def safely(count: Any) -> int:
    """0 while the file is being made."""
    try:
        return int(count())
    except Exception:
        return 0


def shown(table: str) -> str:
    """The words of a table, without its frame."""
    return " ".join(table.replace("│", " ").split())


def test_the_command_stops_says_so_and_goes_on_with_more(tmp_path: Path) -> None:
    script = write_script(tmp_path / "script.jsonl")
    prompts, run_dir = write_prompts(tmp_path / "prompts.jsonl", questions(10)), tmp_path / "run"
    arguments = ["build-prefs", prompts, "--engine", f"scripted:{script}", "--max-tokens", 16, "--out", run_dir]
    done = loopguard(*arguments, "--budget", "20requests")
    assert done.returncode == 3, done.stderr
    assert "budget: 20 of 20 requests spent" in shown(done.stdout)
    assert "raise --budget to go on" in done.stderr
    assert (run_dir / "preferences.parquet").exists()
    words = shown(loopguard("status", run_dir).stdout)
    assert "20 requests" in words
    assert "(budget: 20 requests)" in words
    assert json.loads(loopguard("status", run_dir, "--json").stdout)["spent"]["budget"] == {"requests": 20}
    again = loopguard(*arguments[:2], "--out", run_dir)  # the budget is in the run's recipe
    assert (again.returncode, open_run(run_dir).summary["spent"]["requests"]) == (3, 20)
    more = loopguard(*arguments, "--budget", "1krequests")
    assert more.returncode == 0, more.stderr
    assert open_run(run_dir).summary["spent"]["requests"] == 80
    lifted = loopguard(*arguments[:2], "--out", run_dir, "--budget", "none")
    assert lifted.returncode == 0
    assert open_run(run_dir).summary["spent"]["budget"] is None


def test_wrong_budgets_are_one_line(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(2))
    script = write_script(tmp_path / "script.jsonl")
    for option, said in (("20usd", "needs prices"), ("20", "an amount and its unit")):
        for more in ([], ["--dry-run"]):
            arguments = ["build-prefs", prompts, "--engine", f"scripted:{script}", "--out", tmp_path / "run"]
            done = loopguard(*arguments, "--budget", option, *more)
            assert done.returncode == 1
            assert done.stderr.count("\n") == 1
            assert said in done.stderr


def test_a_dry_run_says_what_it_would_cost(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", ["x" * 400])
    arguments = ["build-prefs", prompts, "--engine", "openai:http://127.0.0.1:9/v1", "--max-tokens", 100, "--dry-run"]
    arguments += ["--set", "engine.price_prompt=1", "--set", "engine.price_completion=10", "--out", tmp_path / "run"]
    found = json.loads(loopguard(*arguments, "--json").stdout)
    prompt_tokens = found["sampling_prompt_tokens"] + found["judge_prompt_tokens"]
    sampled = found["sampling_completion_tokens"] + found["judge_requests"] * 16
    assert found["money_at_most"] == (prompt_tokens + 10 * sampled) / 1e6
    assert f"money     at most about {found['money_at_most']:.4g}," in loopguard(*arguments).stdout


# -- ledgers from before spending was kept


def test_an_old_ledger_opens_and_counts_every_answer_as_a_request(tmp_path: Path) -> None:
    script, asked = write_script(tmp_path / "script.jsonl"), questions(3)
    build_prefs(asked[:2], recipe(script), out=tmp_path / "run")
    whole = build_prefs(asked, recipe(script), out=tmp_path / "whole")
    connection = sqlite3.connect(tmp_path / "run" / "ledger.sqlite")
    connection.executescript("DROP TABLE spending; DELETE FROM meta WHERE name IN ('prompts', 'tables')")
    (answers,) = connection.execute("SELECT count(*) FROM answers").fetchone()
    texts = [json.loads(text) for (text,) in connection.execute("SELECT answer FROM answers")]
    connection.close()
    assert open_run(tmp_path / "run").status().spent["requests"] == 0  # reading changes nothing
    with Ledger.open(tmp_path / "run") as ledger:
        prompt_tokens, sampled = (sum(a[k] for a in texts) for k in ("prompt_tokens", "completion_tokens"))
        assert ledger.spending() == [Spent("sampling", "", answers, prompt_tokens, sampled, 0, 0)]
    run = build_prefs(asked, recipe(script), out=tmp_path / "run")
    assert run.summary["this_session"]["sampling"]["requests"] == 2
    assert run.summary["spent"]["requests"] == answers + 8
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")
    assert whole.summary["spent"]["requests"] == 24
