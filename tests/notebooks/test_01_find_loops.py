"""01_find_loops: on the real collection, on a file of the user's, and on outputs that it makes itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

import loopguard
from benchmarks.shared import shared_data
from tests.notebooks.executed import MOST_TOKENS, Executed, execute, pixels_of, rows_of, spent

NAME = "01_find_loops.ipynb"
COLLECTION = shared_data() / "outputs.parquet"

LOOP, MEAN = "#c4553b", "#5f7f9c"
"""Colours of loop rates and of means in the charts."""

pytestmark = [pytest.mark.notebooks, pytest.mark.slow]


def held(executed: Executed) -> None:
    """What stands in every execution, whatever the outputs are."""
    assert len(executed.charts) == 2
    assert pixels_of(executed.charts[0], LOOP) > 200, "points of loop rates"
    assert pixels_of(executed.charts[1], MEAN) > 200, "points of held-out means"
    assert executed.tables("looping", "loop_reason", "wasted_fraction")
    flagged = re.search(r"flags \*\*(\d+) of (\d+)\*\* outputs", executed.said)
    assert flagged
    assert int(flagged[1]) <= int(flagged[2])


@pytest.mark.skipif(not COLLECTION.is_file(), reason="needs outputs.parquet in $LOOPGUARD_SHARED")
def test_on_the_real_collection(tmp_path: Path) -> None:
    executed = execute(NAME, tmp_path, LOOPGUARD_SHARED=str(shared_data()))
    held(executed)
    verdicts = loopguard.scan(str(COLLECTION))
    looping = int(verdicts["looping"].sum())
    assert f"**{looping:,} of {len(verdicts):,} outputs loop: {looping / len(verdicts):.2%}**" in executed.said
    [scanned] = executed.tables("looping", "loop_reason", "wasted_fraction")
    assert rows_of(scanned) == len(verdicts)
    shown = [html for html in executed.shown("text/html") if "<mark" in html]
    assert {kind for kind in ("verbatim", "counter", "near") for html in shown if f">{kind} loop" in html} == {
        *("verbatim", "counter", "near")
    }
    rates = loopguard.loop_rates(verdicts, by="model")
    assert f"Highest: **{rates['model'][0]}** with {rates['rate'][0]:.1%}" in executed.said
    drawn = executed.charts[0]
    assert pixels_of(drawn, LOOP) > 20 * 150, "twenty points, each with the area of some 200 pixels"
    trusted = verdicts.filter(pl.col("model") == "Meta-Llama-3.1-405B-Instruct-Turbo")
    assert f"of {len(trusted)}** outputs that are to be trusted" in executed.said


def test_on_a_file_of_the_users(tmp_path: Path) -> None:
    """Two models, one of which loops in every third output; nothing is trusted."""
    plain = "Number {}. A river bends where the rock is soft, and the town of {} grew on its inner bank."
    loop = "Wait, let me check that again. " * 40
    rows = [{"model": "calm", "output": plain.format(n, n * 7)} for n in range(60)]
    rows += [{"model": "lost", "output": plain.format(n, n * 3) if n % 3 else f"{n}. {loop}"} for n in range(60)]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    executed = execute(NAME, tmp_path, LOOPGUARD_OUTPUTS=str(file))
    held(executed)
    assert "Outputs from: **mine.jsonl**" in executed.said
    assert "**20 of 120 outputs loop: 16.67%**" in executed.said
    assert "Highest: **lost** with 33.3%" in executed.said
    assert "Of the other 1, 1 lie wholly below its interval" in executed.said
    assert not list(tmp_path.glob("runs/*")), "no model was asked"


@pytest.mark.embedded
def test_on_outputs_that_it_makes(tmp_path: Path) -> None:
    executed = execute(NAME, tmp_path)
    held(executed)
    assert "Outputs from: **a small model, asked now**" in executed.said
    made = loopguard.open_run(tmp_path / "runs" / "01_find_loops").candidates
    assert len(made) == 10 * 5
    looping = int(made["looping"].sum())
    assert looping >= 1
    asked = spent(tmp_path)
    assert asked.answers == 10 * 5
    assert asked.tokens <= MOST_TOKENS
    assert f"**{looping} of 50 outputs loop" in executed.said
    assert any("<mark" in html for html in executed.shown("text/html"))
