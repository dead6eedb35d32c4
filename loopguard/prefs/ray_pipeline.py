"""The Ray runner: the same step for every prompt, by shards, in map_batches of Ray Data on actors that hold an engine.

    driver                               Ray                                       shared storage
    ledger.sqlite, locked                Desk: hands out shards, reads along       answers/: every answer before it is used
    a Dataset of shards   ------------>  stage 1: sample   (an engine each)        shards/: finished tables
    answers into the ledger  <---------  stage 2: judge    (an engine each)
    tables of the run                    (one stage where one engine does both)

Rows of the Dataset name shards; what is large goes over shared storage, where it is safe, not through Ray's object store.
Decisions that one may wonder about:

- Servers are asked from actors too, not from tasks: an actor keeps its connections, and what it found out of the server.
- vLLM runs in an actor of ours, not in ray.data.llm, whose stage keeps one output of n and knows no ledger.
- Ray's checkpointing is not used: it knows rows that went all the way through a Dataset, and would lose the answers of a shard
  that was half done. A shard's folder is there or not; that is the same thing, and holds for the local runner too.
- Ray Data restarts an actor as often as it dies (its max_restarts and max_task_retries are -1): a shard that is begun again
  reads what was answered. A shard that was begun MOST_ATTEMPTS times is left. An engine's error is told, never raised, so
  that Ray retries none; an error that is raised is a fault of the code and ends the run (max_errored_blocks is 0).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from loopguard.errors import EngineUnavailable, StorageError
from loopguard.prefs.asking import Usage
from loopguard.prefs.ledger import Ledger
from loopguard.prefs.pipeline import GRACE, IN_A_ROW, Asked, CountWatcher, Stop, Watcher
from loopguard.prefs.ray_cluster import check_nodes, connected, first_line, quiet
from loopguard.prefs.shard_ledger import ingest
from loopguard.prefs.shard_work import Counts, ShardWorker, Stage, Told
from loopguard.prefs.shards import Plan, Shard, Work, work_on

PULSE = 0.5
"""Seconds between two words of a worker with the desk, and of the driver."""


class Desk:
    """Beside the driver, on its node: hands a shard's rows and known answers to whoever works on it, carries stop and counts."""

    def __init__(self, run_dir: Path, shards: Sequence[Shard], mark: str) -> None:
        """Reads the ledger that the driver writes."""
        self._ledger, self._mark = Ledger.read(run_dir), mark
        self._shards = {shard.number: shard for shard in shards}
        self._reading = threading.Lock()
        self._counts, self._wishes = Counts(), 0

    def work(self, number: int) -> Work:
        """All that the ledger has for a shard."""
        with self._reading:
            return work_on(self._ledger, self._shards[number], self._mark)

    def pulse(self, counts: Counts) -> int:
        """A worker's counts in, the wishes to stop out."""
        with self._reading:
            self._counts.add(counts)
        return self._wishes

    def look(self, wishes: int) -> Counts:
        """The driver's wishes in, what was counted since out."""
        self._wishes = wishes
        with self._reading:
            taken, self._counts = self._counts, Counts()
        return taken


class StageActor:
    """What map_batches calls, in an actor: one worker of a stage, with an event loop of its own for all of its shards."""

    def __init__(self, plan: Plan, stage: Stage, desk: Any, workers: int) -> None:
        """`workers`: prompts in flight at one time, of each shard. Opens no engine yet."""
        self._desk = desk
        self._worker = ShardWorker(plan, stage, workers=workers)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="stage", daemon=True).start()
        self._pulsing = asyncio.run_coroutine_threadsafe(self._pulse(), self._loop)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """One shard: what the former stage told of it in, what this one tells out."""
        told = Told(**json.loads(batch["told"][0]))
        if told.goes_on:
            told = asyncio.run_coroutine_threadsafe(self._work(told), self._loop).result()
            if told.broken:
                os._exit(1)  # Ray starts another process and gives it the shard; what was answered is on disk
        return {"told": [json.dumps(asdict(told))]}

    async def _work(self, before: Told) -> Told:
        if self._worker.stop.wished:
            return Told(shard=before.shard, stopped=True)
        return await self._worker.work(await self._desk.work.remote(before.shard), before)

    async def _pulse(self) -> None:
        while True:
            wishes = await self._desk.pulse.remote(self._worker.take_counts())
            while self._worker.stop.wished < wishes:
                self._worker.stop.wish()
            await asyncio.sleep(PULSE)


@dataclass(slots=True)
class OnRay:
    """How the first pass ended, and what it did."""

    asked: Asked = field(default_factory=Asked)
    done: set[int] = field(default_factory=set)
    """Numbers of the shards whose tables were written."""
    sampling: Usage = field(default_factory=Usage)
    judging: Usage = field(default_factory=Usage)
    given_up: list[str] = field(default_factory=list)


