"""What is left when a process is killed, a folder is locked or a disk is full."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from loopguard.errors import StorageError
from loopguard.files import (
    JsonlWriter,
    TableWriter,
    remove_leftovers,
    storage_error,
    write_text,
)

SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("score", pa.float64()),
        ("never", pa.int64()),
    ]
)


KILLED = """
import os, signal, sys
import pyarrow as pa
from loopguard.files import JsonlWriter, TableWriter
folder = sys.argv[1]
with TableWriter(f"{folder}/t.parquet", pa.schema([("text", pa.string())]), rows_per_group=10) as table:
    with JsonlWriter(f"{folder}/t.jsonl") as lines:
        for number in range(1000):
            table.write({"text": "x" * 1000})
            lines.write({"text": "x" * 1000})
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_no_file_of_that_name(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", KILLED, tmp_path])
    assert run.returncode == -signal.SIGKILL
    assert [path for path in tmp_path.iterdir() if path.name.startswith("t.")] == []
    assert remove_leftovers(tmp_path) == 2
    assert os.listdir(tmp_path) == []


BLOCKED = {
    "no folder": ("no/t", "the folder does not exist: create it first"),
    "a file for a folder": ("file/t", "a part of the path is a file"),
    "a folder for a file": ("folder", "a folder of that name is in the way"),
    "a long name": ("n" * 300, "the name is too long"),
}


@pytest.mark.parametrize("case", BLOCKED)
def test_blocked(case: str, tmp_path: Path) -> None:
    name, expected = BLOCKED[case]
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    writes: tuple[Callable[[Path], object], ...] = (
        lambda path: write_text(path, "x"),
        JsonlWriter,
        lambda path: TableWriter(path, SCHEMA),
    )
    for write in writes:
        with pytest.raises(StorageError, match=expected) as caught:
            write(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


WRITE_AS_NOBODY = """
import os, sys
from loopguard.errors import StorageError
from loopguard.files import write_text
if os.getuid() == 0:
    os.setgroups([])
    os.setuid(65534)
try:
    write_text(sys.argv[1], "x")
except StorageError as error:
    print(error)
"""


def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)
    locked.chmod(0o555)
    run = subprocess.run([sys.executable, "-c", WRITE_AS_NOBODY, locked / "t"], capture_output=True, text=True)
    assert "no right to write there" in run.stdout, run.stderr
    locked.chmod(0o755)
    assert os.listdir(locked) == []


WRITE_UNTIL_FULL = """
import os, resource, signal, sys
import pyarrow as pa
from loopguard.errors import StorageError
from loopguard.files import JsonlWriter, TableWriter, atomic_path, write_text
limit = int(sys.argv[2])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
os.chdir(sys.argv[1])
def fill_table():
    with TableWriter("t", pa.schema([("data", pa.binary())]), rows_per_group=10) as table:
        for _ in range(400):
            table.write({"data": os.urandom(10_000)})
def fill_lines():
    with JsonlWriter("t") as lines:
        for _ in range(400):
            lines.write({"text": "x" * 10_000})
def fill_path():
    with atomic_path("t") as path, path.open("wb") as file:
        file.write(bytes(4_000_000))
for fill in (fill_table, fill_lines, fill_path, lambda: write_text("t", "x" * 4_000_000)):
    try:
        fill()
    except StorageError as error:
        print(error, os.listdir())
"""


def fill(folder: Path, limit: int) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", WRITE_UNTIL_FULL, folder, str(limit)], capture_output=True, text=True
    )
    assert run.stderr == ""
    return run.stdout.splitlines()


def test_a_full_disk(tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no right to mount a small file system; the file size limit below stands for it")
    try:
        said = fill(tmp_path, 0)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert said == ["cannot write t: No space left on device: the disk is full: free some space, or choose another "
                    "folder, and run again []"] * 4  # fmt: skip


def test_a_file_size_limit(tmp_path: Path) -> None:
    said = fill(tmp_path, 1_000_000)
    assert len(said) == 4
    assert all(line.startswith("cannot write t: File too large") and line.endswith("[]") for line in said)


def test_every_error_number_gives_advice() -> None:
    for number in errno.errorcode:
        text = str(storage_error("runs/mine", OSError(number, os.strerror(number))))
        assert text.startswith("cannot write runs/mine: ")
        assert text.count(": ") >= 2
    assert str(storage_error("t", OSError("odd"))) == "cannot write t: odd: see to the disk, then run again"
