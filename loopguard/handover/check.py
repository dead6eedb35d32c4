"""Preference pairs as the trainer will see them: every fault by row, and the figures of the whole.

    with open_pairs("runs/mine") as pairs:
        found = check(pairs, open_tokenizer("models/mine"), max_length=1024)
    found.counts["equal_after_cut"], found.loops_seen(1024)

Read once, by batches. Of each pair some 100 bytes of numbers are held, and what repeats.py holds.
"""

from __future__ import annotations

import itertools
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from loopguard.errors import InputError
from loopguard.handover.contamination import Benchmark
from loopguard.handover.measured import FAULTS, Measured, faults, measure
from loopguard.handover.pairs import BrokenRow, PairRow, Text, said
from loopguard.handover.repeats import Repeats
from loopguard.handover.tokenizers_at_hand import Tokenizer
from loopguard.handover.trainer_views import TRAINERS, Trainer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from loopguard.loops.detector import Detector

__all__ = ["LONGEST", "Checked", "Columns", "Finding", "check", "measured_rows", "schema"]

BATCH = 256
"""Pairs that are encoded at one time: 768 texts, enough for all cores."""

LONGEST = 1_000_000_000
"""The greatest max_length."""

EXAMPLES = 5
"""Rows that are named for each fault."""

_NUMBERS = tuple(one.name for one in fields(Measured))


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the source: its places (None where there are none) and its faults with details."""

    row: int
    measured: Measured | None
    faults: Mapping[str, str]
    """Fault -> what there is to say of it, or ""."""
    margin: float | None = None

    def as_row(self) -> dict[str, Any]:
        """The columns of --rows."""
        places = {name: getattr(self.measured, name) if self.measured else None for name in _NUMBERS if name != "row"}
        detail = "; ".join(f"{name}: {text}" for name, text in self.faults.items() if text)
        return {"row": self.row, "faults": list(self.faults), "detail": detail, **places}


def schema() -> pa.Schema:
    """The Arrow schema of `Finding.as_row`."""
    import pyarrow as pa

    kinds = {one.name: pa.bool_() if one.type == "bool" else pa.int64() for one in fields(Measured)}
    places = [(name, kind) for name, kind in kinds.items() if name != "row"]
    return pa.schema([("row", pa.int64()), ("faults", pa.list_(pa.string())), ("detail", pa.string()), *places])


class Columns:
    """The places of all pairs, a column each, as numpy arrays."""

    def __init__(self) -> None:
        self._held = {name: array("q") for name in _NUMBERS}
        self._margin = array("d")

    def add(self, measured: Measured, margin: float | None = None) -> None:
        """One more pair."""
        for name in _NUMBERS:
            self._held[name].append(getattr(measured, name))
        self._margin.append(float("nan") if margin is None else margin)

    def __len__(self) -> int:
        return len(self._margin)

    def __getitem__(self, name: str) -> npt.NDArray[np.int64]:
        import numpy as np

        return np.asarray(self._held[name], dtype=np.int64)

    @property
    def margin(self) -> npt.NDArray[np.float64]:
        """Score differences; nan where there is none."""
        import numpy as np

        return np.asarray(self._margin, dtype=np.float64)


@dataclass
class Checked:
    """What was found in all pairs."""

    name: str
    trainer: Trainer
    max_length: int
    rows: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Rows with each fault."""
    first: dict[str, list[int]] = field(default_factory=dict)
    """The first rows with each fault."""
    errors: dict[str, tuple[int, int]] = field(default_factory=dict)
    """What stops the trainer, in the template's words -> (rows, the first one)."""
    columns: Columns = field(default_factory=Columns)
    prompts: int = 0
    prompts_again: int = 0
    benchmark: Benchmark | None = None

    def add(self, finding: Finding) -> None:
        """Count one row."""
        self.rows += 1
        for name in finding.faults:
            self.counts[name] += 1
            if len(named := self.first.setdefault(name, [])) < EXAMPLES:
                named.append(finding.row)
        for name in ("broken_row", "mixed_forms", "template_error"):
            if name in finding.faults:
                count, row = self.errors.get(finding.faults[name], (0, finding.row))
                if count or len(self.errors) < 1_000:  # words of a broken row may differ for every row
                    self.errors[finding.faults[name]] = (count + 1, row)
        if finding.measured is not None:
            self.columns.add(finding.measured, finding.margin)


