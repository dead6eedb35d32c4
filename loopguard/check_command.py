"""`loopguard check`: what the trainer will really see of preference pairs, as a table, JSON, a verdict for every pair.

Exit codes: 0 nothing serious (there may be warnings); 1 something the user can mend; 3 a serious fault: any of --fail-on, or
more loops unseen than --max-unseen.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loopguard.counted import counted
from loopguard.errors import InputError
from loopguard.scan_command import print_table, say

if TYPE_CHECKING:
    from rich.table import Table

    from loopguard.handover.advice import Advice
    from loopguard.handover.check import Checked, Finding
    from loopguard.handover.check_figures import Setting
    from loopguard.handover.pairs import Pairs
    from loopguard.handover.tokenizers_at_hand import Tokenizer
    from loopguard.handover.trainer_views import Trainer

TRAIN, OUT, RULE = "Trainer", "Output", "What fails"
EXIT_CODES = "Exit codes: 0 nothing serious, 1 wrong input, 3 a serious fault (--fail-on, --max-unseen)."
FAULTY = 3


def check(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run directory; or anybody's pairs: .parquet, .jsonl, .json, .csv, hf:user/dataset[:split].",
            show_default=False,
        ),
    ],
    tokenizer: Annotated[
        str,
        typer.Option(
            "--tokenizer",
            "-t",
            metavar="PATH_OR_ID",
            help="Of the model to train: a folder, user/model on the Hub, a .gguf file, or embedded.",
            show_default=False,
            rich_help_panel=TRAIN,
        ),
    ],
    max_length: Annotated[
        int | None,
        typer.Option(
            help="The trainer's (max_len, sequence_len, cutoff_len, model_max_length), in tokens; if not given its default.",
            rich_help_panel=TRAIN,
        ),
    ] = None,
    trainer: Annotated[
        str,
        typer.Option(
            help="Whose templates and truncation: trl, openrlhf, axolotl, llama-factory, oumi.", rich_help_panel=TRAIN
        ),
    ] = "trl",
    benchmark: Annotated[
        str | None,
        typer.Option(help="A benchmark's prompts (file or hf:), looked for among the prompts.", rich_help_panel=RULE),
    ] = None,
    benchmark_column: Annotated[
        str | None, typer.Option(help="Its prompt column, if its name is not found.", rich_help_panel=RULE)
    ] = None,
    max_unseen: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Share of loops that may lie beyond the cut.", rich_help_panel=RULE),
    ] = 0.05,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="FAULT,...",
            help="Faults of which one fails, instead of the serious ones; none.",
            rich_help_panel=RULE,
        ),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Every pair's faults and places: .parquet or .jsonl.", rich_help_panel=OUT),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.", rich_help_panel=OUT)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No table, no progress.", rich_help_panel=OUT)] = False,
) -> None:
    """What the trainer will really see: loops beyond the cut, equal or empty sides, EOS, length bias, duplicates, a benchmark.

    loopguard check runs/mine --tokenizer HuggingFaceTB/SmolLM2-135M-Instruct --max-length 1024

    loopguard check hf:user/preferences --tokenizer models/mine --benchmark gsm8k_test.jsonl --rows faults.jsonl
    """
    from loopguard.handover.advice import advise
    from loopguard.handover.check import LONGEST
    from loopguard.handover.check_figures import serious, told
    from loopguard.handover.measured import SERIOUS
    from loopguard.handover.pairs import open_pairs
    from loopguard.handover.tokenizers_at_hand import open_tokenizer
    from loopguard.handover.trainer_views import TRAINERS

    if trainer not in TRAINERS:
        raise InputError(f"--trainer {trainer}: known are {', '.join(TRAINERS)}")
    if max_length is not None and not 1 <= max_length <= LONGEST:
        raise InputError(f"--max-length {max_length}: 1 to {LONGEST:,} tokens")
    names = SERIOUS if fail_on is None else _names(fail_on)
    if rows is not None:
        _spare(rows, source, benchmark)
    with open_pairs(source) as pairs:
        opened = open_tokenizer(tokenizer)
        found = _look(
            pairs,
            opened,
            max_length=max_length,
            trainer=TRAINERS[trainer],
            benchmark=(benchmark, benchmark_column),
            rows=rows,
            quiet=quiet,
        )
        advice = advise(found, opened, run=pairs.run, max_unseen=max_unseen)
    failed = serious(found, max_unseen=max_unseen, names=names)
    figures = told(found) | {"tokenizer": {"name": opened.name, "digest": opened.digest}}
    if as_json:
        print(json.dumps(figures | {"advice": advice.as_dict(), "failed": failed}, indent=2, ensure_ascii=False))
    elif not quiet:
        print_checked(figures, advice, failed)
        if rows is not None:
            say(f"every pair: {rows}")
    if failed:
        raise typer.Exit(FAULTY)


def _names(fail_on: str) -> tuple[str, ...]:
    from loopguard.handover.measured import FAULTS

    names = tuple(name.strip() for name in fail_on.split(",") if name.strip() != "none")
    if unknown := [name for name in names if name not in FAULTS]:
        raise InputError(f"--fail-on {unknown[0]!r}: known are {', '.join(FAULTS)}, none")
    return names


def _spare(rows: Path, *read: str | None) -> None:
    """Raises InputError for a file that would be written over what is read: the pairs, the benchmark, a run's own tables."""
    for name in read:
        path = os.path.realpath(os.path.expanduser(name)) if name and "\0" not in name else ""
        if path and os.path.realpath(rows) == path:
            raise InputError(f"--rows {rows} is read by this check; pass another file")
        if os.path.isdir(path) and Path(os.path.realpath(rows)).is_relative_to(path):
            raise InputError(f"--rows {rows} is in the run, which is only read; pass a file elsewhere")


