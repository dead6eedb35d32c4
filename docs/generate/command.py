"""The reference of the command, by typer's own `utils docs`: every verb, argument and option with its help."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from typing import Any


def reference() -> str:
    """Markdown for all verbs: one heading each, examples as code. Raises CalledProcessError."""
    made = subprocess.run(
        [sys.executable, "-m", "typer", "loopguard.cli", "utils", "docs", "--name", "loopguard"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"},
    ).stdout
    body = made.partition("\n")[2]  # the page has a heading of its own
    purposes = _purposes()
    lines = (purposes.get(line.partition(":")[0]) or _line(line) for line in body.splitlines())
    return "\n".join(lines).strip() + "\n"


def _purposes() -> dict[str, str]:
    """ "* `verb`" -> that with its purpose in full, which typer cuts after some forty characters."""
    import typer.main

    from loopguard.cli import app

    group: Any = typer.main.get_command(app)
    return {f"* `{name}`": f"* `{name}`: {one.get_short_help_str(limit=200)}" for name, one in group.commands.items()}


_CODE_SPAN = re.compile(r"`[^`]+`")


def _line(line: str) -> str:
    """An example becomes code; entities are text again inside of code, where Markdown would show them as they are."""
    example = re.fullmatch(r" *(loopguard [a-z].*)", line)
    if example:
        return f"    {html.unescape(example[1])}"
    return _CODE_SPAN.sub(lambda match: html.unescape(match[0]), line)
