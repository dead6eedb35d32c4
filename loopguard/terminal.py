"""What a person sees in a terminal, a pipe or a log: progress while a run works, its summary, one pair to look at.

Progress goes to stderr: a live bar on a terminal, a plain line every 30 s elsewhere. Results go to stdout. Text of
models is printed with its control characters made visible, never as markup: an escape sequence in an answer does nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from loopguard.console import err, loop_in_words, marked, plain_table, put, put_raw
from loopguard.console import out as out
from loopguard.counted import counted
from loopguard.loops.show import pieces
from loopguard.prefs import capabilities
from loopguard.prefs.outputs import PREFERENCES
from loopguard.prefs.told import duration, now, rate_told, spent_line, summary_lines
from loopguard.records import Loop
from loopguard.visible import visible as visible

if TYPE_CHECKING:
    from loopguard.prefs.budget import Purse
    from loopguard.prefs.outputs import Outcome
    from loopguard.prefs.run import Run, Status

EVERY = 30.0
"""Seconds between two lines of progress where there is no terminal."""


class TerminalWatcher:
    """Progress of build-prefs: prompts through, their rate, the loop rate so far, the time left."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = err()
        self._quiet = quiet
        self._live = self._console.is_terminal and not quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._total = self._done = self._session = self._looping = self._outputs = self._failed = 0
        self._purse: Purse | None = None
        self._begun = self._told = time.monotonic()

    def asking(self, *, total: int, done: int) -> None:
        """The first pass starts."""
        self._total, self._done, self._begun, self._told = total, done, time.monotonic(), time.monotonic()
        if done and not self._quiet:
            self.note(f"{done:,} of {total:,} prompts are in the ledger already; {total - done:,} to go")
        if done < total:
            self._start("asking")

    def asked(self, outcome: Outcome) -> None:
        """One more prompt is through."""
        self._done += 1
        self._session += 1
        self._outputs += len(outcome.candidates)
        self._looping += sum(c.looping for c in outcome.candidates)
        self._failed += not isinstance(outcome.result, list) and outcome.result.status == "failed"
        self._show(self._figures)

    def through(self, prompts: int, *, outputs: int, looping: int, failed: int) -> None:
        """So many more prompts are through, in other processes."""
        self._done += prompts
        self._session += prompts
        self._outputs += outputs
        self._looping += looping
        self._failed += failed
        self._show(self._figures)

    def paying_from(self, purse: Purse) -> None:
        """What was spent is read from it whenever something is shown."""
        self._purse = purse

    def writing(self, *, total: int) -> None:
        """The second pass starts."""
        self._stop()
        self._total, self._done, self._session, self._begun = total, 0, 0, time.monotonic()
        self._start("writing")

    def wrote(self) -> None:
        """One more prompt is in the tables."""
        self._done += 1
        self._session += 1
        self._show(None)
        if self._done == self._total:
            self._stop()

    def note(self, text: str) -> None:
        """A line for a person."""
        if not self._quiet:
            console = self._bar.console if self._bar else self._console
            console.print(Text(visible(text)), soft_wrap=not console.is_terminal)

    def close(self) -> None:
        """Take the bar away, whatever happened."""
        self._stop()

    def _figures(self) -> str:
        rate = self._session / max(time.monotonic() - self._begun, 1e-6)
        said = [
            f"{1 / rate:.0f} s a prompt" if 0 < rate < 0.1 else f"{rate:{'.2g' if rate < 10 else ',.0f'}} prompts/s"
        ]
        if self._outputs:
            said.append(f"{self._looping / self._outputs:.1%} of outputs loop")
        if self._failed:
            said.append(f"{self._failed:,} failed")
        spent = self._purse.told(through=self._session, left=self._total - self._done) if self._purse else ""
        return ", ".join(said) + (f"; {spent}" if spent else "")

    def _start(self, what: str) -> None:
        if not self._live:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24 if self._console.width >= 120 else 10),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            refresh_per_second=4,
            expand=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(what, total=self._total, completed=self._done, figures="")

    def _show(self, figures: Callable[[], str] | None) -> None:
        if self._bar is not None and self._task is not None:
            if (now := time.monotonic()) - self._told >= 0.1 or self._done == self._total:
                self._told = now
                self._bar.update(self._task, completed=self._done, figures=figures() if figures else "")
        elif not self._live and figures and not self._quiet and time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            pace = (time.monotonic() - self._begun) / self._session
            left = pace * (self._total - self._done)
            self.note(f"{self._done:,} of {self._total:,} prompts; {figures()}; about {duration(left)} left")

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar, self._task = None, None


