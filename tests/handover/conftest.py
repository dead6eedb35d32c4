"""A finished run to hand over, and a Hub that takes pushes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopguard import Run
from tests.handover.a_run import make_run
from tests.handover.pushing import PROMPTS, RULES
from tests.hub_push_server import PushHub


@pytest.fixture(scope="session")
def pushable_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run; tests that change it take a copy."""
    return make_run(tmp_path_factory.mktemp("pushable"), PROMPTS, rules=RULES)


@pytest.fixture
def hub() -> Iterator[PushHub]:
    with PushHub() as server:
        yield server


@pytest.fixture
def run(pushable_run: Run, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pushable_run.path, tmp_path / "a_run"))
