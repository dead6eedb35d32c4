"""The table: every published rule and ours on labelled outputs, and how well our spans fit.

    python -m benchmarks.detector.run                                   # the labelled outputs and the generated corpus
    python -m benchmarks.detector.run labelled.jsonl --json benchmarks/results/detector-accuracy.json
    python -m benchmarks.detector.run --errors                          # and what ours got wrong, by category

A labelled file has a row per text: `text`, `label` (loop, recovered, ok; others are left out), `kind`, planted loops
also `start`, `end`, `period`, `terminal`. Without a file: loops_dev.jsonl of the folder $LOOPGUARD_SHARED (default:
`shared` beside the repository), the generated corpus, and files of this Python installation (no loops among them).
A loop that recovered is a loop. Speed is single-core, from the same run, over the same texts; rules on token ids get
their ids for nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.detector.corpora import corpus
from benchmarks.detector.installed import installed
from benchmarks.detector.rivals import RULES
from benchmarks.detector.rows import Row, fold
from benchmarks.detector.tokens import token_bytes, tokenizer
from benchmarks.environment import environment
from benchmarks.shared import shared_data

OURS = "loopguard"
LOOPS = ("loop", "recovered")


def read_labelled(path: Path) -> list[Row]:
    """The rows of a labelled JSONL; a run of one token is verbatim."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["label"] not in (*LOOPS, "ok"):
            continue
        kind = row.get("kind") if row["label"] in LOOPS else None
        rows.append(
            Row(
                text=row["text"],
                label=row["label"],
                kind="verbatim" if kind == "token" else kind or None,
                start=row.get("start"),
                end=row.get("end"),
                period=row.get("period"),
                terminal=row.get("terminal"),
                category=row.get("category") or row.get("note") or "",
                language=row.get("language") or "",
            )
        )
    return rows


def default_sets(seed: int) -> dict[str, list[Row]]:
    """The labelled outputs where they are at hand, the generated corpus, the installed files."""
    labelled = shared_data() / "loops_dev.jsonl"
    found = {"loops_dev": read_labelled(labelled)} if labelled.exists() else {}
    return {**found, "generated": corpus(seed), "installed": installed(seed)}


def timed(fires: Callable[[Any], bool], items: Sequence[Any], size: int) -> tuple[list[bool], float]:
    """The answers, and megabytes of text per second."""
    begin = time.perf_counter()
    said = [bool(fires(item)) for item in items]
    return said, size / (time.perf_counter() - begin) / 1e6


def measure(rows: Sequence[Row], detector: Any, encode: Callable[[str], list[int]]) -> dict[str, Any]:
    """Every rule on one labelled set: rates, recall by kind, speed; the spans and the token verdicts of ours."""
    from benchmarks.detector.scores import rates, recall_by, spans

    texts = [row["text"] for row in rows]
    ids = [encode(text) for text in texts]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    truth = [row["label"] in LOOPS for row in rows]
    kinds = [
        row["kind"] if row["label"] == "loop" else "recovered" if row["label"] == "recovered" else None for row in rows
    ]
    detector.detect_batch(texts[:8])
    begin = time.perf_counter()
    verdicts = detector.detect_batch(texts)
    speed = size / (time.perf_counter() - begin) / 1e6
    said = {OURS: ([verdict.looping for verdict in verdicts], speed)}
    for rule in RULES:
        said[rule.name] = timed(rule.fires, ids if rule.reads == "ids" else texts, size)
    rules = [
        {
            "rule": name,
            **rates(truth, fired),
            "recall_by_kind": recall_by(kinds, fired),
            "mb_per_s": rate,
            "ours_is_faster_by": speed / rate,
        }
        for name, (fired, rate) in said.items()
    ]
    on_ids = [detector.detect(tokens).looping for tokens in ids]
    pieces = token_bytes()
    with_bytes = [detector.detect(tokens, vocabulary=pieces).looping for tokens in ids] if pieces else None
    return {
        "texts": len(rows),
        "loops": sum(truth),
        "megabytes": size / 1e6,
        "rules": rules,
        "spans": spans(rows, verdicts),
        "tokens": {
            "same_verdict_on_ids": agreement(on_ids, [v.looping for v in verdicts]),
            "same_verdict_with_vocabulary": with_bytes and agreement(with_bytes, [v.looping for v in verdicts]),
            **rates(truth, on_ids),
        },
        "errors": errors(rows, truth, said[OURS][0]),
    }


