"""benchmarks/results/detector-accuracy.json -> the published loop rules beside ours, as Markdown tables."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from docs.generate.figures import ROOT, result, table

READING = ROOT / "benchmarks" / "detector" / "reading.jsonl"

RULES = {
    "loopguard": "loopguard",
    "trl(3)>.5": "TRL n-gram fraction (n=3) > 0.5",
    "trl(3)>.3": "TRL n-gram fraction (n=3) > 0.3",
    "zlib>4": "zlib ratio > 4",
    "antidoom": "Antidoom",
    "gemini-cli": "Gemini CLI, as quoted",
    "gemini-cli(2026)": "Gemini CLI, 2026",
    "vllm(128,1,8)": "vLLM repetition_detection (128,1,8)",
    "vllm(64,4,4)": "vLLM repetition_detection (64,4,4)",
    "ngram(30,20)": "30-gram 20 times",
    "open-r1(3)>.5": "open-r1 n-gram fraction (n=3) > 0.5",
    "open-r1(3)>.3": "open-r1 n-gram fraction (n=3) > 0.3",
    "zlib>2.4": "Whisper: zlib ratio > 2.4",
    "gopher": "Gopher filter (datatrove)",
    "slime": "slime: zlib ratio of the last 10,000 characters > 10",
}
"""The names in the raw result, and what a reader calls the rule."""

SETS = {"loops_dev": "labelled outputs", "generated": "generated"}


def accuracy(names: Sequence[str] | None = None) -> str:
    """F1 (precision / recall) of each rule on both sets, best on the labelled outputs first."""
    found = {
        label: {one["rule"]: one for one in result("detector-accuracy")["sets"][key]["rules"]}
        for key, label in SETS.items()
    }
    assert set(found["generated"]) == set(RULES), "a rule of the raw result has no name here"
    shown = sorted(names or RULES, key=lambda name: -found["labelled outputs"][name]["f1"])
    rows = [(RULES[name], *(_f1(rules[name]) for rules in found.values())) for name in shown]
    return table(rows, ("rule", *found))


def _f1(one: dict[str, float]) -> str:
    return f"{one['f1']:.3f} ({one['precision']:.2f} / {one['recall']:.2f})"


def by_kind() -> str:
    """Recall of each rule by kind of loop on the generated texts, and false-positive rates on all three sets."""
    sets = result("detector-accuracy")["sets"]
    kinds = ("verbatim", "counter", "near", "recovered")
    rates = {key: {one["rule"]: one["false_positive_rate"] for one in found["rules"]} for key, found in sets.items()}
    rows = [
        (
            RULES[one["rule"]],
            *(f"{one['recall_by_kind'][kind]:.2f}" for kind in kinds),
            *(f"{rates[key][one['rule']]:.1%}" for key in ("loops_dev", "generated", "installed")),
        )
        for one in sorted(sets["generated"]["rules"], key=lambda one: -one["f1"])
    ]
    return table(rows, ("rule", *kinds, "flagged: labelled", "flagged: generated", "flagged: files"))


def sizes() -> str:
    """What the sets hold, in a sentence for each."""
    sets = result("detector-accuracy")["sets"]
    return "\n".join(
        f"- **{name}**: {sets[key]['texts']:,} texts, {sets[key]['loops']:,} of them loops, {sets[key]['megabytes']:.1f} MB; {what}"
        for key, name, what in (
            (
                "loops_dev",
                "labelled outputs",
                "real outputs, enriched for loops and look-alikes, labelled by one reader",
            ),
            ("generated", "generated", "loops planted by code, whose truth is known to the character, and look-alikes"),
            ("installed", "files", "files of a Python installation: code, markup, data"),
        )
    )


def sizes_in_short() -> str:
    """The two sets of the README's table in one sentence."""
    labelled, made = (result("detector-accuracy")["sets"][key] for key in SETS)
    return (
        f"Labelled outputs: {labelled['texts']} real ones, enriched for loops and look-alikes, labelled by reading. Generated:"
        f" {made['loops']} planted loops among {made['texts'] - made['loops']} look-alikes."
    )


