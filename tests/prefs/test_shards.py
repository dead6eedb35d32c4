"""Shards, their answer files, a worker's shard and the tables put together: all of the Ray runner but Ray."""

from __future__ import annotations

import asyncio
import json
import resource
import zlib
from pathlib import Path

import polars as pl
import pytest

from loopguard.dataset import read_prompts
from loopguard.engines import Completion
from loopguard.errors import InputError, StorageError
from loopguard.loops.detector import Detector
from loopguard.prefs.answer_file import AnswerFile, Contents, answer_lines, failure_line, progress_line, read_into
from loopguard.prefs.build import build_prefs
from loopguard.prefs.continuing import fingerprint
from loopguard.prefs.judging import load_judge
from loopguard.prefs.ledger import PROMPTS_NOTE, Failure, Ledger, Progress
from loopguard.prefs.outputs import Provenance
from loopguard.prefs.recipe import Recipe
from loopguard.prefs.shard_ledger import ShardLedger, answer_files, ingest
from loopguard.prefs.shard_merge import finished, share, take_leftovers, write_run
from loopguard.prefs.shard_run import make_plan
from loopguard.prefs.shard_work import MOST_ATTEMPTS, REPLAY, ShardWorker, Stage, Told, check_node, stages_of
from loopguard.prefs.shards import Plan, Shard, cut, read_report, work_on
from loopguard.prefs.unchanged import take_prompts
from loopguard.prefs.watching import Nobody

JUDGED = {"contains": "<<<ANSWER", "greedy": {"content": "4", "logprobs": {"4": -0.3, "5": -1.6, "3": -3.0}}}
SPOKEN = {"samples": ["one", "two", "three, longer", "four"], "greedy": "and so it goes " * 99}


@pytest.mark.parametrize(
    ("rows", "size", "workers", "bounds"),
    [
        (10, 4, 1, [(1, 4), (5, 8), (9, 10)]),
        (10, 0, 1, [(1, 3), (4, 6), (7, 9), (10, 10)]),
        (3, 0, 8, [(1, 1), (2, 2), (3, 3)]),
        (0, 0, 2, []),
    ],
)
def test_rows_are_cut_into_shards(rows: int, size: int, workers: int, bounds: list[tuple[int, int]]) -> None:
    assert [(shard.first, shard.last) for shard in cut(rows, size=size, workers=workers)] == bounds


def test_a_large_run_is_cut_alike_for_any_number_of_workers() -> None:
    shards = cut(10_000_000, size=0, workers=8)
    assert shards == cut(10_000_000, size=0, workers=64)
    assert (len(shards), shards[0].name, shards[-1].last) == (19_532, "000000001-000000512", 10_000_000)


