"""LLaMA-Factory's view of a pair, read in llamafactory 0.9.5, stage dpo without `template:`.

data/template.py (`parse_template`, `Template._encode`, `ReasoningTemplate`), data/formatter.py, data/processor/pairwise.py:

- It renders no conversation: from the tokenizer's chat template it takes the text around what each role says, once, with
  `{{content}}` for the saying, and fills these. A named template (`template: chatml`) gives the same where it has the same text.
- Every piece is encoded alone: what stands before all, the system message, each turn. What follows the answer in the chat template
  (its end-of-turn token, a line break) follows every answer, also one that the length limit cut.
- Where the chat template writes `<think>` of itself, thinking text is taken out of earlier answers, and an answer without any gets
  an empty thought, which is trained.
- Prompts in which user and assistant do not take turns are dropped. A prompt or an answer that is a string is one message.
- No pair is dropped for its length: prompt and answers lose their ends as `infer_seqlen` has it (cuts.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loopguard.errors import InputError
from loopguard.handover.pair_tokens import InPieces, PairTokens, each_row, encoded_pieces
from loopguard.handover.pairs import PairRow, Text
from loopguard.handover.tokenizers_at_hand import Tokenizer

__all__ = ["llama_factory"]

CONTENT = "{{content}}"
OPENED, CLOSED = "<think>\n", "\n</think>\n\n"
_THOUGHT = re.compile(f"{re.escape(OPENED)}(.*?){re.escape(CLOSED)}", re.DOTALL)
_PLACE = re.compile(r"\{\{[a-zA-Z_][a-zA-Z0-9_]*\}\}")


@dataclass(frozen=True, slots=True)
class _Slots:
    """What stands around each role's saying."""

    prefix: str
    system: str
    user: str
    assistant: str
    default_system: str
    reasons: bool


def llama_factory(tokenizer: Tokenizer, rows: Sequence[PairRow]) -> list[PairTokens | InputError]:
    """Each row as LLaMA-Factory's DPO prepares it, or why it drops it.

    Raises InputError where the tokenizer has no chat template, or one that cannot be taken apart.
    """
    tokenizer.need_template()
    slots = _parsed(tokenizer)
    return encoded_pieces(tokenizer, each_row(rows, lambda row: _pieces(slots, row)))


def _parsed(tokenizer: Tokenizer) -> _Slots:
    """`parse_template`: by rendering the place holder and cutting at lengths of what was rendered before."""
    try:
        slots = _taken_apart(tokenizer)
    except InputError as error:
        raise InputError(_stops(tokenizer, f"it says {str(error)!r}")) from None
    for role in ("system", "user", "assistant"):
        if not _PLACE.search(getattr(slots, role)):
            raise InputError(_stops(tokenizer, f"what it writes for {role} cannot be told apart"))
    if _PLACE.search(slots.prefix):
        raise InputError(_stops(tokenizer, "what it writes before all cannot be told apart"))
    return slots


def _stops(tokenizer: Tokenizer, why: str) -> str:
    return (
        f"{tokenizer.name}: LLaMA-Factory cannot take the chat template apart ({why}); it wants `template:` with a name"
    )


def _taken_apart(tokenizer: Tokenizer) -> _Slots:
    def rendered(*said: tuple[str, str], opened: bool = False) -> str:
        messages = [{"role": role, "content": text} for role, text in said]
        return tokenizer.render(messages, add_generation_prompt=opened)[len(prefix) :]

    prefix = tokenizer.core.decode(tokenizer.encode("", special_tokens=True).ids, skip_special_tokens=False)
    system = rendered(("system", CONTENT))
    empty = rendered(("system", ""), ("user", CONTENT), opened=True)
    user = rendered(("user", CONTENT), opened=True)
    assistant = rendered(("user", CONTENT), ("assistant", CONTENT))[len(user) :]
    default = ""
    if len(user) > len(empty):
        default = _difference(empty, user)
        user = user[len(system.replace(CONTENT, default, 1)) :]
    bare = assistant.replace("<think>", "").replace("</think>", "").lstrip("\n")
    return _Slots(prefix, system, user, bare, default, "<think>" in assistant)


def _difference(short: str, long: str) -> str:
    """What `long` has more, by one pass over both."""
    at, found = 0, []
    for place, character in enumerate(long):
        if at == len(short):
            break
        if short[at] == long[place]:
            at += 1
        else:
            found.append(character)
    return "".join(found)


def _pieces(slots: _Slots, row: PairRow) -> InPieces:
    if row.conversational is None:
        raise InputError("strings beside message lists: give all three in one form")
    system, turns = _turns(row.prompt)
    chosen, rejected = (_answer(side) for side in (row.chosen, row.rejected))
    prompt = [slots.prefix]
    if system or slots.default_system:
        prompt.append(_filled(slots.system, content=system or slots.default_system))
    for number, text in enumerate(turns):
        if number % 2 == 0:
            prompt.append(_filled(slots.user, content=text, idx=str(number // 2)))
        else:
            said = _THOUGHT.sub("", text).lstrip("\n") if slots.reasons else text
            prompt.append(_filled(slots.assistant, content=said))
    return InPieces(
        [text for text in prompt if text],
        _trained(slots, chosen),
        _trained(slots, rejected),
        before=1 if slots.reasons else 0,
    )


def _turns(prompt: Text) -> tuple[str, list[str]]:
    """(what the system says, what user and assistant say in turn)."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    system = _said(messages.pop(0)) if messages and messages[0]["role"] == "system" else ""
    roles = [message["role"] for message in messages]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise InputError("LLaMA-Factory drops prompts in which user and assistant do not take turns")
    return system, [_said(message) for message in messages]


def _answer(side: Text) -> str:
    if isinstance(side, str):
        return side
    if len(side) != 1 or side[0]["role"] != "assistant":
        raise InputError("LLaMA-Factory takes one message of the assistant as answer")
    return _said(side[0])


def _said(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if not isinstance(content, str):
        raise InputError("LLaMA-Factory stops at a message whose content is no string")
    return content


def _trained(slots: _Slots, answer: str) -> list[str]:
    """The pieces of an answer; where the template thinks, the first is an empty thought or nothing."""
    text = _filled(slots.assistant, content=answer)
    if not slots.reasons:
        return [text]
    return ["" if OPENED.strip() in answer or CLOSED.strip() in answer else OPENED + CLOSED, text]


def _filled(slot: str, **values: str) -> str:
    for name, value in values.items():
        slot = slot.replace("{{" + name + "}}", value, 1)
    return slot
