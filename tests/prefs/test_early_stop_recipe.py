"""early_stop and engine_args in a recipe: what they may be, what they change of requests and keys, what the summary says."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from loopguard import Recipe, build_prefs
from loopguard.engines import Completion, Request
from loopguard.errors import InputError, RecipeError
from loopguard.prefs.build import prompts_in_flight
from loopguard.prefs.continuing import hold_against
from loopguard.prefs.keys import digest_messages, request_key
from loopguard.prefs.ledger import answer_from_text, answer_to_text
from loopguard.prefs.recipe import EarlyStop, EngineSection, JudgeSection, parse_recipe
from loopguard.prefs.sampling import draws
from loopguard.records import Prompt
from tests.fake_server import serve

PROMPT = Prompt.make("Hi")
THREE = {"max_pattern_size": 30, "min_pattern_size": 20, "min_count": 5}


def key(request: Request) -> str:
    return request_key("m", request, {}, messages_digest=digest_messages(request.messages)).hex()


def test_a_key_from_before_early_stop_still_holds() -> None:
    """The hexadecimal digits were written down before the field was there."""
    request = Request(messages=[{"role": "user", "content": "Hi"}], temperature=0.8, top_p=0.95, max_tokens=100, seed=7)
    assert key(request) == "7be8f9edbdb0a20bb0155d9fa6c0d7e3"
    stopping = Request(messages=request.messages, temperature=0.8, top_p=0.95, max_tokens=100, seed=7, early_stop=THREE)
    assert key(stopping) != key(request)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (False, None),
        (True, {"max_pattern_size": 128, "min_pattern_size": 64, "min_count": 6}),
        (THREE, THREE),
        ({"min_count": 9}, {"max_pattern_size": 128, "min_pattern_size": 64, "min_count": 9}),
    ],
)
def test_early_stop_goes_into_every_sampling_request(given: Any, sent: dict[str, int] | None) -> None:
    recipe = Recipe().override({"sampling.early_stop": given})
    assert [draw.request.early_stop for draw in draws(PROMPT, recipe.sampling)] == [sent, sent]
    again = parse_recipe(tomllib.loads(recipe.to_toml()), where="again")
    assert again == recipe
    assert ("sampling.early_stop" in recipe.asks()) is bool(given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            3,
            "sampling.early_stop: true, false, or a table with max_pattern_size, min_pattern_size, min_count (seen: 3)",
        ),
        ({"min_cuont": 3}, "sampling.early_stop: unknown key 'min_cuont'; did you mean min_count?"),
        ({"min_count": 1}, "sampling.early_stop: min_count: Input should be greater than or equal to 2 (seen: 1)"),
        ({"min_pattern_size": 300}, "sampling.early_stop: min_pattern_size is at most max_pattern_size"),
    ],
)
def test_an_early_stop_that_cannot_be(given: Any, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe().override({"sampling.early_stop": given}, where="mine.toml")
    assert str(caught.value) == f"mine.toml: {words}"


def test_a_run_with_early_stop_is_none_without(tmp_path: Path) -> None:
    """Whichever of the two came first."""
    plain, stopping = Recipe(), Recipe().override({"sampling.early_stop": THREE})
    with pytest.raises(InputError, match=r"sampling.early_stop was False, is now \{'max_pattern_size': 30"):
        hold_against(plain, stopping, tmp_path)
    with pytest.raises(InputError, match=r"sampling.early_stop was \{'max_pattern_size': 30.*\}, is now False"):
        hold_against(stopping, plain, tmp_path)
    hold_against(stopping, stopping, tmp_path)


def test_an_engine_that_cannot_stop_early_says_so(tmp_path: Path) -> None:
    recipe = Recipe().override({"sampling.early_stop": True, "judge.spec": "none"})
    with pytest.raises(InputError, match=r"early_stop needs vLLM .*, not embedded"):
        build_prefs(["Hi"], recipe, out=tmp_path / "run")


def test_a_server_is_asked_with_the_field_that_vllm_serves(tmp_path: Path) -> None:
    with serve() as server:
        recipe = Recipe().override(
            {"engine.engine": f"openai:{server.url}", "judge.spec": "none", "sampling.early_stop": THREE}
        )
        run = build_prefs(["Hi"], recipe, out=tmp_path / "run")
        assert {tuple(entry["body"]["repetition_detection"].items()) for entry in server.requests} == {
            tuple(THREE.items())
        }
    assert run.summary["early_stop"] == {"outputs": 0, "tokens_saved_at_most": 0}


@pytest.mark.parametrize("section", ["engine", "judge"])
def test_engine_args_are_for_vllm_alone(section: str) -> None:
    with pytest.raises(RecipeError, match=rf"^mine: {section}: engine_args are vLLM's: they need an engine vllm:MODEL"):
        parse_recipe({section: {"engine": "openai:http://a/v1", "engine_args": {"dtype": "half"}}}, where="mine")
    with pytest.raises(RecipeError, match="fields that JSON has words for"):
        parse_recipe({section: {"engine": "vllm:a/b", "engine_args": {"x": float("nan")}}}, where="mine")


def test_engine_args_reach_the_engine_and_stay_in_the_recipe() -> None:
    recipe = parse_recipe({"engine": {"engine": "vllm:a/b", "engine_args": {"max_model_len": 512}}}, where="mine")
    assert recipe.engine.options().engine_args == {"max_model_len": 512}
    assert parse_recipe(tomllib.loads(recipe.to_toml()), where="again") == recipe
    assert "engine_args" not in str(recipe.asks()), "how a model is run, not what it is asked"
    more = recipe.override({"engine.engine_args.dtype": "half"})
    assert more.engine.engine_args == {"max_model_len": 512, "dtype": "half"}


def test_a_judge_on_the_same_vllm_has_its_arguments() -> None:
    sampling = EngineSection(engine="vllm:a/b", engine_args={"max_model_len": 512})
    body = {"chat_template_kwargs": {"enable_thinking": False}}
    judge = JudgeSection(engine="vllm:a/b", extra_body=body).engine_section(sampling)
    assert (judge.engine_args, judge.extra_body) == (sampling.engine_args, body)
    assert JudgeSection(engine="vllm:c/d").engine_section(sampling).engine_args == {}
    assert JudgeSection(engine="vllm:a/b", engine_args={"dtype": "half"}).engine_section(sampling).engine_args == {
        "dtype": "half"
    }


@pytest.mark.parametrize(("args", "prompts"), [({}, 1153), ({"max_num_seqs": 256}, 289), ({"max_num_seqs": 1}, 2)])
def test_vllm_has_a_prompt_for_each_of_its_places(args: dict[str, Any], prompts: int) -> None:
    """So that it is full even when each prompt waits for one last choice."""
    engine = {"engine": "vllm:a/b", "engine_args": args}
    assert prompts_in_flight(parse_recipe({"engine": engine}, where="mine")) == prompts


def test_the_reason_of_a_stop_is_kept_and_old_answers_are_read() -> None:
    answer = Completion(
        content="a a a", finish_reason="repetition", stop_reason="repetition_detected", token_ids=[1, 1]
    )
    assert answer_from_text(answer_to_text(answer)) == answer
    old = '{"content":"x","finish_reason":"stop","prompt_tokens":1,"completion_tokens":2}'
    assert answer_from_text(old) == Completion(content="x", prompt_tokens=1, completion_tokens=2)
    assert answer_to_text(answer_from_text(old)) == old


def test_the_default_of_early_stop_covers_every_period_up_to_its_largest() -> None:
    stop = EarlyStop()
    sizes = range(stop.min_pattern_size, stop.max_pattern_size + 1)
    assert all(any(size % period == 0 for size in sizes) for period in range(1, stop.max_pattern_size + 1))
    assert (stop.min_count - 1) * stop.min_pattern_size >= 300
