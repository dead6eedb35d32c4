"""The page of two runs of the same prompts: before and after, side by side, and the prompts that changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from loopguard.look import browser, selection
from loopguard.look.browser import Item, Packed
from loopguard.look.compare import AFTER, BEFORE, PROMPTS, Comparison, compare
from loopguard.look.compare_by import by_itself, panel
from loopguard.look.compare_panels import panels as of_both
from loopguard.look.excerpts import messages_of
from loopguard.look.headline import Tile, about
from loopguard.look.page import Section, cards, render, selected
from loopguard.look.sentences import percent
from loopguard.look.subject import Subject


def compared(before: Subject, after: Subject, by: Sequence[str] = ()) -> str:
    """The page. Raises InputError where the two have no prompt in common."""
    found = compare(before, after)
    sections = [Section(name="change", title="Before and after", cards=cards(of_both(found)))]
    groups = list(dict.fromkeys([*by, *by_itself(found)]))
    if groups:
        shown = [panel(found, name) for name in groups]
        sections.append(Section(name="loops", title="Loop rates by group", cards=cards(shown)))
    packed = pack(found, groups)
    return render(
        title=" → ".join(names(found)),
        kind="comparison",
        tiles=tiles(found),
        notes=found.notes,
        sections=sections,
        packed=packed,
        selected=selected(packed, "prompts"),
        about=_about(found),
    )


def _about(found: Comparison) -> list[tuple[str, str]]:
    sides = (("before", found.before), ("after", found.after))
    return [(f"{side}: {name}", value) for side, subject in sides for name, value in about(subject)]


def tiles(found: Comparison) -> list[Tile]:
    """The headline: each rate before and after, its change."""
    shown = []
    for row in found.differences.to_dicts():
        moved = f"{100 * row['difference']:+.1f} points ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
        what = row["group"] if row["group"] == PROMPTS else f"{row['group']}: share that loops"
        shown.append(Tile(what, f"{percent(row['before'])} → {percent(row['after'])}", moved, "loop"))
    return [*shown, Tile("prompts compared", f"{found.changed.height:,}", "answered by both")]


def pack(found: Comparison, groups: Sequence[str] = (), *, budget: int = browser.BUDGET) -> Packed:
    """The browser of a comparison: every prompt with both sides' outputs; `groups` are columns of the prompts file to filter by."""
    chosen = selection.ranked(_items(found), ["change"])
    theirs = browser.of_the_prompts(found.after, groups) | browser.of_the_prompts(found.before, groups)
    head = {
        "unit": found.before.unit,
        "sides": [f"{when}: {name}" for when, name in zip((BEFORE, AFTER), names(found), strict=True)],
        "labels": [],
        "about": browser.shown_names(theirs),
        "source": found.before.source,
        "compare": True,
    }
    return browser.packed(head, _filled(found, chosen, theirs), chosen, found.changed.height, budget=budget)


def names(found: Comparison) -> tuple[str, str]:
    """What the two are called: their folders, or whole paths where these are alike."""
    before, after = found.before, found.after
    return (before.name, after.name) if before.name != after.name else (str(before.path), str(after.path))


def _items(found: Comparison) -> pl.DataFrame:
    """One row a prompt: key, change, kind, waste of both sides, margin = how far the share of looping outputs moved."""
    both = pl.concat(
        [subject.outputs.select("prompt_id", "loop_kind", "wasted") for subject in (found.before, found.after)]
    )
    worst = both.sort("wasted", descending=True, nulls_last=True, maintain_order=True).group_by(
        "prompt_id", maintain_order=True
    )
    wasted = worst.agg(kind=pl.col("loop_kind").first().fill_null(""), waste=pl.col("wasted").sum().cast(pl.Float64))
    items = found.changed.join(wasted, on="prompt_id", how="left", maintain_order="left")
    moved = (pl.col("after") - pl.col("before")).abs()
    return items.select(
        key="prompt_id", reason="change", change="change", kind=pl.col("kind").fill_null(""), waste=pl.col("waste").fill_null(0.0),
        margin=moved.cast(pl.Float64),
    )  # fmt: skip


def _filled(found: Comparison, chosen: pl.DataFrame, theirs: dict[str, str]) -> Iterator[Item]:
    wanted = chosen["key"]
    sides = [browser.outputs_of(subject, "prompt_id", wanted, ()) for subject in (found.before, found.after)]
    prompts: dict[str, Any] = browser.prompts_of(found.before, wanted.to_list())
    about = browser.about_prompts(found.after, wanted, theirs) | browser.about_prompts(found.before, wanted, theirs)
    for one in chosen.iter_rows(named=True):
        outputs = [side.get(one["key"], []) for side in sides]
        own = [output.pop("prompt", []) for side in outputs for output in side]
        prompt = messages_of(prompts.get(one["key"])) or next(iter(own), [])
        yield browser.item(one, prompt, outputs) | {"change": one["change"], "about": about.get(one["key"], {})}
