"""Ctrl-C and SIGTERM, sent to the real command: what is there is written, and the run goes on later as if nothing was."""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.fake_server import serve
from tests.prefs.commands import (
    PATIENCE,
    Running,
    keys_of,
    loopguard,
    questions,
    recorded,
    tables,
    write_prompts,
)


def resumed(stderr: str) -> subprocess.CompletedProcess[str]:
    """The command that an interrupted run printed, run."""
    (line,) = [line for line in stderr.splitlines() if line.startswith("to go on: ")]
    name, *arguments = shlex.split(line.removeprefix("to go on: "))
    assert name == "loopguard"
    return loopguard(*arguments)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_once_lets_answers_arrive_writes_what_is_there_and_says_how_to_go_on(sent: int, tmp_path: Path) -> None:
    prompts, run_dir = write_prompts(tmp_path / "prompts.jsonl", questions(16)), tmp_path / "a run"
    with serve(latency=0.05) as server:
        arguments = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--concurrency", "3", "--out"]
        with Running(*arguments, run_dir) as process:
            assert process.wait_until(lambda: len(server.requests) >= 30), process.stderr()
            process.send(sent)
            code, stdout, stderr = process.end(), process.stdout(), process.stderr()
        assert code == 130, stderr
        assert "stopping: waiting for the answers in flight" in stderr
        assert "Traceback" not in stderr
        assert "interrupted" in stdout
        summary = json.loads((run_dir / "summary.json").read_text())
        assert summary["stopped"] == "interrupted"
        counts = summary["prompts"]
        assert counts["with_pairs"] + counts["skipped"] > 0 < counts["missing"]
        assert counts["failed"] == 0
        assert summary["candidates"]["total"] == 6 * (16 - counts["missing"])
        kept, seen = recorded(run_dir), len(server.requests)
        for entry in server.requests:
            assert entry["answered"]
            assert keys_of(entry["body"]) <= kept, "an answer that arrived was thrown away"
        status = loopguard("status", run_dir, "--json")
        assert json.loads(status.stdout)["missing"] == counts["missing"]

        again = resumed(stderr)
        assert again.returncode == 0, again.stderr
        assert not kept & set().union(*(keys_of(entry["body"]) for entry in server.requests[seen:]))
        assert loopguard(*arguments, tmp_path / "whole").returncode == 0
        assert tables(run_dir) == tables(tmp_path / "whole")


@pytest.mark.slow
def test_twice_leaves_the_answers_in_flight(tmp_path: Path) -> None:
    prompts, run_dir = write_prompts(tmp_path / "prompts.jsonl", questions(30)), tmp_path / "run"
    with serve(["hang,contains=Question 7"]) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        arguments = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--concurrency", "4", "--out"]
        with Running(*arguments, run_dir) as process:
            assert process.wait_until(lambda: any("Question 7" in str(entry["body"]) for entry in server.requests))
            process.send(signal.SIGINT)
            assert process.wait_until(lambda: "Ctrl-C again: at once" in process.stderr())
            process.send(signal.SIGINT)
            code, stderr = process.end(), process.stderr()
        assert code == 130, stderr
        assert "leaving the answers in flight" in stderr
        assert "Traceback" not in stderr
        assert json.loads((run_dir / "summary.json").read_text())["prompts"]["missing"] > 0
    with serve(port=port):
        again = resumed(stderr)
        assert again.returncode == 0, again.stderr
        assert loopguard(*arguments, tmp_path / "whole").returncode == 0
    assert tables(run_dir) == tables(tmp_path / "whole")


def test_twice_before_anything_is_asked_ends_at_once(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(2))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with Running("build-prefs", prompts, "--engine", f"openai:{url}", "--out", tmp_path / "run") as process:
            connection, _ = silent.accept()  # it waits for the list of models now
            process.send(signal.SIGINT)
            assert process.wait_until(lambda: "Ctrl-C again: at once" in process.stderr())
            process.send(signal.SIGINT)
            code, stderr = process.end(), process.stderr()
        connection.close()
    assert code == 130, stderr
    assert stderr.splitlines()[1].startswith("loopguard: stopped at once; to go on: loopguard build-prefs ")
    assert "Traceback" not in stderr
