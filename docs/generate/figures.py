"""benchmarks/results/*.json -> the figures of the README and of docs/figures.md: no number there is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


class Row(NamedTuple):
    """One line of a table of figures."""

    what: str
    figure: str
    raw: str
    """File under benchmarks/results that the figure was read from."""


@cache
def result(name: str) -> Any:
    """The raw result `name`.json."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def measured(names: Sequence[str] | None = None) -> str:
    """The table of speeds, whole or only the named rows."""
    known = dict(_speeds())
    rows = [known[name] for name in names or known]
    return table([(row.what, row.figure, f"`{row.raw}.json`") for row in rows], ("what", "figure", "raw"))


def _speeds() -> Iterator[tuple[str, Row]]:
    yield (
        "embedded",
        _against_bare("embedded", "tokens/s of build-prefs on the embedded model / bare engine, same requests"),
    )
    yield "server", _server()
    yield "million", _million()
    yield "resumed", _resumed()
    yield "hundred_thousand", _hundred_thousand()
    what = "tokens/s of build-prefs on vLLM (its build for processors) / bare `LLM.chat`, same prompts and parameters"
    yield "vllm", _against_bare("vllm", what)
    yield "load", _load()
    yield "early_stop", _early_stop()
    start = [result("start_up")[name]["best_s"] for name in ("loopguard --help", "the first verdict")]
    yield (
        "help",
        Row(
            "`loopguard --help` / a fresh process to its first verdict",
            " / ".join(f"{s:.2f} s" for s in start),
            "start_up",
        ),
    )
    yield "scan", _scan()
    yield "detector", _detector()
    yield "against", _against()


def _against_bare(name: str, what: str) -> Row:
    found = result(name)
    ours, bare = (_mean(found["rounds"], f"{kind}_tokens_per_s") for kind in ("build_prefs", "bare"))
    return Row(what, f"{found['ratio']:.2f} ({ours:.0f} against {bare:.0f} tokens/s)", name)


def _mean(rows: Sequence[dict[str, float]], key: str) -> float:
    return sum(row[key] for row in rows) / len(rows)


def _server() -> Row:
    found = result("server")
    ours, bare = (sorted(found[f"{kind}_requests_per_s"])[1] for kind in ("build_prefs", "bare_client"))
    what = f"requests/s against an instant local server / bare AsyncOpenAI loop, {found['concurrency']} at a time"
    return Row(what, f"{found['ratio']:.2f} ({ours:.0f} against {bare:.0f} requests/s)", "server")


def _million() -> Row:
    found = result("scripted-million")
    asking, writing = found["asking_by_blocks"], found["writing_by_blocks"]
    figure = (
        f"{found['prompts_per_s']:.0f} prompts/s through both passes; {_range(asking, 'cpu_ms_per_prompt', 2)} ms of processor a"
        f" prompt while asking, {_range(writing, 'cpu_ms_per_prompt', 2)} while writing; {_range(asking, 'resident_mb', 0)} MB"
        f" while asking, {_range(writing, 'resident_mb', 0)} while writing, {found['resident_mb_peak']:.0f} at most"
    )
    what = f"{found['prompts']:,} prompts, scripted engine, killed half-way, on a machine busy with other work"
    return Row(what, figure, "scripted-million")


def _range(rows: Sequence[dict[str, float]], key: str, digits: int) -> str:
    values = [row[key] for row in rows]
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


def _resumed() -> Row:
    found = result("scripted-million")
    what = (
        "the same: until the first prompt is through after the kill / until a finished run says that nothing is missing"
    )
    figure = f"{found['seconds_to_resume_after_kill']:.1f} s / {found['seconds_to_say_nothing_is_missing']:.1f} s"
    return Row(what, figure, "scripted-million")


