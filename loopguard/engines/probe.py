"""What an engine can do, found out by four tiny requests before the first real one.

    capabilities = await engine.probe()
    capabilities.line()      # vllm 0.11.0: n, seed, 20 logprobs, json_schema, token ids; context 8192

They cost some 40 generated tokens, are sent at one time, and fail nothing: what is not answered within PROBE_TIMEOUT is
None, "not known", and is then learnt from refusals as the run goes. So is everything that a probe was wrong about.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from loopguard.engines import Completion, Request
from loopguard.engines.dialect import Dialect
from loopguard.errors import EngineError

PROBE_TIMEOUT = 20.0
"""Seconds for all probes together: a server that is busy with others is not waited for."""

QUESTION = "Say hello. (Asked once, to see what this server can do.)"
SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer", "enum": [7]}},
    "required": ["answer"],
    "additionalProperties": False,
}
"""Nobody who is asked to say hello would answer {"answer": 7} by chance."""

_MESSAGES = [{"role": "user", "content": QUESTION}]
_CHOICES = Request(messages=_MESSAGES, temperature=1.0, seed=1, n=2, max_tokens=8)
_LOGPROBS = Request(messages=_MESSAGES, max_tokens=1, top_logprobs=20)
_JSON = Request(messages=_MESSAGES, max_tokens=32, json_schema=SCHEMA)
_IDS = Request(messages=_MESSAGES, max_tokens=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine can do; None: not known."""

    software: str = ""
    """Name and version, where the server says so."""
    context: int | None = None
    """Tokens of prompt and answer together, where the server says so."""
    n: bool | None = None
    """Several choices in one request."""
    seed: bool | None = None
    """Taken; whether it is obeyed is not asked."""
    top_logprobs: int | None = None
    """How many came of the 20 likeliest first tokens asked for, those with one text counted once; 0: none."""
    json_schema: bool | None = None
    """The reply is really the JSON asked for."""
    token_ids: bool | None = None
    """vLLM's return_token_ids."""
    reasoning: bool | None = None
    """Thinking text came in a field of its own."""
    refuses: tuple[str, ...] = ()
    """Fields that the server refuses by name."""
    probed: str = ""
    """When, UTC, to the second; "" for what is known without asking."""

    def as_dict(self) -> dict[str, Any]:
        """JSON values, from which `from_dict` makes the same again."""
        return asdict(self) | {"refuses": list(self.refuses)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Capabilities:
        """From what `as_dict` gave; fields of other versions are left out."""
        known = {name: values[name] for name in Capabilities.__dataclass_fields__ if name in values}
        return Capabilities(**known | {"refuses": tuple(values.get("refuses", ()))})

    def line(self) -> str:
        """One line for a person."""
        named = {"n": self.n, "seed": self.seed, _logprobs(self.top_logprobs): _known(self.top_logprobs)}
        named |= {"json_schema": self.json_schema, "token ids": self.token_ids, "reasoning": self.reasoning}
        groups = {word: [name for name, has in named.items() if has is value] for word, value in _WORDS.items()}
        told = "; ".join(f"{word}{', '.join(names)}" for word, names in groups.items() if names)
        context = f"; context {self.context}" if self.context else ""
        return f"{self.software}: {told}{context}" if self.software else told + context


_WORDS = {"": True, "no ": False, "not known: ": None}


def _logprobs(count: int | None) -> str:
    return f"{count} logprobs" if count else "logprobs"


def _known(count: int | None) -> bool | None:
    return None if count is None else count > 0


Ask = Callable[[Request], Awaitable[list[Completion]]]


async def probe_server(
    ask: Ask,
    offers_ids: Callable[[Request], Awaitable[bool]],
    look: Callable[[str], Awaitable[Any]],
    dialect: Dialect,
    card: Mapping[str, Any],
) -> Capabilities:
    """Ask, and read from the answers and from what `dialect` has learnt meanwhile.

    Args:
        ask: sends a request, done without what is refused. May raise EngineError.
        offers_ids: sends a request with return_token_ids; whether ids came. May raise EngineError.
        look: the JSON that the server has at a path such as "/version"; None where it has none.
        dialect: what `ask` learns from refusals.
        card: what the list of models says of the model.
    """
    choices, scored, made, ids, (software, context) = await asyncio.gather(
        _in_time(ask(_CHOICES)),
        _in_time(ask(_LOGPROBS)),
        _in_time(ask(_JSON)),
        _in_time(offers_ids(_IDS)),
        _software(card, look),
    )
    seen = [*(choices or ()), *(made or ())]
    return Capabilities(
        software=software,
        context=context,
        n=dialect.most_n != 1 if choices else None,
        seed="seed" not in dialect.dropped if choices else None,
        top_logprobs=len(scored[0].first_logprobs or ()) if scored else None,
        json_schema=_is_the_json(made[0], dialect) if made else None,
        token_ids=ids,
        reasoning=any(completion.reasoning for completion in seen) if seen else None,
        refuses=tuple(sorted(dialect.dropped)),
        probed=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


async def _in_time(asked: Awaitable[Any]) -> Any:
    try:
        return await asyncio.wait_for(asked, PROBE_TIMEOUT)
    except (EngineError, TimeoutError):
        return None


def _is_the_json(reply: Completion, dialect: Dialect) -> bool | None:
    """None where the reply was cut before one can tell: thinking first. A beginning, drawn out by white space, is enough."""
    if "response_format" in dialect.dropped:
        return False
    try:
        return bool(json.loads(reply.content) == {"answer": 7})
    except ValueError:
        begun = "".join(reply.content.split())
        if not begun or reply.finish_reason != "length":
            return False if begun else None
        return '{"answer":7}'.startswith(begun)


async def _software(card: Mapping[str, Any], look: Callable[[str], Awaitable[Any]]) -> tuple[str, int | None]:
    """(name and version, context in tokens), as far as the server tells without being asked to generate."""
    owner = card.get("owned_by")
    meta = card.get("meta")
    lengths = [card.get(name) for name in ("max_model_len", "context_length", "max_context_length")]
    lengths.append(meta.get("n_ctx_train") if isinstance(meta, dict) else None)
    name = ""
    if owner == "llamacpp":
        props = await look("/props")
        props = props if isinstance(props, dict) else {}
        settings = props.get("default_generation_settings")
        lengths.insert(0, settings.get("n_ctx") if isinstance(settings, dict) else None)
        name = f"llama.cpp {_word(props.get('build_info'))}"
    elif owner == "vllm":
        version = await look("/version")
        name = f"vllm {_word(version.get('version') if isinstance(version, dict) else '')}"
    elif owner == "sglang":
        name = "sglang"
    return name.strip(), next((length for length in lengths if type(length) is int and length > 0), None)


def _word(value: Any) -> str:
    return "".join(c for c in value if c.isprintable())[:40] if isinstance(value, str) else ""
