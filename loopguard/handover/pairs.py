"""Preference pairs in: a run directory, a file, or a dataset of the Hub -> one pair a row, in whatever form it has.

    with open_pairs("runs/mine") as pairs:
        for row in pairs: ...                     # a PairRow or a BrokenRow; nothing is dropped silently

Read are the columns prompt, chosen, rejected as strings or message lists; without a prompt it is what chosen and rejected
begin with (as TRL's `extract_prompt` has it). `tools` and `chat_template_kwargs` go to the chat template. Of a run also what it
says of its loops.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loopguard.errors import InputError
from loopguard.handover.finished import finished_run
from loopguard.hubrows import hub_source
from loopguard.messages import BadRow, is_null, shown
from loopguard.prefs.outputs import PREFERENCES
from loopguard.prefs.run import Run
from loopguard.records import Loop
from loopguard.sources import Source, open_source

__all__ = ["BrokenRow", "PairRow", "Pairs", "Text", "open_pairs", "pair_of", "said"]

Text = str | list[dict[str, Any]]
"""A string, or a message list."""

_SIDES = ("prompt", "chosen", "rejected")
_READ = (*_SIDES, "tools", "chat_template_kwargs", "reason", "margin", "rejected_truncated", "rejected_trimmed")
_LOOP = ("kind", "terminal", "start", "end", "period", "repeats")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRow:
    """One pair as the trainer would get it."""

    row: int
    prompt: Text
    chosen: Text
    rejected: Text
    variables: Mapping[str, Any] = field(default_factory=dict)
    """What else the chat template sees: tools, enable_thinking, ..."""
    loop: Loop | None = None
    """The rejected side's loop as the run found it, in characters of the whole text; None: not said."""
    known: bool = False
    """The run says whether the rejected side loops."""
    truncated: bool | None = None
    """The rejected text goes on beyond its end; None: not said."""
    margin: float | None = None

    @property
    def conversational(self) -> bool | None:
        """All three are message lists; False: all are strings; None: some of each."""
        lists = {isinstance(side, list) for side in (self.prompt, self.chosen, self.rejected)}
        return lists.pop() if len(lists) == 1 else None


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that holds no pair, and why."""

    row: int
    why: str


@dataclass(frozen=True)
class Pairs:
    """The pairs of one source; can be read again and again."""

    name: str
    source: Source
    run: Run | None = None
    """The run, where the source is a run directory."""

    def __iter__(self) -> Iterator[PairRow | BrokenRow]:
        """Every row, in order. Raises InputError where the source turns out to be damaged."""
        columns = self.source.columns
        wanted = (
            None if columns is None else [name for name in columns if name in _READ or name.startswith("rejected_loop")]
        )
        for number, value in self.source.rows(wanted):
            try:
                yield pair_of(number, value, only_text=self.source.only_text)
            except InputError as error:
                yield BrokenRow(number, str(error))


@contextmanager
def open_pairs(source: str) -> Iterator[Pairs]:
    """The pairs of a run directory, a file (.parquet, .jsonl, .json, .csv) or `hf:user/dataset[:split]`.

    A run is held while the block lasts: nothing changes in it.

    Raises InputError: nothing there, no chosen and rejected, a run without pairs; RunInUse: a run that is still going.
    """
    path = Path(os.path.expanduser(source))
    if os.path.isdir(path):  # unlike Path.is_dir it has an answer for every name
        with finished_run(path) as run:
            yield Pairs(source, open_source(path / PREFERENCES), run)
    else:
        yield Pairs(source, _other(source))


def _other(source: str) -> Source:
    found = hub_source(source) if source.startswith("hf:") else open_source(source, row_keys=_SIDES)
    columns = found.columns
    if columns is None:
        first = next((value for _, value in found.rows(None) if isinstance(value, Mapping)), None)
        if first is None:
            raise InputError(f"{source} holds no rows with columns chosen and rejected")
        columns = tuple(map(str, first))
    if missing := [name for name in _SIDES[1:] if name not in columns]:
        raise InputError(f"{source} has no column {' or '.join(missing)}; its columns are {', '.join(columns[:20])}")
    return found


def said(side: Text) -> str:
    """The text of a side: the string, or what the last message says."""
    if isinstance(side, str):
        return side
    content = side[-1].get("content") if side else ""
    if isinstance(content, list):
        return "".join(part.get("text") or "" if isinstance(part, dict) else str(part) for part in content)
    return content if isinstance(content, str) else ""


def pair_of(number: int, value: object, *, only_text: bool = False) -> PairRow:
    """The pair that a row of preference data holds; `only_text`: message lists may be written as JSON (CSV).

    Raises InputError: it holds none.
    """
    if isinstance(value, BadRow):
        raise InputError(f"{value.reason}: {value.detail}")
    if not isinstance(value, Mapping):
        raise InputError(f"{shown(value)} is no object with prompt, chosen and rejected")
    chosen, rejected = (_side(value, name, only_text) for name in _SIDES[1:])
    if is_null(value.get("prompt")):
        prompt, chosen, rejected = _shared(chosen, rejected)
    else:
        prompt = _side(value, "prompt", only_text)
    known = "rejected_loop_kind" in value
    truncated = value.get("rejected_truncated")
    return PairRow(
        row=number,
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        variables=_variables(value),
        loop=_loop(value),
        known=known and (value.get("rejected_loop_kind") is not None or value.get("reason") == "score"),
        truncated=truncated if isinstance(truncated, bool) else None,
        margin=value["margin"] if _is_number(value.get("margin")) else None,
    )


def _side(value: Mapping[str, Any], name: str, only_text: bool) -> Text:
    if name not in value:
        raise InputError(f"the row has no {name}")
    side = value[name]
    if only_text and isinstance(side, str) and side.lstrip().startswith("[{"):
        try:
            side = json.loads(side)
        except ValueError:
            raise InputError(f"{name} begins like a message list, but is not JSON: {shown(side)}") from None
    if isinstance(side, str):
        return side
    if not isinstance(side, Sequence) or not all(isinstance(message, Mapping) for message in side):
        raise InputError(f"{name} is {shown(side)}, neither a string nor a list of messages")
    if not side and name == "prompt":
        raise InputError("prompt is an empty list")
    if wrong := [message for message in side if not isinstance(message.get("role"), str)]:
        raise InputError(f"{name} has a message without role: {shown(dict(wrong[0]))}")
    return [dict(message) for message in side]


def _shared(chosen: Text, rejected: Text) -> tuple[Text, Text, Text]:
    """Prompt, chosen and rejected where both sides hold the prompt: TRL 1.16, data_utils.extract_prompt, quirks included."""
    at = 0
    for at in range(min(len(chosen), len(rejected))):
        if chosen[at] != rejected[at]:
            at -= chosen[at - 1] == " "
            break
    return chosen[:at], chosen[at:], rejected[at:]


def _variables(value: Mapping[str, Any]) -> dict[str, Any]:
    tools = value.get("tools")
    found: dict[str, Any] = {}
    if tools is not None:
        try:
            found["tools"] = json.loads(tools) if isinstance(tools, str) else tools
        except ValueError:
            raise InputError(f"tools is no JSON: {shown(tools)}") from None
    more = value.get("chat_template_kwargs")
    return found | dict(more) if isinstance(more, Mapping) else found


def _loop(value: Mapping[str, Any]) -> Loop | None:
    found = {name: value.get(f"rejected_loop_{name}") for name in _LOOP}
    numbers = all(_is_number(found[name]) for name in ("start", "end", "period", "repeats"))
    known = numbers and isinstance(found["kind"], str) and isinstance(found["terminal"], bool)
    return Loop(**found) if known else None  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