def test_what_was_appended_is_read_and_a_torn_line_is_not(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "1-all-x.answers"

    async def write() -> None:
        file = AnswerFile(path)
        answers = [
            file.append(answer_lines("p", {bytes([k]): Completion(content=f"{k}\t\n\ud800")})) for k in range(50)
        ]
        await asyncio.gather(*answers)
        await file.append(failure_line("p", b"f", Failure("engine", "no\tway")))
        await file.append(progress_line("p", "mark", Progress("done", 1, 0, 5, 2)))
        await file.close()

    asyncio.run(write())
    whole = path.read_bytes()
    rest = b"answer\tq\t00\t{}"
    path.write_bytes(whole + b"00000000\t" + rest + b"\n" + bytes(64) + b"\n" + b"%08x\t%s" % (zlib.crc32(rest), rest))
    contents = Contents()
    read_into(contents, path)
    assert [key for _, key, _ in contents.answers] == [bytes([k]) for k in range(50)]
    assert [answer.content for _, _, answer in contents.completions()] == [f"{k}\t\n\ud800" for k in range(50)]
    assert contents.failures == [("p", b"f", Failure("engine", "no\tway"))]
    assert contents.progress == [("p", "mark", Progress("done", 1, 0, 5, 2))]
    for cut_off in range(0, len(whole), 997):
        path.write_bytes(whole[:cut_off])
        some = Contents()
        read_into(some, path)
        assert some.answers == contents.answers[: whole[:cut_off].count(b"\n")]


def test_an_append_that_fails_is_a_storage_error_for_all(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def write() -> list[BaseException | None]:
        file = AnswerFile(tmp_path / "x.answers")
        try:
            return await asyncio.gather(*(file.append(b"x" * 600) for _ in range(2)), return_exceptions=True)
        finally:
            await file.close()

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        assert [type(one) for one in asyncio.run(write())] == [StorageError, StorageError]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class InShards:
    """A run made by hand, stage by stage and shard by shard, in this process."""

    def __init__(self, folder: Path, recipe: Recipe, prompts: Path, run_dir: Path, *, size: int = 4) -> None:
        self.ledger = Ledger.open(run_dir)
        take_prompts(self.ledger, read_prompts(prompts))
        self.run_dir, spec, detector = run_dir, load_judge("helpfulness"), Detector()
        self.mark = fingerprint(recipe, detector, spec)
        made = Provenance(model=recipe.engine.model, judge=spec.signature, detector=detector.signature)
        self.plan = make_plan(self.ledger, recipe, spec, mark=self.mark, provenance=made, run_dir=run_dir)
        self.shards = cut(self.ledger.size(), size=size, workers=1)

    async def send(self, shard: Shard, stage: Stage, before: Told | None = None) -> Told:
        worker = ShardWorker(self.plan, stage, workers=3)
        try:
            work = work_on(self.ledger, shard, self.mark)
            return await worker.work(work, before or Told(shard=shard.number))
        finally:
            await worker.close()

    async def do(self, shard: Shard) -> Told:
        told = Told(shard=shard.number)
        for stage in stages_of(self.plan.recipe, judged=True):
            told = await self.send(shard, stage, told)
        return told


def _others(k: int) -> dict[str, object]:
    """Columns whose type only the whole file tells: `level` is whole in the first shards, `late` is absent there."""
    return {"level": k if k < 9 else k + 0.5, "kind": f"kind {k % 3}"} | ({"late": True} if k == 10 else {})


@pytest.fixture
def made(tmp_path: Path) -> tuple[Recipe, Path]:
    """A recipe whose judge has an engine of its own, and eleven prompts with a row that is none."""
    for name, rules in (("speak", [SPOKEN]), ("judge", [JUDGED])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(rule) + "\n" for rule in rules))
    lines = [json.dumps({"prompt": f"Question {k}?", **_others(k)}) for k in range(11)]
    (tmp_path / "prompts.jsonl").write_text("\n".join([*lines[:5], "{}", *lines[5:]]) + "\n")
    engines = {"engine.engine": f"scripted:{tmp_path}/speak.jsonl", "judge.engine": f"scripted:{tmp_path}/judge.jsonl"}
    return Recipe().override({**engines, "engine.model": "speak", "judge.model": "judge"}), tmp_path / "prompts.jsonl"


def test_by_shards_the_tables_are_those_of_the_local_runner(made: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, prompts = made
    run = InShards(tmp_path, recipe, prompts, tmp_path / "run")

    async def all_of_it() -> None:
        assert [stage.name for stage in stages_of(recipe, judged=True)] == ["1-sample", "2-judge"]
        for shard in run.shards:
            told = await run.do(shard)
            assert (told.error, told.done) == ("", True)
            await ingest(run.ledger, run.plan.answers(shard))
        ready = finished(run.ledger, run.plan, run.shards)
        assert ready == {0, 1, 2}
        figures = await write_run(run.ledger, run.plan, run.shards, ready=ready, run_dir=run.run_dir, watcher=Nobody())
        assert figures.as_dict(judged=True)["prompts"]["total"] == 11
        assert run.ledger.count(done_under=run.mark) == 11

    asyncio.run(all_of_it())
    run.ledger.close()
    local = build_prefs(prompts, recipe, out=tmp_path / "local")
    for name in ("candidates.parquet", "preferences.parquet", "preferences.jsonl", "skipped.parquet"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "local" / name).read_bytes()
    assert local.summary["pairs"]["total"] > 0
    others = local.candidates.select("source_level", "source_kind", "source_late")
    assert others.dtypes == [pl.Float64, pl.String, pl.Boolean]
    assert others.row(-1) == (10.5, "kind 1", True)


def test_a_shard_begun_again_asks_nothing_that_was_answered(made: tuple[Recipe, Path], tmp_path: Path) -> None:
    recipe, prompts = made
    run = InShards(tmp_path, recipe, prompts, tmp_path / "run")
    shard, (sample, judge) = run.shards[0], stages_of(recipe, judged=True)

    async def again() -> None:
        first = await run.send(shard, sample)
        assert first.sampling["requests"] == 8
        [path] = answer_files(run.plan.answers(shard))
        whole = path.read_bytes()
        path.write_bytes(whole[: whole.index(b"\tprogress\t") + 20])  # as a kill leaves it
        second = await run.send(shard, sample)
        lost = 8 - whole[: whole.index(b"\tprogress\t")].count(b"\tspent\t")
        assert second.sampling["requests"] == lost < 8
        assert len(second.files) == 2
        for path in answer_files(run.plan.answers(shard)):
            path.rename(path.with_suffix(".hidden"))  # storage whose listing lags: the stage before told the names
        hidden = [str(Path(name).with_suffix(".hidden")) for name in second.files]
        second.files = hidden
        third = await run.send(shard, judge, second)
        assert (third.error, third.done) == ("", True)

    asyncio.run(again())
    report = read_report(run.plan.tables(shard))
    assert report is not None
    assert report.finished
    run.ledger.close()


def test_a_shard_that_kills_its_workers_is_left_alone(made: tuple[Recipe, Path], tmp_path: Path) -> None:
    run = InShards(tmp_path, *made, tmp_path / "run")
    shard = run.shards[1]

    async def begin() -> None:
        kept = ShardLedger(work_on(run.ledger, shard, run.mark), run.plan.answers(shard), stage="1-sample")
        kept.begin()
        await kept.close()

    for _ in range(MOST_ATTEMPTS):
        asyncio.run(begin())
    told = asyncio.run(run.send(shard, stages_of(run.plan.recipe, judged=True)[0]))
    assert told.given_up == "rows 5 to 8: 5 workers died over them"
    assert not told.goes_on
    run.ledger.close()


def test_what_a_killed_run_left_is_taken_over_and_paid_once(made: tuple[Recipe, Path], tmp_path: Path) -> None:
    run = InShards(tmp_path, *made, tmp_path / "run")
    folder = run.plan.answers(run.shards[0])

    async def twice() -> None:
        await run.send(run.shards[0], stages_of(run.plan.recipe, judged=True)[0])
        kept = {path.name: path.read_bytes() for path in answer_files(folder)}
        assert await take_leftovers(run.ledger, run.run_dir) == 1
        assert await take_leftovers(run.ledger, run.run_dir) == 0
        folder.mkdir()
        for name, data in kept.items():  # killed after the ledger had it, before it was deleted
            (folder / name).write_bytes(data)
        assert await take_leftovers(run.ledger, run.run_dir) == 1

    asyncio.run(twice())
    assert run.ledger.tally()["answers"] == 24
    assert sum(row.requests for row in run.ledger.spending()) == 8
    assert not folder.exists()
    run.ledger.close()


def test_tables_of_another_recipe_or_other_prompts_are_not_taken_for_finished(
    made: tuple[Recipe, Path], tmp_path: Path
) -> None:
    run = InShards(tmp_path, *made, tmp_path / "run")

    async def all_of_it() -> None:
        for shard in run.shards:
            await run.do(shard)

    asyncio.run(all_of_it())
    assert finished(run.ledger, run.plan, run.shards) == {0, 1, 2}
    pairing = run.plan.recipe.override({"pairing.min_margin": 1})
    other = make_plan(
        run.ledger, pairing, run.plan.spec, mark=run.mark, provenance=run.plan.provenance, run_dir=run.run_dir
    )
    assert finished(run.ledger, other, run.shards) == set()
    rows = list(run.ledger.rows())
    known = run.ledger.get(PROMPTS_NOTE)
    run.ledger.set_prompts([*rows[:9], rows[10]], note=lambda: known)
    assert finished(run.ledger, run.plan, run.shards) == {0, 1}
    assert finished(run.ledger, run.plan, cut(10, size=3, workers=1)) == set()
    assert not list((run.plan.folder / "shards").iterdir()), "folders of another cut are deleted"
    run.ledger.close()


def test_a_replay_needs_no_engine(made: tuple[Recipe, Path], tmp_path: Path) -> None:
    run = InShards(tmp_path, *made, tmp_path / "run")

    async def both() -> None:
        await run.do(run.shards[0])
        await ingest(run.ledger, run.plan.answers(run.shards[0]))
        for name in ("speak", "judge"):
            (tmp_path / f"{name}.jsonl").unlink()
        assert (await run.send(run.shards[0], REPLAY)).done
        told = await run.send(run.shards[1], stages_of(run.plan.recipe, judged=True)[0])
        assert told.error.endswith("speak.jsonl: No such file or directory")

    asyncio.run(both())
    run.ledger.close()


def test_a_node_that_cannot_do_the_work_is_named(
    made: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    run = InShards(tmp_path, *made, tmp_path / "run")
    check_node(run.plan)
    assert "secret" not in repr(run.plan)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(
        InputError, match="lacks the environment variable OPENAI_API_KEY: set it where `ray start` runs"
    ):
        check_node(run.plan)
    (run.run_dir / ".shared").write_text("of another machine")
    with pytest.raises(InputError, match="does not see the same folder"):
        check_node(run.plan)
    old = Plan(**{name: getattr(run.plan, name) for name in run.plan.__slots__} | {"version": "0.0.1"})
    with pytest.raises(InputError, match=r"the driver has 0\.0\.1: install one version on all nodes"):
        check_node(old)
    run.ledger.close()


def test_a_shared_folder_belongs_to_one_run(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "one") as one, Ledger.open(tmp_path / "two") as two:
        share(one, tmp_path / "one", tmp_path / "shared")
        share(one, tmp_path / "one", tmp_path / "shared")
        with pytest.raises(InputError, match="holds the shards of another run"):
            share(two, tmp_path / "two", tmp_path / "shared")
