"""Pairs as token ids for TRL: what its own preparation gives, but a cut rejected text stays without an end-of-sequence token.

A rejected text that the length limit cut, or that was trimmed, goes on beyond its end. With the end-of-sequence token that trainers
append, it would teach the model not to stop inside a loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopguard.errors import InputError
from loopguard.handover.trainer_views import common_prefix

if TYPE_CHECKING:
    from loopguard.handover.run_rows import Row
    from loopguard.handover.tokenizers_at_hand import Tokenizer

__all__ = ["PairTokenizer", "closing", "end_token"]

_PROBE = "loopguard0probe"


def closing(tokenizer: Tokenizer) -> str:
    """What the chat template writes after an answer: the end-of-turn token, perhaps a newline.

    Raises InputError where there is no chat template, or one that changes what the assistant says.
    """
    try:
        rendered = tokenizer.render([{"role": "user", "content": "?"}, {"role": "assistant", "content": _PROBE}])
    except InputError as error:
        where = (
            "" if str(error).startswith(tokenizer.name) else f"{tokenizer.name}: the chat template refuses an answer: "
        )
        raise InputError(f"{where}{error}") from None
    before, _, after = rendered.rpartition(_PROBE)
    if not before:
        raise InputError(f"{tokenizer.name}: the chat template does not write what the assistant says as it is")
    return after


def end_token(tokenizer: Tokenizer) -> str:
    """The text of the token that ends an answer: the first that the template writes after it; "" where it writes none."""
    after = closing(tokenizer)
    spans = tokenizer.encode(after).offsets
    return after[: spans[0][1]] if spans else ""


class PairTokenizer:
    """Pairs to prompt_ids, chosen_ids, rejected_ids with one tokenizer's chat template."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Raises InputError where there is no chat template to be used."""
        self._tokenizer, self._closing = tokenizer, closing(tokenizer)

    def row(self, pair: Row) -> Row:
        """The ids of one pair, split as TRL splits them: where prompt and prompt with answer diverge.

        Raises InputError where the template refuses the messages or does not end the answer as usual.
        """
        prompt = self._ids(self._tokenizer.render(pair["prompt"], add_generation_prompt=True))
        chosen = self._ids(self._rendered(pair, "chosen"))
        text = self._rendered(pair, "rejected")
        rejected = self._ids(self._without_end(text) if pair["rejected_truncated"] else text)
        cut = min(common_prefix(prompt, chosen), common_prefix(prompt, rejected))
        return {"prompt_ids": prompt[:cut], "chosen_ids": chosen[cut:], "rejected_ids": rejected[cut:]}

    def _rendered(self, pair: Row, side: str) -> str:
        return self._tokenizer.render([*pair["prompt"], *pair[side]])

    def _without_end(self, text: str) -> str:
        if self._closing and not text.endswith(self._closing):
            raise InputError("the chat template ends this answer in another way than others")
        return text.removesuffix(self._closing)

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text).ids)
