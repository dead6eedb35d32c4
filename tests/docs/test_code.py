"""The code that README and pages show: commands parse against the real command, Python compiles and the short of it runs."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import io
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main

from loopguard.cli import app
from loopguard.export_command import FORMATS
from loopguard.house import find
from loopguard.prefs.budget import read_budget
from loopguard.prefs.judging import load_judge
from loopguard.prefs.recipe import Recipe, parse_recipe
from tests.docs.code_blocks import SOURCES, Block, Shown, blocks, shown

ALL = [block for path in SOURCES for block in blocks(path)]


def of(*languages: str) -> Any:
    found = [block for block in ALL if block.language in languages]
    assert len(found) > 2
    return pytest.mark.parametrize("block", found, ids=[block.where for block in found])


# -- commands

SHOWN = [one for path in SOURCES for one in shown(path)]


def parsed(words: tuple[str, ...], *, whole: bool = True) -> tuple[str, dict[str, Any]]:
    """The verb and the values of its parameters, by click's own parser; nothing runs. Raises click.UsageError.

    Not `whole`: arguments may be missing, only verb and options must be there.
    """
    command: Any = typer.main.get_command(app)
    context, rest = command.context_class(command, info_name="loopguard"), list(words)
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, rest)
        context = command.context_class(command, parent=context, info_name=name)
    command.make_parser(context).parse_args(list(rest))
    if whole:
        context = command.make_context(context.info_name, rest, parent=context.parent)
    return context.command_path.removeprefix("loopguard "), context.params


def test_there_are_commands_to_look_at() -> None:
    assert len([one for one in SHOWN if one.whole]) > 60
    assert {one.words[0] for one in SHOWN} >= {"build-prefs", "scan", "check", "export", "push", "status", "tune-vllm"}


@pytest.mark.parametrize("one", SHOWN, ids=str)
def test_a_command_that_is_shown_parses(one: Shown) -> None:
    verb, values = parsed(one.words, whole=one.whole)
    if one.whole:
        values_are_known(verb, values)


def values_are_known(verb: str, values: dict[str, Any]) -> None:
    """What click leaves to the verb: names of formats, recipes, judges, keys, budgets."""
    if verb == "export":
        assert values["format"] in FORMATS.split(", ") or values["format"] == "FORMAT"
    if verb == "build-prefs":
        from loopguard.cli import _settings

        changes = _settings(values["settings"] or []) | read_budget(values["budget"] or [])
        engines = {f"{part}.engine": values[name] for part, name in (("engine", "engine"), ("judge", "judge_engine"))}
        Recipe().override({key: value for key, value in engines.items() if value} | changes)
        for folder, name in (("pipelines", values["pipeline"]), ("judges", values["judge"])):
            if name not in (None, "none") and not name.endswith(".toml"):
                assert find(folder, name).is_file()


@pytest.mark.parametrize(
    "words",
    [
        ("scan", "outputs.jsonl", "--no-such-option"),
        ("scan",),
        ("no-such-verb",),
        ("judges", "show"),
        ("export", "runs/mine"),
    ],
)
def test_a_wrong_command_would_be_found(words: tuple[str, ...]) -> None:
    with pytest.raises(Exception, match=r"(?i)no such|missing") as error:
        parsed(words)
    assert "UsageError" in {kind.__name__ for kind in type(error.value).__mro__}


def test_a_wrong_option_in_running_text_would_be_found() -> None:
    assert parsed(("scan", "--show", "5"), whole=False)[0] == "scan"
    with pytest.raises(Exception, match="No such option"):
        parsed(("scan", "--no-such-option"), whole=False)


# -- Python


@of("python")
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.where, "exec")


def needs(block: Block) -> set[str]:
    """The packages that a block imports."""
    nodes = list(ast.walk(ast.parse(block.text)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


ASKS = ("build_prefs(",)
"""What a block does that takes more than a moment: it is compiled only."""

RUN = [block for block in ALL if block.language == "python" and not any(word in block.text for word in ASKS)]


def test_there_is_python_to_run() -> None:
    assert len(RUN) >= 10


@pytest.mark.parametrize("block", RUN, ids=[block.where for block in RUN])
def test_python_runs_and_prints_what_it_says(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line `print(...)  # this` must print `this`."""
    if absent := {name for name in needs(block) if importlib.util.find_spec(name) is None}:
        pytest.skip(f"not installed here: {', '.join(sorted(absent))}")
    monkeypatch.chdir(tmp_path)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block.text, block.where, "exec"), {"__name__": "shown"})
    said = [
        line.partition("  # ")[2] for line in block.text.splitlines() if line.startswith("print(") and "  # " in line
    ]
    assert said == [line for line in out.getvalue().splitlines() if line in said]


# -- data


@of("toml")
def test_toml_is_a_recipe_or_a_judge(block: Block, tmp_path: Path) -> None:
    if "template" in tomllib.loads(block.text):
        path = tmp_path / "judge.toml"
        path.write_text(block.text, encoding="utf-8")
        assert load_judge(str(path)).scale.labels == [1, 2, 3, 4, 5]
    else:
        parse_recipe(tomllib.loads(block.text), where=block.where)


def test_json_lines_are_rules_of_the_scripted_engine(tmp_path: Path) -> None:
    from loopguard.engines import EngineOptions, open_engine

    found = [block for block in ALL if block.language == "json" and block.where.startswith("scripted.md")]
    assert len(found) == 1
    assert [json.loads(line) for line in found[0].text.splitlines()]
    path = tmp_path / "answers.jsonl"
    path.write_text(found[0].text, encoding="utf-8")
    open_engine(f"scripted:{path}", EngineOptions())
