"""Columns that come along with their prompts: which, as what type, what is left out and why; and what a reader makes of them."""

from __future__ import annotations

import datetime
import decimal
import gzip
import io
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopguard.dataset import PromptReader, read_prompts
from loopguard.errors import InputError
from loopguard.prompt_columns import LONGEST, MOST, PromptColumns, Value, cast, in_table
from loopguard.records import Prompt


def seen(*cells: object) -> tuple[dict[str, str], dict[str, str]]:
    """(kept, left_out) after these cells of one column."""
    found = PromptColumns()
    for cell in cells:
        found.of({"c": cell})
    return dict(found.kept), found.left_out


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["a", "b"], "text"),
        ([1, 2], "whole"),
        ([1, 2.5], "real"),
        ([True, False], "truth"),
        ([True, 1], "text"),
        ([1, "a"], "text"),
        ([None, "", "  ", math.nan, 3], "whole"),
        ([None, ""], "text"),
        ([2**63], "text"),
        ([-(2**63)], "whole"),
        ([math.inf, 1.0], "text"),
        ([np.int64(3), np.float32(0.5)], "real"),
        ([datetime.date(2026, 1, 2), decimal.Decimal("1.5")], "text"),
    ],
)
def test_types(cells: list[object], kind: str) -> None:
    assert seen(*cells) == ({"c": kind}, {})


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ([1], "no single values"),
        ({"a": 1}, "no single values"),
        (b"bytes", "no single values"),
        ("x" * (LONGEST + 1), f"longer than {LONGEST} characters"),
    ],
)
def test_one_value_that_does_not_fit_leaves_the_column_out(cell: object, why: str) -> None:
    assert seen("a", cell, "b") == ({}, {"c": why})
    assert seen("x" * LONGEST) == ({"c": "text"}, {})


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "nul\x00", "\u202eabc", "half \ud800", "\x1b[31m"])
def test_names_that_are_no_short_text(name: str) -> None:
    found = PromptColumns()
    assert found.of({name: 1, "good": 2, 7: 3}) == {"good": 2}  # type: ignore[dict-item]
    assert list(found.kept) == ["good"]
    assert list(found.left_out.values()) == ["a name that is no short text"]
    found.told().encode()


def test_no_more_than_so_many() -> None:
    found = PromptColumns()
    row = {f"c{k}": k for k in range(MOST + 2)}
    assert len(found.of(row)) == len(found.of(row)) == MOST
    assert found.left_out == {f"c{k}": f"{MOST} others come along" for k in (MOST, MOST + 1)}
    assert found.told() == f"c{MOST} ({MOST} others come along), c{MOST + 1} ({MOST} others come along)"


def test_many_left_out_are_told_in_one_line() -> None:
    found = PromptColumns()
    found.of({f"c{k}": [] for k in range(14)})
    assert found.told().endswith("c9 (no single values) and 4 more")


@given(st.lists(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)))
def test_every_kept_value_fits_the_column_of_its_type(cells: list[object]) -> None:
    """Arrow takes the whole column, whatever came in whatever order; a text says the value."""
    found = PromptColumns()
    rows = [found.of({"c": cell}) for cell in cells]
    kinds = {"text": pl.String, "whole": pl.Int64, "real": pl.Float64, "truth": pl.Boolean}
    for kind in found.kept.values():
        values = [in_table(row, found.kept)["source_c"] for row in rows]
        assert pl.Series(values, dtype=kinds[kind], strict=True).len() == len(cells)
        assert sum(value is not None for value in values) == sum("c" in row for row in rows)


@pytest.mark.parametrize(
    ("value", "kind", "cell"),
    [(True, "text", "true"), (3, "text", "3"), (3, "real", 3.0), ("a", "text", "a"), (None, "whole", None)],
)
def test_a_value_of_another_type(value: Value | None, kind: str, cell: Value | None) -> None:
    assert repr(cast(value, kind)) == repr(cell)  # type: ignore[arg-type]


# -- a reader


ROWS = [
    {"question": "One?", "answer": "1", "category": "maths", "level": 1, "tags": ["a"], "easy": True},
    {"question": "Two?", "answer": "2", "category": "code", "level": 2, "tags": [], "easy": False},
    {"question": "One?", "answer": "1", "category": "of the duplicate", "level": 9.5, "tags": ["b"], "easy": None},
    {"question": "Three?", "answer": "3", "category": None, "level": 3, "tags": None, "easy": True},
]


