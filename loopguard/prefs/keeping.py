"""What the one step needs of a ledger: what is known of a prompt, and a place where answers are safe before they are used.

`Ledger` keeps a whole run in SQLite; `ShardLedger` keeps one shard in a file that only one worker appends to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from loopguard.engines import Completion
from loopguard.prefs.ledger import Failure, Progress, SourceRow, Spent
from loopguard.prompt_columns import Kind


class Keeper(Protocol):
    """A ledger as `build_one`, `ask_missing` and `write_tables` see it."""

    def answers(self, prompt_id: str) -> Mapping[bytes, Completion]:
        """All answers on disk for a prompt, by request key."""

    def failures(self, prompt_id: str) -> Mapping[bytes, Failure]:
        """The recorded failures of a prompt, by request key."""

    async def record(self, prompt_id: str, answers: Mapping[bytes, Completion], *, spent: Spent | None = None) -> None:
        """Returns when the answers, and what was spent on them, are on disk. Raises StorageError."""

    async def record_failure(self, prompt_id: str, key: bytes, failure: Failure) -> None:
        """Returns when the failure is on disk."""

    async def record_progress(self, prompt_id: str, fingerprint: str, progress: Progress) -> None:
        """Note that a prompt is through under the recipe of this fingerprint."""

    def rows(self, *, todo_under: str | None = None) -> Iterator[SourceRow]:
        """The rows in order; with `todo_under`, those not done under that fingerprint."""

    def spending(self) -> list[Spent]:
        """What was spent by former sessions."""

    def columns(self) -> Mapping[str, Kind]:
        """The prompts' other columns that come along, with their types."""

    def count(self) -> int:
        """How many prompts there are."""
