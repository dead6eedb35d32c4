"""What a run would ask: counted from prompts and recipe, before anything is asked or written."""

from __future__ import annotations

from pathlib import Path

from loopguard.dataset import read_prompts
from loopguard.prefs.estimate import Estimate, estimate
from loopguard.prefs.recipe import Recipe

PROMPTS = ["x" * 40, "y" * 400, "", "x" * 40]
"""Two that can be asked: 10 + 8 and 100 + 8 tokens (4 bytes each, 8 for the chat's form). One is empty, one comes twice."""


def test_every_prompt_takes_its_requests(tmp_path: Path) -> None:
    recipe = Recipe().override({"sampling.temperature": [0.6, 0.9], "sampling.max_tokens": 100})
    found = estimate(read_prompts(PROMPTS), recipe, tmp_path / "none")
    assert found == Estimate(
        prompts=2,
        broken_rows=2,
        already_done=0,
        sampling_requests=2 * 3,
        candidates=2 * 6,
        judge_requests=2 * 6,
        sampling_prompt_tokens=3 * (18 + 108),
        sampling_completion_tokens=2 * 6 * 100,
        judge_prompt_tokens=6 * (18 + 100 + 400) + 6 * (108 + 100 + 400),
    )
    assert not (tmp_path / "none").exists()


def test_without_a_judge(tmp_path: Path) -> None:
    found = estimate(read_prompts(PROMPTS), Recipe().override({"judge.spec": "none"}), tmp_path)
    assert (found.judge_requests, found.judge_prompt_tokens) == (0, 0)
