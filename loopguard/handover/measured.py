"""One pair in numbers: where in its tokens prompt, loop and end lie. From these every fault at every max_length follows.

Pure functions over what a trainer makes of a pair (trainer_views.py) and what the detector says of its texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from loopguard.handover.pairs import PairRow, said
from loopguard.handover.tokenizers_at_hand import Tokenizer
from loopguard.handover.trainer_views import PairTokens, SideTokens, Trainer, common_prefix
from loopguard.records import Loop

__all__ = ["FAULTS", "SERIOUS", "Measured", "equal_inside", "faults", "measure"]

FAULTS = {
    "broken_row": "no prompt, chosen and rejected that a trainer can read",
    "mixed_forms": "strings beside message lists: TRL reads such a row at random, others stop",
    "template_error": "the chat template (or the trainer) refuses the messages: it stops, or leaves the pair out",
    "dropped": "too long for max_length (the prompt alone; axolotl: either side): the trainer leaves the pair out",
    "prompt_cut": "the prompt's end is cut off: what is left of the answer follows half a prompt",
    "equal": "chosen and rejected are the same tokens",
    "equal_after_cut": "chosen and rejected are the same tokens up to max_length",
    "empty_chosen": "nothing of the chosen text is left",
    "empty_rejected": "nothing of the rejected text is left",
    "chosen_loops": "the chosen text loops",
    "loop_beyond_cut": "the second copy of the loop lies beyond max_length: not seen",
    "loop_not_rendered": "the chat template leaves the loop out: not seen",
    "contradiction": "chosen here, rejected there, for the same prompt",
    "duplicate_pair": "the same pair as an earlier row",
    "contaminated": "the prompt is one of the benchmark's",
    "text_not_rendered": "the chat template does not write the text as it is, or the trainer cuts it out wrongly",
    "prompt_cut_short": "the answer runs into the prompt's last tokens (or the template does): they are not as they were",
    "control_tokens": "a text holds control tokens of the template as text",
    "no_eos": "the template writes no EOS token after an answer",
    "chosen_end_cut": "the chosen side's EOS lies beyond max_length: its end is never seen",
    "eos_after_cut_text": "EOS follows a rejected text that did not end: teaches never to stop",
    "chosen_repeated": "the same chosen text for another prompt",
}
"""Every fault by name, gravest first, in words for a table."""

SERIOUS = (
    *(
        "broken_row",
        "mixed_forms",
        "template_error",
        "dropped",
        "prompt_cut",
        "equal",
        "equal_after_cut",
        "empty_chosen",
        "empty_rejected",
    ),
    *("chosen_loops", "loop_not_rendered", "contaminated"),
)
"""Faults of which one is enough to fail; loop_beyond_cut fails above a share of the loops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Places are counts of tokens from the begin of the sequence: what is seen at max_length M has a place <= M."""

    row: int
    prompt: int
    """Tokens of context in both sides."""
    left_out: int
    """Tokens of the prompt that the trainer leaves out."""
    needs: int
    """The least max_length at which the trainer keeps the pair; 0: it drops none."""
    chosen: int
    """Tokens of prompt and chosen, EOS included."""
    rejected: int
    common: int
    """Tokens that both sides begin with."""
    chosen_text: int
    """Place of the first token of the chosen text; 0: the text is empty; -1: the template does not write it."""
    rejected_text: int
    chosen_eos: int
    """Place of the EOS token after the chosen text; 0: there is none."""
    rejected_eos: int
    loop_start: int = 0
    """Place of the loop's first token; 0: no loop (or not rendered)."""
    loop_seen: int = 0
    """Place of the last token of its second copy; 0: no loop; -1: the template leaves the loop out."""
    chosen_loops: bool = False
    truncated: bool = False
    """The rejected text goes on beyond its end."""
    control: bool = False