def intervals() -> str:
    """Our own figures with their intervals, spans and token ids."""
    accuracy = result("detector-accuracy")
    sets, tokenizer = accuracy["sets"], accuracy["tokenizer"]
    spans = sets["generated"]["spans"]
    lines = []
    for key, name in SETS.items():
        ours = sets[key]["rules"][0]
        assert ours["rule"] == "loopguard"
        lines.append(f"- {name}: F1 {ours['f1']:.3f}, 95 % interval {ours['f1_low']:.3f} to {ours['f1_high']:.3f}")
    for key, name in SETS.items():
        ids = sets[key]["tokens"]
        lines.append(
            f"- {name}, token ids without their bytes: the same verdict for {ids['same_verdict_on_ids']:.1%}, F1"
            f" {ids['f1']:.3f} (precision {ids['precision']:.2f}, recall {ids['recall']:.2f}); with their bytes"
            f" ({tokenizer}): {ids['same_verdict_with_vocabulary']:.1%}"
        )
    real = result("detector-ids")
    bare, known = (f"{real[same] / real['outputs']:.2%}" for same in ("same", "same_with_vocabulary"))
    lines.append(
        f"- All {real['outputs']:,} outputs, of which {real['flagged']} are flagged: token ids without their bytes give the same"
        f" verdict for {bare}, with their bytes for {known}"
    )
    fit = result("detector-fit")
    folds = next(name for name in fit if name.endswith("folds"))
    lines.append(
        f"- {folds}, each judged by thresholds that were chosen without it: F1 {fit[folds]['f1']:.3f} (precision"
        f" {fit[folds]['precision']:.2f}, recall {fit[folds]['recall']:.2f}); the thresholds were first set by reading outputs of"
        " the same collection, so this too flatters"
    )
    lines.append(
        "- spans of planted loops: "
        + ", ".join(_span(name, value) for name, value in spans.items() if name != "planted")
    )
    return "\n".join(lines)


def readings() -> str:
    """What a reader found of outputs flagged and nearly flagged, counted from the log of the reading."""
    log = [json.loads(line) for line in READING.read_text(encoding="utf-8").splitlines()]
    found = Counter((line["set"], line["label"]) for line in log)
    missed = Counter(line["note"].partition(":")[0] for line in log if line["label"] == "missed")
    return "\n".join(
        (
            f"- of {_read(log, 'flagged')} outputs drawn from those flagged {found['flagged', 'right']} are loops,"
            f" {found['flagged', 'doubtful']} doubtful, {found['flagged', 'wrong'] or 'none'} plainly wrong;",
            f"- of the {_read(log, 'nearly')} most nearly flagged {found['nearly', 'missed']} are loops that it misses:"
            f" {', '.join(f'{count} {kind}' for kind, count in missed.most_common())}.",
        )
    )


def first_look() -> str:
    """What the first look passes over, of each set that it was tried on."""
    lines = [
        [
            name,
            f"{one['texts']:,}",
            f"{one['loops']:,}",
            f"{one['examined']:.1%} ({one['examined_by_size']:.1%} of the bytes)",
            str(one["different"]),
            str(one["loops_passed_over_at_twice_the_score"]),
            f"{one['quicker_by']:.1f}x",
        ]
        for name, one in result("detector-glance")["sets"].items()
    ]
    head = ("set", "texts", "loops", "examined in full", "other verdict", "at a score twice as high", "quicker by")
    return table(lines, head)


def _read(log: Sequence[dict[str, Any]], name: str) -> int:
    return sum(line["set"] == name for line in log)


def _span(name: str, value: Any) -> str:
    assert not math.isnan(value)
    return f"{_SPANS[name]} {value:.1%}"


_SPANS = {
    "found": "found",
    "onset_within_one_period": "onset within one period",
    "period_exact_verbatim": "period of a verbatim one exact",
    "kind": "kind right",
    "terminal": "terminal or recovered right",
}
