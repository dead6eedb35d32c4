"""Without Ray, `--runner ray` says how to install it, and the recipe knows its section all the same."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from loopguard.errors import RecipeError
from loopguard.prefs.recipe import Recipe, load_recipe
from tests.prefs.commands import loopguard, write_prompts


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed here")
def test_the_install_line_is_all_it_says(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", ["Hello?"])
    (tmp_path / "script.jsonl").write_text('{"samples": ["one", "two"]}\n')
    given = [prompts, "--engine", f"scripted:{tmp_path}/script.jsonl", "--out", tmp_path / "run"]
    done = loopguard("build-prefs", *given, "--runner", "ray")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "loopguard: runner = \"ray\" needs Ray Data: pip install 'loopguard-prefs[ray]'\n"
    assert not (tmp_path / "run").exists()


def test_the_runner_is_no_part_of_what_is_asked() -> None:
    local, ray = Recipe(), Recipe().override({"runner": "ray", "ray.sample_workers": 64, "ray.num_gpus": 1})
    assert ray.asks() == local.asks()
    assert load_recipe("cluster").runner == "ray"


def test_an_unknown_runner_is_an_error() -> None:
    with pytest.raises(RecipeError, match="runner: Input should be 'local' or 'ray'"):
        Recipe().override({"runner": "dask"})
