"""`loopguard judges` and `loopguard pipelines`: what comes with loopguard, to list and to copy from; a judge put to the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

judges = typer.Typer(help="The judges that come with loopguard: what they ask, on which scale.", no_args_is_help=True)
pipelines = typer.Typer(help="The recipes that come with loopguard.", no_args_is_help=True)


def _list(kind: str) -> None:
    import tomllib

    from loopguard.console import out, plain_table, put
    from loopguard.house import names, shipped

    table = plain_table(head=False)
    for name in names(kind):
        spec = tomllib.loads((shipped(kind) / f"{name}.toml").read_text(encoding="utf-8"))
        table.add_row(name, str(spec.get("description", "")))
    put(table, out())


def _show(kind: str, name: str) -> None:
    from loopguard.house import find

    print(find(kind, name).read_text(encoding="utf-8"), end="")


@judges.command("list")
def judges_list() -> None:
    """One line for each judge."""
    _list("judges")


@judges.command("show")
def judges_show(name: Annotated[str, typer.Argument(metavar="NAME", help="A judge's name, or a path.")]) -> None:
    """The whole of one judge: copy it to a file, change it, pass the path as --judge."""
    _show("judges", name)


@judges.command("try", epilog="Exit codes: 0 all answered, 1 wrong input or no engine, 3 some requests failed.")
def judges_try(
    run: Annotated[Path, typer.Argument(help="Run directory, whose answers are judged. Nothing in it changes.")],
    judge: Annotated[str | None, typer.Option(help="A judge's name, or a path; the run's own if not given.")] = None,
    judge_engine: Annotated[
        str | None, typer.Option(help="openai:BASE_URL, embedded, ...; whatever judges in the run if not given.")
    ] = None,
    judge_model: Annotated[str | None, typer.Option(help="Judge's model at its server.")] = None,
    judge_api_key_env: Annotated[str | None, typer.Option(help="Environment variable with the judge's key.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many prompts of the run, some 15 requests each.")] = 40,
    planted: Annotated[int, typer.Option(min=0, max=8, help="So many planted questions, 13 requests each.")] = 8,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of what is asked; RUN/trust if not given.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask nothing: tell what was asked before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Whether a judge can be trusted: asked again, in both orders, with attacks, and about answers whose worth is known.

    loopguard judges try runs/mine --judge reasoning --judge-engine openai:http://localhost:8000/v1
    """
    from loopguard.prefs.trust import judge_trust
    from loopguard.terminal import Counting

    with Counting("prompts and planted questions", quiet=as_json) as counting:
        trust = judge_trust(
            run,
            judge,
            judge_engine,
            judge_model=judge_model,
            judge_api_key_env=judge_api_key_env,
            limit=limit,
            planted=planted,
            out=out,
            offline=offline,
            progress=counting.through,
        )
    print(json.dumps(trust.as_dict(), indent=2, ensure_ascii=False) if as_json else trust)
    if not trust.complete and not offline:
        raise typer.Exit(3)


@pipelines.command("list")
def pipelines_list() -> None:
    """One line for each recipe."""
    _list("pipelines")


@pipelines.command("show")
def pipelines_show(name: Annotated[str, typer.Argument(metavar="NAME", help="A recipe's name, or a path.")]) -> None:
    """The whole of one recipe: copy it to a file, change it, pass the path as --pipeline."""
    _show("pipelines", name)
