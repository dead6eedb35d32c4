"""The folder of real prompts and outputs that tests and benchmarks read: $LOOPGUARD_SHARED, by default `../shared`."""

from __future__ import annotations

import os
from pathlib import Path


def shared_data() -> Path:
    """The folder with the data files, whether the variable names it or the folder that holds it as `data`."""
    given = os.environ.get("LOOPGUARD_SHARED") or Path(__file__).resolve().parents[2] / "shared"
    return Path(given) / "data" if (Path(given) / "data").is_dir() else Path(given)
