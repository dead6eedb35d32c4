"""The data of the page's browser: prompts, their outputs in pieces, verdicts, scores; compressed within a budget of bytes.

The JSON is gzip in base64: nothing that a model wrote stands in the page as it is. Equal input gives equal bytes.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from loopguard.look import selection
from loopguard.look.excerpts import excerpt, messages_of, output_of, prompts_of_run, read_rows
from loopguard.look.subject import Subject, of_prompts
from loopguard.prefs.outputs import PREFERENCES, SKIPPED
from loopguard.prompt_columns import column_of
from loopguard.visible import visible

BUDGET = 3_600_000
"""Bytes of base64 at most: with charts and code the page stays below 5 MB."""

INFLATED = 40_000_000
"""Characters of JSON at most: what a telephone can hold."""

_EVERY = 20
"""Prompts between two looks at the size."""

Item = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """The browser's data, ready for the page."""

    base64: str
    shown: int
    total: int
    random: int
    """Of those shown, the ones that chance drew."""


def pack(subject: Subject, labels: Sequence[str] = (), *, budget: int = BUDGET) -> Packed:
    """The browser of one run or verdict file; `labels` are columns shown beside each output and filtered by."""
    chosen = selection.selection(subject)
    theirs = of_the_prompts(subject, labels)
    own = [name for name in labels if name not in theirs]
    total = subject.judged.height if subject.source == "verdicts" else subject.outputs["prompt_id"].n_unique()
    head = {
        "unit": subject.unit,
        "sides": [subject.name],
        "labels": own,
        "about": shown_names(theirs),
        "source": subject.source,
    }
    return packed(head, items(subject, chosen, own, theirs), chosen, total, budget=budget)


def of_the_prompts(subject: Subject, names: Sequence[str]) -> dict[str, str]:
    """Those of the names that mean a column of the prompts file, and that column."""
    found = {name: column_of(name, subject.outputs.columns) or "" for name in names}
    return {name: column for name, column in found.items() if column in of_prompts(subject)}


def shown_names(names: Iterable[str]) -> list[str]:
    """The names as they are shown."""
    return [visible(name)[:100] for name in names]


def about_prompts(subject: Subject, wanted: pl.Series, theirs: Mapping[str, str]) -> dict[Any, dict[str, Any]]:
    """Prompt id -> its values in these columns, by the names that they are shown under."""
    columns = {name: column for name, column in theirs.items() if column in subject.outputs.columns}
    rows = subject.outputs.filter(pl.col("prompt_id").is_in(wanted.implode())).unique("prompt_id", keep="first")
    return {
        row["prompt_id"]: {
            visible(name)[:100]: visible(str(row[column]))[:300]
            for name, column in columns.items()
            if row[column] is not None
        }
        for row in (rows.iter_rows(named=True) if columns else ())
    }


def packed(head: dict[str, Any], found: Iterable[Item], chosen: pl.DataFrame, total: int, *, budget: int) -> Packed:
    """Items until the budget is spent."""
    squeeze = zlib.compressobj(6, zlib.DEFLATED, 31)
    parts = [squeeze.compress(b'{"items":[')]
    size = shown = inflated = 0
    drawn = dict(zip(chosen["key"].to_list(), chosen["drawn"].to_list(), strict=True))
    random = 0
    for item in found:
        text = json.dumps(item, ensure_ascii=True, separators=(",", ":"))
        parts.append(squeeze.compress(("," if shown else "").encode() + text.encode()))
        shown, inflated, random = shown + 1, inflated + len(text), random + (drawn[item["key"]] == "random")
        if shown % _EVERY == 0:
            parts.append(squeeze.flush(zlib.Z_SYNC_FLUSH))
            size = sum(map(len, parts)) * 4 // 3
            if size >= budget or inflated >= INFLATED:
                break
    parts.append(squeeze.compress(b'],"head":' + json.dumps(head).encode() + b"}"))
    parts.append(squeeze.flush())
    return Packed(base64=base64.b64encode(b"".join(parts)).decode(), shown=shown, total=total, random=random)


