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
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from loopguard.engines import Completion
from loopguard.errors import InputError, StorageError
from loopguard.files import clean_text
from loopguard.prefs.database import has_column, hold, open_to_read, open_to_write, storage_error
from loopguard.prefs.writer import Statement, Writer
from loopguard.prompt_columns import Kind
from loopguard.records import Prompt

FILE_NAME = "ledger.sqlite"

PROMPTS_NOTE, TABLES_NOTE = "prompts", "tables"
"""Facts of the run that the ledger itself drops: with other prompts; before the first write of a session."""

_NOTE = "INSERT OR REPLACE INTO meta VALUES (?, ?)"
_INSERT = "INSERT OR IGNORE INTO answers VALUES (?, ?, ?)"
_SPEND = """
INSERT INTO spending VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (stage, model) DO UPDATE SET
    requests = requests + excluded.requests,
    prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens,
    price_prompt = iif(excluded.price_prompt + excluded.price_completion, excluded.price_prompt, price_prompt),
    price_completion = iif(excluded.price_prompt + excluded.price_completion, excluded.price_completion, price_completion)
"""
_FAIL = "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)"


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


class Spent(NamedTuple):
    """What requests of one stage to one model took, as the engine reported it."""

    stage: str
    """sampling | judging"""
    model: str
    """"": not known, in a ledger from before this was kept."""
    requests: int
    prompt_tokens: int
    completion_tokens: int
    price_prompt: int = 0
    """As in budget.Price; 0: none was given."""
    price_completion: int = 0


def answer_to_text(answer: Completion) -> str:
    """The JSON text that stands for an answer in the ledger; `answer_from_text` gives the answer back."""
    slim: dict[str, Any] = {"content": answer.content, "finish_reason": answer.finish_reason}
    slim |= {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens}
    if answer.reasoning:
        slim["reasoning"] = answer.reasoning
    if answer.stop_reason is not None:
        slim["stop_reason"] = answer.stop_reason
    if answer.first_logprobs is not None:
        slim["first_logprobs"] = dict(answer.first_logprobs)
    if answer.token_ids is not None:
        slim["token_ids"] = [int(i) for i in answer.token_ids]
    return json.dumps(slim, separators=(",", ":"))


def answer_from_text(text: str) -> Completion:
    """The answer that `answer_to_text` made this text of."""
    return Completion(**json.loads(text))


