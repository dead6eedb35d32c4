"""200 requests at a time against a server that refuses a third, talks garbage, and is killed and started again in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loopguard import Run, build_prefs, load_recipe
from tests.prefs.commands import PATIENCE, Running, environment, loopguard, questions, recorded, tables, write_prompts

ROOT = Path(__file__).parents[2]
GARBAGE = ("invalid_json", "truncated_json", "empty_choices", "html")
FAULTS = ["429,every=3,retry_after=0.3", *(f"{kind},every=200" for kind in GARBAGE)]


@contextmanager
def server(log: Path, *options: object, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A fake server in a process of its own, and its address."""
    command = [sys.executable, "-m", "tests.fake_server", "--port", str(port), "--log", str(log), *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment())
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def events(log: Path, kind: str) -> list[dict[str, Any]]:
    """What the server wrote of one kind; the last line may be cut by the kill."""
    lines = log.read_text().splitlines() if log.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("}")]
    return [event for event in found if event["event"] == kind]


def paid(log: Path) -> list[str]:
    """The bodies of the requests that a server answered in full, in any order."""
    bodies = {event["number"]: event["body"] for event in events(log, "asked")}
    return [json.dumps(bodies[event["number"]], sort_keys=True) for event in events(log, "answered")]


@pytest.mark.slow
def test_a_run_under_load_ends_complete_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    prompts, faults = write_prompts(tmp_path / "prompts.jsonl", questions(150)), []
    for fault in FAULTS:
        faults += ["--fault", fault]
    logs = [tmp_path / "before.jsonl", tmp_path / "after.jsonl"]
    with server(logs[0], *faults, "--latency", 0.1) as (first, url):
        port = int(url.split(":")[2].split("/")[0])
        arguments = ["build-prefs", prompts, "--engine", f"openai:{url}", "--concurrency", 200, "--out"]
        with Running(*arguments, tmp_path / "run") as process:
            assert process.wait_until(lambda: len(events(logs[0], "answered")) >= 400), process.stderr()
            first.send_signal(signal.SIGKILL)
            assert process.wait_until(lambda: "does not answer since" in process.stderr()), process.stderr()
            with server(logs[1], *faults, "--latency", 0.1, port=port):
                code, stderr = process.end(), process.stderr()
    assert code == 0, stderr
    assert stderr.count("does not answer since") == 1
    assert "waiting up to 300 s" in stderr
    counts = Run(tmp_path / "run").summary["prompts"]
    assert (counts["total"], counts["failed"], counts["missing"]) == (150, 0, 0)
    answered = Counter(body for log in logs for body in paid(log))
    assert set(answered.values()) == {1}, "an answered request was asked again"
    assert all(paid(log) for log in logs)
    asked = sum(len(events(log, "asked")) for log in logs)
    assert asked > 1.4 * len(answered), "a third was refused"
    with server(tmp_path / "calm.jsonl", port=port):
        assert loopguard(*arguments, tmp_path / "calm").returncode == 0
    assert tables(tmp_path / "run") == tables(tmp_path / "calm")
    assert recorded(tmp_path / "run") == recorded(tmp_path / "calm")


LONG_GRACE = "import loopguard.prefs.pipeline as p; p.GRACE = 3600.0; from loopguard.cli import main; main()"


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_while_it_waits_for_a_dead_server_it_can_be_stopped_at_once(sent: int, tmp_path: Path) -> None:
    """Although an hour would be given to answers in flight: there are none."""
    prompts, log, said = write_prompts(tmp_path / "prompts.jsonl", questions(40)), tmp_path / "log", tmp_path / "said"
    with server(log, "--latency", 0.05) as (first, url), said.open("wb") as stderr:
        command = [sys.executable, "-c", LONG_GRACE, "build-prefs", prompts, "--engine", f"openai:{url}"]
        command += ["--out", tmp_path / "run"]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=stderr, env=environment(), cwd=ROOT
        ) as process:
            try:
                wait_for(lambda: len(events(log, "answered")) >= 20)
                first.kill()
                wait_for(lambda: "does not answer since" in said.read_text())
                process.send_signal(sent)
                assert process.wait(PATIENCE) == 130, said.read_text()
            finally:
                process.kill()
    counts = Run(tmp_path / "run").summary["prompts"]
    assert counts["failed"] == 0 < counts["missing"]
    assert len(recorded(tmp_path / "run")) >= 20


def wait_for(true: Callable[[], object]) -> None:
    """Wait for something that will come."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_run_probes_once_and_a_finished_one_asks_nothing(tmp_path: Path) -> None:
    prompts, log = write_prompts(tmp_path / "prompts.jsonl", questions(3)), tmp_path / "log.jsonl"
    given = ["--owner", "vllm", "--token_ids", "offer", "--context", 4096]
    with server(log, *given) as (_, url):
        arguments = ["build-prefs", prompts, "--engine", f"openai:{url}", "--out", tmp_path / "run"]
        assert loopguard(*arguments).returncode == 0
        assert len(events(log, "probe")) == 4
        asked = len(events(log, "asked"))
        assert loopguard(*arguments).returncode == 0
        assert loopguard(*arguments, "--judge", "conciseness").returncode == 0
        assert len(events(log, "probe")) == 4, "the probe of this day is good enough"
        assert len(events(log, "asked")) > asked
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("loopguard.prefs.capabilities.FRESH", 0.0)
            run = Run(tmp_path / "run")
            recipe = load_recipe(str(tmp_path / "run" / "recipe.toml")).override({"judge.spec": "reasoning"})
            build_prefs(prompts, recipe, out=run.path)
        assert len(events(log, "probe")) == 8
    status = json.loads(loopguard("status", tmp_path / "run", "--json").stdout)
    (can,) = status["engines"].values()
    assert status["engines"] == run.summary["engines"]
    assert can | {"probed": ""} == {
        "software": "vllm 0.99.1",
        "context": 4096,
        "n": True,
        "seed": True,
        "top_logprobs": 5,
        "json_schema": True,
        "token_ids": True,
        "reasoning": False,
        "refuses": [],
        "probed": "",
    }
    told = loopguard("status", tmp_path / "run", COLUMNS="300").stdout
    assert "vllm 0.99.1: n, seed, 5 logprobs, json_schema, token ids; no reasoning; context 4096" in told