class Counting:
    """Something that is counted up to its end: a bar on a terminal, a line every EVERY seconds elsewhere."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._console, self._what, self._quiet = err(), what, quiet
        self._bar = Progress(console=self._console, transient=True, disable=quiet or not self._console.is_terminal)
        self._task = self._bar.add_task(what, total=None)
        self._told = time.monotonic()

    def through(self, done: int, total: int) -> None:
        """So many are done."""
        self._bar.update(self._task, completed=done, total=total)
        if not (self._quiet or self._console.is_terminal) and time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            self._console.print(f"{done} of {total} {self._what}")

    def __enter__(self) -> Counting:
        """Begin to show."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away, whatever happened."""
        self._bar.stop()


def print_summary(run: Run, console: Console) -> None:
    """The figures of a run that a person wants first."""
    _put_lines(f"Run {run.path}", summary_lines(run.summary), console)


def _put_lines(title: str, lines: Iterable[tuple[str, str]], console: Console) -> None:
    table = plain_table(title=title, head=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines:
        table.add_row(name, Text(visible(value)))
    put(table, console)


def print_sample_pair(run: Run, console: Console) -> None:
    """One pair, a looping one if there is any, with the loop marked and its repeats folded."""
    row = _pair_to_show(run.path / PREFERENCES)
    if row is None:
        none = run.summary["prompts"]["total"] == 0
        console.print("\nNo pairs to show." + (" No row holds a prompt: is this the right file?" if none else ""))
        return
    chosen = "chosen" if row["score_chosen"] is None else f"chosen: score {row['score_chosen']:.2f}"
    _part("prompt", Text(_short(row["prompt"][-1]["content"])), "cyan", console)
    _part(chosen, Text(_short(row["chosen"][0]["content"])), "green", console)
    _part(_rejected_title(row), _rejected(row, console), "red", console)


def _pair_to_show(path: Path) -> dict[str, Any] | None:
    """The first of the pairs by loop that waste most, else the first by score. By Arrow, which wrote the table: loading polars
    takes as long as many a run."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        short = file.read(columns=["reason", "rejected_wasted_fraction"])
        keys = [
            (reason, math.inf if wasted is None else -wasted)
            for reason, wasted in zip(*(column.to_pylist() for column in short.columns), strict=True)
        ]
        if not keys:
            return None
        at = keys.index(min(keys))
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if at < rows:
                return dict(file.read_row_group(group).slice(at, 1).to_pylist()[0])
            at -= rows
    raise AssertionError("a row lies in no row group")


def _part(title: str, body: Text, colour: str, console: Console) -> None:
    console.print(Text(f"\n--- {title}", f"bold {colour}"), soft_wrap=not console.is_terminal)
    body.rstrip()
    put_raw(body, console)


def _rejected_title(row: dict[str, Any]) -> str:
    if row["reason"] == "score":
        return f"rejected: score {row['score_rejected']:.2f}"
    if row["rejected_loop_kind"] is None:
        return "rejected: stopped for repetition"
    names = ("kind", "terminal", "repeats")
    cut = "; the text is cut here" if row["rejected_trimmed"] else ""
    return f"rejected: {loop_in_words(*(row[f'rejected_loop_{name}'] for name in names))}{cut}"


def _rejected(row: dict[str, Any], console: Console) -> Text:
    """The rejected text; of a loop two copies, the others counted."""
    text = row["rejected"][0]["content"]
    if row["rejected_loop_kind"] is None:
        return Text(_short(text))
    names = ("kind", "terminal", "start", "end", "period", "repeats")
    return marked(pieces(text, [Loop(**{name: row[f"rejected_loop_{name}"] for name in names})]), console)


def _short(text: str, limit: int = 600) -> str:
    return (
        visible(text)
        if len(text) <= limit
        else f"{visible(text[:limit])} [... {len(text) - limit:,} characters more ...]"
    )


def print_status(run: Run, status: Status, console: Console) -> None:
    """How far a run is."""
    done = f"{status.done:,} of {counted(status.total, 'prompt')} done, {status.missing:,} missing, {status.failed:,} failed"
    lines = [
        ("prompts", done),
        ("now", now(status)),
        ("answers kept", f"{status.answers:,} (samples and judge replies)"),
        ("loop rate greedy", rate_told(status.greedy)),
        ("loop rate sampled", rate_told(status.sampled)),
        ("spent", spent_line(status.spent)),
        *(("engine", line) for line in capabilities.lines(status.engines)),
    ]
    _put_lines(f"Run {run.path}", lines, console)
