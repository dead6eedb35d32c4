"""A run on Ray gives the rows of a local run, in their order, whichever engines ask; a run can change between runners."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loopguard.house import shipped
from tests.fake_server import serve
from tests.prefs.commands import loopguard, questions, write_prompts
from tests.ray.on_ray import TABLES, answer_files, answers, assert_same_rows, rows

ROOT = Path(__file__).parents[2]


def test_with_two_stages_on_a_ray_of_its_own_it_gives_the_local_rows(tmp_path: Path) -> None:
    script = tmp_path / "script.jsonl"
    judged = {"contains": "<<<ANSWER", "greedy": {"content": "4", "logprobs": {"4": -0.3, "5": -1.6, "3": -3.0}}}
    looping = {"contains": "Question 1", "samples": ["fine", "also fine"], "greedy": "and so on " * 200}
    failing = {"contains": "Question 2:", "samples": [{"error": "no"}]}
    other = {"samples": ["one", "two", "three, longer", "four"], "greedy": "greedy"}
    script.write_text("".join(json.dumps(rule) + "\n" for rule in (judged, failing, looping, other)))
    lines = [json.dumps({"prompt": text}) for text in questions(30)]
    lines[3:3] = ["{}", json.dumps({"prompt": ""})]
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("\n".join(lines) + "\n")
    given = [prompts, "--engine", f"scripted:{script}", "--judge-engine", f"scripted:{script}", "--judge-model", "big"]
    given += ["--set", "ray.prompts_per_shard=5", "--json", "--out"]

    local = loopguard("build-prefs", *given, tmp_path / "local")
    on_ray = loopguard("build-prefs", *given, tmp_path / "ray", "--runner", "ray")
    assert (local.returncode, on_ray.returncode) == (3, 3), on_ray.stderr  # one prompt fails
    assert len(on_ray.stderr.strip().splitlines()) == 1, on_ray.stderr  # no noise of Ray's: just how to go on
    assert_same_rows(tmp_path / "ray", tmp_path / "local")
    assert answers(tmp_path / "ray") == answers(tmp_path / "local")
    assert not answer_files(tmp_path / "ray")
    before, after = json.loads(local.stdout), json.loads(on_ray.stdout)
    for name in before.keys() - {"this_session", "seconds_in_all_sessions", "versions"}:
        assert before[name] == after[name], name
    for stage in ("sampling", "judging"):
        assert after["this_session"][stage]["requests"] == before["this_session"][stage]["requests"] > 0
    status = [json.loads(loopguard("status", tmp_path / name, "--json").stdout) for name in ("local", "ray")]
    assert status[0] == status[1]


def test_from_the_laptop_to_ray_only_the_runner_and_engine_lines_change(tmp_path: Path, cluster: str) -> None:
    demo = (shipped("pipelines") / "demo.toml").read_text(encoding="utf-8")
    with serve() as server:
        there = demo.replace('engine = "embedded"', f'engine = "openai:{server.url}"')
        there = there.replace('name = "demo"', 'name = "demo"\nrunner = "ray"')
        changed = set(there.splitlines()) ^ set(demo.splitlines())
        assert {line.partition(" = ")[0] for line in changed} == {"runner", "engine"}
        (tmp_path / "there.toml").write_text(there, encoding="utf-8")
        given = ["build-prefs", ROOT / "pipelines" / "demo_prompts.jsonl", "--pipeline", tmp_path / "there.toml"]
        on_ray = loopguard(*given, "--ray-address", cluster, "--out", tmp_path / "ray")
        assert on_ray.returncode == 0, on_ray.stderr
        asked = len(server.requests)
        local = loopguard(*given, "--runner", "local", "--out", tmp_path / "local")
        assert local.returncode == 0, local.stderr
        assert len(server.requests) == 2 * asked
        assert_same_rows(tmp_path / "ray", tmp_path / "local")

        again = loopguard(*given, "--runner", "local", "--out", tmp_path / "ray", "--judge", "conciseness")
        assert again.returncode == 0, again.stderr
        judged = loopguard(*given, "--out", tmp_path / "ray", "--ray-address", cluster)  # back, with the first judge
        assert judged.returncode == 0, judged.stderr
        assert_same_rows(tmp_path / "ray", tmp_path / "local")
        asked_for = [json.dumps(entry["body"], sort_keys=True) for entry in server.requests[2 * asked :]]
        assert asked_for
        assert all("<<<ANSWER" in body for body in asked_for), "a sample was asked again"


def test_local_then_ray_then_local_asks_nothing_twice(tmp_path: Path, cluster: str) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(24))
    with serve() as server:
        given = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--out"]
        assert loopguard(*given, tmp_path / "whole").returncode == 0
        once = len(server.requests)
        assert loopguard(*given, tmp_path / "run", "--limit", "7").returncode == 0
        on_ray = loopguard(*given, tmp_path / "run", "--limit", "15", "--runner", "ray", "--ray-address", cluster)
        assert on_ray.returncode == 0, on_ray.stderr
        last = loopguard(*given, tmp_path / "run", "--runner", "local")
        assert last.returncode == 0, last.stderr
        assert len(server.requests) == 2 * once
    assert_same_rows(tmp_path / "run", tmp_path / "whole")
    assert answers(tmp_path / "run") == answers(tmp_path / "whole")


@pytest.mark.embedded
def test_the_embedded_model_answers_on_ray(tmp_path: Path, cluster: str) -> None:
    pytest.importorskip("xllamacpp")
    prompts = write_prompts(tmp_path / "prompts.jsonl", ["Name a colour.", "What is two and two?"])
    given = ["--engine", "embedded", "--max-tokens", "24", "--set", "ray.sample_workers=1", "--out", tmp_path / "run"]
    done = loopguard("build-prefs", prompts, *given, "--runner", "ray", "--ray-address", cluster, "--json")
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "run")[TABLES[0]]) == 12
    assert json.loads(done.stdout)["prompts"]["missing"] == 0
