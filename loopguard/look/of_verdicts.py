"""A verdict file (`loopguard scan --out`) as a Subject: read by row groups, the texts measured and let go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import polars as pl

from loopguard.errors import InputError, LoopguardError
from loopguard.look.subject import KEPT, Subject, Texts, placed
from loopguard.loops.columns import find_column
from loopguard.loops.verdict_file import METADATA_KEY
from loopguard.loops.verdicts import NAMES

PROMPT_COLUMNS = ("prompt", "question", "instruction", "messages", "conversations")
"""Columns of a verdict file that say which rows answer the same prompt, in the order in which they are looked for."""


def verdicts_subject(path: Path) -> Subject:
    """The verdict file at a path. Raises InputError where it is none."""
    if path.suffix != ".parquet":
        raise InputError(
            f"{path}: a run directory or a .parquet of verdicts is wanted; make one: loopguard scan {path} --out verdicts.parquet"
        )
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path}: no Parquet file: {' '.join(str(error).split())[:200]}") from None
    absent = [name for name in NAMES if name not in schema.names]
    if absent:
        raise InputError(
            f"{path}: no verdicts in it (no column {', '.join(absent)}); make them: loopguard scan {path} --out verdicts.parquet"
        )
    about = _about(schema)
    texts = _texts(path, schema, about)
    unit: Literal["tokens", "characters"] = "tokens" if texts.token_ids else "characters"
    outputs = _rows(path, schema, texts)
    notes = (
        [] if texts.output else ["The file has no column of outputs: lengths are unknown, and no text can be shown."]
    )
    return Subject(
        name=path.name,
        path=path,
        source="verdicts",
        outputs=outputs,
        texts=texts,
        unit=unit,
        detector=str(about.get("detector", "")),
        notes=tuple(notes),
    )


def _about(schema: Any) -> dict[str, Any]:
    try:
        found = json.loads((schema.metadata or {})[METADATA_KEY.encode()])
    except (KeyError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _texts(path: Path, schema: Any, about: dict[str, Any]) -> Texts:
    named = about.get("columns")
    known = named if isinstance(named, str) and named in schema.names else None
    try:
        found = find_column(schema, str(path), text_column=known)
        output, token_ids = found.name, found.form == "tokens"
    except LoopguardError:
        output, token_ids = None, False
    prompt = next((name for name in PROMPT_COLUMNS if name in schema.names and name != output), None)
    return Texts(path=path, output=output, prompt=prompt, token_ids=token_ids)


def _rows(path: Path, schema: Any, texts: Texts) -> pl.DataFrame:
    """One row an output, read by row groups: of the text its length is kept, of the prompt a hash."""
    import pyarrow.parquet as pq

    left_out = {texts.output, texts.prompt, *KEPT}
    wanted = [
        name for name in schema.names if name in NAMES or (name not in left_out and _plain(schema.field(name).type))
    ]
    parts = []
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=[*wanted, *(n for n in (texts.output, texts.prompt) if n)])
            frame = pl.DataFrame(table.select(wanted))
            parts.append(frame.with_columns(_lengths(table, texts), _prompts(table, texts)))
    if not parts:
        parts = [
            pl.DataFrame(schema.empty_table().select(wanted)).with_columns(
                characters=pl.lit(None, pl.Int64), prompt_id=pl.lit(None, pl.String)
            )
        ]
    frame = pl.concat(parts, how="vertical_relaxed").with_row_index("at")
    identity = pl.coalesce(pl.col("prompt_id"), pl.format("row {}", pl.col("at")))
    frame = frame.with_columns(prompt_id=identity, length=pl.col("characters"), tokens=pl.lit(None, pl.Int64))
    return placed(frame, pl.lit(1.0))


def _lengths(table: Any, texts: Texts) -> pl.Series:
    from loopguard.loops.columns import examined

    if texts.output is None:
        return pl.Series("characters", [None] * table.num_rows, pl.Int64)
    import pyarrow.compute as pc

    cells = examined(table.column(texts.output))
    count = pc.list_value_length if texts.token_ids else _utf8_length
    return pl.Series("characters", count(cells)).cast(pl.Int64)


def _utf8_length(cells: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.binary_length(cells) if pa.types.is_large_binary(cells.type) else pc.utf8_length(cells)


def _prompts(table: Any, texts: Texts) -> pl.Series:
    if texts.prompt is None:
        return pl.Series("prompt_id", [None] * table.num_rows, pl.String)
    column = pl.Series(table.column(texts.prompt))
    key = (
        column.hash(seed=0)
        if column.dtype == pl.String
        else pl.Series(map(str, column.to_list()), dtype=pl.String).hash(seed=0)
    )
    return pl.select(pl.when(column.is_not_null()).then(pl.format("{}", key))).to_series().alias("prompt_id")


def _plain(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_boolean)
    return any(test(kind) for test in tests) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
