"""The public names: sorted, importable, loaded when first used, and the same for the type checker."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import loopguard

SOURCE = Path(loopguard.__file__)


def test_names_are_sorted_and_complete() -> None:
    assert loopguard.__all__ == sorted(loopguard.__all__)
    assert len(set(loopguard.__all__)) == len(loopguard.__all__)
    assert set(loopguard.__all__) == set(loopguard._HOME) | {"__version__"}
    assert list(loopguard._HOME) == sorted(loopguard._HOME)
    assert dir(loopguard) == loopguard.__all__


@pytest.mark.parametrize("name", loopguard.__all__)
def test_a_name_is_what_its_home_has(name: str) -> None:
    value = getattr(loopguard, name)
    if name != "__version__":
        assert value is getattr(importlib.import_module(loopguard._HOME[name]), name)
        assert value.__doc__


def test_the_type_checker_sees_the_same_names() -> None:
    guarded = next(node for node in ast.parse(SOURCE.read_text(encoding="utf-8")).body if isinstance(node, ast.If))
    typed = {
        alias.name: str(node.module)
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == loopguard._HOME


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'loopguard' has no attribute 'detekt'"):
        getattr(loopguard, "detekt")  # noqa: B009


def test_nothing_is_loaded_before_it_is_used() -> None:
    code = """
import sys, loopguard
before = [name for name in sys.modules if name.startswith("loopguard.")]
loopguard.Verdict
after = [name for name in sys.modules if name.startswith("loopguard.")]
print(before, after)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] ['loopguard.records']"


def test_it_is_typed() -> None:
    assert (SOURCE.parent / "py.typed").is_file()
