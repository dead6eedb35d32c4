"""What can be looked at and what cannot: damaged, empty, unfinished, without this or that; one clear line where nothing is left."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import loopguard
from loopguard.look.browser import pack
from loopguard.look.headline import headline
from loopguard.look.page import single
from loopguard.look.panels import panels
from loopguard.look.subject import Subject, open_subject
from loopguard.prefs.outputs import Outcome
from loopguard.records import Prompt, Skip
from tests.look.subjects import answer, looped, pair, small, write_run
from tests.prefs.commands import loopguard as command


def told(subject: Subject) -> list[str]:
    """All that a page says in words, without its pictures."""
    tiles = [f"{tile.value} {tile.label} {tile.detail}" for tile in headline(subject)]
    for panel in panels(subject):
        assert panel.empty or panel.draw().to_dict()
    return [*tiles, *(panel.sentence for panel in panels(subject))]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent", "no such file or folder; a run directory or a verdict file is wanted"),
        ("folder", "no run directory (it holds neither ledger.sqlite nor candidates.parquet)"),
        ("text.txt", "a run directory or a .parquet of verdicts is wanted; make one: loopguard scan"),
        ("junk.parquet", "no Parquet file"),
        ("plain.parquet", "no verdicts in it (no column looping, loop_reason, loop_kind"),
        ("going", "ledger.sqlite: ledger format none, this version reads 1; pass another --out"),
        ("damaged", "cannot be read"),
    ],
)
def test_not_a_run(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "junk.parquet").write_bytes(b"PAR1 no")
    pl.DataFrame({"output": ["a"]}).write_parquet(tmp_path / "plain.parquet")
    (tmp_path / "going").mkdir()
    (tmp_path / "going" / "ledger.sqlite").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "candidates.parquet").write_bytes(b"PAR1 no PAR1")
    done = command("report", tmp_path / name, "--out", tmp_path / "report.html")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"loopguard: {tmp_path / name}")
    assert said in line
    assert not (tmp_path / "report.html").exists()


def test_a_run_whose_other_tables_are_gone(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", small())
    for name in ("preferences.parquet", "skipped.parquet", "summary.json"):
        (run / name).unlink()
    subject = open_subject(run)
    assert [note.split(":")[0] for note in subject.notes] == [
        "The run has no summary.json",
        "The run has no preferences.parquet",
        "The run has no skipped.parquet",
    ]
    said = told(subject)
    assert said.count("There are no pairs.") == 2
    assert "3 prompts 3 without a pair" in said
    assert "33.3 % greedy answers that loop (6.1 to 79.2 %) · 1 of 3" in said


@pytest.mark.parametrize("text", ["{", "[]", '{"prompts": 3}'])
def test_a_damaged_summary(tmp_path: Path, text: str) -> None:
    run = write_run(tmp_path / "run", small())
    (run / "summary.json").write_text(text)
    subject = open_subject(run)
    assert subject.notes == (
        () if "3" in text else ("summary.json is damaged and left out; run build-prefs again: it asks nothing twice.",)
    )
    assert "3 prompts 1 without a pair" in told(subject)


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", small())
    told = json.loads((run / "summary.json").read_text())
    told["prompts"] |= {"total": 10, "missing": 6, "failed": 1}
    told["pairs"]["total"] = 5
    (run / "summary.json").write_text(json.dumps(told))
    assert open_subject(run).notes == (
        "The run is not finished: 6 of 10 prompts have no answers yet.",
        "1 prompt failed; the next run asks it again.",
        "The tables and summary.json are not of one session: the run may be writing right now.",
    )


def test_a_run_without_pairs_scores_and_loops(tmp_path: Path) -> None:
    prompt = Prompt.make("One?", row=1)
    outcome = Outcome(prompt=prompt, candidates=[answer(prompt, 0)], result=Skip(status="skipped", reason="no_score"))
    page = single(open_subject(write_run(tmp_path / "run", [outcome])))
    for line in (
        "Nothing loops.",
        "There are no pairs.",
        "No output has a score",
        "0 of 1 outputs with decoding sampled loop",
    ):
        assert line in page


def test_an_empty_run(tmp_path: Path) -> None:
    page = single(open_subject(write_run(tmp_path / "run", [])))
    assert "No outputs have a verdict." in page
    assert "There are no outputs to read." in page
    assert "<svg" not in page


def test_one_prompt(tmp_path: Path) -> None:
    prompt = Prompt.make("One?", row=1)
    both = [answer(prompt, 0), looped(prompt, 1)]
    page = single(
        open_subject(
            write_run(tmp_path / "run", [Outcome(prompt=prompt, candidates=both, result=[pair(prompt, *both)])])
        )
    )
    assert "1 of 2 outputs with decoding sampled loop" in page


def test_a_verdict_file_without_its_texts(tmp_path: Path) -> None:
    frame = loopguard.scan(["fine", "again and " * 60])
    frame.drop("text").write_parquet(tmp_path / "verdicts.parquet")
    subject = open_subject(tmp_path / "verdicts.parquet")
    assert subject.notes == ("The file has no column of outputs: lengths are unknown, and no text can be shown.",)
    assert subject.outputs["wasted"].to_list() == [None, pytest.approx(590)]
    said = told(subject)
    assert said.count("The lengths of the outputs are unknown.") == 2
    assert "The median looping output repeats 590 characters, the worst 590." in said
    assert any(line.startswith("50.0 % outputs that loop") for line in said)
    assert pack(subject).shown == 2


def test_a_verdict_file_of_token_ids_and_one_of_messages(tmp_path: Path) -> None:
    tokens = loopguard.scan([[1, 2, 3], [5, 6, 7, 8] * 60])
    tokens.write_parquet(tmp_path / "tokens.parquet")
    subject = open_subject(tmp_path / "tokens.parquet")
    assert (subject.unit, subject.outputs["length"].to_list()) == ("tokens", [3, 240])
    messages = pl.DataFrame(
        {"messages": [[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "again and " * 60}]]}
    )
    loopguard.scan(messages).write_parquet(tmp_path / "messages.parquet")
    subject = open_subject(tmp_path / "messages.parquet")
    assert (subject.unit, subject.outputs["length"].to_list()) == ("characters", [600])
    assert any(line.startswith("100.0 % outputs that loop") for line in told(subject))


def test_the_column_that_was_scanned_is_the_one_shown(tmp_path: Path) -> None:
    """A file with two columns of text: the scan notes which it examined."""
    pl.DataFrame({"output": ["no"], "draft": ["again and " * 60]}).write_parquet(tmp_path / "in.parquet")
    done = command("scan", tmp_path / "in.parquet", "--text-column", "draft", "--out", tmp_path / "v.parquet", "-q")
    assert done.returncode == 0
    assert open_subject(tmp_path / "v.parquet").texts.output == "draft"
