"""The figures of one output, by name: made a dict of only where somebody asks, for most verdicts nobody does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from loopguard.loops.batch import BYTES, LOUD, OPEN_SCORE, RUN_BYTES, STRETCH_SCORE, SYMBOLS

_COLUMNS = {
    "bytes": BYTES,
    "symbols": SYMBOLS,
    "stretch_score": STRETCH_SCORE,
    "open_score": OPEN_SCORE,
    "run_wasted": RUN_BYTES,
    "loudness": LOUD,
}


class Figures(Mapping[str, float]):
    """`Verdict.figures`: a row of what the kernels write (columns of `batch`), read like a dict."""

    __slots__ = ("row",)

    def __init__(self, row: Sequence[int]) -> None:
        self.row = row

    def __getitem__(self, name: str) -> float:
        found = self.row[_COLUMNS[name]]
        return found / 1e6 if name == "loudness" else found

    def __iter__(self) -> Iterator[str]:
        return iter(_COLUMNS)

    def __len__(self) -> int:
        return len(_COLUMNS)

    def __repr__(self) -> str:
        return repr(dict(self))
