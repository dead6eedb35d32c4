"""A run that can be handed over: nobody writes to it, its tables are there, fit its summary and hold pairs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from loopguard.errors import InputError, RunInUse, StorageError
from loopguard.prefs.database import LOCK_NAME, hold
from loopguard.prefs.outputs import CANDIDATES, PREFERENCES
from loopguard.prefs.run import SUMMARY, Run


@contextlib.contextmanager
def finished_run(run_dir: Path) -> Iterator[Run]:
    """The run in a directory, held so that nothing changes in it while the block lasts; nothing is written there.

    Raises:
        RunInUse: another process works on it.
        InputError: no run, no tables yet, tables that do not belong together, or no pairs.
    """
    run = Run(run_dir)
    with _held(run_dir):
        _check(run)
        yield run


@contextlib.contextmanager
def _held(run_dir: Path) -> Iterator[None]:
    lock = run_dir / LOCK_NAME
    if not os.access(lock, os.W_OK) or not os.access(run_dir, os.W_OK):  # never opened here, or nobody here may write
        yield
        return
    try:
        held = hold(run_dir)
    except RunInUse:
        raise RunInUse(
            f"{run_dir}: the run is still going (another process works in it); wait until it ends, or stop it once with"
            " Ctrl-C: it then writes what is there"
        ) from None
    try:
        yield
    finally:
        held.release()


def _check(run: Run) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        summary = run.summary
        counts = {PREFERENCES: summary["pairs"]["total"], CANDIDATES: summary["candidates"]["total"]}
        reasons = {**summary["skipped_by_reason"], **summary["failed_by_reason"]}
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{run.path / SUMMARY}: damaged; run build-prefs again: it asks nothing twice") from None
    for name, count in counts.items():
        try:
            rows = pq.read_metadata(run.path / name).num_rows
        except FileNotFoundError:
            raise InputError(f"{run.path}: no {name}; run build-prefs again: it asks nothing twice") from None
        except pa.ArrowInvalid as error:
            raise InputError(f"{run.path / name}: damaged: {' '.join(str(error).split())[:200]}") from None
        except OSError as error:
            raise StorageError(f"{run.path / name}: cannot be read: {error.strerror or error}") from None
        if rows != count:
            raise InputError(
                f"{run.path}: {name} holds {rows} rows, {SUMMARY} tells of {count}: they are not of one session; run"
                " build-prefs again: it asks nothing twice"
            )
    if not counts[PREFERENCES]:
        why = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "no prompts"
        raise InputError(f"{run.path}: the run has no pairs ({why}): there is nothing to hand over")
