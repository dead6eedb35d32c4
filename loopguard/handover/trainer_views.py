"""What a trainer makes of a pair: the token ids of both sides before and after its truncation.

`trl`: TRL's DPOTrainer, read in trl 1.16.0 (trainer/dpo_trainer.py: `_prepare_dataset`, `DataCollatorForPreference`;
data_utils.py: `_tokenize`, `common_prefix_length`) over transformers 5.16 and 5.23:

- message lists: the chat template over prompt + answer, and over the prompt alone with its generation prompt;
- strings: prompt + answer, the EOS token's text appended to an answer that does not end with it;
- the prompt is what all three token lists begin with; the rest of each side is what is trained;
- a pair whose prompt has `max_length` tokens or more is dropped without a word; of the others, prompt + answer is cut after
  `max_length` tokens (`keep_start`; the deprecated `keep_end` is not looked at).

`openrlhf`: OpenRLHF's train_dpo with --data.apply_chat_template and --data.prompt_key, read in openrlhf 0.11.2
(datasets/reward_dataset.py): the template's text without line breaks at its end, " " and EOS appended where it does not end with
it; cut after `max_len` tokens, and whatever token is last is overwritten with EOS; prompts of max_len - 2 tokens are dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loopguard.errors import InputError
from loopguard.handover.pairs import PairRow
from loopguard.handover.tokenizers_at_hand import Tokenizer

__all__ = ["TRAINERS", "PairTokens", "SideTokens", "Trainer", "common_prefix", "openrlhf", "trl"]


Texts = tuple[str, str, str]
"""Prompt alone, prompt + chosen, prompt + rejected."""


@dataclass(frozen=True, slots=True)
class SideTokens:
    """Prompt and answer of one side, before truncation."""

    ids: list[int]
    text: str
    """What was encoded: the rendered conversation, or prompt + answer."""
    begin: int
    """Character of `text` from which the answer is looked for: what both renderings begin with is before it."""
    encoding: Any
    """The `tokenizers.Encoding` of `text`."""

    def token_of(self, character: int) -> int:
        """Index of the last token that holds the character of `text`; where none does, of the last one before it."""
        found = None
        while found is None and character >= 0:
            found = self.encoding.char_to_token(character)
            character -= found is None
        at = 0 if found is None else int(found)
        while (
            at + 1 < len(self.ids) and (span := self.encoding.token_to_chars(at + 1)) and span[0] <= character < span[1]
        ):
            at += 1
        return at


@dataclass(frozen=True, slots=True)
class PairTokens:
    """One pair as it goes into the trainer's collator."""

    prompt: int
    """Tokens at the begin of both sides that are context only: not trained."""
    left_out: int
    """Tokens of the prompt alone that both sides lack: its rendering alone is another one."""
    chosen: SideTokens
    rejected: SideTokens


@dataclass(frozen=True, slots=True)
class Trainer:
    """What is known of one trainer."""

    name: str
    version: str
    """The version whose source was read."""
    max_length: int
    """Its default, in tokens."""
    room: int
    """Tokens that must be left after the prompt, or the pair is dropped."""
    overwrites: int
    """1: the last token of a side that is cut becomes EOS; 0: it is what it is."""
    prepare: Callable[[Tokenizer, Sequence[PairRow]], list[PairTokens | InputError]]
    """Each row as the trainer prepares it, or what it would stop at."""

    def dropped(self, prompt: Any, max_length: int) -> Any:
        """Whether pairs with so many tokens of prompt are left out; numbers or arrays."""
        return prompt > max_length - self.room

    def inside(self, length: Any, max_length: int) -> Any:
        """How many of `length` tokens are left as they are inside the cut; numbers or arrays."""
        return length - (length > max_length) * (length - max_length + self.overwrites)

    def trained(self, pair: PairTokens, max_length: int, eos: int | None) -> tuple[list[int], list[int]] | None:
        """(chosen, rejected) as they are trained, prompt included; None where the pair is dropped."""
        if self.dropped(pair.prompt, max_length):
            return None
        return self._cut(pair.chosen.ids, max_length, eos), self._cut(pair.rejected.ids, max_length, eos)

    def _cut(self, ids: list[int], max_length: int, eos: int | None) -> list[int]:
        if not self.overwrites or len(ids) <= max_length or eos is None:
            return ids[:max_length]
        return [*ids[: max_length - 1], eos]


def trl(tokenizer: Tokenizer, rows: Sequence[PairRow]) -> list[PairTokens | InputError]:
    """Each row as TRL's DPOTrainer prepares it, or what it would stop at: the template's own words.

    Raises InputError where message lists meet a tokenizer without a chat template.
    """
    texts, plain = _all_texts(tokenizer, rows, _trl_texts)
    found = iter(_encoded(tokenizer, [text for one in texts if isinstance(one, tuple) for text in one], plain))
    return [one if isinstance(one, InputError) else _pair(one, next(found), next(found), next(found)) for one in texts]


