"""The ledger of one shard in a worker's hands: what the run's ledger knew, what former attempts left, what is answered now.

    kept = ShardLedger(work, folder, stage="1-sample")     # reads every answer file of the shard: nothing is asked again
    await kept.record(prompt_id, {key: answer})            # returns when it is on disk
    await kept.close()

An attempt is one worker that takes up the shard; each has a file of its own, so that a worker that is thought dead but is
not does no harm. `ingest` puts what the files hold into the run's ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from loopguard.engines import Completion
from loopguard.prefs.answer_file import (
    SUFFIX,
    AnswerFile,
    Contents,
    answer_lines,
    failure_line,
    progress_line,
    read_into,
    spent_line,
)
from loopguard.prefs.ledger import Failure, Ledger, Progress, SourceRow, Spent
from loopguard.prefs.shards import Work
from loopguard.prompt_columns import Kind


class ShardLedger:
    """A Keeper of one shard. Belongs to one event loop."""

    def __init__(self, work: Work, folder: Path, *, stage: str, known_files: Iterable[Path] = ()) -> None:
        """Read what there is. `known_files`: names that a former stage told, in case the folder's listing lags behind.

        Raises StorageError.
        """
        self._work = work
        self._answers = {prompt_id: dict(known) for prompt_id, known in work.answers.items()}
        self._failures = {prompt_id: dict(lost) for prompt_id, lost in work.failures.items()}
        self._done: set[tuple[str, str]] = set()
        who = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._path = folder / f"{stage}-{who}{SUFFIX}"
        self._file: AnswerFile | None = None
        self.files = sorted({*answer_files(folder), *(path for path in known_files if path.is_file())})
        """The answer files of this shard, that of this attempt last."""
        self.attempts = sum(path.name.startswith(f"{stage}-") for path in self.files)
        """How often a worker began this stage of the shard before."""
        contents = Contents()
        for path in self.files:
            read_into(contents, path)
        self._take(contents)

    def _take(self, contents: Contents) -> None:
        for prompt_id, key, failure in contents.failures:
            self._failures.setdefault(prompt_id, {})[key] = failure
        for prompt_id, key, answer in contents.completions():
            self._keep(prompt_id, {key: answer})
        for prompt_id, fingerprint, progress in contents.progress:
            self._note(prompt_id, fingerprint, progress)

    def _keep(self, prompt_id: str, answers: Mapping[bytes, Completion]) -> None:
        known, lost = self._answers.setdefault(prompt_id, {}), self._failures.get(prompt_id, {})
        for key, answer in answers.items():
            known.setdefault(key, answer)
            lost.pop(key, None)

    def _note(self, prompt_id: str, fingerprint: str, progress: Progress) -> None:
        if progress.state == "done":
            self._done.add((prompt_id, fingerprint))

    def begin(self) -> None:
        """Open this attempt's file, which counts it. Raises StorageError."""
        self._file = AnswerFile(self._path)
        self.files = [*self.files, self._path]

    async def _append(self, lines: bytes) -> None:
        assert self._file is not None, "begin() comes first"
        await self._file.append(lines)

    async def close(self) -> None:
        """Wait for what is on its way to disk. Idempotent."""
        if self._file is not None:
            await self._file.close()

    # -- a Keeper

    def answers(self, prompt_id: str) -> Mapping[bytes, Completion]:
        """All answers on disk for a prompt, by request key."""
        return dict(self._answers.get(prompt_id, {}))

    def failures(self, prompt_id: str) -> Mapping[bytes, Failure]:
        """The recorded failures of a prompt, by request key."""
        return dict(self._failures.get(prompt_id, {}))

    async def record(self, prompt_id: str, answers: Mapping[bytes, Completion], *, spent: Spent | None = None) -> None:
        """Returns when the answers, and what was spent on them, are on disk. Raises StorageError."""
        await self._append(answer_lines(prompt_id, answers) + (spent_line(prompt_id, spent) if spent else b""))
        self._keep(prompt_id, answers)

    async def record_failure(self, prompt_id: str, key: bytes, failure: Failure) -> None:
        """Returns when the failure is on disk."""
        await self._append(failure_line(prompt_id, key, failure))
        self._failures.setdefault(prompt_id, {})[key] = failure

    async def record_progress(self, prompt_id: str, fingerprint: str, progress: Progress) -> None:
        """Note that a prompt is through under the recipe of this fingerprint."""
        await self._append(progress_line(prompt_id, fingerprint, progress))
        self._note(prompt_id, fingerprint, progress)

    def rows(self, *, todo_under: str | None = None) -> Iterator[SourceRow]:
        """The rows in order; with `todo_under`, those not done under that fingerprint."""
        for row in self._work.rows:
            if todo_under is None or (row.prompt is not None and self._is_todo(row.prompt.prompt_id, todo_under)):
                yield row

    def _is_todo(self, prompt_id: str, fingerprint: str) -> bool:
        return prompt_id in self._work.todo and (prompt_id, fingerprint) not in self._done

    def spending(self) -> list[Spent]:
        """Nothing: the run's ledger knows."""
        return []

    def columns(self) -> Mapping[str, Kind]:
        """The prompts' other columns that come along, with their types."""
        return self._work.columns

    def count(self) -> int:
        """How many prompts the shard has."""
        return sum(row.prompt is not None for row in self._work.rows)


def answer_files(folder: Path) -> list[Path]:
    """The answer files in a shard's folder, by stage and then by attempt."""
    return sorted(folder.glob(f"*{SUFFIX}"))


async def ingest(ledger: Ledger, folder: Path, *, again: bool = False) -> None:
    """Put what a shard's answer files hold into the run's ledger, then delete them. Raises StorageError.

    Killed on the way, it is done `again`: an answer that the ledger has stays as it is, and is not paid a second time.
    """
    contents = Contents()
    for path in answer_files(folder):
        read_into(contents, path)
    taken = again and all(key in ledger.answers(prompt_id) for prompt_id, key, _ in contents.answers)
    ledger.ingest(contents.answers, contents.failures, () if taken else contents.spent)
    latest = {prompt_id: (fingerprint, progress) for prompt_id, fingerprint, progress in contents.progress}
    await asyncio.gather(*(ledger.record_progress(prompt_id, *what) for prompt_id, what in latest.items()))
    with contextlib.suppress(OSError):  # what cannot be deleted is read again, and changes nothing
        shutil.rmtree(folder)
