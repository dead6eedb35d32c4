from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import datasets
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopguard.files import (
    JsonlWriter,
    TableWriter,
    atomic_path,
    clean_text,
    json_line,
    write_json,
    write_text,
)

SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("score", pa.float64()),
        ("never", pa.int64()),
    ]
)


def row(number: int, text: str = "x") -> dict[str, Any]:
    messages = [{"role": "user", "content": f"{text} {number}"}]
    return {"text": text, "messages": messages, "score": number / 7, "never": None}


ANY_TEXT = st.text()  # lone surrogates and NUL included
CLEAN = {
    "plain": ("plain", "plain"),
    "accents and emoji": ("é \U0001f600", "é \U0001f600"),
    "NUL is kept": ("a\0b", "a\0b"),
    "a high half": ("a\ud800b", "a\ufffdb"),
    "a low half": ("\udfff", "\ufffd"),
    "two halves are not one": ("\ud83d\ude00", "\ufffd\ufffd"),
}


@pytest.mark.parametrize("case", CLEAN)
def test_clean_text(case: str) -> None:
    text, expected = CLEAN[case]
    assert clean_text(text) == expected


@given(ANY_TEXT)
def test_clean_text_keeps_positions_and_can_be_written(text: str) -> None:
    cleaned = clean_text(text)
    assert len(cleaned) == len(text)
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert clean_text(cleaned) == cleaned


@given(ANY_TEXT)
def test_a_json_line_is_one_line_for_every_reader(text: str) -> None:
    line = json_line({"text": text})
    assert line.splitlines() == [line]
    assert json.loads(line.encode("utf-8")) == {"text": clean_text(text)}


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(ANY_TEXT, min_size=1), group=st.integers(1, 5))
def test_rows_come_back_from_both_formats(texts: list[str], group: int, tmp_path: Path) -> None:
    rows = [row(number, text) for number, text in enumerate(texts)]
    with TableWriter(tmp_path / "t.parquet", SCHEMA, rows_per_group=group) as table:
        for item in rows:
            table.write(item)
    with JsonlWriter(tmp_path / "t.jsonl") as lines:
        for item in rows:
            lines.write(item)
    expected = [row(number, clean_text(text)) for number, text in enumerate(texts)]
    assert table.rows == lines.rows == len(texts)
    assert pq.read_table(tmp_path / "t.parquet").to_pylist() == expected
    data = (tmp_path / "t.jsonl").read_bytes()
    assert [json.loads(line) for line in data.split(b"\n")[:-1]] == expected
    assert data.endswith(b"\n")


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with TableWriter(tmp_path / f"{name}.parquet", SCHEMA, rows_per_group=10) as table:
            for number in range(95):
                table.write(row(number))
        time.sleep(0.01)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert pq.ParquetFile(tmp_path / "a.parquet").metadata.num_row_groups == 10


def test_other_readers_see_the_schema(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t.parquet", SCHEMA) as table:
        table.write(row(1))
        table.write({"text": "the rest is null"})
    frame = pl.read_parquet(tmp_path / "t.parquet")
    assert frame.schema["never"] == pl.Int64
    assert frame["messages"].to_list() == [[{"role": "user", "content": "x 1"}], None]
    loaded = datasets.Dataset.from_parquet(str(tmp_path / "t.parquet"), cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == 2


def test_no_rows_make_a_complete_file(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t.parquet", SCHEMA), JsonlWriter(tmp_path / "t.jsonl"):
        pass
    assert pq.read_table(tmp_path / "t.parquet").schema.equals(SCHEMA)
    assert (tmp_path / "t.jsonl").read_bytes() == b""


WRONG_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown column": ({"texts": "a"}, "no column texts"),
    "wrong type": ({"text": 5}, "does not fit the schema"),
    "not a number": ({"score": "a"}, "does not fit the schema"),
}


@pytest.mark.parametrize("case", WRONG_ROWS)
def test_a_wrong_row_leaves_no_file(case: str, tmp_path: Path) -> None:
    wrong, expected = WRONG_ROWS[case]

    def write_both() -> None:
        with TableWriter(tmp_path / "t.parquet", SCHEMA) as table:
            table.write(row(1))
            table.write(wrong)

    with pytest.raises(ValueError, match=expected):
        write_both()
    assert os.listdir(tmp_path) == []


def test_a_schema_that_parquet_lacks_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(pa.ArrowNotImplementedError):
        TableWriter(tmp_path / "t.parquet", pa.schema([("a", pa.month_day_nano_interval())]))
    assert os.listdir(tmp_path) == []


def test_a_row_may_change_after_it_was_written(tmp_path: Path) -> None:
    changing = {"text": "a"}
    with TableWriter(tmp_path / "t.parquet", SCHEMA) as table:
        table.write(changing)
        changing["text"] = "b"
    assert pq.read_table(tmp_path / "t.parquet")["text"].to_pylist() == ["a"]


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "s.json", {"rate": float("nan")})
    assert os.listdir(tmp_path) == []


def test_write_json_and_text(tmp_path: Path) -> None:
    write_json(tmp_path / "s.json", {"b": "é\ud800", "a": [1, None]})
    assert (tmp_path / "s.json").read_bytes() == '{\n  "b": "é\ufffd",\n  "a": [\n    1,\n    null\n  ]\n}\n'.encode()
    write_text(tmp_path / "s.json", "again\r\n")
    assert (tmp_path / "s.json").read_bytes() == b"again\r\n"
    assert os.listdir(tmp_path) == ["s.json"]


def test_the_umask_holds(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "s", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o640


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.write_text("old")

    def interrupt(writer: JsonlWriter | TableWriter) -> None:
        with writer:
            writer.write({"text": "new"})
            raise KeyboardInterrupt

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("new")
            raise ZeroDivisionError

    for writer in (JsonlWriter(target), TableWriter(target, SCHEMA)):
        with pytest.raises(KeyboardInterrupt):
            interrupt(writer)
    with pytest.raises(ZeroDivisionError):
        fail()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["t"]


def test_atomic_path(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "t") as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("new")
        assert not (tmp_path / "t").exists()
    assert (tmp_path / "t").read_text() == "new"
    assert os.listdir(tmp_path) == ["t"]


def test_an_error_that_is_not_the_disks_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "t") as temporary:
        temporary.write_text(Path(tmp_path / "no such file").read_text())
    assert os.listdir(tmp_path) == []


def test_a_closed_writer_says_so(tmp_path: Path) -> None:
    writer = JsonlWriter(tmp_path / "t")
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="is closed"):
        writer.write({})
    table = TableWriter(tmp_path / "u", SCHEMA)
    table.discard()
    table.discard()
    with pytest.raises(ValueError, match="is closed"):
        table.write({})


def test_memory_stays_flat(tmp_path: Path) -> None:
    def held() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    text = "x" * 100_000
    with TableWriter(tmp_path / "t.parquet", SCHEMA) as table, JsonlWriter(tmp_path / "t.jsonl") as lines:
        before = held()
        for number in range(5_000):
            item = {"text": f"{number} {text}"}
            table.write(item)
            lines.write(item)
        grown = held() - before
    assert grown < 250_000  # KiB; the rows have 500 MB
