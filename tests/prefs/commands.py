"""The real command in a process of its own, and what its run directory holds."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from loopguard.engines import Request
from loopguard.prefs.keys import digest_messages, request_key
from tests.forked import start

TABLES = ("candidates.parquet", "preferences.parquet", "preferences.jsonl", "skipped.parquet")

PATIENCE = 600.0
"""Seconds that anything may take before the test gives up: machines are slow at times."""

PROGRESS = re.compile(r"^[\d,]+ of [\d,]+ prompts; .*; about .* left\n", re.MULTILINE)
"""A line of progress where there is no terminal (loopguard/terminal.py, every 30 s)."""


def environment(**more: str) -> dict[str, str]:
    """The environment of a command: no key of the developer's, no colours, no proxy."""
    kept = {
        k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "PYTEST_")) and "proxy" not in k.lower()
    }
    return kept | {"COLUMNS": "100"} | more


def loopguard(*arguments: object, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """`loopguard ARGUMENTS`, run to its end. Its stderr is without the lines of progress that a slow machine makes it print."""
    with Running(*arguments, cwd=cwd, **variables) as process:
        code, out, err = process.end(), process.stdout(), process.stderr()
    return subprocess.CompletedProcess(process.process.args, code, out, PROGRESS.sub("", err))


class Running:
    """A `loopguard ARGUMENTS` that was left running; what it prints can be read while it runs."""

    def __init__(self, *arguments: object, cwd: Path | None = None, **variables: str) -> None:
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        with open(os.devnull, "rb") as nothing:
            streams = (nothing.fileno(), self._out.fileno(), self._err.fileno())
            self.process = start([*map(str, arguments)], environment(**variables), cwd, streams)

    def stdout(self) -> str:
        """All that it printed so far."""
        return _read(self._out)

    def stderr(self) -> str:
        """All that it complained of so far."""
        return _read(self._err)

    def alive(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def wait_until(self, true: Callable[[], object]) -> bool:
        """Wait for something; False when the process ended before it came."""
        end = time.monotonic() + PATIENCE
        while not true():
            if not self.alive():
                return bool(true())
            assert time.monotonic() < end, f"it never came; {self.stderr()}"
            time.sleep(0.002)
        return True

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Its exit code, once it ended by itself."""
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._out.close()
        self._err.close()


def _read(file: IO[bytes]) -> str:
    return os.pread(file.fileno(), 1 << 24, 0).decode().replace("\r\n", "\n")


def write_prompts(path: Path, prompts: Iterable[str]) -> Path:
    """A JSONL file of prompts."""
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in prompts), encoding="utf-8")
    return path


def questions(count: int) -> list[str]:
    """Different prompts."""
    return [f"Question {k}: what is {k} + {k}?" for k in range(count)]


def tables(run_dir: Path) -> dict[str, bytes]:
    """The bytes of the four tables."""
    return {name: (run_dir / name).read_bytes() for name in TABLES}


def recorded(run_dir: Path) -> set[bytes]:
    """The keys of all answers that a dead process left on disk; read from a copy, so that nothing is mended here."""
    with tempfile.TemporaryDirectory() as folder:
        for path in run_dir.glob("ledger.sqlite*"):
            shutil.copy(path, folder)
        connection = sqlite3.connect(Path(folder, "ledger.sqlite"))
        try:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'answers'").fetchone():
                return set()
            return {key for (key,) in connection.execute("SELECT key FROM answers")}
        finally:
            connection.close()


def keys_of(body: Mapping[str, Any]) -> set[bytes]:
    """The ledger keys that a chat request's body asks for, one for each choice."""
    schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
    digest = digest_messages(body["messages"])
    found = set()
    for k in range(body.get("n", 1)):
        request = Request(
            messages=body["messages"],
            temperature=body["temperature"],
            top_p=body["top_p"],
            max_tokens=body["max_tokens"],
            seed=body["seed"] + k,
            top_logprobs=body.get("top_logprobs", 0),
            json_schema=schema,
        )
        found.add(request_key(body["model"], request, {}, messages_digest=digest))
    return found
