"""Reading from the Hub: the real client, in a process of its own, against a real server on localhost."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub_server import HubRepo, HubServer

READ = """
import json, sys
from loopguard.dataset import read_prompts
from loopguard.errors import InputError
from loopguard.records import Prompt
def read(name):
    try:
        for item in read_prompts(name):
            text = item.messages[-1]["content"] if isinstance(item, Prompt) else f"<{item.reason}>"
            yield f"{item.row}: {text}"
    except InputError as error:
        yield f"InputError {error}"
print(json.dumps({name: list(read(name)) for name in sys.argv[1:]}))
"""

CARD = """---
configs:
- config_name: easy
  data_files:
  - {split: train, path: easy/train-*}
  - {split: test, path: easy/test-*}
- config_name: hard
  data_files:
  - {split: validation, path: hard/*}
---
"""


def lines(*prompts: str | None) -> bytes:
    return b"".join(json.dumps({"id": 1, "prompt": prompt}).encode() + b"\n" for prompt in prompts)


def parquet(*questions: str) -> bytes:
    file = io.BytesIO()
    messages = [[{"role": "system", "content": "s"}, {"role": "user", "content": text}] for text in questions]
    pq.write_table(pa.table({"messages": messages, "id": [*range(len(questions))]}), file)
    return file.getvalue()


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    repos = {
        "someone/riddles": HubRepo({"train.jsonl": lines("a", None, "b", "a"), "test.jsonl": lines("t")}),
        "someone/turns": HubRepo({"data/train-00000-of-00001.parquet": parquet("a", "b")}),
        "someone/levels": HubRepo(
            {
                "README.md": CARD.encode(),
                "easy/train-0.parquet": parquet("easy train"),
                "easy/test-0.parquet": parquet("easy test"),
                "hard/0.parquet": parquet("hard"),
            }
        ),
        "someone/parts": HubRepo({"validation.jsonl": lines("a"), "test.jsonl": lines("b")}),
        "someone/gated": HubRepo({"train.jsonl": lines("a")}, gated=True),
        "someone/private": HubRepo({"train.jsonl": lines("a")}, private=True),
        "someone/nothing": HubRepo({"README.md": b"# to come\n"}),
        "someone/broken": HubRepo({"train.jsonl": lines("a") * 3 + b"{broken\n"}),
    }
    with HubServer(repos) as server:
        yield server


def read(hub: HubServer, home: Path, *names: str, token: str | None = None, **more: str) -> dict[str, list[str]]:
    """What reading each of the names says, in one new process."""
    home.mkdir(exist_ok=True)
    environment = os.environ | hub.environment(home, token) | more
    command = [sys.executable, "-c", READ, *names]
    run = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    said: dict[str, list[str]] = json.loads(run.stdout)
    return said


FOUND = {
    "train is the default": ("hf:someone/riddles", ["1: a", "2: <null_prompt>", "3: b", "4: <duplicate>"]),
    "split": ("hf:someone/riddles:test", ["1: t"]),
    "parquet, messages": ("hf:someone/turns", ["1: a", "2: b"]),
    "config": ("hf:someone/levels/easy", ["1: easy train"]),
    "config and split": ("hf:someone/levels/easy:test", ["1: easy test"]),
    "the only split": ("hf:someone/levels/hard", ["1: hard"]),
}


REFUSED = {
    "no such dataset": ("hf:someone/nobody", ["hf:someone/nobody cannot be read", "doesn't exist", "HF_TOKEN"]),
    "no such split": ("hf:someone/riddles:dev", ["has no split dev; it has train, test"]),
    "which split": ("hf:someone/parts", ["has no split train; it has", "validation", "like hf:someone/parts:"]),
    "which config": ("hf:someone/levels", ["easy", "hard", "hf:user/dataset/config:split"]),
    "no such config": ("hf:someone/levels/huge", ["'huge' not found", "easy", "hard"]),
    "a part of a split": ("hf:someone/riddles:train[:5]", ["take train and --limit"]),
    "gated, no token": ("hf:someone/gated", ["gated", "set HF_TOKEN"]),
    "private": ("hf:someone/private", ["cannot be accessed", "HF_TOKEN"]),
    "no data": ("hf:someone/nothing", ["doesn't contain any data files"]),
    "a broken file": ("hf:someone/broken", ["cannot be read"]),
    "no name": ("hf:", ["write hf:user/dataset, hf:user/dataset:split"]),
    "no split after the colon": ("hf:someone/riddles:", ["write hf:user/dataset"]),
    "too many parts": ("hf:a/b/c/d", ["write hf:user/dataset"]),
    "odd characters": ("hf:some one/rid*dles", ["Repo id must use alphanumeric chars"]),
}


@pytest.fixture(scope="module")
def answers(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What reading each of the names without a token says."""
    names = [name for name, _ in (*FOUND.values(), *REFUSED.values())]
    return read(hub, tmp_path_factory.mktemp("home"), *names)


@pytest.mark.parametrize("case", FOUND)
def test_found(case: str, answers: dict[str, list[str]]) -> None:
    name, expected = FOUND[case]
    assert answers[name] == expected


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, answers: dict[str, list[str]]) -> None:
    name, expected = REFUSED[case]
    (said,) = answers[name]
    assert said.startswith("InputError")
    assert said.isprintable()
    for part in expected:
        assert part in said


def test_tokens(hub: HubServer, tmp_path: Path) -> None:
    names = ("hf:someone/gated", "hf:someone/private")
    right = read(hub, tmp_path / "right", *names, token="hf_right")
    assert right == {name: ["1: a"] for name in names}
    wrong = read(hub, tmp_path / "wrong", *names, token="hf_other")
    assert "gated" in wrong[names[0]][0]
    assert "set HF_TOKEN to a token that may read it" in wrong[names[0]][0]
    assert "cannot be accessed" in wrong[names[1]][0]


def test_offline_reads_the_cache(hub: HubServer, tmp_path: Path) -> None:
    name = "hf:someone/turns"
    (said,) = read(hub, tmp_path, name, HF_HUB_OFFLINE="1")[name]
    assert "HF_HUB_OFFLINE is set, so only what is in the cache can be read" in said
    fill = "import datasets; datasets.load_dataset('someone/turns')"
    environment = os.environ | hub.environment(tmp_path)
    subprocess.run([sys.executable, "-c", fill], env=environment, cwd=tmp_path, check=True, capture_output=True)
    before = len(hub.requests)
    assert read(hub, tmp_path, name, HF_HUB_OFFLINE="1")[name] == ["1: a", "2: b"]
    assert len(hub.requests) == before


def test_a_folder_of_that_name_is_not_read_instead(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "someone/riddles").mkdir(parents=True)
    (said,) = read(hub, tmp_path, "hf:someone/riddles")["hf:someone/riddles"]
    assert "here is a folder someone/riddles" in said


@pytest.mark.slow
def test_no_hub_at_all(hub: HubServer, tmp_path: Path) -> None:
    name = "hf:someone/riddles"
    (said,) = read(hub, tmp_path, name, HF_ENDPOINT="http://127.0.0.1:9")[name]
    assert "at http://127.0.0.1:9; look at the network and HF_ENDPOINT" in said
