"""Pushes by the real command to a real server, and what is read back: shared by the tests of `loopguard push`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.handover.a_run import WAIT
from tests.hub_push_server import TOKEN, PushHub
from tests.prefs.commands import environment, loopguard

LOOPS = {"content": f"Let me see. {WAIT * 40}", "finish_reason": "length"}
RULES: list[dict[str, Any]] = [
    {"contains": "Good answer.", "greedy": {"content": "5", "logprobs": {"5": -0.1, "4": -2.4}}},
    {"contains": "Poor answer.", "greedy": {"content": "1", "logprobs": {"1": -0.1, "2": -2.4}}},
    {"contains": "<<<ANSWER", "greedy": {"content": "3", "logprobs": {"3": -0.1, "4": -2.4}}},
    {"contains": "go round", "samples": [LOOPS, "It is fine.", "Yes, fine."], "greedy": "Quite fine."},
    {"contains": "say one thing", "samples": ["One thing."], "greedy": "One thing."},
    {"samples": ["Good answer.", "Poor answer.", "Middling."], "greedy": "Another."},
]
PROMPTS = [f"{k}: {('go round', 'tell me', 'say one thing')[k % 3]}" for k in range(30)]
"""10 pairs by loop, 10 by score, 10 prompts without a pair."""

CONFIGS = ("preferences", "candidates", "skipped")
FILES = ["README.md", *(f"{config}/train-00000-of-00001.parquet" for config in CONFIGS)]

LOAD = """
import json, sys, datasets
datasets.disable_progress_bars()
found = {}
for config in [None, "preferences", "candidates", "skipped"]:
    loaded = datasets.load_dataset(sys.argv[1], config, revision=sys.argv[2]) if config else datasets.load_dataset(sys.argv[1])
    found[str(config)] = {split: {"rows": [*part], "features": str(part.features)} for split, part in loaded.items()}
print(json.dumps(found))
"""


def push(
    hub: PushHub, run: Path, *options: object, repo: str = "me/pairs", token: str | None = TOKEN, **more: str
) -> subprocess.CompletedProcess[str]:
    home = run.parent / "home"
    return loopguard("push", run, repo, *options, **(hub.environment(home, token) | more))


def fails(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """It failed with one clear line that says these words."""
    assert done.returncode == 1, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()
    assert last[-1].startswith("loopguard: "), done.stderr
    assert "Traceback" not in done.stderr
    assert len(last) == 1, done.stderr
    for word in words:
        assert word in last[-1]


def load(hub: PushHub, home: Path, name: str = "me/pairs", revision: str = "main") -> Any:
    """What `datasets` reads of the dataset, by config and split."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, name, revision],
        capture_output=True,
        text=True,
        env=environment(**hub.environment(home)),
        cwd=home,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def seen(run: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in run.iterdir()}
