"""`loopguard scan` as a person, a script or CI meets it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.loops.outputs import CLEAN, LOOP, PERIOD, jsonl, parquet, rows
from tests.prefs.commands import loopguard


def scan(*arguments: object) -> subprocess.CompletedProcess[str]:
    return loopguard("scan", *arguments)


def test_a_table(tmp_path: Path) -> None:
    values = [row | {"model": "m" if row["id"] % 2 else "n"} for row in rows(40, loops=[1, 3])]
    done = scan(jsonl(tmp_path / "a.jsonl", values), "--group-by", "model", "--out", tmp_path / "v.parquet")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["all", "5.00%", "1.38%", "to", "16.50%", "2", "40"] in lines
    assert ["verbatim,", "terminal", "5.00%", "1.38%", "to", "16.50%", "2", "40"] in lines
    assert ["m", "10.00%", "2.79%", "to", "30.10%", "2", "20"] in lines
    assert ["n", "0.00%", "0.00%", "to", "16.11%", "0", "20"] in lines
    assert f"verdicts: {tmp_path}/v.parquet" in done.stdout
    assert pq.read_metadata(tmp_path / "v.parquet").num_rows == 40


def test_json(tmp_path: Path) -> None:
    done = scan(jsonl(tmp_path / "a.jsonl", rows(40, loops=[1, 3])), "--json", "--show", 1)
    figures = json.loads(done.stdout)
    assert figures["loop_rate"]["rate"] == 0.05
    assert figures["detector"].startswith("loopguard:")
    assert [(e["row"], e["output"], e["loop_period"]) for e in figures["examples"]] == [(2, LOOP, len(PERIOD))]


@pytest.mark.parametrize(("limit", "code"), [("0.04", 4), ("0.05", 0), ("0.2", 0)])
def test_fail_above(limit: str, code: int, tmp_path: Path) -> None:
    done = scan(jsonl(tmp_path / "a.jsonl", rows(40, loops=[1, 3])), "--fail-above", limit, "--quiet")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == ("loopguard: loop rate 5.00% is above 4.00%\n" if code else "")


def test_unreadable_is_three_and_too_many_loops_four(tmp_path: Path) -> None:
    good = jsonl(tmp_path / "a.jsonl", [*rows(3, loops=[1]), "{"])
    (tmp_path / "b.parquet").write_bytes(b"none")
    done = scan(good, tmp_path / "b.parquet")
    assert done.returncode == 3
    assert f"loopguard: not read: {tmp_path}/b.parquet cannot be read as Parquet" in done.stderr
    assert "loopguard: 1 row not read: 1 broken_json" in done.stderr
    assert scan(good, tmp_path / "b.parquet", "--fail-above", "0.1").returncode == 4


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", rows(1))
    done = scan(file, "--text-column", "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"loopguard: {file} has no column x; it has id, output\n"
    assert scan(file, "--set", "min_copies=many").returncode == 1
    assert scan(file, "--set", "min_copise=5").returncode == 1
    assert scan(file, "--fail-above", "2").returncode == 1
    assert scan().returncode == 1


def test_a_threshold(tmp_path: Path) -> None:
    file = parquet(tmp_path / "a.parquet", [{"output": CLEAN + " " + PERIOD * 6 + CLEAN}])
    signatures, looping = [], []
    for more in ((), ("--set", "min_wasted=5000", "--set", "open_wasted=5000", "--set", "stretch_score=9000")):
        figures = json.loads(scan(file, "--json", *more).stdout)
        signatures.append(figures["detector"])
        looping.append(figures["loop_rate"]["looping"])
    assert looping == [1, 0]
    assert signatures[0] != signatures[1]


def test_examples_do_nothing_to_the_terminal(tmp_path: Path) -> None:
    text = "\x1b[2J[bold]" + PERIOD * 30 + "\u202e and more of it. " + CLEAN
    done = scan(jsonl(tmp_path / "a\x1b.jsonl", [{"output": text}]), "--show", 5)
    assert done.returncode == 0
    assert "␛[2J[bold]" in done.stdout
    assert "\\u202e" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stdout.count(PERIOD.strip()) == 2
    assert "copies more" in done.stdout
