"""Columns of the prompts file through a whole run: in every table, over sessions, older ledgers, onto the Hub's features."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import loopguard
from loopguard import Recipe, build_prefs
from loopguard.handover.card_yaml import metadata
from loopguard.handover.parquet_files import write_files
from loopguard.prefs.ledger import Ledger
from tests.prefs.commands import loopguard as command
from tests.prefs.commands import tables

HOSTILE = "<script>alert(1)</script> \u202e nul\x00 {{ 7*7 }}"
ROWS: list[dict[str, Any]] = [
    {"prompt": f"Question {k}?", "category": ("maths", "code")[k % 2], "level": k, "tags": [k], "id": f"r{k}"}
    for k in range(6)
]
ROWS += [
    {"prompt": "Question 0?", "category": "of the duplicate", "level": 9.5, "id": "r6"},
    {"prompt": 7, "category": "of no prompt", "level": "none"},
    {"prompt": "Question 7?", "category": HOSTILE, "model": "of the dataset"},
]


@pytest.fixture
def base(tmp_path: Path) -> Recipe:
    """Odd questions get a loop among their answers, and so a pair; the others get equal answers, and so none."""
    loop = "and so it goes on, " * 99
    rules = [
        {"prompt": f"Question {k}?", "samples": ["Yes.", loop if k % 2 else "Yes."], "greedy": "Yes."} for k in range(8)
    ]
    script = tmp_path / "script.jsonl"
    judge = {"contains": "<<<ANSWER", "greedy": {"content": "4", "logprobs": {"4": -0.3, "5": -1.6}}}
    script.write_text("".join(json.dumps(rule) + "\n" for rule in [*rules, judge]))
    return Recipe().override({"engine.engine": f"scripted:{script}", "sampling.samples": 2})


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


COLUMNS = ["source_category", "source_level", "source_id", "source_model"]


def test_they_are_in_every_table_with_their_prompt(base: Recipe, prompts: Path, tmp_path: Path) -> None:
    run = build_prefs(prompts, base, out=tmp_path / "run")
    for frame in (run.candidates, run.preferences, run.skipped):
        assert frame.columns[-4:] == COLUMNS
        assert frame.select(COLUMNS).dtypes == [pl.String, pl.Int64, pl.String, pl.String]
    expected = {
        row: tuple(ROWS[row - 1].get(name) for name in ("category", "level", "id", "model"))
        for row in (1, 2, 3, 4, 5, 6, 9)
    }
    for frame in (run.candidates, run.preferences, run.skipped.filter(pl.col("prompt_id").is_not_null())):
        assert frame.height
        for row, *cells in frame.select("row", *COLUMNS).iter_rows():
            assert tuple(cells) == expected[row]
    broken = run.skipped.filter(pl.col("prompt_id").is_null())
    assert broken.select(COLUMNS).unique().rows() == [(None, None, None, None)]
    lines = [json.loads(line) for line in (run.path / "preferences.jsonl").read_text().splitlines()]
    assert [line["source_category"] for line in lines] == run.preferences["source_category"].to_list()
    assert run.candidates["model"].unique().to_list() != ["of the dataset"]
    assert run.summary["prompt_columns"] == {
        "kept": {"category": "text", "level": "whole", "id": "text", "model": "text"},
        "left_out": {"tags": "no single values"},
    }


def test_loop_rates_by_a_column_of_the_prompts(base: Recipe, prompts: Path, tmp_path: Path) -> None:
    run = build_prefs(prompts, base, out=tmp_path / "run")
    found = loopguard.loop_rates(run, by="category")
    by_hand = run.candidates.group_by("source_category").agg(pl.col("looping").sum(), total=pl.len())
    assert found.columns == ["category", "looping", "total", "rate", "low", "high"]
    assert {tuple(row) for row in found.select("category", "looping", "total").iter_rows()} == set(by_hand.iter_rows())
    assert loopguard.loop_rates(run, by=["source_model", "level"]).height == 7
    assert loopguard.loop_rates(run, by="model")["model"].to_list() == run.candidates["model"].unique().to_list()


def test_the_command_says_what_stays_behind_and_takes_what_is_named(
    base: Recipe, prompts: Path, tmp_path: Path
) -> None:
    given = ["build-prefs", prompts, "--engine", base.engine.engine, "--out", tmp_path / "run", "--samples", 2]
    done = command(*given)
    assert "columns of the prompts that do not come along: tags (no single values)" in done.stderr
    assert command(*given, "--keep-column", "level", "--quiet").returncode == 0
    run = loopguard.open_run(tmp_path / "run")
    assert [name for name in run.candidates.columns if name.startswith("source_")] == ["source_level"]
    assert run.summary["this_session"]["sampling"]["requests"] == 0
    assert command(*given, "--keep-column", "none").returncode == 0
    assert not [name for name in loopguard.open_run(run.path).candidates.columns if name.startswith("source_")]
    done = command(*given, "--keep-column", "colour")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"loopguard: {prompts} has no column colour to keep; its columns are prompt, category, level, tags, id, model"
    ]


def test_of_a_run_that_is_done_nothing_is_read_or_written_again(base: Recipe, prompts: Path, tmp_path: Path) -> None:
    run = build_prefs(prompts, base, out=tmp_path / "run")
    before = {path.name: path.stat().st_mtime_ns for path in run.path.glob("*.parquet")}
    again = build_prefs(prompts, base, out=tmp_path / "run")
    assert {path.name: path.stat().st_mtime_ns for path in run.path.glob("*.parquet")} == before
    assert again.summary["prompt_columns"] == run.summary["prompt_columns"]


def make_old(run_dir: Path) -> None:
    """The ledger and the tables as they were before columns came along."""
    connection = sqlite3.connect(run_dir / "ledger.sqlite")
    with connection:
        connection.execute("ALTER TABLE prompts DROP COLUMN columns")
        note = json.dumps({"read_from": "0" * 32, "answers_cut": 0})
        connection.execute("UPDATE meta SET value = ? WHERE name = 'prompts'", (note,))
        connection.execute("DELETE FROM meta WHERE name = 'tables'")
    connection.close()
    for name in ("candidates", "preferences", "skipped"):
        frame = pl.read_parquet(run_dir / f"{name}.parquet")
        frame.drop([one for one in frame.columns if one.startswith("source_")]).write_parquet(
            run_dir / f"{name}.parquet"
        )


def test_an_older_run_opens_reports_and_takes_the_columns_in(base: Recipe, prompts: Path, tmp_path: Path) -> None:
    build_prefs(prompts, base, out=tmp_path / "run")
    before = tables(tmp_path / "run")
    make_old(tmp_path / "run")
    with Ledger.read(tmp_path / "run") as ledger:
        assert ledger.columns() == {}
        assert [dict(row.prompt.columns) for row in ledger.rows() if row.prompt] == [{}] * 7
    assert loopguard.open_run(tmp_path / "run").status().done == 7
    done = command("report", tmp_path / "run", "--out", tmp_path / "report.html", "--by", "category")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "no column category to group by; it has row, index, decoding" in line
    assert line.endswith(
        "; no column of the prompts file came along: the run's command, given again, takes them in and asks nothing"
    )
    assert command("report", tmp_path / "run", "--out", tmp_path / "report.html").returncode == 0
    again = build_prefs(prompts, base, out=tmp_path / "run")
    assert again.summary["this_session"]["sampling"]["requests"] == 0
    assert tables(tmp_path / "run") == before


def test_features_on_the_hub_are_those_of_the_files(base: Recipe, prompts: Path, tmp_path: Path) -> None:
    import datasets
    import pyarrow.parquet as pq
    import yaml

    run = build_prefs(prompts, base, out=tmp_path / "run")
    files = write_files(run.path, tmp_path / "dataset")
    infos = yaml.safe_load(metadata(files, licence="unknown", source=None))["dataset_info"]
    for file, info in zip(files, infos, strict=True):
        right = datasets.Features.from_arrow_schema(pq.read_schema(run.path / f"{file.config}.parquet"))
        assert list(right)[-4:] == COLUMNS
        assert datasets.Features._from_yaml_list(info["features"]) == right
        assert datasets.Features.from_arrow_schema(pq.read_schema(file.path)) == right
