"""The local runner: every prompt through the one step, many at a time; then the tables, in order, from the ledger.

    build_one      the way of one prompt: sample (5 + 1) -> detect -> judge (clean candidates only) -> pair -> second look
    ask_missing    first pass: every prompt that is not done goes through build_one, answers land in the ledger
    write_tables   second pass: build_one again in the order of the prompts, with nothing but the ledger

The second pass asks nothing, so the outputs are a pure function of ledger and recipe: the same bytes, however often the
first pass was killed, and in whatever order the answers came.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from loopguard.engines import Completion, Engine, Request, Waits
from loopguard.errors import ContextTooLong, EngineError, EngineUnavailable, LoopguardError
from loopguard.prefs.asking import Asker, NotAnswered
from loopguard.prefs.budget import Accounts, Purse
from loopguard.prefs.judging import Judgement, JudgeSpec, judge_one
from loopguard.prefs.keeping import Keeper
from loopguard.prefs.ledger import Progress
from loopguard.prefs.outputs import Outcome, Provenance, Tables
from loopguard.prefs.pairing import make_pairs, merge_equal
from loopguard.prefs.pairwise import Preference, prefer, still_preferred
from loopguard.prefs.recipe import Recipe
from loopguard.prefs.sampling import Draw, candidates_of, draws
from loopguard.prefs.summary import Figures
from loopguard.records import Candidate, Pair, Prompt, Skip

if TYPE_CHECKING:
    from loopguard.loops.detector import Detector

T = TypeVar("T")
Known = Mapping[bytes, Completion]
"""What the ledger has for one prompt, by request key."""

IN_A_ROW = 20
"""So many prompts failing one after another, with none answered between, mean that the server is gone: stop asking."""

GRACE = 10.0
"""Seconds that answers in flight may still take after a stop was asked for."""


class Watcher(Protocol):
    """Who looks on while a run works: a progress bar, a log, nobody."""

    def asking(self, *, total: int, done: int) -> None:
        """The first pass starts: `done` of `total` prompts need nothing any more."""

    def asked(self, outcome: Outcome) -> None:
        """One more prompt is through."""

    def writing(self, *, total: int) -> None:
        """The second pass starts."""

    def wrote(self) -> None:
        """One more prompt is in the tables."""

    def note(self, text: str) -> None:
        """A line for a person."""


@runtime_checkable
class CountWatcher(Protocol):
    """A Watcher that is also told of prompts that came through in other processes."""

    def through(self, prompts: int, *, outputs: int, looping: int, failed: int) -> None:
        """So many more prompts are through."""


@runtime_checkable
class PurseWatcher(Protocol):
    """A Watcher that also tells what is spent."""

    def paying_from(self, purse: Purse) -> None:
        """The purse of the session: it can be looked into while the session works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the way of one prompt needs. With askers that hold no engine it only replays the ledger."""

    recipe: Recipe
    ledger: Keeper
    detector: Detector
    sampler: Asker
    judge: Asker
    spec: JudgeSpec | None
    purse: Purse | None = None

    @property
    def replays(self) -> bool:
        """Nothing is asked and nothing is waited for."""
        return self.sampler.replays and self.judge.replays


def make_step(
    recipe: Recipe,
    ledger: Keeper,
    detector: Detector,
    spec: JudgeSpec | None,
    sampler: Engine | None,
    judge: Engine | None,
    *,
    accounts: Accounts | None = None,
) -> Step:
    """A Step over a ledger; an engine that is None is only replayed; `accounts` keep what is spent, within a budget."""
    judging = recipe.judge.engine_section(recipe.engine)
    paid = accounts or Accounts()
    return Step(
        recipe=recipe,
        ledger=ledger,
        detector=detector,
        spec=spec,
        sampler=Asker(
            ledger, sampler, model=recipe.engine.model, extra_body=recipe.engine.extra_body, account=paid.sampling
        ),
        judge=Asker(ledger, judge, model=judging.model, extra_body=judging.extra_body, account=paid.judging),
        purse=paid.purse,
    )


async def build_one(prompt: Prompt, step: Step) -> Outcome:
    """The whole way of one prompt. A request that cannot be answered is data: the outcome is a Skip that says so.

    Raises EngineUnavailable and StorageError, after which nothing can go on.
    """
    known = step.ledger.answers(prompt.prompt_id)
    candidates: list[Candidate] = []
    try:
        for draw, answers in await _sample(prompt, step, known):
            candidates += candidates_of(prompt, draw, answers, step.recipe.output)
        candidates = merge_equal(examine(candidates, step.detector))
        candidates = await _judge(prompt, candidates, step, known)
        pairs = make_pairs(prompt, candidates, step.recipe.pairing, judged=step.spec is not None)
        pairs = await _look_again(prompt, pairs, step, known)
    except EngineUnavailable:
        raise
    except EngineError as error:
        return Outcome(prompt=prompt, candidates=candidates, result=_why_not(error))
    return Outcome(prompt=prompt, candidates=candidates, result=pairs)


async def _sample(prompt: Prompt, step: Step, known: Known) -> list[tuple[Draw, list[Completion]]]:
    needed = draws(prompt, step.recipe.sampling)
    found = await _all(step, (step.sampler.ask(prompt.prompt_id, draw.request, known) for draw in needed))
    return list(zip(needed, found, strict=True))


def examine(candidates: Sequence[Candidate], detector: Detector) -> list[Candidate]:
    """The candidates with their verdicts."""
    verdicts = detector.detect_batch([candidate.text for candidate in candidates])
    return [dataclasses.replace(c, verdict=verdict) for c, verdict in zip(candidates, verdicts, strict=True)]


async def _judge(prompt: Prompt, candidates: list[Candidate], step: Step, known: Known) -> list[Candidate]:
    """The candidates with scores: every clean one that stands for itself, unless there is nothing to compare."""
    clean = [c for c in candidates if c.clean]
    if step.spec is None or not clean or (len(clean) < 2 and not any(c.looping for c in candidates)):
        return candidates
    spec, attempts = step.spec, step.recipe.judge.attempts

    async def one(candidate: Candidate) -> Judgement:
        try:
            return await judge_one(spec, prompt, candidate, _judges_reply(prompt, step, known), attempts=attempts)
        except EngineError as error:
            if _is_context(error):
                return Judgement(None, f"too long for the judge: {error}")
            raise

    found = await _all(step, (one(candidate) for candidate in clean))
    judgements = dict(zip((c.index for c in clean), found, strict=True))
    return [
        dataclasses.replace(c, score=judgements[c.index].score, judge_error=judgements[c.index].error)
        if c.index in judgements
        else c
        for c in candidates
    ]


def _judges_reply(prompt: Prompt, step: Step, known: Known) -> Callable[[Request], Awaitable[Completion]]:
    async def ask(request: Request) -> Completion:
        return (await step.judge.ask(prompt.prompt_id, request, known))[0]

    return ask


async def _look_again(prompt: Prompt, pairs: list[Pair] | Skip, step: Step, known: Known) -> list[Pair] | Skip:
    """With `judge.second_look`: the pairs by score that the judge stands by when it sees both sides, in both orders."""
    spec, attempts = step.spec, step.recipe.judge.attempts
    if spec is None or not step.recipe.judge.second_look or isinstance(pairs, Skip):
        return pairs
    ask = _judges_reply(prompt, step, known)

    async def look(pair: Pair) -> Preference | str:
        try:
            return await prefer(spec, prompt, pair.chosen, pair.rejected, ask, attempts=attempts)
        except EngineError as error:
            if _is_context(error):
                return f"too long for the judge: {error}"
            raise

    return await still_preferred(pairs, look)


async def _all(step: Step, work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results. Where any failed, the gravest error, once all have ended: every answer in flight was recorded then."""
    found: list[T | BaseException]
    if step.replays:
        found = [await _caught(one) for one in work]
    else:
        found = await asyncio.gather(*work, return_exceptions=True)
    wrong = [one for one in found if isinstance(one, BaseException)]
    if wrong:
        raise min(wrong, key=_gravity)
    return [one for one in found if not isinstance(one, BaseException)]


