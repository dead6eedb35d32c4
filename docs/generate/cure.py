"""benchmarks/results/cure*.json -> the figures of the cure: docs/cure.md and one sentence of the README."""

from __future__ import annotations

from typing import Any

from docs.generate import figures


def in_short(name: str = "cure") -> str:
    """The one sentence."""
    results = figures.result(name)
    before, after = results["before"], results["after"]
    told = [
        f"{decoding} answers that loop {before[decoding]['rate']:.1%} -> {after[decoding]['rate']:.1%}"
        for decoding in ("greedy", "sampled")
    ]
    return (
        f"The cure, run on SmolLM2-135M ({trained_on(results)}), {results['prompts']['held aside']} prompts held aside: "
        f"{', '.join(told)}. Intervals, paired tests, harm: docs/cure.md."
    )


def trained_on(results: dict[str, Any]) -> str:
    """How many pairs, in how many steps."""
    steps, batch = len(results["log"]), results["training"]["batch"]
    return f"{min(steps * batch, results['pairs'])} pairs, {steps} steps"


def training(name: str) -> str:
    """What a result was made with."""
    results = figures.result(name)
    how, log = results["training"], results["log"]
    last = [entry["rewards/margins"] for entry in log[-5:]]
    versions = results["environment"]["versions"]
    return (
        f"{trained_on(results)} of {how['batch']}, learning rate {how['learning_rate']:g}, beta {how['beta']:g}, "
        f"sft_weight {how['sft_weight']:g}, max_length {how['max_length']}, loops trimmed to {results['trim_loops']} copies, "
        f"{'with' if how['eos_on_truncated'] else 'without'} an end-of-sequence token on cut rejected texts, seed {how['seed']}. "
        f"Answers of at most {results['max_tokens']} tokens, sampled by {results['sampler']}. "
        f"Loss {log[0]['loss']:.3f} at the first step, {sum(e['loss'] for e in log[-5:]) / 5:.3f} over the last five; "
        f"reward margin over the last five {sum(last) / len(last):.2f}. "
        f"TRL {versions['trl']}, transformers {versions['transformers']}, torch {versions['torch']}."
    )


def table(name: str) -> str:
    """One line a figure: before, after, what changed on the same prompts."""
    results = figures.result(name)
    before, after, paired = results["before"], results["after"], results["paired"]
    rows = [("", "before", "after", "on the same prompts")]
    rows.append(("greedy answers that loop", *_rates(before["greedy"], after["greedy"]), _mcnemar(paired["greedy"])))
    rows.append(("sampled answers that loop", *_rates(before["sampled"], after["sampled"]), _change(paired["sampled"])))
    rows.append(("answers that ended by themselves", *_rates(before["ended"], after["ended"]), ""))
    tokens = (f"{side['median_tokens_clean']:.0f}" for side in (before, after))
    rows.append(("median tokens of an answer without a loop", *tokens, ""))
    words = (f"{side['distinct_words_clean']:.3f}" for side in (before, after))
    rows.append(("share of different words among its first 100", *words, ""))
    if clean := results["clean"]:
        rights = _rates(clean["before"]["right"], clean["after"]["right"])
        rows.append(("easy questions answered right, greedy", *rights, _mcnemar(clean["paired"])))
    if ordinary := results["ordinary text"]:
        texts = (f"{ordinary[side]['perplexity']:.2f}" for side in ("before", "after"))
        rows.append((f"perplexity on {ordinary['before']['texts']} ordinary texts", *texts, ""))
    return figures.table(rows[1:], rows[0])


def _rates(*sides: dict[str, Any]) -> tuple[str, ...]:
    def shown(one: dict[str, Any]) -> str:
        count = one.get("looping", one.get("count"))
        return f"{one['rate']:.1%} ({count} of {one['total']}; {one['low']:.1%} to {one['high']:.1%})"

    return tuple(map(shown, sides))


def _mcnemar(one: dict[str, Any]) -> str:
    return f"{one['only_before']} before only, {one['only_after']} after only; McNemar p = {one['p']:.2g}"


def _change(one: dict[str, Any]) -> str:
    points = [f"{100 * one[name]:+.1f}" for name in ("change", "low", "high")]
    return f"{points[0]} points ({points[1]} to {points[2]}; bootstrap over prompts)"


_SETTINGS = {
    "sft_weight": lambda value: f"likelihood term {value:g}" if value else "no likelihood term",
    "trim_loops": lambda value: f"loops trimmed to {value} copies" if value else "loops left whole",
    "eos_on_truncated": lambda value: f"{'an' if value else 'no'} end of sequence on cut rejected texts",
}


def trials(name: str) -> str:
    """One line a training on the same pairs: what it did otherwise, what came of it, and whether that is more than chance."""
    results = figures.result(name)
    held = "against the first"
    rows = [("training", "greedy answers that loop", held, "sampled ones", held, "right", "perplexity", "tokens")]
    before, clean = results["before"], results["clean before"]
    texts = next(iter(results["trials"].values()))["ordinary text"]
    rows.append(("none", *_row(before, clean, texts and texts["before"], None)))
    for number, trial in enumerate(results["trials"].values()):
        told = [_SETTINGS.get(key, lambda v, key=key: f"{key} {v:g}")(value) for key, value in trial["differs"].items()]
        ordinary = trial["ordinary text"]
        row = _row(
            trial["after"],
            trial["clean"] and trial["clean"]["after"],
            ordinary and ordinary["after"],
            trial[held] if number else None,
        )
        rows.append((", ".join(told) or "as above", *row))
    return figures.table(rows[1:], rows[0])


def _row(side: dict[str, Any], clean: Any, ordinary: Any, held: dict[str, Any] | None) -> tuple[str, ...]:
    (greedy,), (sampled,) = _rates(side["greedy"]), _rates(side["sampled"])
    right = f"{clean['right']['count']} of {clean['right']['total']}" if clean else ""
    perplexity = f"{ordinary['perplexity']:.2f}" if ordinary else ""
    return (
        greedy,
        _mcnemar(held["greedy"]).replace("before only", "there only").replace("after only", "here only")
        if held
        else "",
        sampled,
        _change(held["sampled"]) if held else "",
        right,
        perplexity,
        f"{side['median_tokens']:.0f}",
    )


def again(*names: str) -> str:
    """One line a time that the whole circle was gone, sampling included."""
    rows = [("raw result", "pairs", "greedy answers that loop", "sampled ones", "right", "perplexity")]
    for name in names:
        results = figures.result(name)
        before, after, clean, texts = (results[key] for key in ("before", "after", "clean", "ordinary text"))
        rates = [f"{before[one]['rate']:.1%} -> {after[one]['rate']:.1%}" for one in ("greedy", "sampled")]
        right = f"{clean['before']['right']['count']} -> {clean['after']['right']['count']} of {clean['after']['right']['total']}"
        perplexity = f"{texts['before']['perplexity']:.2f} -> {texts['after']['perplexity']:.2f}"
        rows.append((f"`{name}.json`", f"{results['pairs']}", *rates, right, perplexity))
    return figures.table(rows[1:], rows[0])
