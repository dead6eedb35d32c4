"""Workers, nodes and drivers that die in the middle: nothing is lost, nothing answered is asked again."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from tests.fake_server import FakeServer, serve
from tests.prefs.commands import Running, keys_of, loopguard, questions, recorded, write_prompts
from tests.ray.on_ray import answer_files, answers, assert_same_rows, kill_worker_of, on_disk, shard_files


def asked_again(server: FakeServer, first: int, known: set[bytes]) -> int:
    """Requests from number `first` on that ask for an answer in `known`."""
    return sum(bool(known & keys_of(entry["body"])) for entry in server.requests[first:])


def test_a_worker_killed_in_mid_batch_loses_nothing(tmp_path: Path, cluster: str) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(40))
    run_dir = tmp_path / "run"
    with serve(latency=0.1) as server:
        given = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--concurrency", "4"]
        given += ["--judge-engine", f"openai:{server.url}", "--judge-model", "fake-model", "--out"]
        ray = ["--runner", "ray", "--ray-address", cluster, "--set", "ray.prompts_per_shard=20"]
        killed, known = [], set[bytes]()
        with Running(*given, run_dir, *ray) as process:
            for stage in ("1-sample", "2-judge"):
                assert process.wait_until(lambda stage=stage: [p for p in written(run_dir, stage) if len_of(p) > 12])
                path = next(p for p in written(run_dir, stage) if len_of(p) > 12)
                first, known = len(server.requests), on_disk(run_dir)
                kill_worker_of(path)
                killed.append((first, known))
            assert process.end() == 0, process.stderr()
        for first, known in killed:
            assert known
            assert asked_again(server, first, known) == 0
        whole = loopguard(*given, tmp_path / "local")
        assert whole.returncode == 0, whole.stderr
    assert_same_rows(run_dir, tmp_path / "local")
    assert answers(run_dir) == answers(tmp_path / "local")
    assert not answer_files(run_dir)


def written(run_dir: Path, stage: str) -> list[Path]:
    return [path for path in answer_files(run_dir) if path.name.startswith(stage)]


def len_of(path: Path) -> int:
    """Lines of a file that may go at any time."""
    try:
        return path.read_bytes().count(b"\n")
    except OSError:
        return 0


def test_a_driver_killed_goes_on_where_it_was(tmp_path: Path, cluster: str) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(48))
    run_dir = tmp_path / "run"
    with serve(latency=0.05) as server:
        given = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--concurrency", "4", "--out"]
        ray = ["--runner", "ray", "--ray-address", cluster, "--set", "ray.prompts_per_shard=6"]
        with Running(*given, run_dir, *ray) as process:
            assert process.wait_until(lambda: len(shard_files(run_dir)) >= 15 and len(answer_files(run_dir)) >= 2)
            process.kill()
        wait_until_quiet(server)
        finished = [folder for folder in run_dir.glob("shards/[0-9]*") if (folder / "shard.json").is_file()]
        stood = shard_files(run_dir)
        known, first = on_disk(run_dir), len(server.requests)
        assert 0 < len(finished) < 8
        assert known - recorded(run_dir), "some answers are only in the workers' files"
        again = loopguard(*given, run_dir, *ray)
        assert again.returncode == 0, again.stderr
        assert asked_again(server, first, known) == 0
        assert {name: shard_files(run_dir)[name] for name in stood} == stood, "a finished shard was done again"
        whole = loopguard(*given, tmp_path / "local")
        assert whole.returncode == 0, whole.stderr
    assert_same_rows(run_dir, tmp_path / "local")
    assert answers(run_dir) == answers(tmp_path / "local")


def test_a_killed_ray_run_goes_on_with_the_local_runner(tmp_path: Path, cluster: str) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(30))
    run_dir, shared = tmp_path / "run", tmp_path / "elsewhere"
    with serve(latency=0.05) as server:
        given = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--concurrency", "4", "--out", run_dir]
        ray = ["--runner", "ray", "--ray-address", cluster, "--set", f"ray.shared={shared}"]
        with Running(*given, *ray) as process:
            assert process.wait_until(lambda: sum(len_of(path) for path in answer_files(shared)) >= 20)
            process.kill()
        wait_until_quiet(server)
        known, first = on_disk(run_dir) | on_disk(shared), len(server.requests)
        again = loopguard(*given, "--runner", "local")
        assert again.returncode == 0, again.stderr
        assert "took over the answers of" in again.stderr
        assert asked_again(server, first, known) == 0
    assert not answer_files(shared)


def wait_until_quiet(server: FakeServer) -> None:
    """Workers of a driver that is gone live on for a moment."""
    seen = -1
    while seen != len(server.requests):
        seen = len(server.requests)
        time.sleep(2)


def test_ctrl_c_ends_it_in_good_order(tmp_path: Path, cluster: str) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(400))
    run_dir = tmp_path / "run"
    with serve(latency=0.1) as server:
        given = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--concurrency", "4", "--out", run_dir]
        ray = ["--runner", "ray", "--ray-address", cluster, "--set", "ray.prompts_per_shard=10", "--json"]
        with Running(*given, *ray) as process:
            assert process.wait_until(lambda: len(shard_files(run_dir)) >= 10)
            process.send(signal.SIGINT)
            assert process.end() == 130, process.stderr()
            summary = json.loads(process.stdout())
            assert "stopping: waiting for the answers in flight" in process.stderr()
        assert summary["stopped"] == "interrupted"
        counts = summary["prompts"]
        assert counts["missing"] > 0
        assert counts["with_pairs"] + counts["skipped"] > 10
        assert not answer_files(run_dir)
        answered = sum(entry["answered"] for entry in server.requests)
        assert answered == summary["spent"]["requests"]