def agreement(some: Sequence[bool], others: Sequence[bool]) -> float:
    """Share of texts on which both say the same."""
    return sum(a == b for a, b in zip(some, others, strict=True)) / max(1, len(some))


def errors(rows: Sequence[Row], truth: Sequence[bool], said: Sequence[bool]) -> dict[str, dict[str, int]]:
    """Where ours erred, by category: flagged without a loop, missed with one."""
    wrong = [(row["category"], true) for row, true, fired in zip(rows, truth, said, strict=True) if true != fired]
    return {
        "flagged": dict(Counter(category for category, true in wrong if not true).most_common()),
        "missed": dict(Counter(category for category, true in wrong if true).most_common()),
    }


KINDS = ("verbatim", "counter", "near", "recovered")


def table(result: dict[str, Any]) -> str:
    """The rules of one set as a Markdown table."""
    lines = [
        "| rule | P | R | F1 [95 %] | false positives | "
        + " | ".join(f"R {kind}" for kind in KINDS)
        + " | MB/s | ours is faster by |",
        "|---" * (7 + len(KINDS)) + "|",
    ]
    for row in result["rules"]:
        by_kind = [f"{row['recall_by_kind'][kind]:.2f}" if kind in row["recall_by_kind"] else "" for kind in KINDS]
        scores = f"{row['precision']:.3f} | {row['recall']:.3f} | {row['f1']:.3f} [{row['f1_low']:.3f}, {row['f1_high']:.3f}]"
        shown = scores if result["loops"] else " | | "
        speed = f"{row['mb_per_s']:.1f} | {row['ours_is_faster_by']:.1f}x"
        lines.append(
            f"| {row['rule']} | {shown} | {row['false_positive_rate']:.1%} | {' | '.join(by_kind)} | {speed} |"
        )
    return "\n".join(lines)


def report(name: str, result: dict[str, Any], *, show_errors: bool) -> str:
    """What is printed of one set."""
    parts = [
        f"\n## {name}: {result['texts']} texts, {result['loops']} loops, {result['megabytes']:.1f} MB\n",
        table(result),
    ]
    spans, tokens = result["spans"], result["tokens"]
    if spans["planted"]:
        shares = {
            "onset within one period": spans["onset_within_one_period"],
            "period exact (verbatim)": spans["period_exact_verbatim"],
            "kind": spans["kind"],
            "terminal or recovered": spans["terminal"],
        }
        listed = ", ".join(f"{what} {share:.1%}" for what, share in shares.items())
        parts.append(f"\nOurs on {spans['planted']} planted loops: {listed}")
    parts.append(f"Ours on bare token ids: the same verdict {tokens['same_verdict_on_ids']:.1%}, F1 {tokens['f1']:.3f}")
    if tokens["same_verdict_with_vocabulary"] is not None:
        parts.append(f"Ours on token ids with their vocabulary: {tokens['same_verdict_with_vocabulary']:.1%}")
    if show_errors:
        parts += [f"{side}: {categories}" for side, categories in result["errors"].items()]
    return "\n".join(parts)


def main() -> None:
    """Measure every set, print the tables, keep the raw figures."""
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    from loopguard.loops.detector import Detector

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labelled", nargs="*", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the generated corpus")
    parser.add_argument("--fold", choices=["dev", "test"], help="only the template families of one half")
    parser.add_argument("--errors", action="store_true", help="print what ours got wrong, by category")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    sets = {path.stem: read_labelled(path) for path in asked.labelled} or default_sets(asked.seed)
    detector, (token_name, encode) = Detector(), tokenizer()
    print(f"token ids: {token_name}; detector: {detector.signature}")
    results = {}
    for name, rows in sets.items():
        kept = [row for row in rows if asked.fold in (None, fold(row["category"]))]
        results[name] = measure(kept, detector, encode)
        print(report(name, results[name], show_errors=asked.errors), flush=True)
    if asked.json:
        head = {**environment(), "tokenizer": token_name, "detector": detector.signature, "seed": asked.seed}
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps({**head, "fold": asked.fold, "sets": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
