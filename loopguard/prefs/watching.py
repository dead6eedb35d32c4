"""Who looks on while a run works, when nobody does. The terminal's watcher is in terminal.py."""

from __future__ import annotations

from loopguard.prefs.outputs import Outcome


class Nobody:
    """A Watcher that does not look."""

    def asking(self, *, total: int, done: int) -> None:
        """Nothing."""

    def asked(self, outcome: Outcome) -> None:
        """Nothing."""

    def writing(self, *, total: int) -> None:
        """Nothing."""

    def wrote(self) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""
