"""The three tables of a run: their columns, and the rows that one prompt's outcome gives them.

    candidates.parquet    every candidate: text, finish_reason, verdict, score, what became of it
    preferences.parquet   the pairs; preferences.jsonl holds the same rows
    skipped.parquet       every prompt, and every row of the prompts file, that gave no pair, with the named reason

Flat metadata beside the message lists, no column named `messages` or `completion`: trainers read those names as theirs. Last come
the other columns of the prompts file that came along (prompt_columns.py), as `source_NAME`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from loopguard.files import JsonlWriter, TableWriter, remove_leftovers
from loopguard.prompt_columns import PREFIX, Kind, in_table
from loopguard.records import TRUNCATED, Candidate, Pair, Prompt, Skip, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

CANDIDATES, PREFERENCES, PREFERENCES_JSONL, SKIPPED = (
    "candidates.parquet",
    "preferences.parquet",
    "preferences.jsonl",
    "skipped.parquet",
)

TABLES = (CANDIDATES, PREFERENCES, PREFERENCES_JSONL, SKIPPED)

ROWS_PER_GROUP = 2_000
"""Rows held in memory before they are written: 2,000 candidates are some 20 MB of Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that is known of one prompt: its candidates and either its pairs or why there are none."""

    prompt: Prompt
    candidates: Sequence[Candidate]
    result: list[Pair] | Skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What every row carries, so that a row taken out of its file still says where it comes from."""

    model: str
    judge: str
    detector: str


_VERDICT_COLUMNS = ("reason", "kind", "terminal", "start", "end", "period", "repeats")


def schemas(columns: Mapping[str, Kind] | None = None) -> dict[str, pa.Schema]:
    """The Arrow schema of each table by file name; an all-null column keeps its type. `columns`: those of the prompts file."""
    import pyarrow as pa

    text, whole, real, truth = pa.string(), pa.int64(), pa.float64(), pa.bool_()
    messages = pa.list_(pa.struct([("role", text), ("content", text)]))
    loop = {"reason": text, "kind": text, "terminal": truth}
    loop |= {"start": whole, "end": whole, "period": whole, "repeats": real}
    preferences = {
        **{"prompt": messages, "chosen": messages, "rejected": messages},
        **{"prompt_id": text, "row": whole, "pair_index": whole, "reason": text},
        **{"score_chosen": real, "score_rejected": real, "margin": real},
        **{f"chosen_{name}": kind for name, kind in _side_columns(text, whole, real)},
        **{f"rejected_{name}": kind for name, kind in _side_columns(text, whole, real)},
        **{f"rejected_loop_{name}": kind for name, kind in loop.items()},
        **{"rejected_wasted_fraction": real, "rejected_truncated": truth, "rejected_trimmed": truth},
        **{"model": text, "judge": text, "detector": text},
    }
    candidates = {
        **{"prompt_id": text, "row": whole, "index": whole, "decoding": text},
        **{"temperature": real, "top_p": real, "seed": whole},
        **{"text": text, "reasoning": text, "finish_reason": text},
        **{"prompt_tokens": whole, "completion_tokens": whole, "merged_into": whole, "looping": truth},
        **{f"loop_{name}": kind for name, kind in loop.items()},
        **{"loops": whole, "wasted_fraction": real},
        **{"score": real, "score_method": text, "score_mass": real, "judge_error": text, "used_as": text},
        **{"model": text, "judge": text, "detector": text},
    }
    skipped = {"status": text, "reason": text, "detail": text, "row": whole, "prompt_id": text, "prompt": messages}
    skipped |= {"candidates": whole, "looping": whole}
    named = {CANDIDATES: candidates, PREFERENCES: preferences, SKIPPED: skipped}
    kinds = {"text": text, "whole": whole, "real": real, "truth": truth}
    others = [(PREFIX + name, kinds[kind]) for name, kind in (columns or {}).items()]
    return {name: pa.schema([*own.items(), *others]) for name, own in named.items()}


def _side_columns(text: Any, whole: Any, real: Any) -> list[tuple[str, Any]]:
    return [("index", whole), ("decoding", text), ("temperature", real), ("finish_reason", text), ("tokens", whole)]


