"""JSON files -> rows, one at a time: JSON lines, or one document that holds a list, read without holding the list."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Collection, Iterator
from typing import IO, Any

from loopguard.errors import InputError
from loopguard.messages import BadRow, shown

__all__ = ["Row", "document_rows", "is_lines", "line_rows"]

Row = tuple[int, Any]
"""A row's number from 1, and what it holds: any value, or a BadRow where it cannot be read."""

_CHUNK = 1 << 20  # characters read at once
_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\r\n]*")


def line_rows(file: IO[bytes]) -> Iterator[Row]:
    """Rows of a JSONL file under their line numbers. Blank lines are passed over; a BOM and CRLF do no harm."""
    decode = json.JSONDecoder().decode
    for number, line in enumerate(file, start=1):
        if line.startswith(_BOM):
            line = line[len(_BOM) :]
        if line.isspace() or not line:
            continue
        try:
            value = decode(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            yield number, BadRow(number, "invalid_utf8", f"byte {error.start + 1} is 0x{line[error.start]:02x}")
        except (ValueError, RecursionError) as error:
            yield number, BadRow(number, "broken_json", f"{_said(error)}: {_shown_line(line)}")
        else:
            if isinstance(value, dict):
                yield number, value
            else:
                yield number, BadRow(number, "not_an_object", f"{type(value).__name__} {shown(value)}")


def is_lines(head: bytes, *, by_name: bool) -> bool:
    """Whether a file holds JSON lines rather than one document, by its first bytes; its name may say otherwise."""
    if by_name and not head.removeprefix(_BOM).lstrip().startswith(b"["):
        return True
    lines = [line for line in head.removeprefix(_BOM).split(b"\n") if not line.isspace() and line][:2]
    return len(lines) == 2 and lines[1].lstrip().startswith(b"{") and any(map(_is_object, lines))


def document_rows(file: IO[bytes], name: str, row_keys: Collection[str]) -> Iterator[Row]:
    """Rows of one JSON document: the items of a list, or of the first list inside an object ({"data": [...]}).

    An object with one of `row_keys` is itself the one row. Where the document breaks off or is not JSON, the last row
    is a BadRow: nothing after it can be read.

    Raises:
        InputError: it is not JSON before the first row.
    """
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as decoded:
        text = _JsonText(decoded)
        row = 0
        try:
            for row, value in enumerate(_document(text, row_keys), start=1):
                yield row, BadRow(row, value.reason, value.detail) if isinstance(value, BadRow) else value
        except (ValueError, RecursionError) as error:
            said = f"{_said(error)} (character {text.position + 1})"
            if row == 0:
                raise InputError(f"{name} is not JSON: {said}") from None
            yield row + 1, BadRow(row + 1, "broken_json", f"{said}; nothing after this can be read")


def _document(text: _JsonText, row_keys: Collection[str]) -> Iterator[Any]:
    """The rows of a document. Raises ValueError where it is not JSON, or holds more than is read."""
    first = text.peek()
    if not first:
        return
    only = _enter_object(text, row_keys) if first == "{" else None
    if only is not None:
        yield only
    else:
        yield from _items(text)
    if first == "{":
        _leave_object(text)
    if text.peek():
        raise ValueError(f"more after the end of the document: {shown(text.peek())}")


class _JsonText:
    """A pull parser over a text file: looks at the next character, takes the next value; holds one value's text."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._text = ""
        self._at = 0
        self._before = 0
        self._decoder = json.JSONDecoder()

    @property
    def position(self) -> int:
        """Characters of the file before the next one."""
        return self._before + self._at

    def peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, expected: str) -> None:
        """Step over one character. Raises ValueError if it is another."""
        seen = self.peek()
        if seen != expected:
            raise ValueError(f"{expected!r} expected, {shown(seen) if seen else 'the end'} seen")
        self._at += 1

    def value(self) -> tuple[Any, str]:
        """The next value and its text. Raises ValueError if there is none."""
        self.peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except ValueError:
                if self._more():
                    continue
                raise
            if end == len(self._text) and self._more():  # a number may go on
                continue
            raw = self._text[self._at : end]
            self._at = end
            return value, raw

    def _more(self) -> bool:
        """Read on, at least doubling what is held, so that one long value costs linear time."""
        chunk = self._file.read(max(_CHUNK, len(self._text) - self._at))
        self._before += self._at
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return bool(chunk)


def _enter_object(text: _JsonText, row_keys: Collection[str]) -> dict[str, Any] | None:
    """Go to the first list in an object; if none is the rows, return the whole object."""
    text.take("{")
    found: dict[str, Any] = {}
    while text.peek() != "}":
        if found:
            text.take(",")
        key = str(text.value()[0])
        text.take(":")
        if text.peek() == "[" and key not in row_keys and not found.keys() & set(row_keys):
            return None
        found[key] = text.value()[0]
    return found


def _leave_object(text: _JsonText) -> None:
    """Step over what follows the rows in their object. Raises ValueError at another list of objects."""
    while text.peek() == ",":
        text.take(",")
        key = str(text.value()[0])
        text.take(":")
        value = text.value()[0]
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            raise ValueError(f"only the first list is read, not {shown(key)}")
    text.take("}")


def _items(text: _JsonText) -> Iterator[Any]:
    text.take("[")
    first = True
    while text.peek() != "]":
        if not first:
            text.take(",")
        first = False
        value, raw = text.value()
        yield value if _is_utf8(raw) else BadRow(0, "invalid_utf8", shown(raw))
    text.take("]")


def _is_utf8(raw: str) -> bool:
    """False where surrogateescape has stood in for a byte."""
    if raw.isascii():
        return True
    try:
        raw.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _said(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _shown_line(line: bytes) -> str:
    return shown(line[:200].decode("utf-8", "replace").strip())
