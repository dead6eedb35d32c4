"""Text or token ids in, a Verdict with a named reason and spans out.

from loopguard.loops.detector import detect
detect("...").looping
"""

from __future__ import annotations

import gc
import math
import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopguard.errors import InputError
from loopguard.loops import batch, rules
from loopguard.loops.figures import Figures
from loopguard.loops.glance import ENOUGH
from loopguard.loops.machine import entries, make_ready
from loopguard.loops.settings import DetectorSettings
from loopguard.records import Loop, LoopKind, Verdict

REASONS = {
    "empty": "nothing to examine",
    "clean": "no stretch comes back often enough, for long enough, to be a loop",
    "repeats_verbatim": "the same stretch again and again, byte for byte",
    "repeats_short": "the same few characters again and again, or characters that are no letters and digits",
    "ends_repeating": "the text ends while it repeats the same stretch; fewer copies are enough there",
    "counts_on": "the same stretch again and again, but for numbers that advance by a constant step, or letters, Roman numerals or "
    "number words that count on",
    "recycles": "the same phrases come back in changing order or with changing slots, and nearly nothing new",
    "ends_recycling": "the text ends while the same phrases come back; less is enough there",
    "lists_again": "a list goes on with what it has listed twice before, in any order, and nearly nothing new",
}
"""Every reason a Verdict can give, and what it means. A looping one is that of the loop that wastes most."""

Tokens = Sequence[int] | NDArray[np.integer[Any]]
"""Token ids: any integers, also negative or huge ones."""

_KINDS: tuple[LoopKind, ...] = ("verbatim", "counter", "near")
_BY_RULE = {
    rules.RUN_OPEN: "ends_repeating",
    rules.RUN_SHORT: "repeats_short",
    rules.RUN_LONG: "repeats_verbatim",
    rules.STRETCH_RULE: "recycles",
    rules.STRETCH_OPEN: "ends_recycling",
    rules.COUNTING: "counts_on",
    rules.LIST: "lists_again",
}
_TEXT = (str, bytes, bytearray, memoryview)
_NEW: Any = object.__new__
_CHUNK = 1024
_SLICE = 512
"""Outputs at a time on one thread: a megabyte of text, less than a core's own cache."""


