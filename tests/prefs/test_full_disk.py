"""A disk that fills up: one clear line, nothing answered is lost, and the same command goes on when there is room."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from loopguard.engines import Completion
from loopguard.errors import StorageError
from loopguard.prefs.ledger import Ledger
from tests.fake_server import FakeServer, serve
from tests.prefs.commands import PATIENCE, environment, keys_of, loopguard, questions, recorded, tables, write_prompts
from tests.prefs.disks import make_larger, small_disk

LIMITED = """
import resource, sys
from loopguard.cli import main
import loopguard.prefs.build, numba, polars, openai  # what these write of their own is written before
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.argv = ["loopguard", *sys.argv[2:]]
main()
"""


async def fill(ledger: Ledger) -> list[bytes]:
    """Record answers until the disk is full; the keys of those that were said to be on disk."""
    kept: list[bytes] = []
    told = ""
    while not told:
        key = len(kept).to_bytes(16, "big")
        try:
            await ledger.record("p", {key: Completion(content=f"{len(kept)} " * 2000)})
            kept.append(key)
        except StorageError as full:
            told = str(full)
    assert re.search(r"the disk is full or failing \(\d+ MB free\); make room", told)
    assert "\n" not in told
    with pytest.raises(StorageError):
        await asyncio.wait_for(ledger.record("p", {b"later": Completion(content="")}), 60)
    return kept


def test_a_ledger_on_a_full_disk_keeps_what_it_has_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=800) as disk:
        with Ledger.open(disk) as ledger:
            kept = asyncio.run(fill(ledger))
        assert len(kept) > 10
        make_larger(disk, kilobytes=8000)
        with Ledger.open(disk) as ledger:
            assert ledger.answers("p").keys() >= set(kept)
            assert ledger.answers("p")[kept[-1]].content == f"{len(kept) - 1} " * 2000
            asyncio.run(ledger.record("p", {b"more": Completion(content="")}))
        assert_intact(disk)


def assert_intact(run_dir: Path) -> None:
    connection = sqlite3.connect(run_dir / "ledger.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def goes_on(arguments: list[object], run_dir: Path, server: FakeServer, whole: dict[str, bytes]) -> None:
    """The same command again, with room: it ends well, asks nothing twice, and its tables are those of a whole run."""
    kept, asked = recorded(run_dir), len(server.requests)
    assert kept, "something was recorded before the disk was full"
    done = loopguard(*arguments)
    assert done.returncode == 0, done.stderr
    assert not kept & set().union(*(keys_of(entry["body"]) for entry in server.requests[asked:]))
    assert tables(run_dir) == whole
    assert_intact(run_dir)


def test_a_run_on_a_full_disk_goes_on_when_there_is_room(tmp_path: Path) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(60))
    with small_disk(tmp_path / "disk", kilobytes=420) as disk, serve() as server:
        arguments = ["build-prefs", prompts, "--engine", f"openai:{server.url}", "--out"]
        assert loopguard(*arguments, tmp_path / "whole").returncode == 0
        full = loopguard(*arguments, disk / "run")
        assert full.returncode == 1
        assert full.stderr.count("\n") == 1
        assert full.stderr.startswith("loopguard: ")
        assert "full" in full.stderr
        assert "Traceback" not in full.stderr
        make_larger(disk, kilobytes=20_000)
        goes_on([*arguments, disk / "run"], disk / "run", server, tables(tmp_path / "whole"))


@pytest.mark.parametrize("kilobytes", [160, 300])
def test_a_run_whose_files_may_not_grow(kilobytes: int, tmp_path: Path) -> None:
    """A limit on file size, which needs no right to mount: what SQLite meets there it reports as a failing disk."""
    prompts = write_prompts(tmp_path / "prompts.jsonl", questions(60))
    with serve() as server:
        arguments = ["build-prefs", str(prompts), "--engine", f"openai:{server.url}", "--out"]
        assert loopguard(*arguments, tmp_path / "whole").returncode == 0
        limited = subprocess.run(
            [sys.executable, "-c", LIMITED, str(kilobytes * 1024), *arguments, str(tmp_path / "run")],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=environment(),
        )
        assert limited.returncode == 1, limited.stderr
        assert limited.stderr.count("\n") == 1
        assert limited.stderr.startswith(f"loopguard: {tmp_path / 'run'}")
        goes_on([*arguments, tmp_path / "run"], tmp_path / "run", server, tables(tmp_path / "whole"))
