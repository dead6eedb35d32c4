"""Text or token ids in, a Verdict with a named reason and spans out.

    from loopguard.loops.detector import detect
    detect("...").looping
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from loopguard.loops.repetition import previous, runs
from loopguard.loops.settings import DetectorSettings
from loopguard.loops.words import MARK, NUMBER, WORD, split
from loopguard.records import Loop, LoopKind, Verdict

REASONS = {
    "empty": "nothing to examine",
    "clean": "no stretch comes back often enough, or for long enough, to be a loop",
    "repeats_verbatim": "the same stretch again and again, symbol for symbol",
    "counts_on": "the same stretch again and again but for numbers",
}
"""Every reason a Verdict can give, and what it means."""

Tokens = Sequence[int] | NDArray[np.integer]

_GRAM = 4
_NUMBER = np.uint64(0x5851F42D4C957F2D)


class Detector:
    """Says whether an output loops, where, and why. One instance may be used from many threads."""

    def __init__(self, *, settings: DetectorSettings | None = None, **overrides: float) -> None:
        """Settings as a whole, or single thresholds by name; InputError on an unknown name."""
        self.settings = settings if settings is not None and not overrides else DetectorSettings.make(overrides)

    @property
    def signature(self) -> str:
        """Settings and version; every Verdict carries it."""
        return self.settings.signature

    def detect(self, text: str | bytes | Tokens) -> Verdict:
        """The verdict on one output. Text and bytes give spans in characters, token ids in tokens. Never raises on content."""
        if isinstance(text, str | bytes | bytearray | memoryview):
            raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
            return self._text(np.frombuffer(raw, np.uint8))
        return self._tokens(_ids(text))

    def detect_batch(self, texts: Iterable[str | bytes | Tokens]) -> list[Verdict]:
        """The verdicts on many outputs, in order; the same as `detect` on each."""
        return [self.detect(text) for text in texts]

    def _text(self, data: NDArray[np.uint8]) -> Verdict:
        symbols, kinds = np.empty(data.size, np.uint64), np.empty(data.size, np.uint8)
        starts = np.empty(data.size + 1, np.int64)
        count = split(data, symbols, kinds, starts)
        starts[count] = data.size
        characters = np.concatenate(([0], np.cumsum((data & 0xC0) != 0x80)))
        return self._judge(symbols[:count], kinds[:count], starts[: count + 1], characters, "characters")

    def _tokens(self, ids: NDArray[np.uint64]) -> Verdict:
        starts = np.arange(ids.size + 1, dtype=np.int64) * 4
        kinds = np.full(ids.size, WORD, np.uint8)
        return self._judge(ids, kinds, starts, np.repeat(np.arange(ids.size + 1), 4), "tokens")

    def _judge(self, symbols, kinds, starts, units, unit) -> Verdict:  # type: ignore[no-untyped-def]
        length = int(units[starts[-1]])
        loops = self._loops(symbols, kinds, starts, units, "verbatim")
        if not loops and (kinds == NUMBER).any():
            loops = self._loops(np.where(kinds == NUMBER, _NUMBER, symbols), kinds, starts, units, "counter")
        reason = {"verbatim": "repeats_verbatim", "counter": "counts_on"}[loops[0].kind] if loops else "clean"
        return Verdict(
            looping=bool(loops),
            reason=reason if length else "empty",
            loops=tuple(loops),
            length=length,
            unit=unit,
            signature=self.signature,
        )

    def _loops(self, symbols, kinds, starts, units, kind: LoopKind) -> list[Loop]:  # type: ignore[no-untyped-def]
        s = self.settings
        found = []
        distance, _ = previous(symbols, _GRAM)
        for begin, end, period in runs(symbols, distance, _GRAM, _GRAM):
            span, length = starts[begin + period] - starts[begin], starts[end] - starts[begin]
            wasted = s.short_min_wasted if span <= s.short_period else s.min_wasted
            if length < s.min_copies * span or length - span < wasted:
                continue
            if kind == "counter" and not (kinds[begin : begin + period] == WORD).any():
                continue
            if (kinds[begin : begin + period] == MARK).all() and length - span < s.short_min_wasted:
                continue
            first, last, once = units[starts[begin]], units[starts[end]], units[starts[begin + period]]
            found.append(
                Loop(
                    kind=kind,
                    terminal=bool(starts[-1] - starts[end] <= max(span, 20)),
                    start=int(first),
                    end=int(last),
                    period=int(once - first),
                    repeats=float((last - first) / (once - first)),
                )
            )
        return found


def _ids(tokens: Tokens) -> NDArray[np.uint64]:
    try:
        array = np.asarray(tokens)
        if array.dtype.kind in "iub":
            return array.astype(np.int64, copy=False).astype(np.uint64).ravel()
    except (OverflowError, ValueError):
        pass
    return np.array([int(t) & 0xFFFFFFFFFFFFFFFF for t in tokens], np.uint64)


def detect(text: str | bytes | Tokens) -> Verdict:
    """The verdict of the default detector on one output."""
    return _DEFAULT.detect(text)


_DEFAULT = Detector()
