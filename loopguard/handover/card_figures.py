"""The figures of a dataset card as Markdown: loop rates, lengths, the judge, what gave no pair, one pair to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loopguard.counted import counted
from loopguard.handover.markdown import code, fenced, shortened, table
from loopguard.handover.pair_figures import PairFigures, ScoreFigures
from loopguard.loops.show import pieces
from loopguard.records import Loop


def loop_rates(summary: Mapping[str, Any]) -> str:
    """Loop rates by decoding with their intervals, loops by kind, what hit the limit."""
    rows = []
    for decoding, rate in summary["loop_rate"].items():
        if rate["total"]:
            interval = f"{rate['low']:.2%} to {rate['high']:.2%}"
            rows.append((decoding, f"{rate['looping']:,}", f"{rate['total']:,}", f"{rate['rate']:.2%}", interval))
    told = table(("decoding", "looping", "of", "rate", "95 % interval (Wilson)"), rows)
    if kinds := summary["loops_by_kind"]:
        told += f"\n\nBy kind: {_counts(kinds)}."
    cut = summary["candidates"]["truncated_not_looping"]
    wasted, tokens = summary["tokens"]["wasted_in_loops"], summary["tokens"]["completion"]
    told += f"\n\n{counted(cut, 'candidate')} hit the token limit without a loop."
    if tokens:
        told += f" {wasted:,} of {tokens:,} sampled tokens were spent going round."
    return told


def lengths(pairs: PairFigures) -> str:
    """Lengths of chosen and rejected, and whether length alone tells them apart."""
    names = {"loop": "by loop", "score": "by score", "all": "all"}
    shown = {name: found for name, found in pairs.lengths.items() if name != "all" or len(pairs.lengths) > 2}
    head = (
        "tokens",
        "pairs",
        "chosen: median",
        "90 %",
        "longest",
        "rejected: median",
        "90 %",
        "longest",
        "chosen shorter",
    )
    rows = [
        (
            names[name],
            f"{found.pairs:,}",
            *(f"{value:,.0f}" for value in (*found.chosen, *found.rejected)),
            f"{found.chosen_shorter / found.pairs:.1%}",
        )
        for name, found in shown.items()
    ]
    notes = [
        "Length bias: picking the shorter answer would be right as often as the last column says; 50% is no bias.",
        f"`rejected_truncated`: {pairs.truncated:,} (no natural end; a trainer appends an end-of-sequence token to them).",
        f"`rejected_trimmed`: {pairs.trimmed:,} (cut within the loop; their lengths are estimates).",
    ]
    if pairs.uncounted:
        notes.append(f"For {counted(pairs.uncounted, 'pair')} the engine counted no tokens: estimated from characters.")
    return table(head, rows) + "\n\n" + "\n".join(f"- {note}" for note in notes)


def judging(summary: Mapping[str, Any], pairs: PairFigures, scores: ScoreFigures | None) -> str:
    """How the judge answered and scored. For a run that had one."""
    judge = summary["judge"]
    rows = [
        ("scores", f"{judge['scored']:,}"),
        *((f"read from {name}", f"{count:,}") for name, count in judge["methods"].items()),
        ("replies that could not be read", f"{judge['unscored']:,}"),
        ("calls saved: looping candidates need no judge", f"{judge['calls_saved_by_loops']:,}"),
    ]
    if scores:
        rows.append(("mean score", f"{scores.mean:.2f}"))
        rows.append(("median, lowest, highest", f"{scores.median:.2f}, {scores.low:.2f}, {scores.high:.2f}"))
    if pairs.median_margin is not None:
        rows.append(("median margin of the pairs by score", f"{pairs.median_margin:.2f}"))
    return table(("", ""), rows)


def without(summary: Mapping[str, Any]) -> str:
    """Prompts and rows that gave no pair, by reason."""
    rows = [
        (code(reason), what, f"{count:,}")
        for key, what in (
            ("skipped_by_reason", "no pair to be made"),
            ("failed_by_reason", "not answered"),
            ("broken_rows_by_reason", "no prompt in the row"),
        )
        for reason, count in sorted(summary[key].items(), key=lambda item: (-item[1], item[0]))
    ]
    if missing := summary["prompts"]["missing"] - summary["failed_by_reason"].get("not_asked", 0):
        rows += [("`missing`", "not asked", f"{missing:,}")] if missing > 0 else []
    return table(("reason", "", "prompts or rows"), rows, texts=2)


def sample(row: Mapping[str, Any]) -> str:
    """One pair in code blocks, cut short, its loop marked."""
    system = [message for message in row["prompt"] if message["role"] == "system"]
    told = [f"Prompt{' (the last message of it)' if len(row['prompt']) > 1 + len(system) else ''}:"]
    told.append(fenced(shortened(row["prompt"][-1]["content"])))
    score = "" if row["score_chosen"] is None else f", score {row['score_chosen']:.2f}"
    told += [f"Chosen{score}:", fenced(shortened(row["chosen"][-1]["content"]))]
    text, loop = row["rejected"][-1]["content"], _loop(row)
    if loop is None:
        score = "" if row["score_rejected"] is None else f", score {row['score_rejected']:.2f}"
        told += [f"Rejected{score}:", fenced(shortened(text))]
    else:
        end = "to the end" if loop.terminal else "left again"
        cut = "; trimmed to the first copies" if row["rejected_trimmed"] else ""
        told += [
            f"Rejected: a {loop.kind} loop from character {loop.start:,}, {loop.repeats:.1f} copies of {loop.period:,}, {end}{cut}."
            " ⟦ ⟧ marks its first two copies:",
            fenced(_marked(text, loop)),
        ]
    return "\n\n".join(told)


def _loop(row: Mapping[str, Any]) -> Loop | None:
    if row["rejected_loop_kind"] is None:
        return None
    names = ("kind", "terminal", "start", "end", "period", "repeats")
    return Loop(**{name: row[f"rejected_loop_{name}"] for name in names})


def _marked(text: str, loop: Loop) -> str:
    shown = []
    for piece in pieces(text, [loop]):
        held = shortened(piece.text, limit=500, lines=12)
        marked = f"⟦{held}⟧" if piece.role in ("first", "copy") else held
        shown.append(f" {held} " if piece.role in ("folded", "left_out") else marked)
    return "".join(shown)


def _counts(counts: Mapping[str, int]) -> str:
    return "; ".join(
        f"{count:,} {code(name)}" for name, count in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))
    )
