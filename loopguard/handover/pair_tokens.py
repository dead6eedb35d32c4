"""A pair as token ids before the trainer's cut: what every view of a trainer gives, and texts that are encoded piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from loopguard.errors import InputError
from loopguard.handover.pairs import PairRow
from loopguard.handover.tokenizers_at_hand import Tokenizer

__all__ = ["InPieces", "PairTokens", "SideTokens", "common_prefix", "each_row", "encoded_pieces"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SideTokens:
    """Prompt and answer of one side, before truncation."""

    ids: list[int]
    text: str
    """What was encoded: the rendered conversation, or prompt + answer."""
    begin: int
    """Character of `text` from which the answer is looked for: what both renderings begin with is before it."""
    encoding: Any
    """The `tokenizers.Encoding` of `text`, or several in a row."""
    appended: int = 0
    """Tokens at the end of `ids` that the trainer put there: no text stands for them."""

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
    """Tokens at the end of the prompt alone that are other ones in the sides: it is rendered or encoded otherwise alone."""
    chosen: SideTokens
    rejected: SideTokens
    needs: int = 0
    """The least max_length at which the trainer keeps the pair; 0: it drops none."""


class _InARow:
    """Several encodings of texts that follow each other, with the places of one: what `SideTokens` asks of an `Encoding`."""

    def __init__(self, pieces: Sequence[tuple[str, Any]]) -> None:
        self._parts: list[tuple[int, int, int, Any]] = []
        characters = tokens = 0
        for text, encoding in pieces:
            self._parts.append((characters, tokens, tokens + len(encoding.ids), encoding))
            characters, tokens = characters + len(text), tokens + len(encoding.ids)

    def char_to_token(self, character: int) -> int | None:
        begin, first, _, encoding = next(part for part in reversed(self._parts) if part[0] <= character)
        found = encoding.char_to_token(character - begin)
        return None if found is None else found + first

    def token_to_chars(self, token: int) -> tuple[int, int] | None:
        for begin, first, end, encoding in self._parts:
            if first <= token < end:
                span = encoding.token_to_chars(token - first)
                return None if span is None else (span[0] + begin, span[1] + begin)
        return None


@dataclass(frozen=True, slots=True)
class InPieces:
    """The texts of one pair, each of which the trainer encodes alone."""

    prompt: Sequence[str]
    chosen: Sequence[str]
    rejected: Sequence[str]
    before: int = 0
    """Pieces of both answers that are no answer: written by the trainer."""
    left_out: int = 0


def encoded_pieces(
    tokenizer: Tokenizer, rows: Sequence[InPieces | InputError], *, appended: Sequence[int] = ()
) -> list[PairTokens | InputError]:
    """The pairs of texts in pieces; `appended` are tokens that follow every answer. Such trainers drop no pair."""
    texts = [row for row in rows if isinstance(row, InPieces)]
    flat = [text for row in texts for side in (row.prompt, row.chosen, row.rejected) for text in side]
    found = iter(tokenizer.encode_batch(flat))

    def pair(row: InPieces) -> PairTokens:
        prompt, chosen, rejected = (
            [(text, next(found)) for text in side] for side in (row.prompt, row.chosen, row.rejected)
        )
        first, second = (_side(prompt, answer, row.before, appended) for answer in (chosen, rejected))
        return PairTokens(sum(len(encoding.ids) for _, encoding in prompt), row.left_out, first, second)

    return [row if isinstance(row, InputError) else pair(row) for row in rows]


def _side(
    prompt: list[tuple[str, Any]], answer: list[tuple[str, Any]], before: int, appended: Sequence[int]
) -> SideTokens:
    pieces = [*prompt, *answer]
    return SideTokens(
        ids=[*(one for _, encoding in pieces for one in encoding.ids), *appended],
        text="".join(text for text, _ in pieces),
        begin=sum(len(text) for text, _ in pieces[: len(prompt) + before]),
        encoding=_InARow(pieces),
        appended=len(appended),
    )


def each_row(rows: Sequence[PairRow], of_row: Callable[[PairRow], _T]) -> list[_T | InputError]:
    """What `of_row` makes of each row, or what it says against it."""
    found: list[_T | InputError] = []
    for row in rows:
        try:
            found.append(of_row(row))
        except InputError as error:
            found.append(error)
    return found


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
