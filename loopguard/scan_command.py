"""`loopguard scan`: the loop rates of files as a table, a verdict for every row as Parquet, examples to look at.

Exit codes: 0 done; 1 something the user can mend; 3 some files or rows could not be read; 4 the loop rate is above
--fail-above (whether or not all could be read).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loopguard.counted import counted
from loopguard.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from loopguard.loops.counts import Counts
    from loopguard.loops.detector import Detector
    from loopguard.loops.reading import Reading
    from loopguard.loops.scan import Example, ScanResult
    from loopguard.loops.statistics import Rate

IN, OUT, RULE = "Input", "Output", "Detector"
EXIT_CODES = (
    "Exit codes: 0 done, 1 wrong input, 3 some files or rows could not be read, 4 loop rate above --fail-above."
)
UNREADABLE, ABOVE = 3, 4

_GROUPS_SHOWN = 40
_EVERY = 0.2  # seconds between two updates of the line on a terminal


def scan(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Files (.jsonl, .json, .csv, .tsv, each also .gz; .parquet), folders, 'globs', hf:user/dataset[:split].",
            show_default=False,
        ),
    ],
    text_column: Annotated[
        str | None,
        typer.Option(
            help="Column of the outputs: text or messages. Not given: output, completion, response, text, answer, ...",
            rich_help_panel=IN,
        ),
    ] = None,
    tokens_column: Annotated[
        str | None, typer.Option(help="Column of token ids to examine instead of text.", rich_help_panel=IN)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows.", rich_help_panel=IN)] = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN", help="Count by this column too; several make combinations.", rich_help_panel=OUT
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Parquet file: every input column, then the verdict.", rich_help_panel=OUT),
    ] = None,
    show: Annotated[
        int, typer.Option(min=0, metavar="N", help="Print N looping outputs, the loop marked.", rich_help_panel=OUT)
    ] = 0,
    fail_above: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=1.0, metavar="RATE", help="Exit with 4 if more than this share loops.", rich_help_panel=OUT
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.", rich_help_panel=OUT)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No table, no progress.", rich_help_panel=OUT)] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=NUMBER", help="A threshold of the detector.", rich_help_panel=RULE),
    ] = None,
) -> None:
    """Find the loops in outputs that are there: loop rates with 95 % intervals, and a verdict for every row.

    loopguard scan outputs.jsonl

    loopguard scan 'runs/*.parquet' --group-by model --out verdicts.parquet --fail-above 0.01
    """
    from loopguard.loops.quick_start import loading, numba_without_scipy, quick_arrow

    with loading():
        numba_without_scipy()
        quick_arrow()
        from loopguard.loops.scan import scan_files

        rule = detector(settings or [])
        rule.make_ready((lambda _: None) if quiet else tell)
    line = _Line(quiet=quiet)
    try:
        result = scan_files(
            inputs,
            text_column=text_column,
            tokens_column=tokens_column,
            group_by=tuple(group_by or ()),
            out=out,
            detector=rule,
            limit=limit,
            examples=show,
            watch=line.watch,
        )
    finally:
        line.close()
    if as_json:
        print(json.dumps(_report(result, line), indent=2, ensure_ascii=False))
    elif not quiet:
        print_result(result, out)
    complain_of(result.reading)
    rate = result.counts.overall.rate
    if fail_above is not None and rate is not None and rate > fail_above:
        tell(f"loop rate {rate:.2%} is above {fail_above:.2%}")
        raise typer.Exit(ABOVE)
    if not result.reading.complete:
        raise typer.Exit(UNREADABLE)


def detector(pairs: list[str]) -> Detector:
    """A detector with what `--set NAME=NUMBER` says. Raises InputError."""
    from loopguard.loops.detector import Detector
    from loopguard.loops.settings import DetectorSettings

    found: dict[str, float] = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            found[name.strip()] = int(value) if value.strip().isdecimal() else float(value)
        except ValueError:
            raise InputError(f"--set {pair!r}: NAME=NUMBER is wanted, such as min_copies=5") from None
    return Detector(settings=DetectorSettings.make(found))


class _Line:
    """One line of progress on a terminal; nothing elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self.begun = self._told = time.monotonic()
        self._live = not quiet and sys.stderr.isatty()

    def watch(self, counts: Counts) -> None:
        now = time.monotonic()
        if self._live and now - self._told > _EVERY:
            self._told = now
            pace = counts.size / 1e6 / (now - self.begun)
            line = f"{counts.rows:,} rows, {pace:.0f} MB/s, {counts.overall}"[: _columns() - 1]
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun


