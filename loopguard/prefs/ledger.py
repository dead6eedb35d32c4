"""The ledger: every engine answer of a run, committed to SQLite before it is used.

    with Ledger.open(run_dir) as ledger:
        key = request_key(model, request)
        known = ledger.answers(prompt_id)              # {key: Answer}, what is on disk
        await ledger.record(prompt_id, {key: answer})  # returns when it is on disk

One process at a time holds a run (a file lock that the system releases when the process dies). Writes go to one thread
that puts whatever waits into one transaction, so that thousands of answers a second share a few fsyncs. WAL with
synchronous=FULL: neither kill -9 nor a power cut loses an answer that was used. The prompts of the run are kept here
too: everything in the run directory can be made again from this file and the recipe.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import queue
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from loopguard.engines import Completion, Request
from loopguard.errors import InputError, RunInUse, StorageError
from loopguard.records import Prompt

FILE_NAME = "ledger.sqlite"
LOCK_NAME = ".lock"
FORMAT = "1"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS prompts (
    position INTEGER PRIMARY KEY, source_row INTEGER NOT NULL, prompt_id TEXT, messages TEXT, reference TEXT,
    reason TEXT, detail TEXT);
CREATE TABLE IF NOT EXISTS answers (prompt_id TEXT NOT NULL, key BLOB NOT NULL, answer TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS answer_of ON answers (prompt_id, key);
CREATE TABLE IF NOT EXISTS failures (prompt_id TEXT NOT NULL, key BLOB NOT NULL, kind TEXT NOT NULL, error TEXT NOT NULL,
    PRIMARY KEY (prompt_id, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (
    prompt_id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, state TEXT NOT NULL, greedy INTEGER NOT NULL,
    greedy_looping INTEGER NOT NULL, sampled INTEGER NOT NULL, sampled_looping INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that was not answered, as recorded: it is asked again by the next run."""

    kind: str
    """engine | context_too_long"""
    error: str


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of the prompts file: a prompt, or the named reason why it is none."""

    row: int
    prompt: Prompt | None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of one prompt, for `status` and for a fast resume. Derived: it can be thrown away."""

    state: str
    """done | failed"""
    greedy: int
    greedy_looping: int
    sampled: int
    sampled_looping: int


def request_key(model: str, request: Request, extra_body: Mapping[str, Any], *, messages_digest: bytes) -> bytes:
    """16 bytes that stand for one choice: model, messages, every parameter, the seed. `n` is no part of it.

    Nor is the server's address: the same model behind another port gives the same answers.
    """
    parts = [
        model,
        request.temperature,
        request.top_p,
        request.max_tokens,
        request.seed,
        request.top_logprobs,
        request.json_schema,
        dict(extra_body),
    ]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(messages_digest + text.encode()).digest()[:16]


