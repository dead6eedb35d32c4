"""Subjects made by hand, through the run's own table writers: what the tests of figures and pages share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loopguard.files import clean_text
from loopguard.prefs.outputs import Outcome, Provenance, Tables
from loopguard.records import Candidate, Loop, Pair, Prompt, Score, Skip, Verdict


def answer(prompt: Prompt, index: int, text: str = "Yes, so it is.", **given: Any) -> Candidate:
    """A clean, finished answer; the last of a prompt is greedy by `decoding="greedy"`. One token is four characters."""
    known: dict[str, Any] = {
        "prompt_id": prompt.prompt_id,
        "index": index,
        "decoding": "sampled",
        "temperature": 0.8,
        "top_p": 0.95,
        "seed": index,
        "text": text,
        "content": text,
        "finish_reason": "stop",
        "prompt_tokens": 5,
        "completion_tokens": len(text) // 4,
        "verdict": Verdict(looping=False, reason="clean" if text else "empty", length=len(text), signature="sig"),
    }
    if given.get("decoding") == "greedy":
        known["temperature"] = 0.0
    if isinstance(given.get("score"), float):
        given["score"] = Score(value=given["score"], method="logprobs", mass=0.9)
    return Candidate(**known | given)


def looped(
    prompt: Prompt, index: int, unit: str = "abc ", copies: int = 20, head: str = "", tail: str = "", **given: Any
) -> Candidate:
    """`head`, the unit again and again, `tail`; with the verdict that fits."""
    text = head + unit * copies + tail
    kind = given.pop("kind", "verbatim")
    loop = Loop(
        kind=kind,
        terminal=not tail,
        start=len(head),
        end=len(text) - len(tail),
        period=len(unit),
        repeats=float(copies),
    )
    verdict = Verdict(looping=True, reason=f"repeats_{kind}", loops=(loop,), length=len(text), signature="sig")
    return answer(prompt, index, text, **{"finish_reason": "stop" if tail else "length", "verdict": verdict} | given)


def pair(prompt: Prompt, chosen: Candidate, rejected: Candidate) -> Pair:
    reason: Any = "loop" if rejected.looping else "score"
    return Pair(
        prompt=prompt, pair_index=0, reason=reason, chosen=chosen, rejected=rejected, rejected_text=rejected.text
    )


def write_run(
    folder: Path,
    outcomes: Sequence[Outcome],
    *,
    model: str = "m",
    judge: str = "helpfulness|1-5",
    columns: dict[str, Any] | None = None,
) -> Path:
    """A run directory with these outcomes, as the pipeline writes it, but for the ledger, which a report does not read."""
    folder.mkdir(parents=True)
    provenance = Provenance(model=clean_text(model), judge=clean_text(judge), detector="sig")
    with Tables(folder, provenance, columns) as tables:
        for outcome in outcomes:
            tables.add(outcome)
    with_pairs = [one for one in outcomes if isinstance(one.result, list)]
    summary = {
        "prompts": {"total": len(outcomes), "missing": 0, "failed": 0},
        "candidates": {"total": sum(len(one.candidates) for one in outcomes)},
        "pairs": {"total": sum(len(one.result) for one in with_pairs if isinstance(one.result, list))},
    }
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


def small() -> list[Outcome]:
    """Three prompts: a pair by loop, a pair by score, none."""
    first, second, third = (Prompt.make(text, row=row) for row, text in enumerate(("One?", "Two?", "Three?"), 1))
    a = [
        looped(first, 0, head="So: ", unit="go on. ", copies=30),
        answer(first, 1, "It is one.", score=4.0),
        looped(first, 2, decoding="greedy", kind="counter", unit="1234567\n", copies=10, tail="Done."),
    ]
    b = [answer(second, 0, "Two.", score=4.5), answer(second, 1, "It may be three, who knows?", score=1.5),
         answer(second, 2, "Two!", score=4.0, decoding="greedy")]  # fmt: skip
    c = [
        answer(third, 0, "Three.", score=3.0),
        answer(third, 1, "Three.", merged_into=0),
        answer(third, 2, "", decoding="greedy"),
    ]
    return [
        Outcome(prompt=first, candidates=a, result=[pair(first, a[1], a[0])]),
        Outcome(prompt=second, candidates=b, result=[pair(second, b[0], b[1])]),
        Outcome(prompt=third, candidates=c, result=Skip(status="skipped", reason="tie", detail="")),
    ]
