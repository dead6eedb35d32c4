"""Streaming: after every piece the verdict is that of the batch on the same prefix."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.errors import InputError
from loopguard.loops.detector import Detector
from loopguard.loops.stream import StreamDetector, watch

DETECTOR = Detector(
    min_wasted=30, short_min_wasted=30, open_wasted=20, open_letters=10, stretch_score=40, open_score=20, list_again=2,
    list_distinct=2, round_score=15, counted_letters=20,
    sentence_again=2, sentence_distinct=2, open_counted_letters=10, counted_copies=3, open_counted_copies=2,
)  # fmt: skip
WORDS = [
    "wait",
    "no",
    "so",
    "the answer",
    "is",
    "42",
    "7",
    ".",
    ",",
    "\n",
    " ",
    "  ",
    "é",
    "你",
    "🙂",
    "x",
    "=",
    "1",
    "\n\n",
]
pieces = st.lists(st.sampled_from(WORDS).map(lambda w: w + " "), max_size=120)
looping = st.tuples(pieces, pieces, st.integers(1, 6)).map(lambda parts: parts[0] + parts[1] * parts[2])
items = st.lists(st.sampled_from(["- Gang\n", "- Posse\n", "- Crew\n", "\n", "Then\n", "* Club\n"]), max_size=40)
said = st.lists(
    st.sampled_from(["So the plan is late. ", "Wait, it is not late!\n", "wait, so the plan is late. "]), max_size=20
)
turns = st.tuples(st.sampled_from(["Add the sugar", "so it is"]), st.integers(1, 9)).map(
    lambda turn: [f"{k}. {turn[0]}\n" for k in range(turn[1])]
)


@given(
    looping | items | said | st.tuples(pieces, turns, items).map(lambda parts: [*parts[0], *parts[1], *parts[2]]),
    st.integers(1, 5),
)
@settings(max_examples=150, deadline=None)
def test_every_prefix_has_the_batch_verdict(words: list[str], size: int) -> None:
    stream, fed = StreamDetector(DETECTOR), ""
    for i in range(0, len(words), size):
        piece = "".join(words[i : i + size])
        fed += piece
        found, expected = stream.feed(piece), DETECTOR.detect(fed)
        assert found == (expected if expected.looping else None)
        assert stream.verdict == expected


@given(st.lists(st.integers(0, 3), max_size=150), st.integers(1, 7))
@settings(max_examples=100, deadline=None)
def test_every_prefix_of_ids_too(ids: list[int], size: int) -> None:
    stream = StreamDetector(DETECTOR)
    for i in range(0, len(ids), size):
        stream.feed(ids[i : i + size])
        assert stream.verdict == DETECTOR.detect(ids[: i + size])


def test_bytes_cut_anywhere() -> None:
    data = ("Снова и снова 🙂 " * 40).encode()
    stream = StreamDetector()
    for i in range(0, len(data), 3):
        stream.feed(data[i : i + 3])
        assert stream.verdict == Detector().detect(data[: i + 3])


def test_past_the_window() -> None:
    """Longer than two generations of the tables, and than every table on the way."""
    rng = random.Random(5)
    fruits = [" apples", " pears", ""]
    text = " ".join(str(rng.randint(0, 99_999)) + rng.choice(fruits) for _ in range(14_000)) + " over and over" * 60
    stream, cut = StreamDetector(), 0
    while cut < len(text):
        size = rng.choice([1, 100, 5000])
        stream.feed(text[cut : cut + size])
        cut += size
    assert stream.verdict == Detector().detect(text)
    assert stream.verdict.reason == "repeats_verbatim"


def test_bounded_memory() -> None:
    rng = random.Random(6)
    stream = StreamDetector(remember=40_000)
    length = 0
    for _ in range(300):
        piece = " ".join(str(rng.randint(0, 99_999)) for _ in range(100)) + " "
        length += len(piece)
        stream.feed(piece)
        assert stream._held <= 40_000 + 1000
    assert stream.feed("again and " * 100) is not None
    verdict = stream.verdict
    assert (verdict.onset, verdict.length) == (length - 1, length + 1000)
    with pytest.raises(InputError, match="at least 32768"):
        StreamDetector(remember=5)


def test_watch_stops_early() -> None:
    found = watch(["Well. "] + ["I will check again. "] * 200)
    assert found is not None
    assert found[0] < 10
    assert watch(["All is said."]) is None


def test_text_and_ids_do_not_mix() -> None:
    stream = StreamDetector()
    stream.feed("a")
    with pytest.raises(InputError, match="cannot be mixed"):
        stream.feed(5)
