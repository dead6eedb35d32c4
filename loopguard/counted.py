"""A count with its noun, as a person writes it: `1 pair`, `1,000 pairs`."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str, one: str = "", more: str = "") -> str:
    """`number` with `noun`, an s where there is not one of them, and what the sentence goes on with: `one` or `more`."""
    said = f"{number:,} {noun}" + ("" if number == 1 else "s")
    tail = one if number == 1 else more
    return f"{said} {tail}" if tail else said
