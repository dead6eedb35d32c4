"""What the tests of the Ray runner share: inputs, rows of a run, what is on disk of one that was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import polars as pl

from loopguard.prefs.answer_file import Contents, read_into
from loopguard.prefs.ledger import Ledger
from tests.prefs.commands import recorded

TABLES = ("candidates.parquet", "preferences.parquet", "skipped.parquet")


def rows(run_dir: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of the three tables, in their order."""
    return {name: pl.read_parquet(run_dir / name).to_dicts() for name in TABLES}


def assert_same_rows(run_dir: Path, other: Path) -> None:
    ours, theirs = rows(run_dir), rows(other)
    for name in TABLES:
        assert ours[name] == theirs[name], name
        assert (run_dir / name).exists()
    assert (run_dir / "preferences.jsonl").read_bytes() == (other / "preferences.jsonl").read_bytes()


def answers(run_dir: Path) -> dict[bytes, str]:
    """Request key -> the answer's text, of a finished run."""
    with Ledger.read(run_dir) as ledger:
        found = {}
        for row in ledger.rows():
            if row.prompt is not None:
                found |= {key: repr(answer) for key, answer in ledger.answers(row.prompt.prompt_id).items()}
        return found


def answer_files(run_dir: Path) -> list[Path]:
    return sorted(run_dir.glob("answers/*/*.answers"))


def on_disk(run_dir: Path) -> set[bytes]:
    """The keys of all answers that are on disk, in the ledger or in a worker's file."""
    contents = Contents()
    for path in answer_files(run_dir):
        try:
            read_into(contents, path)
        except Exception:
            continue  # the driver has just taken it over
    return recorded(run_dir) | {key for _, key, _ in contents.answers}


def kill_worker_of(path: Path) -> None:
    """kill -9 the worker that writes an answer file; its name ends in -PID-TOKEN.answers."""
    os.kill(int(path.stem.split("-")[-2]), signal.SIGKILL)


def shard_files(run_dir: Path) -> dict[str, tuple[int, int]]:
    """Files of finished shards -> inode and time of the last change."""
    found = {}
    for path in sorted(run_dir.glob("shards/[0-9]*/*")):
        seen = path.stat()
        found[str(path.relative_to(run_dir))] = (seen.st_ino, seen.st_mtime_ns)
    return found
