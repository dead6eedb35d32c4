"""Pairs of every sort and the templates to render them, to hold the views of `loopguard check` against the trainers' own code."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from loopguard.handover.pairs import pair_of
from loopguard.handover.tokenizers_at_hand import open_tokenizer
from loopguard.handover.trainer_views import TRAINERS, PairTokens
from tests.handover.small_tokenizer import CHATML

LENGTHS = (1, 2, 7, 20, 33, 64, 65, 100, 150, 200, 333, 512, 1000, 4096)

BOSSED = "{{ bos_token }}" + CHATML
"""After Llama's: a BOS of its own; with `bos_on_text` the tokenizer writes one too."""
POLITE = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    + CHATML
)
"""After Qwen2.5's: a system message of its own where there is none."""
THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' and '</think>' not in message['content'] %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""After Qwen3's: an empty thought before an answer that has none."""

_WORDS = (
    "the",
    "mill",
    "river",
    "counts",
    "42",
    "é",
    "東京",
    "\U0001f600",
    "\n",
    "\n\n",
    "  ",
    "a.",
    "'s",
    "{{content}}",
    "{{idx}}",
)
_LOOP = "Wait, let me check that again. "


def _text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(_WORDS) for _ in range(words))


def varied(count: int, *, seed: int, system: bool = True, blank: bool = True) -> list[dict[str, Any]]:
    """Conversations with short and long prompts, turns, thinking text, loops, equal and blank answers."""
    draw, rows = random.Random(seed), []
    for _ in range(count):
        turns = (
            [{"role": "system", "content": _text(draw, draw.choice((1, 9)))}] if system and draw.random() < 0.3 else []
        )
        for _ in range(draw.choice((0, 0, 0, 1, 2))):
            thought = "<think>\nHm.\n</think>\n\n" * (draw.random() < 0.3)
            turns.append({"role": "user", "content": _text(draw, draw.choice((1, 30)))})
            turns.append({"role": "assistant", "content": thought + _text(draw, 5)})
        turns.append({"role": "user", "content": _text(draw, draw.choice((1, 4, 20, 80, 300)))})
        answers = []
        for _ in range(2):
            kinds = [
                _text(draw, draw.choice((1, 5, 40, 200))),
                _text(draw, 3) + _LOOP * draw.choice((3, 40)),
                draw.choice(
                    ("a", "4", "user", "\n", "\n\nYes.", " No. ", "<think>\nSo?\n</think>\n\nFar.", "x <|im_end|> y")
                ),
            ]
            answer = draw.choice(kinds)
            answers.append(answer if blank or answer.strip() else "Yes.")
        chosen, rejected = ([{"role": "assistant", "content": text}] for text in answers)
        rows.append({"prompt": turns, "chosen": chosen, "rejected": rejected})
    return rows


class View:
    """One trainer's view of rows: what it would train at any max_length, and what it has against the others."""

    def __init__(self, trainer: str, folder: Path, rows: list[dict[str, Any]]) -> None:
        self.trainer, self.tokenizer = TRAINERS[trainer], open_tokenizer(str(folder))
        self.found = self.trainer.prepare(
            self.tokenizer, [pair_of(number, row) for number, row in enumerate(rows, start=1)]
        )
        self.pairs = [one for one in self.found if isinstance(one, PairTokens)]

    def at(self, max_length: int) -> list[tuple[list[int], int, list[int], int]]:
        """(chosen ids, trained tokens of it, rejected ids, trained tokens of it) of each pair that is left."""
        seen = []
        for pair in self.pairs:
            if (cut := self.trainer.trained(pair, max_length, self.tokenizer.eos_id)) is not None:
                sides = (len(pair.chosen.ids), len(pair.rejected.ids))
                kept, *_ = self.trainer.kept(pair.prompt, *sides, max_length)
                seen.append((cut[0], len(cut[0]) - kept, cut[1], len(cut[1]) - kept))
        return seen


def collated(collator: Any, examples: Any) -> list[tuple[list[int], int, list[int], int]]:
    """The same of TRL's collator, padding taken off."""
    found = []
    for example in examples:
        batch = collator([example])
        sides: list[Any] = []
        for k in range(2):
            kept = batch["attention_mask"][k].bool()
            sides += [batch["input_ids"][k][kept].tolist(), int(batch["completion_mask"][k][kept].sum())]
        found.append(tuple(sides))
    return found
