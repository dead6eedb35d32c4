"""What is wrong with Ray, a node or an engine is told in one line, in bounded time."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.prefs.commands import loopguard, questions, write_prompts


@pytest.fixture
def given(tmp_path: Path) -> list[object]:
    script = tmp_path / "script.jsonl"
    script.write_text('{"samples": ["one", "two"]}\n')
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(3))
    return ["build-prefs", prompts, "--engine", f"scripted:{script}", "--runner", "ray", "--out", tmp_path / "run"]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:10001", "nowhere"])
def test_no_ray_at_the_address(given: list[object], address: str) -> None:
    done = loopguard(*given, "--ray-address", address)
    assert done.returncode == 1
    assert done.stderr.startswith(f"loopguard: --ray-address {address}: ")
    assert len(done.stderr.splitlines()) == 1


def test_something_else_at_the_address(given: list[object]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = loopguard(*given, "--ray-address", address)
    assert done.returncode == 1
    assert f"--ray-address {address}: no Ray answers there (" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_engine_that_is_not_there_ends_the_run_in_one_line(given: list[object], cluster: str) -> None:
    gone = ["--engine", "openai:http://127.0.0.1:1/v1", "--model", "m", "--ray-address", cluster]
    done = loopguard(*given, *gone)
    assert done.returncode == 1
    assert done.stderr.startswith("loopguard: ")
    assert "127.0.0.1:1" in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_budget_is_refused(given: list[object]) -> None:
    done = loopguard(*given, "--budget", "10requests")
    assert done.returncode == 1
    assert done.stderr == (
        'loopguard: a budget is kept by one process, so not with runner = "ray"; leave it out (--budget none), '
        "or --runner local\n"
    )
