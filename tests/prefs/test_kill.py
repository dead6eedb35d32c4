"""kill -9 at twenty random moments: the resumed run writes the same bytes, and nothing recorded is asked again."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.fake_server import serve
from tests.prefs.commands import (
    finish,
    keys_of,
    kill,
    loopguard,
    questions,
    recorded,
    start,
    tables,
    wait_until,
    write_prompts,
)

STARTING, ASKING, WRITING = 3, 13, 4
"""How many of the kills fall into each part of a run."""


def open_files(run_dir: Path) -> int:
    """Tables that are being written."""
    return len(list(run_dir.glob(".loopguard-*.tmp")))


@pytest.mark.slow
def test_killed_twenty_times_and_resumed_it_is_as_if_never_killed(tmp_path: Path) -> None:
    chance = random.Random(20)
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(30))
    run_dir = tmp_path / "killed"
    with serve(latency=0.01) as server:
        arguments = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--concurrency", "3", "--out"]
        begun = time.monotonic()
        whole = loopguard(*arguments, tmp_path / "whole")
        length = time.monotonic() - begun
        assert whole.returncode == 0, whole.stderr
        total = len(server.requests)
        lives = [(total, set[bytes]())]  # (requests that the server had seen when it began, keys on disk then)

        def die(process: object) -> None:
            kill(process)  # type: ignore[arg-type]
            lives.append((len(server.requests), recorded(run_dir) if run_dir.exists() else set()))

        for _ in range(STARTING):
            process = start(*arguments, run_dir)
            time.sleep(chance.uniform(0, 0.5 * length))
            die(process)
        steps = [total // (ASKING + 2) + chance.randint(-4, 4) for _ in range(ASKING)]
        for step in steps:
            process, seen = start(*arguments, run_dir), len(server.requests)
            far = seen + step
            assert wait_until(lambda far=far: len(server.requests) >= far, process), process.communicate()
            time.sleep(chance.uniform(0, 0.02))
            die(process)
        while len(lives) <= STARTING + ASKING + WRITING:
            process = start(*arguments, run_dir)
            if wait_until(lambda: open_files(run_dir) >= 4, process):
                time.sleep(chance.uniform(0, 0.02))
                if process.poll() is None:
                    die(process)
                    continue
            finish(process)
            for table in run_dir.glob("*.parquet"):
                table.unlink()  # too fast: it must write once more
        code, _, stderr = finish(start(*arguments, run_dir))
        assert code == 0, stderr

    assert tables(run_dir) == tables(tmp_path / "whole")
    assert recorded(run_dir) == recorded(tmp_path / "whole")
    assert open_files(run_dir) == 0
    ends = [seen for seen, _ in lives[1:]] + [len(server.requests)]
    grown = [len(keys) for _, keys in lives]
    assert grown == sorted(grown)
    assert sum(0 < keys < len(recorded(run_dir)) for keys in grown) >= ASKING, "the kills were spread over the run"
    for (first, keys), last in zip(lives, ends, strict=True):
        for entry in server.requests[first:last]:
            assert not keys & keys_of(entry["body"]), "an answer on disk was asked for again"
