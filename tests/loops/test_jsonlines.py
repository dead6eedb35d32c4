"""JSON lines by Arrow's parser and line by line: the same rows, the same complaints."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from loopguard.errors import InputError
from loopguard.jsonrows import line_rows
from loopguard.loops import jsonlines
from loopguard.loops.inputs import open_batches, row_batches
from loopguard.messages import BadRow
from tests.loops.outputs import jsonl, rows

TEXTS = [
    "",
    "plain",
    "2024-05-01",
    "2024-05-01T10:00:00Z",
    "é漢🙂",
    'line\nbreak\tand "quotes" \\',
    "\0",
    "1e5",
    "null",
]
ODD = [
    '{"output": "cut',
    "[1, 2]",
    "",
    "   ",
    '{"output": "\\ud800 half"}',
    '{"output": 5}',
    '{"output": {"a": 1}}',
    "NaN",
]


def seen(items: Any) -> list[Any]:
    """Rows as values, nulls left out, and what is said of the others."""
    found: list[Any] = []
    for item in items:
        if isinstance(item, BadRow):
            found.append((item.row, item.reason))
        else:
            found += [{k: v for k, v in row.items() if v is not None} for row in item.to_pylist()]
    return found


def drawn(seed: int, odd: list[str]) -> list[str]:
    draw = random.Random(seed)
    made = []
    for i in range(draw.randrange(1, 60)):
        row: dict[str, Any] = {"id": i, "output": draw.choice(TEXTS)}
        if draw.random() < 0.5:
            row["meta"] = {"score": draw.choice([1, 2.5, None]), "tags": ["a"] * draw.randrange(3)}
        if draw.random() < 0.1:
            row["late"] = draw.choice([True, False])
        made.append(json.dumps(row, ensure_ascii=draw.random() < 0.5))
    return [line for one in made for line in ([one, draw.choice(odd)] if odd and draw.random() < 0.1 else [one])]


@pytest.mark.parametrize("odd", [[], ODD], ids=["sound", "odd"])
@pytest.mark.parametrize("block", [64, 700, 8_000_000])
def test_the_same_rows_fast_and_slow(
    odd: list[str], block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonlines, "_BLOCK", block)
    for seed in range(25):
        file = jsonl(tmp_path / "a.jsonl", drawn(seed, odd))
        with open(file, "rb") as lines:
            slow = seen(row_batches(line_rows(lines)))
        fast = seen(open_batches(str(file)).batches())
        if block > 10_000 or not odd:
            assert fast == slow
        else:  # a type that is mixed in the file need not be mixed in a block
            assert len(fast) == len(slow)
            assert [item for item in fast if isinstance(item, tuple)] == [
                item for item in slow if isinstance(item, tuple)
            ]


def test_sound_lines_take_the_fast_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_batches(str(jsonl(tmp_path / "a.jsonl", rows(3000))))
    monkeypatch.setattr(jsonlines, "line_rows", None)
    batches = list(source.batches())
    assert sum(batch.num_rows for batch in batches if isinstance(batch, pa.RecordBatch)) == 3000


def test_bom_crlf_and_no_last_newline(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"output": "a"}\r\n\r\n{"output": "b"}')
    assert seen(open_batches(str(tmp_path / "a.jsonl")).batches()) == [{"output": "a"}, {"output": "b"}]


def test_gzip_that_breaks_off(tmp_path: Path) -> None:
    noise = random.Random(1)
    data = b"".join(json.dumps({"output": noise.randbytes(500).hex()}).encode() + b"\n" for _ in range(9000))
    packed = gzip.compress(data, 1)
    (tmp_path / "a.jsonl.gz").write_bytes(packed[: len(packed) * 9 // 10])
    source = open_batches(str(tmp_path / "a.jsonl.gz"))
    batches = source.batches()
    assert next(batches)
    with pytest.raises(InputError, match=r"a\.jsonl\.gz is damaged"):
        list(batches)


def test_a_list_in_a_file_named_jsonl(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('[{"output": "a"}, {"output": "b"}]')
    assert seen(open_batches(str(tmp_path / "a.jsonl")).batches()) == [{"output": "a"}, {"output": "b"}]
