"""What a template family draws from: a seeded random source, a text maker, the few draws that all need."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.detector.prose import Prose
from benchmarks.detector.rows import log_uniform


@dataclass(frozen=True, kw_only=True)
class Draw:
    """The random source of one row and the text maker in its language."""

    rng: random.Random
    prose: Prose

    @staticmethod
    def make(key: str, language: str) -> Draw:
        """The draw of a key: the same key and language give the same row."""
        rng = random.Random(key)
        return Draw(rng=rng, prose=Prose(rng, language))

    def amount(self, period: float, *, least: int, chars: int = 400, most: int = 9000) -> int:
        """How many copies: more than `least` and `chars` characters, log-uniform up to `most` characters."""
        low = max(least, chars / period)
        return 1 + round(log_uniform(self.rng, low, max(most / period, low * 1.5)))

    def same(self, unit: str, *, least: int, chars: int = 400, most: int = 9000) -> list[str]:
        """Copies of one unit."""
        return [unit] * self.amount(len(unit), least=least, chars=chars, most=most)

    def many(self, low: int, high: int) -> int:
        """A count, every factor equally likely."""
        return round(log_uniform(self.rng, low, high))

    def of(self, texts: Mapping[str, Sequence[str]]) -> str:
        """One of the texts for the language, or of the English ones."""
        return self.rng.choice(texts.get(self.prose.language, texts["en"]))

    def noun(self) -> str:
        """A noun of the language."""
        return self.prose.word("noun" if self.prose.language == "en" else "n")

    def number(self) -> str:
        """A number as data hold it: an integer, a price, a long decimal."""
        r = self.rng
        return r.choice(
            [str(r.randint(0, 9999)), f"{r.uniform(0, 500):.2f}", f"{r.uniform(-9, 9):.4f}", str(r.randint(0, 99))]
        )

    def day(self) -> str:
        """A date."""
        return f"{self.rng.randint(1970, 2031)}-{self.rng.randint(1, 12):02d}-{self.rng.randint(1, 28):02d}"
