"""The built wheel in an environment of its own, outside the checkout: judges and pipelines are in it, and the main job runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import polars as pl
import pytest

import loopguard
from loopguard.house import names

pytestmark = pytest.mark.slow
pytest.importorskip("build")
pytest.importorskip("hatchling")

ROOT = Path(__file__).parent.parent


def run(folder: Path, *command: str | Path, expect: int = 0) -> str:
    """What a command says, started in a folder where nothing points at the checkout."""
    kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(folder, sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def bin_(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel alone.

    What loopguard depends on comes from this environment's site-packages, put behind its own by a .pth file. Python does
    not read the .pth files of a folder that came in by one, so an editable install of the checkout is not seen.
    """
    home = tmp_path_factory.mktemp("empty") / "env"
    venv.create(home, with_pip=False, symlinks=True)
    paths = {"base": str(home), "platbase": str(home)}
    scripts, site = (Path(sysconfig.get_path(name, "venv", paths)) for name in ("scripts", "purelib"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", scripts / "python"]
    run(home, *pip, "install", "--quiet", "--no-index", "--no-deps", wheel)
    (site / "behind.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    where = run(home, scripts / "python", "-c", "import loopguard; print(loopguard.__file__)").strip()
    assert Path(where) == site / "loopguard" / "__init__.py"
    take_kernels(site / "loopguard" / "loops")
    return scripts


def take_kernels(folder: Path) -> None:
    """What numba compiled of the same sources in the checkout, where it has: it takes a core half a minute. Numba knows a source
    by its size and its time."""
    ours = ROOT / "loopguard" / "loops"
    for path in ours.glob("*.py"):
        assert (folder / path.name).read_bytes() == path.read_bytes()
        os.utime(folder / path.name, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    for kind in ("*.nb*", "machine-*.bin", "kernels.key"):
        for path in (ours / "__pycache__").glob(kind):
            shutil.copy(path, folder / "__pycache__")


def test_what_is_in_it(wheel: Path) -> None:
    assert wheel.name == f"loopguard_prefs-{loopguard.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    data = {f"loopguard/judges/{name}.toml" for name in names("judges")}
    data |= {f"loopguard/pipelines/{name}.toml" for name in names("pipelines")}
    data |= {f"loopguard/look/assets/{name}" for name in ("page.html.j2", "page.css", "page.js")}
    assert data <= held
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "loopguard").rglob("*.py")}
    assert modules <= held
    assert "loopguard/py.typed" in held
    assert any(name.endswith("/licenses/LICENSE") for name in held)
    assert {name.partition("/")[0] for name in held} == {
        "loopguard",
        f"loopguard_prefs-{loopguard.__version__}.dist-info",
    }
    assert not [name for name in held if "__pycache__" in name or name.endswith((".nbi", ".nbc"))]


def test_it_finds_what_it_carries(bin_: Path, tmp_path: Path) -> None:
    assert run(tmp_path, bin_ / "loopguard", "--version").strip() == f"loopguard {loopguard.__version__}"
    for kind in ("judges", "pipelines"):
        listed = run(tmp_path, bin_ / "loopguard", kind, "list").splitlines()
        assert [line.split()[0] for line in listed] == names(kind)
        for name in names(kind):
            assert run(tmp_path, bin_ / "loopguard", kind, "show", name) == (ROOT / kind / f"{name}.toml").read_text()


ANSWERS = [
    {"prompt": "Two and two?", "samples": ["Four.", "Fish."], "greedy": "Four."},
    {"prompt": "Sing.", "samples": [{"content": "la la " * 300, "finish_reason": "length"}, "La."], "greedy": "La."},
    {"contains": "\nFish.\n<<<END ANSWER", "greedy": {"content": "1", "logprobs": {"1": -0.01}}},
    {"contains": "<<<END ANSWER", "greedy": {"content": "5", "logprobs": {"5": -0.01}}},
]


def test_the_main_job(bin_: Path, tmp_path: Path) -> None:
    prompts = [{"prompt": "Two and two?"}, {"prompt": "Sing."}]
    for name, rows in [("prompts.jsonl", prompts), ("answers.jsonl", ANSWERS)]:
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    command = [bin_ / "loopguard", "build-prefs", "prompts.jsonl", "--engine", "scripted:answers.jsonl"]
    said = run(tmp_path, *command, "--pipeline", "liquid", "--out", "runs/mine", "--json")
    assert json.loads(said)["pairs"] == {"total": 2, "loop": 1, "score": 1}
    rows = pl.read_parquet(tmp_path / "runs" / "mine" / "preferences.parquet").to_dicts()
    brief = [(row["reason"], row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows]
    assert brief == [("score", "Four.", "Fish."), ("loop", "La.", "la la " * 300)]
