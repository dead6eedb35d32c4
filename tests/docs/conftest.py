"""The site, built once as `make docs` builds it, and its pages before that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both, made by the first worker that wants them."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "docs"
    with FileLock(f"{folder}.lock"):
        if not (folder / "whole").exists():
            build(folder)
            (folder / "whole").touch()
    return folder


def build(folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "docs.generate", folder / "pages"], check=True, cwd=ROOT)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder / "site"]
    environment = os.environ | {"LOOPGUARD_PAGES": str(folder / "pages"), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def pages(made_once: Path) -> Path:
    """The Markdown pages with their made parts."""
    return made_once / "pages"


@pytest.fixture(scope="session")
def site(made_once: Path) -> Path:
    """The built site. --strict: a broken link or anchor, or a page that is in no menu, fails here."""
    return made_once / "site"
