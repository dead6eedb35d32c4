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

The others have a file each: axolotl_view.py, llama_factory_view.py, oumi_view.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from loopguard.errors import InputError
from loopguard.handover.axolotl_view import axolotl
from loopguard.handover.cuts import Cut, KeepStart, Shares
from loopguard.handover.llama_factory_view import llama_factory
from loopguard.handover.oumi_view import oumi
from loopguard.handover.pair_tokens import PairTokens, SideTokens, common_prefix, each_row
from loopguard.handover.pairs import PairRow
from loopguard.handover.tokenizers_at_hand import Tokenizer

__all__ = ["TRAINERS", "PairTokens", "SideTokens", "Trainer", "common_prefix", "openrlhf", "trl"]


Texts = tuple[str, str, str]
"""Prompt alone, prompt + chosen, prompt + rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """What is known of one trainer."""

    name: str
    version: str
    """The version whose source was read."""
    option: str = "max_length"
    """Its own name for max_length."""
    max_length: int
    """Its default, in tokens."""
    cut: Cut = field(default_factory=KeepStart)
    overwrites: int = 0
    """1: the last token of a side that is cut becomes EOS; 0: it is what it is."""
    instead: str = ""
    """Advice for dropped pairs: what it does with them where another option asks for it."""
    prepare: Callable[[Tokenizer, Sequence[PairRow]], list[PairTokens | InputError]]
    """Each row as the trainer prepares it, or what it would stop at."""

    def kept(self, prompt: Any, chosen: Any, rejected: Any, max_length: int) -> tuple[Any, Any, Any]:
        """Tokens that are left of the prompt, of the chosen and of the rejected side (prompt included); numbers or arrays."""
        left, most = self.cut.kept(prompt, _larger(chosen, rejected) - prompt, max_length)
        return left, left + _smaller(chosen - prompt, most), left + _smaller(rejected - prompt, most)

    def inside(self, prompt: Any, chosen: Any, rejected: Any, max_length: int) -> tuple[Any, Any]:
        """The last place of the chosen and of the rejected side that is left as it is inside the cut; numbers or arrays.

        Places count from the begin of the uncut sequence.
        """
        _, most = self.cut.kept(prompt, _larger(chosen, rejected) - prompt, max_length)
        sides = ((side, side - prompt > most) for side in (chosen, rejected))
        first, second = (side - cut * (side - prompt - most + self.overwrites) for side, cut in sides)
        return first, second

    def trained(self, pair: PairTokens, max_length: int, eos: int | None) -> tuple[list[int], list[int]] | None:
        """(chosen, rejected) as they are trained, prompt included; None where the pair is dropped."""
        if max_length < pair.needs:
            return None
        sides = (pair.chosen.ids, pair.rejected.ids)
        prompt, most = self.cut.kept(pair.prompt, max(map(len, sides)) - pair.prompt, max_length)
        first, second = (self._cut(ids, pair.prompt, prompt, most, eos) for ids in sides)
        return first, second

    def _cut(self, ids: list[int], whole_prompt: int, prompt: int, most: int, eos: int | None) -> list[int]:
        kept = ids[:prompt] + ids[whole_prompt : whole_prompt + most]
        if not self.overwrites or len(ids) - whole_prompt <= most or eos is None:
            return kept
        return [*kept[:-1], eos]


def _larger(one: Any, other: Any) -> Any:
    return one + (other > one) * (other - one)


def _smaller(one: Any, other: Any) -> Any:
    return one + (other < one) * (other - one)


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
        first, second = (
            SideTokens(side.ids, text, len(one[0]), side) for text, side in ((one[1], chosen), (one[2], rejected))
        )
        return PairTokens(len(prompt.ids), 0, first, second, needs=len(prompt.ids) + 3)

    return [one if isinstance(one, InputError) else pair(one) for one in texts]


def _all_texts(
    tokenizer: Tokenizer, rows: Sequence[PairRow], of_row: Callable[[Tokenizer, PairRow], Texts]
) -> tuple[list[Texts | InputError], list[bool]]:
    """Prompt alone, prompt + chosen, prompt + rejected of each row as text, or why not; which of the former are strings."""
    if any(row.conversational for row in rows):
        tokenizer.need_template()

    def texts_of(row: PairRow) -> Texts:
        if row.conversational is None:
            raise InputError("strings beside message lists: give all three in one form")
        return of_row(tokenizer, row)

    texts = each_row(rows, texts_of)
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
    eos = tokenizer.need_eos()
    chosen, rejected = (str(side) if str(side).endswith(eos) else f"{side}{eos}" for side in (row.chosen, row.rejected))
    return row.prompt, row.prompt + chosen, row.prompt + rejected


def _openrlhf_texts(tokenizer: Tokenizer, row: PairRow) -> Texts:
    if isinstance(row.prompt, str):
        prompt, answers = row.prompt, [str(row.chosen), str(row.rejected)]
    else:
        prompt, *whole = _rendered(tokenizer, row)
        answers = [text[len(prompt) :] for text in whole]
    eos, texts = tokenizer.need_eos(), [(prompt + answer).rstrip("\n") for answer in answers]
    chosen, rejected = (text if text.endswith(eos) else f"{text} {eos}" for text in texts)
    return prompt, chosen, rejected


def _pair(texts: Texts, prompt: Any, chosen: Any, rejected: Any) -> PairTokens:
    alone, ids, other = prompt.ids, chosen.ids, rejected.ids
    length = min(common_prefix(alone, ids), common_prefix(alone, other))
    return PairTokens(
        prompt=length,
        left_out=len(alone) - length,
        chosen=SideTokens(ids, texts[1], common_prefix(texts[0], texts[1]), chosen),
        rejected=SideTokens(other, texts[2], common_prefix(texts[0], texts[2]), rejected),
        needs=length + 1,
    )


_TRL = Trainer(name="trl", version="1.16.0", max_length=1024, prepare=trl)
_ALL = (
    _TRL,
    Trainer(name="openrlhf", version="0.11.2", option="max_len", max_length=512, overwrites=1, prepare=openrlhf),
    Trainer(
        name="axolotl",
        version="0.19.0",
        option="sequence_len",
        max_length=512,
        prepare=axolotl,
        instead="; excess_length_strategy: truncate cuts them instead",
    ),
    Trainer(
        name="llama-factory",
        version="0.9.5",
        option="cutoff_len",
        max_length=2048,
        cut=Shares(),
        prepare=llama_factory,
    ),
    replace(_TRL, name="oumi", version="0.9", option="model_max_length", prepare=oumi),
)

TRAINERS = {one.name: one for one in _ALL}
"""By the name that --trainer takes."""
