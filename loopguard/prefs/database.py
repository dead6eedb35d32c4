"""The SQLite file under a ledger: its tables, how it is opened and held, and what its errors mean to a person."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from loopguard.errors import RunInUse, StorageError

LOCK_NAME = ".lock"
LOOKED_AT = 0.3
"""Seconds that a run waits for its lock: `is_worked_on` of another process has it for an instant."""
FORMAT = "1"

CACHE_KB = 65_536
"""Pages that a connection holds. The index of the answers is written all over: in a small cache every page is read again."""

LOG_PAGES = 8_000
"""Pages (4 KiB) of the write-ahead log before they are carried over: a page that changed ten times goes once."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS prompts (
    position INTEGER PRIMARY KEY, source_row INTEGER NOT NULL, prompt_id TEXT, messages TEXT, reference TEXT,
    reason TEXT, detail TEXT, columns TEXT);
CREATE TABLE IF NOT EXISTS answers (prompt_id TEXT NOT NULL, key BLOB NOT NULL, answer TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS answer_of ON answers (prompt_id, key);
CREATE TABLE IF NOT EXISTS failures (
    prompt_id TEXT NOT NULL, key BLOB NOT NULL, kind TEXT NOT NULL, error TEXT NOT NULL,
    PRIMARY KEY (prompt_id, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (
    prompt_id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, state TEXT NOT NULL, greedy INTEGER NOT NULL,
    greedy_looping INTEGER NOT NULL, sampled INTEGER NOT NULL, sampled_looping INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spending (
    stage TEXT NOT NULL, model TEXT NOT NULL, requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, price_prompt INTEGER NOT NULL, price_completion INTEGER NOT NULL,
    PRIMARY KEY (stage, model)) WITHOUT ROWID;
"""

_SPENT_BEFORE = """
INSERT INTO spending
SELECT 'sampling', '', count(*), sum(json_extract(answer, '$.prompt_tokens')),
       sum(json_extract(answer, '$.completion_tokens')), 0, 0
FROM answers HAVING count(*) > 0
"""
"""For a ledger from before spending was kept: every answer as a request of its own, which is never less than was paid."""


def hold(run_dir: Path) -> Any:
    """The lock of a run directory, made if absent; the system releases it when the process dies, however it dies.

    Raises RunInUse when another process has it, StorageError when the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run_dir / LOCK_NAME, timeout=LOOKED_AT, thread_local=False)
        lock.acquire()
    except Timeout:
        raise RunInUse(
            f"{run_dir}: another process works in this run directory; wait for it, stop it, or pass another --out"
        ) from None
    except OSError as error:
        raise StorageError(
            f"{run_dir}: cannot be written ({error.strerror}); pass an --out that can be written to"
        ) from None
    return lock


def is_worked_on(run_dir: Path) -> bool | None:
    """Whether a process has the run directory now; None where that cannot be told, as where nothing may be written."""
    from filelock import FileLock, Timeout

    path = run_dir / LOCK_NAME
    if not path.is_file():
        return False
    lock = FileLock(path, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:
        return None
    lock.release()
    return False


def open_to_write(path: Path) -> sqlite3.Connection:
    """A connection for any thread, the tables made where there are none. Raises StorageError."""
    try:
        connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=60)
    except sqlite3.Error as error:
        raise storage_error(path, error) from None
    try:
        found = _tables(connection)
        if found:  # another format, or another program's file, is left as it is
            _check_format(connection, path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        if "answers" in found and "spending" not in found:
            connection.execute(_SPENT_BEFORE)
        if not has_column(connection, "prompts", "columns"):
            connection.execute("ALTER TABLE prompts ADD COLUMN columns TEXT")
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (FORMAT,))
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        connection.close()
        raise storage_error(path, error) from None
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that only reads, also while another process writes. Raises StorageError."""
    uri = path.absolute().as_uri() + "?mode=ro"
    wal = path.with_name(path.name + "-wal")
    if not os.access(path.parent, os.W_OK) and not (wal.exists() and wal.stat().st_size):
        uri += "&immutable=1"  # WAL wants to write a file beside; without a log there is nothing in it to miss
    try:
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
    except sqlite3.Error as error:
        raise storage_error(path, error) from None
    try:
        _check_format(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise storage_error(path, error) from None
    except BaseException:
        connection.close()
        raise
    return connection


def has_column(connection: sqlite3.Connection, table: str, column: str) -> bool:
    """Whether a table has a column: a ledger from before it was known has not, until it is opened for writing."""
    found = connection.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, column))
    return found.fetchone() is not None


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    found = None
    if "meta" in _tables(connection):
        found = connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
    if found is None or found[0] != FORMAT:
        seen = "none" if found is None else found[0]
        raise StorageError(f"{path}: ledger format {seen}, this version reads {FORMAT}; pass another --out")


def storage_error(path: Path, error: sqlite3.Error) -> StorageError:
    """What SQLite says, as one line with what to do."""
    words = str(error)
    if "full" in words or "disk I/O" in words:
        free = "" if not path.parent.exists() else f" ({_free(path.parent)} MB free)"
        todo = f"the disk is full or failing{free}; make room and run the same command again: nothing answered is lost"
    elif "not a database" in words or "malformed" in words:
        todo = "the file is damaged or no ledger; move it away or pass another --out"
    elif "readonly" in words or "unable to open" in words:
        todo = "cannot be opened; check its permissions or pass another --out"
    else:
        todo = "run the same command again"
    return StorageError(f"{path}: {words}: {todo}")


def _free(folder: Path) -> int:
    stat = os.statvfs(folder)
    return int(stat.f_bavail * stat.f_frsize // 2**20)