def _look(
    pairs: Pairs,
    tokenizer: Tokenizer,
    *,
    max_length: int | None,
    trainer: Trainer,
    benchmark: tuple[str | None, str | None],
    rows: Path | None,
    quiet: bool,
) -> Checked:
    from loopguard.handover.check import check as check_pairs
    from loopguard.handover.contamination import Benchmark

    looked_for = Benchmark(benchmark[0], prompt_column=benchmark[1]) if benchmark[0] else None
    detector = None
    if pairs.run is not None:
        from loopguard.prefs.build import make_detector
        from loopguard.prefs.continuing import saved_recipe

        recipe = saved_recipe(pairs.run.path)
        detector = make_detector(recipe) if recipe else None
    with ExitStack() as stack:
        return check_pairs(
            pairs,
            tokenizer,
            name=pairs.name,
            max_length=max_length,
            trainer=trainer,
            detector=detector,
            benchmark=looked_for,
            write=stack.enter_context(_writer(rows)) if rows else None,
            watch=stack.enter_context(_progress()) if sys.stderr.isatty() and not quiet else None,
        )


@contextmanager
def _writer(path: Path) -> Iterator[Callable[[Finding], None]]:
    from loopguard.files import JsonlWriter, TableWriter
    from loopguard.handover.check import schema

    if path.suffix not in (".parquet", ".jsonl"):
        raise InputError(f"--rows {path}: .parquet or .jsonl is wanted")
    with JsonlWriter(path) if path.suffix == ".jsonl" else TableWriter(path, schema()) as file:
        yield lambda finding: file.write(finding.as_row())


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from loopguard.console import err

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} pairs"), TimeElapsedColumn())
    with Progress(*columns, console=err(), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda count: bar.update(task, completed=count)


def print_checked(figures: dict[str, Any], advice: Advice, failed: list[str]) -> None:
    """The whole for a person."""
    trainer = figures["trainer"]
    say(
        f"{figures['source']} as {trainer['name']} sees it (source of {trainer['source_read']}), {trainer['option']}"
        f" {figures['max_length']:,}, tokenizer {figures['tokenizer']['name']}",
        style="bold",
    )
    print_table(_figures_table(figures))
    if figures["faults"]:
        print_table(_faults_table(figures, failed))
    for error in figures["errors"][:5]:
        say(f"{counted(error['rows'], 'row')}, first row {error['first']}: {error['text']}")
    for title, settings in (("before and after", advice.settings), ("paired again", advice.trimmed)):
        if len(settings) > 1:
            print_table(_settings_table(title, settings, figures["pairs"], advice.prompts))
    for line in advice.lines:
        say(f"- {line}")
    say(f"serious: {', '.join(failed)}" if failed else "nothing serious", style="bold red" if failed else "bold green")


def _figures_table(figures: dict[str, Any]) -> Table:
    from rich.text import Text

    from loopguard.console import plain_table
    from loopguard.visible import visible

    table = plain_table(head=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _figure_lines(figures):
        table.add_row(name, Text(visible(value)))
    return table


def _figure_lines(figures: dict[str, Any]) -> Iterator[tuple[str, str]]:
    now, prompts, tokens = figures["now"], figures["prompts"], figures["tokens"]
    yield (
        "pairs",
        f"{counted(figures['rows'], 'row')}, {figures['pairs']:,} of them read; {counted(prompts['distinct'], 'distinct prompt')}",
    )
    if now["loops"]:
        share = now["seen"] / now["loops"]
        yield "loops", f"{now['loops']:,} rejected sides loop; two copies inside the cut: {now['seen']:,} ({share:.1%})"
    for side in ("chosen", "rejected"):
        if long := tokens[side]:
            yield (
                f"{side} tokens",
                f"median {long['median']:,}, mean {long['mean']:,}, 95 % up to {long['p95']:,}, most {long['max']:,}",
            )
    bias = figures["shorter_wins"]
    if bias["whole"] is not None:
        inside = "-" if bias["inside_the_cut"] is None else f"{bias['inside_the_cut']:.1%}"
        yield (
            "shorter wins",
            f"is right for {bias['whole']:.1%} of whole pairs, {inside} inside the cut (50 %: no bias)",
        )
    for side, fate in figures["eos"].items():
        yield f"EOS {side}", f"{fate['seen']:,} seen, {fate['cut']:,} beyond the cut, {fate['none']:,} without"
    if known := figures["benchmark"]:
        hit = f"{known['found']:,} of {counted(known['prompts'], 'prompt')} of {known['name']}"
        yield "benchmark", f"{hit} found in {counted(known['pairs'], 'pair')}"


def _faults_table(figures: dict[str, Any], failed: list[str]) -> Table:
    from loopguard.console import plain_table
    from loopguard.handover.measured import FAULTS

    table = plain_table()
    table.add_column("fault", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("first rows")
    table.add_column("what it is")
    for name, fault in figures["faults"].items():
        first = ", ".join(map(str, fault["first"][:3])) + (", ..." if fault["rows"] > 3 else "")
        style = "bold red" if name in failed else ""
        table.add_row(name, f"{fault['rows']:,}", f"{fault['share']:.1%}", first, FAULTS[name], style=style)
    return table


def _settings_table(title: str, settings: list[Setting], pairs: int, prompts: int) -> Table:
    from loopguard.console import plain_table

    what = counted(pairs, "pair") if title == "before and after" else counted(prompts, "prompt")
    table = plain_table(title=f"{title} ({what})")
    table.add_column("setting", no_wrap=True)
    for name in ("pairs", "loops\nseen", "equal", "dropped", "EOS in\ncut text", "shorter\nwins", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in settings:
        table.add_row(
            one.name,
            f"{one.pairs:,}",
            f"{one.seen:,} of {one.loops:,}",
            f"{one.equal:,}",
            f"{one.dropped:,}",
            f"{one.eos_in_cut_text:,}",
            "-" if one.shorter_wins is None else f"{one.shorter_wins:.1%}",
            "-" if one.tokens is None else f"{one.tokens:,.0f}",
        )
    return table
