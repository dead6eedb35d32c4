"""From a user's own outputs: the vLLM RepetitionDetectionParams that stop most loops and next to no good outputs.

    found = tune_vllm(["outputs.jsonl"], tokens_column="token_ids", max_stopped=0.005)
    found.best                       # a Setting, or None
    found.front                      # what each further good output that is stopped would buy

What loops is what the detector calls so. vLLM's rule runs over token ids: those of a column, those of a tokenizer, or, where
neither is given, words and marks, which are about as long as the tokens of a BPE (then sizes are estimates).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from loopguard.errors import InputError, MissingExtra
from loopguard.loops import arrow
from loopguard.loops.detector import Detector
from loopguard.loops.judged import Judged
from loopguard.loops.reading import Reading
from loopguard.loops.rough_tokens import rough_tokens
from loopguard.loops.tail_rule import gather

EDGES = np.array([1, 2, 3, 5, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513], np.int64)
"""Sizes of patterns that are tried: min_pattern_size is one of these, max_pattern_size one less than one of these."""

COUNTS = np.array([2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 48, 64], np.int64)
"""min_count that are tried."""

LARGEST_WORK = 20_480
"""Most (max_pattern_size - min_pattern_size + 1) * min_count: vLLM refuses more than ten times the server's largest pattern,
which is 2,048 in its tests."""

KINDS = ("verbatim", "counter", "near")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One RepetitionDetectionParams, and what it would have done."""

    max_pattern_size: int
    min_pattern_size: int
    min_count: int
    loops_stopped: int
    clean_stopped: int
    tokens_saved: int
    """Tokens of loops after the stop: never generated."""
    tokens_cut: int
    """Tokens of clean outputs after the stop: lost."""
    stopped_by_kind: dict[str, int] = field(default_factory=dict)

    @property
    def params(self) -> dict[str, int]:
        """The three numbers by vLLM's names."""
        names = ("max_pattern_size", "min_pattern_size", "min_count")
        return {name: getattr(self, name) for name in names}

    @property
    def work(self) -> int:
        """What vLLM compares at most for each token."""
        return (self.max_pattern_size - self.min_pattern_size + 1) * self.min_count

    def as_line(self) -> str:
        """To paste into Python: SamplingParams(..., repetition_detection=...)."""
        numbers = ", ".join(f"{name}={value}" for name, value in self.params.items())
        return f"repetition_detection=RepetitionDetectionParams({numbers})"


@dataclass(slots=True)
class Tuning:
    """What the search found."""

    max_stopped: float
    signature: str
    """Of the detector that said what loops."""
    unit: str
    """What was counted: "token ids", "tokens of <tokenizer>" or "words and marks"."""
    reading: Reading = field(default_factory=Reading)
    loops: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    clean: int = 0
    tokens: int = 0
    front: list[Setting] = field(default_factory=list)
    """Settings of which none is better both in loops and in clean outputs, fewest clean outputs stopped first."""

    @property
    def looping(self) -> int:
        """Outputs that loop."""
        return sum(self.loops.values())

    @property
    def best(self) -> Setting | None:
        """The one that stops most loops within `max_stopped`; None if none stops any."""
        return next((s for s in reversed(self.front) if s.clean_stopped <= self.max_stopped * self.clean), None)

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""

        def told(setting: Setting) -> dict[str, Any]:
            names = ("loops_stopped", "clean_stopped", "tokens_saved", "tokens_cut", "stopped_by_kind")
            return setting.params | {name: getattr(setting, name) for name in names}

        return {
            **self.reading.as_dict(),
            "max_stopped": self.max_stopped,
            "outputs": self.looping + self.clean,
            "looping": self.loops,
            "clean": self.clean,
            "tokens": self.tokens,
            "unit": self.unit,
            "best": told(self.best) if self.best else None,
            "front": [told(setting) for setting in self.front],
            "detector": self.signature,
        }


