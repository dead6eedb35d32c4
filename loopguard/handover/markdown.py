"""Untrusted text inside Markdown: it cannot leave its code span, its fence or its table cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from loopguard.visible import visible

__all__ = ["code", "fenced", "shortened", "table"]


def code(text: str, *, limit: int = 200) -> str:
    """One line of text as inline code: white space folded, control characters visible, at most `limit` characters."""
    line = " ".join(visible(text).split())
    line = line if len(line) <= limit else line[:limit] + "..."
    if not line:
        return "(empty)"
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def fenced(text: str) -> str:
    """Text as a code block whose fence is longer than any run of backticks in it; control characters are visible."""
    shown = visible(text)
    ticks = "`" * max(3, _longest_run(shown) + 1)
    return f"{ticks}text\n{shown}\n{ticks}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """A table; the cells are Markdown, and a | in them stays in its cell. The first `texts` columns are text, then figures."""
    rule = [*["---"] * texts, *["---:"] * (len(head) - texts)]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in [head, rule, *rows])


def shortened(text: str, *, limit: int = 800, lines: int = 30) -> str:
    """The beginning of a text: at most so many characters and lines, and how many characters were left out."""
    kept = "\n".join(text[:limit].split("\n")[:lines])
    return text if len(kept) == len(text) else f"{kept} [... {len(text) - len(kept):,} characters more ...]"


def _cell(text: str) -> str:
    """Some readers (marked, micromark) pair backslashes from the left: of an odd number before a | the last would take ours."""
    line = re.sub(r"(?<!\\)((?:\\\\)*\\)\|", r"\1 |", text.replace("\n", " "))
    return line.replace("|", "\\|")


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
