"""The figures of a scan, counted batch by batch: loop rates overall, by group and by kind. Statistics, no verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loopguard.errors import InputError
from loopguard.loops import arrow
from loopguard.loops.statistics import Rate
from loopguard.messages import printable
from loopguard.records import TRUNCATED

FINISH_COLUMNS = ("finish_reason", "stop_reason")
"""Where an output's finish_reason may be; the first that is there counts."""

MOST_GROUPS = 10_000
"""More values than this are no groups: the column names single outputs, and memory would grow with the rows."""


@dataclass(slots=True)
class Counts:
    """Counts over the outputs of a scan, one `add` a batch."""

    group_by: tuple[str, ...] = ()
    rows: int = 0
    nulls: int = 0
    """Rows without an output; they have a null verdict and are in no rate."""
    overall: Rate = field(default_factory=Rate)
    groups: dict[tuple[str, ...], Rate] = field(default_factory=dict)
    kinds: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """Looping outputs by the kind of the loop that wastes most, and whether it is terminal."""
    reasons: Counter[str] = field(default_factory=Counter)
    finish_reasons_seen: bool = False
    truncated_clean: int = 0
    """Outputs that hit the token limit without a loop."""
    size: int = 0
    wasted: float = 0.0
    """Bytes of text (or tokens), and how many of them repeat what was said."""

    def add(self, rows: pa.RecordBatch, verdicts: pa.RecordBatch, outputs: pa.Array) -> None:
        """Count a batch: its rows, their verdicts, and the text or token ids that were examined."""
        looping = verdicts.column("looping")
        self.rows += len(looping)
        self.nulls += looping.null_count
        self.overall.looping += pc.sum(looping).as_py() or 0
        self.overall.total += len(looping) - looping.null_count
        listed = pa.types.is_large_list(outputs.type)
        sizes = pc.list_value_length(outputs) if listed else pc.binary_length(outputs)
        self.size += pc.sum(sizes).as_py() or 0
        self.wasted += pc.sum(pc.multiply(verdicts.column("wasted_fraction"), sizes)).as_py() or 0.0
        for entry in pc.value_counts(verdicts.column("loop_reason")).to_pylist():
            if entry["values"] is not None:
                self.reasons[entry["values"]] += entry["counts"]
        self._count_kinds(verdicts)
        self._count_truncated(rows, looping)
        if self.group_by:
            self._count_groups(rows, looping)

    def _count_kinds(self, verdicts: pa.RecordBatch) -> None:
        found = [verdicts.column(f"loop_{name}").drop_null().to_pylist() for name in ("kind", "terminal")]
        self.kinds.update(zip(*found, strict=True))

    def _count_truncated(self, rows: pa.RecordBatch, looping: pa.Array) -> None:
        name = next((name for name in FINISH_COLUMNS if name in rows.schema.names), None)
        if name is None or not _is_text(rows.schema.field(name).type):
            return
        self.finish_reasons_seen = True
        reasons = rows.column(name).cast(pa.large_string())
        cut = pc.is_in(reasons, value_set=arrow.strings(TRUNCATED).cast(pa.large_string()))
        self.truncated_clean += pc.sum(pc.and_(cut, pc.invert(looping))).as_py() or 0

    def _count_groups(self, rows: pa.RecordBatch, looping: pa.Array) -> None:
        code = np.zeros(rows.num_rows, np.int64)
        values = []
        for name in self.group_by:
            key = _key(rows, name)
            values.append(["null" if value is None else str(value) for value in key.dictionary.to_pylist()])
            code = code * len(values[-1]) + arrow.numbers(key.indices, np.int32)
        distinct, place = np.unique(code, return_inverse=True)
        loops = np.bincount(place, arrow.flags(looping))
        known = np.bincount(place, arrow.flags(looping.is_valid()))
        for each, hits, total in zip(distinct.tolist(), loops.tolist(), known.tolist(), strict=True):
            group = self.groups.setdefault(_names(each, values), Rate())
            group.looping += int(hits)
            group.total += int(total)
        if len(self.groups) > MOST_GROUPS:
            names = ", ".join(map(printable, self.group_by))
            raise InputError(f"--group-by {names}: more than {MOST_GROUPS:,} different values, so it groups nothing")

    def by_group(self) -> list[tuple[tuple[str, ...], Rate]]:
        """The groups, highest loop rate first."""
        return sorted(self.groups.items(), key=lambda item: (-(item[1].rate or 0.0), item[0]))

    def by_kind(self) -> list[tuple[str, str, Rate]]:
        """(kind, "terminal" or "recovered", share of all outputs), most frequent first."""
        ordered = sorted(self.kinds.items(), key=lambda item: (-item[1], item[0]))
        return [
            (kind, "terminal" if terminal else "recovered", Rate(count, self.overall.total))
            for (kind, terminal), count in ordered
        ]

    def as_dict(self) -> dict[str, Any]:
        """The counts as JSON values."""
        groups = [
            {"group": dict(zip(self.group_by, names, strict=True))} | rate.as_dict() for names, rate in self.by_group()
        ]
        return {
            "rows": self.rows,
            "null_rows": self.nulls,
            "loop_rate": self.overall.as_dict(),
            "wasted_fraction": self.wasted / self.size if self.size else 0.0,
            "truncated_not_looping": self.truncated_clean if self.finish_reasons_seen else None,
            "by_kind": [{"kind": kind, "end": end} | rate.as_dict() for kind, end, rate in self.by_kind()],
            "by_group": groups,
            "reasons": dict(sorted(self.reasons.items())),
        }


def check_groups(schemas: Sequence[pa.Schema], group_by: Sequence[str]) -> None:
    """Raise InputError where no table has such a column, or it is no value to group by."""
    for name in group_by:
        kinds = [schema.field(name).type for schema in schemas if name in schema.names]
        if not kinds:
            names = dict.fromkeys(column for schema in schemas for column in schema.names)
            listed = ", ".join(map(printable, names)) or "none"
            raise InputError(f"--group-by {printable(name)}: there is no such column; there are {listed}")
        if any(pa.types.is_nested(kind) for kind in kinds):
            raise InputError(f"--group-by {printable(name)}: holds lists or objects, which are no groups")


def _key(rows: pa.RecordBatch, name: str) -> pa.DictionaryArray:
    """A column as numbers and what they stand for; null is a value like any other. (Arrow's group_by imports pandas.)"""
    missing = name not in rows.schema.names
    column = pa.nulls(rows.num_rows, pa.large_string()) if missing else rows.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.dictionary_encode(null_encoding="encode")


def _names(code: int, values: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """What a combination of columns stands for."""
    names = []
    for column in reversed(values):
        code, at = divmod(code, len(column))
        names.append(column[at])
    return tuple(reversed(names))


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))
