"""What a benchmark ran on: put beside every figure."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib import metadata
from pathlib import Path


def machine() -> dict[str, object]:
    """Cores, processor, memory in GiB, Python, versions, date."""
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = {name: metadata.version(name) for name in ("loopguard-prefs", "numpy", "numba", "openai", "polars")}
    return {
        "date": date.today().isoformat(),
        "machine": {
            "cores": os.cpu_count(),
            "cpu": cpu,
            "memory_gib": round(memory),
            "python": platform.python_version(),
        },
        "versions": versions,
    }
