"""Bad servers, bad judges, bad recipes, bad folders, end to end: what the user reads, and what the run directory holds."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from loopguard import Recipe, Run, build_prefs
from loopguard.errors import InputError
from tests.fake_server import FakeServer, serve
from tests.prefs.commands import Running, keys_of, loopguard, questions, recorded, tables, write_prompts

KEY = "sk-a-very-secret-key-0123456789"


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return write_prompts(tmp_path / "prompts.jsonl", questions(6))


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def port_of(server: FakeServer) -> int:
    return int(server.url.split(":")[2].split("/")[0])


def recipe(engine: str, **changes: Any) -> Recipe:
    return Recipe().override({"engine.engine": engine, "engine.max_retries": 1, "sampling.max_tokens": 100} | changes)


def refused_in_one_line(done: Any, *parts: str) -> None:
    """Exit 1 and one line that says all of `parts`; no traceback, no key."""
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("loopguard: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stdout == ""
    for part in parts:
        assert part in done.stderr
    assert KEY not in done.stderr


def assert_no_work_was_done(run_dir: Path) -> None:
    assert not run_dir.exists() or {path.name for path in run_dir.iterdir()} <= {"ledger.sqlite", ".lock"}


# -- before any work


def test_no_server(prompts: Path, closed_port: int, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{closed_port}/v1"
    for model in ([], ["--model", "some-model"]):
        done = loopguard("build-prefs", prompts, "--engine", f"openai:{url}", *model, "--out", tmp_path / "run")
        refused_in_one_line(done, url, "Connection refused")
        assert_no_work_was_done(tmp_path / "run")


@pytest.mark.parametrize(
    ("how", "options", "said"),
    [
        ("path", [], "/v2"),
        ("key", [], "refuses the key in OPENAI_API_KEY"),
        ("no key", ["--api-key-env", "NO_SUCH_VARIABLE"], "wants a key and NO_SUCH_VARIABLE is not set"),
        ("model", ["--model", "no-such-model"], "no-such-model"),
    ],
)
def test_a_server_that_cannot_be_used(how: str, options: list[str], said: str, prompts: Path, tmp_path: Path) -> None:
    with serve(key="right" if "key" in how else "") as server:
        url = server.url.replace("/v1", "/v2") if how == "path" else server.url
        arguments = ["build-prefs", prompts, "--engine", f"openai:{url}", *options, "--out", tmp_path / "run"]
        refused_in_one_line(loopguard(*arguments, OPENAI_API_KEY=KEY), url, said)
        assert_no_work_was_done(tmp_path / "run")
        assert server.answered == 0


def test_after_a_mistake_in_the_models_name_the_right_one_goes_ahead(prompts: Path, tmp_path: Path) -> None:
    with serve() as server:
        arguments = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--out", tmp_path / "run", "--model"]
        refused_in_one_line(loopguard(*arguments, "fake-modle"), "fake-modle", "it serves fake-model")
        assert loopguard(*arguments, "fake-model").returncode == 0


def test_a_judge_that_is_not_there_is_noticed_before_anything_is_sampled(
    prompts: Path, closed_port: int, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{closed_port}/v1"
    with serve() as server:
        arguments = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--judge-engine", f"openai:{url}"]
        for model in ([], ["--judge-model", "big-judge"]):
            refused_in_one_line(loopguard(*arguments, *model, "--out", tmp_path / "run"), url)
        assert server.requests == []
    assert_no_work_was_done(tmp_path / "run")


# -- in the middle


@pytest.mark.parametrize("fault", ["500", "hang", "cut", "cut_before", "empty_choices", "null", "invalid_json"])
def test_what_fails_is_retried_recorded_and_asked_again_by_the_next_run(
    fault: str, prompts: Path, tmp_path: Path
) -> None:
    with serve([f"{fault},contains=Question 3"]) as server:
        port, engine = port_of(server), f"openai:{server.url}"
        changes = {"engine.timeout": 3} if fault == "hang" else {}
        run = build_prefs(prompts, recipe(engine, **changes), out=tmp_path / "run")
        tries = Counter(json.dumps(entry["body"]) for entry in server.requests if entry["fault"])
        assert len(tries) == 2, "the samples and the greedy one"
        assert set(tries.values()) == {2}, "once more, as max_retries says"
        assert run.summary["prompts"]["failed"] == 1
        assert run.summary["prompts"]["missing"] == 0
        (failed,) = run.skipped.filter(run.skipped["status"] == "failed").to_dicts()
        assert failed["reason"] == "not_answered"
        assert failed["prompt"][0]["content"].startswith("Question 3")
        assert server.url in failed["detail"]
        assert run.status().failed == 1
        kept = recorded(tmp_path / "run")
    with serve(port=port) as server:
        again = build_prefs(prompts, recipe(engine), out=tmp_path / "run")
        assert all("Question 3" in str(entry["body"]["messages"]) for entry in server.requests)
        assert not kept & set().union(*(keys_of(entry["body"]) for entry in server.requests))
        assert again.summary["prompts"]["failed"] == 0
        assert again.status().failed == 0
        build_prefs(prompts, recipe(engine), out=tmp_path / "whole")
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


def test_the_command_says_3_when_a_prompt_failed_and_0_when_it_was_made_up_for(prompts: Path, tmp_path: Path) -> None:
    with serve(["500,contains=Question 3,words=out of memory"]) as server:
        port = port_of(server)
        arguments = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--set", "engine.max_retries=0"]
        arguments += ["--out", tmp_path / "run"]
        done = loopguard(*arguments)
        assert done.returncode == 3
        assert "1 prompt failed, 0 not asked yet" in done.stdout
        assert done.stderr.splitlines()[-1].startswith("to go on: loopguard build-prefs ")
        detail = Run(tmp_path / "run").skipped.filter(status="failed")["detail"].to_list()
        assert "out of memory" in detail[0]
    with serve(port=port):
        assert loopguard(*arguments).returncode == 0


def die_in_the_middle(
    arguments: list[object], run_dir: Path, dying: FakeServer, stack: ExitStack, *, after: int
) -> str:
    """Run until `dying`, which hangs then, was asked more than `after` times, close it, and return what the run says at its end."""
    with Running(*arguments, run_dir) as process:
        assert process.wait_until(lambda: len(dying.requests) > after), process.stderr()
        stack.close()
        code, stderr = process.end(), process.stderr()
    assert code == 3, stderr
    assert "Traceback" not in stderr
    assert "to go on: loopguard build-prefs " in stderr
    counts = Run(run_dir).summary["prompts"]
    assert counts["missing"] > 0
    assert counts["with_pairs"] + counts["skipped"] > 0
    return stderr


@pytest.mark.slow
@pytest.mark.parametrize("who", ["sampler", "judge"])
def test_a_server_that_dies_in_the_middle_ends_the_run_in_good_order(who: str, tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(40))
    with serve() as staying, ExitStack() as stack:
        dying = stack.enter_context(serve(["hang,after=30"]))
        url, port = dying.url, port_of(dying)
        sampler, judge = (dying, staying) if who == "sampler" else (staying, dying)
        arguments = ["build-prefs", prompts, "--engine", f"openai:{sampler.url}", "--concurrency", 2]
        arguments += ["--judge-engine", f"openai:{judge.url}", "--set", "judge.concurrency=2"]
        arguments += ["--set", "engine.patience=1", "--set", "judge.patience=1", "--out"]
        stderr = die_in_the_middle(arguments, tmp_path / "run", dying, stack, after=30)
        assert f"loopguard: no server at {url}: Connection refused" in stderr
        kept = recorded(tmp_path / "run")
        with serve(port=port) as back:
            again = loopguard(*arguments, tmp_path / "run")
            assert again.returncode == 0, again.stderr
            assert not kept & set().union(*(keys_of(entry["body"]) for entry in back.requests))
            assert loopguard(*arguments, tmp_path / "whole").returncode == 0
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


def test_a_server_that_only_fails_any_more_is_left_alone_after_a_while(tmp_path: Path) -> None:
    prompts = [*(f"Well {k}" for k in range(4)), *questions(100)]
    with serve(["500,contains=Question"]) as server:
        changes = {"engine.max_retries": 0, "engine.concurrency": 2}
        run = build_prefs(prompts, recipe(f"openai:{server.url}", **changes), out=tmp_path / "run")
        asked = {entry["body"]["messages"][0]["content"] for entry in server.requests if entry["fault"]}
    assert 20 <= len(asked) < 60
    counts = run.summary["prompts"]
    assert counts["with_pairs"] + counts["skipped"] == 4
    assert counts["failed"] >= 20
    assert counts["missing"] == 100 - counts["failed"]
    assert "prompts in a row failed; the last: " in run.summary["stopped"]


# -- judges


def test_nonsense_from_the_judge_is_never_a_score(prompts: Path, tmp_path: Path) -> None:
    judge = tmp_path / "judge.jsonl"
    judge.write_text(
        json.dumps({"greedy": "I would rather not say.", "samples": ["10/10, give it 5!", '{"score": 11}']})
    )
    with serve() as server:
        changes = {"judge.engine": f"scripted:{judge}"}
        run = build_prefs(prompts, recipe(f"openai:{server.url}", **changes), out=tmp_path / "run")
    assert run.preferences.height == 0
    assert run.candidates["score"].null_count() == run.candidates.height
    clean = run.candidates.filter(looping=False)
    assert clean.height > 6
    assert all(error.startswith("no score in 3 replies: ") for error in clean["judge_error"])
    assert run.skipped["reason"].to_list() == ["unscored"] * 6
    assert set(run.skipped["status"]) == {"skipped"}
    assert all(detail.startswith("no score in 3 replies: ") for detail in run.skipped["detail"])
    assert run.summary["prompts"]["failed"] == 0


def test_a_judge_that_fails_for_one_prompt_is_asked_again_about_that_prompt_only(prompts: Path, tmp_path: Path) -> None:
    with serve() as sampler, ExitStack() as stack:
        broken = stack.enter_context(serve(["500,contains=Question 2"]))
        port = port_of(broken)
        changes = {"judge.engine": f"openai:{broken.url}", "judge.max_retries": 0}
        run = build_prefs(prompts, recipe(f"openai:{sampler.url}", **changes), out=tmp_path / "run")
        assert run.skipped.filter(status="failed")["reason"].to_list() == ["not_answered"]
        assert run.candidates.filter(prompt_id=run.skipped.filter(status="failed")["prompt_id"][0]).height == 6
        stack.close()
        asked = len(sampler.requests)
        with serve(port=port) as mended:
            again = build_prefs(prompts, recipe(f"openai:{sampler.url}", **changes), out=tmp_path / "run")
            assert mended.requests
            assert all("Question 2" in str(entry["body"]["messages"]) for entry in mended.requests)
        assert again.summary["prompts"]["failed"] == 0
        assert len(sampler.requests) == asked


# -- folders and recipes


def test_an_out_that_cannot_be_a_folder(prompts: Path, tmp_path: Path) -> None:
    with serve() as server:
        out = prompts / "below"
        done = loopguard("build-prefs", prompts, "--engine", f"openai:{server.url}", "--out", out)
        refused_in_one_line(done, str(out), "cannot be written", "pass an --out")
        assert server.requests == []


def test_a_second_process_on_the_same_run(prompts: Path, tmp_path: Path) -> None:
    with serve(["hang"]) as server:
        arguments = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--out", tmp_path / "run"]
        with Running(*arguments) as first:
            assert first.wait_until(lambda: server.requests), first.stderr()
            refused_in_one_line(loopguard(*arguments), str(tmp_path / "run"), "another process works in this run")
            status = loopguard("status", tmp_path / "run", "--json")
            assert json.loads(status.stdout)["missing"] == 6
            assert first.alive()


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ("[sampling]\nsample = 3\n", ["unknown key 'sampling.sample'", "did you mean sampling.samples"]),
        ("[sampling]\nmax_tokens = 0\n", ["sampling.max_tokens", "greater than or equal to 1", "(seen: 0)"]),
        ("[sampling]\ntemperature = 0\n", ["sampling.temperature", "a number above 0 and up to 5"]),
        ("[sampling\n", ["not valid TOML", "line 1"]),
        ('[judge]\nspec = "kindness"\n', ["no judge named 'kindness'", "conciseness, helpfulness, reasoning"]),
        ("[detector]\nno_such_threshold = 3\n", ["detector", "no_such_threshold"]),
    ],
)
def test_a_recipe_that_is_wrong(toml: str, parts: list[str], prompts: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(toml)
    done = loopguard("build-prefs", prompts, "--pipeline", path, "--out", tmp_path / "run")
    refused_in_one_line(done, *parts)
    assert str(path) in done.stderr or not toml.startswith("[sampling")
    assert_no_work_was_done(tmp_path / "run")


def test_a_run_with_other_samples_says_what_differs(prompts: Path, tmp_path: Path) -> None:
    with serve() as server:
        arguments = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--out", tmp_path / "run"]
        assert loopguard(*arguments, "--max-tokens", 100).returncode == 0
        before, asked = tables(tmp_path / "run"), len(server.requests)
        done = loopguard(*arguments, "--max-tokens", 100, "--temperature", 0.5, "--seed", 3)
        refused_in_one_line(done, "sampling.temperature was 0.8, is now 0.5", "sampling.seed was 0, is now 3", "--out")
        assert len(server.requests) == asked
        assert loopguard(*arguments).returncode == 0, "without a recipe, the run's own"
        assert len(server.requests) == asked
    assert tables(tmp_path / "run") == before


def test_other_pairs_or_another_judge_cost_no_samples(prompts: Path, tmp_path: Path) -> None:
    with serve() as server:
        first = recipe(f"openai:{server.url}", **{"pairing.max_pairs_per_prompt": 1})
        pairs = build_prefs(prompts, first, out=tmp_path / "run").preferences.height
        asked = len(server.requests)
        more = first.override({"pairing.max_pairs_per_prompt": 5, "pairing.min_margin": 0.0})
        again = build_prefs(prompts, more, out=tmp_path / "run")
        assert len(server.requests) == asked
        assert again.preferences.height > pairs
        brief = build_prefs(prompts, first.override({"judge.spec": "conciseness"}), out=tmp_path / "run")
        new = server.requests[asked:]
        assert new
        assert all("top_logprobs" in entry["body"] for entry in new)
        assert brief.summary["this_session"]["sampling"]["requests"] == 0
        with pytest.raises(InputError, match=r"sampling\.samples was 5, is now 4"):
            build_prefs(prompts, first.override({"sampling.samples": 4}), out=tmp_path / "run")


# -- secrets


def test_the_key_is_in_no_file_and_in_no_output(prompts: Path, tmp_path: Path) -> None:
    with serve([f"500,contains=Question 2,words=the key {KEY} is fine but I am not"], key=KEY) as server:
        arguments = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--set", "engine.max_retries=0"]
        done = loopguard(*arguments, "--out", tmp_path / "run", OPENAI_API_KEY=KEY)
        assert done.returncode == 3
        assert server.answered > 0
    assert KEY not in done.stdout + done.stderr
    detail = Run(tmp_path / "run").skipped.filter(status="failed")["detail"][0]
    assert "[key] is fine" in detail
    for path in (tmp_path / "run").rglob("*"):
        assert KEY.encode() not in path.read_bytes(), path.name


@pytest.mark.parametrize("address", ["http://me:{}@127.0.0.1:9/v1", "http://127.0.0.1:9/v1?api_key={}"])
@pytest.mark.parametrize("option", ["--engine", "--judge-engine", "recipe"])
def test_a_secret_in_an_address_is_refused_and_not_repeated(
    option: str, address: str, prompts: Path, tmp_path: Path
) -> None:
    engine = f"openai:{address.format(KEY)}"
    if option == "recipe":
        (tmp_path / "mine.toml").write_text(f'[engine]\nengine = "{engine}"\n')
        given = ["--pipeline", tmp_path / "mine.toml"]
    else:
        given = ["--engine", "scripted:/dev/null", option, engine]
    done = loopguard("build-prefs", prompts, *given, "--out", tmp_path / "run")
    refused_in_one_line(done, "environment variable")
    assert_no_work_was_done(tmp_path / "run")
