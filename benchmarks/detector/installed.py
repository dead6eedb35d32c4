"""Human files of this Python installation as look-alikes: read where they lie, nothing is copied into the project.

Sources of the standard library and its tests, and the text and data files of the installed packages. The same
installation gives the same rows; another one gives others, so figures on them are reported apart.
"""

from __future__ import annotations

import random
import site
import sysconfig
from pathlib import Path

from benchmarks.detector.rows import Row, ok

SUFFIXES = {
    ".py": "installed_python",
    ".pyi": "installed_python",
    ".json": "installed_json",
    ".csv": "installed_csv",
    ".txt": "installed_text",
    ".rst": "installed_text",
    ".md": "installed_text",
    ".html": "installed_markup",
    ".xml": "installed_markup",
    ".css": "installed_markup",
    ".js": "installed_script",
    ".c": "installed_c",
    ".h": "installed_c",
    ".pxd": "installed_python",
    ".toml": "installed_config",
    ".cfg": "installed_config",
    ".yaml": "installed_config",
    ".ipynb": "installed_json",
    ".sql": "installed_script",
    ".sh": "installed_script",
}
GENERATED = ("encodings", "pygments/lexers/_", "tzdata", "idna", "cp1", "unicode", "grammar", "pydoc_data")
"""Path parts of files that a program wrote, most of them tables of one constant row: a category of their own."""


def _files() -> list[Path]:
    """Every candidate file, in an order that does not depend on the file system."""
    roots = [Path(sysconfig.get_paths()["stdlib"]), *(Path(p) for p in site.getsitepackages())]
    found = {path for root in roots for path in root.rglob("*") if path.suffix in SUFFIXES}
    return sorted(path for path in found if path.is_file() and 600 <= path.stat().st_size <= 2_000_000)


def _category(path: Path) -> str:
    if any(part in path.as_posix().lower() for part in GENERATED):
        return "installed_generated"
    return "installed_tests" if "test" in path.parent.name and path.suffix == ".py" else SUFFIXES[path.suffix]


def installed(seed: int = 0, n: int = 300) -> list[Row]:
    """`n` windows of 300 to 30,000 characters of installed files, the categories in turn."""
    rng = random.Random(f"{seed}/installed")
    by_category: dict[str, list[Path]] = {}
    for path in _files():
        by_category.setdefault(_category(path), []).append(path)
    rows: list[Row] = []
    while len(rows) < n and by_category:
        for category in sorted(by_category):
            row = _window(by_category[category], category, rng)
            if row is not None and len(rows) < n:
                rows.append(row)
            if not by_category[category]:
                del by_category[category]
    return rows


def _window(paths: list[Path], category: str, rng: random.Random) -> Row | None:
    """A window of whole lines of a file drawn without replacement; None when the file is no UTF-8."""
    path = paths.pop(rng.randrange(len(paths)))
    try:
        text = path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        return None
    size = round(300 * 100 ** rng.random())
    start = rng.randrange(max(1, len(text) - size))
    start = text.find("\n", start) + 1 if start else 0
    window = text[start : start + size]
    return ok(window, category, "mixed") if len(window) >= 300 else None