async def _caught(work: Coroutine[Any, Any, T]) -> T | BaseException:
    try:
        return await work
    except Exception as error:
        return error


def _gravity(error: BaseException) -> int:
    """0: nothing can go on. 1: this request was refused or failed. 2: it was only not asked yet."""
    if not isinstance(error, EngineError) or isinstance(error, EngineUnavailable):
        return 0
    return 2 if isinstance(error, NotAnswered) and error.failure is None else 1


def _is_context(error: EngineError) -> bool:
    if isinstance(error, NotAnswered):
        return error.failure is not None and error.failure.kind == "context_too_long"
    return isinstance(error, ContextTooLong)


def _why_not(error: EngineError) -> Skip:
    if isinstance(error, NotAnswered) and error.failure is None:
        return Skip(status="failed", reason="not_asked", detail="")
    if _is_context(error):
        return Skip(status="skipped", reason="prompt_too_long", detail=str(error))
    return Skip(status="failed", reason="not_answered", detail=str(error))


class Stop:
    """A wish to stop, from another thread: the first lets answers in flight arrive, the second does not."""

    def __init__(self) -> None:
        self.wished = 0

    def wish(self) -> None:
        """Once: ask nothing new. Twice: at once."""
        self.wished += 1


@dataclass(slots=True)
class Asked:
    """How the first pass ended."""

    stopped: bool = False
    error: LoopguardError | None = None
    refused: str = ""
    """Why the budget carried nothing more; "" when it did."""


