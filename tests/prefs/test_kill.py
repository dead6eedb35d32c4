"""kill -9 at twenty random moments: the resumed run writes the same bytes, and nothing recorded is asked again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fake_server import serve
from tests.prefs.commands import Running, keys_of, loopguard, questions, recorded, tables, write_prompts

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
        total, answers = len(server.requests), len(recorded(tmp_path / "whole"))
        lives = [(total, set[bytes]())]  # (requests that the server had seen when it began, keys on disk then)

        def live(*, until: Callable[[], object], then: float) -> bool:
            """Go on with the run, kill it `then` seconds after `until` has come; False when it ended before."""
            with Running(*arguments, run_dir) as process:
                process.wait_until(until)
                time.sleep(then)
                killed = process.alive()
                process.kill()
                assert killed or process.end() == 0, process.stderr()
            lives.append((len(server.requests), recorded(run_dir)))
            return killed

        for _ in range(STARTING):
            end = time.monotonic() + chance.uniform(0, 0.4 * length)
            far = len(server.requests) + total // (STARTING + 1)  # the machine may be faster by now
            assert live(until=lambda end=end, far=far: time.monotonic() > end or len(server.requests) > far, then=0)
        for k in range(ASKING):
            left = total * (1 - len(lives[-1][1]) / answers) / (ASKING - k + 1)
            far = len(server.requests) + 1 + int(left * chance.uniform(0.5, 1.2))
            assert live(until=lambda far=far: len(server.requests) >= far, then=chance.uniform(0, 0.02))
        while len(lives) <= STARTING + ASKING + WRITING:
            if not live(until=lambda: open_files(run_dir) >= 4, then=chance.uniform(0, 0.02)):
                lives.pop()  # too fast to be killed: with a table gone, it writes the same once more
                (run_dir / "preferences.parquet").unlink()
        last = loopguard(*arguments, run_dir)
        assert last.returncode == 0, last.stderr

    assert tables(run_dir) == tables(tmp_path / "whole")
    assert recorded(run_dir) == recorded(tmp_path / "whole")
    assert open_files(run_dir) == 0
    ends = [seen for seen, _ in lives[1:]] + [len(server.requests)]
    grown = [len(keys) for _, keys in lives]
    assert grown == sorted(grown)
    assert sum(0 < keys < len(recorded(run_dir)) for keys in grown) >= ASKING, "the kills are spread over the run"
    for (first, keys), end in zip(lives, ends, strict=True):
        for entry in server.requests[first:end]:
            assert not keys & keys_of(entry["body"]), "an answer on disk was asked for again"
