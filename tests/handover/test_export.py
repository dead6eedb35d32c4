"""`loopguard export`: the rows of each format, the folder that appears whole, and what bad input gets to hear.

That the consumers read these rows is shown by their own loaders in consumers/ (make test-consumers).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loopguard.errors import InputError, RunInUse, StorageError
from loopguard.handover.export import Options, export_run
from loopguard.handover.formats import FORMATS
from loopguard.prefs.ledger import Ledger
from loopguard.prefs.run import Run
from tests.handover.a_run import COUNTED, ENDLESS, LEFT, ONCE, RULES, SCORES, SUM, TURNS, make_run
from tests.handover.small_tokenizer import CHATML, write_tokenizer
from tests.prefs.commands import loopguard

NAMES = ["trl", "openrlhf", "axolotl", "oumi", "llama-factory", "nemo-rl", "kto", "argilla", "ftpo"]
PAIRS = [name for name in NAMES if name != "ftpo"]

USER = [{"role": "user", "content": SUM}]


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("run"), pairing__max_pairs_per_prompt=2)


def rows_of(run: Run, name: str, out: Path, **options: Any) -> list[dict[str, Any]]:
    made = export_run(run.path, name, out=out, options=Options(**options))
    rows = pl.read_parquet(out / "train.parquet").to_dicts()
    assert len(rows) == made.rows
    return rows


def test_the_formats_are_those_of_the_help() -> None:
    from loopguard.export_command import FORMATS as in_help

    assert list(FORMATS) == NAMES == in_help.split(", ")


@pytest.mark.parametrize("name", ["trl", "axolotl", "oumi"])
def test_the_three_message_lists_alone(run: Run, tmp_path: Path, name: str) -> None:
    rows = rows_of(run, name, tmp_path / "out")
    assert rows == run.preferences.select("prompt", "chosen", "rejected").to_dicts()
    assert rows[0] == {"prompt": USER, "chosen": [said(ONCE)], "rejected": [said(ENDLESS)]}
    assert rows[2]["prompt"] == TURNS


def test_openrlhf_gets_the_margin_too(run: Run, tmp_path: Path) -> None:
    rows = rows_of(run, "openrlhf", tmp_path / "out")
    assert [list(row) for row in rows] == [["prompt", "chosen", "rejected", "margin"]] * 7
    assert [row["margin"] for row in rows] == run.preferences["margin"].to_list()
    assert rows[0]["margin"] is None


def test_llama_factory_gets_single_answers_and_no_row_that_it_would_drop(run: Run, tmp_path: Path) -> None:
    made = export_run(run.path, "llama-factory", out=tmp_path / "out")
    rows = pl.read_parquet(tmp_path / "out" / "train.parquet").to_dicts()
    assert rows[0] == {"messages": USER, "chosen": said(ONCE), "rejected": said(ENDLESS)}
    assert [row["messages"] for row in rows][2] == TURNS
    assert sum(made.left_out.values()) == 1
    entry = json.loads((tmp_path / "out" / "dataset_info.json").read_text(encoding="utf-8"))["loopguard"]
    assert (entry["formatting"], entry["ranking"], entry["file_name"]) == ("sharegpt", True, "train.parquet")


def test_nemo_rl_gets_two_ranks(run: Run, tmp_path: Path) -> None:
    """As nemo_rl/data/processors.py (NVIDIA-NeMo/RL, 7ea279ab) wants it: `preference_preprocessor` asserts two completions with
    different ranks, the lower one preferred, and adds context and completion as message lists; the file is one that
    nemo_rl/data/datasets/utils.py `load_dataset_from_path` reads by its suffix: arrow, csv, json, jsonl, parquet, txt.
    """
    from datasets import load_dataset

    export_run(run.path, "nemo-rl", out=tmp_path / "out")
    data = load_dataset("parquet", data_files=str(tmp_path / "out" / "train.parquet"), cache_dir=str(tmp_path))["train"]
    assert data.column_names == ["context", "completions"]
    assert len(data) == 7
    for row in data:
        assert [one["rank"] for one in row["completions"]] == [0, 1]
        assert all([turn["role"] for turn in one["completion"]] == ["assistant"] for one in row["completions"])
    assert data[0]["context"] + data[0]["completions"][1]["completion"] == [*USER, said(ENDLESS)]


def test_nemo_rl_is_recommended_the_whole_length(run: Run, tmp_path: Path) -> None:
    """It masks out what is longer than max_total_sequence_length (preference_preprocessor), and cuts nothing."""
    made = export_run(run.path, "nemo-rl", out=tmp_path / "out")
    longest = max(
        row["prompt_tokens"] + row["completion_tokens"] for row in run.candidates.to_dicts() if row["used_as"]
    )
    assert longest <= made.max_length < longest + 16 + 128
    assert f"max_total_sequence_length: {made.max_length}\n" in made.snippet


def test_kto_gets_each_chosen_once(run: Run, tmp_path: Path) -> None:
    rows = rows_of(run, "kto", tmp_path / "out")
    assert rows[:3] == [
        {"prompt": USER, "completion": [said(ONCE)], "label": True},
        {"prompt": USER, "completion": [said(ENDLESS)], "label": False},
        {"prompt": USER, "completion": [said(LEFT)], "label": False},
    ]
    assert [row["label"] for row in rows].count(True) == 5
    assert "desirable_weight=1.4" in (tmp_path / "out" / "train.py").read_text(encoding="utf-8")


def test_kto_with_all_loops_has_those_beyond_the_pairs(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert [row["label"] for row in rows_of(run, "kto", tmp_path / "pairs")].count(False) == 5
    rows = rows_of(run, "kto", tmp_path / "all", all_loops=True)
    assert [row["label"] for row in rows].count(False) == 6
    assert {"prompt": USER, "completion": [said(LEFT)], "label": False} in rows


def test_argilla_gets_conversations_ratings_and_models(run: Run, tmp_path: Path) -> None:
    rows = rows_of(run, "argilla", tmp_path / "out")
    assert rows[2]["prompt"] == TURNS[1]["content"]
    assert rows[2]["rejected"] == [*TURNS, said("東京。" * 200)]
    assert rows[0]["rejected_rating"] is None
    assert rows[5]["chosen_rating"] == pytest.approx(4.909, abs=0.001)
    assert rows[0]["prompt_id"] == hashlib.sha256(SUM.encode()).hexdigest()


@pytest.mark.parametrize("name", PAIRS)
def test_the_same_bytes_each_time(run: Run, tmp_path: Path, name: str) -> None:
    export_run(run.path, name, out=tmp_path / "one" / "out")
    export_run(run.path, name, out=tmp_path / "two" / "out")
    for file in (tmp_path / "one" / "out").iterdir():
        ours, theirs = (tmp_path / folder / "out" / file.name for folder in ("one", "two"))
        same = theirs.read_bytes().replace(str(tmp_path / "two").encode(), str(tmp_path / "one").encode())
        assert ours.read_bytes() == same


@pytest.mark.parametrize("name", PAIRS)
def test_the_run_stays_as_it_is(run: Run, tmp_path: Path, name: str) -> None:
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    export_run(run.path, name, out=tmp_path / "out")
    assert {path.name: path.read_bytes() for path in run.path.iterdir()} == before


def test_the_limit_holds_the_chosen_whole_and_loops_to_their_second_copy(run: Run, tmp_path: Path) -> None:
    made = export_run(run.path, "trl", out=tmp_path / "out")
    needed = []
    for row in run.candidates.to_dicts():
        if row["used_as"]:
            share = 1.0
            if row["looping"]:
                share = min(1.0, (row["loop_start"] + 2 * row["loop_period"]) / len(row["text"]))
            needed.append(row["prompt_tokens"] + row["completion_tokens"] * share)
    assert max(needed) <= made.max_length < max(needed) + 1 + 16 + 128
    assert f"max_length={made.max_length})" in made.snippet


def test_trimmed_loops_count_as_trimmed(tmp_path: Path) -> None:
    run = make_run(tmp_path, pairing__trim_loops=3)
    made = export_run(run.path, "nemo-rl", out=tmp_path / "out")
    assert made.max_length == 128
    assert made.cut == 4


def test_cut_texts_are_told(run: Run, tmp_path: Path) -> None:
    made = export_run(run.path, "axolotl", out=tmp_path / "out")
    assert made.cut == 4
    assert any(note.startswith("4 rejected texts were cut: axolotl") for note in made.notes)
    assert "4 rejected texts were cut" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_a_run_that_is_not_done_says_so(tmp_path: Path) -> None:
    failing = {"prompt": "Never.", "samples": [{"error": "no"}], "greedy": {"error": "no"}}
    run = make_run(tmp_path, [SUM, "Never."], rules=[*SCORES, failing, *RULES])
    made = export_run(run.path, "trl", out=tmp_path / "out")
    assert made.rows == 1
    assert made.notes[0] == "The run is not done: 0 prompts are missing, 1 failed."


# -- the command


def test_the_command_says_where_and_what_to_paste(run: Run, tmp_path: Path) -> None:
    done = loopguard("export", run.path, "--format", "llama-factory", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith(
        "6 rows: run-llama-factory/{train.parquet, dataset_info.json, llama-factory.yaml, README.md}\n"
    )
    assert "dataset_dir: run-llama-factory\n" in done.stdout
    assert done.stderr == (
        "loopguard: left out, 1: prompts in which user and assistant do not take turns, which LLaMA-Factory drops\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-llama-factory"]


def test_an_earlier_export_is_replaced_with_force_alone(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert loopguard("export", run.path, "-f", "trl", "--out", out).returncode == 0
    (out / "mine.txt").write_text("kept", encoding="utf-8")
    again = loopguard("export", run.path, "-f", "kto", "--out", out)
    assert again.returncode == 1
    assert (
        again.stderr
        == f"loopguard: {out} exists and is not empty; pass --force to replace its files, or another --out\n"
    )
    assert pl.read_parquet(out / "train.parquet").columns == ["prompt", "chosen", "rejected"]
    assert loopguard("export", run.path, "-f", "kto", "--out", out, "--force").returncode == 0
    assert pl.read_parquet(out / "train.parquet").columns == ["prompt", "completion", "label"]
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "mine.txt", "train.parquet", "train.py"]


def test_as_json(run: Run, tmp_path: Path) -> None:
    done = loopguard("export", run.path, "-f", "trl", "--out", tmp_path / "out", "--json")
    found = json.loads(done.stdout)
    assert (found["format"], found["rows"], found["cut"]) == ("trl", 7, 4)
    assert found["files"] == ["train.parquet", "train.py", "README.md"]


# -- bad input: one line, nothing written


def refusal(folder: Path, *arguments: object) -> str:
    """What the command says, in one line; it has written nothing."""
    before = sorted(folder.rglob("*"))
    done = loopguard("export", *arguments, cwd=folder)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert sorted(folder.rglob("*")) == before
    return done.stderr.removeprefix("loopguard: ").rstrip("\n")


def test_an_unknown_format_lists_them_all(run: Run, tmp_path: Path) -> None:
    assert refusal(tmp_path, run.path, "-f", "unsloth") == f"no format 'unsloth'; there are {', '.join(NAMES)}"


def test_no_run(tmp_path: Path) -> None:
    assert refusal(tmp_path, tmp_path / "none", "-f", "trl").endswith("no run directory (it holds no ledger.sqlite)")


def test_names_that_are_too_long(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run directory"):
        export_run(tmp_path / ("a" * 300), "trl")
    with pytest.raises(StorageError, match="File name too long"):
        export_run(run.path, "trl", out=tmp_path / ("a" * 300))


def test_what_a_template_says_is_code_in_the_notes(run: Run, tmp_path: Path) -> None:
    """A refusal of some rows goes into README.md as it was said: it starts no HTML there and no heading."""
    refusing = "{% if 'two' in messages[0]['content'] %}{{ raise_exception('<b>`x`\n# No') }}{% endif %}" + CHATML
    model = write_tokenizer(tmp_path / "model", refusing)
    options = Options(pretokenized=True, tokenizer=str(model))
    made = export_run(run.path, "trl", out=tmp_path / "out", options=options)
    notes = (made.folder / "README.md").read_text(encoding="utf-8")
    assert made.left_out == {"the chat template: <b>`x` # No": 2}
    assert "- left out, 2: the chat template: ``<b>`x` # No``" in notes


def test_a_run_that_is_still_going(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with Ledger.open(run.path):
        assert "still going" in refusal(tmp_path, run.path, "-f", "trl")
        with pytest.raises(RunInUse):
            export_run(run.path, "trl", out=tmp_path / "out")
    export_run(run.path, "trl", out=tmp_path / "out")


def test_an_empty_run(tmp_path: Path) -> None:
    rules = [{"samples": ["Yes."], "greedy": "Yes."}]
    run = make_run(tmp_path, ["One?", "Two?"], rules=rules, judge__spec="none")
    assert "the run has no pairs (2 all_equal)" in refusal(tmp_path, run.path, "-f", "trl")


def test_a_tokenizer_that_is_not_there(run: Run, tmp_path: Path) -> None:
    said = refusal(tmp_path, run.path, "-f", "trl", "--pretokenized", "--tokenizer", "./nowhere")
    assert said.startswith("no tokenizer at ./nowhere; give ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["-f", "ftpo"],
            "--format ftpo needs --tokenizer: that of the model that will be trained (a folder or user/model)",
        ),
        (["-f", "trl", "--pretokenized"], "--pretokenized needs --tokenizer: "),
        (["-f", "kto", "--pretokenized"], "--pretokenized is for --format trl, not for kto"),
        (["-f", "trl", "--all-loops"], "--all-loops is for --format kto, not for trl"),
        (["-f", "oumi", "--tokenizer", "x"], "--tokenizer is for --format ftpo and trl, not for oumi"),
        (["-f", "trl", "--tokenizer", "x"], "--tokenizer makes --format trl no other without --pretokenized"),
        (["-f", "trl", "--engine", "embedded"], "--engine is for --format ftpo, not for trl"),
        (["-f", "trl", "--out", "here.jsonl"], "--out here.jsonl: a folder is wanted"),
    ],
)
def test_options_that_do_not_fit(run: Run, tmp_path: Path, arguments: list[str], words: str) -> None:
    assert refusal(tmp_path, run.path, *arguments).startswith(words)


def test_the_run_itself_is_no_place_to_write(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is the run itself, which is only read"):
        export_run(run.path, "trl", out=run.path, force=True)


def test_a_failure_on_the_way_leaves_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("loopguard.handover.export.snippet", fail)
    with pytest.raises(KeyboardInterrupt):
        export_run(run.path, "trl", out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_counted_is_a_loop_of_the_run(run: Run) -> None:
    """The made run holds what its tests count on: verbatim loops, a counter loop, one that was left."""
    loops = run.candidates.filter(pl.col("looping"))
    assert sorted(loops["loop_kind"].to_list()) == ["counter", *["verbatim"] * 4]
    assert COUNTED in loops["text"].to_list()