def items(subject: Subject, chosen: pl.DataFrame, labels: Sequence[str], theirs: Mapping[str, str]) -> Iterator[Item]:
    """The chosen prompts (outputs of a verdict file) with all that is shown of them."""
    key = "at" if subject.source == "verdicts" else "prompt_id"
    outputs = outputs_of(subject, key, chosen["key"], labels)
    prompts = prompts_of(subject, chosen["key"].to_list())
    about = about_prompts(subject, chosen["key"], theirs) if theirs else {}
    for one in chosen.iter_rows(named=True):
        mine = outputs.get(one["key"], [])
        prompt = (
            messages_of(prompts.get(one["key"]))
            if subject.source == "run"
            else mine[0].pop("prompt", [])
            if mine
            else []
        )
        yield item(one, prompt, [mine]) | ({"about": about[one["key"]]} if about.get(one["key"]) else {})


def outputs_of(subject: Subject, key: str, wanted: pl.Series, labels: Sequence[str]) -> dict[Any, list[Item]]:
    """Key -> the outputs of that prompt, in their order; the file is read once, and only pieces are kept."""
    rows = subject.outputs.with_columns(pl.col("at").cast(pl.Int64)).filter(pl.col(key).is_in(wanted.implode()))
    where = subject.texts
    names = [name for name in (where.output, where.prompt) if name]
    cells = read_rows(where.path, rows["at"].to_list(), names) if names else iter(())
    found: dict[Any, list[Item]] = {}
    for row in rows.iter_rows(named=True):
        _, held = next(cells, (0, {}))
        output = _output(row, output_of(held.get(where.output or "")), labels)
        if where.prompt:
            output["prompt"] = messages_of(held.get(where.prompt))
        found.setdefault(row[key], []).append(output)
    return found


def item(one: dict[str, Any], prompt: list[Any], sides: list[list[Item]]) -> Item:
    """One entry of the browser's list."""
    row = next(iter([output.pop("row", None) for side in sides for output in side]), None)
    return {
        "key": one["key"],
        "row": row if isinstance(row, int) else None,
        "reason": visible(str(one["reason"])),
        "kind": one["kind"],
        "waste": round(one["waste"], 1),
        "margin": round(one["margin"], 4),
        "prompt": prompt,
        "sides": sides,
    }


def prompts_of(subject: Subject, keys: Sequence[Any]) -> dict[str, Any]:
    """Prompt id -> messages, of a run; a verdict file has its prompts beside its outputs."""
    return prompts_of_run(subject.texts.path.parent, (SKIPPED, PREFERENCES), keys) if subject.source == "run" else {}


_LOOP = ("kind", "terminal", "start", "end", "period", "repeats")


def _output(row: dict[str, Any], text: str | Sequence[int] | None, labels: Sequence[str]) -> Item:
    loop = {name: row.get(f"loop_{name}") for name in _LOOP}
    found = {
        "row": row.get("row") if isinstance(row.get("row"), int) else None,
        "index": row.get("index"),
        "decoding": row.get("decoding"),
        "temperature": row.get("temperature"),
        "length": row["length"],
        "finish": row.get("finish_reason"),
        "score": row.get("score"),
        "error": row.get("judge_error"),
        "used": row.get("used_as"),
        "equal": row.get("merged_into"),
        "looping": bool(row["looping"]),
        "why": row.get("loop_reason"),
        "wasted": row["wasted"],
        "share": row.get("wasted_fraction"),
        "loops": row.get("loops"),
        "loop": loop if row["looping"] and loop["kind"] else None,
        "labels": {name: str(row.get(name)) for name in labels if row.get(name) is not None},
        "body": None if text is None else excerpt(text, loop if row["looping"] else None),
    }
    return {name: _shown(value) for name, value in found.items() if value is not None and value != {}}


def _shown(value: Any) -> Any:
    """Names and reasons made safe to show; numbers short."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, str):
        return visible(value)[:300]
    if isinstance(value, dict):
        return {visible(str(name))[:100]: _shown(one) for name, one in value.items()}
    return value
