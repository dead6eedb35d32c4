"""One request until it is answered: who waits, who is tried again, who gives up.

- 429 and 503 are no failure of the request: the gate holds everybody off, and the request comes again for up to `patience`
  seconds, however often that is. So do 502, 504 and lost connections while the server as a whole is gone.
- 408, 409, other 5xx, lost connections and answers without a completion are tried again `max_retries` times, with back-off
  or after the Retry-After; no answer in time only once more, since the server may have worked all that time.
- Whether the server as a whole is gone is asked of GET /models. Then nobody is let in until it is back, and the run ends
  when that takes longer than `patience`.

The client runs on aiohttp: its own transport looks at every idle connection before every request, which at 64 connections
costs more than the request (benchmarks/build_prefs_server.py).
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import tenacity

from loopguard.engines import Completion, EngineOptions
from loopguard.engines.address import is_loopback
from loopguard.engines.answers import BadAnswer, read_answer
from loopguard.engines.failures import BUSY, MAX_WAIT, failure, is_late, is_lost, retry_after, tries_of, words_of
from loopguard.engines.gate import Gate
from loopguard.engines.handshake import outage_of
from loopguard.engines.refusals import is_context_error, is_hopeless, one_line, refused_field
from loopguard.errors import EngineError, EngineUnavailable

if TYPE_CHECKING:
    import openai

log = logging.getLogger(__name__)

LATE = 2
"""Tries of a request that gets no answer in time."""
LOOK = (0.5, 5.0)
"""Seconds between two looks whether a server is back: at first, and at most."""
LOOK_TIMEOUT = 5.0
"""Seconds for what the server tells of itself."""
TELL = 2.0
"""Seconds that a server is gone before the user hears of it."""


class Delivery:
    """The way to one server: its client, its gate, its patience."""

    def __init__(self, url: str, options: EngineOptions, key: str) -> None:
        """Nothing is opened or asked yet."""
        self._url, self._options, self._key = url, options, key
        self._client: openai.AsyncOpenAI | None = None
        self._outage: asyncio.Task[bool] | None = None
        self._gave_up: EngineUnavailable | None = None
        self.gate = Gate(options.concurrency)
        self.tell: Callable[[str], None] = log.warning
        """Gets a line for the user when the server is gone."""

    def open(self) -> openai.AsyncOpenAI:
        """A client for this address and key, not retrying by itself; `start` hands it in."""
        import openai

        return openai.AsyncOpenAI(
            base_url=self._url,
            api_key=self._key or "none",
            max_retries=0,
            timeout=openai.Timeout(self._options.timeout, connect=10.0, pool=None),
            # a proxy from the environment cannot reach this machine's own servers
            http_client=openai.DefaultAioHttpClient(trust_env=not is_loopback(self._url)),
        )

    def start(self, client: openai.AsyncOpenAI) -> None:
        """From here on requests may be sent: the server has answered once."""
        self._client, self._gave_up = client, None

    async def close(self) -> None:
        """Close every socket; a new start may be in another event loop."""
        client, self._client = self._client, None
        outage, self._outage = self._outage, None
        self.gate = Gate(self._options.concurrency)
        if outage is not None:
            outage.cancel()
        if client is not None:
            await client.close()

    async def answer(self, body: dict[str, Any]) -> tuple[list[Completion], int]:
        """The completions of one body and how many choices came, after all retries.

        Raises the client's APIStatusError for a refusal that may be mended, EngineError for everything else.
        """
        import openai

        tries = late = 0
        patience = _Patience(self._options.patience)

        async def once() -> tuple[list[Completion], int]:
            nonlocal tries, late
            while True:
                tries += 1
                try:
                    found = await self._send(body)
                    if not isinstance(found, _Later):
                        return found
                    if not patience.wait():
                        raise found.error
                    await asyncio.sleep(found.alone)
                except openai.APIError as error:
                    if not (is_lost(error) and await self._was_gone()):
                        late += is_late(error)
                        raise
                tries -= 1

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: self._worth_another(error, body)),
            wait=_wait,
            stop=lambda state: tries > self._options.max_retries or late >= LATE,
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            return await retrying(once)
        except BadAnswer as error:
            words = one_line(str(error), secret=self._key)
            raise EngineError(f"{self._url}: {words} ({tries} {'try' if tries == 1 else 'tries'})") from None
        except openai.APIStatusError as error:
            if self._can_mend(error, body) or error.status_code not in (401, 403, 408, 409, 429, *range(500, 600)):
                raise
            raise self.fail(error, tries + patience.waits) from None
        except openai.APIError as error:
            raise self.fail(error, tries) from None
        except UnicodeEncodeError:
            raise EngineError("the messages hold lone surrogates, which no UTF-8 request can carry") from None

    async def look(self, address: str) -> bytes:
        """What a GET of an address at this server brings; nothing where it brings an error."""
        import openai

        if self._client is None:
            return b""
        quick = self._client.with_options(timeout=LOOK_TIMEOUT)
        try:
            found: bytes = (await quick.get(address, cast_to=response_class())).content
        except openai.APIError:
            return b""
        return found

    async def _send(self, body: dict[str, Any]) -> tuple[list[Completion], int] | _Later:
        """One try, through the gate. Not through the client's models, which cost more than all the rest."""
        import openai

        gate = self.gate
        ticket = await gate.enter()
        try:
            if self._gave_up is not None:
                raise EngineUnavailable(str(self._gave_up))
            if self._client is None:
                raise EngineError(f"{self._url}: the engine is closed")
            response = await self._client.post("/chat/completions", body=body, cast_to=response_class())
            found = read_answer(response.content, max_tokens=body.get("max_tokens") or body["max_completion_tokens"])
        except openai.APIStatusError as error:
            if error.status_code in BUSY and self._may_pass(error, body):
                return _Later(error, gate.refused(ticket, retry_after(error)))
            gate.left(ticket)
            raise
        except BaseException:
            gate.left(ticket)
            raise
        gate.answered(ticket)
        return found

    async def _was_gone(self) -> bool:
        """Whether the server as a whole is gone: if it is, True when it is back. EngineUnavailable when it stays away."""
        if self._outage is None or self._outage.done():
            self._outage = asyncio.create_task(self._wait_for_server())
        return await asyncio.shield(self._outage)

    async def _wait_for_server(self) -> bool:
        client, patience = self._client, self._options.patience
        if client is None or (outage := await outage_of(client)) is None:
            return False
        loop = asyncio.get_running_loop()
        began, told, pause = loop.time(), False, LOOK[0]
        self.gate.down()
        try:
            while (gone := loop.time() - began) < patience:
                if gone >= TELL and not told:
                    told = True
                    self.tell(
                        f"the server at {self._url} does not answer since {gone:.0f} s; waiting up to {patience:.0f} s "
                        "(engine.patience) for it to come back; Ctrl-C stops"
                    )
                await asyncio.sleep(min(pause, patience - gone))
                pause = min(LOOK[1], 1.5 * pause)
                if (outage := await outage_of(client)) is None:
                    return True
            words = str(self.fail(outage, 1)).removesuffix(" (1 try)")
            self._gave_up = EngineUnavailable(f"{words} (waited {patience:.0f} s for it to come back)")
            raise self._gave_up
        finally:
            self.gate.up()

    def _worth_another(self, error: BaseException, body: dict[str, Any]) -> bool:
        import openai

        if isinstance(error, openai.APIStatusError):
            status = error.status_code
            again = status in (408, 409) or (status >= 500 and status not in BUSY)
            return again and self._may_pass(error, body)
        return isinstance(error, BadAnswer | openai.APIConnectionError)

    def _may_pass(self, error: openai.APIStatusError, body: dict[str, Any]) -> bool:
        """Whether the same request may fare better later."""
        if error.response.headers.get("x-should-retry") == "false" or retry_after(error) > MAX_WAIT:
            return False
        return not is_hopeless(error.status_code, words_of(error, self._key)) and not self._can_mend(error, body)

    def _can_mend(self, error: openai.APIStatusError, body: dict[str, Any]) -> bool:
        words = words_of(error, self._key)
        return is_context_error(error.status_code, words) or bool(refused_field(error.status_code, words, body))

    def fail(self, error: openai.APIError, tries: int | None = None) -> EngineError:
        """The error to raise for the client's, after so many tries."""
        tries = tries_of(error) if tries is None else tries
        env, key = self._options.api_key_env, self._key
        return failure(error, url=self._url, tries=tries, secret=key, key_env=env, key_set=bool(key))


class _Later(NamedTuple):
    """The server is too busy for a request now; `alone`: seconds that this one has to wait, beside the gate."""

    error: openai.APIStatusError
    alone: float


class _Patience:
    """How long one request has been turned away without a word against itself."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._since = seconds, -1.0
        self.waits = 0

    def wait(self) -> bool:
        """Note that it was turned away; whether it may come again."""
        now = asyncio.get_running_loop().time()
        self._since = now if self._since < 0 else self._since
        if now - self._since >= self._seconds:
            return False
        self.waits += 1
        return True


@lru_cache
def response_class() -> Any:
    """The response of the HTTP library that the installed openai client stands on: httpx, in later versions httpx2."""
    import openai

    library = openai.DefaultAsyncHttpxClient.__mro__[1].__module__.partition(".")[0]
    return importlib.import_module(library).Response


def _wait(state: tenacity.RetryCallState) -> float:
    """Seconds: what the server asks for, else 0.5 to 8 with jitter, as the openai client does."""
    error = state.outcome.exception() if state.outcome else None
    return retry_after(error) or float(_backoff(state))


_backoff = tenacity.wait_exponential(multiplier=0.5, max=8.0) + tenacity.wait_random(0.0, 0.5)
