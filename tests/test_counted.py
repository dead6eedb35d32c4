"""Counts with their nouns."""

from __future__ import annotations

import pytest

from loopguard.counted import counted


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0 pairs"), (1, "1 pair"), (2, "2 pairs"), (1000, "1,000 pairs"), (1_000_001, "1,000,001 pairs")],
)
def test_with_its_noun(number: int, said: str) -> None:
    assert counted(number, "pair") == said


def test_the_verb_goes_with_it() -> None:
    assert [counted(n, "row", "is left", "are left") for n in (0, 1, 2)] == [
        "0 rows are left",
        "1 row is left",
        "2 rows are left",
    ]
