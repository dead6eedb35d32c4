"""Scanning files: every format, the verdict table, the figures, and what is wrong with an input."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import loopguard
from loopguard.errors import InputError, StorageError
from loopguard.loops.scan import ScanResult, scan_files
from loopguard.loops.statistics import wilson
from tests.loops.outputs import CLEAN, LOOP, PERIOD, TOKEN_LOOP, TOKENS_CLEAN, VERDICT, jsonl, parquet, rows


def counted(result: ScanResult) -> tuple[int, int]:
    return result.counts.overall.looping, result.counts.overall.total


# -- formats


def test_jsonl(tmp_path: Path) -> None:
    assert counted(scan_files([jsonl(tmp_path / "a.jsonl", rows(20, loops=[3, 7]))])) == (2, 20)


def test_gzip(tmp_path: Path) -> None:
    assert counted(scan_files([jsonl(tmp_path / "a.jsonl.gz", rows(20, loops=[3]))])) == (1, 20)


def test_csv(tmp_path: Path) -> None:
    with open(tmp_path / "a.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["id", "output"])
        writer.writeheader()
        writer.writerows(rows(20, loops=[0]))
    assert counted(scan_files([tmp_path / "a.csv"])) == (1, 20)


def test_parquet_glob_folder_and_many_files(tmp_path: Path) -> None:
    for k in range(3):
        parquet(tmp_path / f"{k}.parquet", rows(10, loops=[k]))
    (tmp_path / "notes.txt").write_text("no outputs here")
    assert counted(scan_files([tmp_path / "0.parquet", tmp_path / "2.parquet"])) == (2, 20)
    assert counted(scan_files([f"{tmp_path}/*.parquet"])) == (3, 30)
    assert counted(scan_files([tmp_path])) == (3, 30)
    assert counted(scan_files([tmp_path, tmp_path / "0.parquet"])) == (3, 30)  # a file is read once


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()])
def test_every_type_of_text(kind: pa.DataType, tmp_path: Path) -> None:
    texts = [LOOP, None, CLEAN, "", LOOP]
    column = pa.array(texts, pa.large_string()).cast(kind)
    file = parquet(tmp_path / "a.parquet", pa.table({"output": column}))
    found = scan_files([file])
    assert (*counted(found), found.counts.nulls) == (2, 4, 1)


def test_dictionary_column(tmp_path: Path) -> None:
    column = pa.array([LOOP, None, CLEAN, LOOP]).dictionary_encode()
    assert counted(scan_files([parquet(tmp_path / "a.parquet", pa.table({"output": column}))])) == (2, 3)


@pytest.mark.parametrize("kind", [pa.list_(pa.int64()), pa.large_list(pa.int32()), pa.list_(pa.uint16())])
def test_tokens(kind: pa.DataType, tmp_path: Path) -> None:
    column = pa.array([TOKEN_LOOP, None, TOKENS_CLEAN, []], kind)
    file = parquet(tmp_path / "a.parquet", pa.table({"ids": column, "output": ["a", "b", "c", "d"]}))
    result = scan_files([file], tokens_column="ids", examples=1)
    assert (*counted(result), result.counts.nulls) == (1, 3, 1)
    assert result.examples[0].output == TOKEN_LOOP
    assert result.examples[0].verdict["loop_period"] == 8


def test_token_column_is_found_where_there_is_no_text(tmp_path: Path) -> None:
    result = scan_files([jsonl(tmp_path / "a.jsonl", [{"id": 1, "token_ids": TOKEN_LOOP}])])
    assert result.columns == ("token_ids",)
    assert counted(result) == (1, 1)


def test_messages(tmp_path: Path) -> None:
    def chat(*messages: dict[str, object]) -> dict[str, object]:
        return {"messages": list(messages)}

    user = {"role": "user", "content": LOOP}
    values = [
        chat(user, {"role": "assistant", "content": CLEAN}),
        chat(user, {"role": "assistant", "content": LOOP}),
        chat(user, {"role": "assistant", "content": "4", "reasoning": LOOP}),
        chat(user, {"role": "assistant", "content": None, "reasoning_content": LOOP}),
        chat(user, {"role": "assistant", "content": LOOP}, user, {"role": "assistant", "content": "4"}),
        chat({"from": "human", "value": "Hi"}, {"from": "gpt", "value": LOOP}),
        chat(user),
    ]
    result = scan_files([jsonl(tmp_path / "a.jsonl", values)], examples=9)
    assert [example.row for example in result.examples] == [2, 3, 4, 6]
    assert result.examples[1].output == f"{LOOP}\n\n4"
    assert result.counts.nulls == 1  # nobody has answered yet


def test_answers_of_a_server_as_they_came(tmp_path: Path) -> None:
    def batch(**choice: object) -> dict[str, object]:
        return {
            "custom_id": "a",
            "response": {"status_code": 200, "body": {"id": "x", "choices": [choice]}},
            "error": None,
        }

    message = {"role": "assistant", "content": "4", "reasoning": LOOP}
    chat = [batch(index=0, message=message), batch(index=0, message=message | {"reasoning": None}), {"response": None}]
    assert counted(scan_files([jsonl(tmp_path / "a.jsonl", chat)])) == (1, 2)
    plain = [batch(index=0, text=LOOP), batch(index=0, text=CLEAN)]
    assert counted(scan_files([jsonl(tmp_path / "b.jsonl", plain)])) == (1, 2)
    bare = [{"choices": [{"message": message}, {"message": message}]}, {"choices": []}]
    assert counted(scan_files([jsonl(tmp_path / "c.jsonl", bare)])) == (1, 1)


def test_messages_as_json_in_csv(tmp_path: Path) -> None:
    cell = json.dumps([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": LOOP}])
    with open(tmp_path / "a.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["messages"], [cell], ["[1, 2]"]])
    result = scan_files([tmp_path / "a.csv"], examples=2)
    assert [example.output for example in result.examples] == [LOOP]


def test_the_column_is_found_by_name(tmp_path: Path) -> None:
    value = {"prompt": LOOP, "response": CLEAN, "text": LOOP}
    assert scan_files([jsonl(tmp_path / "a.jsonl", [value])]).columns == ("response",)
    assert scan_files([tmp_path / "a.jsonl"], text_column="prompt").counts.overall.looping == 1


# -- the table


def test_verdicts_equal_those_of_detect(tmp_path: Path) -> None:
    draw = random.Random(1)
    texts = [CLEAN[: draw.randrange(80)] + PERIOD * draw.randrange(60) + "é漢" * draw.randrange(9) for _ in range(300)]
    values = [{"text": text} for text in texts] + [{"text": None}]
    scan_files([parquet(tmp_path / "a.parquet", values)], out=tmp_path / "v.parquet")
    found = pq.read_table(tmp_path / "v.parquet").to_pylist()
    for text, row in zip(texts, found[:-1], strict=True):
        verdict, loop = loopguard.detect(text), loopguard.detect(text).loop
        parts = [getattr(loop, name, None) for name in ("kind", "terminal", "start", "end", "period", "repeats")]
        expected = [verdict.looping, verdict.reason, *parts, verdict.wasted_fraction]
        assert row == {"text": text} | dict(zip(VERDICT, expected, strict=True))
    assert found[-1] == {"text": None} | dict.fromkeys(VERDICT)


def test_spans_are_characters(tmp_path: Path) -> None:
    text = "漢字と🙂 " + "もう一度考えてみましょう、そうしましょう。" * 40
    scan_files([jsonl(tmp_path / "a.jsonl", [{"output": text}])], out=tmp_path / "v.parquet")
    row = pq.read_table(tmp_path / "v.parquet").to_pylist()[0]
    period = text[row["loop_start"] : row["loop_start"] + row["loop_period"]]
    assert len(period) == 21
    assert text[row["loop_start"] : row["loop_end"]].count(period) == int(row["loop_repeats"]) >= 39


def test_every_column_passes_through(tmp_path: Path) -> None:
    table = pa.table(
        {
            "z": pa.array([1, None], pa.int8()),
            "when": pa.array([0, 1], pa.timestamp("us", "UTC")),
            "output": pa.array([LOOP, CLEAN], pa.large_string()),
            "tags": pa.array([["a"], []], pa.list_(pa.string())),
            "meta": pa.array([{"x": 1.5}, None], pa.struct([("x", pa.float64())])),
            "model": pa.array(["m", "n"]).dictionary_encode(),
            "nothing": pa.nulls(2),
        }
    )
    scan_files([parquet(tmp_path / "a.parquet", table)], out=tmp_path / "v.parquet")
    found = pq.read_table(tmp_path / "v.parquet")
    assert found.column_names == [*table.column_names, *VERDICT]
    assert found.select(table.column_names).equals(table)
    assert json.loads(found.schema.metadata[b"loopguard"]) == {
        "detector": loopguard.Detector().signature,
        "columns": "output",
    }
    types = ["bool", "string", "string", "bool", "int64", "int64", "int64", "double", "double"]
    assert [str(found.schema.field(name).type) for name in VERDICT] == types


def test_a_second_scan_replaces_the_verdict(tmp_path: Path) -> None:
    scan_files([parquet(tmp_path / "a.parquet", rows(5, loops=[1]))], out=tmp_path / "v.parquet")
    scan_files([tmp_path / "v.parquet"], out=tmp_path / "w.parquet")
    assert pq.read_table(tmp_path / "w.parquet").equals(pq.read_table(tmp_path / "v.parquet"))


def test_types_that_widen_on_the_way(tmp_path: Path) -> None:
    early = [{"output": CLEAN, "n": 1, "note": None, "mixed": 7, "tags": ["a"]} for _ in range(20_000)]
    late = [{"output": LOOP, "n": 2.5, "note": "x", "mixed": "y", "extra": {"k": 1}}]
    scan_files([jsonl(tmp_path / "a.jsonl", early + late)], out=tmp_path / "v.parquet")
    frame = pl.read_parquet(tmp_path / "v.parquet")
    assert frame.columns == ["output", "n", "note", "mixed", "tags", "extra", *VERDICT]
    assert frame.height == 20_001
    first, last = frame.row(0, named=True), frame.row(-1, named=True)
    assert [first[name] for name in ("n", "note", "mixed", "tags", "extra")] == [1.0, None, "7", ["a"], None]
    assert [last[name] for name in ("n", "note", "mixed", "tags", "extra")] == [2.5, "x", "y", None, {"k": 1}]
    assert frame["looping"].sum() == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_files_with_other_columns(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", [{"output": CLEAN, "a": 1}])
    jsonl(tmp_path / "b.jsonl", [{"text": LOOP, "b": "x"}])
    result = scan_files([tmp_path], out=tmp_path / "v.parquet")
    assert result.columns == ("output", "text")
    found = pq.read_table(tmp_path / "v.parquet").select(["output", "a", "text", "b", "looping"]).to_pylist()
    assert [list(row.values()) for row in found] == [[CLEAN, 1, None, None, False], [None, None, LOOP, "x", True]]


def test_an_old_file_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    (tmp_path / "v.parquet").write_text("old")
    jsonl(tmp_path / "a.jsonl", rows(3))

    def stop(_: object) -> None:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        scan_files([tmp_path / "a.jsonl"], out=tmp_path / "v.parquet", watch=stop)
    assert (tmp_path / "v.parquet").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "v.parquet"]


def test_no_folder_for_the_table(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"missing/v\.parquet: .*the folder does not exist"):
        scan_files([jsonl(tmp_path / "a.jsonl", rows(3))], out=tmp_path / "missing" / "v.parquet")


# -- figures


def test_figures(tmp_path: Path) -> None:
    values = [
        {"model": "a", "output": LOOP, "finish_reason": "length"},
        {"model": "a", "output": CLEAN, "finish_reason": "length"},
        {"model": "a", "output": CLEAN, "finish_reason": "stop"},
        {"model": "b", "output": CLEAN, "finish_reason": "max_tokens"},
        {
            "model": None,
            "output": LOOP + "\nAnd then it went on to something else. " + CLEAN * 3,
            "finish_reason": None,
        },
        {"model": "b", "output": None, "finish_reason": "length"},
    ]
    result = scan_files([parquet(tmp_path / "a.parquet", values)], group_by=["model"])
    figures = result.as_dict()
    low, high = wilson(2, 5)
    assert figures["loop_rate"] == {"looping": 2, "total": 5, "rate": 0.4, "low": low, "high": high}
    assert (figures["rows"], figures["null_rows"], figures["truncated_not_looping"]) == (6, 1, 2)
    assert [(row["kind"], row["end"], row["looping"], row["total"]) for row in figures["by_kind"]] == [
        ("verbatim", "recovered", 1, 5),
        ("verbatim", "terminal", 1, 5),
    ]
    assert [(row["group"]["model"], row["looping"], row["total"]) for row in figures["by_group"]] == [
        ("null", 1, 1),
        ("a", 1, 3),
        ("b", 0, 1),
    ]
    assert figures["detector"] == loopguard.Detector().signature
    assert sum(figures["reasons"].values()) == 5
    wasted = sum(v.wasted_fraction * len(t) for t in (r["output"] for r in values) if t for v in [loopguard.detect(t)])
    assert figures["wasted_fraction"] == pytest.approx(wasted / sum(len(r["output"] or "") for r in values))


def test_two_groups_make_combinations(tmp_path: Path) -> None:
    values = [{"output": CLEAN, "model": m, "t": t} for m in ("a", "b") for t in (0.0, 1.0) for _ in range(2)]
    result = scan_files([parquet(tmp_path / "a.parquet", values)], group_by=["model", "t"])
    assert [(names, rate.total) for names, rate in result.counts.by_group()] == [
        (("a", "0.0"), 2),
        (("a", "1.0"), 2),
        (("b", "0.0"), 2),
        (("b", "1.0"), 2),
    ]


def test_limit(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", rows(10, loops=[9]))
    parquet(tmp_path / "b.parquet", rows(10, loops=[1, 8]))
    assert counted(scan_files([tmp_path], limit=13, out=tmp_path / "v")) == (2, 13)
    assert pq.read_metadata(tmp_path / "v").num_rows == 13
    assert counted(scan_files([tmp_path / "a.parquet", tmp_path / "b.parquet"], limit=10)) == (1, 10)
    with pytest.raises(InputError, match="limit is 0"):
        scan_files([tmp_path], limit=0)


def test_no_finish_reasons_are_not_none_truncated(tmp_path: Path) -> None:
    assert scan_files([jsonl(tmp_path / "a.jsonl", rows(2))]).as_dict()["truncated_not_looping"] is None
