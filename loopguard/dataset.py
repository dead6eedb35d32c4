"""Prompts in: any dataset -> Prompt, one at a time, in the order of the source, and a BadRow for each row that is none.

    for row in read_prompts("gsm8k_test.jsonl"):
        ...                                       # a Prompt or a BadRow; nothing is dropped silently

The column is found by name (PROMPT_COLUMNS) or given. Memory stays flat: of each prompt about 100 bytes are kept, its
id and its row, so that an equal one later is a `duplicate` and not asked again. Where rows come from is in sources.py,
jsonrows.py and hubrows.py, what a cell means in messages.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from loopguard import __version__
from loopguard.errors import InputError
from loopguard.hubrows import hub_source
from loopguard.messages import BadRow, Reason, Unusable, check_characters, is_null, printable, read_cell, shown
from loopguard.prompt_columns import PromptColumns, check_wanted
from loopguard.records import Prompt
from loopguard.sources import Source, open_source

__all__ = ["PROMPT_COLUMNS", "BadRow", "PromptReader", "Reason", "read_prompts"]

PROMPT_COLUMNS = ("prompt", "messages", "question", "instruction", "text", "conversations", "turns")
"""Names a prompt's column may have, in the order in which they are looked for."""

_LOOK_AHEAD = 1000  # rows in which a column must show up, where the source does not name its columns itself