def check(
    pairs: Iterable[PairRow | BrokenRow],
    tokenizer: Tokenizer,
    *,
    name: str,
    max_length: int | None = None,
    trainer: Trainer = TRAINERS["trl"],
    detector: Detector | None = None,
    benchmark: Benchmark | None = None,
    write: Callable[[Finding], None] | None = None,
    watch: Callable[[int], None] | None = None,
) -> Checked:
    """Look at every pair; `max_length` is the trainer's default if not given. `write` gets each row's finding, `watch` the
    number of rows so far.

    Raises InputError: the source holds no rows or turns out to be damaged, the tokenizer has no chat template, no such max_length.
    """
    max_length = trainer.max_length if max_length is None else max_length
    if not 1 <= max_length <= LONGEST:
        raise InputError(f"max_length {max_length}: 1 to {LONGEST:,} tokens")
    found, repeats = Checked(name, trainer, max_length, benchmark=benchmark), Repeats()
    from loopguard.loops.detector import Detector

    detector = detector or Detector()
    for batch in _batched(pairs):
        for row, measured in measured_rows(batch, tokenizer, detector, trainer):
            finding = _finding(row, measured, found, repeats)
            found.add(finding)
            if write:
                write(finding)
        if watch:
            watch(found.rows)
    if not found.rows:
        raise InputError(f"{name} is empty: it holds no pairs")
    found.prompts, found.prompts_again = repeats.prompts, repeats.prompts_again
    return found


def _batched(pairs: Iterable[PairRow | BrokenRow]) -> Iterator[list[PairRow | BrokenRow]]:
    rows = iter(pairs)
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def measured_rows(
    batch: Sequence[PairRow | BrokenRow], tokenizer: Tokenizer, detector: Detector, trainer: Trainer
) -> Iterator[tuple[PairRow | BrokenRow, Measured | InputError | None]]:
    """Each row with its places; with the error that it stops the trainer with; with None where it holds no pair."""
    rows = [row for row in batch if isinstance(row, PairRow)]
    tokens = dict(zip((row.row for row in rows), trainer.prepare(tokenizer, rows), strict=True))
    chosen = iter(detector.detect_batch([said(row.chosen) for row in rows]))
    unknown = [row for row in rows if not row.known]
    verdicts = detector.detect_batch([said(row.rejected) for row in unknown])
    loops = {row.row: verdict.loop for row, verdict in zip(unknown, verdicts, strict=True)}
    for row in batch:
        if isinstance(row, BrokenRow):
            yield row, None
            continue
        chosen_loops, seen = next(chosen).looping, tokens[row.row]
        if isinstance(seen, InputError):
            yield row, seen
            continue
        control = tokenizer.control_tokens
        yield (
            row,
            measure(
                row,
                seen,
                tokenizer,
                chosen_loops=chosen_loops,
                loop=loops.get(row.row, row.loop),
                control=control is not None and any(control.search(text) for text in _all_texts(row)),
            ),
        )


def _all_texts(row: PairRow) -> Iterator[str]:
    sides: tuple[Text, ...] = (row.prompt, row.chosen, row.rejected)
    for side in sides:
        yield from [side] if isinstance(side, str) else (said([message]) for message in side)


def _finding(
    row: PairRow | BrokenRow, measured: Measured | InputError | None, of: Checked, repeats: Repeats
) -> Finding:
    if isinstance(row, BrokenRow):
        return Finding(row.row, None, {"broken_row": row.why})
    found = dict(repeats.add(row))
    if of.benchmark is not None and (hit := of.benchmark.find(row.prompt)) is not None:
        found["contaminated"] = f"row {hit.row} of {of.benchmark.name}: {hit.how}"
    if isinstance(measured, Measured):
        found |= dict.fromkeys(faults(measured, of.max_length, of.trainer), "")
    else:
        found["mixed_forms" if row.conversational is None else "template_error"] = str(measured)
    in_order = {name: found[name] for name in FAULTS if name in found}
    return Finding(row.row, measured if isinstance(measured, Measured) else None, in_order, row.margin)
