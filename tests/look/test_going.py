"""A run that is still going, or was killed before it wrote its tables: a page of what is answered, the run untouched."""

from __future__ import annotations

import gc
import json
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import loopguard
from loopguard import Recipe, Run, build_prefs, open_run
from loopguard.errors import InputError
from loopguard.look.headline import headline
from loopguard.look.page import single
from loopguard.look.subject import open_subject
from loopguard.prefs.database import hold, is_worked_on
from loopguard.prefs.ledger import Ledger
from loopguard.prefs.outputs import TABLES
from tests.prefs.commands import Running
from tests.prefs.commands import loopguard as command

LOOP = "and so it goes on, " * 99
FAST, ALL = 5, 8


def script(folder: Path, *, fast: int) -> Path:
    """Every prompt has a loop among its answers; those from `fast` on take an hour."""
    late = {"latency": 3600.0}
    rules: list[dict[str, Any]] = [
        {
            "prompt": f"Question {k}?",
            "samples": ["Yes.", LOOP],
            "greedy": {"content": f"No {k}.", **(late if k >= fast else {})},
        }
        for k in range(ALL)
    ]
    rules.append({"contains": "<<<ANSWER", "greedy": {"content": "4", "logprobs": {"4": -0.3, "5": -1.6}}})
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(rule) + "\n" for rule in rules))
    return path


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    rows = [{"prompt": f"Question {k}?", "category": ("maths", "code")[k % 2]} for k in range(ALL)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def through(run_dir: Path) -> int:
    return (
        Run(run_dir).status().done
        if (run_dir / "ledger.sqlite").is_file() and (run_dir / "recipe.toml").is_file()
        else 0
    )


def state(run_dir: Path) -> dict[str, bytes]:
    """Every file's bytes, but SQLite's own index of its log."""
    return {path.name: path.read_bytes() for path in run_dir.iterdir() if not path.name.endswith("-shm")}


@pytest.fixture(scope="module")
def killed(prompts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed after 5 of 8 prompts; a page was made of it while it went on."""
    folder = tmp_path_factory.mktemp("going")
    run_dir = folder / "run"
    engine = f"scripted:{script(folder, fast=FAST)}"
    with Running("build-prefs", prompts, "--engine", engine, "--samples", 2, "--out", run_dir, "-q") as running:
        assert running.wait_until(lambda: through(run_dir) == FAST)
        done = command("report", run_dir, "--out", folder / "going.html")
        assert (done.returncode, done.stderr) == (0, "")
        assert running.alive()
        running.process.kill()
    assert not [name for name in TABLES if (run_dir / name).exists()]
    return folder


def test_the_page_says_how_far_it_is(killed: Path) -> None:
    page = (killed / "going.html").read_text()
    assert '<h1 dir="auto">run · still going: 5 of 8 prompts</h1>' in page
    assert "Still going: 5 of 8 prompts are through, and this page is of those." in page
    assert "Loop rate by category" in page
    assert "All 5 prompts are here." in page
    after = single(open_subject(killed / "run"))
    assert '<h1 dir="auto">run · stopped: 5 of 8 prompts</h1>' in after
    assert "Stopped: no process works on it. 5 of 8 prompts are through" in after
    for text in (page, after):
        assert text.count(" prompts are through, and this page is of those") == 1
    assert after.split("Loop rate by category")[1:] == page.split("Loop rate by category")[1:], "all else is the same"


def test_where_it_cannot_be_told_whether_it_is_still_going(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filelock.FileLock.acquire", no_right)  # root may lock anything: no folder here is forbidden
    assert is_worked_on(killed / "run") is None
    assert open_run(killed / "run").status().working is None
    page = single(open_subject(killed / "run"))
    assert "run · not finished: 5 of 8 prompts" in page
    assert "If it was stopped, the same command goes on with it." in page


def no_right(*_: object, **__: object) -> None:
    raise PermissionError


def test_looking_at_a_run_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    """`is_worked_on` has the lock for an instant: a run that starts in that instant waits for it."""
    (tmp_path / "run").mkdir()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            is_worked_on(tmp_path / "run")
            stop.wait(0.01)

    looking = threading.Thread(target=look)
    hold(tmp_path / "run").release()
    looking.start()
    try:
        for _ in range(50):
            held = hold(tmp_path / "run")
            assert is_worked_on(tmp_path / "run") is True
            held.release()
            assert is_worked_on(tmp_path / "run") in (True, False)
    finally:
        stop.set()
        looking.join()
    assert is_worked_on(tmp_path / "run") is False


def test_its_figures_are_those_that_the_finished_run_gives(killed: Path, tmp_path: Path, prompts: Path) -> None:
    subject = open_subject(killed / "run")
    assert subject.so_far == (FAST, ALL)
    run_dir = Path(shutil.copytree(killed / "run", tmp_path / "run"))
    engine = {"engine.engine": f"scripted:{script(tmp_path, fast=ALL)}", "sampling.samples": 2}
    finished = open_subject(build_prefs(prompts, Recipe().override(engine), out=run_dir))
    assert finished.so_far is None
    known = subject.outputs["prompt_id"].unique()
    assert len(known) == FAST
    for got, whole in ((subject.outputs, finished.outputs), (subject.pairs, finished.pairs)):
        assert got.height
        expected = whole.filter(pl.col("prompt_id").is_in(known.implode()))
        columns = [name for name in got.columns if name not in ("at", "tokens", "length", "onset", "wasted")]
        assert got.select(columns).equals(expected.select(columns))


def test_the_tiles_count_what_is_through(killed: Path) -> None:
    tiles = {tile.label: (tile.value, tile.detail) for tile in headline(open_subject(killed / "run"))}
    assert tiles["prompts are through"] == ("5 of 8", "0 without a pair")
    assert tiles["sampled answers that loop"][0] == "50.0 %"
    assert "prompts" not in tiles


def test_nothing_of_the_run_is_touched_and_nothing_is_left(
    killed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = state(killed / "run")
    subject = open_subject(killed / "run")
    assert [path.name[:17] for path in tmp_path.iterdir()] == ["loopguard-report-"]
    assert single(subject)
    assert state(killed / "run") == before
    with Ledger.open(Path(shutil.copytree(killed / "run", tmp_path / "copy"))):
        pass  # no lock is left behind
    shutil.rmtree(tmp_path / "copy")
    del subject
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_from_python_and_beside_another_run(killed: Path, tmp_path: Path) -> None:
    run = loopguard.open_run(killed / "run")
    pytest.importorskip("altair")
    assert run.plots.loop_rate(by="category").to_dict()["title"]["text"] == "Loop rate by category"
    found = loopguard.compare(run, run)
    assert found.notes[0].startswith(f"{run.path}: Stopped: no process works on it. 5 of 8 prompts are through")


def test_nothing_answered(prompts: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with Ledger.open(run_dir):
        pass
    with pytest.raises(InputError) as raised:
        open_subject(run_dir)
    assert str(raised.value) == f"{run_dir}: nothing is answered yet (0 of 0 prompts); look again when something is"


def test_nothing_answered_in_full(prompts: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    engine = f"scripted:{script(tmp_path, fast=0)}"

    def begun() -> bool:
        return through(run_dir) == 0 and (run_dir / "recipe.toml").is_file() and Run(run_dir).status().answers > 0

    with Running("build-prefs", prompts, "--engine", engine, "--samples", 2, "--out", run_dir, "-q") as running:
        assert running.wait_until(begun)
        done = command("report", run_dir, "--out", tmp_path / "report.html")
        running.process.kill()
    assert done.returncode == 1
    assert done.stderr == (
        f"loopguard: {run_dir}: no prompt is answered in full yet (0 of 8); look again when one is, or at `loopguard status`\n"
    )
    assert not (tmp_path / "report.html").exists()


def test_a_session_that_has_just_begun_shows_the_one_before(prompts: Path, tmp_path: Path) -> None:
    """Another judge begins at zero: until it has scored something, the former tables are what there is to see, and it is said."""
    engine = {"engine.engine": f"scripted:{script(tmp_path, fast=ALL)}", "sampling.samples": 2}
    run = build_prefs(prompts, Recipe().override(engine), out=tmp_path / "run")
    with Ledger.open(run.path) as ledger:
        ledger.put("tables", "{}")
    text = (run.path / "recipe.toml").read_text()
    (run.path / "recipe.toml").write_text(text.replace('spec = "helpfulness"', 'spec = "reasoning"'))
    subject = open_subject(run.path)
    assert subject.so_far is None
    assert subject.notes == (
        "A session has begun that has not written its tables yet: what is seen here is of the one before.",
    )
    assert subject.outputs.height == run.candidates.height