def read_prompts(
    source: str | os.PathLike[str] | Iterable[Any],
    *,
    prompt_column: str | None = None,
    reference_column: str | None = None,
    keep_columns: Collection[str] | None = None,
    limit: int | None = None,
) -> PromptReader:
    """Open a source of prompts; iterate over the result to read it.

    Args:
        source: a path (.jsonl, .ndjson, .json, .csv, .tsv, each also .gz, or .parquet), `hf:user/dataset[:split]`,
            `hf:user/dataset/config[:split]`, a polars, pandas or Arrow table, a datasets.Dataset, or any iterable of
            strings, message lists, objects or Prompts. An iterator can be read once, everything else again and again.
        prompt_column: the column to ask; by default the first of PROMPT_COLUMNS that the source has. A text is one user
            message; a list of {"role", "content"} or ShareGPT {"from", "value"} is a conversation, of which an answer
            at the end is cut off; of a list of strings the first is asked. Beside a column `instruction`, a text in
            `input` is added after an empty line (Alpaca).
        reference_column: the column of right answers, for judges that take one.
        keep_columns: other columns that come along with their prompt; by default all of single, short values.
        limit: stop after so many distinct prompts.

    Raises:
        InputError: no such file, dataset or column; an unknown format; no rows at all.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit is {limit}; it must be at least 1")
    row_keys = (*PROMPT_COLUMNS, *((prompt_column,) if prompt_column else ()))
    hub = isinstance(source, str) and source.startswith("hf:")
    reader = PromptReader(
        hub_source(str(source)) if hub else open_source(source, row_keys=row_keys),
        prompt_column=prompt_column,
        reference_column=reference_column,
        keep_columns=keep_columns,
        limit=limit,
    )
    reader.look()
    return reader


class PromptReader:
    """Yields a Prompt or a BadRow for each row of a source. The counts are those of the latest iteration."""

    def __init__(
        self,
        source: Source,
        *,
        prompt_column: str | None = None,
        reference_column: str | None = None,
        keep_columns: Collection[str] | None = None,
        limit: int | None = None,
    ) -> None:
        """For read_prompts, which also looks for the columns."""
        self._source = source
        self._reference = reference_column
        self._keep = keep_columns
        self._limit = limit
        self.name = source.name
        """The file, the dataset, or the kind of value that is read."""
        self.column = prompt_column
        """The prompts' column; None where rows are no objects."""
        self._reset()

    def _reset(self) -> None:
        self.prompts = 0
        """Distinct prompts yielded."""
        self.bad_rows: Counter[Reason] = Counter()
        """Rows that gave no prompt, by reason, duplicates included."""
        self.answers_cut = 0
        """Prompts whose conversation went on with an answer, which was left out."""
        self.columns = PromptColumns(known=self._own(), wanted=self._keep)
        """The other columns that come along, of the prompts yielded so far."""
        for name in self._source.nested:
            if name not in self._own() and (self._keep is None or name in self._keep):
                self.columns.left_out[name] = "no single values"

    def _own(self) -> list[str]:
        """The columns that are read for themselves."""
        names = (self.column, self._reference, "input" if self.column == "instruction" else None)
        return [name for name in names if name is not None]

    @property
    def duplicates(self) -> int:
        """Rows whose prompt had been yielded before."""
        return self.bad_rows["duplicate"]

    def look(self) -> None:
        """Find the columns before any work is done. Raises InputError if there is none, or no row."""
        columns = self._source.columns
        values: list[object] = []
        if columns is None:
            values = [value for _, value in itertools.islice(self._source.rows(None), _LOOK_AHEAD)]
            if not values:
                raise InputError(f"{self.name} is empty: it holds no rows")
            columns = tuple(dict.fromkeys(key for value in values if isinstance(value, Mapping) for key in value))
        bare = any(isinstance(value, str | list | tuple | Prompt) for value in values)
        if columns:
            self._find_columns(columns, bare=bare)
        elif bare and (named := self.column or self._reference or next(iter(self._keep or ()), None)):
            raise InputError(f"{self.name} holds bare prompts, without columns: there is no column {named}")

    def _find_columns(self, columns: tuple[str, ...], *, bare: bool) -> None:
        """Settle the prompts' column; `bare` says that some rows are prompts themselves, without columns."""
        seen = ", ".join(printable(str(name)[:60]) for name in columns[:20]) + (", ..." if len(columns) > 20 else "")
        if self.column is None:
            self.column = next((name for name in PROMPT_COLUMNS if name in columns), None)
        if self.column is None and not bare:
            if {"role", "content"} <= set(columns):
                raise InputError(f"{self.name} is one conversation: put it into a list, [messages]")
            raise InputError(f"{self.name} has no prompt column; its columns are {seen}; name one with --prompt-column")
        for name, option in ((self.column, "--prompt-column"), (self._reference, "--reference-column")):
            if name is not None and name not in columns:
                raise InputError(f"{self.name} has no column {name}; its columns are {seen}; name one with {option}")
        check_wanted(self._keep, columns, self.name)

    def digest(self) -> str | None:
        """Names all that iteration depends on: the file's bytes, the columns, the limit, this version of loopguard.

        None where the source is no file. Reads the file once, at the speed of a hash. Raises InputError.
        """
        path = self._source.path
        if path is None:
            return None
        try:
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, "blake2b")
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
        named = [path.name, self.column, self._reference, self._limit, __version__, "columns", sorted(self._keep or [])]
        found.update(json.dumps([*named, self._keep is None]).encode())
        return found.hexdigest()[:32]

    def __iter__(self) -> Iterator[Prompt | BadRow]:
        """Read the source from its beginning. Raises InputError where it turns out to be damaged."""
        self._reset()
        row = 0
        first_rows: dict[int, int] = {}
        for row, value in self._source.rows(self._needed()):
            item = self._read(row, value)
            if isinstance(item, Prompt):
                first = first_rows.setdefault(int(item.prompt_id, 16), row)
                if first != row:
                    item = BadRow(row, "duplicate", f"the same prompt as row {first}")
            if isinstance(item, BadRow):
                self.bad_rows[item.reason] += 1
            else:
                self.prompts += 1
                item = self._with_columns(item, value)
            yield item
            if self.prompts == self._limit:
                return
        if row == 0:
            raise InputError(f"{self.name} is empty: it holds no rows")

    def _needed(self) -> list[str] | None:
        """The columns to read, where the source can leave out the others."""
        columns = self._source.columns
        if columns is None or self.column is None:
            return None
        others = [name for name in columns if name not in self._source.nested] if self._keep is None else self._keep
        return [name for name in dict.fromkeys([*self._own(), *others]) if name in columns]

    def _with_columns(self, prompt: Prompt, row: object) -> Prompt:
        """The prompt with the other columns of its row, or of the Prompt that the row is."""
        others = row.columns if isinstance(row, Prompt) else row if isinstance(row, Mapping) else {}
        found = self.columns.of(others)
        return dataclasses.replace(prompt, columns=found) if found else prompt

    def _read(self, row: int, value: object) -> Prompt | BadRow:
        if isinstance(value, BadRow):
            return value
        try:
            messages, answer_cut = read_cell(self._cell(value), parse_text=self._parse_text())
            reference = self._reference_of(value)
        except Unusable as error:
            return BadRow(row, error.reason, error.detail)
        self.answers_cut += answer_cut
        return Prompt.make(messages, row=row, reference=reference)

    def _parse_text(self) -> bool:
        """Whether a text may be a message list: CSV has no other way, and a column of that name promises one."""
        return self._source.only_text or self.column in ("messages", "conversations")

    def _cell(self, row: object) -> object:
        """What the prompt's column holds, joined with Alpaca's `input`; the row itself where rows have no columns."""
        if isinstance(row, Prompt):
            return row.messages
        if not isinstance(row, Mapping):
            return row
        if self.column is None or self.column not in row:
            raise Unusable("missing_column", f"no {self.column or 'prompt column'} among {shown(list(row))}")
        cell = row[self.column]
        if self.column == "instruction" and isinstance(cell, str):
            extra = row.get("input")
            if isinstance(extra, str) and extra.strip():
                return f"{cell}\n\n{extra}"
        return cell

    def _reference_of(self, row: object) -> str | None:
        if isinstance(row, Prompt):
            return row.reference
        value = row.get(self._reference) if self._reference and isinstance(row, Mapping) else None
        if is_null(value):
            return None
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        check_characters(text)
        return text
