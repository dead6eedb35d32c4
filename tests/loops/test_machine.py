"""The kept machine code: what it saves, when it is made anew, and that it says what numba's own says."""

from __future__ import annotations

import ast
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loopguard.loops import machine
from loopguard.loops.detector import Detector, detect
from loopguard.loops.kernels import SOURCES, _forget_stale

LOOPS = Path(machine.__file__).parent
LOOP = "and so on, " * 60
NUMBERS = "".join(f"Step {i}: look at it again.\n" for i in range(60))
kept = pytest.mark.skipif(not machine.TRIED, reason="machine code is kept on Linux with x86-64 alone")


def in_a_process(code: str, **environment: str) -> Any:
    """What `code` prints as JSON, in a process of its own."""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


FIRST = f"""if True:
    import json, sys
    import loopguard
    found = [loopguard.detect(text) for text in ({LOOP!r}, {NUMBERS!r}, "a word", [1, 2, 3] * 90)]
    print(json.dumps([[v.reason, v.length, len(v.loops), v.figures["bytes"]] for v in found] + ["numba" in sys.modules]))
"""


def expected() -> list[list[object]]:
    found = [detect(text) for text in (LOOP, NUMBERS, "a word", [1, 2, 3] * 90)]
    return [[v.reason, v.length, len(v.loops), v.figures["bytes"]] for v in found]


@kept
def test_a_process_that_finds_the_code_needs_no_numba() -> None:
    reasons = [row[0] for row in expected()]
    assert reasons == ["repeats_verbatim", "counts_on", "clean", "repeats_verbatim"]
    assert in_a_process(FIRST) == [*expected(), False]


@kept
@pytest.mark.parametrize("torn", [b"", b"short", b"\0" * 90_000])
def test_a_torn_file_is_passed_over(torn: bytes, tmp_path: Path) -> None:
    name = f"machine-{machine._key(LOOPS)}.bin"
    assert detect(LOOP).looping  # so that there is code
    (tmp_path / name).write_bytes(torn)
    assert in_a_process(FIRST, NUMBA_CACHE_DIR=str(tmp_path)) == [*expected(), False]
    assert (tmp_path / name).read_bytes() == torn


@kept
def test_the_asked_for_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert [*machine.folders()] == [LOOPS / "__pycache__", tmp_path / "home" / "loopguard"]
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "asked"))
    assert next(machine.folders()) == tmp_path / "asked"


def test_what_is_kept_is_whole_and_not_much(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "here"
    for age in range(12):
        assert machine._keep(folder, f"machine-{age}.bin", b"code" * age)
        os.utime(folder / f"machine-{age}.bin", (age, age))
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"machine-{age}.bin" for age in range(4, 12))
    assert machine._read(folder / "machine-7.bin") == b"code" * 7
    whole = (folder / "machine-7.bin").read_bytes()
    for at in range(len(whole)):
        (folder / "machine-7.bin").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert machine._read(folder / "machine-7.bin") is None
    assert machine._read(folder / "machine-77.bin") is None
    (tmp_path / "file").touch()
    assert not machine._keep(tmp_path / "file", "machine-1.bin", b"code")


def test_code_of_another_user_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine._keep(tmp_path, "machine-1.bin", b"code")
    monkeypatch.setattr(machine, "_HERE", SimpleNamespace(stat=lambda: SimpleNamespace(st_uid=-2)))
    assert machine._read(tmp_path / "machine-1.bin") == b"code"
    monkeypatch.setattr(machine.os, "getuid", lambda: -1)
    assert machine._read(tmp_path / "machine-1.bin") is None


def test_a_change_of_any_source_makes_another_code(tmp_path: Path) -> None:
    sources = tmp_path / "loops"
    shutil.copytree(LOOPS, sources, ignore=shutil.ignore_patterns("__pycache__"))
    first = machine._key(sources)
    assert first == machine._key(LOOPS)
    for name in SOURCES:
        path = sources / f"{name}.py"
        text = path.read_text()
        path.write_text(text + "\n")
        assert machine._key(sources) != first
        path.write_text(text)
    (sources / "words.py").unlink()
    assert machine._key(sources) is None


def test_the_sources_are_all_that_the_entries_import() -> None:
    seen, todo = set[str](), {"entries", "machine", "intrinsics"}
    while todo:
        name = todo.pop()
        seen.add(name)
        for node in ast.walk(ast.parse((LOOPS / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("loopguard.loops"):
                modules = node.module.split(".")[2:] or [alias.name for alias in node.names]
                todo |= {*modules} - seen
    assert seen == {*SOURCES}


@kept
def test_numba_itself_says_the_same() -> None:
    """As on systems on which no machine code is kept; and there is code whose names are all known."""
    made = machine._compiled()
    assert machine._object(made) is not None
    ways = machine._of_numba(made)
    draw = random.Random(4)
    texts = [
        LOOP,
        NUMBERS,
        "",
        "\n" * 900,
        *("".join(draw.choices("ab \n1", k=draw.randrange(3000))) for _ in range(200)),
    ]
    expected = verdicts(Detector(), texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("loopguard.loops.detector.entries", lambda: ways)
        assert verdicts(Detector(), texts) == expected


def verdicts(detector: Detector, texts: list[str]) -> list[Any]:
    ids = [list(text.encode()) for text in texts]
    return [*map(detector.detect, texts), *detector.detect_batch(texts), *detector.detect_batch(ids, threads=2)]


def test_a_detector_travels() -> None:
    import pickle

    there: Detector = pickle.loads(pickle.dumps(Detector(min_copies=5)))
    assert there.detect(LOOP) == Detector(min_copies=5).detect(LOOP)


@kept
def test_what_takes_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    Detector().make_ready(told.append)
    Detector().make_ready(told.append)
    assert told == []
    monkeypatch.setattr(machine, "folders", lambda: iter([tmp_path]))
    Detector().make_ready(told.append)  # this process has it
    assert told == ["the detector is compiled for this machine, once: half a minute"]


def test_kernels_of_other_sources_are_dropped(tmp_path: Path) -> None:
    """numba would take a kernel for fresh in which another one, of another file, has changed."""
    for name in ("batch.scan_texts-1.py311.nbi", "batch.scan_texts-1.py311.1.nbc", "other.pyc"):
        (tmp_path / name).touch()
    _forget_stale(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernels.key", "other.pyc"]
    (tmp_path / "fresh.nbi").touch()
    _forget_stale(tmp_path)
    assert (tmp_path / "fresh.nbi").exists()
    (tmp_path / "kernels.key").write_text("of other sources")
    _forget_stale(tmp_path)
    assert not (tmp_path / "fresh.nbi").exists()
