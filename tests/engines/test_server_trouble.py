"""The server engine against a server that misbehaves: what is retried, what is recorded, what stops the run."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from loopguard.engines import Engine, EngineOptions, Request, open_engine
from loopguard.engines.server import ServerEngine
from loopguard.errors import ContextTooLong, EngineError, EngineUnavailable, InputError
from tests.engines.test_server import FIVE, QUESTION, ask, using
from tests.fake_server import serve

ONE = replace(FIVE, n=1)
KEY = "sk-very-secret-1234"


def start(url: str, **options: Any) -> str:
    """The model that `start` settles on."""

    async def main() -> str:
        engine = open_engine(url, EngineOptions(**options))
        try:
            await engine.start()
            return engine.model
        finally:
            await engine.close()

    return asyncio.run(main())


@pytest.mark.parametrize(
    "fault",
    [
        *(f"{status},first=1,retry_after=0.01" for status in (408, 409, 429, 500, 502, 503, 504)),
        *(f"{kind},first=1" for kind in ("cut", "cut_before", "empty_choices", "no_choices", "null")),
        *(f"{kind},first=1" for kind in ("invalid_json", "truncated_json", "html", "error_200")),
    ],
)
def test_trouble_that_passes(fault: str) -> None:
    with serve() as well, serve([fault]) as server:
        assert ask(server, FIVE, max_retries=1) == ask(well, FIVE)
        assert [entry["answered"] for entry in server.requests] == [False, True]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("500,retry_after=0.01,words=out of <b>memory", "HTTP 500: out of <b>memory"),
        ("502,retry_after=0.01", "HTTP 502: scripted 502"),
        ("cut", "cut in mid-answer"),
        ("cut_before", "the connection was cut before an answer came"),
        ("empty_choices", "an answer without choices"),
        ("error_200", "an answer without choices: upstream failed, 502"),
        ("null", "a choice with content null (finish_reason 'stop')"),
        ("invalid_json", "an answer that is no JSON: {'choices': oops"),
        ("html", "an answer that is no JSON: <html><body>Welcome"),
    ],
)
def test_trouble_that_stays_is_an_error_for_that_request_only(fault: str, words: str) -> None:
    async def use(engine: Engine) -> None:
        with pytest.raises(EngineError) as caught:
            await engine.ask(replace(ONE, messages=[{"role": "user", "content": "poison"}]))
        assert type(caught.value) is EngineError
        text = str(caught.value)
        assert text.startswith(server.url)
        assert words in text
        assert "(3 tries)" in text
        assert "\n" not in text
        assert len(text) < 450
        assert len(await engine.ask(FIVE)) == 5

    with serve([f"{fault},contains=poison"]) as server:
        using(server, use, max_retries=2)
        assert [entry["answered"] for entry in server.requests] == [False, False, False, True]


def test_a_server_that_hangs_is_asked_once_more() -> None:
    async def use(engine: Engine) -> None:
        with pytest.raises(EngineError, match=r"no answer in time \(2 tries\)"):
            await engine.ask(ONE)

    with serve(["hang,first=2"]) as server:
        using(server, use, timeout=1, max_retries=6)
        assert len(server.requests) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_costs_no_tries_but_patience(status: int) -> None:
    async def patient(engine: Engine) -> None:
        assert len(await engine.ask(FIVE)) == 5  # turned away ten times

    async def soon_tired(engine: Engine) -> None:
        with pytest.raises(
            EngineError, match=rf"HTTP {status}: scripted {status}, invalid_request_error \(\d+ tries\)"
        ) as caught:
            await engine.ask(replace(ONE, messages=[{"role": "user", "content": "poison"}]))
        assert type(caught.value) is EngineError
        assert len(await engine.ask(FIVE)) == 5

    with serve([f"{status},first=10,retry_after=0.01", f"{status},contains=poison,retry_after=0.01"]) as server:
        using(server, patient, max_retries=0)
        assert [entry["answered"] for entry in server.requests] == [False] * 10 + [True]
        using(server, soon_tired, max_retries=0, patience=0.5)


def test_without_patience_a_busy_server_is_asked_once() -> None:
    with serve(["429"]) as server:
        with pytest.raises(EngineError, match=r"HTTP 429: scripted 429, invalid_request_error \(1 try\)"):
            ask(server, ONE, patience=0)
        assert len(server.requests) == 1


def test_no_money_is_not_waited_for() -> None:
    with serve(["429,words=You exceeded your current quota"]) as server:
        with pytest.raises(EngineUnavailable, match="exceeded your current quota"):
            ask(server, ONE)
        assert len(server.requests) == 1


def test_all_failures_of_a_request_draw_on_one_budget() -> None:
    with serve(["500,every=2,retry_after=0.01", "null"]) as server:
        with pytest.raises(EngineError, match=r"\(4 tries\)"):
            ask(server, ONE, max_retries=3)
        assert len(server.requests) == 4


def test_retry_after_is_honoured_by_every_request() -> None:
    async def use(engine: Engine) -> None:
        await asyncio.gather(*(engine.ask(replace(ONE, seed=k)) for k in range(8)))

    with serve(["429,first=1,retry_after=1"]) as server:
        using(server, use, concurrency=2)
        first, *others = (entry["time"] for entry in server.requests)
    assert len(others) == 8
    assert sum(when - first >= 1.0 for when in others) >= 7, "but one that was on its way already"


def test_a_long_retry_after_is_waited_for_and_one_knows_that_it_waits() -> None:
    async def use(engine: Engine) -> None:
        asking = asyncio.create_task(engine.ask(ONE))
        await until(lambda: isinstance(engine, ServerEngine) and engine.stalled)
        await asyncio.sleep(0.2)
        assert len(server.requests) == 1
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    with serve(["429,first=1,retry_after=300"]) as server:
        using(server, use)


def test_a_retry_after_of_hours_stops_the_run_and_says_so() -> None:
    with serve(["429,retry_after=7200"]) as server:
        with pytest.raises(EngineUnavailable, match=r"asks to wait 7200 s, more than the 600 s .* scripted 429"):
            ask(server, ONE)
        assert len(server.requests) == 1


def test_choices_before_a_null_one_are_kept() -> None:
    with serve() as well, serve(["null_rest"]) as server:
        (first,) = ask(server, FIVE)
        assert len(first) == 1
        assert first[0].content == ask(well, FIVE)[0][0].content


def test_single_requests_keep_what_stands_before_a_failure() -> None:
    with serve(["500,every=4,retry_after=0.01"], n="ignore") as server:
        (found,) = ask(server, FIVE, max_retries=0, concurrency=1)
        assert len(found) == 3


def test_lone_surrogates_become_replacement_characters() -> None:
    with serve(["surrogate"]) as server:
        ((answer,),) = ask(server, ONE)
        assert answer.content == "lone \ufffd pair \N{GRINNING FACE}"
        with pytest.raises(EngineError, match="lone surrogates"):
            ask(server, replace(ONE, messages=[{"role": "user", "content": "\ud800"}]))


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 100 tokens. However, your request has 120 input tokens.",
        "The input is longer than the model's context length",
        "request (10031 tokens) exceeds the available context size (4096 tokens), try increasing it",
        "Requested token count exceeds the model's maximum context length of 100 tokens.",
        "prompt is too long: 9000 tokens",
    ],
)
def test_a_prompt_that_is_too_long(words: str) -> None:
    with serve([f"400,words={words}".replace(", ", "; ")]) as server:
        with pytest.raises(ContextTooLong, match=r"does not fit the model's context: "):
            ask(server, ONE)
        assert len(server.requests) == 1


def test_context_of_a_real_length() -> None:
    with serve(context=50) as server:
        with pytest.raises(ContextTooLong, match=r"request \(60 tokens\) exceeds"):
            ask(server, replace(ONE, messages=[{"role": "user", "content": "word " * 60}]))
        (found,) = ask(server, FIVE)  # 5 + 200 tokens: asked again with what room there is, as if cut by length
        assert len(found) == 5
        assert server.requests[-1]["body"]["max_tokens"] == 45


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_in_mid_run_what_no_other_request_could_mend_stops_the_run(status: int) -> None:
    with serve([f"{status}"]) as server:
        with pytest.raises(EngineUnavailable, match=f"scripted {status}"):
            ask(server, ONE)
        assert len(server.requests) == 1


def test_a_prompt_refused_by_moderation_stops_only_itself() -> None:
    with serve(["403,words=input flagged by moderation"]) as server, pytest.raises(EngineError) as caught:
        ask(server, ONE)
    assert type(caught.value) is EngineError


class Server:
    """A server that can go and come back at the same address."""

    def __init__(self, faults: list[str] | tuple[str, ...] = (), **given: Any) -> None:
        self.faults, self.given = faults, given
        self.asked: list[dict[str, Any]] = []
        self.come()
        self.url = self.server.url
        self.given["port"] = int(self.url.split(":")[2].split("/")[0])

    def come(self) -> None:
        self.context = serve(self.faults, **self.given)
        self.server = self.context.__enter__()

    def go(self) -> None:
        self.context.__exit__(None, None, None)
        self.asked += self.server.requests


async def until(true: Callable[[], object]) -> None:
    """Wait for something; four minutes at most."""
    async with asyncio.timeout(240):
        while not true():
            await asyncio.sleep(0.01)


def test_a_server_that_goes_away_for_good() -> None:
    async def use(engine: Engine) -> None:
        assert await engine.ask(ONE)
        await asyncio.to_thread(server.go)
        said = r"no server at http://127.0.0.1:\d+/v1: Connection refused \(waited 1 s for it to come back\)"
        found = await asyncio.gather(*(engine.ask(ONE) for _ in range(20)), return_exceptions=True)
        for error in found:
            assert isinstance(error, EngineUnavailable)
            assert re.fullmatch(said, str(error))
        with pytest.raises(EngineUnavailable, match=said):
            await engine.ask(ONE)

    server = Server()
    using(server.server, use, patience=1, max_retries=0)


def test_after_the_wait_the_user_reads_how_the_server_is_now_not_how_the_request_was_lost() -> None:
    async def use(engine: Engine) -> None:
        asking = asyncio.create_task(engine.ask(ONE))
        await until(lambda: server.server.requests)
        await asyncio.to_thread(server.go)  # cuts the request in flight
        with pytest.raises(EngineUnavailable) as caught:
            await asking
        said = f"no server at {server.url}: Connection refused (waited 1 s for it to come back)"
        assert str(caught.value) == said

    server = Server(["hang"])
    using(server.server, use, patience=1, max_retries=0)


def test_a_server_that_comes_back_but_is_not_ready_is_what_the_user_reads() -> None:
    async def use(engine: Engine) -> None:
        asking = asyncio.create_task(engine.ask(ONE))
        await until(lambda: server.server.requests)
        await asyncio.to_thread(server.go)
        server.given["list_status"] = 503
        server.come()
        with pytest.raises(EngineUnavailable) as caught:
            await asking
        said = f"{server.url}: HTTP 503: no list here, invalid_request_error (waited 2 s for it to come back)"
        assert str(caught.value) == said

    server = Server(["hang"])
    using(server.server, use, patience=2, max_retries=0)
    server.go()


def test_a_connection_that_closes_before_the_request_is_written_is_told_in_plain_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What aiohttp calls "Cannot write to closing transport": the server went between the choice of a connection and its use."""
    write = aiohttp.http_writer.StreamWriter.write

    async def closed(self: Any, chunk: bytes, **given: Any) -> None:
        if b"messages" in bytes(chunk):
            self.transport.close()
        await write(self, chunk, **given)

    async def use(engine: Engine) -> None:
        monkeypatch.setattr(aiohttp.http_writer.StreamWriter, "write", closed)
        with pytest.raises(EngineError) as caught:
            await engine.ask(ONE)
        assert str(caught.value) == f"{server.url}: the connection was cut before an answer came (2 tries)"

    with serve() as server:
        using(server, use, max_retries=1)
        assert server.requests == []


