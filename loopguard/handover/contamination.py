"""Prompts of a benchmark found among the prompts of a preference set: as a whole, or by a shared run of 13 words.

The method is that of GPT-3 (Brown et al. 2020, arXiv 2005.14165, appendix C), which EleutherAI's lm-evaluation-harness uses too:
words without case and punctuation, any 13 of them in a row in both. A benchmark prompt of fewer words counts only when a
prompt is the same as a whole. Without their filter of 13-grams that come often: a line of instruction that stands in all
prompts of both sets is found in all of them, and the report names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from loopguard.dataset import read_prompts
from loopguard.errors import InputError
from loopguard.handover.pairs import Text
from loopguard.records import Prompt

__all__ = ["WORDS", "Benchmark", "Found"]

WORDS = 13
"""Words in a row that are held against each other (GPT-3, appendix C)."""

_WORD = re.compile(r"\w+")


class Found(NamedTuple):
    """Where a prompt stands in the benchmark."""

    row: int
    """Row of the benchmark file, from 1."""
    how: str
    """`whole`, or the shared words."""


class Benchmark:
    """The prompts of a benchmark file, to hold prompts against; some 100 bytes a word are held."""

    def __init__(self, source: str, *, prompt_column: str | None = None) -> None:
        """Read a file or `hf:` dataset as `build-prefs` reads prompts. Raises InputError where it holds none."""
        self.name = source
        self.prompts = 0
        self.hit: set[int] = set()
        """Rows of the benchmark that were found so far."""
        self._whole: dict[int, int] = {}
        self._runs: dict[int, int] = {}
        for item in read_prompts(source, prompt_column=prompt_column):
            if isinstance(item, Prompt):
                self._add(item)
        if not self.prompts:
            raise InputError(f"{source} holds no prompts to look for")

    def _add(self, prompt: Prompt) -> None:
        self.prompts += 1
        words = _words(list(prompt.messages))
        self._whole.setdefault(hash(tuple(words)), prompt.row)
        for run in _runs(words):
            self._runs.setdefault(hash(run), prompt.row)

    def find(self, prompt: Text) -> Found | None:
        """Where the prompt stands in the benchmark; None: nowhere."""
        words = _words(prompt)
        found = None
        if words and (row := self._whole.get(hash(tuple(words)))) is not None:
            found = Found(row, "whole")
        else:
            shared = next(((run, at) for run in _runs(words) if (at := self._runs.get(hash(run))) is not None), None)
            found = Found(shared[1], " ".join(shared[0])) if shared else None
        if found:
            self.hit.add(found.row)
        return found


def _words(prompt: Text) -> list[str]:
    """The words of a prompt, that of the system left out: it is the same for all."""
    if not isinstance(prompt, str):
        said = (message.get("content") for message in prompt if message.get("role") not in ("system", "developer"))
        prompt = "\n".join(text for text in said if isinstance(text, str))
    return _WORD.findall(prompt.lower())


def _runs(words: list[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1))
