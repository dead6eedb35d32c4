"""What is the same is not done again: prompts of an unchanged file, tables of an unchanged ledger; all else is."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loopguard import Recipe, Run, build_prefs
from loopguard.dataset import read_prompts
from loopguard.prefs.outputs import TABLES
from tests.prefs.commands import questions, tables, write_prompts
from tests.prefs.test_budget import recipe, write_script


@pytest.fixture
def base(tmp_path: Path) -> Recipe:
    return recipe(write_script(tmp_path / "script.jsonl"))


def ledger(run_dir: Path, sql: str) -> list[Any]:
    """Look into a run's ledger, or meddle with it."""
    connection = sqlite3.connect(run_dir / "ledger.sqlite")
    with connection:
        found = connection.execute(sql).fetchall()
    connection.close()
    return found


def first_rows(run_dir: Path) -> list[int]:
    """Row numbers in the ledger: of prompts that were not read again they stay what a test made of them."""
    return [row for (row,) in ledger(run_dir, "SELECT source_row FROM prompts ORDER BY position")]


def times(run_dir: Path) -> dict[str, int]:
    return {name: (run_dir / name).stat().st_mtime_ns for name in TABLES}


# -- prompts


def jsonl(path: Path, asked: list[str]) -> Path:
    return write_prompts(path.with_suffix(".jsonl"), asked)


def packed(path: Path, asked: list[str]) -> Path:
    file = path.with_suffix(".jsonl.gz")
    file.write_bytes(gzip.compress(jsonl(path, asked).read_bytes(), mtime=0))
    return file


def csv(path: Path, asked: list[str]) -> Path:
    pl.DataFrame({"prompt": asked}).write_csv(path.with_suffix(".csv"))
    return path.with_suffix(".csv")


def parquet(path: Path, asked: list[str]) -> Path:
    pl.DataFrame({"prompt": asked}).write_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


@pytest.mark.parametrize("write", [jsonl, packed, csv, parquet])
def test_the_same_file_is_not_read_again_and_any_other_byte_is(
    write: Callable[[Path, list[str]], Path], base: Recipe, tmp_path: Path
) -> None:
    run_dir, asked = tmp_path / "run", questions(4)
    path = write(tmp_path / "prompts", asked)
    build_prefs(path, base, out=run_dir)
    ledger(run_dir, "UPDATE prompts SET source_row = source_row + 100")
    os.utime(path, (1, 1))
    build_prefs(path, base, out=run_dir)
    assert first_rows(run_dir) == [101, 102, 103, 104]
    write(tmp_path / "prompts", [*asked[:3], "Another one?"])
    changed = build_prefs(path, base, out=run_dir)
    assert first_rows(run_dir) == [1, 2, 3, 4]
    assert changed.summary["this_session"]["sampling"]["requests"] == 2
    assert changed.candidates["prompt_id"].n_unique() == 4
    write(tmp_path / "prompts", asked)
    assert build_prefs(path, base, out=run_dir).summary["this_session"]["sampling"]["requests"] == 0


def test_other_options_of_reading_are_another_source(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "question": "b", "answer": "c"}\n' * 3)
    options: list[dict[str, Any]] = [
        {},
        {"prompt_column": "question"},
        {"reference_column": "answer"},
        {"limit": 1},
        {"limit": 2},
    ]
    digests = [read_prompts(path, **given).digest() for given in options]
    assert len(set(digests)) == len(options)
    assert read_prompts(path, prompt_column="prompt").digest() == digests[0]  # it was found before, now it is named
    assert read_prompts(["a list"]).digest() is None


def test_answers_cut_from_the_prompts_are_told_by_a_run_that_did_not_read_them_again(
    base: Recipe, tmp_path: Path
) -> None:
    talk = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "That."}]
    path = tmp_path / "talks.jsonl"
    path.write_text(json.dumps({"messages": talk}) + "\n")
    for _ in range(2):
        assert build_prefs(path, base, out=tmp_path / "run").summary["answers_cut_from_prompts"] == 1


