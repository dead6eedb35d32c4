"""The vllm engine against the real vLLM: samples and seeds, log-probabilities, JSON, early stop, sharing, refusals, death."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest

from loopguard import detect
from loopguard.engines import Completion, EngineOptions, Request, open_engine
from loopguard.errors import ContextTooLong, EngineError, EngineUnavailable, InputError
from loopguard.prefs.recipe import EarlyStop
from tests.vllm.conftest import ARGS, Shared, all_gone, processes_of_vllm

RAIN = [{"role": "user", "content": "Write a poem in which every verse is about rain."}]
SUM = [{"role": "user", "content": "What is 2 + 2? Answer with one digit."}]


def request(messages: Any = SUM, **given: Any) -> Request:
    return Request(messages=messages, **{"max_tokens": 12} | given)


@pytest.fixture(scope="module")
def answers(shared: Shared) -> list[list[Completion]]:
    """One request for three samples, the same three alone, one greedy: all at one time."""
    alone = [request(temperature=0.9, top_p=0.95, seed=40 + k) for k in range(3)]
    asked = [request(temperature=0.9, top_p=0.95, seed=40, n=3), *alone, request(seed=43)]

    async def ask() -> list[list[Completion]]:
        return list(await asyncio.gather(*(shared.engine.ask(one) for one in asked)))

    return shared.run(ask())


def test_choice_k_is_what_a_single_request_with_seed_plus_k_gives(answers: list[list[Completion]]) -> None:
    together, alone = answers[0], [found for (found,) in answers[1:4]]
    assert [choice.token_ids for choice in together] == [choice.token_ids for choice in alone]
    assert len({tuple(choice.token_ids or ()) for choice in together}) == 3


def test_what_a_completion_holds(answers: list[list[Completion]]) -> None:
    for (choice, *_), most in zip(answers, [12] * 5, strict=True):
        assert choice.content
        assert choice.token_ids is not None
        assert choice.completion_tokens == len(choice.token_ids) <= most
        assert choice.finish_reason == ("length" if choice.completion_tokens == most else "stop")
        assert choice.prompt_tokens == 43, "chat template, with the system message that it brings along"
        assert (choice.stop_reason, choice.reasoning, choice.first_logprobs) == (None, "", None)


def test_the_same_again_gives_the_same(shared: Shared, answers: list[list[Completion]]) -> None:
    assert shared.run(shared.engine.ask(request(seed=43))) == answers[4]


def test_first_logprobs_are_natural_and_of_the_likeliest(shared: Shared) -> None:
    (choice,) = shared.run(shared.engine.ask(request(top_logprobs=20, max_tokens=3)))
    assert choice.first_logprobs is not None
    assert len(choice.first_logprobs) == 20
    assert 0.3 < sum(map(math.exp, choice.first_logprobs.values())) < 1.0
    likeliest = max(choice.first_logprobs, key=lambda token: choice.first_logprobs[token])  # type: ignore[index]
    assert choice.content.startswith(likeliest)


def test_json_is_constrained_to_its_schema(shared: Shared) -> None:
    score = {"type": "integer", "enum": [3, 4]}
    schema = {"type": "object", "properties": {"score": score}, "required": ["score"], "additionalProperties": False}
    (choice,) = shared.run(shared.engine.ask(request(json_schema=schema, max_tokens=60)))
    assert json.loads(choice.content)["score"] in (3, 4)


def test_early_stop_ends_a_real_loop_and_leaves_enough_of_it(shared: Shared) -> None:
    stop = EarlyStop().model_dump()
    (choice,) = shared.run(shared.engine.ask(request(RAIN, max_tokens=900, early_stop=stop)))
    assert (choice.finish_reason, choice.stop_reason) == ("repetition", "repetition_detected")
    assert 6 * 64 <= choice.completion_tokens < 6 * 128 + 100
    verdict = detect(choice.content)
    assert verdict.looping
    assert verdict.terminal


def test_a_prompt_longer_than_the_context_fails_alone(shared: Shared) -> None:
    long = [{"role": "user", "content": "word " * 2000}]

    async def ask() -> list[Any]:
        work = (shared.engine.ask(one) for one in (request(long), request()))
        return list(await asyncio.gather(*work, return_exceptions=True))

    error, answer = shared.run(ask())
    assert isinstance(error, ContextTooLong)
    assert "maximum context length is 1024 tokens" in str(error)
    assert "\n" not in str(error)
    assert answer[0].content


def test_an_answer_ends_where_the_context_does(shared: Shared) -> None:
    nearly = [{"role": "user", "content": "word " * 970}]
    (choice,) = shared.run(shared.engine.ask(request(nearly, max_tokens=500)))
    assert choice.finish_reason in ("length", "stop")
    assert choice.prompt_tokens + choice.completion_tokens <= 1024


def test_a_schema_that_is_none_is_an_error_of_that_request(shared: Shared) -> None:
    with pytest.raises(EngineError, match=r"^vllm:\S+: Grammar error"):
        shared.run(shared.engine.ask(request(json_schema={"type": "nonsense"})))
    assert shared.run(shared.engine.ask(request()))


def test_engines_of_the_same_model_share_it(shared: Shared) -> None:
    """And each asks with its own extra_body: further sampling parameters, and variables of the chat template."""
    body = {"chat_template_kwargs": {"add_generation_prompt": False}, "min_tokens": 12}
    judge = shared.beside(extra_body=body, timeout=300.0, concurrency=3)
    before = processes_of_vllm()
    (choice,) = shared.run(judge.ask(request()))
    assert choice.prompt_tokens == 39, "no opening of the answer"
    assert choice.completion_tokens == 12
    assert processes_of_vllm() == before
    shared.run(judge.close())
    assert shared.run(shared.engine.ask(request())), "closing one leaves the other"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"topk": 3}, "extra_body: vLLM knows no 'topk'; did you mean top_k"),
        ({"max_tokens": 3}, "extra_body: 'max_tokens' is set by loopguard itself"),
    ],
)
def test_an_unknown_sampling_parameter_is_told_with_near_names(
    shared: Shared, body: dict[str, Any], words: str
) -> None:
    engine = shared.beside(extra_body=body)
    with pytest.raises(InputError, match=words.replace("?", r"\?")):
        shared.run(engine.start())
    shared.run(engine.close())


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        (
            {"max_model_length": 5},
            InputError,
            "engine_args: vLLM knows no 'max_model_length'; did you mean max_model_len",
        ),
        ({"model": "other"}, InputError, "engine_args: 'model' is set by loopguard itself"),
        ({"max_model_len": 100_000}, EngineUnavailable, "cannot be loaded: User-specified max_model_len"),
        ({"dtype": "floaty"}, EngineUnavailable, "cannot be loaded: dtype: Input should be 'auto'"),
    ],
)
def test_arguments_that_vllm_does_not_take(
    checkpoint: Path, given: dict[str, Any], kind: type[Exception], words: str
) -> None:
    engine = open_engine(f"vllm:{checkpoint}", EngineOptions(engine_args=given))
    with pytest.raises(kind) as caught:
        asyncio.run(engine.start())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_no_memory_for_the_model_is_one_line_with_the_cause(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "900")
    engine = open_engine(f"vllm:{checkpoint}", EngineOptions(engine_args=ARGS))
    with pytest.raises(EngineUnavailable, match="memory") as caught:
        asyncio.run(engine.start())
    assert "\n" not in str(caught.value)
    assert "See root cause" not in str(caught.value)


def test_a_model_without_a_chat_template_cannot_be_asked(checkpoint: Path, tmp_path: Path) -> None:
    for path in checkpoint.iterdir():
        if path.name != "chat_template.jinja":
            (tmp_path / path.name).symlink_to(path)
    engine = open_engine(f"vllm:{tmp_path}", EngineOptions(engine_args=ARGS))
    with pytest.raises(InputError, match="has no chat template that can be used"):
        asyncio.run(engine.start())


def test_an_engine_that_dies_ends_the_run_in_one_line(shared: Shared) -> None:
    """The last test of this file: it kills the engine that the others share."""

    processes = processes_of_vllm()

    async def die() -> BaseException:
        asked = asyncio.create_task(shared.engine.ask(request(RAIN, temperature=1.0, seed=1, max_tokens=900, n=4)))
        await asyncio.sleep(1)
        next(one for one in processes if one.name().startswith("VLLM::EngineCor")).kill()
        (error,) = await asyncio.gather(asked, return_exceptions=True)
        assert isinstance(error, BaseException)
        return error

    error = shared.run(die())
    assert isinstance(error, EngineUnavailable)
    assert "died: its process ended without a word: killed, or out of memory (its log: " in str(error)
    with pytest.raises(EngineUnavailable):
        shared.run(shared.engine.ask(request()))
    shared.run(shared.engine.close())
    assert all_gone(processes)
