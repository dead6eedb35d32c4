"""The first words with a server: is it there, does it take the key, which model will answer.

The list of models is believed when it holds the model. When it does not, or when there is no list, one chat request for
a single token decides: servers know aliases that they do not list, and many hosted ones list nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from loopguard.engines.answers import BadAnswer, read_answer
from loopguard.engines.refusals import is_hopeless, one_line, server_words
from loopguard.errors import EngineError, EngineUnavailable

if TYPE_CHECKING:
    import openai

LIST_TIMEOUT = 5.0
"""Seconds for the list of models and for each connection, tried twice."""
PROBE_TIMEOUT = 120.0
"""Seconds for the one-token request: some servers load the model on the first one."""
NO_LIST = (400, 404, 405, 406, 415, 422, 501)
"""Statuses of GET /models that mean "no list here", not "no server"."""

Fail = Callable[["openai.APIError"], EngineError]


class Settled(NamedTuple):
    """A model that is known to answer."""

    name: str
    card: Mapping[str, Any]
    """What the list of models says of it: id, owned_by, max_model_len (vLLM), meta (llama.cpp); {} when it is not listed."""


async def settle_model(client: openai.AsyncOpenAI, model: str, *, fail: Fail, secret: str) -> Settled:
    """The model that will be asked. Raises EngineUnavailable with the address and the server's words."""
    url = str(client.base_url).rstrip("/")
    cards = await _served(client, fail)
    served = list(cards)
    if model in cards:
        return Settled(model, cards[model])
    if not model:
        if len(served) == 1:
            return Settled(served[0], cards[served[0]])
        raise EngineUnavailable(
            f"{url} serves {_names(served)}: name one of them as the model"
            if served
            else f"{url} does not say which models it serves: name the model{_hint(url)}"
        )
    await _probe(client, model, served, fail=fail, secret=secret)
    return Settled(model, {})


async def outage_of(client: openai.AsyncOpenAI) -> openai.APIError | None:
    """Why nobody answers at the server's address; None when somebody does, with a list or without, who is no idle proxy."""
    import openai

    quick = client.with_options(max_retries=0, timeout=openai.Timeout(LIST_TIMEOUT, connect=LIST_TIMEOUT))
    try:
        await quick.models.with_raw_response.list()
    except openai.APIStatusError as error:
        return error if error.status_code in (502, 503, 504) else None
    except openai.APIError as error:
        return error
    return None


async def _served(client: openai.AsyncOpenAI, fail: Fail) -> dict[str, Mapping[str, Any]]:
    """Name -> card of what GET /models lists; none when the server has no such list."""
    import openai

    quick = client.with_options(max_retries=1, timeout=openai.Timeout(LIST_TIMEOUT, connect=LIST_TIMEOUT))
    try:
        raw = await quick.models.with_raw_response.list()
    except openai.APIStatusError as error:
        if error.status_code in NO_LIST:
            return {}
        raise _unavailable(fail(error)) from None
    except openai.APIError as error:
        raise _unavailable(fail(error)) from None
    return _cards(raw.content)


def _cards(payload: bytes) -> dict[str, Mapping[str, Any]]:
    """The models of a list by their names: {"data": [{"id": ...}]}, {"models": [...]} or a bare list; none of anything else."""
    try:
        listed: Any = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    if isinstance(listed, dict):
        listed = listed.get("data") or listed.get("models")
    if not isinstance(listed, list):
        return {}
    named = [(item.get("id") or item.get("name"), item) for item in listed if isinstance(item, dict)]
    return {name: item for name, item in named if isinstance(name, str) and name}


async def _probe(client: openai.AsyncOpenAI, model: str, served: list[str], *, fail: Fail, secret: str) -> None:
    """One chat request for one token. Raises EngineUnavailable when the server refuses the model."""
    import openai

    url = str(client.base_url).rstrip("/")
    patient = client.with_options(max_retries=1, timeout=openai.Timeout(PROBE_TIMEOUT, connect=LIST_TIMEOUT))
    also = f"; it serves {_names(served)}" if served else ""
    try:
        raw = await patient.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": "Hi"}], extra_body={"max_tokens": 1}
        )
    except openai.APIStatusError as error:
        words = one_line(server_words(error.response.text), secret=secret)
        if error.status_code in (400, 422) and not served and not is_hopeless(error.status_code, words):
            return  # a chat server that dislikes the probe itself: the first real request will tell
        raise EngineUnavailable(f"{fail(error)}{also}") from None
    except openai.APIError as error:
        raise _unavailable(fail(error)) from None
    try:
        read_answer(raw.content, max_tokens=1)
    except BadAnswer as error:
        if "content null" not in str(error):
            words = one_line(str(error), secret=secret)
            raise EngineUnavailable(f"{url} is no OpenAI-compatible server: {words}{_hint(url)}") from None


def _unavailable(error: EngineError) -> EngineUnavailable:
    return error if isinstance(error, EngineUnavailable) else EngineUnavailable(str(error))


def _names(served: list[str]) -> str:
    shown = ", ".join(one_line(name, limit=80) for name in served[:10])
    return shown + (f" and {len(served) - 10} more" if len(served) > 10 else "")


def _hint(url: str) -> str:
    return "" if url.endswith("/v1") else f"; most servers answer at an address that ends in /v1: {url}/v1"
