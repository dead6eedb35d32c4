from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from benchmarks.shared import shared_data
from loopguard.dataset import PROMPT_COLUMNS, BadRow, read_prompts
from loopguard.errors import InputError
from loopguard.records import Prompt, prompt_id
from tests.prompt_rows import assistant, brief, user

SHARED = shared_data()


CELLS: dict[str, tuple[Any, Any]] = {
    "a string": ("a", [user("a")]),
    "a message": (user("a"), [user("a")]),
    "system kept": ([{"role": "system", "content": "s"}, user("a")], [{"role": "system", "content": "s"}, user("a")]),
    "several turns": ([user("a"), assistant("b"), user("c")], [user("a"), assistant("b"), user("c")]),
    "answer cut": ([user("a"), assistant("b")], [user("a")]),
    "answers cut": ([user("a"), assistant("b"), assistant("c")], [user("a")]),
    "ShareGPT": ([{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], [user("a")]),
    "columns of both kinds": ([{"from": "human", "value": "a", "role": None, "content": None}], [user("a")]),
    "text parts": ([{"role": "user", "content": [{"type": "text", "text": "a"}, "b"]}], [user("a\nb")]),
    "more keys": ([{"role": "user", "content": "a", "name": "n", "weight": 1}], [user("a")]),
    "turns": (["a", "b"], [user("a")]),
    "white space kept": (" a\n", [user(" a\n")]),
    "JSON in a prompt is text": ('[{"role": "user", "content": "a"}]', [user('[{"role": "user", "content": "a"}]')]),
    "nothing": (None, "null_prompt"),
    "not a number": (float("nan"), "null_prompt"),
    "no messages": ([], "empty_prompt"),
    "last message empty": ([user("a"), assistant("b"), user(" ")], "empty_prompt"),
    "only an answer": ([assistant("b")], "bad_messages"),
    "only a system message": ([{"role": "system", "content": "s"}], "bad_messages"),
    "unknown role": ([{"role": "tool", "content": "a"}], "bad_messages"),
    "no role": ([{"content": "a"}], "bad_messages"),
    "role of another type": ([{"role": ["user"], "content": "a"}], "bad_messages"),
    "no text": ([{"role": "user", "content": None}], "bad_messages"),
    "an image": ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "bad_messages"),
    "not messages": ([1, 2], "bad_messages"),
    "strings and messages": (["a", user("b")], "bad_messages"),
    "a surrogate in the system message": ([{"role": "system", "content": "\ud800"}, user("a")], "lone_surrogate"),
    "NUL in a message": ([user("\0")], "nul_character"),
    "bytes": (b"a", "wrong_type"),
    "a number": (1.5, "wrong_type"),
}  # fmt: skip


@pytest.mark.parametrize("case", CELLS)
def test_cells(case: str) -> None:
    cell, expected = CELLS[case]
    (item,) = read_prompts([{"prompt": cell}])
    if isinstance(expected, str):
        assert isinstance(item, BadRow)
        assert item.reason == expected
        assert item.detail.isprintable()
        assert len(item.detail) < 200
    else:
        assert isinstance(item, Prompt)
        assert list(item.messages) == expected
        assert item.prompt_id == prompt_id(expected)


def test_answers_cut_are_counted() -> None:
    reader = read_prompts([[user("a"), assistant("b")], [user("b")], [user("c"), assistant("d")]])
    assert len(list(reader)) == 3
    assert reader.answers_cut == 2


@pytest.mark.parametrize("name", PROMPT_COLUMNS)
def test_column_is_found_by_name(name: str) -> None:
    reader = read_prompts([{"z": 1, name: "a"}])
    assert (reader.column, brief(reader)) == (name, ["1: a"])


def test_columns_are_looked_for_in_order() -> None:
    for position, name in enumerate(PROMPT_COLUMNS):
        row = dict.fromkeys(reversed(PROMPT_COLUMNS[position:]), "later") | {name: "a"}
        assert brief(read_prompts([row])) == ["1: a"]
    assert PROMPT_COLUMNS[:5] == ("prompt", "messages", "question", "instruction", "text")


def test_instruction_with_input() -> None:
    rows = [{"instruction": "Add.", "input": "1 2"}, {"instruction": "Say hi.", "input": " "}, {"instruction": "Sum."}]
    assert brief(read_prompts(rows)) == ["1: Add.\n\n1 2", "2: Say hi.", "3: Sum."]
    assert brief(read_prompts(pl.DataFrame(rows[:2]))) == ["1: Add.\n\n1 2", "2: Say hi."]


def test_reference_column() -> None:
    rows = [{"question": str(n), "answer": value} for n, value in enumerate(["#### 18", 18, None, ["a", 1], "\ud800"])]
    items = list(read_prompts(rows, reference_column="answer"))
    assert [item.reference for item in items if isinstance(item, Prompt)] == ["#### 18", "18", None, '["a", 1]']
    assert [item.reason for item in items if isinstance(item, BadRow)] == ["lone_surrogate"]


