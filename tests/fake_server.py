"""A real HTTP server that speaks /v1/models and /v1/chat/completions, deterministically, and misbehaves on command.

    with serve(faults=["429,every=3,retry_after=1"], key="secret") as server:
        engine = open_engine(f"openai:{server.url}")
        ...
        assert server.answered == 12

The command prints its address and serves until killed:

    python -m tests.fake_server --port 0 --fault 500,every=7 --log requests.jsonl

What it says when nothing goes wrong is in fake_answers.py.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.fake_answers import Json, answer, is_probe, most_tokens

STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 501, 502, 503, 504)
ODDITIES = (
    "hang",
    "cut",
    "cut_before",
    "empty_choices",
    "no_choices",
    "null",
    "null_rest",
    "invalid_json",
    "truncated_json",
    "html",
    "error_200",
    "surrogate",
)
FAULTS = (*map(str, STATUSES), *ODDITIES)


@dataclass(frozen=True)
class Fault:
    """What goes wrong (one of FAULTS), and with which chat requests; they are counted from 1."""

    kind: str
    every: int = 1
    """With each k-th request."""
    first: int = 0
    """Only with the first k requests; 0 = no end."""
    after: int = 0
    """Not with the first k requests."""
    contains: str = ""
    """Only with requests whose messages contain this text; the counts are of such requests then."""
    retry_after: str = ""
    words: str = ""
    """The server's words, for a status."""
    probes: int = 0
    """1: with probes alone, which otherwise meet no fault."""

    @staticmethod
    def parse(text: str) -> Fault:
        """From "429,every=3,retry_after=0.1"."""
        kind, *pairs = text.split(",")
        if kind not in FAULTS:
            raise ValueError(f"unknown fault {kind!r}; one of {', '.join(FAULTS)}")
        given: Json = dict(pair.split("=", 1) for pair in pairs)
        return Fault(kind, **{k: int(v) if k in ("every", "first", "after", "probes") else v for k, v in given.items()})


@dataclass
class Behaviour:
    """How the server is, faults apart."""

    models: tuple[str, ...] = ("fake-model",)
    aliases: tuple[str, ...] = ()
    """Served, not listed."""
    list_status: int = 200
    """Status of GET /models."""
    key: str = ""
    n: str = "full"
    """full | ignore | refuse | refuse_500 | a number: the most that is taken."""
    refuses: tuple[str, ...] = ()
    """Fields answered with a 400 that names them: seed, logprobs, top_logprobs, response_format, max_tokens, ..."""
    owner: str = "fake"
    """owned_by in the list of models; vllm and llamacpp tell their version and context as those do."""
    token_ids: str = "ignore"
    """ignore | offer, when asked with return_token_ids."""
    schemas: str = "obey"
    """obey | ignore."""
    rate: float = 0.0
    """Requests a second that are let through, 429 for the others; 0 = all. A bucket of one second's worth."""
    retry_after: str = "1"
    """What such a 429 says."""
    most_logprobs: int = 20
    reasoning: str = ""
    """Name of the field that carries thinking text; "" = none."""
    usage: str = "total"
    """total | first (of choice 0 only, with `timings`: llama.cpp) | none."""
    context: int = 100_000
    latency: float = 0.0
    faults: tuple[Fault, ...] = ()