def test_a_server_that_comes_back_loses_nothing_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopguard.engines.delivery.TELL", 0.1)
    told: list[str] = []

    async def use(engine: Engine) -> None:
        assert isinstance(engine, ServerEngine)
        engine.tell(told.append)
        asking = [asyncio.create_task(engine.ask(replace(ONE, seed=k))) for k in range(40)]
        await until(lambda: len(server.server.requests) >= 12)
        await asyncio.to_thread(server.go)  # with requests in flight
        await until(lambda: engine.stalled and told)
        server.come()
        assert [len(found) for found in await asyncio.gather(*asking)] == [1] * 40

    server = Server(latency=0.2)
    using(server.server, use, max_retries=0, concurrency=8)
    server.go()
    (line,) = told
    assert re.fullmatch(
        r"the server at http\S+ does not answer since \d+ s; waiting up to 300 s \(engine\.patience\) "
        r"for it to come back; Ctrl-C stops",
        line,
    )
    answered = [entry["body"]["seed"] for entry in server.asked if entry["answered"]]
    assert sorted(answered) == list(range(40)), "each once"


# --- start: before any work


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    began = time.monotonic()
    with pytest.raises(EngineUnavailable, match=f"no server at {url}: Connection refused"):
        start(f"openai:{url}")
    assert time.monotonic() - began < EngineOptions().patience / 2, "it was waited for"