def test_limit_counts_distinct_prompts() -> None:
    reader = read_prompts(["a", "a", None, "b", "c"], limit=2)
    assert brief(reader) == ["1: a", "2: <duplicate>", "3: <null_prompt>", "4: b"]
    assert (reader.prompts, reader.duplicates, dict(reader.bad_rows)) == (2, 1, {"duplicate": 1, "null_prompt": 1})
    assert len(brief(reader)) == 4  # again, with fresh counts
    assert (reader.prompts, reader.duplicates) == (2, 1)


def test_duplicate_names_the_first_row() -> None:
    assert list(read_prompts(["a", "b", "b"]))[2] == BadRow(3, "duplicate", "the same prompt as row 2")


def frames() -> dict[str, Any]:
    import datasets

    rows: dict[str, list[Any]] = {"id": [1, 2, 3], "prompt": ["a", None, "b"]}
    return {
        "polars": pl.DataFrame(rows),
        "polars, lazy": pl.LazyFrame(rows),
        "pandas": pl.DataFrame(rows).to_pandas(),
        "pyarrow": pa.table(rows),
        "datasets": datasets.Dataset.from_dict(rows),
        "datasets, streamed": datasets.Dataset.from_dict(rows).to_iterable_dataset(),
        "list": [{"prompt": value} for value in rows["prompt"]],
        "tuple": tuple(rows["prompt"]),
        "prompts": [Prompt.make("a"), None, Prompt.make("b", row=9)],
    }


@pytest.mark.parametrize("kind", frames())
def test_python_values(kind: str) -> None:
    reader = read_prompts(frames()[kind])
    assert brief(reader) == ["1: a", "2: <null_prompt>", "3: b"]
    assert brief(reader) == ["1: a", "2: <null_prompt>", "3: b"]


def test_an_iterator_is_read_once() -> None:
    reader = read_prompts(text for text in ("a", "b"))
    assert brief(reader) == ["1: a", "2: b"]
    with pytest.raises(InputError, match="can be read once"):
        list(reader)


def test_message_lists_in_frames() -> None:
    conversation = [{"role": "system", "content": "s"}, user("a")]
    for frame in (pl.DataFrame({"messages": [conversation]}), pl.DataFrame({"messages": [conversation]}).to_pandas()):
        (item,) = read_prompts(frame)
        assert isinstance(item, Prompt)
        assert list(item.messages) == conversation


REFUSED_VALUES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "long column": (
        [{"a" * 90: "x"}],
        {},
        f"no prompt column; its columns are {'a' * 60}; name one with --prompt-column",
    ),
    "given column": ([{"a": "x", "b": 1}], {"prompt_column": "c"}, "no column c; its columns are a, b"),
    "reference": (
        [{"prompt": "x", "b": 1}],
        {"reference_column": "c"},
        "no column c; .* prompt, b; .*--reference-column",
    ),
    "a column of bare prompts": (
        ["a"],
        {"reference_column": "c"},
        "bare prompts, without columns: there is no column c",
    ),
    "limit": (["a"], {"limit": 0}, "at least 1"),
    "empty": ([], {}, "is empty"),
    "a conversation": ([user("a")], {}, r"put it into a list, \[messages\]"),
    "an object": ({"prompt": "a"}, {}, "cannot be read from the dict"),
    "a number": (5, {}, "cannot be read from the int 5"),
    "splits": ({"train": 1}, {}, "cannot be read from the dict"),
}


@pytest.mark.parametrize("case", REFUSED_VALUES)
def test_refused_values(case: str) -> None:
    source, options, expected = REFUSED_VALUES[case]
    with pytest.raises(InputError, match=expected):
        read_prompts(source, **options)


def test_a_dataset_with_splits_is_refused() -> None:
    import datasets

    with pytest.raises(InputError, match=r"has splits \(a, b\): give one of them"):
        read_prompts(datasets.DatasetDict({name: datasets.Dataset.from_dict({"prompt": ["x"]}) for name in "ab"}))


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no {SHARED}: set LOOPGUARD_SHARED")
def test_real_prompt_sets() -> None:
    gsm8k = list(read_prompts(SHARED / "gsm8k_test.jsonl", reference_column="answer"))
    assert len(gsm8k) == 1319
    assert all(isinstance(item, Prompt) and item.reference and "####" in item.reference for item in gsm8k)
    mt_bench = list(read_prompts(SHARED / "mt_bench_question.jsonl"))
    assert len(mt_bench) == 80
    assert all(isinstance(item, Prompt) and len(item.messages) == 1 for item in mt_bench)
