"""Any OpenAI-compatible server: vLLM, llama.cpp, SGLang, Ollama, LM Studio, MLX, hosted ones.

    engine = open_engine("openai:http://localhost:8000/v1", EngineOptions(model="my-model"))

How a request is repeated until it is answered is in delivery.py. What a server refuses by name (`n`, `seed`,
`top_logprobs`, `response_format`) is asked once, remembered on the engine, and done without: `n` by single requests with
seed + k. `probe` finds that out beforehand, and what else the server offers (probe.py).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from loopguard.engines import Completion, EngineOptions, Request
from loopguard.engines.address import check_extra_body, check_key, check_url
from loopguard.engines.delivery import Delivery
from loopguard.engines.dialect import LESSONS, CannotMend, Dialect, RefusedN
from loopguard.engines.failures import words_of
from loopguard.engines.handshake import settle_model
from loopguard.engines.probe import Capabilities, probe_server
from loopguard.errors import EngineError


class ServerEngine:
    """An OpenAI-compatible server at `base_url`, asked over HTTP."""

    def __init__(self, base_url: str, options: EngineOptions) -> None:
        """Nothing is asked yet. Raises InputError for an address, key or extra_body that cannot be used."""
        self._url = check_url(base_url)
        check_extra_body(options.extra_body)
        self._options = options
        self._model = options.model
        self._key = check_key(os.environ.get(options.api_key_env, ""), options.api_key_env)
        self._delivery = Delivery(self._url, options, self._key)
        self._dialect = Dialect(options.model, options.extra_body)
        self._card: Mapping[str, Any] = {}
        self._ready = False
        self._lock = asyncio.Lock()

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
        return self._dialect.model

    @property
    def choices_at_once(self) -> int | None:
        """Most choices that one request may ask for; None: no limit met yet."""
        return self._dialect.most_n

    @property
    def idle(self) -> bool:
        """Whether nothing is in flight."""
        return not self._delivery.gate.in_flight

    @property
    def stalled(self) -> bool:
        """Whether nothing is in flight, since the server is gone or asked to be left alone."""
        return self._delivery.gate.stalled

    def tell(self, listener: Callable[[str], None]) -> None:
        """Hand a line for the user, should there be one, to `listener` instead of the log."""
        self._delivery.tell = listener

    async def start(self) -> None:
        """Find the server and settle which model is asked: seconds, unless the server must load it first."""
        async with self._lock:
            if self._ready:
                return
            client = self._delivery.open()
            try:
                settled = await settle_model(client, self._options.model, fail=self._delivery.fail, secret=self._key)
            except BaseException:
                await client.close()
                raise
            self._dialect.model, self._card = settled
            self._delivery.start(client)
            self._ready = True

    async def probe(self) -> Capabilities:
        """Find out what the server can do by a few tiny requests, and keep to it. Raises EngineUnavailable as `start` does."""
        await self.start()
        found = await probe_server(self.ask, self._offers_ids, self._look, self._dialect, self._card)
        self.use(found)
        return found

    def use(self, known: Capabilities) -> None:
        """Keep to what a former probe of this server and model found out."""
        self._dialect.dropped |= set(known.refuses)
        self._dialect.token_ids = bool(known.token_ids)
        if known.n is False:
            self._dialect.most_n = 1

    async def close(self) -> None:
        """Close every socket. The engine may be started again, in another event loop too."""
        self._ready, self._lock = False, asyncio.Lock()
        await self._delivery.close()

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
                if isinstance(result, RefusedN):
                    break
                if isinstance(result, BaseException):
                    if done and isinstance(result, EngineError):
                        return done
                    raise result
                done += result
                if len(result) < part.n:
                    if self._dialect.most_n is None or self._dialect.most_n >= part.n:
                        return done
                    break
        return done

    def _parts(self, request: Request, start: int) -> list[Request]:
        """The requests for choices `start` to n, each as large as the server is known to take."""
        rest = request.n - start
        size = 1 if request.temperature == 0 else min(rest, self._dialect.most_n or rest)
        return [
            replace(request, n=min(size, request.n - k), seed=None if request.seed is None else request.seed + k)
            for k in range(start, request.n, size)
        ]

    async def _ask_all(self, parts: list[Request]) -> list[list[Completion] | BaseException]:
        if len(parts) > 1:
            return await asyncio.gather(*(self._ask_part(part) for part in parts), return_exceptions=True)
        try:
            return [await self._ask_part(parts[0])]
        except (RefusedN, EngineError) as error:
            return [error]

    async def _ask_part(self, part: Request) -> list[Completion]:
        """One request to the server, asked again without what it refuses."""
        import openai

        room, body = part.max_tokens, {}
        for _ in range(LESSONS):
            body = self._dialect.body(part, room)
            try:
                completions, came = await self._delivery.answer(body)
            except openai.APIStatusError as error:
                try:
                    room = self._dialect.learn(error.status_code, words_of(error, self._key), body)
                except CannotMend:
                    raise self._delivery.fail(error) from None
                continue
            self._dialect.came(came, part.n)
            return completions[: part.n]
        raise EngineError(f"{self._url}: refuses one field after another; last sent: {', '.join(body)}")

    async def _offers_ids(self, request: Request) -> bool:
        """Whether the token ids come when they are asked for."""
        import openai

        body = self._dialect.body(request, request.max_tokens) | {"return_token_ids": True}
        try:
            completions, _ = await self._delivery.answer(body)
        except openai.APIStatusError as error:
            if error.status_code in (400, 422):
                return False
            raise self._delivery.fail(error) from None
        return completions[0].token_ids is not None

    async def _look(self, path: str) -> Any:
        """The JSON at a path beside /v1; None where there is none."""
        payload = await self._delivery.look(self._url.removesuffix("/v1") + path)
        try:
            return json.loads(payload)
        except (ValueError, RecursionError):
            return None