def test_no_such_host() -> None:
    with pytest.raises(EngineUnavailable, match=r"no server at http://no-such-host\.invalid/v1: .+"):
        start("openai:http://no-such-host.invalid/v1")


def test_tls_where_there_is_none() -> None:
    with serve() as server, pytest.raises(EngineUnavailable, match=r"no server at https://.*(?i:ssl)"):
        start(f"openai:{server.url.replace('http:', 'https:')}")


def test_a_host_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopguard.engines.handshake.LIST_TIMEOUT", 1.0)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        with pytest.raises(EngineUnavailable, match=r"no answer in time \(2 tries\)"):
            start(f"openai:http://127.0.0.1:{mute.getsockname()[1]}/v1")


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_that_is_not_ready(status: int) -> None:
    with serve(list_status=status) as server, pytest.raises(EngineUnavailable, match=f"HTTP {status}: no list here"):
        start(f"openai:{server.url}")


def test_a_key_that_is_refused_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    with serve(key="another") as server:
        engine = open_engine(f"openai:{server.url}", EngineOptions(api_key_env="SOME_KEY"))
        with pytest.raises(
            EngineUnavailable, match="refuses the key in SOME_KEY: Incorrect API key provided"
        ) as caught:
            asyncio.run(engine.start())
    assert KEY not in f"{caught.value} {engine!r} {engine.spec} {vars(engine.__class__)}"


