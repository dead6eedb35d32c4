"""Waits until its standard input ends, then ends every vLLM process that writes into one log: nothing outlives a kill -9.

    python -m loopguard.engines.vllm_guard LOG

vLLM's processes do not notice when the one that started them is killed; they would keep the GPU's memory for ever. They
have the log as standard output (vllm_log.py), and by that they are known. Needs /proc, so it does nothing but on Linux.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path


def writers(log: Path) -> Iterator[int]:
    """The processes whose standard output or error leads into `log`; not Python's tracker, which ends by itself."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            outputs = [os.readlink(process / "fd" / number) for number in ("1", "2")]
            if str(log) in outputs and b"multiprocessing.resource_tracker" not in (process / "cmdline").read_bytes():
                yield int(process.name)


def main() -> None:
    """Wait, then kill."""
    log = Path(sys.argv[1]).resolve()
    sys.stdin.buffer.read()
    for process in list(writers(log)):
        with contextlib.suppress(OSError):
            os.kill(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
