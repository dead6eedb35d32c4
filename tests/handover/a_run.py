"""A real run made with the scripted engine: loops of every sort, pairs by score, turns, a system message, other scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loopguard import Recipe, Run, build_prefs

WAIT = "Wait, let me check the sum again. "
ENDLESS = f"The answer should be four. {WAIT * 40}Wait, let me"
"""A verbatim loop that the length limit cut in the middle of a copy."""
LEFT = f"Let me add them. {WAIT * 20}So it is 4."
"""A loop that was left again."""
COUNTED = "Steps:\n" + "".join(f"Step {n} of the plan is to go on with step.\n" for n in range(10, 70))
"""A counter loop, cut by the length limit."""
ONCE = f"Four, I think. {WAIT}Yes, it is 4."
"""No loop: says the stretch once and goes on otherwise."""

SUM = "What is two and two?"
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Wie heißt die Hauptstadt von Österreich? 🏔️"},
    {"role": "assistant", "content": "Wien."},
    {"role": "user", "content": "Und die von 日本?"},
]
TWICE = [{"role": "user", "content": "First."}, {"role": "user", "content": "Second."}]
"""Two user messages in a row: LLaMA-Factory drops such a row."""

PROMPTS: list[Any] = [SUM, TURNS, "Count to six.", TWICE, "Say hello."]


def _cut(text: str) -> dict[str, str]:
    return {"content": text, "finish_reason": "length"}


RULES: list[dict[str, Any]] = [
    {"contains": "<<<ANSWER", "greedy": {"content": "3", "logprobs": {"3": -0.2, "4": -1.8}}},
    {"prompt": SUM, "samples": [_cut(ENDLESS), ONCE, LEFT], "greedy": "4."},
    {"prompt": TURNS[-1]["content"], "samples": ["東京です。", _cut("東京。" * 200), "Tokio!"], "greedy": "Tokio."},
    {"prompt": "Count to six.", "samples": [_cut(COUNTED), "1 2 3 4 5 6", "1, 2, 3"], "greedy": "One to six."},
    {"prompt": "Second.", "samples": [_cut("ja, " * 300), "Yes.", "No."], "greedy": "Both."},
    {"prompt": "Say hello.", "samples": ["Hello.", "Hi.", "Good day to you."], "greedy": "Hello there."},
]
"""The judge scores all alike but where a rule below says otherwise."""

SCORES = [
    {"contains": "Good day to you.", "greedy": {"content": "5", "logprobs": {"5": -0.1, "4": -2.4}}},
    {"contains": "Hi.", "greedy": {"content": "1", "logprobs": {"1": -0.1, "2": -2.4}}},
]


def make_run(folder: Path, prompts: Sequence[Any] = (), *, rules: Sequence[dict[str, Any]] = (), **changes: Any) -> Run:
    """A finished run in `folder`/run; `changes` are keys of the recipe with __ for the dot."""
    script = folder / "answers.jsonl"
    given = list(rules) or [*SCORES, *RULES]
    script.write_text("".join(json.dumps(rule) + "\n" for rule in given), encoding="utf-8")
    file = folder / "prompts.jsonl"
    lines = (json.dumps({"prompt": prompt}, ensure_ascii=False) + "\n" for prompt in prompts or PROMPTS)
    file.write_text("".join(lines), encoding="utf-8")
    known = {"engine.engine": f"scripted:{script}", "sampling.samples": 3, "judge.spec": "helpfulness"}
    recipe = Recipe().override(known | {key.replace("__", "."): value for key, value in changes.items()})
    return build_prefs(str(file), recipe, out=folder / "run")
