"""A file of answers that one worker appends to: an answer counts when its line is whole, and is used after it was synced.

    1f0c9a3e <tab> answer   <tab> prompt id <tab> request key <tab> JSON of the answer
    77b2d410 <tab> failure  <tab> prompt id <tab> request key <tab> [kind, error]
    5d02be17 <tab> spent    <tab> prompt id <tab> stage       <tab> [stage, model, requests, prompt tokens, ...]
    0a41e5c8 <tab> progress <tab> prompt id <tab> fingerprint <tab> [state, greedy, greedy looping, sampled, sampled looping]

The first column is the CRC-32 of the rest. A line that was torn by a kill or a power cut does not fit it and is passed over:
it was never synced, so its answer was never used. Append-only and by one writer, so that it is safe on shared storage too.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from loopguard.engines import Completion
from loopguard.errors import StorageError
from loopguard.files import clean_text, storage_error
from loopguard.prefs.ledger import Failure, Progress, Spent, answer_from_text, answer_to_text

SUFFIX = ".answers"


@dataclass(slots=True)
class Contents:
    """What the lines of some files say, in their order."""

    answers: list[tuple[str, bytes, str]] = field(default_factory=list)
    """(prompt id, request key, text of the answer)"""
    failures: list[tuple[str, bytes, Failure]] = field(default_factory=list)
    spent: list[Spent] = field(default_factory=list)
    progress: list[tuple[str, str, Progress]] = field(default_factory=list)
    """(prompt id, fingerprint, what became of it)"""

    def completions(self) -> Iterator[tuple[str, bytes, Completion]]:
        """The answers themselves."""
        return ((prompt_id, key, answer_from_text(text)) for prompt_id, key, text in self.answers)


def answer_lines(prompt_id: str, answers: Mapping[bytes, Completion]) -> bytes:
    """The lines of some answers to one prompt."""
    return b"".join(_line("answer", prompt_id, key.hex(), answer_to_text(answer)) for key, answer in answers.items())


def failure_line(prompt_id: str, key: bytes, failure: Failure) -> bytes:
    """The line of a request that failed."""
    return _line("failure", prompt_id, key.hex(), json.dumps([failure.kind, clean_text(failure.error)]))


def spent_line(prompt_id: str, spent: Spent) -> bytes:
    """The line of what some answers took."""
    return _line("spent", prompt_id, spent.stage, json.dumps(spent))


def progress_line(prompt_id: str, fingerprint: str, progress: Progress) -> bytes:
    """The line of a prompt that is through."""
    return _line("progress", prompt_id, fingerprint, json.dumps(dataclasses.astuple(progress)))


def _line(*columns: str) -> bytes:
    rest = "\t".join(columns).encode()
    return b"%08x\t%s\n" % (zlib.crc32(rest), rest)


def read_into(contents: Contents, path: Path) -> None:
    """Add the whole lines of a file. Raises StorageError when it cannot be read."""
    try:
        with path.open("rb") as lines:
            for line in lines:
                _read_line(contents, line)
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}; see to the storage, then run again") from error


def _read_line(contents: Contents, line: bytes) -> None:
    check, _, rest = line.removesuffix(b"\n").partition(b"\t")
    if not line.endswith(b"\n") or check != b"%08x" % zlib.crc32(rest):
        return
    kind, prompt_id, key, text = rest.decode().split("\t", 3)
    if kind == "answer":
        contents.answers.append((prompt_id, bytes.fromhex(key), text))
    elif kind == "failure":
        contents.failures.append((prompt_id, bytes.fromhex(key), Failure(*json.loads(text))))
    elif kind == "spent":
        contents.spent.append(Spent(*json.loads(text)))
    else:
        contents.progress.append((prompt_id, key, Progress(*json.loads(text))))


class AnswerFile:
    """A new file to append to, from one event loop. Lines that come while others are synced go to disk together."""

    def __init__(self, path: Path) -> None:
        """Make the file, and its folder. Raises StorageError."""
        self.path = path
        self._lines: list[bytes] = []
        self._turn: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise storage_error(path, error) from error

    async def append(self, lines: bytes) -> None:
        """Returns when the lines are on disk. Raises StorageError."""
        loop = asyncio.get_running_loop()
        self._turn = self._turn or loop.create_future()
        self._lines.append(lines)
        turn = self._turn
        self._task = self._task or loop.create_task(self._write())
        await asyncio.shield(turn)  # it is shared with others: who is cancelled must not cancel it

    async def close(self) -> None:
        """Wait for what is on its way to disk, then close. Idempotent."""
        if self._task is not None:
            await self._task
        self._file.close()

    async def _write(self) -> None:
        while self._turn is not None:
            lines, turn = self._lines, self._turn
            self._lines, self._turn = [], None
            try:
                await asyncio.to_thread(self._to_disk, b"".join(lines))
            except OSError as error:
                turn.set_exception(storage_error(self.path, error))
                turn.exception()  # seen: nobody may wait for it any more
            else:
                turn.set_result(None)
        self._task = None

    def _to_disk(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        os.fsync(self._file.fileno())
