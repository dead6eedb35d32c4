"""ASK. The one seam between loopguard and whatever produces text.

An engine knows messages and sampling parameters. It knows nothing of prompts files, loops, judges or pairs.

    engine = open_engine("openai:http://localhost:8000/v1", model="my-model")
    completions = await engine.ask(Request(messages=[{"role": "user", "content": "Hi"}], n=5, temperature=0.8, seed=1))

The kinds: `embedded[:PATH.gguf|:hf:repo/file]` (embedded.py), `openai:BASE_URL` (server.py), `scripted:FILE`
(scripted.py) and `vllm:MODEL` (vllm.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    early_stop: Mapping[str, int] | None = None
    """When given: vLLM's RepetitionDetectionParams by name. A choice so stopped has finish_reason "repetition"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One choice of an engine's answer."""

    content: str
    reasoning: str = ""
    """Thinking text that a server moved out of the content (`reasoning`, `reasoning_content`); "" when it did not."""
    finish_reason: str = "stop"
    """stop | length | repetition | content_filter | ... as the engine says; "unknown" when it says nothing."""
    stop_reason: str | None = None
    """What ended it beside the end token, where the engine says so: a stop string, a token id, `repetition_detected`."""
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


@runtime_checkable
class Waits(Protocol):
    """An engine that may have to wait for a server: the runner asks when it is to stop."""

    @property
    def idle(self) -> bool:
        """Nothing is in flight."""

    @property
    def stalled(self) -> bool:
        """Nothing is in flight, since the server is gone or asked to be left alone."""

    def tell(self, listener: Callable[[str], None]) -> None:
        """Hand a line for the user, should there be one, to `listener` instead of the log."""


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
    """Tries after the first of a request that fails by itself."""
    patience: float = 300.0
    """Seconds that a server is waited for which is gone, or which turns a request away as busy (429, 503)."""
    api_key_env: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; the key itself is in no file."""
    context: int = 4096
    """Embedded engine: context per request in tokens, prompt and answer together."""
    threads: int = 0
    """Embedded engine: threads of llama.cpp; 0 = all physical cores but one."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request body, passed to the server as they are (top_k, chat_template_kwargs, ...)."""
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    """vLLM: its EngineArgs by name (tensor_parallel_size, max_model_len, dtype, gpu_memory_utilization, ...)."""


KINDS = ("embedded", "openai", "scripted", "vllm")

EARLY_STOP = ("openai", "vllm")
"""Kinds that can be asked for Request.early_stop. Of servers only vLLM's take it; others ignore or refuse it."""


def open_engine(spec: str, options: EngineOptions | None = None, *, beside: Engine | None = None) -> Engine:
    """The engine that `spec` names, not yet started: nothing is loaded and no server is asked.

    With `beside`, a vLLM engine of the same model and engine_args shares what that one has loaded.

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
    if kind == "vllm":
        from loopguard.engines.vllm import VllmEngine

        return VllmEngine(rest, options, beside=beside)
    known = "embedded[:PATH.gguf|:hf:repo/file], openai:BASE_URL, scripted:FILE, vllm:MODEL"
    raise InputError(f"unknown engine {spec!r}; pass one of {known}")
