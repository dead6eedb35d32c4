"""ASK. The one seam between loopguard and whatever produces text.

An engine knows messages and sampling parameters. It knows nothing of prompts files, loops, judges or pairs.

    engine = open_engine("openai:http://localhost:8000/v1", model="my-model")
    completions = await engine.ask(Request(messages=[{"role": "user", "content": "Hi"}], n=5, temperature=0.8, seed=1))

The kinds: `embedded[:PATH.gguf|:hf:repo/file]` (embedded.py), `openai:BASE_URL` (server.py) and `scripted:FILE`
(scripted.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from loopguard.errors import InputError

Message = dict[str, str]
"""One chat message: {"role": "system" | "user" | "assistant" | ..., "content": text}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What one engine is asked, once. Choice k of an n-request is as if asked alone with seed + k."""

    messages: Sequence[Message]
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 1024
    """Most tokens in one choice, always sent: servers have defaults as low as 16."""
    seed: int | None = None
    n: int = 1
    """How many choices. An engine may return fewer (never none); the caller asks for the rest."""
    top_logprobs: int = 0
    """When > 0: the log-probabilities of this many likeliest first tokens are wanted (Completion.first_logprobs)."""
    json_schema: Mapping[str, Any] | None = None
    """When given: the answer is constrained to this JSON schema, where the engine can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One choice of an engine's answer."""

    content: str
    reasoning: str = ""
    """Thinking text that a server moved out of the content (`reasoning`, `reasoning_content`); "" when it did not."""
    finish_reason: str = "stop"
    """stop | length | repetition | content_filter | ... as the engine says; "unknown" when it says nothing."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Tokens of this choice; where a server reports only a total for n choices, the total shared out by text length."""
    first_logprobs: Mapping[str, float] | None = None
    """First generated token: text -> natural log-probability of the likeliest ones. None: the engine gives none."""
    token_ids: Sequence[int] | None = None


@runtime_checkable
class Engine(Protocol):
    """What the runner needs of an engine. Safe for many concurrent `ask` calls in one event loop."""

    @property
    def spec(self) -> str:
        """The engine as the user named it, without secrets: "openai:http://localhost:8000/v1"."""

    @property
    def model(self) -> str:
        """The model's name, part of every ledger key. Known without loading or asking anything, or after `start`."""

    async def start(self) -> None:
        """Make ready to be asked: load the model or find the server. Raises EngineUnavailable. Idempotent."""

    async def ask(self, request: Request) -> list[Completion]:
        """1 to request.n completions, in choice order. Raises EngineError when every retry failed."""

    async def close(self) -> None:
        """Give back sockets, threads and memory. Idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the recipe says of an engine beside its name."""

    model: str = ""
    """Name at the server; "" = the only one that it serves."""
    concurrency: int = 8
    """Most requests in flight at one time."""
    timeout: float = 600.0
    """Seconds for one request, retries apart."""
    max_retries: int = 6
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; the key itself is in no file."""
    context: int = 4096
    """Embedded engine: context per request in tokens, prompt and answer together."""
    threads: int = 0
    """Embedded engine: threads of llama.cpp; 0 = all physical cores but one."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request body, passed to the server as they are (top_k, chat_template_kwargs, ...)."""


KINDS = ("embedded", "openai", "scripted")


def open_engine(spec: str, options: EngineOptions | None = None) -> Engine:
    """The engine that `spec` names, not yet started: nothing is loaded and no server is asked.

    Raises InputError for an unknown kind or a malformed rest, MissingExtra when its package is not installed.
    """
    options = options or EngineOptions()
    kind, _, rest = spec.partition(":")
    if kind == "embedded":
        from loopguard.engines.embedded import EmbeddedEngine

        return EmbeddedEngine(rest, options)
    if kind == "openai":
        from loopguard.engines.server import ServerEngine

        return ServerEngine(rest, options)
    if kind == "scripted":
        from loopguard.engines.scripted import ScriptedEngine

        return ScriptedEngine(rest, options)
    raise InputError(
        f"unknown engine {spec!r}; pass one of embedded[:PATH.gguf|:hf:repo/file], openai:BASE_URL, scripted:FILE"
    )