def test_a_key_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serve(key=KEY) as server, pytest.raises(EngineUnavailable, match="OPENAI_API_KEY is not set"):
        start(f"openai:{server.url}")


def test_a_key_that_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    with serve(key=KEY) as server:
        assert start(f"openai:{server.url}") == "fake-model"


def test_a_key_that_no_header_can_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "päss\nword")
    with pytest.raises(InputError, match="OPENAI_API_KEY") as caught:
        open_engine("openai:http://localhost/v1")
    assert "word" not in str(caught.value)


def test_the_only_model_is_taken_and_of_several_one_must_be_named() -> None:
    with serve() as server:
        assert start(f"openai:{server.url}") == "fake-model"
    with serve(models=("a", "b")) as server:
        assert start(f"openai:{server.url}", model="b") == "b"
        assert server.requests == []
        with pytest.raises(EngineUnavailable, match="serves a, b: name one of them"):
            start(f"openai:{server.url}")


def test_a_model_that_is_not_listed_is_tried() -> None:
    with serve(aliases=("nick",)) as server:
        assert start(f"openai:{server.url}", model="nick") == "nick"
        with pytest.raises(EngineUnavailable, match=r"`other` does not exist.*; it serves fake-model"):
            start(f"openai:{server.url}", model="other")
        assert [entry["body"]["max_tokens"] for entry in server.requests] == [1, 1]


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_a_list(status: int) -> None:
    with serve(list_status=status) as server:
        assert start(f"openai:{server.url}", model="fake-model") == "fake-model"
        with pytest.raises(EngineUnavailable, match="does not say which models it serves: name the model"):
            start(f"openai:{server.url}")


def test_v1_forgotten() -> None:
    with serve() as server:
        bare = server.url.removesuffix("/v1")
        for model in ("", "fake-model"):
            with pytest.raises(EngineUnavailable, match=f"an address that ends in /v1: {server.url}"):
                start(f"openai:{bare}", model=model)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "localhost:8000/v1",
        "http://",
        "ftp://host/v1",
        "http://host:port/v1",
        "http://[::1/v1",
        "http://host/v1?key=secret",
        "http://user:secret@host/v1",
        "http://host/v 1",
        "http://host/v1/chat/completions",
    ],
)
def test_a_malformed_address(address: str) -> None:
    with pytest.raises(InputError, match="openai:http://") as caught:
        open_engine(f"openai:{address}")
    assert "secret" not in str(caught.value)


def test_extra_body_may_not_hold_what_the_recipe_sets() -> None:
    with pytest.raises(InputError, match="extra_body may not hold n, stream"):
        open_engine("openai:http://localhost/v1", EngineOptions(extra_body={"stream": True, "n": 3, "top_k": 1}))


def test_a_proxy_does_not_come_between_this_machine_and_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serve() as server:
        assert ask(server, Request(messages=QUESTION))
