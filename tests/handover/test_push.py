"""`loopguard push` against a real server that speaks the Hub's protocol, with the real clients: huggingface_hub and datasets."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loopguard import Run
from loopguard.errors import InputError
from loopguard.handover import parquet_files
from loopguard.handover.parquet_files import in_test, write_files
from loopguard.prefs.outputs import schemas
from tests.handover.pushing import CONFIGS, FILES, fails, load, push, seen
from tests.hub_push_server import Fault, PushHub
from tests.prefs.commands import Running

# -- one commit, and what it holds


def test_a_push_is_one_commit_that_loads_back_equal(hub: PushHub, run: Path, tmp_path: Path) -> None:
    before = seen(run)
    done = push(hub, run)
    assert (done.returncode, done.stderr) == (0, "")
    assert (hub.url in done.stdout, "4 new or changed files" in done.stdout) == (True, True)
    repo = hub.repos["me/pairs"]
    assert [commit.title for commit in repo.history()] == ["initial commit", "Push a run (loopguard 0.1.0)"]
    assert sorted(repo.files()) == sorted([".gitattributes", *FILES])
    assert not repo.private
    found = load(hub, tmp_path)
    tables = {config: pq.read_table(run / f"{config}.parquet").to_pylist() for config in CONFIGS}
    assert {config: found[config]["train"]["rows"] for config in CONFIGS} == tables
    assert found["None"] == found["preferences"]
    assert [len(rows) for rows in tables.values()] == [20, 120, 10]
    assert seen(run) == before


def test_features_are_explicit_in_file_and_card(hub: PushHub, run: Path) -> None:
    import datasets
    import yaml

    assert push(hub, run).returncode == 0
    files = hub.repos["me/pairs"].files()
    infos = yaml.safe_load(files["README.md"].decode().split("---\n")[1])["dataset_info"]
    for config, info in zip(CONFIGS, infos, strict=True):
        schema = pq.read_schema(pa.BufferReader(files[f"{config}/train-00000-of-00001.parquet"]))
        right = datasets.Features.from_arrow_schema(schemas()[f"{config}.parquet"])
        assert datasets.Features.from_arrow_schema(schema) == right
        assert b'"info"' in schema.metadata[b"huggingface"]
        assert datasets.Features._from_yaml_list(info["features"]) == right
        assert info["config_name"] == config
    score = pq.read_table(pa.BufferReader(files[FILES[1]])).column("rejected_loop_kind")
    assert score.type == pa.string()


def test_a_second_push_of_the_same_makes_no_commit(hub: PushHub, run: Path) -> None:
    assert push(hub, run).returncode == 0
    hub.requests.clear()
    again = push(hub, run, "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout) == {
        **{"url": f"{hub.url}/datasets/me/pairs", "commit": None},
        **{"changed": [], "deleted": []},
    }
    assert not hub.asked("/commit/|PUT|/batch|/preupload|/create")
    assert len(hub.repos["me/pairs"].history()) == 2


def test_a_change_is_one_commit_of_the_changed_files(hub: PushHub, run: Path) -> None:
    first = json.loads(push(hub, run, "--json").stdout)
    assert sorted(first["changed"]) == sorted(FILES)
    hub.requests.clear()
    second = json.loads(push(hub, run, "--json", "--license", "apache-2.0").stdout)
    assert (second["changed"], second["deleted"]) == (["README.md"], [])
    assert not hub.asked("PUT")
    history = hub.repos["me/pairs"].history()
    assert [commit.sha for commit in history[1:]] == [first["commit"], second["commit"]]
    assert b"license: apache-2.0" in history[-1].files["README.md"]


def test_files_of_an_earlier_push_go_and_other_peoples_files_stay(hub: PushHub, run: Path) -> None:
    assert push(hub, run, "--split", "0.3").returncode == 0
    repo = hub.repos["me/pairs"]
    repo.commit("main", "by hand", repo.files() | {"LICENSE": b"mine", "candidates/notes.txt": b"mine"})
    done = json.loads(push(hub, run, "--json").stdout)
    assert done["deleted"] == [f"{config}/test-00000-of-00001.parquet" for config in sorted(CONFIGS)]
    assert sorted(repo.files()) == sorted([".gitattributes", "LICENSE", "candidates/notes.txt", *FILES])
    assert len(repo.history()) == 4


def test_a_split_puts_all_rows_of_a_prompt_into_one_split_of_every_config(
    hub: PushHub, run: Path, tmp_path: Path
) -> None:
    assert push(hub, run, "--split", "0.3").returncode == 0
    found = load(hub, tmp_path)
    ids = {
        (config, split): {row["prompt_id"] for row in found[config][split]["rows"]}
        for config in CONFIGS
        for split in ("train", "test")
    }
    everything = {row["prompt_id"] for row in Run(run).candidates.to_dicts()}
    test = {prompt_id for prompt_id in everything if in_test(prompt_id, 0.3)}
    assert 0 < len(test) < 30
    assert ids["candidates", "test"] == test
    assert ids["candidates", "train"] == everything - test
    assert ids["preferences", "test"] | ids["skipped", "test"] == test
    rows = [row for split in ("train", "test") for row in found["preferences"][split]["rows"]]
    assert sorted(rows, key=lambda row: row["row"]) == pq.read_table(run / "preferences.parquet").to_pylist()


def test_the_hash_of_a_split_is_fixed_for_ever() -> None:
    ids = [f"{k:016x}" for k in range(2000)]
    assert [k for k in range(60) if in_test(ids[k], 0.1)] == [0, 4, 25, 32, 38, 39, 47, 55]
    assert 0.08 < sum(in_test(one, 0.1) for one in ids) / 2000 < 0.12
    assert all(in_test(one, 0.2) for one in ids if in_test(one, 0.1))
    assert not in_test(None, 0.99)


def test_large_tables_go_into_several_files_of_the_same_bytes(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = pq.read_table(run / "candidates.parquet")
    pq.write_table(pa.concat_tables([wide] * 40), run / "candidates.parquet")
    monkeypatch.setattr(parquet_files, "FILE_BYTES", 1_000_000)
    monkeypatch.setattr(parquet_files, "GROUP_BYTES", 300_000)
    files, again = (
        [file for file in write_files(run, tmp_path / name) if file.config == "candidates"] for name in ("a", "b")
    )
    assert [file.path.read_bytes() for file in files] == [file.path.read_bytes() for file in again]
    assert len(files) > 1
    assert [file.name for file in files] == [
        f"candidates/train-{k:05}-of-{len(files):05}.parquet" for k in range(len(files))
    ]
    assert pq.ParquetFile(files[0].path).num_row_groups > 1
    together = pa.concat_tables(pq.read_table(file.path) for file in files).replace_schema_metadata()
    assert together.equals(pq.read_table(run / "candidates.parquet").replace_schema_metadata())
    assert sum(file.rows for file in files) == 4800


# -- branches and pull requests


def test_a_pull_request_leaves_main_alone(hub: PushHub, run: Path) -> None:
    hub.add("other/data", {"README.md": b"# Mine\n", "rows.csv": b"a,b\n"})
    fails(push(hub, run, repo="other/data"), "rows.csv", "--create-pr")
    done = push(hub, run, "--create-pr", "--json", repo="other/data")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["url"] == f"{hub.url}/datasets/other/data/discussions/1"
    repo = hub.repos["other/data"]
    assert len(repo.history()) == 1
    assert sorted(repo.files("refs/pr/1")) == sorted(["rows.csv", *FILES])


def test_a_pull_request_of_ones_own_can_be_pushed_to_again(hub: PushHub, run: Path) -> None:
    assert push(hub, run).returncode == 0
    assert push(hub, run, "--create-pr", "--license", "mit").returncode == 0
    assert push(hub, run, "--revision", "refs/pr/1", "--license", "cc0-1.0").returncode == 0
    repo = hub.repos["me/pairs"]
    assert b"license: cc0-1.0" in repo.files("refs/pr/1")["README.md"]
    assert b"license: unknown" in repo.files()["README.md"]
    fails(push(hub, run, "--revision", "refs/pr/7"), "me/pairs has no refs/pr/7")


def test_a_branch_is_made_where_there_is_none(hub: PushHub, run: Path, tmp_path: Path) -> None:
    assert push(hub, run, "--revision", "second/try").returncode == 0
    repo = hub.repos["me/pairs"]
    assert sorted(repo.files()) == [".gitattributes"]
    assert sorted(repo.files("second/try")) == sorted([".gitattributes", *FILES])
    assert push(hub, run, "--revision", "second/try", "--json").stdout.count('"commit": null') == 1


def test_a_pull_request_needs_a_dataset(hub: PushHub, run: Path) -> None:
    fails(push(hub, run, "--create-pr"), "me/pairs", "no such dataset")
    fails(push(hub, run, "--create-pr", "--revision", "dev"), "--create-pr", "--revision dev")
    assert not hub.repos


# -- private


def test_a_private_dataset_is_private_from_its_first_moment(hub: PushHub, run: Path) -> None:
    assert push(hub, run, "--private", repo="lab/pairs").returncode == 0
    assert hub.repos["lab/pairs"].private


def test_private_rows_are_not_pushed_to_a_public_dataset(hub: PushHub, run: Path) -> None:
    repo = hub.add("me/pairs", {})
    fails(push(hub, run, "--private"), "me/pairs is public")
    assert len(repo.history()) == 1


# -- failing, and going on


@pytest.mark.parametrize(
    ("status", "said"), [(500, "the Hub has a fault (HTTP 500)"), (403, "no right"), (413, "refuses (HTTP 413)")]
)
def test_after_a_failing_commit_nothing_is_there_and_no_blob_is_sent_twice(
    hub: PushHub, run: Path, status: int, said: str
) -> None:
    hub.faults.append(Fault("POST", "/commit/", status))
    fails(push(hub, run), said)
    assert sorted(hub.repos["me/pairs"].files()) == [".gitattributes"]
    assert len(hub.asked("PUT")) == 3
    assert push(hub, run).returncode == 0
    assert len(hub.asked("PUT")) == 3
    assert sorted(hub.repos["me/pairs"].files()) == sorted([".gitattributes", *FILES])


def test_a_killed_push_goes_on_with_what_was_uploaded(hub: PushHub, run: Path, tmp_path: Path) -> None:
    arrived, killed = threading.Event(), threading.Event()

    def hold() -> None:
        arrived.set()
        killed.wait(60)

    hub.faults.append(Fault("POST", "/commit/", 500, meanwhile=hold))
    with Running("push", run, "me/pairs", **hub.environment(tmp_path / "home")) as running:
        assert running.wait_until(arrived.is_set)
        running.kill()
    killed.set()
    assert len(hub.blobs) == 3
    assert sorted(hub.repos["me/pairs"].files()) == [".gitattributes"]
    hub.requests.clear()
    assert push(hub, run).returncode == 0
    assert not hub.asked("PUT")
    assert len(hub.repos["me/pairs"].history()) == 2


def test_what_the_hub_remarks_on_the_card_is_passed_on(hub: PushHub, run: Path) -> None:
    remark = json.dumps({"errors": [], "warnings": [{"message": "size_categories is odd"}]}).encode()
    hub.faults.append(Fault("POST", "/api/validate-yaml", 200, body=remark))
    done = push(hub, run)
    assert done.returncode == 0
    assert [line.startswith("loopguard: the Hub on the card:") for line in done.stderr.splitlines()] == [True]
    assert "size_categories is odd" in done.stderr


def test_a_busy_hub_is_asked_again_after_the_rest_that_it_wants(hub: PushHub, run: Path) -> None:
    hub.faults += [
        Fault("GET", "/api/datasets/me/pairs$", 429, {"Retry-After": "0"}),
        Fault("POST", "/api/repos/create", 429, {"ratelimit": '"api";r=0;t=0'}),
        Fault("POST", "/preupload/", 429, {"Retry-After": "0"}),
        Fault("POST", "/commit/", 429, {"Retry-After": "0"}, times=2),
    ]
    done = push(hub, run)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("too many requests (HTTP 429): waiting 1 s") == 4
    assert done.stderr.count("loopguard: the Hub's client: Rate limited. Waiting 1.0s before retry") == 1
    assert len(done.stderr.splitlines()) == 5
    assert len(hub.repos["me/pairs"].history()) == 2


def test_a_hub_that_wants_a_long_rest_is_left_alone(hub: PushHub, run: Path) -> None:
    hub.faults.append(Fault("POST", "/commit/", 429, {"Retry-After": "9999"}))
    fails(push(hub, run), "me/pairs: too many requests (HTTP 429)", "run the same command again")
    assert len(hub.asked("POST .*/commit/")) == 1


def test_a_commit_of_somebody_else_in_between_is_not_overwritten(hub: PushHub, run: Path) -> None:
    assert push(hub, run).returncode == 0
    repo = hub.repos["me/pairs"]
    hub.faults.append(
        Fault("POST", "/preupload/", 0, meanwhile=lambda: repo.commit("main", "theirs", repo.files() | {"x": b"y"}))
    )
    fails(push(hub, run, "--license", "mit"), "changed by another commit meanwhile", "run the same command again")
    assert [commit.title for commit in repo.history()][2:] == ["theirs"]
    assert push(hub, run, "--license", "mit").returncode == 0
    assert "x" in repo.files()


# -- a dry run


def test_a_dry_run_asks_the_hub_nothing_and_leaves_the_files(hub: PushHub, run: Path, tmp_path: Path) -> None:
    done = push(hub, run, "--dry-run", "--out", tmp_path / "dataset", token=None)
    assert done.returncode == 0, done.stderr
    assert not hub.requests
    found = {path.relative_to(tmp_path / "dataset").as_posix() for path in (tmp_path / "dataset").rglob("*.*")}
    assert found == set(FILES)
    assert all(name in done.stdout for name in FILES)
    assert push(hub, run).returncode == 0
    pushed = hub.repos["me/pairs"].files()
    assert all((tmp_path / "dataset" / name).read_bytes() == pushed[name] for name in FILES)
    fails(push(hub, run, "--dry-run", "--out", tmp_path / "dataset"), "new or empty folder")
    fails(push(hub, run, "--dry-run", "--out", tmp_path / "other", "--split", "1e-9"), "leaves none")
    assert sorted(path.name for path in tmp_path.iterdir()) == [run.name, "dataset"]
    assert json.loads(push(hub, run, "--dry-run", "--json").stdout)["files"].keys() == set(FILES)


def test_a_run_without_a_lock_file_is_pushed_and_gets_none(hub: PushHub, run: Path) -> None:
    (run / ".lock").unlink()
    before = seen(run)
    assert push(hub, run).returncode == 0
    assert seen(run) == before


def test_a_split_without_pairs_is_an_error(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leaves none of 20 pairs for train"):
        write_files(run, tmp_path / "x", test_share=1 - 2**-53)