def measure(
    row: PairRow, tokens: PairTokens, tokenizer: Tokenizer, *, chosen_loops: bool, loop: Loop | None, control: bool
) -> Measured:
    """The places of one pair; `loop` is the rejected side's, in characters of its text."""
    eos = tokenizer.eos_id
    start, seen = _loop_places(tokens.rejected, said(row.rejected), loop)
    truncated = row.truncated if row.truncated is not None else loop is not None and loop.terminal
    return Measured(
        row=row.row,
        prompt=tokens.prompt,
        left_out=tokens.left_out,
        needs=tokens.needs,
        chosen=len(tokens.chosen.ids),
        rejected=len(tokens.rejected.ids),
        common=common_prefix(tokens.chosen.ids, tokens.rejected.ids),
        chosen_text=_text_place(tokens.chosen, said(row.chosen)),
        rejected_text=_text_place(tokens.rejected, said(row.rejected)),
        chosen_eos=_eos_place(tokens.chosen, tokens.prompt, eos),
        rejected_eos=_eos_place(tokens.rejected, tokens.prompt, eos),
        loop_start=start,
        loop_seen=seen,
        chosen_loops=chosen_loops,
        truncated=bool(truncated),
        control=control,
    )


def faults(m: Measured, max_length: int, trainer: Trainer) -> list[str]:
    """The names of what is wrong with a pair at a max_length, in the order of FAULTS."""
    dropped, sides = max_length < m.needs, (m.prompt, m.chosen, m.rejected)
    chosen, rejected = trainer.inside(*sides, max_length)
    prompt, _, kept = trainer.kept(*sides, max_length)
    cut = kept < prompt + m.rejected - m.prompt
    equal = m.common == m.chosen == m.rejected
    found = {
        "dropped": dropped,
        "prompt_cut": not dropped and prompt < m.prompt,
        "equal": equal,
        "equal_after_cut": not equal and not dropped and equal_inside(*sides, m.common, max_length, trainer),
        "empty_chosen": m.chosen_text == 0 or (not dropped and m.chosen_text > chosen),
        "empty_rejected": m.rejected_text == 0 or (not dropped and m.rejected_text > rejected),
        "chosen_loops": m.chosen_loops,
        "loop_beyond_cut": m.loop_seen > rejected or (dropped and m.loop_seen > 0),
        "loop_not_rendered": m.loop_seen < 0,
        "text_not_rendered": m.chosen_text < 0 or m.rejected_text < 0,
        "prompt_cut_short": m.left_out > 0,
        "control_tokens": m.control,
        "no_eos": not m.chosen_eos or not m.rejected_eos,
        "chosen_end_cut": not dropped and m.chosen_eos > chosen,
        "eos_after_cut_text": not dropped
        and bool((m.truncated and 0 < m.rejected_eos <= rejected) or (cut and trainer.overwrites)),
    }
    return [name for name in FAULTS if found.get(name)]


def equal_inside(prompt: Any, chosen: Any, rejected: Any, common: Any, max_length: int, trainer: Trainer) -> Any:
    """Whether two sides of so many tokens, `common` of them shared, are trained as the same; numbers or arrays.

    The same number of tokens is left, and but for an EOS that is put at the end they are shared.
    """
    left, least, other = trainer.kept(prompt, chosen, rejected, max_length)
    return (least == other) & (common >= prompt + least - left - trainer.overwrites)


def _text_place(side: SideTokens, text: str) -> int:
    if not text.strip():
        return 0
    at = side.text.find(text, side.begin)
    if at < 0:
        at = side.text.find(text.strip(), side.begin)
    else:
        at += len(text) - len(text.lstrip())
    return -1 if at < 0 else side.token_of(at) + 1


def _eos_place(side: SideTokens, prompt: int, eos: int | None) -> int:
    """Place of the last EOS token of an answer: templates write at most a line break after it.

    One that the trainer appends counts only where the template writes none.
    """
    if eos is None:
        return 0
    ids, end = side.ids, len(side.ids) - side.appended
    written = next((at + 1 for at in range(end - 1, prompt - 1, -1) if ids[at] == eos), 0)
    return written or (end + 1 if eos in ids[end:] else 0)


def _loop_places(side: SideTokens, text: str, loop: Loop | None) -> tuple[int, int]:
    """Places of the loop's first token and of the last token of its second copy."""
    if loop is None:
        return 0, 0
    at = side.text.find(text, side.begin) + loop.start
    if at < loop.start:  # the template changes the text: white space at its ends, thinking text left out
        at = side.text.find(text[loop.start : loop.start + 2 * loop.period], side.begin)
    if at < 0:
        return 0, -1
    end = min(at + 2 * loop.period, at + max(1, min(loop.end, len(text)) - loop.start))
    return side.token_of(at) + 1, side.token_of(end - 1) + 1
