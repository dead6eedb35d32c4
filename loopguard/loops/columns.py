"""Which column of a table holds the outputs, and the text or token ids in it that are examined.

    text       string, binary or dictionary of strings: the cell
    messages   a list of {"role", "content"} or {"from", "value"}, or one such message: the last message of the assistant,
               its `reasoning` (older: `reasoning_content`) first, an empty line between the two
               also the answer of an OpenAI-compatible server as it came: {"choices": [{"message": ...}]}, as in batch files
    tokens     lists of integers: the ids

A cell that holds none of it (null, no message of the assistant) is null here and gets a null verdict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from loopguard.errors import InputError
from loopguard.messages import printable

TEXT_COLUMNS = (
    "output",
    "completion",
    "response",
    "text",
    "answer",
    "generated_text",
    "generation",
    "prediction",
    "model_output",
    "messages",
    "conversations",
    "conversation",
    "message",
    "choices",
    "chosen",
    "content",
)
"""Names a column of outputs may have, in the order in which they are looked for."""

TOKEN_COLUMNS = ("output_token_ids", "completion_ids", "output_ids", "completion_token_ids", "token_ids", "tokens")
"""Names a column of token ids may have: looked for where no column of text is found."""

REASONING = ("reasoning", "reasoning_content")
"""Where a message keeps its thinking text; the first that is there counts."""

_WRAPPERS = ("body", "choices", "message")
"""What an answer of a server is wrapped in, outermost first."""

_ASSISTANT = ("assistant", "gpt", "chatgpt", "bot", "model")
_AS_TEXT = re.compile(rb"""\s*[\[{]\s*(?:\{\s*)?"(?:role|content|from|value)"\s*:""")

Form = Literal["text", "messages", "tokens"]


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """Where the outputs of a table are."""

    name: str
    form: Form


def find_column(
    schema: pa.Schema, where: str, *, text_column: str | None = None, tokens_column: str | None = None
) -> OutputColumn:
    """The column to examine: the one that is named, else the first of TEXT_COLUMNS, then TOKEN_COLUMNS, that fits.

    Raises:
        InputError: there is no such column, or it holds neither text nor messages nor token ids; says which there are.
    """
    named = tokens_column or text_column
    if named is not None:
        if named not in schema.names:
            raise InputError(f"{where} has no column {printable(named)}; it has {_listed(schema.names)}")
        form = _form(schema.field(named).type)
        if form is None or (tokens_column and form != "tokens"):
            wanted = "lists of integers" if tokens_column else "text, messages or token ids"
            kind = schema.field(named).type
            raise InputError(f"{where}: column {printable(named)} holds no {wanted} but {printable(str(kind))}")
        return OutputColumn(named, form)
    for name in (*TEXT_COLUMNS, *TOKEN_COLUMNS):
        if name in schema.names:
            form = _form(schema.field(name).type)
            if form is not None and (form == "tokens") == (name in TOKEN_COLUMNS):
                return OutputColumn(name, form)
    said = f"looked for {', '.join(TEXT_COLUMNS)}; it has {_listed(schema.names)}"
    raise InputError(f"{where}: no column of outputs found; {said}: name one with --text-column or --tokens-column")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:40])
    return (shown + (f" and {len(names) - 40} more" if len(names) > 40 else "")) or "none"


def _form(kind: pa.DataType) -> Form | None:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if _is_text(kind) or pa.types.is_null(kind):
        return "text"
    if pa.types.is_struct(kind):
        return "messages" if _is_message(kind) else None
    if not _is_list(kind):
        return None
    if pa.types.is_integer(kind.value_type) or pa.types.is_null(kind.value_type):
        return "tokens"
    return "messages" if pa.types.is_struct(kind.value_type) and _is_message(kind.value_type) else None


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in (*tests, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))


def _is_list(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _is_message(kind: pa.StructType) -> bool:
    names = {kind.field(i).name for i in range(kind.num_fields)}
    return bool(names & {"content", "value", *REASONING, *_WRAPPERS})


def examined(cells: pa.Array, *, parse_text: bool = False) -> pa.Array:
    """What the detector looks at: an array of large_string, large_binary or large lists of integers, as long as `cells`.

    With `parse_text`, a text that begins like a message list is read as JSON (CSV has no lists).
    """
    if isinstance(cells, pa.ChunkedArray):
        cells = cells.combine_chunks()
    kind = cells.type
    if pa.types.is_dictionary(kind):
        cells = cells.dictionary_decode()
        kind = cells.type
    if pa.types.is_null(kind):
        return cells.cast(pa.large_string())
    if _is_text(kind):
        binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
        whole = cells.cast(pa.large_binary() if binary else pa.large_string())
        return _parsed(whole) if parse_text else whole
    if _form(kind) == "tokens":
        value = kind.value_type if pa.types.is_integer(kind.value_type) else pa.int64()
        return cells.cast(pa.large_list(value))
    return _answers(cells)


def _parsed(cells: pa.Array) -> pa.Array:
    likely = pc.match_substring_regex(cells, r'^\s*[\[{]\s*(\{\s*)?"(role|content|from|value)"\s*:')
    if not pc.any(likely).as_py():
        return cells
    texts = [_read(text) for text in cells.to_pylist()]
    return _text_array(texts)


def _read(text: str | None) -> str | None:
    if text is None or not _AS_TEXT.match(text[:200].encode("utf-8", "replace")):
        return text
    try:
        return answer(json.loads(text))
    except (ValueError, RecursionError):
        return text


def _answers(cells: pa.Array) -> pa.Array:
    return _text_array([answer(cell) for cell in cells.to_pylist()])


def _text_array(texts: list[str | None]) -> pa.Array:
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:
        raw = [None if text is None else text.encode("utf-8", "surrogatepass") for text in texts]
        return pa.array(raw, pa.large_binary())


def answer(cell: Any) -> str | None:
    """The text of the last message of the assistant in a message list (or of one message); None if there is none.

    Thinking text goes first, an empty line after it. Parts of a content list are joined by a newline.
    """
    cell = _unwrapped(cell)
    messages = [cell] if isinstance(cell, Mapping) else cell
    if not isinstance(messages, Sequence) or isinstance(messages, str | bytes):
        return None
    for message in map(_unwrapped, reversed(messages)):
        if isinstance(message, Mapping) and (message.get("role") or message.get("from") or "assistant") in _ASSISTANT:
            return _whole(message)
    return None


def _unwrapped(cell: Any) -> Any:
    """The message in an answer of a server; of several choices the first."""
    for name in _WRAPPERS:
        if isinstance(cell, Mapping) and cell.get(name) is not None:
            cell = cell[name]
            if name == "choices":
                cell = cell[0] if cell else None
    return cell


def _whole(message: Mapping[str, Any]) -> str | None:
    thinking = next((message[name] for name in REASONING if isinstance(message.get(name), str) and message[name]), None)
    content = message.get("content")
    for name in ("value", "text"):  # ShareGPT; a choice of /v1/completions
        content = message.get(name) if content is None else content
    if isinstance(content, Sequence) and not isinstance(content, str | bytes):
        content = "\n".join(_part(part) for part in content)
    parts = [part for part in (thinking, content) if isinstance(part, str)]
    return "\n\n".join(part for part in parts if part) if parts else None


def _part(part: Any) -> str:
    text = part.get("text") if isinstance(part, Mapping) else part
    return text if isinstance(text, str) else ""