def columns_of(reader: PromptReader) -> list[dict[str, object]]:
    return [dict(item.columns) for item in reader if isinstance(item, Prompt)]


def sources(folder: Path) -> dict[str, object]:
    """The same rows in every form that has columns."""
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (folder / "p.jsonl").write_text(lines)
    (folder / "p.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "p.json").write_text(json.dumps(ROWS))
    frame = pl.DataFrame(ROWS, strict=False)
    frame.write_parquet(folder / "p.parquet")
    frame.drop("tags").write_csv(folder / "p.csv")
    files = {name: folder / name for name in ("p.jsonl", "p.jsonl.gz", "p.json", "p.parquet", "p.csv")}
    return {**files, "list": ROWS, "polars": frame, "arrow": frame.to_arrow(), "pandas": pd.DataFrame(ROWS)}


@pytest.mark.parametrize(
    "form", ["p.jsonl", "p.jsonl.gz", "p.json", "p.parquet", "p.csv", "list", "polars", "arrow", "pandas"]
)
def test_every_source_brings_its_columns(form: str, tmp_path: Path) -> None:
    """Of a duplicate those of its first row; the prompt's and the reference's column are there by themselves."""
    reader = read_prompts(sources(tmp_path)[form], reference_column="answer")  # type: ignore[arg-type]
    found = columns_of(reader)
    assert [row.get("category") for row in found] == ["maths", "code", None]
    assert [float(row["level"]) for row in found] == [1, 2, 3]  # type: ignore[arg-type]
    assert [str(row.get("easy")).lower() for row in found] == ["true", "false", "true"]
    assert set(reader.columns.kept) == {"category", "level", "easy"}
    assert reader.columns.left_out == ({} if form == "p.csv" else {"tags": "no single values"})
    assert columns_of(reader) == found  # and again


def test_those_that_are_named_and_none() -> None:
    assert columns_of(read_prompts(ROWS, keep_columns=["level"])) == [{"level": 1}, {"level": 2}, {"level": 3}]
    assert columns_of(read_prompts(ROWS, keep_columns=[])) == [{}, {}, {}]
    with pytest.raises(InputError, match="has no column catgory to keep; its columns are question, answer, category"):
        read_prompts(ROWS, keep_columns=["catgory"])
    with pytest.raises(InputError, match="bare prompts, without columns: there is no column level"):
        read_prompts(["One?"], keep_columns=["level"])


def test_a_prompt_made_by_hand_brings_its_own() -> None:
    prompts = [
        Prompt(prompt_id="0" * 16, messages=({"role": "user", "content": "Hi"},), columns={"a": 1, "b": "x" * 300})
    ]
    reader = read_prompts(prompts)
    assert columns_of(reader) == [{"a": 1}]
    assert reader.columns.left_out == {"b": f"longer than {LONGEST} characters"}


def test_alpacas_input_is_part_of_the_prompt() -> None:
    reader = read_prompts([{"instruction": "Add", "input": "1 2", "topic": "sums"}])
    assert columns_of(reader) == [{"topic": "sums"}]


def test_nested_columns_of_a_parquet_file_are_not_read(tmp_path: Path) -> None:
    """Images are large: what the schema says is nested stays on disk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = pa.array([{"bytes": b"x" * 1000}] * 2)
    table = pa.table({"prompt": ["One?", "Two?"], "image": image, "raw": pa.array([b"1", b"2"]), "topic": ["a", "b"]})
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    path = tmp_path / "p.parquet"
    data = bytearray(buffer.getvalue())
    at = pq.ParquetFile(io.BytesIO(bytes(data))).metadata.row_group(0).column(1)
    start = at.dictionary_page_offset or at.data_page_offset
    data[start : start + at.total_compressed_size] = b"\xff" * at.total_compressed_size
    path.write_bytes(bytes(data))
    reader = read_prompts(path)
    assert columns_of(reader) == [{"topic": "a"}, {"topic": "b"}]
    assert reader.columns.left_out == {"image": "no single values", "raw": "no single values"}


def test_what_comes_along_is_part_of_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(ROWS[0]) + "\n")
    digests = [read_prompts(path, keep_columns=keep).digest() for keep in (None, [], ["level"], ["easy", "level"])]
    assert len(set(digests)) == 4
    assert read_prompts(path, keep_columns=["level", "easy"]).digest() == digests[3]
