"""The real command on a terminal: a pseudo-terminal of a given width, and what was written to it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator

from tests.forked import start
from tests.prefs.commands import PATIENCE, environment


def on_terminal(*arguments: object, columns: int, **variables: str) -> str:
    """All that `loopguard ARGUMENTS` writes to a terminal of that width, escape sequences included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    known = {name: value for name, value in environment().items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = start([*map(str, arguments)], known | {"TERM": "xterm-256color"} | variables, None, (theirs,) * 3)
    os.close(theirs)
    try:
        written = b"".join(_read(ours))
        assert process.wait(PATIENCE) is not None
    finally:
        process.kill()
        os.close(ours)
    return written.decode("utf-8").replace("\r\n", "\n")


def _read(ours: int) -> Iterator[bytes]:
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            return
        if not piece:
            return
        yield piece


def lines(written: str) -> list[str]:
    """The lines that a person sees in the end: colours gone, what was written over gone, blanks at the ends gone."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    return [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]
