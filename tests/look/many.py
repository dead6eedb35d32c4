"""A run of any size, made by the real pipeline with the scripted engine: six answers a prompt, loops of every kind, scores."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from loopguard import Recipe, Run, build_prefs

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
