from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopguard.dataset import PROMPT_COLUMNS, BadRow, PromptReader, read_prompts
from loopguard.errors import InputError
from loopguard.records import Prompt, prompt_id

SHARED = Path(os.environ.get("LOOPGUARD_SHARED", Path(__file__).parents[2] / "shared"))


def write(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def brief(rows: PromptReader) -> list[str]:
    """Each row as "number: text of the last message" or "number: reason"."""
    return [
        f"{item.row}: {item.messages[-1]['content']}" if isinstance(item, Prompt) else f"{item.row}: <{item.reason}>"
        for item in rows
    ]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


LINES = {
    "plain": (b'{"prompt": "a"}\n{"prompt": "b"}\n', ["1: a", "2: b"]),
    "no newline at the end": (b'{"prompt": "a"}\n{"prompt": "b"}', ["1: a", "2: b"]),
    "byte order mark": (b'\xef\xbb\xbf{"prompt": "a"}\n', ["1: a"]),
    "CRLF": (b'{"prompt": "a"}\r\n{"prompt": "b\\r\\n"}\r\n', ["1: a", "2: b\r\n"]),
    "blank lines keep their numbers": (b'\n{"prompt": "a"}\n  \r\n\n{"prompt": "b"}\n', ["2: a", "5: b"]),
    "Unicode line breaks": (
        '{"prompt": "a\u2028b\u0085c\x7f"}\n{"prompt": "d"}'.encode(),
        ["1: a\u2028b\u0085c\x7f", "2: d"],
    ),
    "broken line": (b'{"prompt": "a"}\n{"prompt": "b"\n{"prompt": "c"}', ["1: a", "2: <broken_json>", "3: c"]),
    "not an object": (
        b'{"prompt": "a"}\n[1]\n7\n"x"\nnull',
        ["1: a", *(f"{n}: <not_an_object>" for n in (2, 3, 4, 5))],
    ),
    "null, empty, white space": (
        b'{"prompt": null}\n{"prompt": ""}\n{"prompt": " \\n\\t"}\n{"prompt": []}\n{"prompt": "a"}',
        ["1: <null_prompt>", "2: <empty_prompt>", "3: <empty_prompt>", "4: <empty_prompt>", "5: a"],
    ),
    "wrong type": (
        b'{"prompt": 5}\n{"prompt": true}\n{"prompt": {"a": 1}}\n{"prompt": "a"}',
        ["1: <wrong_type>", "2: <wrong_type>", "3: <wrong_type>", "4: a"],
    ),
    "missing column": (
        b'{"id": 1}\n{"prompt": "a"}\n{"text": "b"}',
        ["1: <missing_column>", "2: a", "3: <missing_column>"],
    ),
    "lone surrogates": (
        rb'{"prompt": "\ud800"}' + b"\n" + rb'{"prompt": "x\udc00y"}' + b"\n" + rb'{"prompt": "\ud83d\ude00"}',
        ["1: <lone_surrogate>", "2: <lone_surrogate>", "3: \U0001f600"],
    ),
    "NUL": (
        rb'{"prompt": "a\u0000b"}' + b'\n{"prompt": "a\x00b"}\n{"prompt": "a"}',
        ["1: <nul_character>", "2: <broken_json>", "3: a"],
    ),
    "not UTF-8": (
        b'{"prompt": "\xff"}\n{"prompt": "\xed\xa0\x80"}\n{"prompt": "\xc3\xa9"}',
        ["1: <invalid_utf8>", "2: <invalid_utf8>", "3: é"],
    ),
    "duplicates": (b'{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": "a", "x": 1}', ["1: a", "2: b", "3: <duplicate>"]),
    "nested too deeply": (b"[" * 100_000 + b'\n{"prompt": "a"}', ["1: <broken_json>", "2: a"]),
    "a number of 5,000 digits": (b'{"prompt": ' + b"9" * 5000 + b'}\n{"prompt": "a"}', ["1: <broken_json>", "2: a"]),
    "every row bad": (b'{"prompt": 5}\nx\n{}', ["1: <wrong_type>", "2: <broken_json>", "3: <missing_column>"]),
    "nothing that is JSON": (b"x\ny\n", ["1: <broken_json>", "2: <broken_json>"]),
}


@pytest.mark.parametrize("case", LINES)
def test_json_lines(case: str, tmp_path: Path) -> None:
    data, expected = LINES[case]
    assert brief(read_prompts(write(tmp_path, "p.jsonl", data))) == expected
    assert brief(read_prompts(write(tmp_path, "p.ndjson", data))) == expected
    assert brief(read_prompts(write(tmp_path, "p.jsonl.gz", gzip.compress(data)))) == expected


DOCUMENTS = {
    "list of objects": (b'[{"prompt": "a"},\n {"prompt": "b"}]', ["1: a", "2: b"]),
    "list of strings": (b' ["a", "b", "a"]\n', ["1: a", "2: b", "3: <duplicate>"]),
    "list of message lists": (b'[[{"role": "user", "content": "a"}]]', ["1: a"]),
    "list in an object": (b'{"version": 2, "meta": {"k": [1]}, "data": [{"prompt": "a"}, {"prompt": "b"}]}', ["1: a", "2: b"]),
    "strings in an object": (b'{"prompts": ["a", "b"]}', ["1: a", "2: b"]),
    "one object is one row": (b'{\n "messages": [{"role": "user", "content": "a"}],\n "tags": []\n}', ["1: a"]),
    "JSON lines named .json": (b'{"prompt": "a", "tags": [1]}\n{"prompt": "b"}\nx', ["1: a", "2: b", "3: <broken_json>"]),
    "JSON lines whose first is broken": (b'{"prompt": "a"\n{"prompt": "b"}\n', ["1: <broken_json>", "2: b"]),
    "byte order mark": (b'\xef\xbb\xbf["a"]', ["1: a"]),
    "mixed": (b'["a", 5, null, {"prompt": "b"}, [], {"promt": "c"}]', ["1: a", "2: <wrong_type>", "3: <null_prompt>", "4: b", "5: <empty_prompt>", "6: <missing_column>"]),
    "broken off": (b'["a", "b", "c', ["1: a", "2: b", "3: <broken_json>"]),
    "a comma too many": (b'["a", ]', ["1: a", "2: <broken_json>"]),
    "not UTF-8": (b'["a", "\xff", "b"]', ["1: a", "2: <invalid_utf8>", "3: b"]),
    "lone surrogate": (rb'["a", "\udcff", "b"]', ["1: a", "2: <lone_surrogate>", "3: b"]),
    "numbers over the end of a chunk": (b"[" + b"1234567, " * 300_000 + b'"a"]', [*(f"{n}: <wrong_type>" for n in range(1, 300_001)), "300001: a"]),
}  # fmt: skip


@pytest.mark.parametrize("case", DOCUMENTS)
def test_json_documents(case: str, tmp_path: Path) -> None:
    data, expected = DOCUMENTS[case]
    assert brief(read_prompts(write(tmp_path, "p.json", data))) == expected
    assert brief(read_prompts(write(tmp_path, "p.json.gz", gzip.compress(data)))) == expected


CSV = {
    "plain": (b"id,prompt\r\n1,a\r\n2,b\r\n", ["1: a", "2: b"]),
    "byte order mark and spaces in the header": (b"\xef\xbb\xbfid, prompt\n1,a\n", ["1: a"]),
    "quotes, commas, line breaks": (b'prompt,x\n"a, ""b""\nc\r\nd",1\n', ['1: a, "b"\nc\r\nd']),
    "blank lines": (b"\nprompt\n\na\n\n\nb\n", ["1: a", "2: b"]),
    "empty cell": (b'id,prompt\n1,\n2," "\n3,a\n', ["1: <empty_prompt>", "2: <empty_prompt>", "3: a"]),
    "too many cells": (b"prompt\nHello, world\nb,\n", ["1: <broken_csv>", "2: b"]),
    "too few cells": (b"id,prompt\n1\n2,b\n", ["1: <missing_column>", "2: b"]),
    "text after a quote": (b'prompt\n"a"b\nc\n', ["1: <broken_csv>", "2: c"]),
    "quote never closed": (b'prompt\na\n"b\nc\nd', ["1: a", "2: <broken_csv>"]),
    "not UTF-8": (b"prompt\n\xff\n\xc3\xa9\n", ["1: <invalid_utf8>", "2: é"]),
    "NUL": (b"prompt\na\x00b\nc\n", ["1: <nul_character>", "2: c"]),
    "messages as JSON": (
        b'messages\n"[{""role"": ""system"", ""content"": ""s""}, {""role"": ""user"", ""content"": ""a""}]"\nb\n',
        ["1: a", "2: b"],
    ),
    "messages as Python": (b"prompt\n\"[{'role': 'user', 'content': 'a'}]\"\n", ["1: <bad_messages>"]),
    "a long cell": (b"prompt\n" + b"a" * 200_000 + b"\n", ["1: " + "a" * 200_000]),
}


@pytest.mark.parametrize("case", CSV)
def test_csv(case: str, tmp_path: Path) -> None:
    data, expected = CSV[case]
    assert brief(read_prompts(write(tmp_path, "p.csv", data))) == expected
    assert brief(read_prompts(write(tmp_path, "p.csv.gz", gzip.compress(data)))) == expected


def test_tabs(tmp_path: Path) -> None:
    assert brief(read_prompts(write(tmp_path, "p.tsv", "prompt\tx\na, b\t1\n"))) == ["1: a, b"]


CELLS: dict[str, tuple[Any, Any]] = {
    "a string": ("a", [user("a")]),
    "a message": (user("a"), [user("a")]),
    "system kept": ([{"role": "system", "content": "s"}, user("a")], [{"role": "system", "content": "s"}, user("a")]),
    "several turns": ([user("a"), assistant("b"), user("c")], [user("a"), assistant("b"), user("c")]),
    "answer cut": ([user("a"), assistant("b")], [user("a")]),
    "answers cut": ([user("a"), assistant("b"), assistant("c")], [user("a")]),
    "ShareGPT": ([{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], [user("a")]),
    "columns of both kinds": ([{"from": "human", "value": "a", "role": None, "content": None}], [user("a")]),
    "text parts": ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], [user("a\nb")]),
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
        row = {later: "later" for later in reversed(PROMPT_COLUMNS[position:])} | {name: "a"}
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
    import pandas as pd

    rows: dict[str, list[Any]] = {"id": [1, 2, 3], "prompt": ["a", None, "b"]}
    return {
        "polars": pl.DataFrame(rows),
        "polars, lazy": pl.LazyFrame(rows),
        "pandas": pd.DataFrame(rows),
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


def test_parquet_reads_only_what_is_needed(tmp_path: Path) -> None:
    text = pa.array([b"a", b"\xff", b"b"]).cast(pa.binary())
    bad = pa.StringArray.from_buffers(3, text.buffers()[1], text.buffers()[2])
    pq.write_table(pa.table({"prompt": bad, "other": [1, 2, 3]}), tmp_path / "p.parquet")
    assert brief(read_prompts(tmp_path / "p.parquet")) == ["1: a", "2: <invalid_utf8>", "3: b"]


REFUSED = {
    "no such file": ("nothing.jsonl", None, r"no such file: .*nothing\.jsonl$"),
    "a similar name": ("promts.jsonl", None, r"did you mean .*prompts\.jsonl\?"),
    "no such folder": ("no/where.jsonl", None, "its folder does not exist"),
    "a folder": (".", None, r"is a folder; give one of its files: prompts\.jsonl"),
    "unknown format": ("p.docx", b"x", r"unknown format \.docx; read are \.jsonl"),
    "no suffix": ("p", b"x", r"unknown format \(no suffix\)"),
    "empty JSONL": ("e.jsonl", b"", "is empty"),
    "blank JSONL": ("e.jsonl", b"\n \n", "is empty"),
    "empty CSV": ("e.csv", b"\n", "is empty"),
    "only a header": ("e.csv", b"prompt\n", "is empty"),
    "empty list": ("e.json", b"[]", "is empty"),
    "not JSON": ("e.json", b"prompt: a", "neither a list nor an object"),
    "not even a list": ("e.json", b'{"data": oops}', "is not JSON"),
    "no Parquet": ("e.parquet", b"PAR1 it is not", "cannot be read as Parquet"),
    "no gzip": ("e.jsonl.gz", b'{"prompt": "a"}', "no gzip file"),
    "cut gzip": ("e.jsonl.gz", gzip.compress(os.urandom(9999))[:5000], "damaged"),
    "UTF-16": ("e.csv", "prompt\na".encode("utf-16"), "UTF-16: save it as UTF-8"),
    "no prompt column": ("e.csv", b"id,body\n1,a\n", r"no prompt column; its columns are id, body; name one with --prompt-column"),
    "no prompt column in JSONL": ("e.jsonl", b'{"id": 1}\n{"body": "a"}', "its columns are id, body"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path) -> None:
    name, data, expected = REFUSED[case]
    write(tmp_path, "prompts.jsonl", '{"prompt": "a"}')
    if data is not None:
        write(tmp_path, name, data)
    with pytest.raises(InputError, match=expected) as caught:
        list(read_prompts(tmp_path / name))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


REFUSED_VALUES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "given column": ([{"a": "x", "b": 1}], {"prompt_column": "c"}, "no column c; its columns are a, b"),
    "reference": (
        [{"prompt": "x", "b": 1}],
        {"reference_column": "c"},
        "no column c; .* prompt, b; .*--reference-column",
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


TEXTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")).filter(str.strip), min_size=1
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=TEXTS, ascii_only=st.booleans())
def test_every_text_comes_back(texts: Sequence[str], ascii_only: bool, tmp_path: Path) -> None:
    texts = list(dict.fromkeys(texts))
    rows = [{"prompt": text} for text in texts]
    table = io.StringIO(newline="")
    csv.writer(table).writerows([["prompt"], *([text] for text in texts)])
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    lines = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
    paths = [
        write(tmp_path, "p.jsonl", lines),
        write(tmp_path, "p.json", json.dumps(rows, ensure_ascii=ascii_only, indent=1)),
        write(tmp_path, "p.csv", table.getvalue()),
        tmp_path / "p.parquet",
    ]
    for path in paths:
        items = [item for item in read_prompts(path) if isinstance(item, Prompt)]
        assert [item.messages[0]["content"] for item in items] == texts, path
        assert [item.prompt_id for item in items] == [prompt_id([user(text)]) for text in texts]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), name=st.sampled_from(["p.jsonl", "p.json", "p.csv", "p.parquet", "p.jsonl.gz"]))
def test_no_bytes_crash_a_reader(data: bytes, name: str, tmp_path: Path) -> None:
    try:
        items = list(read_prompts(write(tmp_path, name, data)))
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert all(item.detail.isprintable() for item in items if isinstance(item, BadRow))


MEASURE = """
import json, resource, sys
from loopguard.dataset import read_prompts
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
prompts = sum(1 for _ in read_prompts(sys.argv[1]))
print(prompts, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
print([name for name in ("polars", "datasets", "numba", "pyarrow") if name in sys.modules])
"""


@pytest.mark.parametrize("name", ["p.jsonl", "p.json", "p.csv"])
def test_memory_stays_flat_and_imports_light(name: str, tmp_path: Path) -> None:
    count, text = 100_000, "x" * 1000
    path = tmp_path / name
    with path.open("w") as file:
        file.write({"p.json": "[", "p.csv": "prompt\n"}.get(name, ""))
        for n in range(count):
            row = f"{n} {text}\n" if name == "p.csv" else json.dumps({"prompt": f"{n} {text}"})
            file.write({"p.json": f"{',' if n else ''}{row}", "p.csv": row}.get(name, row + "\n"))
        file.write("]" if name == "p.json" else "")
    run = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    counted, loaded = run.stdout.splitlines()
    prompts, mebibytes = map(int, counted.split())
    assert prompts == count
    assert mebibytes < 50  # the file has 100 MB
    assert loaded == "[]"


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no {SHARED}: set LOOPGUARD_SHARED")
def test_real_prompt_sets() -> None:
    gsm8k = list(read_prompts(SHARED / "data/gsm8k_test.jsonl", reference_column="answer"))
    assert len(gsm8k) == 1319
    assert all(isinstance(item, Prompt) and item.reference and "####" in item.reference for item in gsm8k)
    mt_bench = list(read_prompts(SHARED / "data/mt_bench_question.jsonl"))
    assert len(mt_bench) == 80
    assert all(isinstance(item, Prompt) and len(item.messages) == 1 for item in mt_bench)
