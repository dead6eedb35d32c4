"""Human look-alikes: texts that repeat for a reason, from about 130 template families, and files of this machine.

    python -m benchmarks.detector.corpora lookalikes --out lookalikes.jsonl

Half of them stand inside an answer: a lead-in before, a closing word after. Everything follows from the seed.
"""

from __future__ import annotations

import random

from benchmarks.detector.draw import Draw
from benchmarks.detector.human_code import CODE
from benchmarks.detector.human_data import DATA, Maker
from benchmarks.detector.human_text import TEXT
from benchmarks.detector.planted import LANGUAGE_SHARES
from benchmarks.detector.rows import Row, ok

MAKERS: tuple[Maker, ...] = (*DATA, *CODE, *TEXT)
SHORTEST, LONGEST = 300, 30_000


def lookalike(maker: Maker, key: str, language: str) -> Row:
    """One row of a family, perhaps inside an answer, 300 to 30,000 characters."""
    d = Draw.make(key, language)
    text = maker(d)
    if d.rng.random() < 0.5:
        text = f"{d.prose.text(d.rng.choice([80, 300, 1200]))}\n\n{text}\n\n{d.prose.text(d.rng.choice([80, 300]))}"
    while len(text) < SHORTEST:
        text += "\n\n" + d.prose.sentences(3)
    return ok(text[:LONGEST], maker.__name__, language)


def lookalikes(seed: int = 0, n: int = 816) -> list[Row]:
    """`n` look-alikes, the families in turn; the same seed gives the same rows."""
    rows = []
    for i in range(n):
        maker, turn = MAKERS[i % len(MAKERS)], i // len(MAKERS)
        key = f"{seed}/{maker.__name__}/{turn}"
        language = random.Random(key).choices(list(LANGUAGE_SHARES), list(LANGUAGE_SHARES.values()))[0]
        rows.append(lookalike(maker, key, language))
    return rows