def tune_vllm(
    inputs: Iterable[str | os.PathLike[str]],
    *,
    text_column: str | None = None,
    tokens_column: str | None = None,
    tokenizer: str | None = None,
    max_stopped: float = 0.005,
    detector: Detector | None = None,
    limit: int | None = None,
) -> Tuning:
    """Search the settings of vLLM's repetition stop on outputs that are there.

    Args:
        inputs: as for scan_files.
        text_column: the outputs' column, if its name is not found.
        tokens_column: a column of token ids: exact.
        tokenizer: a tokenizer.json or a name on the Hub, to make token ids of texts (needs `pip install tokenizers`).
        max_stopped: largest share of clean outputs that may be stopped.
        detector: thresholds other than the default ones.
        limit: at most so many rows.

    Raises:
        InputError: no such file or column; no outputs.
    """
    if not 0 <= max_stopped <= 1:
        raise InputError(f"max_stopped is {max_stopped}; it is a share from 0 to 1")
    detector = detector or Detector()
    encode, unit = _encoder(tokenizer)
    found = Tuning(max_stopped, detector.signature, "token ids")
    tally = np.zeros((len(EDGES) - 1, len(EDGES) - 1, len(COUNTS), len(KINDS) + 1, 2), np.int64)
    opened = found.reading.open(inputs, text_column=text_column, tokens_column=tokens_column)
    for _, judged in found.reading.judged(opened, detector, limit=limit):
        if not pa.types.is_large_list(judged.outputs.type):
            found.unit = unit
        _add(judged, encode, tally, found)
    if found.looping + found.clean == 0:
        raise InputError("no outputs to tune on: every row is null")
    found.front = _front(tally)
    return found


Encode = Callable[[NDArray[np.int64], NDArray[np.uint8]], tuple[NDArray[np.int64], NDArray[np.uint64]]]


def _encoder(name: str | None) -> tuple[Encode, str]:
    """What makes ids of texts (offsets and bytes in, offsets and ids out), and what the ids are."""
    if name is None:
        return rough_tokens, "words and marks"
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtra("--tokenizer needs the package tokenizers: pip install tokenizers") from None
    try:
        whole = Tokenizer.from_file(name) if os.path.isfile(name) else Tokenizer.from_pretrained(name)
    except Exception as error:  # tokenizers raises bare exceptions
        raise InputError(f"tokenizer {name} cannot be read: {' '.join(str(error).split())[:200]}") from error

    def encode(offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        raw = data.tobytes()
        texts = [raw[a:b].decode("utf-8", "replace") for a, b in pairwise(offsets.tolist())]
        ids = [np.array(one.ids, np.uint64) for one in whole.encode_batch_fast(texts, add_special_tokens=False)]
        return np.cumsum([0, *map(len, ids)]), np.concatenate([np.empty(0, np.uint64), *ids])

    return encode, f"tokens of {name}"


def _add(judged: Judged, encode: Encode, tally: NDArray[np.int64], found: Tuning) -> None:
    known = judged.verdicts.column("looping").is_valid()
    outputs, kinds = judged.outputs.filter(known), judged.verdicts.column("loop_kind").filter(known)
    offsets, values = arrow.rows(outputs)
    ids = values
    if not pa.types.is_large_list(outputs.type):
        offsets, ids = encode(offsets, values)
    classes = np.array([KINDS.index(kind) if kind is not None else len(KINDS) for kind in kinds.to_pylist()], np.int64)
    gather(ids, offsets, classes, EDGES, COUNTS, tally)
    for number, kind in enumerate(KINDS):
        found.loops[kind] += int((classes == number).sum())
    found.clean += int((classes == len(KINDS)).sum())
    found.tokens += int(offsets[-1] - offsets[0])


def _front(tally: NDArray[np.int64]) -> list[Setting]:
    """Settings that no other beats: each further one stops more loops, and more clean outputs."""

    def order(setting: Setting) -> tuple[int, ...]:
        return (setting.clean_stopped, -setting.loops_stopped, -setting.tokens_saved, setting.work)

    front: list[Setting] = []
    for setting in sorted(_settings(tally), key=order):
        if setting.loops_stopped > (front[-1].loops_stopped if front else 0):
            front.append(setting)
    return front


def _settings(tally: NDArray[np.int64]) -> Iterator[Setting]:
    for low in range(len(EDGES) - 1):
        for high in range(low, len(EDGES) - 1):
            for k, count in enumerate(COUNTS.tolist()):
                outputs, tokens = tally[low, high, k].T.tolist()
                setting = Setting(
                    max_pattern_size=int(EDGES[high + 1]) - 1,
                    min_pattern_size=int(EDGES[low]),
                    min_count=count,
                    loops_stopped=sum(outputs[:-1]),
                    clean_stopped=outputs[-1],
                    tokens_saved=sum(tokens[:-1]),
                    tokens_cut=tokens[-1],
                    stopped_by_kind=dict(zip(KINDS, outputs, strict=False)),
                )
                if setting.work <= LARGEST_WORK:
                    yield setting
