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

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopguard.dataset import BadRow, read_prompts
from loopguard.errors import InputError
from loopguard.records import Prompt, prompt_id
from tests.prompt_rows import brief, user, write

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


MANY_BAD = [f"{number}: <wrong_type>" for number in range(1, 60_001)]
DOCUMENTS = {
    "list of objects": (b'[{"prompt": "a"},\n {"prompt": "b"}]', ["1: a", "2: b"]),
    "list of strings": (b' ["a", "b", "a"]\n', ["1: a", "2: b", "3: <duplicate>"]),
    "list of message lists": (b'[[{"role": "user", "content": "a"}]]', ["1: a"]),
    "list in an object": (b'{"version": 2, "meta": {"k": [1]}, "data": [{"prompt": "a"}, "b"]}', ["1: a", "2: b"]),
    "strings in an object": (b'{"prompts": ["a", "b"]}', ["1: a", "2: b"]),
    "one object is one row": (b'{\n "messages": [{"role": "user", "content": "a"}],\n "tags": []\n}', ["1: a"]),
    "JSON lines named .json": (b'{"prompt": "a", "x": [1]}\n{"prompt": "b"}\nx', ["1: a", "2: b", "3: <broken_json>"]),
    "JSON lines whose first is broken": (b'{"prompt": "a"\n{"prompt": "b"}\n', ["1: <broken_json>", "2: b"]),
    "byte order mark": (b'\xef\xbb\xbf["a"]', ["1: a"]),
    "mixed": (b'["a", 5, null, {"prompt": "b"}]', ["1: a", "2: <wrong_type>", "3: <null_prompt>", "4: b"]),
    "broken off": (b'["a", "b", "c', ["1: a", "2: b", "3: <broken_json>"]),
    "a comma too many": (b'["a", ]', ["1: a", "2: <broken_json>"]),
    "more after the end": (b'["a"] ["b"]', ["1: a", "2: <broken_json>"]),
    "keys after the list": (b'{"data": ["a"], "tags": ["x"], "version": 2}', ["1: a"]),
    "a second list": (b'{"train": ["a"], "test": [{"prompt": "b"}]}', ["1: a", "2: <broken_json>"]),
    "an object cut off": (b'{"data": ["a"], "version"', ["1: a", "2: <broken_json>"]),
    "not UTF-8": (b'["a", "\xff", "b"]', ["1: a", "2: <invalid_utf8>", "3: b"]),
    "lone surrogate": (rb'["a", "\udcff", "b"]', ["1: a", "2: <lone_surrogate>", "3: b"]),
    "numbers over the end of a chunk": (b"[" + b"12345678901234567890, " * 60_000 + b'"a"]', [*MANY_BAD, "60001: a"]),
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
    "a long cell": (b"prompt\n" + b"a" * 150_000 + b"\n", ["1: " + "a" * 150_000]),
}


@pytest.mark.parametrize("case", CSV)
def test_csv(case: str, tmp_path: Path) -> None:
    data, expected = CSV[case]
    assert brief(read_prompts(write(tmp_path, "p.csv", data))) == expected
    assert brief(read_prompts(write(tmp_path, "p.csv.gz", gzip.compress(data)))) == expected


def test_a_document_named_jsonl(tmp_path: Path) -> None:
    for data in ('[\n {"prompt": "a"},\n {"prompt": "b"}\n]\n', '[{"prompt": "a"}, {"prompt": "b"}]'):
        assert brief(read_prompts(write(tmp_path, "p.jsonl", data))) == ["1: a", "2: b"]


def test_tabs(tmp_path: Path) -> None:
    assert brief(read_prompts(write(tmp_path, "p.tsv", "prompt\tx\na, b\t1\n"))) == ["1: a, b"]


def test_parquet_reads_only_what_is_needed(tmp_path: Path) -> None:
    text = pa.array([b"a", b"\xff", b"b"]).cast(pa.binary())
    bad = pa.StringArray.from_buffers(3, text.buffers()[1], text.buffers()[2])
    pq.write_table(pa.table({"prompt": bad, "other": [1, 2, 3]}), tmp_path / "p.parquet")
    assert brief(read_prompts(tmp_path / "p.parquet")) == ["1: a", "2: <invalid_utf8>", "3: b"]


REFUSED = {
    "no such file": ("nothing.jsonl", None, r"no such file: .*nothing\.jsonl$"),
    "a similar name": ("promts.jsonl", None, r"did you mean .*prompts\.jsonl\?"),
    "no such folder": ("no/where.jsonl", None, "its folder does not exist"),
    "a prompt for a path": ("Why? " * 100, None, "no such file: "),
    "NUL in the name": ("a\0.jsonl", None, "no such file: "),
    "a line break in the name": ("a\n.jsonl", None, "no such file: "),
    "a folder": (".", None, r"is a folder; give one of its files: prompts\.jsonl"),
    "unknown format": ("p.docx", b"x", r"unknown format \.docx; read are \.jsonl"),
    "no suffix": ("p", b"x", r"unknown format \(no suffix\)"),
    "empty JSONL": ("e.jsonl", b"", "is empty"),
    "blank JSONL": ("e.jsonl", b"\n \n", "is empty"),
    "empty CSV": ("e.csv", b"\n", "is empty"),
    "only a header": ("e.csv", b"prompt\n", "is empty"),
    "empty list": ("e.json", b"[]", "is empty"),
    "not JSON": ("e.json", b"prompt: a", "is not JSON: .*character 1"),
    "not even a list": ("e.json", b'{"data": oops}', "is not JSON"),
    "no Parquet": ("e.parquet", b"PAR1 it is not", "cannot be read as Parquet"),
    "no gzip": ("e.jsonl.gz", b'{"prompt": "a"}', "no gzip file"),
    "cut gzip": ("e.jsonl.gz", gzip.compress(os.urandom(9999))[:5000], "damaged"),
    "UTF-16": ("e.csv", "prompt\na".encode("utf-16"), "UTF-16: save it as UTF-8"),
    "no prompt column": ("e.csv", b"id,body\n1,a\n", "no prompt column; its columns are id, body; .* --prompt-column"),
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
    assert str(caught.value).isprintable()
    assert str(tmp_path) in str(caught.value)


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
        said = [str(error)]
    else:
        said = [item.detail for item in items if isinstance(item, BadRow)]
    assert all(text.isprintable() for text in said)


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
