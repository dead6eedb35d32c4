"""`loopguard judges` and `loopguard pipelines`: what comes with loopguard, to list and to copy from."""

from __future__ import annotations

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


@pipelines.command("list")
def pipelines_list() -> None:
    """One line for each recipe."""
    _list("pipelines")


@pipelines.command("show")
def pipelines_show(name: Annotated[str, typer.Argument(metavar="NAME", help="A recipe's name, or a path.")]) -> None:
    """The whole of one recipe: copy it to a file, change it, pass the path as --pipeline."""
    _show("pipelines", name)
