"""After the notebooks' tests: what each execution took, as a table."""

from __future__ import annotations

import pytest

from tests.notebooks.executed import TOOK


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not TOOK:
        return
    terminalreporter.section("notebooks: seconds of clock and of processor, answers, tokens read and written")
    for (name, folder), took in TOOK.items():
        asked = f"{took.spent.answers:>5} {took.spent.prompt_tokens:>7,} {took.spent.completion_tokens:>7,}"
        terminalreporter.write_line(f"{name:<28} {took.seconds:>6.0f} {took.processor:>6.0f} {asked}  {folder}")
