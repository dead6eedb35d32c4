"""Notebooks as they lie in git: nothing of the machine that ran them, and every one has its test."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.notebooks.executed import ATTEMPTS, NOTEBOOKS, OFFLINE, ROOT

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


@each
def test_a_notebook_is_valid(path: Path) -> None:
    nbformat.validate(nbformat.read(path, as_version=4), relax_add_props=False)
    found = read(path)
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)


@each
def test_no_outputs_and_no_counts(path: Path) -> None:
    cells = read(path)["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert [cell["execution_count"] for cell in code] == [None] * len(code)
    assert [cell["metadata"] for cell in cells] == [{}] * len(cells)
    assert not [cell for cell in cells if "attachments" in cell]


@each
def test_no_traces_of_a_machine(path: Path) -> None:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert read(path)["metadata"] == {"kernelspec": kernel}
    traces = re.findall(r"/(?:home|Users|root|work|tmp|opt|mnt)/\S*|[A-Z]:\\\\\w+", path.read_text(encoding="utf-8"))
    assert not traces


@each
def test_cells_are_small(path: Path) -> None:
    """A cell of code is one thought: it fits beside what it shows."""
    cells = read(path)["cells"]
    assert cells[0]["cell_type"] == "markdown"
    assert "".join(cells[0]["source"]).startswith("# ")
    lines = {cell["id"]: len("".join(cell["source"]).splitlines()) for cell in cells if cell["cell_type"] == "code"}
    assert {name: count for name, count in lines.items() if count > 20} == {}


@each
def test_only_the_public_api(path: Path) -> None:
    """`import loopguard`, and nothing that stands in one of its modules or begins with an underscore."""
    code = "\n".join("".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == "code")
    assert "import loopguard\n" in code
    assert not re.findall(r"(?:from|import)\s+loopguard\.\S+|from\s+loopguard\s+import.*|\w\._[a-z]\w*", code)
    assert not re.findall(r"(?m)^\s*[!%].*", code), "no shell and no magic: it is Python everywhere"


@each
def test_every_notebook_has_a_test(path: Path) -> None:
    test = Path(__file__).with_name(f"test_{path.stem}.py")
    assert f'"{path.name}"' in test.read_text(encoding="utf-8")


def test_stripping_leaves_them_as_they_are(tmp_path: Path) -> None:
    """`make strip-notebooks` takes out what a run puts in, and nothing else."""
    recipe = re.search(
        r"\$\(BIN\)/nbstripout (.*) notebooks/\*\.ipynb", (ROOT / "Makefile").read_text(encoding="utf-8")
    )
    assert recipe
    for path in NOTEBOOKS:
        used = read(path)
        code = next(cell for cell in used["cells"] if cell["cell_type"] == "code")
        code["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["here"]}]
        code["execution_count"] = 7
        code["metadata"] = {"execution": {"iopub.execute_input": "2026-01-01T00:00:00Z"}}
        used["metadata"]["language_info"] = {"name": "python", "version": "3.11.2"}
        (tmp_path / path.name).write_text(json.dumps(used), encoding="utf-8")
    options = [part.strip("'") for part in re.findall(r"'[^']*'|\S+", recipe[1])]
    command = shutil.which("nbstripout", path=str(Path(sys.executable).parent))
    assert command
    subprocess.run([command, *options, *sorted(map(str, tmp_path.glob("*.ipynb")))], check=True)
    for path in NOTEBOOKS:
        assert read(tmp_path / path.name) == read(path)


def test_the_guard_against_a_network_holds(tmp_path: Path) -> None:
    """Else executed notebooks would prove nothing about networks."""
    code = "import urllib.request as u\ntry:\n    u.urlopen('http://192.0.2.1/', timeout=2)\nexcept OSError as e:\n    print(e)"
    environment = os.environ | {"PYTHONPATH": str(OFFLINE), "LOOPGUARD_ATTEMPTS": str(tmp_path / ATTEMPTS)}
    environment |= {"no_proxy": "*"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "no network here" in done.stdout
    assert "192.0.2.1" in (tmp_path / ATTEMPTS).read_text(encoding="utf-8")
