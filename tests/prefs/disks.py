"""Disks of a few hundred kilobytes, and disks that take no writes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, *, kilobytes: int) -> Iterator[Path]:
    """A file system of its own at `folder`; skips the test where this user may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    size = f"size={kilobytes}k"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def make_read_only(folder: Path) -> None:
    """The mounted disk takes no writes any more, not even from root."""
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


def make_larger(folder: Path, *, kilobytes: int) -> None:
    """The mounted disk has room again."""
    subprocess.run(["mount", "-o", f"remount,size={kilobytes}k", str(folder)], check=True)