class Tables:
    """The three tables while they are written; they appear under their names together, when the block ends well."""

    def __init__(self, run_dir: Path, provenance: Provenance, columns: Mapping[str, Kind] | None = None) -> None:
        """Open all files, under temporary names; `columns`: as for `schemas`. Raises StorageError."""
        self._columns = columns or {}
        remove_leftovers(run_dir)
        with ExitStack() as stack:
            open_ = stack.enter_context
            tables = {
                name: open_(TableWriter(run_dir / name, schema, rows_per_group=ROWS_PER_GROUP))
                for name, schema in schemas(columns).items()
            }
            self._jsonl = open_(JsonlWriter(run_dir / PREFERENCES_JSONL))
            self._stack = stack.pop_all()
        self._candidates, self._preferences, self._skipped = tables[CANDIDATES], tables[PREFERENCES], tables[SKIPPED]
        self._common = {"model": provenance.model, "judge": provenance.judge, "detector": provenance.detector}

    def __enter__(self) -> Tables:
        """The tables, to `add` to."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish all files, or leave none of them after an error."""
        self._stack.__exit__(kind, error, trace)

    def add(self, outcome: Outcome) -> None:
        """The rows of one prompt."""
        pairs = outcome.result if isinstance(outcome.result, list) else []
        others = in_table(outcome.prompt.columns, self._columns)
        used = {pair.rejected.index: "rejected" for pair in pairs} | {pair.chosen.index: "chosen" for pair in pairs}
        for candidate in outcome.candidates:
            row = candidate_row(candidate, outcome.prompt.row)
            self._candidates.write(row | {"used_as": used.get(candidate.index)} | self._common | others)
        for pair in pairs:
            row = pair_row(pair) | self._common | others
            self._preferences.write(row)
            self._jsonl.write(row)
        if isinstance(outcome.result, Skip):
            self._skipped.write(skip_row(outcome, outcome.result) | others)

    def add_broken(self, *, row: int, reason: str, detail: str) -> None:
        """A row of the prompts file that holds no prompt that can be asked."""
        self._skipped.write({"status": "skipped", "reason": reason, "detail": detail, "row": row})


def pair_row(pair: Pair) -> dict[str, Any]:
    """One row of preference data, in the order of the columns."""
    chosen, rejected = pair.chosen, pair.rejected
    return {
        "prompt": list(pair.prompt.messages),
        "chosen": [{"role": "assistant", "content": chosen.text}],
        "rejected": [{"role": "assistant", "content": pair.rejected_text}],
        "prompt_id": pair.prompt.prompt_id,
        "row": pair.prompt.row,
        "pair_index": pair.pair_index,
        "reason": pair.reason,
        "score_chosen": chosen.score.value if chosen.score else None,
        "score_rejected": rejected.score.value if rejected.score else None,
        "margin": pair.margin,
        **dict(_side("chosen", chosen)),
        **dict(_side("rejected", rejected)),
        **{f"rejected_{name}": value for name, value in _loop_columns(rejected.verdict).items()},
        "rejected_wasted_fraction": rejected.verdict.wasted_fraction if rejected.verdict else None,
        "rejected_truncated": pair.trimmed or rejected.finish_reason in TRUNCATED,
        "rejected_trimmed": pair.trimmed,
    }


def _side(name: str, candidate: Candidate) -> Iterator[tuple[str, Any]]:
    yield f"{name}_index", candidate.index
    yield f"{name}_decoding", candidate.decoding
    yield f"{name}_temperature", candidate.temperature
    yield f"{name}_finish_reason", candidate.finish_reason
    yield f"{name}_tokens", candidate.completion_tokens


def candidate_row(candidate: Candidate, row: int) -> dict[str, Any]:
    """One row of candidates.parquet, `used_as` and provenance still to come."""
    verdict, score = candidate.verdict, candidate.score
    return {
        "prompt_id": candidate.prompt_id,
        "row": row,
        "index": candidate.index,
        "decoding": candidate.decoding,
        "temperature": candidate.temperature,
        "top_p": candidate.top_p,
        "seed": candidate.seed,
        "text": candidate.text,
        "reasoning": candidate.reasoning or None,
        "finish_reason": candidate.finish_reason,
        "prompt_tokens": candidate.prompt_tokens,
        "completion_tokens": candidate.completion_tokens,
        "merged_into": candidate.merged_into,
        "looping": candidate.looping,
        **_loop_columns(verdict),
        "loops": len(verdict.loops) if verdict else None,
        "wasted_fraction": verdict.wasted_fraction if verdict else None,
        "score": score.value if score else None,
        "score_method": score.method if score else None,
        "score_mass": score.mass if score else None,
        "judge_error": candidate.judge_error,
    }


def _loop_columns(verdict: Verdict | None) -> dict[str, Any]:
    """loop_reason and, of the loop that wastes most, kind, terminal, start, end, period, repeats."""
    loop = verdict.loop if verdict else None
    values = [getattr(loop, name, None) for name in _VERDICT_COLUMNS[1:]]
    reason = verdict.reason if verdict and verdict.looping else None
    return dict(zip((f"loop_{name}" for name in _VERDICT_COLUMNS), [reason, *values], strict=True))


def skip_row(outcome: Outcome, skip: Skip) -> dict[str, Any]:
    """One row of skipped.parquet."""
    return {
        "status": skip.status,
        "reason": skip.reason,
        "detail": skip.detail,
        "row": outcome.prompt.row,
        "prompt_id": outcome.prompt.prompt_id,
        "prompt": list(outcome.prompt.messages),
        "candidates": len(outcome.candidates),
        "looping": sum(c.looping for c in outcome.candidates),
    }
