"""vLLM's many words into a file of their own, so that a terminal stays readable and an error can still name its cause.

While a vLLM starts, file descriptors 1 and 2 lead into that file: the processes it starts inherit them and write there for
their whole life. This process's own sys.stdout and sys.stderr keep going where they went. SIGINT is blocked meanwhile,
which the new processes inherit too: Ctrl-C then reaches loopguard alone, and answers in flight still arrive.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from loopguard.engines.refusals import one_line

_CAUSE = re.compile(r"^(?:.*?(?:ERROR|CRITICAL)[^]]*\] )?((?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt)\b(?::\s*.+)?)$")
_EMPTY = re.compile(
    r"EngineDeadError|initialization failed. See root cause|EngineCore failed|Failed core proc|WorkerProc"
)


class Log:
    """The file of one vLLM."""

    def __init__(self) -> None:
        """Make the folder, in the system's place for temporary files."""
        self._folder = Path(tempfile.mkdtemp(prefix="loopguard-vllm-")).resolve()
        self.path = self._folder / "vllm.log"
        self.path.touch()
        self.wanted = False
        """An error has named the file to the user: it stays."""
        command = [sys.executable, "-m", "loopguard.engines.vllm_guard", str(self.path)]
        quiet = subprocess.DEVNULL
        self._guard = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
        )

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Whatever is started in here by this thread writes into the file, and does not hear Ctrl-C."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(_environment(self._variables()))
            stack.enter_context(_deaf())
            stack.enter_context(_empty_main())
            stack.enter_context(_descriptors_into(self.path))
            self._before_it_is_configured()
            stack.enter_context(warnings.catch_warnings(action="ignore"))
            yield

    @contextlib.contextmanager
    def taking(self, *names: str) -> Iterator[None]:
        """What these loggers of this process say goes into the file too."""
        file = logging.FileHandler(self.path, encoding="utf-8")
        loggers = [logging.getLogger(name) for name in names]
        before = [(logger.handlers, logger.propagate) for logger in loggers]
        try:
            for logger in loggers:
                logger.handlers, logger.propagate = [file], False
            yield
        finally:
            for logger, (handlers, propagate) in zip(loggers, before, strict=True):
                logger.handlers, logger.propagate = handlers, propagate
            file.close()

    def _before_it_is_configured(self) -> None:
        """What vLLM says while it is imported, before it reads its logging settings."""
        logger = logging.getLogger("vllm")
        if not logger.handlers:
            logger.addHandler(logging.FileHandler(self.path, encoding="utf-8"))
            logger.propagate = False

    def cause(self, error: BaseException) -> str:
        """One line: why vLLM failed, by the last thing in its log that says so, else by the exception."""
        text = self.path.read_text(encoding="utf-8", errors="replace")
        found = [m[1] for line in text.splitlines() if (m := _CAUSE.match(line.strip())) and not _EMPTY.search(m[1])]
        own = f"{type(error).__name__}: {error}"
        if isinstance(error, ValidationError):
            fault = error.errors()[0]
            where = ".".join(str(part) for part in fault["loc"][:1])
            own = f"{where + ': ' if where else ''}{fault['msg'].removeprefix('Value error, ')}"
        if found and _EMPTY.search(own):
            return one_line(found[-1])
        return "its process ended without a word: killed, or out of memory" if _EMPTY.search(own) else one_line(own)

    def close(self) -> None:
        """End what still writes into the file, and remove it unless it is wanted."""
        self._guard.communicate()
        if not self.wanted:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _variables(self) -> dict[str, str]:
        """Environment of vLLM; what the user has set stays.

        spawn, not fork: a forked process would hold this one's locks and open files, the run's lock among them.
        """
        wanted = {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
        if "VLLM_CONFIGURE_LOGGING" not in os.environ:
            wanted["VLLM_LOGGING_CONFIG_PATH"] = str(self._configuration())
        return {name: value for name, value in wanted.items() if name not in os.environ}

    def _configuration(self) -> Path:
        path = self._folder / "logging.json"
        file = {"class": "logging.FileHandler", "filename": str(self.path), "formatter": "line"}
        line = {"format": "%(process)d %(levelname)s [%(name)s] %(message)s"}
        vllm = {"handlers": ["file"], "level": "INFO", "propagate": False}
        settings = {"version": 1, "disable_existing_loggers": False, "formatters": {"line": line}}
        settings |= {"handlers": {"file": file}, "loggers": {"vllm": vllm}}
        path.write_text(json.dumps(settings), encoding="utf-8")
        return path


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)


@contextlib.contextmanager
def _empty_main() -> Iterator[None]:
    """Python's new processes do not run the user's script again.

    It need not be guarded by `if __name__ == "__main__"` then, may come from standard input, and what it imports is not
    loaded there (numba in a script makes vLLM 0.32 fail to start on a CPU).
    """
    before = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = before


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """This thread, and what it starts, does not get SIGINT."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _descriptors_into(path: Path) -> Iterator[None]:
    """Descriptors 1 and 2 lead to the end of a file; sys.stdout and sys.stderr still write where these led before."""
    kept = {number: os.dup(number) for number in (1, 2)}
    streams = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    twins = {name: _Twin(stream, kept[_number(stream)]) for name, stream in streams.items() if _number(stream) in kept}
    for name, twin in twins.items():
        streams[name].flush()
        setattr(sys, name, twin)
    try:
        with path.open("ab") as file:
            for number in kept:
                os.dup2(file.fileno(), number)
        yield
    finally:
        for number, before in kept.items():
            os.dup2(before, number)
        for name, twin in twins.items():
            twin.rest()
            setattr(sys, name, streams[name])
        for before in kept.values():
            os.close(before)


class _Twin:
    """A text stream that writes into another descriptor for a while; whoever has kept it then writes as if to the first."""

    def __init__(self, stream: Any, number: int) -> None:
        self._stream = stream
        self._number: int | None = number

    def rest(self) -> None:
        """The descriptor is about to be closed."""
        self._number = None

    def write(self, text: str) -> int:
        if self._number is None:
            return int(self._stream.write(text))
        data = text.encode(self._stream.encoding or "utf-8", "backslashreplace")
        while data:
            data = data[os.write(self._number, data) :]
        return len(text)

    def fileno(self) -> int:
        return int(self._stream.fileno()) if self._number is None else self._number

    def isatty(self) -> bool:
        return os.isatty(self.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _number(stream: Any) -> int:
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, ValueError):
        return -1