async def ask_on_ray(
    ledger: Ledger,
    plan: Plan,
    shards: Sequence[Shard],
    stages: Sequence[Stage],
    *,
    workers: int,
    watcher: Watcher,
    stop: Stop,
) -> OnRay:
    """Send the shards through the stages; their answers are in the ledger as each comes back.

    Raises InputError when Ray cannot be reached or a node does not see the run, MissingExtra without Ray.
    """
    ray, wanted = _load_ray(), plan.recipe.ray
    cpus = wanted.num_cpus * (wanted.sample_workers + (wanted.judge_workers if len(stages) > 1 else 0))
    with connected(ray, wanted, cpus=cpus):
        await asyncio.to_thread(check_nodes, ray, plan)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        beside = {"num_cpus": 0, "max_concurrency": 8, "max_restarts": -1, "max_task_retries": -1}
        remote = ray.remote(Desk).options(scheduling_strategy=here, **beside)
        desk = remote.remote(ledger.path.parent.absolute(), list(shards), plan.mark)
        driver = _Driver(ledger, plan, {shard.number: shard for shard in shards}, watcher, stop)
        driver.enough = max(IN_A_ROW, workers * plan.recipe.ray.sample_workers)
        with quiet(ray):
            dataset = _dataset(ray, plan, shards, stages, desk, workers)
            await driver.follow(dataset, desk)
    return driver.found


def _load_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # a worker without a GPU: leave its environment
    import ray
    import ray.data
    import ray.exceptions
    import ray.util.scheduling_strategies

    return ray


def _dataset(ray: Any, plan: Plan, shards: Sequence[Shard], stages: Sequence[Stage], desk: Any, workers: int) -> Any:
    """Shards, each a block of its own, through a pool of actors for each stage."""
    wanted, rows = plan.recipe.ray, [{"told": json.dumps(asdict(Told(shard=shard.number)))} for shard in shards]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    for stage in stages:
        size = wanted.sample_workers if stage.samples or len(stages) == 1 else wanted.judge_workers
        dataset = dataset.map_batches(
            StageActor,
            fn_constructor_args=(plan, stage, desk, workers),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(
                size=min(size, len(shards)),
                max_concurrent_calls_per_actor=wanted.shards_at_once,
                max_tasks_in_flight_per_actor=wanted.shards_at_once,
                enable_true_multi_threading=True,
            ),
            num_cpus=wanted.num_cpus,
            num_gpus=wanted.num_gpus if stage.samples else wanted.judge_num_gpus if stage.judges else 0,
        )
    return dataset


@dataclass(slots=True)
class _Driver:
    """Follows the Dataset to its end, or until a stop."""

    ledger: Ledger
    plan: Plan
    shards: dict[int, Shard]
    watcher: Watcher
    stop: Stop
    found: OnRay = field(default_factory=OnRay)
    enough: int = IN_A_ROW
    in_a_row: int = 0

    @property
    def wishes(self) -> int:
        """How urgently the workers shall stop."""
        return max(self.stop.wished, 1 if self.found.asked.error else 0)

    async def follow(self, dataset: Any, desk: Any) -> None:
        """Take in shard after shard. After a wish to stop, wait for what is in flight and no longer."""
        told, loop = _results(dataset), asyncio.get_running_loop()
        looked, deadline = -math.inf, math.inf
        try:
            while loop.time() < deadline:
                if loop.time() >= looked + PULSE:
                    looked = loop.time()
                    self._count(await desk.look.remote(self.wishes))
                    if self.wishes:
                        deadline = min(deadline, looked + 4 * PULSE + (GRACE if self.wishes == 1 else 0))
                try:
                    one = await asyncio.wait_for(told.get(), PULSE)
                except TimeoutError:
                    continue
                if one is None:
                    self._count(await desk.look.remote(self.wishes))
                    break
                await self._take(one)
        except Exception as error:
            if (lost := _lost(error)) is None:
                raise
            self.found.asked.error = self.found.asked.error or lost
        self.found.asked.stopped = bool(self.stop.wished)

    async def _take(self, told: Told | BaseException) -> None:
        if isinstance(told, BaseException):
            raise told
        if told.error and self.found.asked.error is None:
            self.found.asked.error = StorageError(told.error) if told.storage else EngineUnavailable(told.error)
        if told.given_up:
            self.found.given_up.append(told.given_up)
        self.found.sampling.add(Usage(**told.sampling))
        self.found.judging.add(Usage(**told.judging))
        await ingest(self.ledger, self.plan.answers(self.shards[told.shard]))
        if told.done:
            self.found.done.add(told.shard)

    def _count(self, counts: Counts) -> None:
        if counts.through and isinstance(self.watcher, CountWatcher):
            self.watcher.through(counts.through, outputs=counts.outputs, looping=counts.looping, failed=counts.failed)
        if counts.through > counts.failed:
            self.in_a_row = 0
        self.in_a_row += counts.failed
        if counts.failed and self.in_a_row >= self.enough and self.found.asked.error is None:
            self.found.asked.error = EngineUnavailable(
                f"{self.in_a_row} prompts in a row failed; the last: {counts.failure}"
            )


def _results(dataset: Any) -> asyncio.Queue[Told | BaseException | None]:
    """What is told of each shard, as it comes; None at the end. Ray's iterator blocks, so it has a thread of its own."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[Told | BaseException | None]()

    def put(item: Told | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the run ended before Ray did
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def read() -> None:
        try:
            for row in dataset.iter_rows():
                put(Told(**json.loads(row["told"])))
            put(None)
        except BaseException as error:
            put(error)

    threading.Thread(target=read, name="ray-results", daemon=True).start()
    return queue


def _lost(error: Exception) -> EngineUnavailable | None:
    """What Ray could not mend, as one line; None for an error that our own code raised in a worker: that is a bug."""
    import ray

    if isinstance(error, ray.exceptions.RayError) and not isinstance(error, ray.exceptions.RayTaskError):
        return EngineUnavailable(f"Ray: {first_line(error)}")
    return None
