"""The server engine against a real HTTP server, when all goes well: n, seeds, logprobs, schemas, reasoning, usage."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from loopguard.engines import Completion, Engine, EngineOptions, Request, open_engine
from tests.fake_server import FakeServer, serve

QUESTION = [{"role": "user", "content": "Where does the river go?"}]
FIVE = Request(messages=QUESTION, temperature=0.8, seed=11, n=5, max_tokens=200)
JUDGE = Request(messages=[{"role": "user", "content": "Rate from 1 to 5: because"}], max_tokens=4, top_logprobs=20)
SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}


def using(server: FakeServer, use: Callable[[Engine], Awaitable[Any]], **options: Any) -> Any:
    """What `use` returns, given a started engine on the server."""

    async def main() -> Any:
        engine = open_engine(f"openai:{server.url}", EngineOptions(**options))
        try:
            await engine.start()
            return await use(engine)
        finally:
            await engine.close()

    return asyncio.run(main())


def ask(server: FakeServer, *requests: Request, **options: Any) -> list[list[Completion]]:
    """The answers to requests asked one after the other."""

    async def use(engine: Engine) -> list[list[Completion]]:
        return [await engine.ask(request) for request in requests]

    found: list[list[Completion]] = using(server, use, **options)
    return found


def test_one_request_brings_five_choices_in_order() -> None:
    with serve() as server:
        (five,) = ask(server, FIVE)
        assert [entry["body"]["n"] for entry in server.requests] == [5]
        singles = ask(server, *(replace(FIVE, n=1, seed=11 + k) for k in range(5)))
        assert [single.content for (single,) in singles] == [choice.content for choice in five]
        assert len({choice.content for choice in five}) == 5


def test_the_request_carries_what_was_asked_and_nothing_else() -> None:
    with serve() as server:
        ask(server, replace(FIVE, n=1), Request(messages=QUESTION), extra_body={"top_k": 7})
        first, second = (entry["body"] for entry in server.requests)
    assert first == {
        "model": "fake-model",
        "messages": QUESTION,
        "temperature": 0.8,
        "top_p": 1.0,
        "max_tokens": 200,
        "seed": 11,
        "top_k": 7,
    }
    assert set(second) == {"model", "messages", "temperature", "top_p", "max_tokens", "top_k"}


@pytest.mark.parametrize("n", ["ignore", "refuse"])
def test_a_server_without_n_is_asked_singly_and_that_is_remembered(n: str) -> None:
    with serve() as whole, serve(n=n) as server:
        (wanted,) = ask(whole, FIVE)
        first, second = ask(server, FIVE, FIVE)
        assert [c.content for c in first] == [c.content for c in second] == [c.content for c in wanted]
        asked = [entry["body"].get("n", 1) for entry in server.requests]
        assert asked == ([5] + [1] * 4 if n == "ignore" else [5] + [1] * 5) + [1] * 5


def test_n_refused_with_a_500_that_names_it() -> None:
    with serve(n="refuse_500") as server:
        (five,) = ask(server, FIVE, max_retries=0)
        assert len(five) == 5


def test_a_server_with_a_largest_n_is_asked_in_parts() -> None:
    with serve() as whole, serve(n="2") as server:
        (parts,), (once,) = ask(server, FIVE), ask(whole, FIVE)
        assert [choice.content for choice in parts] == [choice.content for choice in once]
        assert [entry["body"].get("n", 1) for entry in server.requests] == [5, 2, 2, 1]


def test_greedy_requests_never_send_n() -> None:
    with serve() as server:
        ((one, two),) = ask(server, replace(FIVE, temperature=0.0, n=2))
        assert one.content == two.content
        assert ["n" in entry["body"] for entry in server.requests] == [False, False]


def test_first_logprobs() -> None:
    with serve() as server:
        ((scored,), (bare,)) = ask(server, JUDGE, replace(JUDGE, top_logprobs=0))
    assert bare.first_logprobs is None
    assert scored.first_logprobs is not None
    assert set(scored.first_logprobs) == set("12345")
    assert max(scored.first_logprobs, key=lambda label: scored.first_logprobs[label]) == scored.content


def test_a_nonce_does_not_change_the_fake_judge() -> None:
    def judged(nonce: str) -> Request:
        return replace(JUDGE, messages=[{"role": "user", "content": f"Rate 1 to 5 what is in <{nonce}>"}])

    with serve() as server:
        one, two = ask(server, judged("0123456789abcdef"), judged("fedcba9876543210"))
    assert one == two


@pytest.mark.parametrize(
    ("refuses", "request_", "missing"),
    [
        (("seed",), replace(FIVE, n=1), "seed"),
        (("logprobs",), JUDGE, "top_logprobs"),
        (("top_logprobs",), JUDGE, "logprobs"),
        (("response_format",), replace(JUDGE, top_logprobs=0, json_schema=SCHEMA), "response_format"),
        (("seed", "top_logprobs", "response_format"), replace(JUDGE, seed=1, json_schema=SCHEMA), "seed"),
    ],
)
def test_a_field_refused_by_name_is_left_out_and_that_is_remembered(
    refuses: tuple[str, ...], request_: Request, missing: str
) -> None:
    with serve(refuses=refuses) as server:
        first, second = ask(server, request_, request_)
        assert first == second
        assert first[0].content
        assert first[0].first_logprobs is None
        sent = [entry["body"] for entry in server.requests]
        assert len(sent) == len(refuses) + 2
        assert missing in sent[0]
        assert missing not in sent[-1]
        assert not {"logprobs", "top_logprobs"} & set(sent[-1]) or "logprobs" not in "".join(refuses)


def test_max_tokens_under_its_new_name() -> None:
    with serve(refuses=("max_tokens",)) as server:
        first, second = ask(server, FIVE, FIVE)
        assert len(first) == len(second) == 5
        assert [entry["status"] for entry in server.requests] == [400, 200, 200]


def test_fewer_logprobs_where_the_server_has_a_limit() -> None:
    with serve(most_logprobs=3) as server:
        ((first,), _) = ask(server, JUDGE, JUDGE)
        assert [entry["body"]["top_logprobs"] for entry in server.requests] == [20, 3, 3]
        assert first.first_logprobs is not None
        assert len(first.first_logprobs) == 3


def test_a_schema_is_sent_strict() -> None:
    with serve() as server:
        ((answer,),) = ask(server, replace(JUDGE, top_logprobs=0, json_schema=SCHEMA))
        assert answer.content.startswith('{"score": ')
        wanted = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA}}
        assert server.requests[0]["body"]["response_format"] == wanted


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_kept(name: str) -> None:
    with serve(reasoning=name) as server:
        (five,) = ask(server, FIVE)
    assert all(choice.reasoning.startswith("Let me think:") and choice.content for choice in five)


def test_tokens_of_each_choice() -> None:
    with serve() as total, serve(usage="first") as first, serve(usage="none") as none:
        ((exact,),) = ask(total, replace(FIVE, n=1))
        llama, silent = ask(first, FIVE)[0], ask(none, FIVE)[0]
    true = [len(choice.content.split()) for choice in llama]
    assert exact.prompt_tokens == 5
    assert exact.completion_tokens == llama[0].completion_tokens == true[0]
    assert all(abs(choice.completion_tokens - count) <= 0.3 * count for choice, count in zip(llama, true, strict=True))
    assert {choice.completion_tokens for choice in silent} == {0}


def test_the_total_is_shared_out() -> None:
    with serve() as server:
        (five,) = ask(server, FIVE)
    true = [len(choice.content.split()) for choice in five]
    assert sum(choice.completion_tokens for choice in five) == sum(true)
    assert all(abs(choice.completion_tokens - count) <= 0.3 * count for choice, count in zip(five, true, strict=True))


def test_no_more_in_flight_than_allowed() -> None:
    async def use(engine: Engine) -> None:
        await asyncio.gather(*(engine.ask(replace(FIVE, seed=k)) for k in range(30)))

    for n in ("full", "refuse"):
        with serve(latency=0.01, n=n) as server:
            using(server, use, concurrency=4)
            assert server.most_in_flight == 4


def test_start_once_under_many_callers_and_again_after_close() -> None:
    async def use(engine: Engine) -> None:
        await asyncio.gather(*(engine.start() for _ in range(10)))
        assert engine.model == "fake-model"
        assert len(await engine.ask(FIVE)) == 5
        await engine.close()
        await engine.close()
        assert len(await engine.ask(FIVE)) == 5  # it starts by itself

    with serve() as server:
        using(server, use)
        assert server.answered == 2


def test_one_engine_in_two_event_loops() -> None:
    async def once(engine: Engine) -> int:
        found = await asyncio.gather(*(engine.ask(FIVE) for _ in range(5)))
        await engine.close()
        return sum(map(len, found))

    with serve(latency=0.01) as server:
        engine = open_engine(f"openai:{server.url}", EngineOptions(concurrency=2))
        assert [asyncio.run(once(engine)) for _ in range(2)] == [25, 25]