def test_a_list_of_prompts_is_always_taken_as_it_is(base: Recipe, tmp_path: Path) -> None:
    build_prefs(["a", "b"], base, out=tmp_path / "run")
    assert build_prefs(["a", "c"], base, out=tmp_path / "run").summary["this_session"]["sampling"]["requests"] == 2
    assert len(first_rows(tmp_path / "run")) == 2


# -- tables


def test_a_run_that_is_done_writes_nothing_and_says_the_same(base: Recipe, tmp_path: Path) -> None:
    path, run_dir = write_prompts(tmp_path / "prompts.jsonl", questions(5)), tmp_path / "run"
    first = build_prefs(path, base, out=run_dir).summary
    written = times(run_dir)
    second = build_prefs(path, base, out=run_dir).summary
    assert times(run_dir) == written
    for name in ("this_session", "seconds_in_all_sessions"):
        assert first.pop(name) != second.pop(name)
    assert first == second


def remove_one(run_dir: Path) -> None:
    (run_dir / "preferences.jsonl").unlink()


def write_over_one(run_dir: Path) -> None:
    path = run_dir / "skipped.parquet"
    path.write_bytes(b"x" * path.stat().st_size)


def cut_one(run_dir: Path) -> None:
    path = run_dir / "candidates.parquet"
    seen = path.stat()
    os.truncate(path, seen.st_size - 1)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


@pytest.mark.parametrize("harm", [remove_one, write_over_one, cut_one])
def test_tables_that_were_harmed_are_written_again(harm: Callable[[Path], None], base: Recipe, tmp_path: Path) -> None:
    path, run_dir = write_prompts(tmp_path / "prompts.jsonl", questions(3)), tmp_path / "run"
    build_prefs(path, base, out=run_dir)
    whole = tables(run_dir)
    harm(run_dir)
    build_prefs(path, base, out=run_dir)
    assert tables(run_dir) == whole


@pytest.mark.parametrize(
    "change",
    [
        {"pairing.min_margin": 3},
        {"pairing.trim_loops": 2},
        {"detector.min_copies": 5},
        {"output.think_open": "<thinking>"},
        {"judge.spec": "none"},
        {"judge.attempts": 2},
    ],
)
def test_another_recipe_writes_its_own_tables(change: dict[str, Any], base: Recipe, tmp_path: Path) -> None:
    path, run_dir = write_prompts(tmp_path / "prompts.jsonl", questions(3)), tmp_path / "run"
    build_prefs(path, base, out=run_dir)
    written = times(run_dir)
    build_prefs(path, base.override(change), out=run_dir)
    assert not set(times(run_dir).items()) & set(written.items())
    build_prefs(path, base.override(change), out=tmp_path / "fresh")
    assert tables(run_dir) == tables(tmp_path / "fresh")
    build_prefs(path, base, out=run_dir)
    build_prefs(path, base, out=tmp_path / "first")
    assert tables(run_dir) == tables(tmp_path / "first")


def test_a_session_that_recorded_anything_writes_the_tables(base: Recipe, tmp_path: Path) -> None:
    """A failed prompt is asked again, fails in other words, and the tables say so: as many answers, other tables."""
    script = tmp_path / "failing.jsonl"
    path, run_dir = write_prompts(tmp_path / "prompts.jsonl", questions(2)), tmp_path / "run"
    for said in ("it broke", "it broke again"):
        rules = [{"contains": "Question 1", "samples": [{"error": said}]}, {"samples": ["a", "b"], "greedy": "c"}]
        script.write_text("".join(json.dumps(rule) + "\n" for rule in rules))
        changes = {"engine.engine": f"scripted:{script}", "judge.spec": "none"}
        run = build_prefs(path, base.override(changes), out=run_dir)
        assert run.skipped.filter(pl.col("status") == "failed")["detail"].to_list() == [said]
    assert Run(run_dir).summary["prompts"]["failed"] == 1