def openrlhf(tokenizer: Tokenizer, rows: Sequence[PairRow]) -> list[PairTokens | InputError]:
    """Each row as OpenRLHF's DPO prepares it, or what it would stop at. Raises InputError as `trl` does."""
    texts, _ = _all_texts(tokenizer, rows, _openrlhf_texts)
    flat = [text for one in texts if isinstance(one, tuple) for text in one]
    found = iter(tokenizer.encode_batch(flat))

    def pair(one: Texts) -> PairTokens:
        prompt, chosen, rejected = next(found), next(found), next(found)
        sides = [SideTokens(side.ids, text, len(one[0]), side) for text, side in ((one[1], chosen), (one[2], rejected))]
        return PairTokens(len(prompt.ids), 0, *sides)

    return [one if isinstance(one, InputError) else pair(one) for one in texts]


def _all_texts(
    tokenizer: Tokenizer, rows: Sequence[PairRow], of_row: Callable[[Tokenizer, PairRow], Texts]
) -> tuple[list[Texts | InputError], list[bool]]:
    """Prompt alone, prompt + chosen, prompt + rejected of each row as text, or why not; which of the former are strings."""
    if any(row.conversational for row in rows):
        tokenizer.need_template()
    texts: list[Texts | InputError] = []
    for row in rows:
        try:
            if row.conversational is None:
                raise InputError("strings beside message lists: give all three in one form")
            texts.append(of_row(tokenizer, row))
        except InputError as error:
            texts.append(error)
    return texts, [not row.conversational for row, one in zip(rows, texts, strict=True) if isinstance(one, tuple)]


def _encoded(tokenizer: Tokenizer, texts: Sequence[str], plain: Sequence[bool]) -> list[Any]:
    """The encodings of three texts a pair; those of plain strings with the post-processor's special tokens."""
    if len(set(plain)) <= 1:
        return tokenizer.encode_batch(texts, special_tokens=any(plain))
    return [tokenizer.encode(text, special_tokens=plain[i // 3]) for i, text in enumerate(texts)]


def _rendered(tokenizer: Tokenizer, row: PairRow) -> Texts:
    given: Mapping[str, Any] = row.variables
    assert not isinstance(row.prompt, str)
    return (
        tokenizer.render(row.prompt, add_generation_prompt=True, variables=given),
        tokenizer.render([*row.prompt, *row.chosen], variables=given),
        tokenizer.render([*row.prompt, *row.rejected], variables=given),
    )


def _trl_texts(tokenizer: Tokenizer, row: PairRow) -> Texts:
    if not isinstance(row.prompt, str):
        return _rendered(tokenizer, row)
    eos = _eos(tokenizer)
    chosen, rejected = (str(side) if str(side).endswith(eos) else f"{side}{eos}" for side in (row.chosen, row.rejected))
    return row.prompt, row.prompt + chosen, row.prompt + rejected


def _openrlhf_texts(tokenizer: Tokenizer, row: PairRow) -> Texts:
    if isinstance(row.prompt, str):
        prompt, answers = row.prompt, [str(row.chosen), str(row.rejected)]
    else:
        prompt, *whole = _rendered(tokenizer, row)
        answers = [text[len(prompt) :] for text in whole]
    eos, texts = _eos(tokenizer), [(prompt + answer).rstrip("\n") for answer in answers]
    chosen, rejected = (text if text.endswith(eos) else f"{text} {eos}" for text in texts)
    return prompt, chosen, rejected


def _eos(tokenizer: Tokenizer) -> str:
    if tokenizer.eos_token is None:
        raise InputError("the tokenizer names no EOS token, which the trainer appends")
    return tokenizer.eos_token


def _pair(texts: Texts, prompt: Any, chosen: Any, rejected: Any) -> PairTokens:
    alone, ids, other = prompt.ids, chosen.ids, rejected.ids
    length = min(common_prefix(alone, ids), common_prefix(alone, other))
    return PairTokens(
        prompt=length,
        left_out=len(alone) - length,
        chosen=SideTokens(ids, texts[1], common_prefix(texts[0], texts[1]), chosen),
        rejected=SideTokens(other, texts[2], common_prefix(texts[0], texts[2]), rejected),
    )


def common_prefix(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many items two strings or two lists have in common at their begin."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # slices are compared in C
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


TRAINERS = {
    one.name: one
    for one in (
        Trainer("trl", "1.16.0", max_length=1024, room=1, overwrites=0, prepare=trl),
        Trainer("openrlhf", "0.11.2", max_length=512, room=3, overwrites=1, prepare=openrlhf),
    )
}
"""By the name that --trainer takes."""
