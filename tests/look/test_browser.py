"""What can be read in the page: pieces of a text that say the whole, which prompts, and within which size."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.look import selection
from loopguard.look.browser import Packed, pack
from loopguard.look.excerpts import COPY, LOOP, excerpt, messages_of
from loopguard.look.page import report, selected
from loopguard.look.subject import open_subject
from loopguard.visible import visible
from tests.look.many import write_many
from tests.look.subjects import small, write_run


def opened(packed: Packed) -> dict[str, Any]:
    return dict(json.loads(gzip.decompress(base64.b64decode(packed.base64))))


def length(segments: list[list[Any]]) -> int:
    """Characters that the pieces stand for, those left out included; of texts without control characters."""
    total = 0
    for piece in segments:
        if piece[0] == "t":
            total += len(piece[1])
        elif piece[0] == "g":
            total += piece[1]
        else:
            total += sum(map(whole, piece[2])) + piece[4]
    return total


def whole(copy: str) -> int:
    """Characters that a copy stands for."""
    if not copy.endswith(" more]"):
        return len(copy)
    text, _, note = copy.rpartition(" [… ")
    return len(text) + int(note.removesuffix(" more]").replace(",", ""))


@settings(deadline=None)
@given(
    st.integers(0, 5_000),
    st.integers(1, 2_000),
    st.integers(2, 60),
    st.integers(0, 3_000),
    st.sampled_from(["verbatim", "near"]),
)
def test_nothing_is_lost_unsaid(head: int, period: int, copies: int, tail: int, kind: str) -> None:
    """The pieces, with what they say is left out, are as long as the text; and short."""
    text = "h" * head + ("c" * (period - 1) + "|") * copies + "t" * tail
    loop = {"kind": kind, "start": head, "end": head + period * copies, "period": period, "repeats": copies}
    found = excerpt(text, loop)
    assert length(found) == len(text)
    kept = sum(
        len(piece[1]) if piece[0] == "t" else sum(map(len, piece[2])) if piece[0] == "l" else 0 for piece in found
    )
    assert kept <= 2_000 + LOOP + 2 * COPY + 200
    (marked,) = [piece for piece in found if piece[0] == "l"]
    assert marked[3] == copies
    assert len(marked[2]) >= 2


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=200))
def test_a_short_text_without_a_loop_is_whole(text: str) -> None:
    assert "".join(piece[1] for piece in excerpt(text, None)) == visible(text)


@pytest.mark.parametrize("loop", [{"start": 5, "end": 3}, {"start": -2, "end": 900}, {"start": None, "end": None}])
def test_places_outside_the_text(loop: dict[str, Any]) -> None:
    found = excerpt("abcdef", {"kind": "verbatim", "period": 2, "repeats": 2.0} | loop)
    assert length(found) == 6


def test_prompts_of_any_shape() -> None:
    assert messages_of("Hi") == [["user", [["t", "Hi"]]]]
    assert messages_of([{"role": "system", "content": "Be."}, {"from": "human", "value": "Hi"}]) == [
        ["system", [["t", "Be."]]],
        ["human", [["t", "Hi"]]],
    ]
    assert messages_of(None) == []
    assert messages_of([{"role": "user", "content": None}]) == [["user", []]]
    assert messages_of([{"role": "user", "content": "x"}] * 40)[-1] == ["", [["g", 10, "messages"]]]


def test_a_small_run_is_all_there(tmp_path: Path) -> None:
    packed = pack(open_subject(write_run(tmp_path / "run", small())))
    assert (packed.shown, packed.total) == (3, 3)
    found = opened(packed)
    assert found["head"] == {"unit": "tokens", "sides": ["run"], "labels": [], "about": [], "source": "run"}
    one = next(item for item in found["items"] if item["row"] == 1)
    assert one["prompt"] == [["user", [["t", "One?"]]]]
    assert (one["reason"], one["kind"]) == ("loop", "verbatim")
    (outputs,) = one["sides"]
    assert [output.get("used") for output in outputs] == ["rejected", "chosen", None]
    assert outputs[0]["body"] == [["t", "So: "], ["l", "verbatim", ["go on. "] * 30, 30.0, 0]]
    assert outputs[1]["score"] == 4.0
    assert selected(packed, "prompts") == "All 3 prompts are here."


def test_a_budget_keeps_the_most_wasteful_of_each_kind_and_some_at_random(tmp_path: Path) -> None:
    subject = open_subject(write_many(tmp_path / "run", 400))
    everything, part = pack(subject), pack(subject, budget=200_000)
    assert everything.shown == 400
    assert 40 <= part.shown < 300
    assert 200_000 <= len(part.base64) < 270_000
    shown = {item["key"] for item in opened(part)["items"]}
    ranked = selection.selection(subject)
    for _, rows in ranked.group_by("reason", "kind"):
        assert rows.sort("waste", "margin", descending=True)["key"][0] in shown
    assert 0.3 < part.random / part.shown < 0.7
    wasteful, random = part.shown - part.random, part.random
    assert selected(part, "prompts").startswith(f"Shown: {part.shown} of 400 prompts: {wasteful} that waste most")
    assert f"a random sample of {random}." in selected(part, "prompts")


def test_the_selection_does_not_hang_on_the_order_of_the_file() -> None:
    items = pl.DataFrame(
        {
            "key": [f"k{n}" for n in range(50)],
            "reason": "loop",
            "kind": ["verbatim", "near"] * 25,
            "waste": [float(n % 7) for n in range(50)],
        }
    ).with_columns(margin=pl.lit(0.0))
    first = selection.ranked(items, ["reason", "kind"])["key"].to_list()
    again = selection.ranked(items.sort("key"), ["reason", "kind"])["key"].to_list()
    assert sorted(first) == sorted(again)
    assert set(first[:2]) & set(again[:2])


@pytest.mark.slow
def test_ten_thousand_prompts_are_below_five_megabytes(tmp_path: Path) -> None:
    run = write_many(tmp_path / "run", 10_000)
    path = report(run, out=tmp_path / "report.html")
    assert 1_000_000 < path.stat().st_size < 5_000_000
