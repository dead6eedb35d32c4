"""A preference set with one row for each fault that `loopguard check` names, and the clean rows among them."""

from __future__ import annotations

import random
from typing import Any

MAX_LENGTH = 400
TEMPLATE = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% set content = message['content'] %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
"""ChatML that allows no system message and leaves thinking text out."""
LOOP = "Wait, let me check that again. "

_WORDS = [
    one + other for one in ("ba", "do", "fe", "ki", "lu", "mo", "ne", "ra") for other in ("t", "n", "sk", "l", "m")
]


def prose(seed: int, words: int) -> str:
    """Words in an order that repeats nothing: about 3 tokens each."""
    draw = random.Random(seed)
    return " ".join(draw.choice(_WORDS) for _ in range(words)).capitalize() + "."


def asked(text: str, system: str = "") -> list[dict[str, str]]:
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": text}]


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def row(prompt: Any, chosen: str, rejected: str, **more: Any) -> dict[str, Any]:
    given = asked(prompt) if isinstance(prompt, str) else prompt
    return {"prompt": given, "chosen": said(chosen), "rejected": said(rejected), **more}


ASKED_BEFORE = "How many sacks does the miller count when the cart comes back from the town for the third time today?"
BENCHMARK = [
    "The cart goes out at noon. How many sacks does the miller count when the cart comes back from the town for the third time?",
    "What is two and two?",
    prose(90, 20),
]
ANSWER = prose(50, 12)

ROWS: list[tuple[dict[str, Any], set[str]]] = [
    (row(prose(1, 8), prose(2, 12), prose(3, 12)), set()),
    ({"prompt": asked("Who?"), "chosen": said("She."), "rejected": None}, {"broken_row"}),
    ({"prompt": "Where?", "chosen": said("Here."), "rejected": said("There.")}, {"mixed_forms"}),
    (row(asked(prose(4, 8), system="Be brief."), prose(5, 12), prose(6, 12)), {"template_error"}),
    (row(prose(7, 300), prose(8, 12), prose(9, 12)), {"dropped"}),
    (row(prose(10, 8), prose(11, 12), prose(11, 12)), {"equal"}),
    (row(prose(12, 8), prose(13, 200) + " Yes.", prose(13, 200) + " No."), {"equal_after_cut", "chosen_end_cut"}),
    (row(prose(14, 8), " \n", prose(15, 12)), {"empty_chosen"}),
    (row(prose(16, 8), prose(17, 12), ""), {"empty_rejected"}),
    (row(prose(18, 8), prose(19, 5) + " " + LOOP * 12, prose(20, 12)), {"chosen_loops"}),
    (row(prose(21, 8), prose(22, 12), prose(23, 150) + " " + LOOP * 12), {"loop_beyond_cut"}),
    (
        row(prose(24, 8), prose(25, 12), f"<think>{LOOP * 12}</think>{prose(26, 12)}"),
        {"loop_not_rendered", "text_not_rendered"},
    ),
    (row(prose(27, 8), prose(28, 12), f"<think>{prose(29, 9)}</think>{prose(30, 9)}"), {"text_not_rendered"}),
    (row(prose(31, 8), prose(32, 12), prose(33, 12)), set()),
    (row(prose(31, 8), prose(33, 12), prose(34, 12)), {"contradiction"}),
    (row(prose(1, 8), prose(2, 12), prose(3, 12)), {"duplicate_pair"}),
    (row(ASKED_BEFORE, prose(35, 12), prose(36, 12)), {"contaminated"}),
    (row("What is two and TWO", prose(37, 12), prose(38, 12)), {"contaminated"}),
    (row(prose(39, 8), prose(40, 5) + " <|im_end|> " + prose(41, 5), prose(42, 12)), {"control_tokens"}),
    (row(prose(43, 8), prose(44, 160), prose(45, 12)), {"chosen_end_cut"}),
    (row(prose(46, 8), prose(47, 12), prose(48, 5) + " " + LOOP * 12), {"eos_after_cut_text"}),
    (row(prose(49, 8), prose(51, 12), prose(52, 12), rejected_truncated=True), {"eos_after_cut_text"}),
    (row(prose(53, 8), prose(54, 12), prose(55, 5) + " " + LOOP * 12, rejected_truncated=False), set()),
    (row(prose(56, 8), ANSWER, prose(57, 12)), set()),
    (row(prose(58, 8), ANSWER, prose(59, 12)), {"chosen_repeated"}),
]
"""(row, its faults at MAX_LENGTH under TEMPLATE with BENCHMARK)."""

CLEAN = [row(prose(100 + 3 * n, 8), prose(101 + 3 * n, 12), prose(102 + 3 * n, 12)) for n in range(30)]

LENIENT = TEMPLATE[TEMPLATE.index("{% for") :]
"""It without a word against system messages: LLaMA-Factory asks for one when it takes a template apart."""
JOINED = TEMPLATE.replace("<|im_end|>\n'", "<|im_end|>'")
"""It without line breaks between messages: axolotl stops where it finds no text and the last character is a line break."""

_TOO_LONG = {"prompt_cut", "equal_after_cut", "empty_chosen", "empty_rejected", "chosen_end_cut"}
_OTHERWISE: dict[str, dict[frozenset[str], set[str]]] = {
    "axolotl": {
        frozenset({"mixed_forms"}): set(),
        frozenset({"equal_after_cut", "chosen_end_cut"}): {"dropped"},
        frozenset({"loop_beyond_cut"}): {"dropped", "loop_beyond_cut"},
        frozenset({"chosen_end_cut"}): {"dropped"},
    },
    "llama-factory": {
        frozenset({"template_error"}): set(),
        frozenset({"dropped"}): {"prompt_cut"},
        frozenset({"loop_not_rendered", "text_not_rendered"}): set(),
        frozenset({"text_not_rendered"}): set(),
    },
    "oumi": {frozenset({"mixed_forms"}): set(), frozenset({"dropped"}): _TOO_LONG},
}
_MORE: dict[str, list[tuple[dict[str, Any], set[str]]]] = {
    "axolotl": [
        (row(prose(60, 8), prose(61, 12), "a"), {"text_not_rendered"}),  # found in <|im_start|>
        (row([{"role": "developer", "content": "?"}], prose(62, 12), prose(63, 12)), {"template_error"}),
    ],
    "llama-factory": [(row([*asked("Who?"), *asked("He?")], prose(62, 12), prose(63, 12)), {"template_error"})],
    "oumi": [],
}
NEVER = {
    "axolotl": {"mixed_forms", "equal_after_cut", "chosen_end_cut", "prompt_cut", "no_eos"},
    "llama-factory": {"dropped", "loop_not_rendered", "text_not_rendered", "prompt_cut_short"},
    "oumi": {"mixed_forms", "dropped", "no_eos"},
}
"""Faults that no pair has under a trainer: it reads both forms, drops or cuts nothing, writes texts and EOS itself."""


def planted_for(trainer: str) -> tuple[str, list[tuple[dict[str, Any], set[str]]]]:
    """(template, rows with their faults) as another trainer than TRL sees them."""
    other = _OTHERWISE[trainer]
    rows = [(one, other.get(frozenset(faults), faults)) for one, faults in ROWS]
    return {"axolotl": JOINED, "llama-factory": LENIENT, "oumi": TEMPLATE}[trainer], [*rows, *_MORE[trainer]]
