"""vLLM in this process, without a server: its public asynchronous engine, one `generate` for each request.

    engine = open_engine("vllm:Qwen/Qwen3-1.7B", EngineOptions(engine_args={"max_model_len": 4096}))

Every request is handed over at once and vLLM batches them as it goes, so that it is kept full without chunks and their tails,
and a prompt's answers are examined and judged while the next ones are sampled. `engine_args` are vLLM's EngineArgs by name;
extra_body holds further SamplingParams and `chat_template_kwargs`. `concurrency` and `timeout` mean nothing here: engine_args
max_num_seqs says how many sequences run at a time, the others wait. vLLM's log goes to a file (vllm_log.py).
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import importlib.util
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loopguard.engines import Completion, Engine, EngineOptions, Message, Request
from loopguard.engines.refusals import is_context_error, one_line
from loopguard.engines.vllm_arguments import OURS, TEMPLATE, check_names, read_output, sampling_fields
from loopguard.engines.vllm_log import Log
from loopguard.errors import ContextTooLong, EngineError, EngineUnavailable, InputError, MissingExtra

INSTALL = "pip install 'loopguard-prefs[vllm]'"


class VllmEngine:
    """vLLM with the model that `rest` names: a name on the Hub or a folder."""

    def __init__(self, rest: str, options: EngineOptions, *, beside: Engine | None = None) -> None:
        """Nothing is loaded yet. Shares the model of `beside` where that is the same one with the same engine_args.

        Raises MissingExtra without vllm, InputError for a model that cannot be one.
        """
        if importlib.util.find_spec("vllm") is None:
            raise MissingExtra(f"the vllm engine needs vLLM: {INSTALL}")
        where = _model(rest)
        self._rest, self._options = rest, options
        self._name = Path(where).resolve().name if Path(where).is_dir() else where
        if options.model not in ("", self._name):
            raise InputError(f"vllm:{rest} is the model {self._name}; for {options.model} pass vllm:{options.model}")
        self._open = True
        self._loaded = _Loaded(where, options.engine_args)
        if isinstance(beside, VllmEngine) and beside._loaded.same_as(self._loaded):
            self._loaded = beside._loaded
        self._loaded.users += 1

    @property
    def spec(self) -> str:
        """`vllm:` with the model as the user named it."""
        return f"vllm:{self._rest}"

    @property
    def model(self) -> str:
        """The name on the Hub, or the folder's."""
        return self._name

    async def start(self) -> None:
        """Load the model: half a minute and more. Raises EngineUnavailable, or InputError for an unknown name."""
        if not self._open:
            self._open = True
            self._loaded.users += 1
        await self._loaded.start(self._options.extra_body)

    async def ask(self, request: Request) -> list[Completion]:
        """1 to n completions in choice order."""
        await self.start()
        template = self._options.extra_body.get(TEMPLATE, {})
        fields = sampling_fields(request, self._options.extra_body)
        return await self._loaded.ask(request.messages, fields, template)

    async def close(self) -> None:
        """End vLLM's processes, unless another engine shares them. Idempotent."""
        if self._open:
            self._open = False
            self._loaded.users -= 1
            if not self._loaded.users:
                await self._loaded.stop()


def _model(name: str) -> str:
    """The name, or the path of a folder. Raises InputError where it is neither."""
    if not name:
        raise InputError("vllm needs a model; example: vllm:Qwen/Qwen3-1.7B or vllm:path/to/folder")
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError(f"vllm:{name}: a folder without config.json holds no model for vLLM")
        return str(path)
    if path.is_file():
        raise InputError(f"vllm:{name} is a file; vLLM takes a folder with config.json, or a name on the Hub")
    if name.startswith(("/", "./", "../", "~")) or name.count("/") > 1:
        raise InputError(f"vllm:{name}: no such folder (and no name on the Hub, which is USER/MODEL)")
    return name


