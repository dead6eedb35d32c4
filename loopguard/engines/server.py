"""Any OpenAI-compatible server: vLLM, llama.cpp, SGLang, Ollama, LM Studio, MLX, hosted ones.

    engine = open_engine("openai:http://localhost:8000/v1", EngineOptions(model="my-model"))

Who retries what: the openai client 408, 409, 429, 5xx, timeouts and cut connections, with its back-off and Retry-After
up to 120 s; tenacity answers without a completion (broken JSON, no choices, content null) and a Retry-After up to
600 s. Both draw on one budget of `max_retries` per request. What a server refuses by name (`n`, `seed`, `top_logprobs`,
`response_format`) is asked once, remembered on the engine, and done without: `n` by single requests with seed + k.

The client runs on aiohttp: its own transport looks at every idle connection before every request, which at 64 connections
costs more than the request (benchmarks/build_prefs_server.py).
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import tenacity

from loopguard.engines import Completion, EngineOptions, Request
from loopguard.engines.address import check_extra_body, check_key, check_url, is_loopback
from loopguard.engines.answers import BadAnswer, read_answer
from loopguard.engines.failures import MAX_WAIT, failure, long_wait, tries_of, words_of
from loopguard.engines.handshake import settle_model
from loopguard.engines.refusals import (
    OPTIONAL_FIELDS,
    allowed_most,
    is_context_error,
    one_line,
    refused_field,
    room_left,
)
from loopguard.errors import EngineError

if TYPE_CHECKING:
    import openai

SEEDS = 2**31
"""Seeds are sent modulo this: llama.cpp has 32 bits and takes the highest as "random"."""


class ServerEngine:
    """An OpenAI-compatible server at `base_url`, asked over HTTP."""

    def __init__(self, base_url: str, options: EngineOptions) -> None:
        """Nothing is asked yet. Raises InputError for an address, key or extra_body that cannot be used."""
        self._url = check_url(base_url)
        check_extra_body(options.extra_body)
        self._options = options
        self._model = options.model
        self._key = check_key(os.environ.get(options.api_key_env, ""), options.api_key_env)
        self._client: openai.AsyncOpenAI | None = None
        self._ready = False
        self._lock = asyncio.Lock()
        self._gate = asyncio.Semaphore(options.concurrency)
        self._most_n: int | None = None  # most choices that one request may ask for; None: no limit met yet
        self._most_logprobs: int | None = None
        self._dropped: set[str] = set()

    def __repr__(self) -> str:
        """Address and model, never the key."""
        return f"ServerEngine({self._url!r}, model={self._model!r})"

    @property
    def spec(self) -> str:
        """`openai:BASE_URL`; an address cannot hold a secret (see check_url)."""
        return f"openai:{self._url}"

    @property
    def model(self) -> str:
        """The model as given, or as found by `start`; "" before that."""
        return self._model

    async def start(self) -> None:
        """Find the server and settle which model is asked: seconds, unless the server must load it first."""
        async with self._lock:
            if self._ready:
                return
            client = self._open_client()
            try:
                self._model = await settle_model(client, self._options.model, fail=self._fail, secret=self._key)
            except BaseException:
                await client.close()
                raise
            self._client, self._ready = client, True

    async def close(self) -> None:
        """Close every socket. The engine may be started again, in another event loop too."""
        client, self._client, self._ready = self._client, None, False
        self._lock, self._gate = asyncio.Lock(), asyncio.Semaphore(self._options.concurrency)
        if client is not None:
            await client.close()

    async def ask(self, request: Request) -> list[Completion]:
        """1 to n completions in choice order.

        At most `concurrency` requests are in flight; one with n > 1 counts once. Where it takes several requests and
        one of them fails, the choices before the first failure are returned, or its error raised when there are none.
        """
        if not self._ready:
            await self.start()
        done: list[Completion] = []
        while len(done) < request.n:
            parts = self._parts(request, len(done))
            results = await self._ask_all(parts)
            for part, result in zip(parts, results, strict=True):
                if isinstance(result, _RefusedN):
                    break
                if isinstance(result, BaseException):
                    if done and isinstance(result, EngineError):
                        return done
                    raise result
                done += result
                if len(result) < part.n:
                    if self._most_n is None or self._most_n >= part.n:
                        return done
                    break
        return done

    def _parts(self, request: Request, start: int) -> list[Request]:
        """The requests for choices `start` to n, each as large as the server is known to take."""
        rest = request.n - start
        size = 1 if request.temperature == 0 else min(rest, self._most_n or rest)
        return [
            replace(request, n=min(size, request.n - k), seed=None if request.seed is None else request.seed + k)
            for k in range(start, request.n, size)
        ]

    async def _ask_all(self, parts: list[Request]) -> list[list[Completion] | BaseException]:
        if len(parts) > 1:
            return await asyncio.gather(*(self._ask_part(part) for part in parts), return_exceptions=True)
        try:
            return [await self._ask_part(parts[0])]
        except (_RefusedN, EngineError) as error:
            return [error]

    async def _ask_part(self, part: Request) -> list[Completion]:
        """One request to the server, asked again without what it refuses."""
        import openai

        async with self._gate:
            room = part.max_tokens
            for _ in range(3 + len(OPTIONAL_FIELDS)):
                body = self._body(part, room)
                try:
                    completions, came = await self._answer(body)
                except openai.APIStatusError as error:
                    room = self._learn(error, body)
                    continue
                if came < part.n:
                    self._most_n = min(came, self._most_n or came)
                return completions[: part.n]
        raise EngineError(f"{self._url}: refuses one field after another; last sent: {', '.join(body)}")

    def _body(self, part: Request, max_tokens: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": part.messages,
            "temperature": part.temperature,
            "top_p": part.top_p,
            "max_completion_tokens" if "max_tokens" in self._dropped else "max_tokens": max_tokens,
        }
        if part.seed is not None:
            body["seed"] = part.seed % SEEDS
        if part.n > 1:
            body["n"] = part.n
        if part.top_logprobs > 0:
            body["logprobs"] = True
            body["top_logprobs"] = min(part.top_logprobs, self._most_logprobs or part.top_logprobs)
        if part.json_schema is not None:
            schema = {"name": "answer", "strict": True, "schema": part.json_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        for name in self._dropped:
            body.pop(name, None)
        body.update(self._options.extra_body)
        return body

    def _learn(self, error: openai.APIStatusError, body: Mapping[str, Any]) -> int:
        """Remember what the server refuses; returns the max_tokens to ask again with. Raises what cannot be mended."""
        status, words = error.status_code, words_of(error, self._key)
        sent: int = body.get("max_tokens") or body["max_completion_tokens"]
        if "max_completion_tokens" in words and "max_tokens" in body and "unsupported" in words.lower():
            self._dropped.add("max_tokens")
            return sent
        if is_context_error(status, words):
            room = room_left(words)
            if room is not None and room < sent:
                return room
            raise self._fail(error) from None
        name = refused_field(status, words, body)
        if name is None:
            raise self._fail(error) from None
        most = allowed_most(words, body[name]) if name in ("n", "top_logprobs") else None
        if name == "n":
            self._most_n = min(most or 1, self._most_n or body["n"])
            raise _RefusedN
        if most is not None:
            self._most_logprobs = most
        else:
            self._dropped |= {name, "logprobs"} if name == "top_logprobs" else {name}
        return sent

    async def _answer(self, body: dict[str, Any]) -> tuple[list[Completion], int]:
        """The completions of one body and how many choices came, after all retries.

        Raises the client's APIStatusError for a refusal that may be mended, EngineError for everything else.
        """
        import openai

        tries = 0

        async def once() -> tuple[list[Completion], int]:
            nonlocal tries
            try:
                payload, taken = await self._post(body, left=self._options.max_retries - tries)
            except openai.APIError as error:
                tries += tries_of(error)
                raise
            tries += taken
            return read_answer(payload, max_tokens=body.get("max_tokens") or body["max_completion_tokens"])

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(_worth_another),
            wait=_wait,
            stop=lambda state: tries > self._options.max_retries,
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            return await retrying(once)
        except BadAnswer as error:
            words = one_line(str(error), secret=self._key)
            raise EngineError(f"{self._url}: {words} ({tries} {'try' if tries == 1 else 'tries'})") from None
        except openai.APIStatusError as error:
            if error.status_code < 500 and error.status_code not in (401, 403, 408, 409, 429):
                raise
            if error.status_code >= 500 and (self._can_mend(error, body)):
                raise
            raise self._fail(error, tries) from None
        except openai.APIError as error:
            raise self._fail(error, tries) from None
        except UnicodeEncodeError:
            raise EngineError("the messages hold lone surrogates, which no UTF-8 request can carry") from None

    def _can_mend(self, error: openai.APIStatusError, body: Mapping[str, Any]) -> bool:
        words = words_of(error, self._key)
        return is_context_error(error.status_code, words) or bool(refused_field(error.status_code, words, body))

    async def _post(self, body: dict[str, Any], *, left: int) -> tuple[bytes, int]:
        """(the answer's bytes, how often it was asked). Not through the client's models, which cost more than the rest."""
        if self._client is None:
            raise EngineError(f"{self._url}: the engine is closed")
        client = self._client
        if left < self._options.max_retries:
            client = client.with_options(max_retries=max(0, left))
        response = await client.post("/chat/completions", body=body, cast_to=_response_class())
        return response.content, 1 + int(response.request.headers.get("x-stainless-retry-count", 0))

    def _open_client(self) -> openai.AsyncOpenAI:
        import openai

        loopback = is_loopback(self._url)
        return openai.AsyncOpenAI(
            base_url=self._url,
            api_key=self._key or "none",
            max_retries=self._options.max_retries,
            timeout=openai.Timeout(self._options.timeout, connect=10.0, pool=None),
            # a proxy from the environment cannot reach this machine's own servers
            http_client=openai.DefaultAioHttpClient(trust_env=not loopback),
        )

    def _fail(self, error: openai.APIError, tries: int | None = None) -> EngineError:
        tries = tries_of(error) if tries is None else tries
        env, key = self._options.api_key_env, self._key
        return failure(error, url=self._url, tries=tries, secret=key, key_env=env, key_set=bool(key))


@lru_cache
def _response_class() -> Any:
    """The response of the HTTP library that the installed openai client stands on: httpx, in later versions httpx2."""
    import openai

    library = openai.DefaultAsyncHttpxClient.__mro__[1].__module__.partition(".")[0]
    return importlib.import_module(library).Response


class _RefusedN(Exception):
    """The server refuses this n; the engine has noted what it takes."""


def _worth_another(error: BaseException) -> bool:
    return isinstance(error, BadAnswer) or 0 < long_wait(error) <= MAX_WAIT


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds: what the server asks for, else 0.5 to 8 with jitter, as the openai client does."""
    error = state.outcome.exception() if state.outcome else None
    return long_wait(error) or float(_backoff(state))


_backoff = tenacity.wait_exponential(multiplier=0.5, max=8.0) + tenacity.wait_random(0.0, 0.5)
