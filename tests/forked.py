"""Commands that need not load everything anew: forked from a process that has loaded the heavy packages already.

    process = start(["status", "runs/mine"], environment, cwd, (stdout, stderr))
    process.wait(60)

Loading takes a command one to three seconds of a core, running it often a tenth of that, and the tests run many hundreds. What
is forked is a process of its own, with its own environment, folder and streams; signals, limits and kill -9 do to it what they
do to any. Two such starters take turns, with different hash seeds: what hangs on the order of a set shows as it would between
two processes. That verbs also come up from nothing is for `tests/test_cli.py`, the wheel and the demo.

Nothing that takes threads along is loaded beforehand (polars), nor what reads the environment when it is imported
(huggingface_hub, datasets). Elsewhere than on Linux, and where Python itself reads what the test sets, commands start from nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.util
import io
import itertools
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parent.parent

READ_BY_PYTHON = ("PYTHON", "LC_", "LANG", "NUMBA_", "MALLOC_", "LD_")
"""How variables begin that a process reads when it starts, or a package when it is loaded."""

OWN_PROCESSES = ("ray", "vllm")
"""Packages that start processes after the likeness of the one they are in: where they are, every command starts from nothing."""

LOADED = (
    "loopguard.cli",
    "loopguard.engines.scripted",
    "loopguard.engines.server",
    "loopguard.handover.advice",
    "loopguard.handover.export",
    "loopguard.handover.push",
    "loopguard.loops.scan",
    "loopguard.prefs.build",
    "loopguard.prefs.so_far",
    "loopguard.prefs.trust_session",
    "loopguard.terminal",
    "openai",
    "jinja2",
    "pyarrow.compute",
    "pyarrow.parquet",
    "tenacity",
)


# -- who asks for a command


class Process:
    """A command that was forked, with what the tests use of subprocess.Popen."""

    def __init__(self, command: Sequence[str], connection: socket.socket) -> None:
        self.args, self.returncode = command, None
        self._connection = connection
        self.pid = int.from_bytes(_receive(connection, 4), "big")

    def poll(self) -> int | None:
        """Its exit code, the negative number of the signal that ended it, or None while it runs."""
        return self._end(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if (code := self._end(timeout)) is None:
            raise subprocess.TimeoutExpired(list(self.args), timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # the starter has taken its end, and not told of it yet
                os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)

    def _end(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._connection, selectors.EVENT_READ)
                if not selector.select(timeout):
                    return None
            self.returncode = os.waitstatus_to_exitcode(int.from_bytes(_receive(self._connection, 4), "big"))
            self._connection.close()
        return self.returncode


def start(
    arguments: Sequence[str], environment: Mapping[str, str], cwd: Path | None, streams: tuple[int, int, int]
) -> Process | subprocess.Popen[bytes]:
    """`python -m loopguard ARGUMENTS` with these stdin, stdout and stderr."""
    command = [sys.executable, "-m", "loopguard", *arguments]
    plain = sys.platform == "linux" and not any(importlib.util.find_spec(name) for name in OWN_PROCESSES)
    new = {name for name, value in environment.items() if os.environ.get(name) != value}
    if not plain or any(name.startswith(READ_BY_PYTHON) for name in new):
        given, out, err = streams
        return subprocess.Popen(command, stdin=given, stdout=out, stderr=err, env=dict(environment), cwd=cwd)
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(_starter(next(_TURNS) % 2))
    asked = json.dumps([list(arguments), dict(environment), str(cwd or Path.cwd())]).encode()
    socket.send_fds(connection, [len(asked).to_bytes(4, "big")], streams)
    connection.sendall(asked)
    return Process(command, connection)


_TURNS = itertools.count()


@cache
def _starter(number: int) -> str:
    """The address of a starter, which lives as long as this process."""
    folder = tempfile.mkdtemp(prefix="loopguard-starter-")
    address = f"{folder}/{number}"
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.forked", address],
        stdin=subprocess.PIPE,  # ends when this process does, however it ends
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=ours | {"PYTHONHASHSEED": str(number + 1), "OPENBLAS_NUM_THREADS": "1"},
    )

    def end() -> None:
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        process.wait()
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    return address


def _receive(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = connection.recv(size - len(found))
        if not piece:
            raise ConnectionError("the starter is gone")
        found += piece
    return found


# -- the starter


def serve(address: str) -> None:
    """Fork a command for whoever asks, until stdin ends. Returns in each forked process, and there alone."""
    _load()
    warnings.simplefilter("ignore", DeprecationWarning)  # later Pythons' on a fork beside threads; jemalloc's stand it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(0, selectors.EVENT_READ)
    running: dict[int, tuple[int, socket.socket]] = {}
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fd == 0:
                os._exit(0)
            if key.fd in running:
                pid, connection = running.pop(key.fd)
                selector.unregister(key.fd)
                os.close(key.fd)
                _tell(connection, os.waitpid(pid, 0)[1])
                connection.close()
                continue
            connection, _ = listener.accept()
            size, streams, _, _ = socket.recv_fds(connection, 4, 3)
            asked = json.loads(_receive(connection, int.from_bytes(size, "big")))
            if pid := os.fork():
                for stream in streams:
                    os.close(stream)
                _tell(connection, pid)
                end = os.pidfd_open(pid)
                running[end] = (pid, connection)
                selector.register(end, selectors.EVENT_READ)
                continue
            selector.close()
            for held in (listener, connection, *(other for _, other in running.values())):
                held.close()
            for fd in running:
                os.close(fd)
            _become(*asked, streams)
            return


def _tell(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody may want to know any more
        connection.sendall(number.to_bytes(4, "big"))


def _load() -> None:
    from loopguard.loops.quick_start import numba_without_scipy, quick_arrow

    numba_without_scipy()
    quick_arrow()
    for name in LOADED:
        importlib.import_module(name)
    from loopguard.loops.detector import detect

    detect("kernels")
    detect([1, 2, 3])
    gc.collect()
    gc.freeze()  # else every command looks at all of this as it ends, and pays for a page of its own wherever it looks
    early = sys.modules.keys() & {"polars", "huggingface_hub", "datasets", "pandas", "typer.rich_utils"}
    assert not early, early


def _become(arguments: list[str], environment: dict[str, str], cwd: str, streams: Sequence[int]) -> None:
    """This process as if it had been started so."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = cwd
    sys.argv = ["loopguard", *arguments]
    old: Any = sys.stdout
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        errors = "backslashreplace" if number == 2 else old.errors
        raw: Any = open(number, f"{mode}b", buffering=-1, closefd=False)  # noqa: SIM115 (they live as long as the process)
        lines = number == 2 or raw.raw.isatty()
        stream = io.TextIOWrapper(raw, old.encoding, errors, line_buffering=lines)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    warnings.resetwarnings()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> NoReturn:
    serve(sys.argv[1])
    runpy.run_module("loopguard", run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
