"""On PYTHONPATH this keeps a Python and its children from every address but this machine's, and notes each attempt."""

from __future__ import annotations

import os
import sys
from typing import Any

HERE = ("127.0.0.1", "::1", "localhost", "", None)


def refuse(event: str, given: tuple[Any, ...]) -> None:
    """An audit hook: OSError where a connection or a look-up of a name leaves this machine."""
    if event == "socket.getaddrinfo":
        host = given[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(given[1], tuple):
        host = given[1][0]
    else:
        return
    if (host.decode() if isinstance(host, bytes) else host) not in HERE:
        with open(os.environ["LOOPGUARD_ATTEMPTS"], "a", encoding="utf-8") as file:
            file.write(f"{event} {host}\n")
        raise OSError(f"no network here: {event} {host}")


sys.addaudithook(refuse)
