"""The ledger: every engine answer of a run, committed to SQLite before it is used.

    with Ledger.open(run_dir) as ledger:
        known = ledger.answers(prompt_id)              # {key: Completion}, what is on disk; keys are made in keys.py
        await ledger.record(prompt_id, {key: answer})  # returns when it is on disk

One process at a time holds a run. WAL with synchronous=FULL: neither kill -9 nor a power cut loses an answer that was
used. The prompts of the run are kept here too: everything in the run directory can be made again from this file and the
recipe. The file itself is in database.py, the thread that writes in writer.py.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from loopguard.engines import Completion
from loopguard.errors import InputError, StorageError
from loopguard.files import clean_text
from loopguard.prefs.database import hold, open_to_read, open_to_write, storage_error
from loopguard.prefs.writer import Statement, Writer
from loopguard.records import Prompt

FILE_NAME = "ledger.sqlite"


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

    def __init__(self, connection: sqlite3.Connection, path: Path, writer: Writer | None, lock: Any) -> None:
        """For `open` and `read`."""
        self._connection = connection
        self._writer = writer
        self._lock = lock
        self.path = path

    # -- opening and closing

    @classmethod
    def open(cls, run_dir: Path) -> Ledger:
        """The ledger of a run directory for reading and writing, made if absent.

        Raises RunInUse when another process has it, StorageError when it cannot be written or is damaged.
        """
        path = run_dir / FILE_NAME
        lock = hold(run_dir)
        try:
            connection = open_to_write(path)
            try:
                return cls(connection, path, Writer(path), lock)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            lock.release()
            raise

    @classmethod
    def read(cls, run_dir: Path) -> Ledger:
        """The ledger of a run directory for reading only, also while another process writes it.

        Raises InputError when there is none.
        """
        path = run_dir / FILE_NAME
        if not path.is_file():
            raise InputError(f"{run_dir}: no run directory (it holds no {FILE_NAME})")
        return cls(open_to_read(path), path, None, None)

    def __enter__(self) -> Ledger:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Close, whatever happened."""
        self.close()

    def close(self) -> None:
        """Commit what waits, close the file, give the run free. Idempotent."""
        if self._writer is not None:
            self._writer.close()
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
        insert = "INSERT OR IGNORE INTO answers VALUES (?, ?, ?)"
        forget = "DELETE FROM failures WHERE prompt_id = ? AND key = ?"
        await self._submit(
            [(insert, (prompt_id, key, _to_text(answer))) for key, answer in answers.items()]
            + [(forget, (prompt_id, key)) for key in answers]
        )

    async def record_failure(self, prompt_id: str, key: bytes, failure: Failure) -> None:
        """Returns when the failure is on disk; a later answer to the same request removes it."""
        row = (prompt_id, key, failure.kind, clean_text(failure.error))
        await self._submit([("INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)", row)])

    async def record_progress(self, prompt_id: str, fingerprint: str, progress: Progress) -> None:
        """Note that a prompt is through under the recipe of this fingerprint."""
        row = (prompt_id, fingerprint, *dataclasses.astuple(progress))
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
        """The run's rows in order, with flat memory; with `todo_under`, those not done under that fingerprint."""
        select = "SELECT position, source_row, p.prompt_id, messages, reference, reason, detail FROM prompts p"
        where, values = "p.position > ?", []
        if todo_under is not None:
            done = "d.prompt_id = p.prompt_id AND d.state = 'done' AND d.fingerprint = ?"
            select += f" LEFT JOIN progress d ON {done}"
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

    async def _submit(self, statements: list[Statement]) -> None:
        if self._writer is None:
            raise StorageError(f"{self.path}: opened for reading only")
        await self._writer.submit(statements)


def _prompt_row(row: SourceRow) -> tuple[Any, ...]:
    prompt = row.prompt
    if prompt is None:
        return (row.row, None, None, None, row.reason, clean_text(row.detail))
    return (row.row, prompt.prompt_id, json.dumps(prompt.messages), prompt.reference, None, None)
