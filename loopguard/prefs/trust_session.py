"""One examination of a judge: which prompts, a ledger of its own, an engine only where something is missing, Ctrl-C.

First everything is replayed from the ledgers; what they lack is then asked, some prompts at a time.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loopguard.engines import Engine, open_engine
from loopguard.errors import InputError, LoopguardError
from loopguard.prefs.asking import Asker, Usage
from loopguard.prefs.build import make_detector
from loopguard.prefs.capabilities import find_out
from loopguard.prefs.foreground import in_own_thread
from loopguard.prefs.judging import JudgeSpec
from loopguard.prefs.ledger import Ledger
from loopguard.prefs.pipeline import build_one, make_step
from loopguard.prefs.recipe import Recipe
from loopguard.prefs.trust_asking import Examiner, Rows
from loopguard.prefs.trust_planted import QUESTIONS, Planted
from loopguard.records import Candidate, Prompt, Skip

__all__ = ["Examination", "Told"]

Work = Callable[[Examiner], Coroutine[Any, Any, Rows]]
"""All questions about one prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an examination came to."""

    rows: Rows
    engine: str
    model: str
    prompts: int
    usage: Usage


class Examination:
    """One call of `judge_trust`, from opening the ledgers to the rows."""

    def __init__(
        self,
        run_dir: Path,
        folder: Path,
        recipe: Recipe,
        spec: JudgeSpec,
        *,
        offline: bool,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        """`folder`: where the examination's ledger goes; `recipe`: the run's, with the judge that is examined."""
        self._run_dir, self._folder, self._recipe, self._spec = run_dir, folder, recipe, spec
        self._offline, self._progress = offline, progress
        self._section = recipe.judge.engine_section(recipe.engine)
        self._stop = threading.Event()

    def run(self, limit: int, planted: int, attacked: int) -> Told:
        """Raises KeyboardInterrupt after a Ctrl-C, once the answers in flight are on disk."""
        told = in_own_thread(lambda: asyncio.run(self._run(limit, planted, attacked)), on_interrupt=self._interrupted)
        if self._stop.is_set():
            raise KeyboardInterrupt
        return told

    def _interrupted(self) -> bool:
        again = self._stop.is_set()
        self._stop.set()
        return again

    async def _run(self, limit: int, planted: int, attacked: int) -> Told:
        engine = open_engine(self._section.engine, self._section.options())
        new = not self._folder.exists()
        try:
            async with AsyncExitStack() as stack:
                stack.push_async_callback(engine.close)
                of_run = stack.enter_context(Ledger.read(self._run_dir))
                ledger = stack.enter_context(Ledger.open(self._folder))
                try:
                    work = [_about(prompt, candidates) async for prompt, candidates in self._chosen(of_run, limit)]
                    prompts = len(work)
                    work += [_planted(of, attacked=k < attacked) for k, of in enumerate(QUESTIONS[:planted])]
                    rows, usage = await self._answered(work, engine, of_run, ledger)
                    return Told(rows=rows, engine=engine.spec, model=engine.model, prompts=prompts, usage=usage)
                finally:
                    new = new and not ledger.has_answers()
        finally:
            if new:
                shutil.rmtree(self._folder, ignore_errors=True)  # nothing was asked: nothing is left behind

    async def _answered(self, work: list[Work], engine: Engine, of_run: Ledger, ledger: Ledger) -> tuple[Rows, Usage]:
        """From the ledgers; what they lack is asked."""
        if not engine.model:
            if self._offline:
                raise InputError(f"{engine.spec}: offline needs the judge's model, since no server is asked for it")
            await engine.start()
        rows, usage = await self._ask(work, None, engine.model, of_run, ledger)
        if rows.missing and not self._offline and not self._stop.is_set():
            await engine.start()
            await find_out([engine], ledger)
            rows, usage = await self._ask(work, engine, engine.model, of_run, ledger)
        return rows, usage

    async def _ask(
        self, work: list[Work], engine: Engine | None, model: str, of_run: Ledger, ledger: Ledger
    ) -> tuple[Rows, Usage]:
        """All of the work, as many prompts at a time as the engine takes requests; with no engine it only replays."""
        asker = Asker(ledger, engine, model=model, extra_body=self._section.extra_body)
        examiner = Examiner(
            spec=self._spec, asker=asker, ledgers=(of_run, ledger), attempts=self._recipe.judge.attempts
        )
        free, errors, through = asyncio.Semaphore(self._section.concurrency), list[LoopguardError](), 0

        async def one(ask: Work) -> Rows:
            nonlocal through
            async with free:
                if errors or self._stop.is_set():
                    return Rows()
                try:
                    found = await ask(examiner)
                except LoopguardError as error:
                    errors.append(error)
                    return Rows()
            through += 1
            if engine is not None and self._progress is not None:
                self._progress(through, len(work))
            return found

        rows = Rows()
        for found in await asyncio.gather(*map(one, work)):
            rows.add(found)
        if errors:
            raise errors[0]
        return rows, asker.usage

    async def _chosen(self, of_run: Ledger, limit: int) -> AsyncIterator[tuple[Prompt, list[Candidate]]]:
        """At most `limit` prompts with two clean candidates or more, evenly spread over the run, and these candidates."""
        step = make_step(self._recipe, of_run, make_detector(self._recipe), None, None, None)
        size, found = of_run.size(), 0
        every = max(1, size // max(1, limit))
        for position in (k for first in range(every) for k in range(first + 1, size + 1, every)):
            if found == limit:
                return
            (row,) = of_run.rows(first=position, last=position)
            if row.prompt is None:
                continue
            outcome = await build_one(row.prompt, step)
            clean = [candidate for candidate in outcome.candidates if candidate.clean]
            failed = isinstance(outcome.result, Skip) and outcome.result.status == "failed"
            if len(clean) > 1 and not failed:
                found += 1
                yield row.prompt, clean


def _about(prompt: Prompt, candidates: list[Candidate]) -> Work:
    return lambda examiner: examiner.of_prompt(prompt, candidates)


def _planted(of: Planted, *, attacked: bool) -> Work:
    return lambda examiner: examiner.of_planted(of, attacked=attacked)