def _columns() -> int:
    """Characters in a line of the terminal: a longer one could not be taken back."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80


def _report(result: ScanResult, line: _Line) -> dict[str, Any]:
    shown = [{"source": one.source, "row": one.row, "output": one.output, **one.verdict} for one in result.examples]
    return result.as_dict() | {"seconds": round(line.seconds, 3)} | ({"examples": shown} if shown else {})


def print_result(result: ScanResult, out_file: Path | None) -> None:
    """The figures for a person, and the examples."""
    print_table(rates_table(result))
    for line in _remarks(result):
        say(line)
    for example in result.examples:
        say_raw(f"\n--- {_title(example)}", style="bold")
        say_raw(_marked(example))
    if out_file is not None:
        say(f"verdicts: {out_file}")


def say(text: str | Text, *, style: str = "") -> None:
    """A line for a person; long ones are wrapped on a terminal alone, so that `grep` finds what it looks for."""
    from rich.text import Text

    from loopguard.console import out
    from loopguard.visible import visible

    console = out()
    console.print(Text(visible(text), style) if isinstance(text, str) else text, soft_wrap=not console.is_terminal)


def say_raw(text: str | Text, *, style: str = "") -> None:
    """Text whose lines stay whole: what models wrote, what is there to be pasted."""
    from rich.text import Text

    from loopguard.console import out, put_raw
    from loopguard.visible import visible

    put_raw(Text(visible(text), style) if isinstance(text, str) else text, out())


def print_table(table: Table) -> None:
    """A table and an empty line."""
    from loopguard.console import out, put

    put(table, out())
    print()


def rates_table(result: ScanResult) -> Table:
    """Loop rates: all, by kind, by group."""
    from rich.text import Text

    from loopguard.console import plain_table
    from loopguard.visible import visible

    counts = result.counts
    table = plain_table()
    for name in ("outputs", "loop rate", "95 % interval", "looping", "of"):
        table.add_column(name, justify="left" if name == "outputs" else "right", overflow="fold")

    def add(name: str, rate: Rate) -> None:
        table.add_row(Text(visible(name)), *_cells(rate))

    add("all", counts.overall)
    for kind, end, rate in counts.by_kind():
        add(f"  {kind}, {end}", rate)
    groups = counts.by_group()
    if groups:
        table.add_section()
    for names, rate in groups[:_GROUPS_SHOWN]:
        add(", ".join(names), rate)
    if len(groups) > _GROUPS_SHOWN:
        table.add_row(f"{len(groups) - _GROUPS_SHOWN} more groups: --json has all", "", "", "", "")
    return table


def _cells(rate: Rate) -> Iterator[str]:
    found = rate.as_dict()
    yield "-" if found["rate"] is None else f"{found['rate']:.2%}"
    yield f"{found['low']:.2%} to {found['high']:.2%}" if rate.total else "-"
    yield f"{rate.looping:,}"
    yield f"{rate.total:,}"


def _remarks(result: ScanResult) -> Iterator[str]:
    counts = result.counts
    if counts.finish_reasons_seen:
        yield f"{counted(counts.truncated_clean, 'output')} hit the token limit without a loop"
    if counts.size:
        yield f"{counts.wasted / counts.size:.2%} of all that was examined repeats what was said"
    if counts.nulls:
        yield f"{counted(counts.nulls, 'row', 'holds', 'hold')} no output (null): no verdict, in no rate"
    yield f"column {', '.join(result.columns)}; detector {result.signature}"


def _title(example: Example) -> str:
    from loopguard.console import loop_in_words

    words = loop_in_words(*(example.verdict[f"loop_{name}"] for name in ("kind", "terminal", "repeats")))
    return f"{example.source}, row {example.row:,}: {words}"


def _marked(example: Example) -> Text:
    """The output with its loop marked."""
    from loopguard.console import marked, out
    from loopguard.loops.show import pieces
    from loopguard.records import Loop

    names = ("kind", "terminal", "start", "end", "period", "repeats")
    loop = Loop(**{name: example.verdict[f"loop_{name}"] for name in names})
    return marked(pieces(example.output, [loop]), out())


def complain_of(reading: Reading) -> None:
    """What could not be read, to stderr."""
    for line in reading.unreadable:
        tell(f"not read: {line}")
    if reading.bad_rows:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reading.bad_rows.items()))
        tell(f"{counted(sum(reading.bad_rows.values()), 'row')} not read: {reasons}")
        for line in reading.bad_row_examples:
            tell(f"  {line}")


def tell(text: str) -> None:
    """A line for a person, on stderr."""
    from loopguard.visible import visible

    print(visible(f"loopguard: {text}"), file=sys.stderr)
