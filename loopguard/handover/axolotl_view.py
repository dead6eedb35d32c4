"""axolotl's view of a pair, read in axolotl 0.19.0 over the TRL that it asks for, 1.9.0.

prompt_strategies/dpo/chat_template.py (`chat_template.default`, the tokenizer's own template), utils/data/rl.py, then TRL's
trainer/dpo_trainer.py, which gets three strings:

- prompt: the template over the prompt with its generation prompt;
- an answer: the template over a made-up user message and the answer, from where the answer's text is first found in it, without
  white space at its end. A text that is found sooner (`a` is in `<|im_start|>`) or not at all (the template strips it) begins
  elsewhere;
- a pair with a side of more than `sequence_len` tokens, prompt and answer encoded apart, is dropped
  (`excess_length_strategy: drop`, the default); nothing else is cut but what special tokens make longer;
- TRL appends the EOS token's text where the answer does not end with it, encodes prompt and prompt + answer, and trains what is
  left of the latter without as many tokens as the prompt has. The post-processor's BOS stands before that of the template:
  axolotl's mending of it (`AxolotlDPOTrainer._tokenize`) is not called by TRL 1.9, nor later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from loopguard.errors import InputError
from loopguard.handover.pair_tokens import PairTokens, SideTokens, common_prefix, each_row
from loopguard.handover.pairs import PairRow, Text
from loopguard.handover.tokenizers_at_hand import Tokenizer

__all__ = ["axolotl"]

ROLES = ("user", "assistant", "system", "tool")
MADE_UP = {"role": "user", "content": "[[dummy_message]]"}


class _Texts(NamedTuple):
    prompt: str
    chosen: str
    rejected: str
    at: tuple[int, int]
    """Character of each answer from which its text is to be looked for: its end where axolotl took hold of it wrongly."""


def axolotl(tokenizer: Tokenizer, rows: Sequence[PairRow]) -> list[PairTokens | InputError]:
    """Each row as axolotl's DPO prepares it, or what it would stop at.

    Raises InputError where the tokenizer has no chat template, or no EOS token.
    """
    tokenizer.need_template()
    eos = tokenizer.need_eos()
    texts = each_row(rows, lambda row: _texts(tokenizer, row))
    good = [one for one in texts if isinstance(one, _Texts)]
    counted = iter(tokenizer.encode_batch([text for one in good for text in one[:3]]))
    whole = iter(tokenizer.encode_batch([text for one in good for text in _whole(one, eos)], special_tokens=True))
    found: list[PairTokens | InputError] = []
    for one in texts:
        if isinstance(one, InputError):
            found.append(one)
            continue
        prompt, *answers = (len(next(counted).ids) for _ in range(3))
        pair = _pair(one, eos, next(whole), next(whole), next(whole))
        found.append(_needing(pair, prompt + max(answers)))
    return found


def _texts(tokenizer: Tokenizer, row: PairRow) -> _Texts:
    prompt = row.prompt if not isinstance(row.prompt, str) else [{"role": "user", "content": row.prompt}]
    text = tokenizer.render([_known(message) for message in prompt], add_generation_prompt=True)
    (chosen, first), (rejected, second) = (_answer(tokenizer, side) for side in (row.chosen, row.rejected))
    if not (text and chosen and rejected):
        raise InputError("axolotl stops at a pair of which the template leaves a prompt or an answer empty")
    return _Texts(text, chosen, rejected, (first, second))


def _known(message: Mapping[str, Any]) -> dict[str, Any]:
    if message["role"] not in ROLES:
        raise InputError(f"axolotl knows no role {message['role']!r}, only {', '.join(ROLES)}")
    return {"role": message["role"], "content": message.get("content")}


def _answer(tokenizer: Tokenizer, side: Text) -> tuple[str, int]:
    """The answer's text as axolotl cuts it out of the rendered conversation, and from where on it is to be looked for."""
    if isinstance(side, list) and not side:
        raise InputError("axolotl stops at an answer without messages")
    said = {"role": "assistant", "content": side} if isinstance(side, str) else _known(side[-1])
    content = said["content"]
    if not isinstance(content, str):
        raise InputError("axolotl looks for an answer's text as a string")
    rendered = tokenizer.render([MADE_UP, said])
    head = common_prefix(tokenizer.render([MADE_UP], add_generation_prompt=True), rendered)
    at = rendered.find(content)
    found = rendered[at:].rstrip()
    return found, len(found) if content.strip() and at < head else 0


def _whole(texts: _Texts, eos: str) -> tuple[str, str, str]:
    chosen, rejected = (text if text.endswith(eos) else text + eos for text in (texts.chosen, texts.rejected))
    return texts.prompt, texts.prompt + chosen, texts.prompt + rejected


def _pair(texts: _Texts, eos: str, alone: Any, *whole: Any) -> PairTokens:
    """TRL 1.9: the tokens of the prompt, and those of prompt + answer from that number on."""
    prompt = alone.ids
    first, second = (
        SideTokens([*prompt, *encoding.ids[len(prompt) :]], text, len(texts.prompt) + at, encoding)
        for text, encoding, at in zip(_whole(texts, eos)[1:], whole, texts.at, strict=True)
    )
    left_out = len(prompt) - min(common_prefix(prompt, encoding.ids) for encoding in whole)
    return PairTokens(len(prompt), left_out, first, second, needs=len(prompt) + 1)


def _needing(pair: PairTokens, tokens: int) -> PairTokens:
    return PairTokens(pair.prompt, pair.left_out, pair.chosen, pair.rejected, max(pair.needs, tokens))
