"""`loopguard tune-vllm`: the RepetitionDetectionParams that fit a user's own outputs, as a table and lines to paste."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from loopguard.counted import counted
from loopguard.scan_command import IN, OUT, RULE, UNREADABLE, complain_of, detector, print_table, say, say_raw, tell

if TYPE_CHECKING:
    from rich.table import Table

    from loopguard.loops.tune import Setting, Tuning

_SHOWN = 8


def tune_vllm(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Outputs: files (.jsonl, .csv, .parquet, ...), folders, 'globs', hf:user/dataset[:split].",
            show_default=False,
        ),
    ],
    text_column: Annotated[
        str | None, typer.Option(help="Column of the outputs, if its name is not found.", rich_help_panel=IN)
    ] = None,
    tokens_column: Annotated[
        str | None, typer.Option(help="Column of token ids: then sizes are exact.", rich_help_panel=IN)
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="tokenizer.json or a name on the Hub, to make token ids of texts.", rich_help_panel=IN),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows.", rich_help_panel=IN)] = None,
    max_stopped: Annotated[
        float,
        typer.Option(
            min=0.0, max=100.0, metavar="PERCENT", help="Most clean outputs that may be stopped.", rich_help_panel=OUT
        ),
    ] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.", rich_help_panel=OUT)] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=NUMBER", help="A threshold of the detector.", rich_help_panel=RULE),
    ] = None,
) -> None:
    """Find vLLM's repetition_detection that stops most loops in your outputs, and at most 0.5 % of the good ones.

    loopguard tune-vllm outputs.jsonl --tokens-column token_ids
    """
    from loopguard.loops.quick_start import numba_without_scipy, quick_arrow

    numba_without_scipy()
    quick_arrow()
    from loopguard.loops.tune import tune_vllm as tune

    rule = detector(settings or [])
    rule.make_ready(tell)
    found = tune(
        inputs,
        text_column=text_column,
        tokens_column=tokens_column,
        tokenizer=tokenizer,
        max_stopped=max_stopped / 100,
        detector=rule,
        limit=limit,
    )
    if as_json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    else:
        _print(found)
    complain_of(found.reading)
    if not found.reading.complete:
        raise typer.Exit(UNREADABLE)


def _print(found: Tuning) -> None:
    if found.front:
        print_table(_table(found))
    for line in _lines(found):
        say(line)
    for line in _to_paste(found.best):
        say_raw(line)


def _table(found: Tuning) -> Table:
    from loopguard.console import plain_table

    table = plain_table()
    for name in ("", "max", "min", "count", "loops stopped", "clean stopped", "tokens saved", "tokens cut"):
        table.add_column(name, justify="right", no_wrap=bool(name))
    for setting in _chosen(found.front, found.best):
        table.add_row(
            "*" if setting == found.best else "",
            *(str(value) for value in setting.params.values()),
            f"{setting.loops_stopped:,} ({setting.loops_stopped / max(1, found.looping):.0%})",
            f"{setting.clean_stopped:,} ({setting.clean_stopped / max(1, found.clean):.2%})",
            f"{setting.tokens_saved:,} ({setting.tokens_saved / max(1, found.tokens):.1%})",
            f"{setting.tokens_cut:,}",
            style="bold" if setting == found.best else "",
        )
    return table


def _chosen(front: Sequence[Setting], best: Setting | None) -> list[Setting]:
    """At most some eight of the front, the best among them."""
    if len(front) <= _SHOWN:
        return list(front)
    places = {round(i * (len(front) - 1) / (_SHOWN - 1)) for i in range(_SHOWN)}
    return [setting for i, setting in enumerate(front) if i in places or setting == best]


def _lines(found: Tuning) -> Iterator[str]:
    from loopguard.loops.statistics import wilson

    loop = "loops" if found.looping == 1 else "loop"
    yield f"{found.looping:,} of {counted(found.looping + found.clean, 'output')} {loop}; counted in {found.unit}"
    if found.unit == "words and marks":
        yield "These are about as long as tokens: for exact sizes give --tokens-column or --tokenizer."
    best = found.best
    if best is None:
        yield (
            "Nothing loops: there is nothing to stop."
            if not found.looping
            else f"No setting stops a loop and at most {found.max_stopped:.2%} of the clean outputs."
        )
        return
    missed = {kind: count - best.stopped_by_kind[kind] for kind, count in found.loops.items()}
    if any(missed.values()):
        yield "It misses " + ", ".join(f"{count:,} {kind}" for kind, count in missed.items() if count)
    _, high = wilson(best.clean_stopped, found.clean)
    if high > found.max_stopped:
        yield f"With {found.clean:,} clean outputs the share stopped may be as high as {high:.2%} (95 % interval): scan more."


def _to_paste(best: Setting | None) -> Iterator[str]:
    if best is None:
        return
    numbers = ", ".join(f"{name} = {value}" for name, value in best.params.items())
    yield ""
    yield f"SamplingParams(..., {best.as_line()})"
    yield f'extra_body={{"repetition_detection": {json.dumps(best.params)}}}'
    yield f"recipe, under [sampling]: early_stop = {{ {numbers} }}"
