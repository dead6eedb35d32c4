"""What need not be done again: prompts read from a file that is the same, tables written from a ledger that is the same.

Both are noted in the ledger: with the prompts, in their transaction, what they were read from; with the tables, once they are
there, what they were made of, their files' sizes and times, and their figures. The ledger drops the second note before
anything new is written to it. So a run of a million prompts goes on after seconds, and one that is done says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from loopguard import __version__
from loopguard.dataset import BadRow, PromptReader
from loopguard.prefs.ledger import PROMPTS_NOTE, TABLES_NOTE, Ledger, SourceRow
from loopguard.prefs.outputs import TABLES, Provenance
from loopguard.prefs.recipe import Recipe


def take_prompts(ledger: Ledger, reader: PromptReader) -> str:
    """Make the reader's rows the prompts of the run, unless they are known to be just that; says what columns were left out."""
    digest, note = reader.digest(), json.loads(ledger.get(PROMPTS_NOTE) or "{}")
    if digest is not None and note.get("read_from") == digest:
        reader.answers_cut = note["answers_cut"]
        return ""

    def read_from() -> str:
        same = (
            digest is not None and reader.digest() == digest
        )  # else no file, or one that was changed while it was read
        others = {"columns": reader.columns.kept, "left_out": reader.columns.left_out}
        return json.dumps({"read_from": digest if same else None, "answers_cut": reader.answers_cut, **others})

    ledger.set_prompts(_source_rows(reader), note=read_from)
    return reader.columns.told()


def columns_told(ledger: Ledger) -> dict[str, Any]:
    """For summary.json: the prompts' other columns that came along, with their types, and those that did not, with the reason."""
    note = json.loads(ledger.get(PROMPTS_NOTE) or "{}")
    return {"kept": note.get("columns", {}), "left_out": note.get("left_out", {})}


def _source_rows(reader: PromptReader) -> Iterator[SourceRow]:
    for item in reader:
        if isinstance(item, BadRow):
            yield SourceRow(item.row, None, item.reason, item.detail)
        else:
            yield SourceRow(item.row, item)


def made_of(recipe: Recipe, mark: str, provenance: Provenance) -> str:
    """16 hex digits over all that the tables depend on beside the ledger; `mark` is the recipe's fingerprint."""
    versions = [__version__, metadata.version("pyarrow")]
    parts = [mark, recipe.pairing.model_dump(mode="json"), asdict(provenance), versions]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def figures_of_tables(ledger: Ledger, run_dir: Path, state: str) -> dict[str, Any] | None:
    """The figures of the tables that are there, if they are what writing them again would give; else None."""
    note = json.loads(ledger.get(TABLES_NOTE) or "{}")
    if note.get("made_of") != state or note["files"] != _files(run_dir):
        return None
    return dict(note["figures"])


def note_tables(ledger: Ledger, run_dir: Path, state: str, figures: dict[str, Any]) -> None:
    """Note that the tables are there and what they were made of."""
    note = {"made_of": state, "files": _files(run_dir), "figures": figures}
    ledger.put(TABLES_NOTE, json.dumps(note))


def _files(run_dir: Path) -> dict[str, list[int] | None]:
    """Size and time of change of each table, None for one that is not there."""
    found: dict[str, list[int] | None] = {}
    for name in TABLES:
        try:
            seen = (run_dir / name).stat()
            found[name] = [seen.st_size, seen.st_mtime_ns]
        except OSError:
            found[name] = None
    return found
