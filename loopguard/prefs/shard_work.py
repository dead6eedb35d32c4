"""What a worker does with a shard: the one step for all its prompts at once, then the shard's tables. Knows no Ray.

A stage holds one engine. Where the judge has an engine of its own, two stages follow each other: the first is a recipe
without a judge, the second replays its answers and asks the judge. Both run `ask_missing` and `build_one` as they are.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path

from loopguard import __version__
from loopguard.engines import Completion, Engine, Request, open_engine
from loopguard.errors import EngineUnavailable, InputError, LoopguardError, StorageError
from loopguard.files import write_json
from loopguard.prefs.asking import Usage
from loopguard.prefs.budget import open_accounts
from loopguard.prefs.outputs import Outcome
from loopguard.prefs.pipeline import Step, Stop, ask_missing, make_step, write_tables
from loopguard.prefs.recipe import EngineSection, Recipe
from loopguard.prefs.shard_ledger import ShardLedger
from loopguard.prefs.shards import REPORT, Plan, Report, Work, publish
from loopguard.prefs.watching import Nobody
from loopguard.records import Skip

TOKEN_FILE = ".shared"

MOST_ATTEMPTS = 5
"""So many workers may die over one shard; after that it is the shard that kills them, and it is left for a person to see."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One pool of workers, by the engines that it asks."""

    name: str
    """Begins with a digit: answers of a later stage are read after those of an earlier one."""
    samples: bool
    judges: bool
    last: bool


REPLAY = Stage("1-replay", samples=False, judges=False, last=True)
"""Asks nothing: the tables of a shard from what the ledger has of it."""


def stages_of(recipe: Recipe, *, judged: bool) -> list[Stage]:
    """Sampling and judging apart where the judge has an engine of its own, else both in one."""
    if not judged or _one_model(recipe.engine, recipe.judge.engine_section(recipe.engine)):
        return [Stage("1-all", samples=True, judges=judged, last=True)]
    return [
        Stage("1-sample", samples=True, judges=False, last=False),
        Stage("2-judge", samples=False, judges=True, last=True),
    ]


def _one_model(sampling: EngineSection, judging: EngineSection) -> bool:
    """One engine serves both: the sections are equal, or vLLM shares what it has loaded."""
    if sampling == judging:
        return True
    loads = [(s.engine, s.model, s.engine_args) for s in (sampling, judging)]
    return sampling.engine.startswith("vllm") and loads[0] == loads[1]


@dataclass(slots=True, kw_only=True)
class Told:
    """What became of a shard, from one stage to the next and to the driver."""

    shard: int
    error: str = ""
    """Why the run cannot go on; "" = it can."""
    storage: bool = False
    """The error is one of storage."""
    broken: bool = False
    """The engine in the worker's process answered and then broke: another process must do the shard."""
    stopped: bool = False
    done: bool = False
    """Its tables are written."""
    given_up: str = ""
    """Why this shard alone was left as it is; "" = it was not."""
    files: list[str] = field(default_factory=list)
    """Its answer files."""
    sampling: dict[str, int] = field(default_factory=dict)
    judging: dict[str, int] = field(default_factory=dict)
    """Fields of Usage."""

    @property
    def goes_on(self) -> bool:
        """The next stage has something to do."""
        return not (self.error or self.stopped or self.given_up)


@dataclass(slots=True)
class Counts:
    """Prompts that came through since the last look, for the one line of progress."""

    through: int = 0
    outputs: int = 0
    looping: int = 0
    failed: int = 0
    failure: str = ""
    """The words of the last failure."""

    def add(self, more: Counts) -> None:
        """Add what another one counted."""
        self.through += more.through
        self.outputs += more.outputs
        self.looping += more.looping
        self.failed += more.failed
        self.failure = more.failure or self.failure


def check_node(plan: Plan) -> None:
    """Whether this machine can do the plan's work. Raises InputError that names it."""
    node = socket.gethostname()
    if plan.version != __version__:
        raise InputError(
            f"node {node} has loopguard {__version__}, the driver has {plan.version}: install one version on all nodes"
        )
    try:
        seen = (plan.folder / TOKEN_FILE).read_text(encoding="utf-8")
    except OSError:
        seen = ""
    if seen != plan.token or not os.access(plan.folder, os.W_OK):
        how = "cannot write to" if seen == plan.token else "does not see the same folder"
        raise InputError(
            f"node {node} {how} {plan.folder}: put the run directory on storage that all nodes share, or name such a "
            "folder with --set ray.shared=FOLDER"
        )
    if lacking := [name for name in plan.keys if not os.environ.get(name)]:
        raise InputError(
            f"node {node} lacks the environment variable {' and '.join(lacking)}: set it where `ray start` runs there "
            "(loopguard passes no keys through Ray, whose dashboard would show them)"
        )


class _Lazy:
    """An engine that is opened and started by its first request: a stage that only replays loads nothing."""

    def __init__(self, section: EngineSection, *, beside: _Lazy | None = None) -> None:
        """`beside`: where a vLLM engine of the same model finds what is loaded already."""
        self.spec, self.model, self.answered = section.engine, section.model, False
        self._options, self._beside, self._lock = section.options(), beside, asyncio.Lock()
        self._engine: Engine | None = None
        self._failed: LoopguardError | None = None

    @property
    def choices_at_once(self) -> int | None:
        """As the engine says, if it says so."""
        most: int | None = getattr(self._engine, "choices_at_once", 1 << 30)
        return most

    async def start(self) -> None:
        """Open the engine, once. Raises what it raised the first time."""
        async with self._lock:
            if self._failed is None and self._engine is None:
                try:
                    if self._beside is not None:
                        await self._beside.start()
                    beside = self._beside._engine if self._beside is not None else None
                    engine = open_engine(self.spec, self._options, beside=beside)
                    await engine.start()
                    self._engine = engine
                except LoopguardError as error:
                    self._failed = error
        if self._failed is not None:
            raise self._failed

    async def ask(self, request: Request) -> list[Completion]:
        """As the engine does."""
        await self.start()
        assert self._engine is not None
        answers = await self._engine.ask(request)
        self.answered = True
        return answers

    async def close(self) -> None:
        """Close what was opened."""
        if self._engine is not None:
            await self._engine.close()


