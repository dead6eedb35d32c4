"""build-prefs on the real vLLM, by the command: killed, interrupted, gone on with; one model as sampler and judge."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import polars as pl

from loopguard import detect, open_run
from tests.prefs.commands import Running, questions, recorded, write_prompts
from tests.vllm.conftest import ARGS, all_gone, processes_of_vllm

SAMPLES = 2


def arguments(prompts: Path, run_dir: Path, checkpoint: Path) -> list[str]:
    args = {**ARGS, "max_num_seqs": 6}
    settings = [f"engine.engine_args.{name}={json.dumps(value)}" for name, value in args.items()]
    settings += ["sampling.early_stop={max_pattern_size=40, min_pattern_size=10, min_count=4}"]
    options = ["--engine", f"vllm:{checkpoint}", "--samples", str(SAMPLES), "--max-tokens", "110", "--min-margin", "0"]
    return [
        "build-prefs",
        str(prompts),
        *options,
        *(x for one in settings for x in ("--set", one)),
        "--out",
        str(run_dir),
    ]


def test_killed_interrupted_and_gone_on_with(checkpoint: Path, tmp_path: Path) -> None:
    asked = ["Write a poem in which every verse is about rain.", "word " * 2000, *questions(2)]
    prompts, run_dir = write_prompts(tmp_path / "prompts.jsonl", asked), tmp_path / "run"
    command = arguments(prompts, run_dir, checkpoint)

    with Running(*command) as process:  # kill -9: vLLM's processes do not live on, what was answered stays
        assert process.wait_until(lambda: len(recorded(run_dir)) >= 2), process.stderr()
        children = processes_of_vllm(process.process.pid)
        assert children
        process.kill()
        assert all_gone(children)
    first = recorded(run_dir)

    with Running(*command) as process:  # Ctrl-C in a terminal reaches every process of the group
        assert process.wait_until(lambda: len(recorded(run_dir)) > len(first)), process.stderr()
        children = processes_of_vllm(process.process.pid)
        for one in [process.process, *children]:
            one.send_signal(signal.SIGINT)
        assert process.end() == 130, process.stderr()
        assert all_gone(children)
        assert "Traceback" not in process.stderr()
    second = recorded(run_dir)
    assert first < second
    assert open_run(run_dir).summary["stopped"] == "interrupted"

    with Running(*command) as process:
        assert process.process.wait(600) == 0, process.stderr()
        said = process.stderr()
    assert recorded(run_dir) > second
    for noise in ("INFO", "WARNING", "Traceback", "Exception ignored", "Triton"):
        assert noise not in said

    run = open_run(run_dir)
    summary = run.summary
    session = summary["this_session"]
    assert session["sampling"]["choices"] + session["judging"]["choices"] == len(recorded(run_dir)) - len(second)
    assert summary["engine"]["model"] == summary["judged_by"]["model"] == checkpoint.name
    assert summary["judge"]["scored"] > 0
    assert summary["judge"]["methods"]["logprobs"] > 0
    assert run.candidates.height == (len(asked) - 1) * (SAMPLES + 1)
    _the_long_prompt_is_skipped(run.skipped)
    _what_was_stopped_counts_as_looping(run.candidates, summary["early_stop"])


def _the_long_prompt_is_skipped(skipped: pl.DataFrame) -> None:
    (row,) = skipped.filter(pl.col("reason") == "prompt_too_long").to_dicts()
    assert row["row"] == 2
    assert "maximum context length" in row["detail"]


def _what_was_stopped_counts_as_looping(candidates: pl.DataFrame, told: dict[str, int]) -> None:
    stopped = candidates.filter(pl.col("finish_reason") == "repetition")
    assert stopped.height >= 1
    assert stopped["looping"].all()
    assert detect(stopped.filter(pl.col("decoding") == "greedy")["text"][0]).looping
    assert told["outputs"] == stopped.height
    assert told["tokens_saved_at_most"] == 110 * stopped.height - stopped["completion_tokens"].sum()
