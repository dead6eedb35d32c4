"""`loopguard report`: a run, a verdict file, or two runs before and after, as one HTML file to look at."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|VERDICTS.parquet", help="Run directory, or what `scan --out` wrote.", show_default=False
        ),
    ],
    other: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN_B]", help="A second run of the same prompts, to compare.", show_default=False),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The file; written in one step, network and scripts of others shut out.")
    ] = Path("report.html"),
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="Chart the loop rate by this column too, of outputs or prompts; several times."
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Show a run, also one at work, in one HTML file: loop rates with intervals, charts, every output to read, its loop folded.

    loopguard report runs/mine --open

    loopguard report runs/mine --by category        # any column of the prompts file

    loopguard report verdicts.parquet --by model

    loopguard report runs/before runs/after --out compared.html
    """
    from loopguard.look.page import report as write
    from loopguard.loops.quick_start import quick_arrow
    from loopguard.visible import visible

    quick_arrow()
    path = write(run, other, out=out, by=by or ())
    print(visible(f"{path} ({path.stat().st_size / 1e6:.1f} MB)"))
    if open_:
        import webbrowser  # and not typer.launch, which knows no $BROWSER for a file

        if not webbrowser.open(path.resolve().as_uri()):
            print(visible(f"no browser found here (BROWSER names one); the page is {path.resolve()}"), file=sys.stderr)
