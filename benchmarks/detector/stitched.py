"""Texts stitched together at random, most of them loops of some make: to try two detectors against each other, not to measure one.

    from benchmarks.detector.stitched import stitched
    texts = stitched(seed=0, count=1000)

Words, digits, marks and letters of many scripts in units of 1 to 200 characters, said 2.4 to 100 times: verbatim, counted, as
items of a list, in changing order, with a slot; something before, something behind. No label: whether such a text loops is
up to the rules.
"""

from __future__ import annotations

import random

from benchmarks.detector.prose import Prose

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz", "etaoin shrdlu ", "ab ", "0123456789", "0123456789 ,.", "|-+ =", "abc123 .,;()", "ABCdef\n ",
    "你好世界们的是 ", "абвгдеж ", "ขคงจฉ", "αβγ δε", "🙂🚀 x", "  \n\t", "xyz=12();\n", "éèàç ua",
)  # fmt: skip
COPIES = (2.4, 3.3, 3.6, 4, 5, 6, 8, 12, 20, 40, 100)
LONGEST = 8000


def stitched(seed: int, count: int) -> list[str]:
    """So many texts of up to `LONGEST` characters."""
    rng = random.Random(f"stitched {seed}")
    prose = Prose(rng)
    return [_text(rng, prose) for _ in range(count)]


def _unit(rng: random.Random, prose: Prose) -> str:
    kind = rng.random()
    if kind < 0.4:
        return "".join(rng.choice(rng.choice(ALPHABETS)) for _ in range(rng.randint(1, 120)))
    if kind < 0.7:
        return "".join(rng.choices(rng.choice(ALPHABETS), k=rng.randint(1, 200)))
    words = prose.paragraph(rng.randint(60, 400)).split()
    begin = rng.randrange(len(words))
    return " ".join(words[begin : begin + rng.randint(1, 25)]) + rng.choice([" ", "\n", ". ", ", "])


def _body(rng: random.Random, prose: Prose) -> str:
    unit, kind, copies = _unit(rng, prose), rng.random(), rng.choice(COPIES)
    turns = range(int(copies) + 2)
    if kind < 0.45:
        return (unit * len(turns))[: int(len(unit) * copies)]
    if kind < 0.65:
        first = rng.randint(0, 95)
        return "".join(f"{first + k}. {unit}" for k in turns)
    if kind < 0.8:
        items = [_unit(rng, prose).replace("\n", " ")[: rng.randint(3, 40)] for _ in range(rng.randint(3, 10))]
        return "".join(f"- {rng.choice(items)}\n" for _ in range(3 * len(turns)))
    if kind < 0.9:
        units = [_unit(rng, prose) for _ in range(rng.randint(2, 6))]
        return "".join(rng.choice(units) for _ in range(2 * len(turns)))
    words, said = unit.split() or [unit], []
    for k in turns:
        turn = list(words)
        turn[rng.randrange(len(turn))] = rng.choice(["one", "two", "red", str(k), "zzz"])
        said.append(" ".join(turn) + rng.choice([" ", "\n"]))
    return "".join(said)


def _text(rng: random.Random, prose: Prose) -> str:
    before = "\n".join(prose.paragraph(rng.randint(60, 400)) for _ in range(rng.randint(0, 4))) + rng.choice(
        ["", "\n", " "]
    )
    behind = rng.choice(["", "", "", prose.paragraph(rng.randint(60, 400)), "```\n", " ok."])
    return (before + _body(rng, prose) + behind)[:LONGEST]
