"""The capability probe against servers that can more or less: what is found, what it costs, and that it fails nothing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from loopguard.engines import Engine, EngineOptions, open_engine
from loopguard.engines.probe import PROBE_TIMEOUT, Capabilities
from loopguard.engines.server import ServerEngine
from tests.engines.test_server import FIVE, JUDGE, SCHEMA, ask, using
from tests.fake_server import FakeServer, serve

VLLM = {"owner": "vllm", "token_ids": "offer", "context": 4096}


def probe(server: FakeServer, **options: Any) -> Capabilities:
    """What the probe finds, its time left out."""

    async def use(engine: Engine) -> Capabilities:
        assert isinstance(engine, ServerEngine)
        return replace(await engine.probe(), probed="")

    found: Capabilities = using(server, use, **options)
    return found


PLAIN = Capabilities(n=True, seed=True, top_logprobs=5, json_schema=True, token_ids=False, reasoning=False)


@pytest.mark.parametrize(
    ("given", "expected", "line"),
    [
        ({}, PLAIN, "n, seed, 5 logprobs, json_schema; no token ids, reasoning"),
        (
            VLLM,
            replace(PLAIN, software="vllm 0.99.1", context=4096, token_ids=True),
            "vllm 0.99.1: n, seed, 5 logprobs, json_schema, token ids; no reasoning; context 4096",
        ),
        (
            {"owner": "llamacpp", "context": 512},
            replace(PLAIN, software="llama.cpp b1234-abc", context=512),
            "llama.cpp b1234-abc: n, seed, 5 logprobs, json_schema; no token ids, reasoning; context 512",
        ),
        (
            {"n": "ignore", "schemas": "ignore", "reasoning": "reasoning_content"},
            replace(PLAIN, n=False, json_schema=False, reasoning=True),
            "seed, 5 logprobs, reasoning; no n, json_schema, token ids",
        ),
        ({"n": "refuse"}, replace(PLAIN, n=False), "seed, 5 logprobs, json_schema; no n, token ids, reasoning"),
        (
            {"most_logprobs": 3},
            replace(PLAIN, top_logprobs=3),
            "n, seed, 3 logprobs, json_schema; no token ids, reasoning",
        ),
        (
            {"refuses": ("seed", "top_logprobs", "response_format", "return_token_ids", "max_tokens")},
            Capabilities(
                n=True,
                seed=False,
                top_logprobs=0,
                json_schema=False,
                token_ids=False,
                reasoning=False,
                refuses=("logprobs", "max_tokens", "response_format", "seed", "top_logprobs"),
            ),
            "n; no seed, logprobs, json_schema, token ids, reasoning",
        ),
    ],
)
def test_what_servers_can_do(given: dict[str, Any], expected: Capabilities, line: str) -> None:
    with serve(**given) as server:
        found = probe(server)
        assert found == expected
        assert found.line() == line
        assert Capabilities.from_dict(found.as_dict()) == found
        assert server.requests == []


def test_a_probe_is_four_small_requests_at_one_time() -> None:
    with serve(latency=1) as server:
        began = time.monotonic()
        probe(server)
        assert len(server.probes) == 4
        assert server.most_in_flight == 4
        assert sum(entry["body"].get("n", 1) * entry["body"]["max_tokens"] for entry in server.probes) == 50
        assert time.monotonic() - began < PROBE_TIMEOUT


def test_what_a_probe_found_is_kept_to() -> None:
    async def use(engine: Engine) -> None:
        assert isinstance(engine, ServerEngine)
        await engine.probe()
        for request in (FIVE, JUDGE, replace(JUDGE, top_logprobs=0, json_schema=SCHEMA)):
            await engine.ask(request)

    with serve(n="ignore", refuses=("response_format", "seed"), token_ids="offer") as server:
        using(server, use)
        bodies = [entry["body"] for entry in server.requests]
        assert len(bodies) == 5 + 1 + 1, "nothing is refused any more"
        assert not any({"n", "seed", "response_format"} & set(body) for body in bodies)
        assert [body.get("return_token_ids", False) for body in bodies] == [True] * 5 + [False] * 2


def test_token_ids_are_asked_for_where_they_are_offered() -> None:
    async def use(engine: Engine) -> None:
        assert isinstance(engine, ServerEngine)
        (before,) = await engine.ask(replace(FIVE, n=1))
        assert before.token_ids is None
        known = await engine.probe()
        five = await engine.ask(FIVE)
        assert [len(choice.token_ids or ()) for choice in five] == [choice.completion_tokens for choice in five]
        assert all(choice.token_ids for choice in five)
        fresh = open_engine(f"openai:{server.url}", EngineOptions())
        assert isinstance(fresh, ServerEngine)
        fresh.use(known)
        try:
            assert await fresh.ask(FIVE) == five
        finally:
            await fresh.close()

    with serve(**VLLM) as server:
        using(server, use)


def test_a_probe_that_lied_is_made_up_for_by_what_is_refused() -> None:
    async def use(engine: Engine) -> None:
        assert isinstance(engine, ServerEngine)
        engine.use(replace(PLAIN, token_ids=True))
        assert len(await engine.ask(FIVE)) == 5
        assert len(await engine.ask(FIVE)) == 5

    with serve(n="2", refuses=("return_token_ids", "seed")) as server:
        using(server, use)
        assert [entry["status"] for entry in server.requests].count(400) == 3


@pytest.mark.parametrize("fault", ["500", "429", "hang", "cut", "null", "html", "401", "404"])
def test_a_probe_that_fails_fails_nothing_else(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopguard.engines.probe.PROBE_TIMEOUT", 0.3)

    async def use(engine: Engine) -> None:
        assert isinstance(engine, ServerEngine)
        assert replace(await engine.probe(), probed="") == Capabilities()
        assert len(await engine.ask(FIVE)) == 5

    with serve([f"{fault},probes=1,retry_after=0.1"]) as server:
        using(server, use)


def test_no_probe_without_being_asked_for_one() -> None:
    with serve() as server:
        ask(server, FIVE)
        assert server.probes == []


def test_several_probes_do_not_disturb_each_other() -> None:
    async def use(engine: Engine) -> None:
        assert isinstance(engine, ServerEngine)
        found = await asyncio.gather(*(engine.probe() for _ in range(3)))
        assert {replace(one, probed="") for one in found} == {PLAIN}

    with serve() as server:
        using(server, use, concurrency=1)
