"""Untrusted text made safe to print: what could move a cursor, hide or reorder text is shown as what it is."""

from __future__ import annotations

import unicodedata

__all__ = ["visible"]


def visible(text: str) -> str:
    """`text` with every control, format and surrogate character but newline and tab shown as ␛ or \\uXXXX."""
    return "".join(_shown(c) for c in text) if not text.isprintable() else text


def _shown(c: str) -> str:
    if c in "\n\t" or c.isprintable():
        return c
    if ord(c) < 0x20:
        return chr(0x2400 + ord(c))
    if unicodedata.category(c) in ("Zs", "Zl", "Zp"):
        return " "
    return f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"
