"""Where trainers cut a pair that is too long: after max_length tokens, or a share of prompt and answers each.

Pure arithmetic on numbers of tokens, single ones or numpy arrays. A place is a count of tokens from the begin of the sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Cut", "KeepStart", "Shares"]


@dataclass(frozen=True, slots=True)
class KeepStart:
    """The first max_length tokens of prompt and answer are kept."""

    def kept(self, prompt: Any, longest: Any, max_length: int) -> tuple[Any, Any]:
        """(tokens of the prompt that are kept, the most that are kept of an answer); `longest`: the longer answer's."""
        left = prompt - (prompt > max_length) * (prompt - max_length)
        return left, max_length - left

    def least(self, prompt: Any, longest: Any, answer: Any) -> Any:
        """The least max_length from which on `answer` tokens of an answer are kept."""
        return prompt + answer

    def whole_prompt(self, prompt: Any, longest: Any) -> Any:
        """The least max_length from which on the prompt is kept whole."""
        return prompt


@dataclass(frozen=True, slots=True)
class Shares:
    """LLaMA-Factory's `infer_seqlen` (0.9.5, data/processor/processor_utils.py): the end of the prompt and that of both answers.

    Answers of less than half of max_length stay whole; else a prompt of less than half of it does; else both are cut in proportion,
    the longer answer counting. So a longer max_length may keep less of an answer: 19 tokens of 1,000 after a prompt of 10 at
    max_length 20, and 11 at 21. `least` and `whole_prompt` give the value from which on it stays so.
    """

    def kept(self, prompt: Any, longest: Any, max_length: int) -> tuple[Any, Any]:
        """As `KeepStart.kept`."""
        import numpy as np

        share = max_length * (longest / np.maximum(prompt + longest, 1))
        other = np.where(prompt * 2 < max_length, max_length - prompt, np.floor(share).astype(np.int64))
        most = np.where(longest * 2 < max_length, max_length, other)
        left = np.minimum(np.maximum(max_length - np.minimum(most, longest), 0), prompt)
        return (left, most) if np.ndim(most) else (int(left), int(most))

    def least(self, prompt: Any, longest: Any, answer: Any) -> Any:
        """As `KeepStart.least`; arrays."""
        import numpy as np

        both = 2 * np.minimum(prompt, longest)
        """Up to this max_length both are cut."""
        above = np.where(prompt < longest, np.maximum(prompt + answer, both + 1), both + 1)
        guess = np.ceil(answer * (prompt + longest) / np.maximum(longest, 1)).astype(np.int64)
        below = self._first(guess, lambda at: np.minimum(self._kept_at(prompt, longest, at)[1], longest) >= answer)
        return np.where((above == both + 1) & (below <= both), below, above)

    def whole_prompt(self, prompt: Any, longest: Any) -> Any:
        """As `KeepStart.whole_prompt`; arrays."""
        import numpy as np

        above = np.where(prompt < longest, 2 * prompt + 1, prompt + longest)
        return self._first(above, lambda at: self._kept_at(prompt, longest, at)[0] >= prompt)

    def _kept_at(self, prompt: Any, longest: Any, at: Any) -> tuple[Any, Any]:
        return self.kept(prompt, longest, at)

    def _first(self, guess: Any, holds: Any) -> Any:
        """The guess moved to where `holds` begins: rounding puts it off by one or two."""
        import numpy as np

        for _ in range(2):
            guess = np.where((guess > 1) & holds(guess - 1), guess - 1, guess)
        return np.where(holds(guess), guess, guess + 1)


Cut = KeepStart | Shares
