"""The page of two runs of the same prompts: before and after, side by side, and the prompts that changed."""

from __future__ import annotations

from collections.abc import Sequence

from loopguard.errors import InputError
from loopguard.look.subject import Subject


def compared(before: Subject, after: Subject, by: Sequence[str] = ()) -> str:
    """The page. Raises InputError where the two have no prompt in common."""
    raise InputError("two runs: not yet")
