"""The model's own likeliest tokens at the onset of a loop, asked of an engine; every answer is on disk before it is used.

A request is the prompt with the answer so far as a last, unfinished assistant message, for one token and its log-probabilities.
llama.cpp (`embedded`, its server), vLLM and SGLang go on with such a message; hosted services mostly do not.
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopguard.engines import EngineOptions, Request, open_engine
from loopguard.errors import EngineError, EngineUnavailable, InputError
from loopguard.handover.onsets import MOST
from loopguard.prefs.asking import Asker
from loopguard.prefs.foreground import in_own_thread
from loopguard.prefs.keys import digest_messages, request_key
from loopguard.prefs.ledger import Ledger

if TYPE_CHECKING:
    from loopguard.engines import Engine
    from loopguard.handover.onsets import Onset
    from loopguard.records import Prompt

__all__ = ["Alternatives"]

KINDS = ("embedded", "openai", "scripted")
_GO_ON = {"continue_final_message": True, "add_generation_prompt": False}
"""What vLLM and SGLang want to be told; llama.cpp does it unasked and ignores these."""


class Alternatives:
    """An engine's answers at onsets, in a ledger of their own: a second export asks only what is missing."""

    def __init__(self, folder: Path, spec: str, options: EngineOptions) -> None:
        """Open the ledger in `folder`. Raises InputError for an engine that cannot go on with an answer, RunInUse."""
        kind = spec.partition(":")[0]
        if kind not in KINDS:
            raise InputError(
                f"--engine {spec!r}: for ftpo one of {', '.join(KINDS)}, which go on with an unfinished answer"
            )
        self._extra: dict[str, Any] = {**options.extra_body, **(_GO_ON if kind == "openai" else {})}
        self._options = dataclasses.replace(options, extra_body=self._extra)
        self._spec, self._model = spec, options.model
        self._new = not folder.exists()
        self._folder, self._ledger = folder, Ledger.open(folder)

    def ask(self, places: Iterable[tuple[Prompt, Onset]]) -> None:
        """Have an answer for every place, as far as the engine gives one. Raises EngineUnavailable, LoopguardError."""
        engine = open_engine(self._spec, self._options)
        stop = threading.Event()

        def interrupted() -> bool:
            stop.set()
            return False

        in_own_thread(lambda: asyncio.run(self._ask(engine, places, stop)), on_interrupt=interrupted)
        if stop.is_set():
            raise KeyboardInterrupt

    def at(self, prompt: Prompt, onset: Onset) -> Mapping[str, float] | None:
        """The log-probabilities there; None where the engine gave none. Asks nothing."""
        answer = self._ledger.answers(prompt.prompt_id).get(self._key(prompt, onset))
        return answer.first_logprobs if answer else None

    def close(self) -> None:
        """Let go of the ledger; a new one without answers is removed."""
        unused = self._new and not self._ledger.has_answers()
        self._ledger.close()
        if unused:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _key(self, prompt: Prompt, onset: Onset) -> bytes:
        request = _request(prompt, onset)
        return request_key(self._model, request, self._extra, messages_digest=digest_messages(request.messages))

    async def _ask(self, engine: Engine, places: Iterable[tuple[Prompt, Onset]], stop: threading.Event) -> None:
        try:
            if not engine.model:
                await engine.start()
            self._model = engine.model
            asker = Asker(self._ledger, engine, model=engine.model, extra_body=self._extra)
            free = asyncio.Semaphore(self._options.concurrency)
            async with asyncio.TaskGroup() as group:
                for prompt, onset in places:
                    if self._key(prompt, onset) in self._ledger.answers(prompt.prompt_id):
                        continue
                    await engine.start()
                    await free.acquire()
                    if stop.is_set():
                        return
                    group.create_task(self._ask_one(asker, prompt, onset, free))
        except* EngineUnavailable as errors:
            raise errors.exceptions[0] from None
        finally:
            await engine.close()

    async def _ask_one(self, asker: Asker, prompt: Prompt, onset: Onset, free: asyncio.Semaphore) -> None:
        try:
            await asker.ask(prompt.prompt_id, _request(prompt, onset), self._ledger.answers(prompt.prompt_id))
        except EngineUnavailable:
            raise
        except EngineError:
            pass  # recorded; the row is left out and counted
        finally:
            free.release()


def _request(prompt: Prompt, onset: Onset) -> Request:
    unfinished = {"role": "assistant", "content": onset.answer}
    return Request(messages=[*prompt.messages, unfinished], max_tokens=1, top_logprobs=MOST, seed=0)