class Detector:
    """Says whether an output loops, where, and why. One instance may be used from many threads."""

    def __init__(self, *, settings: DetectorSettings | None = None, in_full: bool = False, **overrides: float) -> None:
        """Settings as a whole, or single thresholds by name; InputError on an unknown name or a bad value.

        Most outputs are told clean by a first look (glance.py). With `in_full` every output is examined in full and has all
        its figures; so it is under settings that are in anything looser than the default.
        """
        self.settings = settings if settings is not None and not overrides else DetectorSettings.make(overrides)
        self.signature = self.settings.signature + "|in_full" * in_full
        self.limits, self.rule = self.settings.limits(), self.settings.rule()
        self._thresholds = self.rule.tobytes(), self.limits.tobytes()
        self.in_full = in_full
        self.enough = 0 if in_full or not self.settings.at_least_default else ENOUGH

    def make_ready(self, tell: Callable[[str], None]) -> None:
        """Load or make the machine code now, not at the first output; `tell` is given a line for a person if that takes long."""
        make_ready(tell)

    def detect(self, text: str | bytes | Tokens, *, vocabulary: Sequence[bytes] | None = None) -> Verdict:
        """The verdict on one output. Text and bytes give spans in characters, token ids in tokens. Never raises on content.

        `vocabulary`, for token ids: the bytes of each id, as `loopguard.vocabulary(tokenizer)` gives them; see detect_tokens.
        """
        if isinstance(text, _TEXT):
            raw = to_utf8(text)
            return self._alone(0, raw, len(raw), "characters")
        if vocabulary is not None:
            return self.detect_tokens(text, vocabulary)
        ids = np.ascontiguousarray(to_ids(text))
        return self._alone(1, ids.ctypes.data, ids.size, "tokens")

    def _alone(self, way: int, values: bytes | int, size: int, unit: str) -> Verdict:
        """As `detect_batch` on one row, without making arrays for it: on a short text they take longer than the kernels."""
        room = _room(size)
        room.ends[1] = size
        self._find(way, 0, 1, room.ends_at, values, room.figures_at, room.loops_at, room)
        row = room.figures[0].tolist()
        return self.verdict(row, room.loops[: row[batch.COUNT]].tolist() if row[batch.COUNT] else (), unit)

    def _find(
        self,
        way: int,
        low: int,
        high: int,
        offsets: int,
        values: bytes | int,
        figures: int,
        loops: int,
        room: batch.Workspace,
    ) -> None:
        """The way for texts, 0, or that for token ids, 1, on the rows `low` to `high`; arrays by their addresses."""
        entry = entries()[way]
        entry(low, high, offsets, values, self.enough, *self._thresholds, figures, loops, *room.for_entry)

    def detect_tokens(self, ids: Tokens, vocabulary: Sequence[bytes]) -> Verdict:
        """The verdict on token ids whose bytes are known: that on their text, with spans in tokens.

        Without a vocabulary `detect` sees only which ids are equal: it cannot tell words from punctuation, nor read numbers,
        so structured data and counters are judged less well. `vocabulary[id]` is the token's bytes, decoded (no "Ġ"). An id
        that the vocabulary does not hold stands for itself, like a word of its own.
        """
        pieces = [_piece(int(token), vocabulary) for token in ids]
        found = self.detect(b"".join(pieces))
        begins = np.cumsum([0, *(sum((byte & 0xC0) != 0x80 for byte in piece) for piece in pieces)])

        def token(position: int) -> int:
            return int(np.searchsorted(begins[:-1], position, side="right")) - 1 if position else 0

        loops = []
        for loop in found.loops:
            start, end = token(loop.start), token(loop.end - 1) + 1
            period = max(1, token(loop.start + loop.period) - start)
            loops.append(replace(loop, start=start, end=end, period=period, repeats=(end - start) / period))
        return replace(found, loops=tuple(loops), length=len(pieces), unit="tokens")

    def detect_batch(self, texts: Iterable[str | bytes | Tokens], *, threads: int = 1) -> list[Verdict]:
        """The verdicts on many outputs, in order; the same as `detect` on each. `threads` 0: one for each core."""
        rows = list(texts)
        step = _SLICE if threads == 1 else max(1, len(rows))  # a slice and its verdicts stay in the cache
        # so many objects, none in a circle, and the interpreter would look through all of the process for circles
        collects = gc.isenabled()
        gc.disable()
        try:
            return [v for at in range(0, len(rows), step) for v in self._slice(rows[at : at + step], threads)]
        finally:
            if collects:
                gc.enable()

    def _slice(self, rows: list[str | bytes | Tokens], threads: int) -> list[Verdict]:
        kinds = set(map(type, rows))
        if kinds <= {str}:
            return self._verdicts(*self.scan(*_joined(rows), threads=threads), "characters")
        if not any(issubclass(kind, _TEXT) for kind in kinds):
            return self._tokens(rows, threads)
        is_text = [isinstance(row, _TEXT) for row in rows]
        texts = self._texts([to_utf8(row) for row, text in zip(rows, is_text, strict=True) if text], threads)
        tokens = self._tokens([row for row, text in zip(rows, is_text, strict=True) if not text], threads)
        if not texts or not tokens:
            return texts or tokens
        in_turn = {True: iter(texts), False: iter(tokens)}
        return [next(in_turn[text]) for text in is_text]

    def _texts(self, raw: list[bytes], threads: int) -> list[Verdict]:
        return self._verdicts(*self.scan(*_laid_out(raw), threads=threads), "characters")

    def _tokens(self, rows: list[Any], threads: int) -> list[Verdict]:
        arrays = set(map(type, rows)) == {np.ndarray}
        kinds = {(row.ndim, row.dtype) for row in rows} if arrays else set()
        if kinds and all(ndim == 1 and kind.kind in "iub" and kind != np.uint64 for ndim, kind in kinds):
            ids, values = rows, np.concatenate(rows, dtype=np.int64).view(np.uint64)  # joined and widened in one go
        else:
            ids = [to_ids(row) for row in rows]
            values = np.concatenate([_NO_IDS, *ids])
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        return self._verdicts(*self.scan(offsets, values, threads=threads), "tokens")

    def scan(
        self, offsets: NDArray[np.int64], values: NDArray[np.uint8] | NDArray[np.uint64], *, threads: int = 1
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Raw figures and loops of many outputs without a Verdict each: the fast way, laid out as Arrow lays out strings.

        Row i is values[offsets[i]:offsets[i + 1]]: UTF-8 as uint8, token ids as uint64. Returns the figures (one row per
        output, columns of `batch`) and the loops of all rows one after the other (columns of `rules`).
        """
        offsets, given = np.ascontiguousarray(offsets), np.ascontiguousarray(values)
        way = 0 if values.dtype == np.uint8 else 1
        rows = offsets.size - 1
        figures = np.zeros((rows, batch.FIGURES), np.int64)
        longest = int(np.diff(offsets).max(initial=0))
        workers = min(threads or os.cpu_count() or 1, -(-rows // _CHUNK)) or 1
        parts: list[NDArray[np.int64]] = [_NO_LOOPS] * -(-rows // _CHUNK)

        def work(worker: int) -> None:
            room = _room(longest)
            loops = np.zeros((min(rows, _CHUNK) * rules.LOOPS, rules.LOOP), np.int64)
            for part in range(worker, len(parts), workers):
                low, high = part * _CHUNK, min(rows, (part + 1) * _CHUNK)
                self._find(
                    way,
                    low,
                    high,
                    offsets.ctypes.data,
                    given.ctypes.data,
                    figures.ctypes.data,
                    loops.ctypes.data,
                    room,
                )
                parts[part] = loops[: figures[low:high, batch.COUNT].sum()].copy()

        if workers == 1:
            work(0)
        else:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(work, range(workers)))
        return figures, np.concatenate(parts) if parts else _NO_LOOPS

    def calibrate(self, clean_texts: Iterable[str | bytes | Tokens], *, max_flagged: float = 0.01) -> Detector:
        """A detector, at least as strict as this one, that flags at most `max_flagged` of outputs like these.

        Split conformal: every text gets its loudness, the factor by which the length thresholds would have to grow for it not
        to be flagged; all of them are multiplied by the ceil((n + 1) (1 - max_flagged))-th smallest of the n. If a new clean
        text is exchangeable with the n (drawn like them, and none of them was used for anything else), it is flagged with a
        probability of at most `max_flagged`, on average over the draw of the n, whatever the texts look like. It says
        nothing on texts of another kind. InputError when there are fewer than 1 / max_flagged - 1 texts.
        """
        if not 0 < max_flagged < 1:
            raise InputError(f"max_flagged must lie between 0 and 1, not {max_flagged}")
        loud = sorted(verdict.figures["loudness"] for verdict in self.detect_batch(clean_texts))
        rank = math.ceil((len(loud) + 1) * (1 - max_flagged))
        if rank > len(loud):
            needed = math.ceil(1 / max_flagged) - 1
            raise InputError(f"calibration to {max_flagged} needs at least {needed} clean texts, got {len(loud)}")
        stricter = self.settings.stricter(max(1.0, loud[rank - 1] + 2e-6))
        return Detector(settings=stricter, in_full=self.in_full)

    def _verdicts(self, figures: NDArray[np.int64], loops: NDArray[np.int64], unit: str) -> list[Verdict]:
        verdicts, at = [], 0
        spans = loops.tolist()
        for row in zip(*figures.T.tolist(), strict=True):
            count = row[batch.COUNT]
            verdicts.append(self.verdict(row, spans[at : at + count] if count else (), unit))
            at += count
        return verdicts

    def verdict(self, row: Sequence[int], found: Sequence[list[int]], unit: Any) -> Verdict:
        """A row of figures and its loops as a Verdict."""
        made: Any = _Draft()
        if found:
            made.looping, made.reason = True, _reason(found)
            made.loops = tuple([_loop(*loop) for loop in sorted(found, key=_start)])
        else:
            made.looping, made.reason, made.loops = False, "clean" if row[batch.LENGTH] else "empty", ()
        made.length = row[batch.LENGTH]
        made.unit = unit
        made.figures = figures = _NEW(Figures)
        figures.row = row
        made.signature = self.signature
        made.__class__ = Verdict
        verdict: Verdict = made
        return verdict


class _Draft:
    """A Verdict that is not frozen yet: to fill its slots takes half the time of a frozen class's own __init__, once an output."""

    __slots__ = tuple(field.name for field in fields(Verdict))


def _start(loop: list[int]) -> int:
    return loop[rules.START]


def _loop(kind: int, start: int, end: int, period: int, terminal: int, _rule: int) -> Loop:
    return Loop(
        kind=_KINDS[kind],
        terminal=bool(terminal),
        start=start,
        end=end,
        period=period,
        repeats=(end - start) / period,
    )


def _reason(found: Sequence[list[int]]) -> str:
    most = max(found, key=lambda loop: loop[rules.END] - loop[rules.START] - loop[rules.PERIOD])
    return "counts_on" if most[rules.KIND] == rules.COUNTER else _BY_RULE[most[rules.RULE]]


def to_utf8(text: object) -> bytes:
    """The bytes that are examined: UTF-8, lone surrogates let through."""
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)  # type: ignore[call-overload]