@dataclass
class FakeServer:
    """A running server: its address and everything that was asked."""

    behaviour: Behaviour
    url: str = ""
    """With /v1."""
    requests: list[Json] = field(default_factory=list)
    """One entry for each chat request, probes apart: number, body, time, status, fault, answered (in full)."""
    probes: list[Json] = field(default_factory=list)
    """The same for requests that only ask what the server can do."""
    log: Path | None = None
    """When given: JSON lines, {"event": "probe" | "asked" | "refused" | "answered", "number", ...}, written as they happen."""
    in_flight: int = 0
    most_in_flight: int = 0
    counts: dict[int, int] = field(default_factory=dict)
    tokens: float = -1.0
    """In the bucket of `rate`; below 0: full."""
    filled: float = 0.0

    @property
    def answered(self) -> int:
        """Chat requests that were answered in full, with a 200 and no fault."""
        return sum(entry["answered"] for entry in self.requests)

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=1 << 28)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.chat)
        app.router.add_get("/version", self.version)
        app.router.add_get("/props", self.props)
        return app

    async def models(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/models."""
        how = self.behaviour
        if refused := self._refused_key(request):
            return refused
        if how.list_status != 200:
            return problem(how.list_status, "no list here")
        data: list[Json] = [{"id": name, "object": "model", "created": 0, "owned_by": how.owner} for name in how.models]
        for card in data:
            card |= {"vllm": {"max_model_len": how.context}, "llamacpp": {"meta": {"n_ctx_train": 2048}}}.get(
                how.owner, {}
            )
        return web.json_response({"object": "list", "data": data})

    async def version(self, _: web.Request) -> web.StreamResponse:
        """GET /version: vLLM's."""
        return web.json_response({"version": "0.99.1"}) if self.behaviour.owner == "vllm" else problem(404, "Not Found")

    async def props(self, _: web.Request) -> web.StreamResponse:
        """GET /props: llama.cpp's."""
        told = {"build_info": "b1234-abc", "default_generation_settings": {"n_ctx": self.behaviour.context}}
        return web.json_response(told) if self.behaviour.owner == "llamacpp" else problem(404, "Not Found")

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._chat(request)
        finally:
            self.in_flight -= 1

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        how = self.behaviour
        body = json.loads(await request.read())
        kept, kind = (self.probes, "probe") if is_probe(body) else (self.requests, "asked")
        entry: Json = {"number": len(kept) + 1, "body": body, "time": time.monotonic()}
        entry |= {"fault": "", "status": 0, "answered": False}
        kept.append(entry)
        self._write({"event": kind, "number": entry["number"], "body": body})
        if kind == "asked" and not self._lets_through():
            entry["status"] = 429
            self._write({"event": "refused", "number": entry["number"]})
            return problem(429, "too many requests", headers={"Retry-After": how.retry_after})
        if how.latency:
            await asyncio.sleep(how.latency)
        fault = self._fault(body)
        entry["fault"] = fault.kind if fault else ""
        response = self._refused_key(request) or refusal(body, how)
        if response is None and fault is not None:
            response = await misbehave(fault, request, body, how)
        if response is not None:
            entry["status"] = response.status
            return response
        response = web.json_response(good_answer(body, how))
        entry["status"] = response.status  # before the client can know
        await response.prepare(request)
        await response.write_eof()
        entry["answered"] = True
        if kind == "asked":
            self._write({"event": "answered", "number": entry["number"]})
        return response

    def _refused_key(self, request: web.Request) -> web.Response | None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not self.behaviour.key or given == self.behaviour.key:
            return None
        return problem(401, f"Incorrect API key provided: {given}", code="invalid_api_key")

    def _lets_through(self) -> bool:
        rate, now = self.behaviour.rate, time.monotonic()
        if not rate:
            return True
        full = self.tokens < 0
        self.tokens = rate if full else min(rate, self.tokens + rate * (now - self.filled))
        self.filled = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def _fault(self, body: Json) -> Fault | None:
        said = " ".join(str(message["content"]) for message in body["messages"])
        for place, fault in enumerate(self.behaviour.faults):
            if fault.contains not in said or bool(fault.probes) != is_probe(body):
                continue
            self.counts[place] = count = self.counts.get(place, 0) + 1
            if count % fault.every == 0 and count > fault.after and (not fault.first or count <= fault.first):
                return fault
        return None

    def _write(self, event: Json) -> None:
        if self.log:
            with self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"time": time.time(), **event}) + "\n")


def problem(status: int, words: str, *, code: str = "", headers: dict[str, str] | None = None) -> web.Response:
    """An error in OpenAI's form."""
    error = {"message": words, "type": "invalid_request_error", "param": None, "code": code or None}
    return web.json_response({"error": error}, status=status, headers=headers)


def refusal(body: Json, how: Behaviour) -> web.Response | None:
    """The 4xx that this request earns by itself."""
    if body["model"] not in (*how.models, *how.aliases):
        return problem(404, f"The model `{body['model']}` does not exist.", code="model_not_found")
    for name in how.refuses:
        if name in body:
            hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
            return problem(400, f"Unsupported parameter: '{name}' is not supported with this model.{hint}")
    if body.get("top_logprobs", 0) > how.most_logprobs:
        return problem(400, f"Invalid value for 'top_logprobs': must be less than or equal to {how.most_logprobs}.")
    n = body.get("n", 1)
    if n > 1 and how.n.startswith("refuse"):
        return problem(500 if how.n == "refuse_500" else 400, "n must be 1 for this model")
    if n > 1 and how.n.isdigit() and n > int(how.n):
        return problem(400, f"Field 'n': Value must be between 1 <= value <= {how.n}, but got {n}")
    length = sum(len(str(message["content"]).split()) for message in body["messages"])
    if length > how.context:
        words = f"request ({length} tokens) exceeds the available context size ({how.context} tokens)"
        return problem(400, words, code="exceed_context_size_error")
    if length + most_tokens(body) > how.context:
        words = f"This model's maximum context length is {how.context} tokens. However, you requested "
        words += (
            f"{length + most_tokens(body)} tokens ({length} in the messages, {most_tokens(body)} in the completion)."
        )
        return problem(400, words, code="context_length_exceeded")
    return None


