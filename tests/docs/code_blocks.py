"""The code that pages show: fenced and indented blocks, commands in them, commands in running text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


class Block(NamedTuple):
    """One block of code."""

    where: str
    """File and line."""
    language: str
    """"" for an indented one."""
    text: str


def blocks(path: Path) -> Iterator[Block]:
    """The blocks of a page in order. Indented ones count where a blank line stands before them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    name = path.name
    at = 0
    while at < len(lines):
        fence = re.match(r"```(\w*)", lines[at])
        begin = at
        if fence:
            at = next(i for i in range(begin + 1, len(lines)) if lines[i].startswith("```"))
            yield Block(f"{name}:{begin + 1}", fence[1], "\n".join(lines[begin + 1 : at]) + "\n")
        elif lines[at].startswith("    ") and at and not lines[at - 1].strip():
            while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
                at += 1
            yield Block(f"{name}:{begin + 1}", "", "\n".join(line[4:] for line in lines[begin:at]))
            continue
        at += 1


class Shown(NamedTuple):
    """A command that a page shows."""

    where: str
    words: tuple[str, ...]
    whole: bool
    """False: named in running text, where arguments may be missing."""

    def __str__(self) -> str:
        return f"{self.where} {shlex.join(self.words)}"


def shown(path: Path) -> Iterator[Shown]:
    """Every `loopguard ...` of a page."""
    for block in blocks(path):
        if block.language in ("", "bash", "console", "sh", "shell"):
            for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
                for words in _commands(line.removeprefix("$ ")):
                    yield Shown(block.where, words, whole=True)
    prose = re.sub(r"(?s)```.*?```", "", path.read_text(encoding="utf-8"))
    for span in re.findall(r"`(loopguard [a-z][^`]*)`", prose):
        for words in _commands(" ".join(span.split())):
            yield Shown(path.name, words, whole=False)


def _commands(line: str) -> Iterator[tuple[str, ...]]:
    """The words of each loopguard command of a line of shell: up to a comment, a pipe, another command."""
    if not re.search(r"(^|&&\s*|\|\s*)loopguard ", line):
        return
    found: list[str] = []
    for word in [*_split(line), ";"]:
        if re.fullmatch(r"[|&;>]+", word):
            if found[:1] == ["loopguard"]:
                yield tuple(found[1:])
            found = []
        else:
            found.append(word)


def _split(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    return list(lexer)
