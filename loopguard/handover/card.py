"""The dataset card of a run: what is known of it and nothing else, as Markdown with the Hub's YAML at its head.

Model text, model names and file names in it are untrusted: markdown.py keeps them in their places. Addresses of servers and
folders of this machine are left out. Equal runs give equal cards: no date, no duration.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from loopguard.counted import counted
from loopguard.handover.card_figures import judging, lengths, loop_rates, sample, without
from loopguard.handover.card_yaml import configs, metadata, splits
from loopguard.handover.markdown import code, table
from loopguard.handover.pair_figures import COVERED, SPARE, PairFigures, ScoreFigures
from loopguard.handover.parquet_files import DataFile
from loopguard.prefs.recipe import Recipe

_ENGINES = {
    "embedded": "llama.cpp in the process",
    "openai": "an OpenAI-compatible server",
    "scripted": "given answers, replayed",
    "vllm": "vLLM",
}
_HOLDS = {
    "preferences": "the pairs: `prompt`, `chosen`, `rejected` as message lists, and flat metadata",
    "candidates": "every candidate: text, finish_reason, verdict, score, what became of it",
    "skipped": "every prompt without a pair, and every row without a prompt, with the reason",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """Which licence a dataset carries, and who says so."""

    name: str | Sequence[str]
    said_by: Literal["option", "prompts", "nobody"]


UNKNOWN = Licence(name="unknown", said_by="nobody")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a card is made of."""

    repo: str
    summary: Mapping[str, Any]
    recipe: Recipe
    files: Sequence[DataFile]
    pairs: PairFigures
    scores: ScoreFigures | None
    licence: Licence
    test_share: float


def card(facts: Facts) -> str:
    """README.md of the dataset."""
    source = hub_dataset(facts.summary["prompts_from"])
    head = metadata(facts.files, licence=facts.licence.name, source=source)
    return f"---\n{head}---\n\n" + "\n\n".join(_body(facts)) + "\n"


def public_name(name: str) -> str:
    """A name without the folders of this machine: /home/me/model -> model; user/model and hf:user/data stay."""
    if re.match(r"[/~.\\]|[A-Za-z]:[/\\]", name):
        return re.split(r"[/\\]", name.rstrip("/\\"))[-1] or name
    return name


def prompts_name(name: str) -> str:
    """Where the prompts come from: a dataset on the Hub as it is, a file without its folder."""
    return name if name.startswith("hf:") else re.split(r"[/\\]", name.rstrip("/\\"))[-1] or name


def hub_dataset(prompts_from: str) -> str | None:
    """The user/dataset of prompts that came from the Hub."""
    path = prompts_from.removeprefix("hf:").partition(":")[0]
    return "/".join(path.split("/")[:2]) if prompts_from.startswith("hf:") else None


def _body(facts: Facts) -> Iterator[str]:
    summary, pairs = facts.summary, facts.summary["pairs"]
    yield f"# {facts.repo.partition('/')[2]}"
    yield (
        f"{counted(pairs['total'], 'preference pair')} for DPO and its kin, made by loopguard"
        f" {summary['versions']['loopguard']} (`pip install loopguard-prefs`) from"
        f" {counted(summary['prompts']['total'], 'prompt')}: in {pairs['loop']:,} the rejected answer is a doom loop (it repeats"
        f" itself), in {pairs['score']:,} the one that a judge scored lower."
    )
    if missing := _unfinished(summary):
        yield missing
    yield _contents(facts)
    yield f"## Load it and train\n\n{_code_to_train(facts)}"
    yield f"## How it was made\n\n{table(('', ''), _made(facts), texts=2)}"
    yield f"## How often it loops\n\n{loop_rates(summary)}"
    yield f"## Lengths\n\n{lengths(facts.pairs)}"
    if summary["judge"]:
        yield f"## The judge\n\n{judging(summary, facts.pairs, facts.scores)}"
    if facts.summary["prompts"]["total"] > summary["prompts"]["with_pairs"] or summary["prompts"]["broken_rows"]:
        yield f"## Without a pair\n\n{without(summary)}"
    yield f"## A pair\n\n{sample(facts.pairs.sample)}"
    yield f"## Licence, and what to look at before use\n\n{_licence(facts)}"


def _unfinished(summary: Mapping[str, Any]) -> str:
    prompts = summary["prompts"]
    if not (prompts["failed"] or prompts["missing"]):
        return ""
    return (
        f"**The run was not finished:** {counted(prompts['missing'], 'prompt')} were not asked,"
        f" {counted(prompts['failed'], 'prompt')} failed. The figures below are of what was done."
    )


