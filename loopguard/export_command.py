"""`loopguard export`: a finished run in the form that a trainer reads, and the configuration to paste."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from loopguard.counted import counted

if TYPE_CHECKING:
    from loopguard.handover.export import Exported

FORMATS = "trl, openrlhf, axolotl, oumi, llama-factory, nemo-rl, kto, argilla, ftpo"

FORM, FTPO = "Form", "ftpo"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.", show_default=False)],
    format: Annotated[str, typer.Option("--format", "-f", help=f"One of {FORMATS}.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder to write; RUN-FORMAT here, if not given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of an earlier export.")] = False,
    pretokenized: Annotated[
        bool,
        typer.Option(
            "--pretokenized",
            help="trl: token ids. A rejected text that the length limit cut gets no end-of-sequence token.",
            rich_help_panel=FORM,
        ),
    ] = False,
    all_loops: Annotated[
        bool,
        typer.Option(
            "--all-loops", help="kto: every looping candidate is a false row, in a pair or not.", rich_help_panel=FORM
        ),
    ] = False,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="For --pretokenized and ftpo: that of the model to train: a folder, user/model, a .gguf, or embedded.",
            rich_help_panel=FORM,
        ),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Ask the model for its likeliest tokens at each onset: embedded[:PATH], openai:BASE_URL. Not given:"
            " what the run's own outputs say there, which gives far fewer rows.",
            rich_help_panel=FTPO,
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model's name at --engine.", rich_help_panel=FTPO)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write a finished run as one trainer reads it, with the configuration to paste.

    loopguard export runs/mine --format llama-factory

    loopguard export runs/mine --format trl --pretokenized --tokenizer your/model
    """
    from loopguard.handover.export import Options, export_run
    from loopguard.loops.quick_start import quick_arrow

    quick_arrow()
    options = Options(
        pretokenized=pretokenized,
        tokenizer=tokenizer or "",
        all_loops=all_loops,
        engine=engine or "",
        model=model or "",
    )
    exported = export_run(run, format, out=out, force=force, options=options)
    if as_json:
        print(json.dumps(_as_dict(exported), indent=2, ensure_ascii=False))
    else:
        _print(exported)


def _as_dict(exported: Exported) -> dict[str, object]:
    return {
        "format": exported.format,
        "folder": str(exported.folder),
        "files": exported.files,
        "rows": exported.rows,
        "left_out": dict(exported.left_out),
        "cut": exported.cut,
        "max_length": exported.max_length,
        "notes": exported.notes,
    }


def _print(exported: Exported) -> None:
    from loopguard.visible import visible

    print(visible(f"{counted(exported.rows, 'row')}: {exported.folder}/{{{', '.join(exported.files)}}}"))
    for note in exported.notes:
        print(visible(note))
    for reason, count in exported.left_out.items():
        print(visible(f"loopguard: left out, {count:,}: {reason}"), file=sys.stderr)
    print(visible(f"\n{exported.snippet}"), end="")
