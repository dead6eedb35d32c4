"""From judged candidates to pairs, or the named reason why there is none. Pure functions: no engine, no files.

What holds whatever the rules say: a looping candidate is never chosen; chosen is clean, finished and not empty; chosen
and rejected are never equal; where anything loops, the rejected one loops.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from loopguard.prefs.recipe import PairingSection
from loopguard.records import Candidate, Pair, Prompt, Skip

SKIP_REASONS = {
    "all_looping": "whatever says anything loops: nothing could be chosen",
    "all_empty": "no candidate says anything",
    "none_finished": "no clean candidate came to an end by itself: nothing could be chosen",
    "all_equal": "the clean candidates are all the same text, and none loops",
    "one_candidate": "only one clean candidate, and none loops",
    "no_judge": "nothing loops, and the recipe has no judge to tell the candidates apart",
    "unscored": "the judge gave no score that could be read to the candidates that matter",
    "tie": "the judge scored best and worst the same",
    "none_worse": "the best that came to an end scores lowest: what scores higher was cut off",
    "small_margin": "best and worst are closer than min_margin",
    "second_look": "seen side by side in both orders, the best was not preferred both times",
    "prompt_too_long": "the prompt does not fit the model's context",
    "not_answered": "a request failed after all retries; the next run asks again",
    "broken_row": "the row holds no prompt that can be asked",
}
"""Every reason of a prompt without a pair (rows of the prompts file have reasons of their own, see sources.py)."""


def merge_equal(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The same candidates, all but one of equal text marked with the index of that one, which stands for them.

    Equal: but for white space at the ends, unless one of them loops in it. Of equals, the first that the model ended by
    itself stands for the others, else the first.
    """
    leader: dict[tuple[bool, str], Candidate] = {}
    for candidate in candidates:
        known = leader.get(_same(candidate))
        if known is None or (candidate.finished and not known.finished):
            leader[_same(candidate)] = candidate
    leaders = [leader[_same(candidate)] for candidate in candidates]
    return [
        c if first is c else dataclasses.replace(c, merged_into=first.index)
        for c, first in zip(candidates, leaders, strict=True)
    ]


def _same(candidate: Candidate) -> tuple[bool, str]:
    return candidate.looping, candidate.text.strip()


def make_pairs(
    prompt: Prompt, candidates: Sequence[Candidate], rules: PairingSection, *, judged: bool = True
) -> list[Pair] | Skip:
    """The pairs of one prompt, at most `max_pairs_per_prompt`, or why there are none.

    `judged` False: the recipe has no judge, so loops are paired with the first clean candidate, and nothing else is.
    """
    looping = [c for c in candidates if c.looping and c.merged_into is None]
    clean = [c for c in candidates if c.clean]
    if not clean:
        return _skip("all_looping" if looping else "all_empty", _how_many(candidates))
    if not looping and len(clean) == 1:
        same = any(c.merged_into == clean[0].index for c in candidates)
        return _skip("all_equal" if same else "one_candidate")
    best = _best(clean, judged=judged, alone_will_do=bool(looping))
    if isinstance(best, Skip):
        return best
    if looping:
        return _against_loops(prompt, best, looping, rules)
    if not judged:
        return _skip("no_judge")
    return _by_score(prompt, best, clean, rules)


def _best(clean: Sequence[Candidate], *, judged: bool, alone_will_do: bool) -> Candidate | Skip:
    """The one to choose: highest score, then lowest index, among those that ended by themselves.

    `alone_will_do`: where there is one only, nothing is compared, and it needs no score.
    """
    finished = [c for c in clean if c.finished]
    if not finished:
        return _skip("none_finished")
    if not judged or (alone_will_do and len(finished) == 1):
        return finished[0]
    scored = [c for c in finished if c.score is not None]
    if not scored:
        return _skip("unscored", _judge_error(finished))
    return max(scored, key=lambda c: (_value(c), -c.index))


def _against_loops(prompt: Prompt, best: Candidate, looping: Sequence[Candidate], rules: PairingSection) -> list[Pair]:
    """The best against the loops that waste most; loops that are one text once they are trimmed give one pair."""
    pairs: dict[str, Pair] = {}
    for candidate in sorted(looping, key=lambda c: (-_waste(c), c.index)):
        pair = _pair(prompt, len(pairs), best, candidate, rules)
        if len(pairs) < rules.max_pairs_per_prompt:
            pairs.setdefault(pair.rejected_text.strip(), pair)
    return list(pairs.values())


def _by_score(prompt: Prompt, best: Candidate, clean: Sequence[Candidate], rules: PairingSection) -> list[Pair] | Skip:
    """The best against the worst, then the second worst, as far as the margin goes."""
    others = [c for c in clean if c is not best]
    scored = sorted((c for c in others if c.score is not None), key=lambda c: (_value(c), c.index))
    if not scored:
        return _skip("unscored", _judge_error(others))
    widest = _margin(best, scored[0])
    if widest <= 0:
        reason = "none_worse" if widest < 0 else "tie"
        return _skip(reason, f"best finished at {_value(best):.3f}, worst other at {_value(scored[0]):.3f}")
    far = [c for c in scored if _margin(best, c) >= rules.min_margin and _margin(best, c) > 0]
    if not far:
        return _skip("small_margin", f"{widest:.3f} < {rules.min_margin:g}")
    return [_pair(prompt, k, best, c, rules) for k, c in enumerate(far[: rules.max_pairs_per_prompt])]


def _pair(prompt: Prompt, k: int, chosen: Candidate, rejected: Candidate, rules: PairingSection) -> Pair:
    text = trim(rejected, rules.trim_loops)
    if text.strip() == chosen.text.strip():
        text = rejected.text  # trimmed, it says what the chosen one says
    return Pair(
        prompt=prompt,
        pair_index=k,
        reason="loop" if rejected.looping else "score",
        chosen=chosen,
        rejected=rejected,
        rejected_text=text,
    )


def trim(candidate: Candidate, copies: int) -> str:
    """The candidate's text up to the end of the given number of copies of its worst loop; 0 keeps it whole.

    A loop shorter than that stays whole. So does a text whose loops are told in tokens.
    """
    verdict = candidate.verdict
    loop = verdict.loop if verdict and verdict.unit == "characters" else None
    if not copies or loop is None or loop.repeats <= copies:
        return candidate.text
    return candidate.text[: loop.start + copies * loop.period]


def _skip(reason: str, detail: str = "") -> Skip:
    return Skip(status="skipped", reason=reason, detail=detail)


def _how_many(candidates: Sequence[Candidate]) -> str:
    looping = sum(c.looping for c in candidates)
    return f"{looping} of {len(candidates)} loop, the others are empty" if 0 < looping < len(candidates) else ""


def _judge_error(candidates: Sequence[Candidate]) -> str:
    return next((c.judge_error for c in candidates if c.judge_error), "")


def _waste(candidate: Candidate) -> int:
    return candidate.verdict.loop.wasted if candidate.verdict and candidate.verdict.loop else 0


def _value(candidate: Candidate) -> float:
    assert candidate.score is not None
    return candidate.score.value


def _margin(best: Candidate, other: Candidate) -> float:
    """Score difference, without the last digits' noise: 3.3 - 3.05 is 0.25."""
    return round(_value(best) - _value(other), 9)
