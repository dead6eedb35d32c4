"""The three tables: their columns, their rows, and that what is written is what is read, whatever a model says."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loopguard.errors import StorageError
from loopguard.prefs.outputs import (
    CANDIDATES,
    PREFERENCES,
    PREFERENCES_JSONL,
    SKIPPED,
    Outcome,
    Provenance,
    Tables,
    schemas,
)
from loopguard.prefs.pairing import make_pairs, merge_equal
from loopguard.prefs.recipe import PairingSection
from loopguard.records import Candidate, Prompt, Skip
from tests.prefs.made import PROMPT, candidate, loop

FROM = Provenance(model="tiny", judge="helpfulness|1-5|0123abcd", detector="loopguard:0|min_copies:4")
COMMON = {"model": FROM.model, "judge": FROM.judge, "detector": FROM.detector}
FILES = [CANDIDATES, PREFERENCES, SKIPPED, PREFERENCES_JSONL]

MESSAGES = "list<item: struct<role: string, content: string>>"
LOOP = ["reason string", "kind string", "terminal bool", "start int64", "end int64", "period int64", "repeats double"]
SIDE = ["index int64", "decoding string", "temperature double", "finish_reason string", "tokens int64"]
COLUMNS = {
    PREFERENCES: [
        *[f"prompt {MESSAGES}", f"chosen {MESSAGES}", f"rejected {MESSAGES}"],
        *["prompt_id string", "row int64", "pair_index int64", "reason string"],
        *["score_chosen double", "score_rejected double", "margin double"],
        *[f"chosen_{column}" for column in SIDE],
        *[f"rejected_{column}" for column in SIDE],
        *[f"rejected_loop_{column}" for column in LOOP],
        *["rejected_wasted_fraction double", "rejected_truncated bool", "rejected_trimmed bool"],
        *["model string", "judge string", "detector string"],
    ],
    CANDIDATES: [
        *["prompt_id string", "row int64", "index int64", "decoding string"],
        *["temperature double", "top_p double", "seed int64", "text string", "reasoning string"],
        *[
            "finish_reason string",
            "prompt_tokens int64",
            "completion_tokens int64",
            "merged_into int64",
            "looping bool",
        ],
        *[f"loop_{column}" for column in LOOP],
        *["loops int64", "wasted_fraction double"],
        *["score double", "score_method string", "score_mass double", "judge_error string", "used_as string"],
        *["model string", "judge string", "detector string"],
    ],
    SKIPPED: [
        *["status string", "reason string", "detail string", "row int64", "prompt_id string"],
        *[f"prompt {MESSAGES}", "candidates int64", "looping int64"],
    ],
}


def outcome(candidates: list[Candidate], prompt: Prompt = PROMPT, **rules: Any) -> Outcome:
    merged = merge_equal(candidates)
    return Outcome(prompt=prompt, candidates=merged, result=make_pairs(prompt, merged, PairingSection(**rules)))


def written(folder: Path, *outcomes: Outcome, broken: int = 0) -> Path:
    with Tables(folder, FROM) as tables:
        for one in outcomes:
            tables.add(one)
        for row in range(broken):
            tables.add_broken(row=row + 1, reason="no_prompt", detail=f"row {row + 1} is empty")
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(path).to_dicts()


TWO = outcome([candidate(0, "Four.", 4.5), candidate(1, "Fish.", 1.5, finish_reason="length"), candidate(2, "Four. ")])
LOOPS = outcome(
    [
        loop(0, 5, lead="So: ", tail="Done."),
        candidate(1, "Four.", 4, reasoning="Hm"),
        candidate(2, "Er.", judge_error="no score in 3 replies"),
        loop(3, 4, decoding="greedy", temperature=0.0, top_p=1.0),
    ],
    trim_loops=2,
)


def test_columns(tmp_path: Path) -> None:
    written(tmp_path)
    for name, columns in COLUMNS.items():
        schema = schemas()[name]
        assert [f"{field.name} {field.type}" for field in schema] == columns
        assert pl.read_parquet(tmp_path / name).columns == schema.names
    assert not {"messages", "completion"} & {name for schema in schemas().values() for name in schema.names}


def test_a_pair_by_score(tmp_path: Path) -> None:
    (row,) = rows(written(tmp_path, TWO) / PREFERENCES)
    no_loop = dict.fromkeys([f"rejected_loop_{column.split()[0]}" for column in LOOP])
    expected = {
        "prompt": [{"role": "user", "content": "What is two and two?"}],
        "chosen": [{"role": "assistant", "content": "Four."}],
        "rejected": [{"role": "assistant", "content": "Fish."}],
        "prompt_id": PROMPT.prompt_id,
        "row": 7,
        "pair_index": 0,
        "reason": "score",
        "score_chosen": 4.5,
        "score_rejected": 1.5,
        "margin": 3.0,
        "chosen_index": 0,
        "chosen_decoding": "sampled",
        "chosen_temperature": 0.8,
        "chosen_finish_reason": "stop",
        "chosen_tokens": 5,
        "rejected_index": 1,
        "rejected_decoding": "sampled",
        "rejected_temperature": 0.8,
        "rejected_finish_reason": "length",
        "rejected_tokens": 5,
        **no_loop,
        "rejected_wasted_fraction": 0.0,
        "rejected_truncated": True,
        "rejected_trimmed": False,
        **COMMON,
    }
    assert row == expected
    assert list(row) == list(expected)


def test_a_pair_by_loop(tmp_path: Path) -> None:
    (row,) = rows(written(tmp_path, LOOPS) / PREFERENCES)
    assert row["rejected"] == [{"role": "assistant", "content": "So: ab ab "}]
    figures = {key: value for key, value in row.items() if key.startswith(("score", "margin", "rejected_"))}
    assert figures == {
        "score_chosen": 4.0,
        "score_rejected": None,
        "margin": None,
        "rejected_index": 0,
        "rejected_decoding": "sampled",
        "rejected_temperature": 0.8,
        "rejected_finish_reason": "length",
        "rejected_tokens": 24,
        "rejected_loop_reason": "repeats_verbatim",
        "rejected_loop_kind": "verbatim",
        "rejected_loop_terminal": False,
        "rejected_loop_start": 4,
        "rejected_loop_end": 19,
        "rejected_loop_period": 3,
        "rejected_loop_repeats": 5.0,
        "rejected_wasted_fraction": 0.5,
        "rejected_truncated": True,
        "rejected_trimmed": True,
    }


@pytest.mark.parametrize(
    ("finish_reason", "trimmed", "truncated"),
    [
        *[("stop", 0, False), ("stop", 2, True), ("length", 0, True), ("repetition", 0, True), ("max_tokens", 0, True)],
        *[("unknown", 0, False), ("content_filter", 0, False)],
    ],
)
def test_whether_an_end_of_sequence_belongs_to_the_rejected(
    tmp_path: Path, finish_reason: str, trimmed: int, truncated: bool
) -> None:
    one = outcome([candidate(0, "a", 3), loop(1, 9, finish_reason=finish_reason)], trim_loops=trimmed)
    (row,) = rows(written(tmp_path, one) / PREFERENCES)
    assert (row["rejected_truncated"], row["rejected_trimmed"]) == (truncated, bool(trimmed))


def test_every_candidate_has_a_row(tmp_path: Path) -> None:
    found = rows(written(tmp_path, TWO, LOOPS) / CANDIDATES)
    brief = [(r["index"], r["text"], r["used_as"], r["merged_into"], r["looping"], r["score"]) for r in found]
    assert brief == [
        (0, "Four.", "chosen", None, False, 4.5),
        (1, "Fish.", "rejected", None, False, 1.5),
        (2, "Four. ", None, 0, False, None),
        (0, "So: " + "ab " * 5 + "Done.", "rejected", None, True, None),
        (1, "Four.", "chosen", None, False, 4.0),
        (2, "Er.", None, None, False, None),
        (3, "ab " * 4, None, None, True, None),
    ]
    assert found[3] == {
        "prompt_id": PROMPT.prompt_id,
        "row": 7,
        "index": 0,
        "decoding": "sampled",
        "temperature": 0.8,
        "top_p": 0.95,
        "seed": 100,
        "text": "So: " + "ab " * 5 + "Done.",
        "reasoning": None,
        "finish_reason": "length",
        "prompt_tokens": 11,
        "completion_tokens": 24,
        "merged_into": None,
        "looping": True,
        "loop_reason": "repeats_verbatim",
        "loop_kind": "verbatim",
        "loop_terminal": False,
        "loop_start": 4,
        "loop_end": 19,
        "loop_period": 3,
        "loop_repeats": 5.0,
        "loops": 1,
        "wasted_fraction": 0.5,
        "score": None,
        "score_method": None,
        "score_mass": None,
        "judge_error": None,
        "used_as": "rejected",
        **COMMON,
    }
    assert (found[4]["reasoning"], found[4]["score_method"], found[4]["score_mass"]) == ("Hm", "logprobs", 0.9)
    assert found[5]["judge_error"] == "no score in 3 replies"
    assert (found[6]["decoding"], found[6]["temperature"], found[6]["top_p"]) == ("greedy", 0.0, 1.0)


def test_an_unexamined_candidate_has_a_row(tmp_path: Path) -> None:
    skip = Skip(status="failed", reason="not_answered", detail="500")
    one = Outcome(prompt=PROMPT, candidates=[candidate(0, "a", verdict=None)], result=skip)
    (row,) = rows(written(tmp_path, one) / CANDIDATES)
    assert (row["looping"], row["loops"], row["wasted_fraction"], row["loop_reason"]) == (False, None, None, None)


def test_who_gave_no_pair(tmp_path: Path) -> None:
    failed = Outcome(
        prompt=PROMPT, candidates=[], result=Skip(status="failed", reason="not_answered", detail="500 from the server")
    )
    found = rows(written(tmp_path, TWO, outcome([loop(0, 5), candidate(1, "")]), failed, broken=1) / SKIPPED)
    prompt = {"row": 7, "prompt_id": PROMPT.prompt_id, "prompt": list(PROMPT.messages)}
    assert found == [
        {
            "status": "skipped",
            "reason": "all_looping",
            "detail": "1 of 2 loop, the others are empty",
            **prompt,
            "candidates": 2,
            "looping": 1,
        },
        {
            "status": "failed",
            "reason": "not_answered",
            "detail": "500 from the server",
            **prompt,
            "candidates": 0,
            "looping": 0,
        },
        {
            "status": "skipped",
            "reason": "no_prompt",
            "detail": "row 1 is empty",
            "row": 1,
            "prompt_id": None,
            "prompt": None,
            "candidates": None,
            "looping": None,
        },
    ]


def test_jsonl_holds_the_same_rows(tmp_path: Path) -> None:
    written(tmp_path, TWO, LOOPS)
    lines = (tmp_path / PREFERENCES_JSONL).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows(tmp_path / PREFERENCES)
    assert [list(json.loads(line)) for line in lines] == [schemas()[PREFERENCES].names] * 2


def test_datasets_reads_both(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    written(tmp_path, TWO, LOOPS)
    cache = str(tmp_path / "cache")
    expected = rows(tmp_path / PREFERENCES)
    for kind, name in [("parquet", PREFERENCES), ("json", PREFERENCES_JSONL)]:
        read = datasets.load_dataset(kind, data_files=str(tmp_path / name), split="train", cache_dir=cache)
        assert read.to_list() == expected
        assert read.column_names == schemas()[PREFERENCES].names
    typed = datasets.load_dataset("parquet", data_files=str(tmp_path / PREFERENCES), split="train", cache_dir=cache)
    assert typed.features.arrow_schema.types == schemas()[PREFERENCES].types


def test_columns_of_nulls_keep_their_types(tmp_path: Path) -> None:
    written(tmp_path, TWO)
    found = pl.read_parquet(tmp_path / PREFERENCES)
    (tmp_path / "empty").mkdir()
    empty = pl.read_parquet(written(tmp_path / "empty") / PREFERENCES)
    assert found["rejected_loop_kind"].null_count() == 1
    assert found.schema == empty.schema
    assert found.schema["rejected_loop_kind"] == pl.String
    assert found.schema["rejected_loop_start"] == pl.Int64
    assert found.schema["prompt"] == pl.List(pl.Struct({"role": pl.String, "content": pl.String}))


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        written(tmp_path / name, TWO, LOOPS, broken=2)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


ODD = 'NUL \0 line \u2028 paragraph \u2029 next \x85 emoji 🙂 \r\n tab\t quote " backslash \\ bell \x07 \ufeff'


def test_odd_characters_survive(tmp_path: Path) -> None:
    prompt = Prompt.make([{"role": "system", "content": ODD}, {"role": "user", "content": ODD}])
    written(tmp_path, outcome([candidate(0, ODD, 5), candidate(1, ODD + "!", 1)], prompt))
    (row,) = rows(tmp_path / PREFERENCES)
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == (ODD, ODD + "!")
    assert row["prompt"] == list(prompt.messages)
    text = (tmp_path / PREFERENCES_JSONL).read_text(encoding="utf-8")
    assert len(text.splitlines()) == 1
    assert json.loads(text) == row


def test_lone_surrogates_become_one_replacement_character(tmp_path: Path) -> None:
    written(tmp_path, outcome([candidate(0, "a\ud800b", 5), candidate(1, "c\udfff", 1)]))
    (row,) = rows(tmp_path / PREFERENCES)
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("a\ufffdb", "c\ufffd")
    assert json.loads((tmp_path / PREFERENCES_JSONL).read_text(encoding="utf-8")) == row
    assert [r["text"] for r in rows(tmp_path / CANDIDATES)] == ["a\ufffdb", "c\ufffd"]


def test_an_error_leaves_the_former_files(tmp_path: Path) -> None:
    written(tmp_path, TWO)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    with contextlib.suppress(KeyboardInterrupt), Tables(tmp_path, FROM) as tables:
        tables.add(LOOPS)
        raise KeyboardInterrupt
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_in_the_way_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / PREFERENCES_JSONL).mkdir()
    with pytest.raises(StorageError, match=PREFERENCES_JSONL):
        Tables(tmp_path, FROM)
    assert [path.name for path in tmp_path.iterdir()] == [PREFERENCES_JSONL]
