"""A run by shards from the driver's side: cut, send to the workers what is not finished, put the tables together."""

from __future__ import annotations

import os
from pathlib import Path

from loopguard.errors import EngineUnavailable, InputError
from loopguard.prefs.judging import JudgeSpec
from loopguard.prefs.ledger import Ledger
from loopguard.prefs.outputs import Provenance
from loopguard.prefs.pipeline import Asked, Step, Stop, Watcher
from loopguard.prefs.ray_cluster import check_ray
from loopguard.prefs.recipe import Recipe
from loopguard.prefs.shard_merge import finished, share, take_leftovers, write_run
from loopguard.prefs.shard_work import REPLAY, Stage, stages_of
from loopguard.prefs.shards import Plan, cut
from loopguard.prefs.summary import Figures


def check_runner(recipe: Recipe) -> None:
    """Whether `runner = "ray"` can run this recipe, before anything is opened. Raises InputError and MissingExtra."""
    if recipe.runner != "ray":
        return
    check_ray(recipe.ray)
    if any(recipe.budget.model_dump().values()):
        raise InputError(
            'a budget is kept by one process, so not with runner = "ray"; leave it out (--budget none), or --runner local'
        )


class ShardRun:
    """One session of a run with `runner = "ray"`: `ask` is its first pass, `write` its second."""

    def __init__(
        self, step: Step, ledger: Ledger, *, mark: str, provenance: Provenance, run_dir: Path, workers: int
    ) -> None:
        """Cut the prompts, and look which shards are finished. Raises InputError and StorageError."""
        recipe = step.recipe
        self._step, self._ledger, self._run_dir, self._workers = step, ledger, run_dir, workers
        self._plan = make_plan(ledger, recipe, step.spec, mark=mark, provenance=provenance, run_dir=run_dir)
        self._shards = cut(ledger.size(), size=recipe.ray.prompts_per_shard, workers=recipe.ray.sample_workers)
        self._ready = finished(ledger, self._plan, self._shards)
        self._sent = False

    async def ask(self, watcher: Watcher, stop: Stop) -> Asked:
        """Ask what is missing. Raises InputError, MissingExtra, StorageError."""
        stages = stages_of(self._step.recipe, judged=self._step.spec is not None)
        return await self._send(stages, watcher, stop)

    async def write(self, watcher: Watcher, stop: Stop) -> Figures:
        """The tables of the run, and their figures. Raises as `ask` does."""
        if not self._sent:
            await self._send([REPLAY], watcher, stop)
        return await write_run(
            self._ledger, self._plan, self._shards, ready=self._ready, run_dir=self._run_dir, watcher=watcher
        )

    async def _send(self, stages: list[Stage], watcher: Watcher, stop: Stop) -> Asked:
        from loopguard.prefs.ray_pipeline import ask_on_ray

        self._sent = True
        todo = [shard for shard in self._shards if shard.number not in self._ready]
        if not todo:
            return Asked()
        found = await ask_on_ray(
            self._ledger, self._plan, todo, stages, workers=self._workers, watcher=watcher, stop=stop
        )
        await take_leftovers(self._ledger, self._run_dir)  # of shards that were in flight when it stopped
        self._ready |= found.done
        self._step.sampler.usage.add(found.sampling)
        self._step.judge.usage.add(found.judging)
        if found.given_up and found.asked.error is None:
            found.asked.error = EngineUnavailable(f"{'; '.join(found.given_up)}: see Ray's log of them, then run again")
        return found.asked


def make_plan(
    ledger: Ledger, recipe: Recipe, spec: JudgeSpec | None, *, mark: str, provenance: Provenance, run_dir: Path
) -> Plan:
    """What the workers are told, with the shared folder made ready. Raises InputError and StorageError."""
    here = run_dir.absolute()
    folder = Path(recipe.ray.shared).absolute() if recipe.ray.shared else here
    sections = [recipe.engine, recipe.judge.engine_section(recipe.engine)]
    return Plan(
        recipe=recipe,
        spec=spec,
        mark=mark,
        provenance=provenance,
        folder=folder,
        started_in=Path.cwd(),
        keys=tuple(sorted({s.api_key_env for s in sections if os.environ.get(s.api_key_env)})),
        token=share(ledger, here, folder),
    )