class Ledger:
    """Use as a context manager. Reads from any thread that opened it; writes through `record*`."""

    def __init__(self, connection: sqlite3.Connection, path: Path, writer: Writer | None, lock: Any) -> None:
        """For `open` and `read`."""
        self._connection = connection
        self._writer = writer
        self._lock = lock
        self._changed = False
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
        return {key: answer_from_text(answer) for key, answer in rows}

    def failures(self, prompt_id: str) -> dict[bytes, Failure]:
        """The recorded failures of a prompt, by request key; one that was answered later is none any more."""
        answered = "SELECT 1 FROM answers a WHERE a.prompt_id = f.prompt_id AND a.key = f.key"
        sql = f"SELECT key, kind, error FROM failures f WHERE prompt_id = ? AND NOT EXISTS ({answered})"
        rows = self._query(sql, (prompt_id,))
        return {key: Failure(kind, error) for key, kind, error in rows}

    async def record(self, prompt_id: str, answers: Mapping[bytes, Completion], *, spent: Spent | None = None) -> None:
        """Returns when the answers, and what was spent on them, are on disk. Raises StorageError (disk full, file gone).

        They get there also when the wait is cancelled.
        """
        rows: list[Statement] = [(_INSERT, (prompt_id, key, answer_to_text(a))) for key, a in answers.items()]
        await self._submit([*rows, (_SPEND, spent)] if spent else rows)

    async def record_failure(self, prompt_id: str, key: bytes, failure: Failure) -> None:
        """Returns when the failure is on disk; a later answer to the same request removes it."""
        row = (prompt_id, key, failure.kind, clean_text(failure.error))
        await self._submit([(_FAIL, row)])

    def ingest(
        self,
        answers: Iterable[tuple[str, bytes, str]],
        failures: Iterable[tuple[str, bytes, Failure]] = (),
        spent: Iterable[Spent] = (),
    ) -> None:
        """Answers of many prompts at once, as (prompt_id, key, text of `answer_to_text`), in one transaction.

        The first answer to a request stays. Blocks until all is on disk.
        Raises StorageError, and nothing of it was kept then.
        """
        with self._transaction() as connection:
            connection.executemany(_INSERT, answers)
            connection.executemany(_SPEND, spent)
            connection.executemany(_FAIL, ((p, key, f.kind, clean_text(f.error)) for p, key, f in failures))

    async def record_progress(self, prompt_id: str, fingerprint: str, progress: Progress) -> None:
        """Note that a prompt is through under the recipe of this fingerprint."""
        row = (prompt_id, fingerprint, *dataclasses.astuple(progress))
        await self._submit([("INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?, ?, ?)", row)])

    def has_answers(self) -> bool:
        """Whether anything was ever answered."""
        return bool(self._query("SELECT EXISTS (SELECT 1 FROM answers)")[0][0])

    # -- prompts

    def set_prompts(self, rows: Iterable[SourceRow], *, note: Callable[[], str | None] = lambda: None) -> None:
        """Make `rows` the prompts of this run, in one transaction: a crash leaves the former ones.

        `note` is called when all rows were read; what it says is kept as the fact PROMPTS_NOTE of these prompts.
        """
        with self._transaction() as connection:
            connection.execute("DELETE FROM prompts")
            connection.execute("DELETE FROM meta WHERE name = ?", (PROMPTS_NOTE,))
            connection.executemany("INSERT INTO prompts VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", map(_prompt_row, rows))
            if (said := note()) is not None:
                connection.execute(_NOTE, (PROMPTS_NOTE, said))

    def rows(
        self, *, todo_under: str | None = None, first: int = 1, last: int = 1 << 62, page: int = 2000
    ) -> Iterator[SourceRow]:
        """The run's rows in order, with flat memory; with `todo_under`, those not done under that fingerprint.

        `first` and `last` bound a block of rows, counted from 1.
        """
        columns = "p.columns" if has_column(self._connection, "prompts", "columns") else "NULL"
        select = (
            f"SELECT position, source_row, p.prompt_id, messages, reference, reason, detail, {columns} FROM prompts p"
        )
        where, values = "p.position > ? AND p.position <= ?", []
        if todo_under is not None:
            done = "d.prompt_id = p.prompt_id AND d.state = 'done' AND d.fingerprint = ?"
            select += f" LEFT JOIN progress d ON {done}"
            where, values = where + " AND p.prompt_id IS NOT NULL AND d.prompt_id IS NULL", [todo_under]
        seen = first - 1
        while True:
            found = self._query(f"{select} WHERE {where} ORDER BY p.position LIMIT {page}", (*values, seen, last))
            for _, row, prompt_id, messages, reference, reason, detail, others in found:
                prompt = None
                if prompt_id is not None:
                    known: dict[str, Any] = {"row": row, "reference": reference, "columns": json.loads(others or "{}")}
                    prompt = Prompt(prompt_id=prompt_id, messages=tuple(json.loads(messages)), **known)
                yield SourceRow(row, prompt, reason or "", detail or "")
            if len(found) < page:
                return
            seen = found[-1][0]

    def columns(self) -> dict[str, Kind]:
        """The prompts' other columns that come along, with their types."""
        return dict(json.loads(self.get(PROMPTS_NOTE) or "{}").get("columns", {}))

    def size(self) -> int:
        """How many rows the run has, those without a prompt included."""
        return int(self._query("SELECT count(*) FROM prompts")[0][0])

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

    def tally(self, *, done_under: str = "") -> dict[str, int]:
        """Sums over the run's prompts: done, failed, greedy, greedy_looping, sampled, sampled_looping; and all answers.

        With `done_under` a fingerprint, "done" are those done under it.
        """
        done = "state = 'done' AND (? = '' OR fingerprint = ?)"
        sql = f"""SELECT coalesce(sum({done}), 0), coalesce(sum(state = 'failed'), 0), coalesce(sum(greedy), 0),
                  coalesce(sum(greedy_looping), 0), coalesce(sum(sampled), 0), coalesce(sum(sampled_looping), 0)
                  FROM prompts JOIN progress USING (prompt_id)"""
        names = ("done", "failed", "greedy", "greedy_looping", "sampled", "sampled_looping")
        sums = dict(zip(names, self._query(sql, (done_under, done_under))[0], strict=True))
        # no answer is ever removed, so the last row's number is their count
        return sums | {"answers": self._query("SELECT coalesce(max(rowid), 0) FROM answers")[0][0]}

    def spending(self) -> list[Spent]:
        """What all sessions spent, by stage and model."""
        if not self._query("SELECT 1 FROM sqlite_master WHERE name = 'spending'"):
            return []  # a ledger from before this was kept, opened for reading only
        return [Spent(*row) for row in self._query("SELECT * FROM spending ORDER BY stage, model")]

    # -- small facts of the run

    def get(self, name: str) -> str | None:
        """A fact noted with `put`, or None."""
        rows = self._query("SELECT value FROM meta WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def put(self, name: str, value: str) -> None:
        """Note a fact of the run (the resolved model's name); on disk when this returns."""
        try:
            self._connection.execute(_NOTE, (name, value))
        except sqlite3.Error as error:
            raise storage_error(self.path, error) from None

    # -- the machinery

    def _query(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise storage_error(self.path, error) from None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection inside a transaction that is on disk when the block ends, and undone after an error in it."""
        if self._writer is None:
            raise StorageError(f"{self.path}: opened for reading only")
        try:
            self._changes()
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._rollback()
            raise storage_error(self.path, error) from None
        except BaseException:
            self._rollback()
            raise

    def _changes(self) -> None:
        """Something is about to be written: whatever was noted of the tables does not hold any more."""
        if not self._changed:
            self.put(TABLES_NOTE, "{}")
            self._changed = True

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    async def _submit(self, statements: list[Statement]) -> None:
        if self._writer is None:
            raise StorageError(f"{self.path}: opened for reading only")
        self._changes()
        await self._writer.submit(statements)


def _prompt_row(row: SourceRow) -> tuple[Any, ...]:
    prompt = row.prompt
    if prompt is None:
        return (row.row, None, None, None, row.reason, clean_text(row.detail), None)
    others = json.dumps(dict(prompt.columns)) if prompt.columns else None
    return (row.row, prompt.prompt_id, json.dumps(prompt.messages), prompt.reference, None, None, others)
