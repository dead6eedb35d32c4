"""From judged candidates to pairs, or the named reason why there is none. Pure functions: no engine, no files.

What holds whatever the rules say: a looping candidate is never chosen; chosen is clean, finished and not empty; chosen and
rejected are never equal; where anything loops, the rejected one loops.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from loopguard.prefs.recipe import PairingSection
from loopguard.records import Candidate, Pair, Prompt, Skip

SKIP_REASONS = {
    "all_looping": "every candidate loops: nothing could be chosen",
    "all_empty": "no candidate says anything",
    "none_finished": "no clean candidate came to an end by itself: nothing could be chosen",
    "all_equal": "the clean candidates are all the same text, and none loops",
    "one_candidate": "only one clean candidate, and none loops",
    "no_judge": "nothing loops, and the recipe has no judge to tell the candidates apart",
    "unscored": "the judge gave no score that could be read to the candidates that matter",
    "tie": "the judge scored best and worst the same",
    "small_margin": "best and worst are closer than min_margin",
    "prompt_too_long": "the prompt does not fit the model's context",
    "not_answered": "a request failed after all retries; the next run asks again",
    "broken_row": "the row holds no prompt that can be asked",
}
"""Every reason of a prompt without a pair (rows of the prompts file have reasons of their own, see sources.py)."""


def merge_equal(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The same candidates, later ones of equal text marked with the index of the first, which stands for them.

    Of equal texts, one that the model ended by itself stands for the others.
    """
    leader: dict[str, Candidate] = {}
    for candidate in candidates:
        known = leader.get(candidate.text)
        if known is None or (candidate.finished and not known.finished):
            leader[candidate.text] = candidate
    return [
        c if leader[c.text] is c else dataclasses.replace(c, merged_into=leader[c.text].index) for c in candidates
    ]


def make_pairs(
    prompt: Prompt, candidates: Sequence[Candidate], rules: PairingSection, *, judged: bool = True
) -> list[Pair] | Skip:
    """The pairs of one prompt, at most `max_pairs_per_prompt`, or why there are none.

    `judged` False: the recipe has no judge, so loops are paired with the first clean candidate and nothing else is paired.
    """
    distinct = [c for c in candidates if c.merged_into is None]
    looping = [c for c in distinct if c.looping]
    clean = [c for c in distinct if c.clean]
    if not clean:
        return Skip(status="skipped", reason="all_looping" if looping else "all_empty")
    best = _best(clean, judged=judged)
    if isinstance(best, Skip):
        return best
    if looping:
        looping.sort(key=lambda c: (-_waste(c), c.index))
        return [_pair(prompt, k, best, c, rules) for k, c in enumerate(looping[: rules.max_pairs_per_prompt])]
    if not judged:
        return Skip(status="skipped", reason="no_judge")
    return _by_score(prompt, best, clean, candidates, rules)


def _best(clean: Sequence[Candidate], *, judged: bool) -> Candidate | Skip:
    """The one to choose: highest score, then lowest index, among those that ended by themselves."""
    finished = [c for c in clean if c.finished]
    if not finished:
        return Skip(status="skipped", reason="none_finished")
    if not judged:
        return finished[0]
    scored = [c for c in finished if c.score is not None]
    if not scored:
        return Skip(status="skipped", reason="unscored", detail=next((c.judge_error or "" for c in finished), ""))
    return max(scored, key=lambda c: (_value(c), -c.index))


def _by_score(
    prompt: Prompt, best: Candidate, clean: Sequence[Candidate], everything: Sequence[Candidate], rules: PairingSection
) -> list[Pair] | Skip:
    others = [c for c in clean if c is not best]
    if not others:
        return Skip(status="skipped", reason="all_equal" if len(everything) > 1 else "one_candidate")
    scored = sorted((c for c in others if c.score is not None), key=lambda c: (_value(c), c.index))
    if not scored:
        return Skip(status="skipped", reason="unscored", detail=next((c.judge_error or "" for c in others), ""))
    widest = _value(best) - _value(scored[0])
    if widest <= 0:
        return Skip(status="skipped", reason="tie", detail=f"best and worst at {_value(best):.3f}")
    far = [c for c in scored if _value(best) - _value(c) >= rules.min_margin and _value(best) > _value(c)]
    if not far:
        return Skip(status="skipped", reason="small_margin", detail=f"{widest:.3f} < {rules.min_margin}")
    return [_pair(prompt, k, best, c, rules) for k, c in enumerate(far[: rules.max_pairs_per_prompt])]


def _pair(prompt: Prompt, k: int, chosen: Candidate, rejected: Candidate, rules: PairingSection) -> Pair:
    return Pair(
        prompt=prompt,
        pair_index=k,
        reason="loop" if rejected.looping else "score",
        chosen=chosen,
        rejected=rejected,
        rejected_text=trim(rejected, rules.trim_loops),
    )


def trim(candidate: Candidate, copies: int) -> str:
    """The candidate's text up to the end of the given number of copies of its worst loop; 0 keeps it whole.

    A loop shorter than that stays whole, so does one that the engine cut off before the detector could see it.
    """
    loop = candidate.verdict.loop if candidate.verdict else None
    if not copies or loop is None or loop.repeats <= copies:
        return candidate.text
    return candidate.text[: min(loop.start + copies * loop.period, loop.end)]


def _waste(candidate: Candidate) -> int:
    return candidate.verdict.loop.wasted if candidate.verdict and candidate.verdict.loop else 0


def _value(candidate: Candidate) -> float:
    assert candidate.score is not None
    return candidate.score.value
