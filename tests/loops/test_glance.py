"""The first look: what it sees against an oracle in plain Python, at every prefix; and that it passes over no loop."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.detector.corpora import corpus
from benchmarks.detector.stitched import stitched
from benchmarks.shared import shared_data
from loopguard.loops.detector import Detector
from loopguard.loops.glance import ENOUGH, GLANCE, LONGEST, fresh_table, glance, room_for
from loopguard.loops.settings import DetectorSettings
from loopguard.loops.stream import StreamDetector

WORDS = [
    "wait",
    "no",
    "so",
    "answer",
    "the",
    "7",
    "1234",
    ".",
    "\n",
    "\n- ",
    "é",
    "你好",
    "🙂",
    "=",
    "-" * 30,
    "A1b2",
    "x" * 40,
]
texts = st.tuples(
    st.lists(st.sampled_from(WORDS), max_size=60), st.lists(st.sampled_from(WORDS), max_size=25), st.integers(0, 5)
).map(lambda parts: " ".join(parts[0] + parts[1] * parts[2]).encode())

lines = st.lists(st.sampled_from(["Cat", "Dog", "Eel 7", "Eel 8", "Fox\r", "Gnu and more of it"]), max_size=60).map(
    lambda items: "\n".join(items).encode()
)


def beginnings(data: bytes) -> list[tuple[int, bytes]]:
    """Where words begin and what is looked at there."""
    found = []
    for p in range(len(data) - 15):
        letter, before = (bool(re.match(rb"[A-Za-z\x80-\xff]", data[k : k + 1])) and k >= 0 for k in (p, p - 1))
        if (letter and not (before and p > 0)) or 0xE3 <= data[p] < 0xEE:
            found.append((p, re.sub(rb"[0-9]", b"0", data[p : p + 16].split(b"\n")[0])))
    return found


def must(places: list[tuple[int, bytes]], end: int, enough: int) -> bool:
    """Whether a text must be examined in which these were seen, before `end`."""
    seen: dict[bytes, tuple[int, int]] = {}
    score, last, kept = 0, 0, (0, 0)
    for p, what in places:
        often, where = seen.get(what, (0, p))
        seen[what] = (often + 1, p)
        distance = p - where
        score = max(0, score - 1) if often == 0 else score + 2 * (often >= 2)
        kept = (distance, kept[1] if often and distance == kept[0] else p)
        span = p - kept[1] if often else 0
        if p - last > 54 or score >= enough or (span >= 16 and span >= 0.8 * distance):
            return True
        last = p
    return end - last > 54


def look_at_text(data: bytes, pieces: list[int], enough: int, room: int = 0) -> list[bool]:
    """What `glance` says after each piece."""
    table, state = fresh_table(max(room, len(data))), np.zeros(GLANCE, np.int64)
    given = np.frombuffer(bytearray(data or b" "), np.uint8)
    return [glance(high, given, table, room_for(len(table)), 3, state, enough) for high in pieces]


@given(texts | lines, st.integers(1, 90), st.sampled_from([4, 8, ENOUGH]))
@settings(max_examples=200, deadline=None)
def test_every_prefix_of_a_text(data: bytes, step: int, enough: int) -> None:
    cuts = [*range(step, len(data), step), len(data)]
    places = beginnings(data)
    expected = [must([place for place in places if place[0] + 16 <= cut], max(0, cut - 15), enough) for cut in cuts]
    assert look_at_text(data, cuts, enough) == expected
    assert [look_at_text(data, [cut], enough, 9000)[0] for cut in cuts] == expected
    assert expected == sorted(expected)  # what must be examined must be from then on


def test_long_texts_are_examined() -> None:
    rng = random.Random(2)
    words = "".join(f"{''.join(rng.choices('abcdefghijklmnop', k=6))} " for _ in range(LONGEST // 7 + 1)).encode()
    assert not look_at_text(words, [LONGEST], ENOUGH)[0]
    assert look_at_text(words, [LONGEST + 1], ENOUGH)[0]
    short, long = Detector().detect(words[:LONGEST]), Detector().detect(words[: LONGEST + 1])
    assert (short.figures["symbols"], long.figures["symbols"] > 1100) == (0, True)
    assert short.length == short.figures["bytes"] == LONGEST


def test_no_word_of_one_letter_is_beyond_the_table() -> None:
    """As many beginnings as there can be: every second byte, every one of another kind; the table holds them all."""
    rng = random.Random(1)
    data = " ".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=LONGEST // 2)).encode()[:LONGEST]
    assert look_at_text(data, [len(data)], 10**9)[0] == must(beginnings(data), len(data) - 15, 10**9)


@pytest.mark.parametrize("seed", [11, 12])
def test_no_generated_verdict_changes(seed: int) -> None:
    rows = [row["text"] for row in corpus(seed)]
    quick, full = Detector().detect_batch(rows), Detector(in_full=True).detect_batch(rows)
    assert [v.loops for v in quick] == [v.loops for v in full]
    assert [v.reason for v in quick] == [v.reason for v in full]
    over = [v for v in quick if v.figures["symbols"] == 0 and v.length]
    assert len(rows) // 10 < len(over) < len(rows) // 2
    assert all(v.reason == "clean" and v.figures["loudness"] == 0 for v in over)


@pytest.mark.parametrize("seed", [1, 2])
def test_no_verdict_on_random_loops_changes(seed: int) -> None:
    made = stitched(seed, 2000)
    quick, full = Detector().detect_batch(made), Detector(in_full=True).detect_batch(made)
    assert [v.loops for v in quick] == [v.loops for v in full]
    assert sum(v.looping for v in quick) > 800


def test_no_verdict_on_real_outputs_changes() -> None:
    path = shared_data() / "outputs.parquet"
    if not path.exists():
        pytest.skip(f"no outputs at {path}; set LOOPGUARD_SHARED")
    import pyarrow.parquet

    outputs = pyarrow.parquet.read_table(path, columns=["output"])["output"].to_pylist()[::5]
    quick, full = Detector().detect_batch(outputs), Detector(in_full=True).detect_batch(outputs)
    assert [v.loops for v in quick] == [v.loops for v in full]
    assert sum(v.figures["symbols"] == 0 for v in quick) > 0.85 * len(outputs)


def test_a_stream_examines_when_it_must() -> None:
    sentence = "The old man by the river told her again how deep the water was. "
    text = "".join(f"{a}{b} " for a in "bcdfg" for b in ("able", "orn", "ind", "ust")) + sentence * 6
    for size in (1, 7, 300):
        stream = StreamDetector()
        for cut in range(0, len(text), size):
            stream.feed(text[cut : cut + size])
            assert stream.verdict == Detector().detect(text[: cut + size])
        assert stream.verdict.reason == "repeats_verbatim" or stream.verdict.reason == "ends_repeating"


@given(texts, st.integers(1, 200))
@settings(max_examples=80, deadline=None)
def test_every_prefix_has_the_batch_verdict(data: bytes, size: int) -> None:
    stream, detector = StreamDetector(), Detector()
    for cut in range(0, len(data), size):
        stream.feed(data[cut : cut + size])
        assert stream.verdict == detector.detect(data[: cut + size])


def test_settings_that_are_looser_in_anything_are_examined_in_full() -> None:
    assert Detector().enough == ENOUGH
    assert Detector(settings=DetectorSettings().stricter(1.5), in_full=False).enough == ENOUGH
    assert Detector(min_copies=5, open_wasted=90).enough == ENOUGH
    for looser in ({"open_wasted": 69}, {"min_copies": 3}, {"reach": 3001}, {"reach": 2999}, {"plain_marks": 0.3}):
        assert Detector(**looser).enough == 0
    assert Detector(in_full=True).enough == 0
    assert Detector(in_full=True).signature == Detector().signature + "|in_full"
    good = [f"A text that says number {k} once." for k in range(120)]
    assert Detector(in_full=True).calibrate(good).enough == 0
    assert Detector().calibrate(good).enough == ENOUGH
    assert Detector(in_full=True).detect("A clean sentence.").figures["symbols"] == 3  # the last is not finished
