"""A run of any size: six answers a prompt, loops, scores. By the real pipeline with the scripted engine, or, for thousands of
prompts in a moment, its tables alone by the pipeline's own writers.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from loopguard import Recipe, Run, build_prefs
from loopguard.prefs.outputs import Outcome
from loopguard.records import Candidate, Prompt, Skip
from tests.look.subjects import answer, looped, pair, write_run

_SOUNDS = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo yu za stra tion ment ing er al is on"
_SYLLABLES = _SOUNDS.split()
_SCORES = {"quartz": 5.0, "amber": 4.0, "slate": 3.0, "chalk": 2.0, "mud": 1.0}
"""A word in an answer -> about the score that the judge gives it."""


def _words(draw: random.Random, count: int) -> str:
    """Made-up words: as hard to compress as ordinary prose, or harder."""
    return " ".join("".join(draw.choices(_SYLLABLES, k=draw.choice((1, 2, 2, 3)))) for _ in range(count))


def _clean(draw: random.Random) -> str:
    return f"{_words(draw, draw.randint(20, 160))} {draw.choice(list(_SCORES))} {_words(draw, draw.randint(5, 60))}."


def _looped(draw: random.Random, *, left: bool) -> dict[str, str]:
    head, unit = _words(draw, draw.randint(2, 120)), _words(draw, draw.randint(2, 30))
    copies = draw.randint(12, 90)
    if draw.random() < 0.25:
        body = "".join(f"Step {n}: go on with the step.\n" for n in range(10, 10 + copies))
    else:
        body = f"{unit}. " * copies
    tail = f"But so it is {_words(draw, 40)}." if left else ""
    return {"content": f"{head}\n{body}{tail}", "finish_reason": "stop" if left else "length"}


def _rule(draw: random.Random, prompt: str) -> dict[str, Any]:
    def answer(chance: float) -> Any:
        return _looped(draw, left=draw.random() < 0.2) if draw.random() < chance else _clean(draw)

    return {"prompt": prompt, "samples": [answer(0.08) for _ in range(5)], "greedy": answer(0.2)}


def _judge(word: str, score: float) -> dict[str, Any]:
    near = str(int(score) - 1 if score > 1 else 2)
    return {
        "contains": f" {word} ",
        "greedy": {"content": str(int(score)), "logprobs": {str(int(score)): -0.3, near: -1.4}},
    }


def make_many(folder: Path, prompts: int, *, seed: int = 0, **changes: Any) -> Run:
    """A finished run of so many prompts in `folder`/run."""
    draw = random.Random(seed)
    asked = [f"Question {k}: {_words(random.Random(k), 12)}?" for k in range(prompts)]
    script, file = folder / "answers.jsonl", folder / "prompts.jsonl"
    with open(script, "w", encoding="utf-8") as out:
        for prompt in asked:
            out.write(json.dumps(_rule(draw, prompt)) + "\n")
        for word, score in _SCORES.items():
            out.write(json.dumps(_judge(word, score)) + "\n")
    file.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in asked), encoding="utf-8")
    known = {"engine.engine": f"scripted:{script}", "engine.concurrency": 64, "judge.spec": "helpfulness"}
    return build_prefs(str(file), Recipe().override(known | changes), out=folder / "run")


def write_many(folder: Path, prompts: int, *, seed: int = 0) -> Path:
    """The tables of a run of so many prompts; verdicts are known, not detected."""
    draw = random.Random(seed)
    pool = [_words(draw, 40) for _ in range(4_000)]  # an answer is some of these, in an order of its own

    def text() -> str:
        return " ".join(draw.choices(pool, k=draw.randint(1, 5)))

    def one(prompt: Prompt, index: int) -> Candidate:
        given: dict[str, Any] = {"decoding": "greedy" if index == 5 else "sampled"}
        if draw.random() < (0.2 if index == 5 else 0.08):
            unit, tail = f"{draw.choice(pool)[: draw.randint(8, 200)]} ", draw.choice(["", "", "", draw.choice(pool)])
            kind = draw.choice(["verbatim", "verbatim", "counter", "near"])
            return looped(prompt, index, unit, draw.randint(8, 60), text(), tail, kind=kind, **given)
        return answer(prompt, index, text(), score=draw.randint(4, 20) / 4, **given)

    outcomes = []
    for row in range(1, prompts + 1):
        prompt = Prompt.make(f"Question {row}: {draw.choice(pool)}?", row=row)
        six = [one(prompt, index) for index in range(6)]
        clean = sorted((one for one in six if one.score), key=lambda one: one.score.value if one.score else 0)
        loops = [one for one in six if one.looping]
        result: Any = Skip(status="skipped", reason="tie")
        if clean and loops:
            result = [pair(prompt, clean[-1], loops[0])]
        elif clean[-1].score != clean[0].score:
            result = [pair(prompt, clean[-1], clean[0])]
        outcomes.append(Outcome(prompt=prompt, candidates=six, result=result))
    return write_run(folder, outcomes)