def digest_messages(messages: Iterable[Mapping[str, str]]) -> bytes:
    """32 bytes over roles and contents, lone surrogates included."""
    text = json.dumps([[m["role"], m["content"]] for m in messages], separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def _to_text(answer: Completion) -> str:
    slim: dict[str, Any] = {"content": answer.content, "finish_reason": answer.finish_reason}
    slim |= {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens}
    if answer.reasoning:
        slim["reasoning"] = answer.reasoning
    if answer.first_logprobs is not None:
        slim["first_logprobs"] = dict(answer.first_logprobs)
    if answer.token_ids is not None:
        slim["token_ids"] = [int(i) for i in answer.token_ids]
    return json.dumps(slim, separators=(",", ":"))


class Ledger:
    """Use as a context manager. Reads from any thread that opened it; writes through `record*`."""

    def __init__(self, connection: sqlite3.Connection, path: Path, lock: Any) -> None:
        self._connection = connection
        self._lock = lock
        self.path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._broken: StorageError | None = None

    # -- opening and closing

    @classmethod
    def open(cls, run_dir: Path) -> Ledger:
        """The ledger of a run directory for reading and writing, made if absent.

        Raises RunInUse when another process has it, StorageError when the folder cannot be written or the file is damaged.
        """
        from filelock import FileLock, Timeout

        path = run_dir / FILE_NAME
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            lock = FileLock(run_dir / LOCK_NAME, timeout=0, thread_local=False)
            lock.acquire()
        except Timeout:
            raise RunInUse(
                f"{run_dir}: another process works in this run directory; wait for it, stop it, or pass another --out"
            ) from None
        except OSError as error:
            raise StorageError(
                f"{run_dir}: cannot be written ({error.strerror}); pass an --out that can be written to"
            ) from None
        try:
            connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            _prepare(connection, path)
        except sqlite3.Error as error:
            lock.release()
            raise storage_error(path, error) from None
        except BaseException:
            lock.release()
            raise
        return cls(connection, path, lock)

    @classmethod
    def read(cls, run_dir: Path) -> Ledger:
        """The ledger of a run directory for reading only, also while another process writes it.

        Raises InputError when there is none.
        """
        path = run_dir / FILE_NAME
        if not path.is_file():
            raise InputError(f"{run_dir}: no run directory (it holds no {FILE_NAME})")
        try:
            connection = sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, check_same_thread=False)
            _check_format(connection, path)
        except sqlite3.Error as error:
            raise storage_error(path, error) from None
        return cls(connection, path, None)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Commit what waits, close the file, give the run free. Idempotent."""
        if self._writer is not None:
            self._jobs.put(None)
            self._writer.join()
            self._writer = None
        self._connection.close()
        if self._lock is not None:
            self._lock.release()

    # -- answers

    def answers(self, prompt_id: str) -> dict[bytes, Completion]:
        """All answers on disk for a prompt, by request key."""
        rows = self._query("SELECT key, answer FROM answers WHERE prompt_id = ?", (prompt_id,))
        return {key: Completion(**json.loads(answer)) for key, answer in rows}

    def failures(self, prompt_id: str) -> dict[bytes, Failure]:
        """The recorded failures of a prompt, by request key."""
        rows = self._query("SELECT key, kind, error FROM failures WHERE prompt_id = ?", (prompt_id,))
        return {key: Failure(kind, error) for key, kind, error in rows}

    async def record(self, prompt_id: str, answers: Mapping[bytes, Completion]) -> None:
        """Returns when the answers are on disk. Raises StorageError (disk full, file gone)."""
        await self._submit(
            [("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", (prompt_id, k, _to_text(a))) for k, a in answers.items()]
            + [("DELETE FROM failures WHERE prompt_id = ? AND key = ?", (prompt_id, k)) for k in answers]
        )

    async def record_failure(self, prompt_id: str, key: bytes, failure: Failure) -> None:
        """Returns when the failure is on disk; a later answer to the same request removes it."""
        row = (prompt_id, key, failure.kind, failure.error)
        await self._submit([("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)", row)])

    async def record_progress(self, prompt_id: str, fingerprint: str, progress: Progress) -> None:
        """Note that a prompt is through under the recipe of this fingerprint."""
        row = (prompt_id, fingerprint, progress.state, progress.greedy, progress.greedy_looping)
        row += (progress.sampled, progress.sampled_looping)
        await self._submit([("INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?, ?, ?)", row)])

    # -- prompts

    def set_prompts(self, rows: Iterable[SourceRow]) -> None:
        """Make `rows` the prompts of this run, in one transaction: a crash leaves the former ones."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute("DELETE FROM prompts")
            self._connection.executemany("INSERT INTO prompts VALUES (NULL, ?, ?, ?, ?, ?, ?)", map(_prompt_row, rows))
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            raise storage_error(self.path, error) from None
        except BaseException:
            self._rollback()
            raise

    def rows(self, *, todo_under: str | None = None, page: int = 2000) -> Iterator[SourceRow]:
        """The run's rows in order, with flat memory; with `todo_under`, only prompts not yet done under that fingerprint."""
        select = "SELECT p.position, p.source_row, p.prompt_id, p.messages, p.reference, p.reason, p.detail FROM prompts p"
        where, values = "p.position > ?", []
        if todo_under is not None:
            select += " LEFT JOIN progress d ON d.prompt_id = p.prompt_id AND d.state = 'done' AND d.fingerprint = ?"
            where, values = where + " AND p.prompt_id IS NOT NULL AND d.prompt_id IS NULL", [todo_under]
        last = 0
        while True:
            found = self._query(f"{select} WHERE {where} ORDER BY p.position LIMIT {page}", (*values, last))
            for _, row, prompt_id, messages, reference, reason, detail in found:
                prompt = None
                if prompt_id is not None:
                    parsed = tuple(json.loads(messages))
                    prompt = Prompt(prompt_id=prompt_id, messages=parsed, row=row, reference=reference)
                yield SourceRow(row, prompt, reason or "", detail or "")
            if len(found) < page:
                return
            last = found[-1][0]

    def count(self, *, state: str | None = None, done_under: str | None = None) -> int:
        """How many prompts the run has; of these, those in a `state`, or done under a fingerprint."""
        sql, values = "SELECT count(*) FROM prompts p", []
        if state is not None or done_under is not None:
            sql += " JOIN progress d USING (prompt_id)"
        sql += " WHERE p.prompt_id IS NOT NULL"
        if state is not None:
            sql, values = sql + " AND d.state = ?", [state]
        if done_under is not None:
            sql, values = sql + " AND d.state = 'done' AND d.fingerprint = ?", [*values, done_under]
        return int(self._query(sql, tuple(values))[0][0])

    def done_ids(self) -> set[str]:
        """The ids of all prompts that were answered in full, under whatever judge."""
        return {row[0] for row in self._query("SELECT prompt_id FROM progress WHERE state = 'done'")}

    def tally(self) -> dict[str, int]:
        """Sums over the run's prompts: done, failed, greedy, greedy_looping, sampled, sampled_looping, answers."""
        sql = """SELECT coalesce(sum(state = 'done'), 0), coalesce(sum(state = 'failed'), 0), coalesce(sum(greedy), 0),
                 coalesce(sum(greedy_looping), 0), coalesce(sum(sampled), 0), coalesce(sum(sampled_looping), 0)
                 FROM prompts JOIN progress USING (prompt_id)"""
        names = ("done", "failed", "greedy", "greedy_looping", "sampled", "sampled_looping")
        sums = dict(zip(names, self._query(sql)[0], strict=True))
        return sums | {"answers": self._query("SELECT count(*) FROM answers")[0][0]}

    # -- small facts of the run

    def get(self, name: str) -> str | None:
        """A fact noted with `put`, or None."""
        rows = self._query("SELECT value FROM meta WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def put(self, name: str, value: str) -> None:
        """Note a fact of the run (the resolved model's name); on disk when this returns."""
        try:
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
        except sqlite3.Error as error:
            raise storage_error(self.path, error) from None

    # -- the machinery

    def _query(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise storage_error(self.path, error) from None

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    async def _submit(self, statements: list[tuple[str, tuple[Any, ...]]]) -> None:
        if self._broken is not None:
            raise self._broken
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_for_ever, name="ledger", daemon=True)
            self._writer.start()
        loop = asyncio.get_running_loop()
        job = _Job(statements, loop, loop.create_future())
        self._jobs.put(job)
        await job.done

    def _write_for_ever(self) -> None:
        """The writer thread: take all that waits, one transaction, wake the waiters."""
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=60)
        connection.execute("PRAGMA synchronous=FULL")
        try:
            last = False
            while not last:
                jobs = [self._jobs.get()]
                while not self._jobs.empty():
                    jobs.append(self._jobs.get())
                last = None in jobs
                self._commit(connection, [job for job in jobs if job is not None])
        finally:
            connection.close()

    def _commit(self, connection: sqlite3.Connection, jobs: list[_Job]) -> None:
        failure: StorageError | None = self._broken
        try:
            if failure is None and jobs:
                connection.execute("BEGIN IMMEDIATE")
                for job in jobs:
                    for sql, values in job.statements:
                        connection.execute(sql, values)
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            failure = self._broken = storage_error(self.path, error)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        for loop, group in _by_loop(jobs).items():
            loop.call_soon_threadsafe(_wake, group, failure)


@dataclass(frozen=True, slots=True)
class _Job:
    statements: list[tuple[str, tuple[Any, ...]]]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]


def _by_loop(jobs: list[_Job]) -> dict[asyncio.AbstractEventLoop, list[_Job]]:
    groups: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        if not job.loop.is_closed():
            groups.setdefault(job.loop, []).append(job)
    return groups


def _wake(jobs: list[_Job], failure: StorageError | None) -> None:
    for job in jobs:
        if job.done.done():
            continue
        if failure is None:
            job.done.set_result(None)
        else:
            job.done.set_exception(failure)


def _prompt_row(row: SourceRow) -> tuple[Any, ...]:
    prompt = row.prompt
    if prompt is None:
        return (row.row, None, None, None, row.reason, row.detail)
    return (row.row, prompt.prompt_id, json.dumps(prompt.messages), prompt.reference, None, None)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(_SCHEMA)
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (FORMAT,))
    _check_format(connection, path)


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
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
        todo = "cannot be written; check its permissions or pass another --out"
    else:
        todo = "run the same command again"
    return StorageError(f"{path}: {words}: {todo}")


def _free(folder: Path) -> int:
    stat = os.statvfs(folder)
    return int(stat.f_bavail * stat.f_frsize // 2**20)
