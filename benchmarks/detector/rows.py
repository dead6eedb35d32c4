"""The row of a labelled corpus, and how a planted loop becomes one with exact truth.

A row is what `loops_dev.jsonl`-like files hold, plus where the loop is. Positions are characters of the text.
`fold` splits the families of a corpus in two, so that one half can tune and the other half test.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Literal, TypedDict

Label = Literal["loop", "recovered", "ok"]


class Row(TypedDict):
    """One labelled text."""

    text: str
    label: str
    """loop: the text ends inside it. recovered: it went on. ok: no loop."""
    kind: str | None
    """verbatim, counter or near; None for ok."""
    start: int | None
    end: int | None
    period: int | None
    """Exact for verbatim; the length of a typical copy for counter and near."""
    terminal: bool | None
    category: str
    """The template family that made it: the unit of a dev/test split."""
    language: str


def fold(category: str) -> Literal["dev", "test"]:
    """The half a template family belongs to: the same on every machine, whatever the seed."""
    return "dev" if hashlib.sha256(category.encode()).digest()[0] % 2 == 0 else "test"


def ok(text: str, category: str, language: str = "en") -> Row:
    """A row without a loop."""
    return Row(
        text=text,
        label="ok",
        kind=None,
        start=None,
        end=None,
        period=None,
        terminal=None,
        category=category,
        language=language,
    )


def smallest_period(unit: str) -> int:
    """The smallest p such that `unit` is a whole number of copies of its first p characters."""
    return (unit + unit).find(unit, 1)


def looping(
    *,
    prefix: str,
    copies: Sequence[str],
    kind: str,
    category: str,
    language: str,
    cut: int = 0,
    suffix: str = "",
    period: int = 0,
) -> Row:
    """A row whose loop is `copies`, less the last `cut` characters, after `prefix`; `suffix` makes it recovered.

    A verbatim loop is widened to every character that happens to continue it, so that the truth does not depend on
    where the template put its joints.
    """
    body = "".join(copies)
    body = body[: len(body) - cut]
    text, start, end = prefix + body + suffix, len(prefix), len(prefix) + len(body)
    period = period or round(sum(map(len, copies)) / len(copies))
    if kind == "verbatim":
        period = smallest_period(copies[0])
        while start > 0 and text[start - 1] == text[start - 1 + period]:
            start -= 1
        while end < len(text) and text[end] == text[end - period]:
            end += 1
    terminal = end == len(text)
    return Row(
        text=text,
        label="loop" if terminal else "recovered",
        kind=kind,
        start=start,
        end=end,
        period=period,
        terminal=terminal,
        category=category,
        language=language,
    )


def log_uniform(rng: random.Random, low: float, high: float) -> float:
    """A number between `low` and `high`, every factor equally likely."""
    return low * float((max(high, low) / low) ** rng.random())
