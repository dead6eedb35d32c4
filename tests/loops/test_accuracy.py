"""A floor under the accuracy on labelled outputs, where they are at hand, and on generated corpora."""

from __future__ import annotations

import json
import random

import pytest

from benchmarks.shared import shared_data
from loopguard.loops.detector import REASONS, Detector, detect


def test_floor_on_labelled_outputs() -> None:
    path = shared_data() / "loops_dev.jsonl"
    if not path.exists():
        pytest.skip(f"no labelled outputs at {path}; set LOOPGUARD_SHARED")
    rows = [row for row in map(json.loads, path.read_text("utf-8").splitlines()) if row["label"] != "unsure"]
    flagged = [verdict.looping for verdict in Detector().detect_batch([row["text"] for row in rows])]
    loops = [row["label"] != "ok" for row in rows]
    right = sum(f and y for f, y in zip(flagged, loops, strict=True))
    assert right / sum(flagged) >= 0.97
    assert right / sum(loops) >= 0.86


def test_fuzz() -> None:
    """Random bytes, ids and mutations of loops: a verdict with sane spans, never an exception."""
    rng = random.Random(11)
    for _ in range(400):
        unit = rng.randbytes(rng.randint(1, 40))
        data = bytearray(
            rng.randbytes(rng.randint(0, 60)) + unit * rng.randint(0, 60) + rng.randbytes(rng.randint(0, 60))
        )
        for _ in range(rng.randint(0, 3)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        for verdict in (detect(bytes(data)), detect(data.decode("utf-8", "replace")), detect(list(data))):
            assert verdict.reason in REASONS
            for loop in verdict.loops:
                assert 0 <= loop.start < loop.end <= verdict.length
                assert 0 < loop.period <= loop.end - loop.start