async def ask_missing(step: Step, *, workers: int, fingerprint: str, watcher: Watcher, stop: Stop) -> Asked:
    """Send every prompt that is not done under `fingerprint` through build_one, `workers` at a time."""
    rows = step.ledger.rows(todo_under=fingerprint)
    asked, in_a_row, purse = Asked(), 0, step.purse or Purse()

    async def work() -> None:
        nonlocal in_a_row
        while not (stop.wished or asked.error or purse.refused) and (row := next(rows, None)) is not None:
            assert row.prompt is not None
            try:
                outcome = await build_one(row.prompt, step)
                if not_asked(outcome):
                    return  # the budget did not carry it
                await step.ledger.record_progress(row.prompt.prompt_id, fingerprint, progress_of(outcome))
            except LoopguardError as error:
                asked.error = asked.error or error
                return
            watcher.asked(outcome)
            failed = isinstance(outcome.result, Skip) and outcome.result.status == "failed"
            in_a_row = in_a_row + 1 if failed else 0
            if failed and in_a_row >= max(IN_A_ROW, workers):
                detail = outcome.result.detail if isinstance(outcome.result, Skip) else ""
                asked.error = asked.error or EngineUnavailable(
                    f"{in_a_row} prompts in a row failed; the last: {detail}"
                )

    await _run_until_stopped([asyncio.create_task(work()) for _ in range(workers)], asked, stop, step)
    asked.refused = purse.refused
    return asked


def _only_waits(step: Step) -> bool:
    """Nothing is in flight anywhere, and an engine waits for a server that is gone or busy."""
    engines: list[object] = [asker.engine for asker in (step.sampler, step.judge)]
    waiting = [engine for engine in engines if isinstance(engine, Waits)]
    return len(waiting) == 2 and all(engine.idle for engine in waiting) and any(engine.stalled for engine in waiting)


async def _run_until_stopped(tasks: list[asyncio.Task[None]], asked: Asked, stop: Stop, step: Step) -> None:
    """Wait for the workers; after a wish to stop or an error, for GRACE seconds more, unless no answer can come."""
    waiting, loop, in_vain = set(tasks), asyncio.get_running_loop(), 0
    deadline: float | None = None
    while waiting:
        done, waiting = await asyncio.wait(waiting, timeout=0.1)
        if any(task.exception() for task in done):  # a bug of ours: nothing to wait for
            deadline = 0.0
        if deadline is None and (stop.wished or asked.error):
            deadline = loop.time() + GRACE
        in_vain = in_vain + 1 if deadline is not None and _only_waits(step) else 0
        if in_vain > 1:  # twice: what came just before the first look is being recorded
            deadline = 0.0
        if waiting and (stop.wished > 1 or (deadline is not None and loop.time() > deadline)):
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            waiting = set()
    asked.stopped = bool(stop.wished)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


def not_asked(outcome: Outcome) -> bool:
    """Something that this prompt needs was neither answered nor refused yet."""
    return isinstance(outcome.result, Skip) and outcome.result.reason == "not_asked"


def progress_of(outcome: Outcome) -> Progress:
    """The few numbers of an outcome that `status` adds up."""
    failed = isinstance(outcome.result, Skip) and outcome.result.status == "failed"
    greedy = [c.looping for c in outcome.candidates if c.decoding == "greedy"]
    sampled = [c.looping for c in outcome.candidates if c.decoding == "sampled"]
    return Progress("failed" if failed else "done", len(greedy), sum(greedy), len(sampled), sum(sampled))


async def write_tables(step: Step, run_dir: Path, provenance: Provenance, *, watcher: Watcher) -> Figures:
    """The three tables and their figures from the ledger alone. `step` must hold askers without engines."""
    figures = Figures()
    watcher.writing(total=step.ledger.count())
    with Tables(run_dir, provenance, step.ledger.columns()) as tables:
        for row in step.ledger.rows():
            if row.prompt is None:
                tables.add_broken(row=row.row, reason=row.reason, detail=row.detail)
                figures.broken_rows[row.reason] += 1
                continue
            outcome = await build_one(row.prompt, step)
            watcher.wrote()
            if not_asked(outcome):
                figures.missing += 1
                continue
            tables.add(outcome)
            figures.add(outcome)
    return figures
