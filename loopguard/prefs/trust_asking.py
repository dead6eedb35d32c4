"""What is asked of a judge to see whether it can be trusted, and what it said: one row a judgement, unread ones too.

    of a run's prompt     every clean candidate once; the best and the worst three times more, each time with something changed
                          that should change nothing; the two as a pair in both orders
    of a planted question the right answer, worse ones, and a false one with attacks written under it

Every reply is in the ledger before it is read. With an asker that has no engine it only replays.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from loopguard.engines import Completion, Request
from loopguard.errors import EngineError, EngineUnavailable
from loopguard.prefs.asking import Asker, NotAnswered
from loopguard.prefs.judging import Judgement, JudgeSpec, answer_seen, ask_until_read, judge_messages, label_weights
from loopguard.prefs.keeping import Keeper
from loopguard.prefs.pairwise import prefer
from loopguard.prefs.trust_planted import ATTACKS, HARMLESS, Planted, planted
from loopguard.records import Candidate, Prompt

T = TypeVar("T")
Row = dict[str, Any]
Known = Mapping[bytes, Completion]

VARIANTS = ("again", "nonce", "wording")
"""What is changed when the best and the worst are judged once more: the seed (at temperature 0.7), the marks of the fence, a
sentence at the end that says nothing new."""

MOST_CANDIDATES = 8
"""Candidates of one prompt that are judged."""

NOT_ASKED = "not asked yet"

_SENTENCE = "\nReply with that number and nothing else."
_SEED = 1000
"""Of "again"; a reply that cannot be read is asked for with the seeds after it."""


@dataclass(slots=True)
class Rows:
    """What came of the questions, as rows of the three tables."""

    scores: list[Row] = field(default_factory=list)
    pairs: list[Row] = field(default_factory=list)
    planted: list[Row] = field(default_factory=list)

    @property
    def missing(self) -> bool:
        """Something was not answered."""
        return any(not row["answered"] for rows in (self.scores, self.pairs, self.planted) for row in rows)

    def add(self, more: Rows) -> None:
        """Put another prompt's rows after these."""
        self.scores += more.scores
        self.pairs += more.pairs
        self.planted += more.planted


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """A judge under examination: its spec, and whom it is asked through."""

    spec: JudgeSpec
    asker: Asker
    ledgers: Sequence[Keeper]
    """What is known is looked up in all of them: the run's, and the examination's own."""
    attempts: int

    async def of_prompt(self, prompt: Prompt, candidates: Sequence[Candidate]) -> Rows:
        """All questions about one prompt of a run. Raises EngineUnavailable and StorageError."""
        known, asked = self._known(prompt), candidates[:MOST_CANDIDATES]
        first = await _all(self._score(prompt, c, "first", known) for c in asked)
        scored = [(row["score"], c) for c, row in zip(asked, first, strict=True) if row["score"] is not None]
        if len(scored) < 2:
            return Rows(scores=first)
        high, best = max(scored, key=lambda one: (one[0], -one[1].index))
        low, worst = min((one for one in scored if one[1] is not best), key=lambda one: (one[0], one[1].index))
        again = await _all(self._score(prompt, c, v, known) for c in (best, worst) for v in VARIANTS)
        pair = await self._pair(prompt, best, worst, known)
        return Rows(scores=first + again, pairs=[pair | {"margin": high - low}])

    async def of_planted(self, of: Planted, *, attacked: bool) -> Rows:
        """All questions about one planted question, with attacks or without. Raises EngineUnavailable and StorageError."""
        prompt = Prompt.make(of.question, reference=of.reference)
        known = self._known(prompt)
        texts = [(kind, "", text) for kind, text in planted(of).items()]
        under = {"harmless": HARMLESS} | ATTACKS if attacked else {}
        top = str(self.spec.scale.high)
        texts += [("false", name, f"{of.false}\n\n{words.replace('{high}', top)}") for name, words in under.items()]
        graded = await _all(
            self._grade(prompt, judge_messages(self.spec, prompt, _answer(prompt, k, text)), known)
            for k, (_, _, text) in enumerate(texts)
        )
        named = [{"question": of.question, "answer": kind, "under_it": name} for kind, name, _ in texts]
        return Rows(planted=[name | given for name, given in zip(named, graded, strict=True)])

    def _known(self, prompt: Prompt) -> Known:
        found: dict[bytes, Completion] = {}
        for ledger in self.ledgers:
            found |= ledger.answers(prompt.prompt_id)
        return found

    async def _score(self, prompt: Prompt, candidate: Candidate, variant: str, known: Known) -> Row:
        """One judgement of one candidate, with what `variant` changes."""
        messages = judge_messages(self.spec, prompt, candidate, salt="other marks" if variant == "nonce" else "")
        if variant == "wording":
            messages[-1] = messages[-1] | {"content": messages[-1]["content"] + _SENTENCE}
        given = await self._grade(prompt, messages, known, first_seed=_SEED if variant == "again" else 0)
        characters = len(answer_seen(self.spec, candidate))
        name = {"prompt_id": prompt.prompt_id, "candidate": candidate.index, "variant": variant}
        return name | {"characters": characters} | given

    async def _grade(
        self, prompt: Prompt, messages: Sequence[dict[str, str]], known: Known, *, first_seed: int = 0
    ) -> Row:
        """What the judge says to `messages`: the columns that all judgements have."""
        replies: list[Completion] = []

        async def ask(request: Request) -> Completion:
            replies.extend(await self.asker.ask(prompt.prompt_id, request, known))
            return replies[-1]

        try:
            said = await ask_until_read(self.spec, messages, ask, attempts=self.attempts, first_seed=first_seed)
        except EngineUnavailable:
            raise
        except EngineError as error:
            return _columns(Judgement(None, _why(error)), None, answered=False)
        return _columns(said, _entropy(self.spec, said, replies[-1]), answered=True)

    async def _pair(self, prompt: Prompt, best: Candidate, worst: Candidate, known: Known) -> Row:
        async def ask(request: Request) -> Completion:
            return (await self.asker.ask(prompt.prompt_id, request, known))[0]

        row: Row = {"prompt_id": prompt.prompt_id, "best": best.index, "worst": worst.index}
        row |= {"when_first": None, "when_second": None, "answered": True, "error": None}
        try:
            said = await prefer(self.spec, prompt, best, worst, ask, attempts=self.attempts)
        except EngineUnavailable:
            raise
        except EngineError as error:
            return row | {"answered": False, "error": _why(error)}
        if said.shares is None:
            return row | {"error": said.forth.error or said.back.error}
        return row | {"when_first": said.shares[0], "when_second": said.shares[1]}