def _contents(facts: Facts) -> str:
    head = ("config", *(name for name in ("train", "test") if any(f.split == name for f in facts.files)))
    rows = []
    for name in configs(facts.files):
        parts = splits(name, facts.files)
        counts = [f"{sum(file.rows for file in parts.get(split, [])):,}" for split in head[1:]]
        rows.append((f"`{name}`: {_HOLDS[name]}", *counts))
    told = table(head, rows)
    if facts.test_share:
        told += (
            f"\n\nThe test split has a share of {facts.test_share:g} of the prompts, by a hash of `prompt_id`: all rows of one"
            " prompt are in the same split of every config."
        )
    if "skipped" not in configs(facts.files):
        told += "\n\nNo prompt was left without a pair, so there is no config `skipped`."
    return told


def _code_to_train(facts: Facts) -> str:
    length = facts.pairs.max_length
    estimated = "places in a text" + (", and prompts," if facts.pairs.prompts_estimated else "")
    estimated += " are estimated from characters"
    test = any(file.split == "test" for file in facts.files)
    lines = [
        "from datasets import load_dataset",
        "from trl import DPOConfig, DPOTrainer",
        "",
        f'pairs = load_dataset("{facts.repo}")',
        f'candidates = load_dataset("{facts.repo}", "candidates", split="train")',
        "",
        "trainer = DPOTrainer(",
        '    model="...",  # the model that the candidates were drawn from',
        f'    args=DPOConfig(output_dir="out", max_length={length}),',
        '    train_dataset=pairs["train"],',
        *(['    eval_dataset=pairs["test"],'] if test else []),
        ")",
        "trainer.train()",
    ]
    shares = [(f"{size:,}", f"{share:.1%}") for size, share in facts.pairs.within.items()]
    told = (
        f"**max_length = {length}** or more holds {COVERED:.0%} of the pairs: prompt and chosen whole, and of rejected all, or"
        f" where it loops at least up to the end of the loop's second copy, and {SPARE} tokens for the chat template. The tokens"
        f" are those that the sampling engine counted; {estimated}. Another tokenizer gives other lengths."
    )
    return "```python\n" + "\n".join(lines) + f"\n```\n\n{told}\n\n{table(('max_length', 'pairs held so'), shares)}"


def _made(facts: Facts) -> Iterator[tuple[str, str]]:
    summary, recipe = facts.summary, facts.recipe
    sampling, pairing = recipe.sampling, recipe.pairing
    yield "recipe", code(public_name(recipe.name))
    yield "prompts", code(prompts_name(summary["prompts_from"]))
    yield "model", f"{code(public_name(summary['engine']['model']))}, {_engine(summary['engine']['engine'])}"
    heat = " and ".join(f"{value:g}" for value in dict.fromkeys(sampling.temperatures()))
    drawn = [f"{sampling.samples} at temperature {heat}, top_p {sampling.top_p:g}"] if sampling.samples else []
    drawn += ["1 greedy"] if sampling.greedy else []
    yield (
        "candidates a prompt",
        f"{' and '.join(drawn)}, at most {sampling.max_tokens:,} tokens each, seed {sampling.seed}",
    )
    if judged := summary["judged_by"]:
        yield (
            "judge",
            f"{code(judged['spec'])} by {code(public_name(judged['model']))}, {_engine(judged['engine'])}",
        )
    else:
        yield "judge", "none: pairs by loop only"
    yield "detector", code(summary["detector"])
    trim = f"cut after {pairing.trim_loops} copies" if pairing.trim_loops else "kept whole"
    yield (
        "pairs",
        f"at most {pairing.max_pairs_per_prompt} a prompt; margin at least {pairing.min_margin:g} where nothing loops;"
        f" rejected loops {trim}",
    )
    yield "versions", ", ".join(f"{name} {version}" for name, version in summary["versions"].items())


def _engine(spec: str) -> str:
    """What an engine is; never its address or path."""
    return _ENGINES.get(spec.partition(":")[0], "another engine")


def _licence(facts: Facts) -> str:
    summary, licence = facts.summary, facts.licence
    name = ", ".join(code(one) for one in ([licence.name] if isinstance(licence.name, str) else licence.name))
    source = hub_dataset(summary["prompts_from"])
    model = code(public_name(summary["engine"]["model"]))
    said = {
        "option": f"{name}, as given by who pushed it.",
        "prompts": f"{name}: that of the prompts' dataset {code(source or '')}, as the Hub tells it.",
        "nobody": f"{name}: nobody has said under which licence this dataset stands.",
    }[licence.said_by]
    look = [
        f"the licence of the prompts ({code(prompts_name(summary['prompts_from']))})",
        f"the terms of {model} for what it writes, and for training on it",
    ]
    if judged := summary["judged_by"]:
        look.append(f"the terms of the judge, {code(public_name(judged['model']))}")
    checks = "\n".join(f"- {one}" for one in look)
    return (
        f"Licence: {said} To look at before you publish it or train on it:\n\n{checks}\n\n"
        "All answers were written by a model; loopguard filtered nothing by content and removed no personal data. Loops were found"
        " by rule: restatement in other words is not seen. Pushing the run again replaces this card."
    )
