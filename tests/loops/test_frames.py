"""Verdicts in polars and in datasets: real frames, real datasets, the same verdict as `detect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import loopguard
import loopguard.loops.frames
from loopguard.errors import InputError
from tests.loops.outputs import CLEAN, LOOP, PERIOD, TOKEN_LOOP, TOKENS_CLEAN, VERDICT, jsonl, parquet, rows

TEXTS = [CLEAN, None, LOOP, ""]
LOOPING = [False, None, True, False]


def expected(text: Any) -> dict[str, Any]:
    """The verdict's columns, by `detect`."""
    if text is None:
        return dict.fromkeys(VERDICT)
    verdict = loopguard.detect(text)
    parts = [getattr(verdict.loop, name, None) for name in ("kind", "terminal", "start", "end", "period", "repeats")]
    return dict(zip(VERDICT, [verdict.looping, verdict.reason, *parts, verdict.wasted_fraction], strict=True))


# -- scan


def test_texts() -> None:
    frame = loopguard.scan(TEXTS)
    assert frame.to_dicts() == [{"text": text} | expected(text) for text in TEXTS]
    assert frame.schema["loop_start"] == pl.Int64
    assert frame["loop_period"].to_list() == [None, None, len(PERIOD), None]


def test_tokens_messages_and_objects() -> None:
    assert loopguard.scan([TOKEN_LOOP, TOKENS_CLEAN, None])["looping"].to_list() == [True, False, None]
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": LOOP}]
    assert loopguard.scan([chat])["looping"].to_list() == [True]
    frame = loopguard.scan({"id": i, "response": text} for i, text in enumerate(TEXTS))
    assert frame.columns == ["id", "response", *VERDICT]
    assert frame["looping"].to_list() == LOOPING


def test_nothing() -> None:
    frame = loopguard.scan([])
    assert (frame.height, frame.columns) == (0, ["text", *VERDICT])


def test_tables() -> None:
    frame = pl.DataFrame({"output": TEXTS, "label": pl.Series(["a", "b", "a", "b"], dtype=pl.Categorical)})
    found = loopguard.scan(frame)
    assert found.drop(VERDICT).equals(frame)
    assert found.schema["label"] == pl.Categorical
    assert found["looping"].to_list() == LOOPING
    tables = [frame.lazy(), frame.to_arrow(), frame["output"], frame["output"].to_arrow()]
    tables += [pd.DataFrame({"output": TEXTS}), datasets.Dataset.from_dict({"output": TEXTS})]
    for table in tables:
        assert loopguard.scan(table)["looping"].to_list() == LOOPING


def test_files(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", rows(5, loops=[2]))
    jsonl(tmp_path / "b.jsonl", [{"id": 9, "text": LOOP}])
    frame = loopguard.scan(str(tmp_path))
    assert frame.columns == ["id", "output", "text", *VERDICT]
    assert frame["looping"].sum() == 2
    assert loopguard.scan(tmp_path / "a.parquet", limit=2).height == 2


def test_settings_count() -> None:
    strict = loopguard.Detector(
        min_wasted=1e6,
        open_wasted=1e6,
        stretch_score=1e6,
        open_score=1e6,
        short_min_wasted=1e6,
        few_wasted=1e6,
        round_score=1e6,
        words_open=1e6,
        words_score=1e6,
    )
    assert loopguard.scan([LOOP], detector=strict)["looping"].to_list() == [False]


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the table has no column text; it has a, b"):
        loopguard.scan(pl.DataFrame({"a": ["x"], "b": ["y"]}), text_column="text")
    with pytest.raises(InputError, match=r"a\.jsonl, row 2: broken_json"):
        loopguard.scan(jsonl(tmp_path / "a.jsonl", [{"text": CLEAN}, "{"]))
    with pytest.raises(InputError, match="no such file"):
        loopguard.scan(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match="limit is 0"):
        loopguard.scan([CLEAN], limit=0)


# -- polars expressions


def test_the_expression() -> None:
    loopguard.register_polars()
    frame = pl.DataFrame({"id": range(4), "output": TEXTS})
    found = frame.with_columns(pl.col("output").loops.detect()).unnest("loops")  # type: ignore[attr-defined]
    assert found.to_dicts() == [{"id": i, "output": text} | expected(text) for i, text in enumerate(TEXTS)]
    lazy = frame.lazy().filter(pl.col("output").loops.detect().struct.field("looping"))  # type: ignore[attr-defined]
    assert lazy.collect()["id"].to_list() == [2]
    assert lazy.collect_schema() == frame.schema
    assert frame["output"].loops.detect().struct.unnest()["looping"].to_list() == LOOPING  # type: ignore[attr-defined]


def test_the_expression_on_an_empty_frame_and_on_tokens() -> None:
    empty = pl.DataFrame({"output": []}, schema={"output": pl.String})
    assert empty.select(pl.col("output").loops.detect()).unnest("loops").columns == list(VERDICT)  # type: ignore[attr-defined]
    tokens = pl.DataFrame({"ids": [TOKEN_LOOP, TOKENS_CLEAN]})
    assert tokens.select(pl.col("ids").loops.detect()).unnest("loops")["looping"].to_list() == [True, False]  # type: ignore[attr-defined]


def test_the_expression_on_numbers() -> None:
    with pytest.raises(Exception, match="holds no text, messages or token ids but int64"):
        pl.DataFrame({"n": [1]}).select(pl.col("n").loops.detect())  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="unknown detector setting"):
        pl.col("n").loops.detect(min_copise=5)  # type: ignore[attr-defined]


# -- datasets


@pytest.fixture
def dataset() -> datasets.Dataset:
    """The first loop is in the third batch of `map`: columns that are null before must keep their type."""
    return datasets.Dataset.from_list(rows(2500, loops=[2400]))


@pytest.mark.parametrize("column", [None, "output"])
def test_map(dataset: datasets.Dataset, column: str | None) -> None:
    found = dataset.map(loopguard.detect_rows, batched=True, fn_kwargs={"column": column})
    assert found.column_names == ["id", "output", *VERDICT]
    assert sum(found["looping"]) == 1
    assert found[2400] == dataset[2400] | expected(LOOP)
    assert found.features["loop_kind"].dtype == "string"
    again = found.map(loopguard.detect_rows, batched=True)
    assert again.column_names == found.column_names


def test_map_of_formats_and_streams(dataset: datasets.Dataset) -> None:
    assert dataset.with_format("arrow").map(loopguard.detect_rows, batched=True).with_format(None)[2400]["looping"]
    stream = dataset.to_iterable_dataset().map(loopguard.detect_rows, batched=True)
    assert [row["id"] for row in stream if row["looping"]] == [2400]


def test_rows_as_lists() -> None:
    assert loopguard.detect_rows({"output": TEXTS, "id": [1, 2, 3, 4]})["looping"] == LOOPING
    assert loopguard.detect_rows(pa.table({"output": TEXTS})).column_names == ["output", *VERDICT]
    with pytest.raises(InputError, match="the dataset has no column x; it has a"):
        loopguard.detect_rows({"a": ["text"]}, column="x")