def _hundred_thousand() -> Row:
    found = result("scripted")
    figure = (
        f"{found['prompts_per_s']:.0f} prompts/s, {found['answers_per_s']:,.0f} answers/s through the ledger,"
        f" {found['resident_mb_peak']:.0f} MB resident at most"
    )
    return Row(f"{found['prompts']:,} prompts, scripted engine", figure, "scripted")


def _load() -> Row:
    found = result("load")
    what = (
        f"requests/s against a server with a limit of {found['limit_requests_per_s']} a second, which is dead for"
        f" {found['server_was_gone_s']:.0f} s and sends 2 % garbage, {found['concurrency']} at a time / its limit"
    )
    lost, twice = found["prompts_failed_or_missing"], found["requests_answered_twice"]
    return Row(what, f"{found['share_of_the_limit']:.3f}; {lost} prompts lost, {twice} requests answered twice", "load")


def _early_stop() -> Row:
    found = result("early_stop")
    stop = next(one for one in found["settings"] if found["default"].items() <= one.items())
    figure = (
        f"{stop['loops_stopped']} of {found['looping']} loops, {stop['clean_stopped']} of {found['clean']:,} clean outputs;"
        f" {stop['still_seen']} of those stopped are still seen as loops; {stop['tokens_saved']:,} of {found['tokens_of_loops']:,}"
        " tokens of loops saved"
    )
    return Row("what vLLM's early stop with the default setting stops of real outputs", figure, "early_stop")


def _scan() -> Row:
    found = result("scan")
    names = ("figures only", "with --out", "command", "command, with --out, 10 files")
    what = (
        f"scan of {found['figures only']['mb']:.0f} MB of real outputs in Parquet, 2 cores: warm / the same with a table of all"
        " verdicts / `loopguard scan`, its start included / the same with a table, on ten times as much"
    )
    return Row(what, " / ".join(str(found[name]["mb_per_s"]) for name in names) + " MB/s", "scan")


def _detector() -> Row:
    found = result("detector-speed")
    through, hostile = found["throughput"], found["adversarial"]
    worst = hostile["relative"][hostile["worst"]]
    what = (
        f"detector, one core: a Verdict object for each of {through['texts']:,} outputs / columns / token ids; worst hostile input"
        f" ({hostile['worst']}) per byte; 10 MB against 10 KB per byte"
    )
    figure = (
        f"{through['mb_per_s']:.0f} / {through['columns_mb_per_s']:.0f} MB/s /"
        f" {found['tokens']['million_tokens_per_s']:.0f} M ids/s; {worst:.1f}x;"
        f" {found['scaling']['10000000']:.1f}x"
    )
    return Row(what, figure, "detector-speed")


def _against() -> Row:
    rows = {one["rule"]: one for one in result("detector-speed")["against"]}
    ways = ("ours_is_faster_by", "in_columns_by")
    antidoom, zlib, gopher = (
        " and ".join(f"{rows[rule][way]:.{digits}f}x" for way in ways)
        for rule, digits in (("antidoom", 1), ("zlib>2.4", 1), (_GOPHER, 0))
    )
    figure = f"{antidoom} / {zlib} / {gopher}"
    what = (
        "detector, with a Verdict object each and in columns, over Antidoom's rule / zlib ratio / datatrove's own Gopher filter,"
        " same texts, one run"
    )
    return Row(what, figure, "detector-speed")


_GOPHER = "gopher (datatrove's own)"


def machine(names: Sequence[str] | None = None) -> str:
    """Where and when the table of speeds was measured, whole or the named rows: in one line, most files first."""
    known = dict(_speeds())
    files: dict[str, list[str]] = {}
    for raw in dict.fromkeys(known[name].raw for name in names or known):
        found = result(raw)
        where = found["machine"]
        told = f"{where['cores']} cores ({where['processor']}, {where['memory_gib']} GiB), no GPU, {found['date']}"
        files.setdefault(told, []).append(f"`{raw}.json`")
    first, *others = sorted(files, key=lambda told: -len(files[told]))
    return "; ".join([first, *(f"{', '.join(files[told])} on {told}" for told in others)])
