"""A run's figures in words: one line each, for a terminal and for Jupyter."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

from loopguard.counted import counted
from loopguard.errors import LoopguardError
from loopguard.loops.statistics import Rate
from loopguard.visible import visible

if TYPE_CHECKING:
    from loopguard.prefs.run import Run, Status


def summary_lines(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, value) lines of a summary."""
    prompts, pairs, judge = summary["prompts"], summary["pairs"], summary["judge"]
    if summary["stopped"]:
        yield "stopped", summary["stopped"]
    yield "model", f"{summary['engine']['model']} ({summary['engine']['engine']})"
    broken = f", and {counted(prompts['broken_rows'], 'row')} without one" if prompts["broken_rows"] else ""
    yield "prompts", f"{prompts['total']:,} distinct{broken}"
    merged = summary["candidates"]["equal_merged"]
    yield "candidates", f"{summary['candidates']['total']:,}" + (f", {merged:,} equal to another one" if merged else "")
    for decoding in ("greedy", "sampled"):
        yield f"loop rate {decoding}", _rate(summary["loop_rate"][decoding])
    if summary["loops_by_kind"]:
        yield "loops by kind", _counts(summary["loops_by_kind"])
    yield "cut, not looping", f"{summary['candidates']['truncated_not_looping']:,} hit the token limit without a loop"
    yield (
        "pairs",
        f"{pairs['total']:,} from {counted(prompts['with_pairs'], 'prompt')}: {pairs['loop']:,} by loop, "
        f"{pairs['score']:,} by score",
    )
    if summary["skipped_by_reason"]:
        yield "no pair", _counts(summary["skipped_by_reason"])
    if summary["broken_rows_by_reason"]:
        yield "rows left out", _counts(summary["broken_rows_by_reason"])
    if prompts["failed"] or prompts["missing"]:
        yield (
            "not done",
            f"{counted(prompts['failed'], 'prompt')} failed, {prompts['missing']:,} not asked yet; run again to ask them",
        )
    if judge:
        spec = summary["judged_by"]["spec"].split("|")[0]
        unread = f", {judge['unscored']:,} not readable" if judge["unscored"] else ""
        by = f" ({_counts(judge['methods'])})" if judge["methods"] else ""
        saved = judge["calls_saved_by_loops"]
        yield (
            "judge",
            f"{spec}: {judge['scored']:,} scores{by}{unread}; {counted(saved, 'call')} saved, loops need none",
        )
    tokens, session = summary["tokens"], summary["this_session"]
    yield (
        "tokens",
        f"{tokens['completion']:,} sampled, {tokens['wasted_in_loops']:,} of them spent going round in loops",
    )
    if stopped := summary.get("early_stop"):
        most = f"at most {counted(stopped['tokens_saved_at_most'], 'token')} saved, had each gone on to max_tokens"
        yield "early stop", f"{counted(stopped['outputs'], 'output')} stopped while repeating; {most}"
    yield "spent", spent_line(summary["spent"])
    asked = session["sampling"]["requests"] + (session["judging"] or {"requests": 0})["requests"]
    total = summary["seconds_in_all_sessions"]
    whole = f"; {duration(total)} in all sessions" if total > session["seconds"] * 1.01 + 0.1 else ""
    yield "this session", f"{asked:,} requests in {duration(session['seconds'])}{whole}"


def spent_line(spent: dict[str, Any]) -> str:
    """`61,000 requests, 18,921,264 + 14,260,000 tokens, 12.4 in money, in all sessions; budget: 20 money`."""
    money = f", {spent['money']:,.4g} in money" if spent["money"] is not None else ""
    tokens = f"{spent['prompt_tokens']:,} prompt + {spent['completion_tokens']:,} sampled tokens"
    budget = "; ".join(f"{most:,g} {unit}" for unit, most in (spent["budget"] or {}).items())
    return f"{spent['requests']:,} requests, {tokens}{money}, all sessions" + (f" (budget: {budget})" if budget else "")


def _rate(rate: dict[str, Any]) -> str:
    return rate_told(Rate(rate["looping"], rate["total"]))


def rate_told(rate: Rate) -> str:
    """The rate with its interval, or that there is none."""
    return str(rate) if rate.total else "none drawn"


def _counts(counts: dict[str, int]) -> str:
    return "; ".join(
        f"{count:,} {name}" for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def status_lines(status: Status) -> Iterator[tuple[str, str]]:
    """(name, value) lines of a run that has not written its tables yet."""
    yield "prompts", f"{status.done:,} of {status.total:,} done, {status.missing:,} missing, {status.failed:,} failed"
    yield "now", now(status)
    yield "loop rate greedy", rate_told(status.greedy)
    yield "loop rate sampled", rate_told(status.sampled)
    yield "spent", spent_line(status.spent)


def now(status: Status) -> str:
    """Whether it is still going."""
    if status.working:
        return "a process works on it"
    if not status.missing and not status.failed:
        return "everything is answered"
    return "the same command goes on with it" if status.working is None else "stopped; the same command goes on with it"


def run_html(run: Run) -> str:
    """A run as Jupyter shows it: its summary, or how far it is, or why neither can be read."""
    try:
        lines = list(status_lines(run.status()) if run.unfinished else summary_lines(run.summary))
    except LoopguardError as error:
        lines = [("cannot be read", str(error))]
    rows = "".join(f"<tr><th{_LEFT}>{_text(name)}</th><td{_LEFT}>{_text(value)}</td></tr>" for name, value in lines)
    return f"<table><caption{_LEFT}><b>Run {_text(str(run.path))}</b></caption>{rows}</table>"


_LEFT = ' style="text-align:left"'


def _text(value: str) -> str:
    return escape(visible(value))


def duration(seconds: float) -> str:
    """`12 s`, `34 min`, `5.6 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
