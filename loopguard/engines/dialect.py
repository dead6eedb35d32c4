"""What one server takes: the body of a request in its dialect, and what a refusal teaches about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loopguard.engines import Request
from loopguard.engines.refusals import OPTIONAL_FIELDS, allowed_most, is_context_error, refused_field, room_left

SEEDS = 2**31
"""Seeds are sent modulo this: llama.cpp has 32 bits and takes the highest as "random"."""

LESSONS = 3 + len(OPTIONAL_FIELDS)
"""Most refusals that one request can be mended after."""


class RefusedN(Exception):
    """The server refuses this n; the dialect has noted what it takes."""


class CannotMend(Exception):
    """The refusal is about nothing that could be left out."""


class Dialect:
    """Begins with everything that the OpenAI format has, and forgets what the server refuses by name."""

    def __init__(self, model: str, extra_body: Mapping[str, Any]) -> None:
        """`extra_body`: the user's own fields, which go over all others."""
        self.model = model
        self._extra = extra_body
        self.most_n: int | None = None
        """Most choices that one request may ask for; None: no limit met yet."""
        self.most_logprobs: int | None = None
        self.dropped: set[str] = set()
        """Fields that the server refuses."""
        self.token_ids = False
        """Whether to ask for the token ids of samples (vLLM)."""

    def body(self, part: Request, max_tokens: int) -> dict[str, Any]:
        """The body of a chat request."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": part.messages,
            "temperature": part.temperature,
            "top_p": part.top_p,
            "max_completion_tokens" if "max_tokens" in self.dropped else "max_tokens": max_tokens,
        }
        if part.seed is not None:
            body["seed"] = part.seed % SEEDS
        if part.n > 1:
            body["n"] = part.n
        if part.top_logprobs > 0:
            body["logprobs"] = True
            body["top_logprobs"] = min(part.top_logprobs, self.most_logprobs or part.top_logprobs)
        if part.json_schema is not None:
            schema = {"name": "answer", "strict": True, "schema": part.json_schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if part.early_stop is not None:
            body["repetition_detection"] = dict(part.early_stop)  # vLLM's servers
        if self.token_ids and not part.top_logprobs and part.json_schema is None:
            body["return_token_ids"] = True
        for name in self.dropped:
            body.pop(name, None)
        body.update(self._extra)
        return body

    def came(self, choices: int, asked: int) -> None:
        """Note how many choices an answer brought."""
        if choices < asked:
            self.most_n = min(choices, self.most_n or choices)

    def learn(self, status: int, words: str, body: Mapping[str, Any]) -> int:
        """Remember what a refusal says of `body`; returns the max_tokens to ask again with.

        Raises RefusedN where fewer choices are to be asked for, CannotMend where nothing can be left out.
        """
        sent: int = body.get("max_tokens") or body["max_completion_tokens"]
        if "max_completion_tokens" in words and "max_tokens" in body and "unsupported" in words.lower():
            self.dropped.add("max_tokens")
            return sent
        if is_context_error(status, words):
            room = room_left(words)
            if room is None or room >= sent:
                raise CannotMend
            return room
        name = refused_field(status, words, body)
        if name is None:
            raise CannotMend
        most = allowed_most(words, body[name]) if name in ("n", "top_logprobs") else None
        if name == "n":
            self.most_n = min(most or 1, self.most_n or body["n"])
            raise RefusedN
        if most is not None:
            self.most_logprobs = most
        else:
            self.dropped |= {name, "logprobs"} if name == "top_logprobs" else {name}
        return sent