def to_ids(tokens: Tokens) -> NDArray[np.uint64]:
    """Token ids as 64 bits each; only equality counts, so negative and huge ones are folded in."""
    try:
        array = np.asarray(tokens)
        if array.dtype.kind in "iub":
            return array.ravel().astype(np.int64).view(np.uint64) if array.dtype != np.uint64 else array.ravel()
    except (OverflowError, ValueError):
        pass
    return np.array([int(token) & 0xFFFFFFFFFFFFFFFF for token in tokens], np.uint64)


def _joined(texts: list[Any]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Strings as Arrow lays them out. Where pyarrow is at hand it does so itself, in a third of the time."""
    if "pyarrow" in sys.modules:
        from pyarrow import array, large_string

        from loopguard.loops.arrow import rows

        try:
            return rows(array(texts, large_string()))
        except UnicodeEncodeError:  # lone surrogates
            pass
    return _laid_out([text.encode("utf-8", "surrogatepass") for text in texts])


def _laid_out(raw: list[bytes]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The same of bytes."""
    return np.cumsum([0, *map(len, raw)], dtype=np.int64), np.frombuffer(b"".join(raw), np.uint8)


def _piece(token: int, vocabulary: Sequence[bytes]) -> bytes:
    """The bytes of an id; those of an unknown one spell it out."""
    return vocabulary[token] if 0 <= token < len(vocabulary) else f"<id {token}>".encode()


def detect(text: str | bytes | Tokens, *, vocabulary: Sequence[bytes] | None = None) -> Verdict:
    """The verdict of the default detector on one output; `vocabulary` as for `Detector.detect`."""
    return _DEFAULT.detect(text, vocabulary=vocabulary)


def _room(longest: int) -> batch.Workspace:
    """This thread's workspace, kept from call to call up to texts of 16 MB; only what was written takes memory."""
    room: batch.Workspace | None = getattr(_KEPT, "room", None)
    if room is None or room.longest < longest:
        room = batch.Workspace(max(longest, 1 << 14))
        if longest <= 1 << 24:
            _KEPT.room = room
    return room


_KEPT = threading.local()
_NO_LOOPS = np.zeros((0, rules.LOOP), np.int64)
_NO_IDS = np.zeros(0, np.uint64)
_DEFAULT = Detector()
