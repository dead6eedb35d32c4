"""Many sources read one after the other: what cannot be read is noted with its name, and the others go on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from loopguard.errors import InputError
from loopguard.loops.columns import find_column
from loopguard.loops.detector import Detector
from loopguard.loops.inputs import expand, open_batches
from loopguard.loops.judged import Judged, Opened, judged_batches
from loopguard.messages import BadRow, printable

_BAD_ROWS_TOLD = 5


@dataclass(slots=True)
class Reading:
    """What was read, and what could not be."""

    sources: int = 0
    """Files and datasets of which something was read."""
    unreadable: list[str] = field(default_factory=list)
    """Why a file could not be read, or not to its end: one line for each, with its name."""
    bad_rows: Counter[str] = field(default_factory=Counter)
    """Rows that could not be read, by reason; they are in no table and no rate."""
    bad_row_examples: list[str] = field(default_factory=list)
    """The first of them, with file and row."""

    @property
    def complete(self) -> bool:
        """Everything could be read."""
        return not self.unreadable and not self.bad_rows

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "sources": self.sources,
            "unreadable": self.unreadable,
            "bad_rows": dict(sorted(self.bad_rows.items())),
            "bad_row_examples": self.bad_row_examples,
        }

    def open(
        self, inputs: Iterable[str | os.PathLike[str]], *, text_column: str | None, tokens_column: str | None
    ) -> list[Opened]:
        """Every file, folder, glob or `hf:` name that can be opened, with the column of its outputs.

        Raises:
            InputError: none can, and all because there is no such file or no such column.
        """
        names = expand(inputs)
        opened, mistakes = [], []
        for name in names:
            source = None
            try:
                source = open_batches(name)
                column = find_column(source.schema, source.name, text_column=text_column, tokens_column=tokens_column)
                opened.append(Opened(source, column))
            except InputError as error:
                self.unreadable.append(str(error))
                if source is not None or not os.path.isfile(name):  # no such column, no such file
                    mistakes.append(str(error))
        if not names:
            raise InputError("nothing to read: give a file, a folder, a glob or hf:user/dataset")
        if len(mistakes) == len(names):
            raise InputError(mistakes[0] + (f" (and {len(mistakes) - 1} more like it)" if len(mistakes) > 1 else ""))
        return opened

    def judged(
        self, opened: Iterable[Opened], detector: Detector, *, limit: int | None = None
    ) -> Iterator[tuple[Opened, Judged]]:
        """The batches of all sources with their verdicts, in order; at most `limit` rows."""
        left = limit
        for one in opened:
            if left is not None and left <= 0:
                return
            self.sources += 1
            try:
                for item in judged_batches(one, detector, limit=left):
                    if isinstance(item, BadRow):
                        self._note(item, one)
                        continue
                    left = None if left is None else left - item.rows.num_rows
                    yield one, item
            except InputError as error:
                self.unreadable.append(str(error))

    def _note(self, bad: BadRow, one: Opened) -> None:
        self.bad_rows[bad.reason] += 1
        if len(self.bad_row_examples) < _BAD_ROWS_TOLD:
            where = f"{printable(one.source.name)}, row {bad.row}"
            self.bad_row_examples.append(f"{where}: {bad.reason}: {printable(bad.detail)}")