class _Loaded:
    """One vLLM with one model, shared by the engines that want the same."""

    def __init__(self, where: str, engine_args: Mapping[str, Any]) -> None:
        self.users = 0
        self._where, self._args = where, dict(engine_args)
        self._sampling_names: list[str] = []
        self._vllm: Any = None
        self._log: Log | None = None
        self._lock = asyncio.Lock()
        self._ids = itertools.count()

    def same_as(self, other: _Loaded) -> bool:
        """The same model, run in the same way."""
        return (self._where, self._key()) == (other._where, other._key())

    def _key(self) -> str:
        return json.dumps(self._args, sort_keys=True, default=str)

    async def start(self, extra_body: Mapping[str, Any]) -> None:
        """Check what is asked of vLLM by name, then load the model; at once where it is loaded."""
        if self._vllm is not None:
            self._check(extra_body)
            return
        async with self._lock:
            if self._vllm is None:
                log = Log()
                try:
                    await asyncio.to_thread(self._load, log, extra_body)
                except InputError:
                    log.close()
                    raise
                except Exception as error:  # whatever vLLM, torch or the Hub's client raises
                    told = _told(log, error)
                    log.close()
                    raise EngineUnavailable(f"vllm:{self._where} cannot be loaded: {told}") from None
                self._log = log

    def _check(self, extra_body: Mapping[str, Any]) -> None:
        known = {*self._sampling_names, TEMPLATE}
        check_names(extra_body, known, what=f"vllm:{self._where}: extra_body", taken=OURS)

    def _load(self, log: Log, extra_body: Mapping[str, Any]) -> None:
        """The engine stands in no local variable here: vLLM's imports leave a traceback that keeps this frame alive."""
        with log.collecting():
            from vllm import AsyncEngineArgs, AsyncLLMEngine, SamplingParams

            self._sampling_names = [name for name in SamplingParams.__struct_fields__ if not name.startswith("_")]
            self._check(extra_body)
            known = [field.name for field in dataclasses.fields(AsyncEngineArgs) if field.init]
            check_names(self._args, known, what="engine_args", taken=("model",))
            quiet = {"disable_log_stats": True} | self._args
            with log.taking("huggingface_hub", "transformers"):
                self._vllm = AsyncLLMEngine.from_engine_args(AsyncEngineArgs(model=self._where, **quiet))
            try:
                self._vllm.renderer.render_chat([[{"role": "user", "content": "Hi"}]], *_rendering(self._vllm, {}))
            except Exception as error:
                self._vllm.shutdown()
                self._vllm = None
                if not isinstance(error, ValueError):
                    raise
                words = one_line(str(error))
                raise InputError(f"vllm:{self._where} has no chat template that can be used: {words}") from None

    async def ask(
        self, messages: Sequence[Message], fields: Mapping[str, Any], template: Mapping[str, Any]
    ) -> list[Completion]:
        vllm, output = self._vllm, None
        try:
            parameters = _parameters(fields)
            _, (prompt,) = await vllm.renderer.render_chat_async([list(messages)], *_rendering(vllm, template))
            async for one in vllm.generate(prompt, parameters, request_id=f"loopguard-{next(self._ids)}"):
                output = one
        except Exception as error:  # vLLM's errors have no common root
            raise self._meaning(error.with_traceback(None)) from None
        finally:
            del vllm  # nor may a traceback keep it: see `stop`
        if output is None:
            raise EngineError(f"vllm:{self._where}: gave no output")
        return read_output(output)

    def _meaning(self, error: Exception) -> EngineError:
        if self._vllm is None or self._log is None:
            return EngineError("vLLM was closed")
        if self._vllm.errored:
            return EngineUnavailable(f"vllm:{self._where} died: {_told(self._log, error)}")
        words = one_line(str(error))
        kind = ContextTooLong if is_context_error(400, words) else EngineError
        return kind(f"vllm:{self._where}: {words}")

    async def stop(self) -> None:
        """End vLLM's processes and leave nothing that refers to it."""
        vllm, self._vllm = self._vllm, None
        log, self._log = self._log, None
        self._lock = asyncio.Lock()
        if vllm is not None:
            await asyncio.to_thread(vllm.shutdown)
            del vllm
            gc.collect()  # its destructor fails where it runs as late as at the end of the interpreter
        if log is not None:
            await asyncio.to_thread(log.close)


def _told(log: Log, error: BaseException) -> str:
    log.wanted = True
    return f"{log.cause(error)} (its log: {log.path})"


def _parameters(fields: Mapping[str, Any]) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RepetitionDetectionParams, RequestOutputKind, StructuredOutputsParams

    kinds = {"structured_outputs": StructuredOutputsParams, "repetition_detection": RepetitionDetectionParams}
    made = {name: kinds[name](**value) if name in kinds else value for name, value in fields.items()}
    return SamplingParams(**made, output_kind=RequestOutputKind.FINAL_ONLY)


def _rendering(vllm: Any, template: Mapping[str, Any]) -> tuple[Any, Any]:
    """How a conversation becomes a prompt, as in LLM.chat: by the model's chat template, which alone sets special tokens."""
    from vllm.renderers import ChatParams

    how = {"add_generation_prompt": True, "continue_final_message": False, "tools": None, **template}
    return ChatParams(chat_template_kwargs=how), vllm.renderer.default_chat_tok_params.with_kwargs(
        add_special_tokens=False
    )
