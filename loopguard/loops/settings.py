"""The detector's thresholds: what each means, its unit, where it comes from; and the signature that names them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loopguard.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RULES_VERSION = 7
"""Goes up whenever a text can get another verdict under unchanged settings; part of every signature."""

_LENGTHS = (
    "min_wasted",
    "short_min_wasted",
    "few_wasted",
    "open_wasted",
    "open_letters",
    "stretch_score",
    "open_score",
    "counted_letters",
    "open_counted_letters",
    "list_again",
    "round_score",
    "sentence_again",
    "words_score",
    "words_open",
)
"""Lengths and scores that make a loop: the greater, the fewer loops."""
LIMITS, RULE = 34, 9
"""How many fields `rules.judge` takes, and how many there are behind them, for the kernels that read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """Thresholds of the detector. Lengths are bytes of UTF-8 for text; a token id counts as three bytes and two letters.

    Where no other source is named, a value comes from reading: 388 labelled outputs of 60 models and what the rule flags,
    or nearly flags, among 48,299 more (benchmarks/detector/reading.md).
    """

    min_copies: float = 3.5
    """Copies of a run inside the text. Said twice or three times is a refrain, a second version, a recap."""
    min_wasted: float = 300.0
    """Bytes after the first copy of a run inside the text; half as much again where it holds no letter. Five equal lines of
    music and the four parts of a regular expression stay below."""
    short_period: float = 8.0
    """Bytes up to which a period counts as short: rules, separators, padding, dots."""
    short_min_wasted: float = 200.0
    """Bytes after the first copy of a run with a short period. Rules are rarely 200 wide; in tables ten times as much is needed."""
    open_copies: float = 3.2
    """Copies of a run that the text ends in: of 133 such runs with 60 bytes and more nearly all were loops."""
    open_wasted: float = 70.0
    """Bytes after the first copy of a run that the text ends in."""
    open_letters: float = 40.0
    """Letters and digits after the first copy of a run that the text ends in."""
    open_gap: float = 20.0
    """Bytes that may follow a loop the text still counts as ending in: a closing fence, a torn word."""
    stretch_score: float = 480.0
    """Letters that must come back, less `new_cost` for each new one, in a stretch inside the text. This and `open_score` lie
    at the strict end of a flat optimum (benchmarks/detector/fit.py)."""
    open_score: float = 220.0
    """The same for a stretch that the text ends in."""
    run_share: float = 0.6
    """Share of a stretch that verbatim runs must cover for the stretch not to be named beside them."""
    plain_marks: float = 0.25
    """Symbols of a stretch that are no words (marks, numbers), as a share: below it the stretch is plain prose. People write
    tables, code and configuration in stretches that come back; prose that does is a loop on less (fit.py)."""
    plain_yield: float = 0.5
    """Score of a stretch over its letters, from which plain prose needs less: verses that count down stay below."""
    open_plain_marks: float = 0.45
    """As `plain_marks`, for a stretch that the text ends in."""
    open_plain_yield: float = 0.3
    """As `plain_yield`, for a stretch that the text ends in."""
    plain_factor: float = 0.7
    """Plain prose needs this much of `stretch_score` and `open_score`."""
    dense_marks: float = 0.5
    """Share of marks and numbers above which a stretch is code, markup or a table."""
    dense_yield: float = 0.5
    """Score over letters below which such a stretch says something new in every row."""
    dense_factor: float = 2.0
    """Such a stretch needs this much of `stretch_score` and `open_score`: headers, SQL and configuration that a program
    wrote stay below."""
    few_copies: float = 2.3
    """Copies of a run with a long way to go round: two whole ones, and well into the third."""
    few_wasted: float = 500.0
    """Bytes after the first copy of a run of few copies. All six outputs of outputs.parquet that only this rule flags are
    loops. A chorus or a line sung three times stays below; so does a second version, which is two copies."""
    counted_copies: float = 8.0
    """Turns of a run that goes on but for one number. Placeholders for six features are filled in by the reader."""
    counted_letters: float = 300.0
    """Letters after the first turn of such a run inside the text: of those in outputs.parquet that are no loops, at most 264."""
    open_counted_copies: float = 4.5
    """Turns of such a run that the text ends in: five, of which the first may lack its number."""
    open_counted_letters: float = 120.0
    """Letters after the first turn of such a run that the text ends in: ten lines of a program's output, "The answer is: 7",
    stay below."""
    counted_marks: float = 1.5
    """Letters for each mark in such a run: rows of a table, of code, have fewer."""
    list_again: float = 7.0
    """Items of one list, from their third copy, less `list_new_cost` for each new one. Fifty lines that were asked for and use
    some three times come to five."""
    round_score: float = 560.0
    """Letters that must come back for the third time, less `new_cost` for each new one, in prose that the text ends in. Of the
    outputs in outputs.parquet that only this rule flags all four are loops; a song with choruses comes to 546."""
    round_marks: float = 0.45
    """Symbols of such prose that are no words, as a share, at most: code that comes back three times has more."""
    round_yield: float = 0.55
    """Its score over its letters, at least: lesson plans and questions with the same answers stay below."""
    sentence_again: float = 10.0
    """Sentences near the end of the text, from their third copy, less `sentence_new_cost` for each new one. Of all outputs in
    outputs.parquet that nothing else flags one comes to seven, which is a loop, and none to eight."""
    words_score: float = 460.0
    """Letters of words that have come often lately, less those of new ones threefold, in prose inside the text. The highest of
    texts that are no loops are herbs that are dried one by one (456) and cubes that are added one by one (417)."""
    words_open: float = 260.0
    """The same at the end of the text: what a shop calls its goods in seven sizes comes to 243."""
    words_marks: float = 0.4
    """Symbols of such prose that are no words, as a share, at most."""
    stretch_copies: int = 4
    """Copies before a letter that comes back counts. Refrains and recaps come back three times."""
    new_cost: int = 6
    """What one new letter costs, in letters that came back: rows whose cells differ, questions that differ, stay at zero."""
    least_new: int = 4
    """A new word or number costs at least as much as this many letters."""
    reach: int = 3000
    """Bytes between one copy and the next in a stretch. A lesson plan per level, a second version come back from farther."""
    run_wasted: int = 40
    """Bytes after the first copy from which a run is measured at all."""
    list_distinct: int = 5
    """Different items that must come back in a list: a plan of two exercises, four chords, answers true and false have fewer."""
    list_new_cost: int = 6
    """What a new item costs, in items that came back: so many answers stand under each question of a survey."""
    sentence_distinct: int = 3
    """Different sentences that must come back."""
    sentence_new_cost: int = 3
    """What a new sentence or line costs, in sentences that came back."""

    @staticmethod
    def make(values: Mapping[str, float]) -> DetectorSettings:
        """Settings from a table such as a recipe's; InputError on an unknown name or a value that is no positive number."""
        types = {field.name: type(field.default) for field in dataclasses.fields(DetectorSettings)}
        for name, value in values.items():
            if name not in types:
                near = difflib.get_close_matches(name, types, n=3, cutoff=0.4) or list(types)
                raise InputError(f"unknown detector setting {name!r}; did you mean {', '.join(near)}?")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
                raise InputError(f"detector setting {name} must be a number above 0, not {value!r}")
            if types[name] is int and value != int(value):
                raise InputError(f"detector setting {name} must be a whole number, not {value!r}")
        return DetectorSettings(**{name: int(v) if types[name] is int else float(v) for name, v in values.items()})  # type: ignore[arg-type]

    def stricter(self, factor: float) -> DetectorSettings:
        """The same with every length and score that makes a loop multiplied by `factor`; copies stay as they are."""
        return dataclasses.replace(self, **{name: factor * getattr(self, name) for name in _LENGTHS})

    @property
    def at_least_default(self) -> bool:
        """Whether nothing is a loop under these that is none under the default ones: lengths and copies alone may be greater."""
        return all(
            getattr(self, f.name) == f.default
            or (getattr(self, f.name) > f.default and (f.name in _LENGTHS or f.name.endswith("copies")))
            for f in dataclasses.fields(self)
        )

    @property
    def signature(self) -> str:
        """The version of the rules and every setting that is not the default: put it beside published figures."""
        import loopguard

        parts = [
            f"{f.name}:{getattr(self, f.name):g}"
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != f.default
        ]
        return "|".join(
            [f"loopguard:{loopguard.__version__}", f"rules:{RULES_VERSION}", *(parts or ["settings:default"])]
        )

    def limits(self) -> NDArray[np.float64]:
        """What `rules.judge` takes: the fields up to `words_marks`."""
        import numpy as np  # here, for a recipe needs the names alone

        return np.array([getattr(self, f.name) for f in dataclasses.fields(self)[:LIMITS]], np.float64)

    def rule(self) -> NDArray[np.int64]:
        """What the kernels take that read: the fields from `stretch_copies`."""
        import numpy as np

        return np.array([getattr(self, f.name) for f in dataclasses.fields(self)[LIMITS:]], np.int64)