class ShardWorker(Nobody):
    """One worker of a stage. Its methods are called in one event loop; many shards may be at work at one time."""

    def __init__(self, plan: Plan, stage: Stage, *, workers: int) -> None:
        """`workers`: prompts in flight at one time, of each shard."""
        from loopguard.loops.detector import Detector

        recipe = plan.recipe
        self._plan, self._stage, self._workers = plan, stage, workers
        self._spec = plan.spec if stage.judges or stage.last else None
        self._detector = Detector(**recipe.detector)
        judging = recipe.judge.engine_section(recipe.engine)
        self._sampler = _Lazy(recipe.engine) if stage.samples else None
        self._judge = _Lazy(judging, beside=self._sampler) if stage.judges else None
        if stage.samples and stage.judges and judging == recipe.engine:
            self._judge = self._sampler
        self._checked = False
        self.stop = Stop()
        self.counts = Counts()

    def asked(self, outcome: Outcome) -> None:
        """One more prompt is through; counted in the last stage alone."""
        if self._stage.last:
            skip = outcome.result if isinstance(outcome.result, Skip) else None
            failed = skip.detail if skip is not None and skip.status == "failed" else None
            looping = sum(candidate.looping for candidate in outcome.candidates)
            self.counts.add(Counts(1, len(outcome.candidates), looping, int(failed is not None), failed or ""))

    def take_counts(self) -> Counts:
        """The counts since the last call."""
        taken, self.counts = self.counts, Counts()
        return taken

    async def work(self, work: Work, before: Told) -> Told:
        """Do this stage of a shard. Every LoopguardError is told, none is raised: Ray would take it for a fault of the code."""
        told = Told(shard=work.shard.number, files=before.files, sampling=before.sampling, judging=before.judging)
        try:
            self._check()
            kept = ShardLedger(
                work,
                self._plan.answers(work.shard),
                stage=self._stage.name,
                known_files=[Path(path) for path in before.files],
            )
            if kept.attempts >= MOST_ATTEMPTS:
                told.given_up = f"rows {work.shard.first} to {work.shard.last}: {kept.attempts} workers died over them"
                return told
            kept.begin()
            try:
                await self._do(work, kept, told)
            finally:
                await kept.close()
        except LoopguardError as error:
            told.error, told.storage = str(error), isinstance(error, StorageError)
            told.broken = isinstance(error, EngineUnavailable) and self._worked_before()
        return told

    async def _do(self, work: Work, kept: ShardLedger, told: Told) -> None:
        recipe, spec = self._plan.recipe, self._spec
        accounts = open_accounts(recipe, kept, self._sampler, self._judge)
        step = make_step(recipe, kept, self._detector, spec, self._sampler, self._judge, accounts=accounts)
        mark = self._plan.mark if self._stage.last else f"{self._plan.mark}-sampled"
        if self._stage.samples or self._stage.judges:
            asked = await ask_missing(step, workers=self._workers, fingerprint=mark, watcher=self, stop=self.stop)
            if asked.error is not None:
                raise asked.error
            told.stopped = asked.stopped
        told.files = [str(path) for path in kept.files]
        told.sampling, told.judging = _used(told.sampling, step.sampler.usage), _used(told.judging, step.judge.usage)
        if self._stage.last and not told.stopped:
            replay = make_step(recipe, kept, self._detector, spec, None, None)
            writing = write_shard(self._plan, work, replay)
            await asyncio.to_thread(asyncio.run, writing)  # other shards' requests go on meanwhile
            told.done = True

    def _worked_before(self) -> bool:
        """An engine in this process has answered. A server is everybody's: when it is gone, the run stops."""
        engines = [engine for engine in (self._sampler, self._judge) if engine is not None]
        return any(engine.answered and not engine.spec.startswith("openai:") for engine in engines)

    def _check(self) -> None:
        if not self._checked:
            check_node(self._plan)
            if self._plan.started_in.is_dir():
                os.chdir(self._plan.started_in)
            self._checked = True

    async def close(self) -> None:
        """Close the engines."""
        for engine in {self._sampler, self._judge} - {None}:
            assert engine is not None
            await engine.close()


def _used(before: dict[str, int], usage: Usage) -> dict[str, int]:
    return {name: before.get(name, 0) + count for name, count in asdict(usage).items()}


async def write_shard(plan: Plan, work: Work, replay: Step) -> Report:
    """The tables of a shard from what its ledger has, and their report. Asks nothing. Raises StorageError."""
    final = plan.tables(work.shard)
    made = final.parent / f".{final.name}-{secrets.token_hex(4)}.tmp"
    try:
        made.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"cannot write {made}: {error.strerror}") from error
    figures = await write_tables(replay, made, plan.provenance, watcher=Nobody())
    finished = not figures.failed and not figures.missing
    report = Report(mark=plan.mark_of(work.rows, work.columns), finished=finished, figures=figures)
    write_json(made / REPORT, report.to_json())
    publish(made, final)
    return report
