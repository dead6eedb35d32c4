"""Candidates, verdicts and scores made by hand, in a few characters: what the tests of pairs and tables share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loopguard.records import Candidate, Loop, Prompt, Score, Verdict

PROMPT = Prompt.make("What is two and two?", row=7)


def looped(text: str, *, start: int = 0, period: int = 1, copies: float = 4, tail: int = 0, **given: Any) -> Verdict:
    """The verdict on a text with one loop from `start`; `tail` characters come after it."""
    end = start + round(period * copies)
    assert end + tail <= len(text), "the loop must lie in the text"
    loop = Loop(kind="verbatim", terminal=not tail, start=start, end=end, period=period, repeats=copies)
    return Verdict(looping=True, reason="repeats_verbatim", loops=(loop,), length=len(text), signature="sig", **given)


def clean(text: str) -> Verdict:
    return Verdict(looping=False, reason="clean" if text else "empty", length=len(text), signature="sig")


def scored(value: float, mass: float | None = 0.9) -> Score:
    return Score(value=value, method="integer" if mass is None else "logprobs", mass=mass)


def candidate(index: int, text: str, score: float | Score | None = None, **given: Any) -> Candidate:
    """A finished sample of PROMPT that does not loop, unless something else is given."""
    known: dict[str, Any] = {
        "prompt_id": PROMPT.prompt_id,
        "index": index,
        "decoding": "sampled",
        "temperature": 0.8,
        "top_p": 0.95,
        "seed": 100 + index,
        "text": text,
        "content": text,
        "finish_reason": "stop",
        "prompt_tokens": 11,
        "completion_tokens": len(text),
        "verdict": clean(text),
        "score": score if score is None or isinstance(score, Score) else scored(score),
    }
    return Candidate(**known | given)


def loop(index: int, copies: int, *, unit: str = "ab ", lead: str = "", tail: str = "", **given: Any) -> Candidate:
    """A candidate `lead` + `unit` * `copies` + `tail`, with the verdict that fits; cut off by length."""
    text = lead + unit * copies + tail
    verdict = looped(text, start=len(lead), period=len(unit), copies=copies, tail=len(tail))
    return candidate(index, text, **{"finish_reason": "length", "verdict": verdict} | given)


def short_judge(folder: Path) -> str:
    """The path of a judge of few words: for a small model on one core reading is what takes the time. That it reads the shipped
    ones, and is hardly moved by attacks, is in test_judging.py."""
    path = folder / "short.toml"
    question = "How good is this answer, from {{ low }} to {{ high }}? "
    path.write_text(
        f'template = "{{{{ prompt }}}}\\n{{{{ answer }}}}\\n\\n{question}"\nmin_label_mass = 0.0\n', encoding="utf-8"
    )
    return str(path)
