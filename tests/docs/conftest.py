"""The site, built once as `make docs` builds it, and its pages before that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Markdown pages with their made parts."""
    folder = tmp_path_factory.mktemp("docs") / "pages"
    subprocess.run([sys.executable, "-m", "docs.generate", folder], check=True, cwd=ROOT)
    return folder


@pytest.fixture(scope="session")
def site(pages: Path) -> Path:
    """The built site. --strict: a broken link or anchor, or a page that is in no menu, fails here."""
    folder = pages.parent / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    environment = os.environ | {"LOOPGUARD_PAGES": str(pages), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder
