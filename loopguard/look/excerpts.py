"""What can be read of one output: the text around its loop, the loop in copies, control characters made visible.

    ["t", text]                       text as it stands
    ["g", count, unit]                so many characters (or tokens) left out
    ["l", kind, copies, repeats, rest]  a loop: its first copies, how often it comes in all, characters of it left out at the end

Copies of a `verbatim` loop are cut at its period; in the other kinds a copy is about that long. Texts are read by row groups,
and of each only these pieces are kept: an output of many megabytes costs what a short one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from loopguard.loops.columns import examined
from loopguard.visible import visible

HEAD, BEFORE, AFTER = 600, 400, 500
"""Characters kept of the beginning, before a loop, and after it (or at the end)."""

WHOLE = 2_000
"""An output without a loop is kept whole up to so many characters."""

LOOP, COPY = 2_400, 700
"""Characters kept of all copies, and of one."""

PROMPT = 3_000
"""Characters kept of one message of a prompt."""

Segment = list[Any]


def excerpt(output: str | Sequence[int], loop: Mapping[str, Any] | None) -> list[Segment]:
    """The pieces of one output; `loop` has kind, start, end, period, repeats."""
    unit = "characters" if isinstance(output, str) else "tokens"
    if loop is None or loop["start"] is None or loop["end"] is None:
        return list(_around(output, 0, len(output), WHOLE - AFTER, AFTER, unit))
    start = max(0, min(loop["start"], len(output)))
    end = max(start, min(loop["end"], len(output)))
    found = list(_around(output, 0, start, HEAD, BEFORE, unit))
    if end > start:
        found.append(_loop(output, start, end, loop))
    return [*found, *_around(output, end, len(output), AFTER, AFTER, unit)]


def _around(output: str | Sequence[int], start: int, end: int, head: int, tail: int, unit: str) -> Iterator[Segment]:
    if end - start <= head + tail:
        if end > start:
            yield ["t", _text(output[start:end])]
        return
    yield ["t", _text(output[start : start + head])]
    yield ["g", end - start - head - tail, unit]
    yield ["t", _text(output[end - tail : end])]


def _loop(output: str | Sequence[int], start: int, end: int, loop: Mapping[str, Any]) -> Segment:
    """The first copies, each cut where it is long; at least the first two."""
    period = max(1, int(loop["period"] or 1))
    copies: list[str] = []
    at, kept = start, 0
    while at < end and (len(copies) < 2 or kept < LOOP):
        stop = min(at + period, end)
        copies.append(_cut(output, at, stop))
        kept += min(stop - at, COPY)
        at = stop
    return ["l", loop["kind"] or "", copies, round(float(loop["repeats"] or len(copies)), 1), end - at]


def _cut(output: str | Sequence[int], start: int, end: int) -> str:
    if end - start <= COPY:
        return _text(output[start:end])
    return f"{_text(output[start : start + COPY])} [… {end - start - COPY:,} more]"


def _text(part: str | Sequence[int]) -> str:
    return visible(part) if isinstance(part, str) else "".join(f"{int(token)} " for token in part)


def read_rows(path: Path, wanted: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row, its cells) of the wanted rows of a Parquet file, in ascending order; read by row groups."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, first = np.array(wanted, dtype=np.int64), 0
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            last = first + file.metadata.row_group(group).num_rows
            here = rows[(rows >= first) & (rows < last)]
            if here.size:
                table = file.read_row_group(group, columns=list(columns)).take(pa.array(here - first))
                cells = [_cells(table.column(name)) for name in columns]
                for row, found in zip(here.tolist(), zip(*cells, strict=True), strict=True):
                    yield row, dict(zip(columns, found, strict=True))
            first = last


def _cells(column: Any) -> list[Any]:
    return list(column.to_pylist())


def output_of(cell: Any) -> str | Sequence[int] | None:
    """What the detector looked at in a cell: a text, or token ids; None where there is nothing."""
    import pyarrow as pa

    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace")
    if isinstance(cell, list) and all(isinstance(item, int) for item in cell):
        return cell
    found = examined(pa.array([cell]))[0].as_py()
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found


def messages_of(cell: Any) -> list[list[Any]]:
    """[role, pieces] of a prompt's messages: a text, or a list of messages as {"role", "content"} or {"from", "value"}."""
    if cell is None:
        return []
    items = cell if isinstance(cell, list) else [cell]
    found = []
    for item in items[:MOST_MESSAGES]:
        role, text = (
            (_field(item, "role", "from"), _field(item, "content", "value"))
            if isinstance(item, dict)
            else ("user", item)
        )
        whole = text if isinstance(text, str) else "" if text is None else str(text)
        found.append(
            [
                visible(str(role or "user"))[:40],
                list(_around(whole, 0, len(whole), PROMPT - AFTER, AFTER, "characters")),
            ]
        )
    if len(items) > MOST_MESSAGES:
        found.append(["", [["g", len(items) - MOST_MESSAGES, "messages"]]])
    return found


MOST_MESSAGES = 30


def _field(item: dict[str, Any], *names: str) -> Any:
    return next((item[name] for name in names if item.get(name) is not None), None)


def prompts_of_run(run_dir: Path, tables: Sequence[str], wanted: Sequence[str]) -> dict[str, Any]:
    """Prompt id -> its messages, for the wanted ones, from the tables that hold prompts."""
    found: dict[str, Any] = {}
    for name in tables:
        if (run_dir / name).is_file():
            table = pl.scan_parquet(run_dir / name, glob=False).filter(pl.col("prompt_id").is_in(list(wanted)))
            found |= dict(table.select("prompt_id", "prompt").unique("prompt_id").collect().iter_rows())
    return found
