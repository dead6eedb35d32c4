"""JSON lines -> Arrow record batches at the speed of Arrow's parser; block by block, so that memory stays flat.

A block that Arrow cannot read with the types seen so far (a broken line, a new column, a wider type, half a character) is read
line by line by jsonrows, which names what is wrong: the rows are the same, only slower.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.json as pj

from loopguard.errors import InputError
from loopguard.jsonrows import Row, is_lines, line_rows
from loopguard.messages import BadRow, printable

_BLOCK = 8_000_000  # bytes
_BOM = b"\xef\xbb\xbf"

Read = Callable[[Iterable[Row]], Iterable[Any]]


def line_batches(path: str, schema: pa.Schema, read: Read) -> Iterator[Any]:
    """Record batches of a JSONL file (.gz too), and a BadRow for each line that holds no row; `read` makes both of rows.

    Raises:
        InputError: the file cannot be read to its end.
    """
    first_line = 1
    for block in _blocks(path):
        batch = _parsed(block, schema)
        if batch is not None:
            yield batch
        else:
            for item in read(_numbered(line_rows(io.BytesIO(block)), first_line)):
                yield item
                if isinstance(item, pa.RecordBatch):
                    schema = _wider(schema, item.schema)
        first_line += block.count(b"\n")


def holds_lines(path: str) -> bool:
    """Whether a file with a name of JSON lines holds such, not one document."""
    with _open(path) as file:
        return is_lines(file.read(1 << 20), by_name=True)


def _blocks(path: str) -> Iterator[bytes]:
    """The file in blocks of whole lines."""
    try:
        with _open(path) as file:
            rest = file.read(len(_BOM)).removeprefix(_BOM)
            while data := file.read(_BLOCK):
                whole, newline, tail = data.rpartition(b"\n")
                if newline:
                    yield rest + whole + newline
                    rest = tail
                else:
                    rest += data
            if rest:
                yield rest
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{printable(path)} is damaged or no gzip file: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {printable(path)}: {error.strerror or error}") from error


def _open(path: str) -> IO[bytes]:
    return gzip.open(path) if path.lower().endswith(".gz") else open(path, "rb")  # type: ignore[return-value]


def _parsed(block: bytes, schema: pa.Schema) -> pa.RecordBatch | None:
    """The rows of a block, if Arrow can read all of them with these types."""
    try:
        block.decode("utf-8")  # Arrow does not look
        table = pj.read_json(
            pa.BufferReader(block),
            pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
            pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
        table.validate(full=True)
    except (pa.ArrowException, UnicodeDecodeError):
        return None
    batches = table.to_batches()
    return batches[0] if len(batches) == 1 else None


def _numbered(rows: Iterable[Row], first: int) -> Iterator[Row]:
    for number, value in rows:
        here = first + number - 1
        yield here, BadRow(here, value.reason, value.detail) if isinstance(value, BadRow) else value


def _wider(schema: pa.Schema, seen: pa.Schema) -> pa.Schema:
    """Types for the blocks to come."""
    try:
        return pa.unify_schemas([schema, seen], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return schema