def good_answer(body: Json, how: Behaviour) -> Json:
    """What the server says when nothing goes wrong."""
    if how.schemas == "ignore":
        body = {name: value for name, value in body.items() if name != "response_format"}
    return answer(body, n=how.n, reasoning=how.reasoning, usage=how.usage, token_ids=how.token_ids)


async def misbehave(fault: Fault, request: web.Request, body: Json, how: Behaviour) -> web.StreamResponse:
    """The faulty answer."""
    kind, good = fault.kind, good_answer(body, how)
    if kind.isdigit():
        headers = {"Retry-After": fault.retry_after} if fault.retry_after else None
        return problem(int(kind), fault.words or f"scripted {kind}", headers=headers)
    if kind == "hang":
        await asyncio.sleep(3600)
    if kind in ("cut", "cut_before"):
        response = web.StreamResponse(headers={"Content-Length": "10000", "Content-Type": "application/json"})
        if kind == "cut":
            await response.prepare(request)
            await response.write(json.dumps(good).encode()[:40])
        assert request.transport is not None
        request.transport.abort()
        return response
    if kind in ("invalid_json", "truncated_json", "html"):
        text = {"invalid_json": "{'choices': oops", "html": "<html><body>Welcome</body></html>"}.get(kind)
        return web.Response(
            text=text or json.dumps(good)[:60], content_type="text/html" if kind == "html" else "application/json"
        )
    if kind == "error_200":
        return web.json_response({"error": {"message": fault.words or "upstream failed", "code": 502}})
    if kind == "empty_choices":
        good["choices"] = []
    elif kind == "no_choices":
        del good["choices"]
    elif kind == "surrogate":
        good["choices"][0]["message"]["content"] = "lone \ud800 pair \ud83d\ude00"
    else:
        for choice in good["choices"]:
            if kind == "null" or choice["index"] > 0:
                choice["message"] = {"role": "assistant", "content": None}
    return web.json_response(good)


def behaviour(faults: list[str] | tuple[str, ...] = (), **given: Any) -> Behaviour:
    """A Behaviour with its faults given as text."""
    return Behaviour(faults=tuple(Fault.parse(text) for text in faults), **given)


async def run(server: FakeServer, port: int, ready: Any, stop: asyncio.Event) -> None:
    """Serve on 127.0.0.1 until `stop`; `ready` is called when the address is known."""
    runner = web.AppRunner(server.app(), shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready()
        await stop.wait()
    finally:
        await runner.cleanup()


@contextmanager
def serve(
    faults: list[str] | tuple[str, ...] = (), *, log: Path | None = None, port: int = 0, **given: Any
) -> Iterator[FakeServer]:
    """A server in its own thread. Keyword arguments are those of Behaviour."""
    server, ready, stop, loop = FakeServer(behaviour(faults, **given), log=log), threading.Event(), asyncio.Event(), []

    async def main() -> None:
        loop.append(asyncio.get_running_loop())
        await run(server, port, ready.set, stop)

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    if not ready.wait(10):
        raise RuntimeError("the fake server did not start")
    try:
        yield server
    finally:
        loop[0].call_soon_threadsafe(stop.set)
        thread.join(10)


def main() -> None:
    """The command: print the address, serve until killed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--fault", action="append", default=[], help="KIND[,every=K][,first=K][,contains=TEXT][,retry_after=S]"
    )
    parser.add_argument("--log", type=Path, help="JSON lines of what was asked and answered")
    for name, default in asdict(Behaviour()).items():
        if name == "faults":
            continue
        if isinstance(default, tuple):
            parser.add_argument(f"--{name}", type=lambda text: tuple(text.split(",")), default=default)
        else:
            parser.add_argument(f"--{name}", type=type(default), default=default)
    given = vars(parser.parse_args())
    port, faults, log = given.pop("port"), given.pop("fault"), given.pop("log")
    server = FakeServer(behaviour(faults, **given), log=log)
    asyncio.run(run(server, port, lambda: print(server.url, flush=True), asyncio.Event()))


if __name__ == "__main__":
    main()
