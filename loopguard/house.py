"""Where the shipped judges and pipelines are: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

from loopguard.errors import InputError

_PACKAGE = Path(__file__).parent


def shipped(kind: str) -> Path:
    """The folder of the shipped `judges` or `pipelines`."""
    in_wheel = _PACKAGE / kind
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / kind


def names(kind: str) -> list[str]:
    """The names that `find` knows without a path, sorted."""
    return sorted(path.stem for path in shipped(kind).glob("*.toml"))


def find(kind: str, name: str) -> Path:
    """The TOML file of a shipped judge or pipeline by name, or of anybody's by path.

    Whatever ends in .toml or holds a separator is a path. Raises InputError that lists the names there are.
    """
    if name.endswith(".toml") or "/" in name or "\\" in name:
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"no such file: {path} (a shipped one goes by its name: {', '.join(names(kind))})")
        return path
    path = shipped(kind) / f"{name}.toml"
    if not path.is_file():
        raise InputError(
            f"no {kind[:-1]} named {name!r}; there are {', '.join(names(kind))}, or pass a path to a .toml"
        )
    return path
