"""From what the openai client raises to loopguard's errors: one line with address, tries and the server's words."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from loopguard.engines.refusals import (
    is_context_error,
    is_hopeless,
    is_unknown_model,
    one_line,
    server_words,
)
from loopguard.errors import ContextTooLong, EngineError, EngineUnavailable

if TYPE_CHECKING:
    import openai

MAX_WAIT = 600.0
"""Longest Retry-After that is waited for, in seconds."""

BUSY = (429, 503)
"""Statuses that mean: not now."""
CUT = "the connection was cut before an answer came"
_PLAIN = {
    "ClientPayloadError": "the connection was cut in mid-answer",
    "ServerDisconnectedError": CUT,
    "ClientConnectionResetError": CUT,
    "ConnectionTimeoutError": "no connection in time",
}
"""What is said where aiohttp has words of its own: "Cannot write to closing transport"."""


def words_of(error: openai.APIStatusError, secret: str) -> str:
    """What the server says, in one line."""
    return one_line(server_words(error.response.text), secret=secret) or error.response.reason_phrase


def tries_of(error: openai.APIError) -> int:
    """How often the client had sent the request when it gave up."""
    return 1 + int(error.request.headers.get("x-stainless-retry-count") or 0)


def retry_after(error: BaseException | None) -> float:
    """Seconds that the answer to a failed request asks to wait; 0.0 where it does not say."""
    response = getattr(error, "response", None)
    if response is None:
        return 0.0
    milliseconds = _seconds(response.headers.get("retry-after-ms", "")) / 1000
    return max(0.0, milliseconds or _seconds(response.headers.get("retry-after", "")))


def is_lost(error: BaseException) -> bool:
    """Whether the server may be gone as a whole: no connection, a cut one, or a proxy that has none."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return error.status_code in (502, 504)
    return isinstance(error, openai.APIConnectionError) and not is_late(error)


def is_late(error: BaseException) -> bool:
    """Whether the server took the request and gave no answer in time. The client calls lost connections time-outs too."""
    import openai

    return isinstance(error, openai.APITimeoutError) and not _never_connected(error) and not _dropped(error)


def _seconds(header: str) -> float:
    """Seconds of a Retry-After header: a number or a date; 0.0 when it is neither."""
    try:
        seconds = float(header)
        return seconds if math.isfinite(seconds) else 0.0
    except ValueError:
        pass
    try:
        return parsedate_to_datetime(header).timestamp() - time.time()
    except (ValueError, TypeError):
        return 0.0


def failure(error: openai.APIError, *, url: str, tries: int, secret: str, key_env: str, key_set: bool) -> EngineError:
    """The error to raise for one that the client raised after its retries."""
    import openai

    times = f"{tries} {'try' if tries == 1 else 'tries'}"
    if is_late(error):
        return EngineError(f"{url}: no answer in time ({times})")
    if isinstance(error, openai.APIConnectionError):
        what = one_line(system_words(error), secret=secret)
        if _never_connected(error):
            return EngineUnavailable(f"no server at {url}: {what} ({times})")
        return EngineError(f"{url}: {what} ({times})")
    if not isinstance(error, openai.APIStatusError):
        return EngineError(f"{url}: {one_line(str(error), secret=secret)} ({times})")
    status, words = error.status_code, words_of(error, secret)
    if is_context_error(status, words):
        return ContextTooLong(f"{url}: the prompt does not fit the model's context: {words} (HTTP {status})")
    if (wait := retry_after(error)) > MAX_WAIT:
        return EngineUnavailable(
            f"{url}: HTTP {status}, asks to wait {wait:.0f} s, more than the {MAX_WAIT:.0f} s that are waited for; "
            f"run again later: {words}"
        )
    if status in (401, 403) and is_hopeless(status, words):
        state = f"refuses the key in {key_env}" if key_set else f"wants a key and {key_env} is not set"
        return EngineUnavailable(f"{url} {state}: {words} (HTTP {status})")
    if status in (404, 405) and not is_unknown_model(status, words):
        hint = "" if url.endswith("/v1") else f"; most servers answer at an address that ends in /v1: {url}/v1"
        return EngineUnavailable(f"{url}/chat/completions is not there: {words} (HTTP {status}){hint}")
    kind = EngineUnavailable if is_hopeless(status, words) else EngineError
    return kind(f"{url}: HTTP {status}: {words} ({times})")


def system_words(error: BaseException) -> str:
    """What the system said at the bottom of a connection error ("Connection refused"), or a sentence instead of aiohttp's words."""
    chain = list(_causes(error))
    if plain := [_PLAIN[name] for name in (type(cause).__name__ for cause in chain) if name in _PLAIN]:
        return plain[-1]
    for cause in reversed(chain):
        if isinstance(cause, ConnectionRefusedError):
            return os.strerror(errno.ECONNREFUSED)  # asyncio's own text hides it: "Connect call failed"
        if isinstance(cause, OSError) and str(cause):
            return cause.strerror or str(cause)
    for cause in reversed(chain):
        if str(cause) and cause is not error:
            return str(cause)
    return {"ReadError": CUT, "ConnectTimeout": "no connection in time"}.get(type(chain[-1]).__name__, str(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        inner = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
        error = inner or error.__context__


def _never_connected(error: BaseException) -> bool:
    names = {type(cause).__name__ for cause in _causes(error)}
    return not _dropped(error) and bool(names & {"ConnectError", "ConnectTimeout", "UnsupportedProtocol", "ProxyError"})


def _dropped(error: BaseException) -> bool:
    """Whether a connection was there and went: aiohttp's names for it."""
    return any(type(cause).__name__ in ("ServerDisconnectedError", "ClientOSError") for cause in _causes(error))
