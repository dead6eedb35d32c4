"""What comes back in a preference set: whole pairs, one chosen text for several prompts, a text both chosen and rejected.

Holds 8 bytes' worth of hash a text: some 400 bytes a pair in Python, 400 MB for a million pairs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from loopguard.handover.pairs import PairRow, Text, said

__all__ = ["Repeats"]


class Repeats:
    """Told every pair in turn, says what is wrong with it in the light of those before."""

    def __init__(self) -> None:
        self._prompts: dict[int, int] = {}
        self._pairs: dict[int, int] = {}
        self._chosen: dict[int, int] = {}
        self._rejected: dict[int, int] = {}
        self._answers: dict[int, tuple[int, int]] = {}
        self.prompts_again = 0
        """Pairs whose prompt an earlier pair has too."""

    @property
    def prompts(self) -> int:
        """Distinct prompts."""
        return len(self._prompts)

    def add(self, row: PairRow) -> Iterator[tuple[str, str]]:
        """(fault, which earlier row) for the pair."""
        prompt, number = _hash(row.prompt), row.row
        chosen, rejected = _hash(row.chosen, prompt), _hash(row.rejected, prompt)
        self.prompts_again += self._prompts.setdefault(prompt, number) != number
        if (first := self._pairs.setdefault(chosen ^ (rejected << 1), number)) != number:
            yield "duplicate_pair", f"row {first}"
        against = self._rejected.get(chosen, self._chosen.get(rejected))
        self._chosen.setdefault(chosen, number)
        self._rejected.setdefault(rejected, number)
        if against is not None and chosen != rejected:
            yield "contradiction", f"row {against}"
        if said(row.chosen).strip():
            first, of = self._answers.setdefault(_hash(row.chosen), (number, prompt))
            if of != prompt:
                yield "chosen_repeated", f"row {first}"


def _hash(side: Text, seed: int = 0) -> int:
    value = side if isinstance(side, str) else json.dumps(side, sort_keys=True, default=str)
    data = f"{seed}\0{value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
