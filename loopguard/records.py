"""The values that travel through loopguard: frozen, small, knowing nothing of files, engines or thresholds.

Prompt -> Candidate (with a Verdict of Loops, perhaps a Score) -> Pair or Skip
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from loopguard.loops.show import Shown

Message = dict[str, str]

LoopKind = Literal["verbatim", "counter", "near"]

TRUNCATED = ("length", "max_tokens", "repetition")
"""finish_reasons of a text that goes on beyond its end: no end-of-sequence token belongs there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One stretch of text that repeats. Positions are characters of the text (or tokens when token ids were given)."""

    kind: LoopKind
    """verbatim: the same again and again; counter: the same but for numbers; near: the same but for slots or order."""
    terminal: bool
    """True: the text ends inside the loop. False: it went on to something else (recovered)."""
    start: int
    """First position of the first copy."""
    end: int
    """One past the last repeated position."""
    period: int
    """Length of one copy; of a typical copy for counter and near."""
    repeats: float
    """Copies: (end - start) / period. 2.0 = said twice."""

    @property
    def wasted(self) -> int:
        """Length of everything after the first copy."""
        return max(0, self.end - self.start - self.period)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the detector says of one output, with its evidence."""

    looping: bool
    reason: str
    """The named reason: why it loops, or why not (`clean`, `empty`, ...). The names are listed in loops/detector.py."""
    loops: tuple[Loop, ...] = ()
    """The loops that led to the verdict, by start. Empty when not looping."""
    length: int = 0
    """Length of what was examined, in the unit of the spans."""
    unit: Literal["characters", "tokens"] = "characters"
    figures: Mapping[str, float] = field(default_factory=dict)
    """Raw measurements: the size in bytes and symbols, scores, how loud the loudest rule speaks (1 is a loop). Nought but for the
    bytes where a first look told the output clean (loops/glance.py); `Detector(in_full=True)` measures all."""
    signature: str = ""
    """Settings and version that gave this verdict."""

    @property
    def loop(self) -> Loop | None:
        """The loop that wastes most; None when not looping."""
        return max(self.loops, key=lambda loop: (loop.wasted, -loop.start), default=None)

    @property
    def onset(self) -> int | None:
        """Where the first loop starts; None when not looping."""
        return min((loop.start for loop in self.loops), default=None)

    @property
    def terminal(self) -> bool:
        """The output ends inside a loop."""
        return any(loop.terminal for loop in self.loops)

    @property
    def wasted_fraction(self) -> float:
        """Share of the output that repeats what was said: everything in a loop after its first copy. 0.0 to 1.0."""
        return min(1.0, sum(loop.wasted for loop in self.loops) / self.length) if self.length else 0.0

    def show(self, output: str | bytes | Sequence[int]) -> Shown:
        """The output with its loops marked and their repeats folded; shows itself in Jupyter, and as plain text."""
        from loopguard.loops.show import show

        return show(output, self)

    def _repr_html_(self) -> str:
        """For Jupyter: the verdict as a table. `show` has the text too."""
        from loopguard.loops.show import verdict_html

        return verdict_html(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt: a conversation that waits for the assistant."""

    prompt_id: str
    messages: tuple[Message, ...]
    row: int = 0
    """Row in the source, from 1: the line number of a JSONL file."""
    reference: str | None = None
    """The right answer, for judges that take one."""
    columns: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Other columns of its row that come along: see prompt_columns.py."""

    @staticmethod
    def make(messages: Sequence[Message] | str, *, row: int = 0, reference: str | None = None) -> Prompt:
        """A Prompt from a string (one user message) or messages, with its stable id."""
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        kept = tuple({"role": m["role"], "content": m["content"]} for m in messages)
        return Prompt(prompt_id=prompt_id(kept), messages=kept, row=row, reference=reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A judge's word on one candidate."""

    value: float
    """On the judge's scale; an expected value when it came from log-probabilities."""
    method: Literal["logprobs", "json", "integer"]
    mass: float | None = None
    """Share of the first token's probability that lay on the judge's labels; None without log-probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One answer to one prompt, with what became of it."""

    prompt_id: str
    index: int
    """0 .. samples - 1 for the samples, then the greedy one."""
    decoding: Literal["sampled", "greedy"]
    temperature: float
    top_p: float
    seed: int
    text: str
    """The whole assistant message, thinking text in its tags included: what is examined and trained on."""
    content: str
    reasoning: str = ""
    finish_reason: str
    """stop | length | repetition | ... as the engine said."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    merged_into: int | None = None
    """Index of the candidate with the same text, but for white space at the ends, which stands for this one."""
    verdict: Verdict | None = None
    score: Score | None = None
    judge_error: str | None = None
    """Why there is no score although the judge was asked."""

    @property
    def looping(self) -> bool:
        """The detector, or an engine that stopped it for repetition, calls this a loop."""
        return self.finish_reason == "repetition" or (self.verdict is not None and self.verdict.looping)

    @property
    def finished(self) -> bool:
        """The model ended it by itself."""
        return self.finish_reason in ("stop", "eos", "end_turn", "stop_sequence")

    @property
    def clean(self) -> bool:
        """May be shown to a judge: does not loop, says something, stands for itself."""
        return not self.looping and bool(self.content.strip()) and self.merged_into is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One row of preference data."""

    prompt: Prompt
    pair_index: int
    reason: Literal["loop", "score"]
    chosen: Candidate
    rejected: Candidate
    rejected_text: str
    """The rejected text as written: whole, or cut after k copies of its loop."""

    @property
    def trimmed(self) -> bool:
        """The rejected text was cut."""
        return self.rejected_text != self.rejected.text

    @property
    def margin(self) -> float | None:
        """Score of chosen minus score of rejected; None for loops, which no judge sees."""
        if self.chosen.score is None or self.rejected.score is None:
            return None
        return self.chosen.score.value - self.rejected.score.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Why a prompt gave no pair."""

    status: Literal["skipped", "failed"]
    """skipped: done, nothing to pair. failed: something was not answered; the next run asks again."""
    reason: str
    detail: str = ""


def prompt_id(messages: Sequence[Message]) -> str:
    """16 hex digits of the SHA-256 over the messages' canonical JSON: equal prompts have equal ids on every machine."""
    canonical = _CANONICAL([[m["role"], m["content"]] for m in messages])
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()[:16]


_CANONICAL = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
