"""One Chromium for all tests of pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Skips, visibly, where there is no chromium or no selenium."""
    pytest.importorskip("selenium")
    from tests.look.chromium import Browser

    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.quit()
