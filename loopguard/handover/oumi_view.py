"""oumi's view of a pair, read in oumi 0.9: core/datasets/base_dpo_dataset.py, core/trainers/trl_dpo_trainer.py, over TRL < 1.7.

- The chat template over the prompt alone, without its generation prompt, and over prompt + answer; the answer is the latter without
  as many characters as the former has. So what opens the answer (`<|im_start|>assistant`) is trained with it.
- Prompt and answers are encoded apart, and one more EOS token follows every answer, whatever the template ends it with.
- A prompt or an answer that is a string is one message of the user or of the assistant.
- TRL takes these ids as they are: it drops no pair, and cuts prompt + answer after `model_max_length` tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loopguard.errors import InputError
from loopguard.handover.pair_tokens import InPieces, PairTokens, common_prefix, each_row, encoded_pieces
from loopguard.handover.pairs import PairRow, Text
from loopguard.handover.tokenizers_at_hand import Tokenizer

__all__ = ["oumi"]


def oumi(tokenizer: Tokenizer, rows: Sequence[PairRow]) -> list[PairTokens | InputError]:
    """Each row as oumi's DPO prepares it, or what it would stop at.

    Raises InputError where the tokenizer has no chat template, or no EOS token.
    """
    tokenizer.need_template()
    name, eos = tokenizer.need_eos(), tokenizer.eos_id
    if eos is None:
        raise InputError(f"{tokenizer.name}: its EOS token {name!r} is not in its vocabulary")
    return encoded_pieces(tokenizer, each_row(rows, lambda row: _pieces(tokenizer, row)), appended=[eos])


def _pieces(tokenizer: Tokenizer, row: PairRow) -> InPieces:
    asked = _messages(row.prompt, "user")
    prompt = tokenizer.render(asked)
    chosen, rejected = (
        tokenizer.render([*asked, *_messages(side, "assistant")]) for side in (row.chosen, row.rejected)
    )
    lost = len(prompt) - min(common_prefix(prompt, chosen), common_prefix(prompt, rejected))
    return InPieces(
        [prompt],
        [chosen[len(prompt) :]],
        [rejected[len(prompt) :]],
        left_out=len(tokenizer.encode(prompt[len(prompt) - lost :]).ids) if lost else 0,
    )


def _messages(side: Text, role: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": side}] if isinstance(side, str) else side
