"""A model in this process: llama.cpp through xllamacpp, asked like any other server but on an address of its own.

    engine = open_engine("embedded")                                   # SmolLM2-135M-Instruct
    engine = open_engine("embedded:models/qwen3-0.6b-q8_0.gguf")
    engine = open_engine("embedded:hf:user/repo/file.gguf")

Only this machine can reach it (127.0.0.1, a free port). Each of `concurrency` slots has a context of its own. Samplers
that a request does not name are llama.cpp's: top_k 40, min_p 0.05; extra_body sets them.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from loopguard.engines import Completion, EngineOptions, Request
from loopguard.engines.address import check_extra_body
from loopguard.engines.gguf import training_context
from loopguard.engines.probe import Capabilities
from loopguard.engines.refusals import one_line
from loopguard.engines.server import ServerEngine
from loopguard.engines.weights import INSTALL_ENGINE, find_weights
from loopguard.errors import EngineError, EngineUnavailable, MissingExtra

log = logging.getLogger(__name__)


class EmbeddedEngine:
    """llama.cpp in the process with the GGUF model that `rest` names: "", PATH.gguf or hf:user/repo/file.gguf."""

    def __init__(self, rest: str, options: EngineOptions) -> None:
        """Nothing is loaded yet. Raises MissingExtra without xllamacpp, InputError for a malformed name."""
        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingExtra(f"the embedded engine needs xllamacpp: {INSTALL_ENGINE}")
        check_extra_body(options.extra_body)
        self._rest = rest
        self._weights = find_weights(rest)
        self._options = options
        self._llama: Any = None
        self._server: ServerEngine | None = None
        self._lock = asyncio.Lock()
        self._can = Capabilities()

    @property
    def spec(self) -> str:
        """`embedded`, or `embedded:` with the model as the user named it."""
        return f"embedded:{self._rest}" if self._rest else "embedded"

    @property
    def model(self) -> str:
        """The name given in the options, else the file's name without its ending."""
        return self._options.model or self._weights.name

    async def start(self) -> None:
        """Download the model where needed, load it, wait until it answers. Raises EngineUnavailable or InputError."""
        async with self._lock:
            if self._server is not None:
                return
            path = await asyncio.to_thread(self._weights.fetch)
            options = replace(self._options, context=_context(path, self._options.context))
            llama = await asyncio.to_thread(_load, path, self.model, options)
            server = ServerEngine(f"{llama.listening_address}/v1", replace(self._options, model=self.model))
            try:
                await server.start()
            except BaseException:
                del llama
                raise
            self._llama, self._server = llama, server
            self._can = _capabilities(options.context)

    async def probe(self) -> Capabilities:
        """What llama.cpp can do, known without asking. Starts the engine, which knows the context."""
        await self.start()
        return self._can

    def use(self, known: Capabilities) -> None:
        """Nothing: it is known anyway."""

    async def ask(self, request: Request) -> list[Completion]:
        """1 to n completions in choice order; see ServerEngine.ask."""
        if self._server is None:
            await self.start()
        if self._server is None:
            raise EngineError("the embedded engine is closed")
        return await self._server.ask(request)

    async def close(self) -> None:
        """Stop the server, free the model."""
        server, self._server = self._server, None
        llama, self._llama = self._llama, None
        self._lock = asyncio.Lock()
        if server is not None:
            await server.close()
        del llama  # its destructor joins llama.cpp's threads: about 0.03 s


def _context(path: Path, asked: int) -> int:
    """Tokens per slot: `asked`, but not more than the model was trained with."""
    trained = training_context(path)
    if trained is None or asked <= trained:
        return asked
    log.warning("%s was trained with a context of %d tokens: using %d, not %d", path.name, trained, trained, asked)
    return trained


def _capabilities(context: int) -> Capabilities:
    """As llama.cpp's server documents them; tests/engines/test_embedded.py holds them against a probe of it."""
    return Capabilities(
        software=f"llama.cpp (xllamacpp {metadata.version('xllamacpp')})",
        context=context,
        n=True,
        seed=True,
        top_logprobs=20,
        json_schema=True,
        token_ids=False,
    )


def _load(path: Path, name: str, options: EngineOptions) -> Any:
    """A running xllamacpp.Server (blocking). Raises EngineUnavailable with llama.cpp's own words."""
    import xllamacpp

    params = _params(xllamacpp.CommonParams(), path, name, options)
    with _stderr_kept() as said:
        try:
            llama = xllamacpp.Server(params)
        except RuntimeError:
            params.verbosity = 1  # once more, to hear why
            with contextlib.suppress(RuntimeError):
                xllamacpp.Server(params)
            time.sleep(0.1)  # llama.cpp writes its log from a thread
            raise EngineUnavailable(f"{path} cannot be loaded: {_last_words(said())}") from None
    # a server that is torn down before it has answered once waits for itself for ever
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{llama.listening_address}/health"):
        return llama


def _params(params: Any, path: Path, name: str, options: EngineOptions) -> Any:
    """llama.cpp's settings; everything else as llama.cpp has it.

    One core is left free: llama.cpp's threads wait for each other by spinning, and where another program takes one of their
    cores they all stand still: on two busy cores two threads are many times slower than one.
    """
    params.model.path = str(path)
    params.model_alias = {name}
    params.n_parallel = options.concurrency
    params.n_ctx = options.context * options.concurrency  # split evenly over the slots
    params.kv_unified = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads or max(1, cores() - 1)
    params.port = 0
    params.ui = False
    params.verbosity = -1
    params.fit_params = False
    return params


def cores() -> int:
    """Cores that this process may use; of two hyper-threads of one core only one counts."""
    usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else (os.cpu_count() or 1)
    return max(1, min(usable, _physical() or usable))


def _physical() -> int | None:
    """Physical cores as Linux lists them; None where it does not."""
    siblings = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/topology/thread_siblings_list")
    try:
        return len({path.read_text().strip() for path in siblings}) or None
    except OSError:
        return None


@contextlib.contextmanager
def _stderr_kept() -> Iterator[Any]:
    """Send file descriptor 2, where C code writes, to a file; yields a function that reads what came."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)

        def said() -> str:
            file.seek(0)
            return file.read().decode("utf-8", "replace")

        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _last_words(text: str) -> str:
    """The first line that names an error, without time stamp and function."""
    lines = [line for line in text.splitlines() if "error" in line.lower()] or text.splitlines() or ["no reason given"]
    return one_line(lines[0].split("error loading model: ")[-1])
