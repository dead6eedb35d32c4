"""The other columns of a prompts file, carried along beside each prompt: which, and as what type.

    found = PromptColumns(known=("prompt",))
    found.of({"prompt": "Why?", "category": "science", "level": 3})     # {"category": "science", "level": 3}
    found.kept                                                          # {"category": "text", "level": "whole"}
    found.left_out                                                      # {"image": "no single values", ...}

Every column of single values comes along without being asked for: who wants to know at the end in which category the model loops
has rarely thought of it at the beginning, and a few words beside each answer cost next to nothing. What is long or nested is no
category and stays behind. `--keep-column` names those that shall come along, `--keep-column none` leaves all behind.

A column comes along whole or not at all: one value that does not fit leaves it out, so that no group lacks prompts in silence. In
the tables of a run its name is `source_NAME`: it cannot be taken for a column of ours, nor for one that a trainer reads.
"""

from __future__ import annotations

import datetime
import decimal
import json
import numbers
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from loopguard.errors import InputError
from loopguard.files import clean_text
from loopguard.messages import is_null, printable

__all__ = [
    "LONGEST",
    "MOST",
    "PREFIX",
    "Kind",
    "PromptColumns",
    "Value",
    "cast",
    "check_wanted",
    "column_of",
    "in_table",
]

PREFIX = "source_"
"""Before the name of such a column in a run's tables."""

MOST = 64
"""Columns that come along, the first ones of the file."""

LONGEST, LONGEST_NAME = 200, 64
"""Characters in a value, and in a name, that comes along."""

Kind = Literal["truth", "whole", "real", "text"]
Value = str | int | float | bool


class PromptColumns:
    """What is known of the columns after the rows seen so far."""

    def __init__(self, *, known: Collection[str] = (), wanted: Collection[str] | None = None) -> None:
        """`known`: columns that are in the run by themselves. `wanted`: the only ones that come along; None: all that fit."""
        self._known, self._wanted = frozenset(known), wanted
        self._seen: dict[str, Kind | None] = {}
        self.left_out: dict[str, str] = {}
        """Columns that do not come along, and why."""

    @property
    def kept(self) -> dict[str, Kind]:
        """Columns that come along, with their types; those that were always empty are text."""
        return {name: kind or "text" for name, kind in self._seen.items() if name not in self.left_out}

    def of(self, row: Mapping[str, object]) -> dict[str, Value]:
        """The values of one row that come along; what is missing, null or an empty text is not among them."""
        found = {}
        for name, cell in row.items():
            if not self._comes(name):
                continue
            try:
                value = _value(cell)
            except ValueError as error:
                self.left_out[name] = str(error)
                continue
            kind = self._seen.setdefault(name, None)
            if value is not None:
                found[name] = value
                self._seen[name] = _both(kind, _kind(value))
        return found

    def _comes(self, name: object) -> bool:
        if not isinstance(name, str) or name in self._known or name in self.left_out:
            return False
        if self._wanted is not None and name not in self._wanted:
            return False
        if name in self._seen:
            return True
        if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            self.left_out[clean_text(name)[:LONGEST_NAME]] = "a name that is no short text"
            return False
        if len(self.kept) >= MOST:
            self.left_out[name] = f"{MOST} others come along"
            return False
        return True

    def told(self) -> str:
        """`meta (no single values), context (longer than 200 characters)`; "" where nothing was left out."""
        shown = [f"{printable(name)} ({why})" for name, why in self.left_out.items()]
        return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")


def check_wanted(wanted: Collection[str] | None, columns: Collection[str], name: str) -> None:
    """Raises InputError where a column that shall come along is not in the source of that name."""
    for one in wanted or ():
        if one not in columns:
            seen = ", ".join(printable(str(there)) for there in list(columns)[:20])
            more = ", ..." if len(columns) > 20 else ""
            raise InputError(f"{name} has no column {printable(one)} to keep; its columns are {seen}{more}")


def _value(cell: object) -> Value | None:
    """The single value in a cell. Raises ValueError with the reason why there is none to keep."""
    if is_null(cell) or (isinstance(cell, str) and not cell.strip()):
        return None
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, numbers.Integral):
        return int(cell)
    if isinstance(cell, numbers.Real) and not isinstance(cell, decimal.Decimal):
        number = float(cell)
        return number if number - number == 0 else str(number)
    if isinstance(cell, datetime.date | datetime.time | decimal.Decimal):
        return str(cell)
    if not isinstance(cell, str):
        raise ValueError("no single values")
    if len(cell) > LONGEST:
        raise ValueError(f"longer than {LONGEST} characters")
    return clean_text(cell)


def _kind(value: Value) -> Kind:
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int):
        return "whole" if -(2**63) <= value < 2**63 else "text"
    return "real" if isinstance(value, float) else "text"


def _both(one: Kind | None, other: Kind) -> Kind:
    """The type that holds the values of both."""
    if one is None or one == other:
        return other
    return "real" if {one, other} == {"whole", "real"} else "text"


def column_of(name: str, columns: Sequence[str]) -> str | None:
    """The column of a run's table that somebody means by this name: one of ours, else the prompts' own; None: there is none."""
    return next((found for found in (name, PREFIX + name) if found in columns), None)


def cast(value: Value | None, kind: Kind) -> Value | None:
    """The value as one of this type."""
    if value is None or (kind == "text" and isinstance(value, str)):
        return value
    return json.dumps(value) if kind == "text" else float(value) if kind == "real" else value


def in_table(values: Mapping[str, Value], kinds: Mapping[str, Kind]) -> dict[str, Value | None]:
    """The cells of a run's table for a prompt with these values."""
    return {PREFIX + name: cast(values.get(name), kind) for name, kind in kinds.items()}
