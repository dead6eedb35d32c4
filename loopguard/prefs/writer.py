"""Group commit: one thread puts whatever waits into one transaction; thousands of answers share a few fsyncs."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import re
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from loopguard.errors import StorageError
from loopguard.prefs.database import CACHE_KB, LOG_PAGES, storage_error

Statement = tuple[str, tuple[Any, ...]]
"""One row for an `INSERT ... VALUES (?, ?)`. Rows of the same SQL keep their order; different SQL in one commit may not."""


@dataclass(frozen=True, slots=True)
class _Job:
    statements: Sequence[Statement]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


class Writer:
    """Writes to the SQLite file at `path` in a thread of its own, on a connection of its own."""

    def __init__(self, path: Path) -> None:
        """Opens the file and starts the thread. Raises StorageError."""
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._broken: Exception | None = None
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=60, check_same_thread=False)
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
            self._connection.execute(f"PRAGMA wal_autocheckpoint={LOG_PAGES}")
        except sqlite3.Error as error:
            raise storage_error(path, error) from None
        self._thread = threading.Thread(target=self._write_for_ever, name="ledger", daemon=True)
        self._thread.start()

    async def submit(self, statements: Sequence[Statement]) -> None:
        """Returns when the statements are on disk. Raises StorageError, and from then on for everything else too."""
        if self._broken is not None:
            raise self._broken
        loop = asyncio.get_running_loop()
        job = _Job(statements, loop, loop.create_future())
        self._jobs.put(job)
        await job.done

    def close(self) -> None:
        """Commit what waits, end the thread, close the file. Idempotent."""
        self._jobs.put(None)
        self._thread.join()
        self._broken = self._broken or StorageError(f"{self._path}: the ledger is closed")
        self._connection.close()

    def _write_for_ever(self) -> None:
        last = False
        while not last:
            jobs = [self._jobs.get()]
            while not self._jobs.empty():
                jobs.append(self._jobs.get())
            last = None in jobs
            self._write([job for job in jobs if job is not None])

    def _write(self, jobs: list[_Job]) -> None:
        """One transaction; the waiters are woken whatever came of it."""
        if self._broken is None and jobs:
            try:
                self._commit(jobs)
            except sqlite3.Error as error:
                self._broken = storage_error(self._path, error)
            except Exception as error:  # a bug, but nobody may wait for ever
                self._broken = error
        for loop, group in _by_loop(jobs).items():
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(_wake, group, self._broken)

    def _commit(self, jobs: list[_Job]) -> None:
        rows: dict[str, list[tuple[Any, ...]]] = {}
        try:
            for job in jobs:
                for sql, values in job.statements:
                    rows.setdefault(sql, []).append(values)
            self._connection.execute("BEGIN IMMEDIATE")
            for sql, values_of in rows.items():
                self._execute(sql, values_of)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _execute(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        """Many rows a statement: SQLite works on them beside the event loop's thread, which it else stops row by row."""
        done = 0
        while done < len(rows):
            size = next(size for size in _SIZES if size <= len(rows) - done)
            self._connection.execute(_of_rows(sql, size), [*chain.from_iterable(rows[done : done + size])])
            done += size


_SIZES = (64, 8, 1)


@cache
def _of_rows(sql: str, count: int) -> str:
    """`INSERT ... VALUES (?, ?)` for so many rows."""
    return sql if count == 1 else _ROW.sub(lambda row: ", ".join([row[0]] * count), sql, count=1)


_ROW = re.compile(r"\(\?(?:, \?)*\)")


def _by_loop(jobs: list[_Job]) -> dict[asyncio.AbstractEventLoop, list[_Job]]:
    groups: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        groups.setdefault(job.loop, []).append(job)
    return groups


def _wake(jobs: list[_Job], failure: Exception | None) -> None:
    for job in jobs:
        if job.done.done():
            continue
        if failure is None:
            job.done.set_result(None)
        else:
            job.done.set_exception(failure)
