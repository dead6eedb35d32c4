"""What one cell of a dataset asks: a string, a message list, ShareGPT turns -> messages that wait for the assistant.

Pure functions over plain values; knows nothing of files. What cannot be used raises Unusable with a named reason.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from loopguard.records import Message

__all__ = [
    "REASONS",
    "BadRow",
    "Conversation",
    "Reason",
    "Unusable",
    "check_characters",
    "is_null",
    "printable",
    "read_cell",
    "shown",
]

Reason = Literal[
    "bad_messages",  # a message list with an unknown role, a missing text, no user turn, or parts that are not text
    "broken_csv",  # a row whose quotes or number of cells are wrong
    "broken_json",  # a line that is not JSON
    "duplicate",  # asked before, in the row that the detail names
    "empty_prompt",  # nothing but white space, or an empty list
    "invalid_utf8",  # bytes that are not UTF-8
    "lone_surrogate",  # half of a character (\ud800 in JSON): no engine and no file takes it
    "missing_column",  # this row lacks the prompt's column
    "not_an_object",  # a line of JSONL that is JSON, but no object
    "nul_character",  # U+0000: engines written in C end the prompt there
    "null_prompt",  # null
    "wrong_type",  # a number, a truth value, an object that is no message
]
"""Why a row gives no prompt."""

REASONS: tuple[str, ...] = get_args(Reason)

_ROLES = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
}
"""Roles as OpenAI and ShareGPT name them -> the role that engines take."""

_MESSAGES_AS_TEXT = re.compile(r"""\s*\[\s*\{\s*["'](?:role|content|from|value)["']\s*:""")
"""How a message list begins that was written into one cell of text: as JSON, or as Python by pandas."""

_shortener = reprlib.Repr()
_shortener.maxstring = _shortener.maxother = 80
_shortener.maxlevel = 2
_shortener.maxlist = _shortener.maxdict = 3


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of the source that gives no prompt, and why."""

    row: int
    """From 1: the line number of a JSONL file, elsewhere the number of the row (a CSV header does not count)."""
    reason: Reason
    detail: str
    """What was seen: one short line, safe to print."""


class Unusable(ValueError):
    """A cell that gives no prompt: a BadRow that does not know its row yet."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep reason and detail apart."""
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


class Conversation(NamedTuple):
    """Messages that wait for the assistant."""

    messages: list[Message]
    answer_cut: bool
    """The source went on with an answer of the assistant, which was left out."""


def shown(value: object) -> str:
    """A value in at most about 80 printable characters: what was seen, for a message or a report."""
    return _shortener.repr(value)


def printable(text: str) -> str:
    """The text on one line, with escapes if it holds anything that a terminal could take for more than text."""
    return text if text.isprintable() else repr(text)


def read_cell(cell: object, *, parse_text: bool = False) -> Conversation:
    """The conversation that a cell holds.

    A string is one user message. A list of {"role", "content"} or {"from", "value"} is a conversation. A list of
    strings is the user's turns, of which the first is asked. With `parse_text`, a string that begins like a message
    list is read as JSON (CSV has no lists).

    Raises:
        Unusable: the cell gives no prompt.
    """
    if parse_text and isinstance(cell, str) and _MESSAGES_AS_TEXT.match(cell):
        cell = _parsed(cell)
    if isinstance(cell, str):
        conversation = Conversation([{"role": "user", "content": cell}], answer_cut=False)
    else:
        conversation = _from_list(_as_list(cell))
    _check_text(conversation.messages)
    return conversation


def is_null(value: object) -> bool:
    """None, or one of the ways in which pandas writes it."""
    return (
        value is None or (isinstance(value, float) and value != value) or type(value).__name__ in ("NAType", "NaTType")
    )


def _parsed(cell: str) -> object:
    try:
        value: object = json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise Unusable("bad_messages", f"begins like a message list, but is not JSON: {error}") from None
    return value


def _as_list(cell: object) -> Sequence[Any]:
    if is_null(cell):
        raise Unusable("null_prompt", "null")
    if hasattr(cell, "tolist"):  # numpy arrays in a pandas column
        cell = cell.tolist()
    if isinstance(cell, Mapping) and ("content" in cell or "value" in cell):
        cell = [cell]
    if not isinstance(cell, Sequence) or isinstance(cell, str | bytes | bytearray):
        raise Unusable("wrong_type", f"{type(cell).__name__} {shown(cell)}")
    return cell


def _from_list(cell: Sequence[Any]) -> Conversation:
    if not cell:
        raise Unusable("empty_prompt", "an empty list")
    if all(isinstance(turn, str) for turn in cell):
        return Conversation([{"role": "user", "content": cell[0]}], answer_cut=False)
    messages = [_message(entry, number) for number, entry in enumerate(cell, start=1)]
    count = len(messages)
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not any(message["role"] == "user" for message in messages):
        raise Unusable("bad_messages", "no message of the user before the assistant's answer")
    return Conversation(messages, answer_cut=len(messages) < count)


def _message(entry: object, number: int) -> Message:
    """One message with a known role and its text; `number` counts from 1 and goes into the error."""
    if not isinstance(entry, Mapping):
        raise Unusable("bad_messages", f"message {number} is {shown(entry)}, not an object with role and content")
    given = entry.get("role") or entry.get("from")
    role = _ROLES.get(given) if isinstance(given, str) else None
    if role is None:
        known = "system, developer, user, assistant"
        raise Unusable("bad_messages", f"message {number} has role {shown(given)}; known are {known}")
    content = entry.get("content")
    if content is None:
        content = entry.get("value")
    if isinstance(content, Sequence) and not isinstance(content, str | bytes):
        content = "\n".join(_part(part, number) for part in content)
    if not isinstance(content, str):
        raise Unusable("bad_messages", f"message {number} has no text but {shown(content)}")
    return {"role": role, "content": content}


def _part(part: object, number: int) -> str:
    """The text of one part of a content list; parts are joined by a newline, as vLLM and llama.cpp do."""
    if isinstance(part, str):
        return part
    if isinstance(part, Mapping) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise Unusable("bad_messages", f"message {number} has a part that is not text: {shown(part)}")


def _check_text(messages: Sequence[Message]) -> None:
    last = messages[-1]
    if not last["content"].strip():
        raise Unusable("empty_prompt", shown(last["content"]))
    for message in messages:
        check_characters(message["content"])


def check_characters(text: str) -> None:
    """Raise Unusable for what UTF-8 cannot hold and for NUL."""
    if "\0" in text:
        raise Unusable("nul_character", _around(text, text.index("\0")))
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unusable("lone_surrogate", _around(text, error.start)) from None


def _around(text: str, position: int) -> str:
    return f"at character {position + 1}: {shown(text[max(0, position - 20) : position + 20])}"