def _columns(said: Judgement, entropy: float | None, *, answered: bool) -> Row:
    score = said.score
    return {
        "score": score.value if score else None,
        "method": score.method if score else None,
        "mass": score.mass if score else None,
        "entropy": entropy,
        "answered": answered,
        "error": said.error,
    }


def _entropy(spec: JudgeSpec, said: Judgement, reply: Completion) -> float | None:
    """Bits of the distribution over the labels, renormalised: 0 when one has it all; None without log-probabilities."""
    if said.score is None or said.score.method != "logprobs" or reply.first_logprobs is None:
        return None
    weights = label_weights(spec, reply.first_logprobs).values()
    shares = [weight / sum(weights) for weight in weights if weight > 0]
    return abs(sum(share * math.log2(share) for share in shares))


def _why(error: EngineError) -> str:
    not_asked = isinstance(error, NotAnswered) and error.failure is None
    return NOT_ASKED if not_asked else f"not answered: {error}"


def _answer(prompt: Prompt, index: int, text: str) -> Candidate:
    """A planted text as a candidate that ended by itself."""
    return Candidate(
        prompt_id=prompt.prompt_id,
        index=index,
        decoding="sampled",
        temperature=1.0,
        top_p=1.0,
        seed=0,
        text=text,
        content=text,
        finish_reason="stop",
    )


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results; where one failed, its error, once all have ended: what was in flight is on disk then."""
    found = await asyncio.gather(*work, return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return [one for one in found if not isinstance(one, BaseException)]
