"""The token that starts the second copy of a loop, as Antidoom's trainer wants it (FTPO): context, rejected token, alternatives.

    {"context_with_chat_template": "<|im_start|>user ... so 4.", "rejected_decoded": " Wait",
     "multi_chosen_decoded": [" So", "\\n\\n", "<|im_end|>"]}

The loader tokenises the three on their own and keeps a row only where rejected and alternatives are one token each; so only such
rows are made. What a model would have said instead is known in two ways: from the run's own outputs, where any candidate of the
prompt said the same stretch and went on otherwise (or stopped), and by asking the model for its likeliest tokens there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loopguard.errors import InputError

if TYPE_CHECKING:
    from loopguard.handover.run_rows import Row
    from loopguard.handover.tokenizers_at_hand import Tokenizer
    from loopguard.records import Prompt

__all__ = [
    "MOST",
    "Onset",
    "SecondCopy",
    "first_onset",
    "known_onset",
    "likely_tokens",
    "onset_row",
    "second_copies",
    "second_copy",
]

MOST = 20
"""Alternatives in one row: as many as Antidoom keeps."""

LEAST_SHARE = 0.03
"""An alternative is at least so likely as this share of the likeliest token (min_p in auto-antislop's configuration)."""

LEAST_STRETCH = 12
"""Characters of a stretch that make it the same place in another output; shorter ones come back by chance."""

_NEAR = 64
"""Characters around a place in which its token is looked for: words are shorter."""

_DIGITS = re.compile(r"\d")
_THINK = ("<think>\n", "<think>")
"""What templates of thinking models write before the answer, and a run's outputs begin with again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Onset:
    """A place between two tokens where one looping candidate begins to repeat itself."""

    context: str
    """The rendered prompt and the answer up to the rejected token."""
    answer: str
    """The answer's part of the context."""
    rejected: str
    """The first token of the second copy; a space before it is its own."""
    stretch: str
    """The last period of the context: what had just been said once."""


@dataclass(frozen=True, slots=True)
class SecondCopy:
    """The tokens of a loop's second copy, in the rendered prompt and the answer so far."""

    text: str
    prompt: int
    """Characters of the rendered prompt in `text`."""
    period: int
    """Characters of one copy."""
    ids: Sequence[int]
    spans: Sequence[tuple[int, int]]
    tokens: range
    """Which of them begin the copy and lie in it."""

    def onset(self, index: int) -> Onset:
        """What stands before and at one of the tokens. A loop has no first character: each may begin its copies."""
        begin, end = self.spans[index]
        context = self.text[:begin]
        said = context[self.prompt :]
        return Onset(context=context, answer=said, rejected=self.text[begin:end], stretch=said[-self.period :])

    def fault(self, index: int, tokenizer: Tokenizer) -> str:
        """Why the loader would not see the token as the model did; "" where it does."""
        onset = self.onset(index)
        if not onset.answer or list(tokenizer.encode(onset.rejected).ids) != [self.ids[index]]:
            return "the first token of the second copy is part of a character"
        if list(tokenizer.encode(onset.context).ids) != list(self.ids[:index]):
            return "the tokens before the second copy depend on what comes after them"
        return ""


def second_copies(prompt: Prompt, candidates: Sequence[Row], tokenizer: Tokenizer) -> Iterator[SecondCopy | str]:
    """The second copy in each looping candidate of a prompt, or why it cannot be told."""
    try:
        rendered = tokenizer.render(prompt.messages, add_generation_prompt=True)
    except InputError as error:
        yield f"the chat template refuses the prompt: {error}"
        return
    for one in candidates:
        if one["looping"] and one["merged_into"] is None:
            if one["loop_start"] is None:
                yield "the engine stopped it for repetition, and no loop was found in it"
            else:
                yield second_copy(rendered, one["text"], one["loop_start"], one["loop_period"], tokenizer)


def second_copy(rendered: str, answer: str, start: int, period: int, tokenizer: Tokenizer) -> SecondCopy | str:
    """The second copy of the loop of `period` characters that starts at `start` of `answer`; or why it cannot be told."""
    second, third = start + period, start + 2 * period
    if _DIGITS.sub("0", answer[start:second]) != _DIGITS.sub("0", answer[second:third]):
        return "the second copy is not the same as the first, so that its start is not known to the character"
    think = next((tag for tag in _THINK if rendered.endswith(tag) and answer.startswith(tag)), "")
    before = rendered.removesuffix(think)
    text = before + answer[: third + period]
    encoding = tokenizer.encode(text)
    first, last = (encoding.char_to_token(len(before) + place) for place in (second, third - 1))
    if first is None or last is None:
        return "the second copy begins or ends with what is no token"
    return SecondCopy(text, len(before), period, encoding.ids, encoding.offsets, range(first, last + 1))


def first_onset(copy: SecondCopy, tokenizer: Tokenizer) -> Onset | str:
    """The first token of the copy with a letter or digit in it, or the very first; or why the loader would not see it.

    What was found of a loop begins as early as anything is the same: often with the full stop before its first sentence.
    """
    worded = (index for index in copy.tokens if any(c.isalnum() for c in copy.onset(index).rejected))
    faults = []
    for index in (*worded, copy.tokens[0]):
        fault = copy.fault(index, tokenizer)
        if not fault:
            return copy.onset(index)
        faults.append(fault)
    return faults[0]


def known_onset(
    copy: SecondCopy, candidates: Sequence[Row], tokenizer: Tokenizer, end: str
) -> tuple[Onset, list[str]] | None:
    """The first token of the copy where an output of the prompt went on otherwise, with what they said; None: nowhere.

    `end` is the token that ends an answer.
    """
    for index in copy.tokens:
        found = _said_elsewhere(copy.onset(index), candidates, tokenizer, end)
        if found and not copy.fault(index, tokenizer):
            return copy.onset(index), found
    return None


def _said_elsewhere(onset: Onset, candidates: Iterable[Row], tokenizer: Tokenizer, last: str) -> list[str]:
    """What the outputs of the same prompt say after the same stretch, the most frequent first; the end token too.

    The looping one is among them: what it said when it left the loop counts.
    """
    found: Counter[str] = Counter()
    if len(onset.stretch) < LEAST_STRETCH:
        return []
    for one in candidates:
        text, finished = one["text"], one["finish_reason"] == "stop"
        for end in _ends(text, onset.stretch):
            said = _token_at(text, end, tokenizer) if end < len(text) else last
            if finished or end + len(said) < len(text):  # what a cut text ends with may be half a token
                found[said] += 1
    del found[""]
    return _kept((text for text, _ in found.most_common()), onset, tokenizer)


def _ends(text: str, stretch: str) -> Iterator[int]:
    """Where the stretch ends in the text, each time."""
    place = text.find(stretch)
    while place >= 0:
        yield place + len(stretch)
        place = text.find(stretch, place + 1)


def _token_at(text: str, place: int, tokenizer: Tokenizer) -> str:
    """The token that begins at `place`; "" where none does. A token ends where it ends whatever follows much later."""
    base = max(0, place - _NEAR)
    encoding = tokenizer.encode(text[base : place + _NEAR])
    return next((text[place : base + end] for begin, end in encoding.offsets if base + begin == place), "")


def likely_tokens(onset: Onset, logprobs: Mapping[str, float], tokenizer: Tokenizer) -> list[str] | None:
    """The alternatives in a model's answer, the likeliest first; None where the rejected token is not among its tokens:
    whoever answered has not gone on with the context.
    """
    from math import log

    if onset.rejected not in logprobs:
        return None
    ordered = sorted(logprobs.items(), key=lambda item: (-item[1], item[0]))
    least = ordered[0][1] + log(LEAST_SHARE)
    return _kept((text for text, value in ordered if value >= least), onset, tokenizer)


def onset_row(onset: Onset, alternatives: Sequence[str]) -> Row:
    """The row as the loader reads it."""
    return {
        "context_with_chat_template": onset.context,
        "rejected_decoded": onset.rejected,
        "multi_chosen_decoded": list(alternatives),
    }


def _kept(texts: Iterable[str], onset: Onset, tokenizer: Tokenizer) -> list[str]:
    return [text for text in texts if text != onset.rejected and _one_token(text, tokenizer)][:MOST]


def _one_token(text: str, tokenizer: Tokenizer) -> bool:
    return len(tokenizer.encode(text).ids) == 1
