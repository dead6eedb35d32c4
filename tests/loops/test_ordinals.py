"""Runs that count on in letters, Roman numerals and number words, against what they are by definition."""

from __future__ import annotations

import itertools
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.loops import ordinals
from loopguard.loops.batch import Workspace, reset
from loopguard.loops.counting import BEGIN, END, LETTERS, MOVING, PERIOD
from loopguard.loops.detector import Detector, detect
from loopguard.loops.stream import StreamDetector
from loopguard.loops.words import fresh_lexer, split

TOKEN = re.compile(r" ?[A-Za-z]+| ?[0-9]+| ?[^ A-Za-z0-9]| +")
ROMAN = [ten + one for ten in ("", "X", "XX") for one in ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")][
    1:26
]
WAYS = {
    "letters": [*"ABCDEFGHIJKLMNOPQRSTUVWXYZ"],
    "small": [*"abcdefghijklmnopqrstuvwxyz"],
    "roman": ROMAN,
    "small roman": [numeral.lower() for numeral in ROMAN],
    "words": ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
    "Words": ["One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten", "Eleven", "Twelve"],
    "ranks": ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"],
}


def found(text: str, cuts: list[int]) -> list[tuple[int, int, int, int]]:
    """The runs that are kept, the open one first: period, begin of the first turn, end, letters after it. In symbols."""
    data, room = np.frombuffer(text.encode(), np.uint8), Workspace(8192)
    reset(room.state, room.runs)
    read = room.symbols, room.values, room.kinds, room.weights
    count = split(0, data.size, data, *read, room.starts, fresh_lexer())
    for high in sorted({cut for cut in cuts if cut < count} | {count}):
        ordinals.count_in_words(high, *read, room.state, room.ordinals)
    runs = []
    for at in (ordinals.NOW, ordinals.LONGEST):
        run = room.state[at:]
        if run[PERIOD]:
            assert run[MOVING] == 1
            runs.append((int(run[PERIOD]), int(run[BEGIN] - run[PERIOD]), int(run[END]), int(run[LETTERS])))
    return runs


def tokens(text: str) -> list[str]:
    return TOKEN.findall(text)[:-1]  # the last may go on


def next_to(one: str, other: str) -> bool:
    """Whether `other` is what comes after `one` in some way of counting, with a blank before it or without."""
    return any(
        one.strip() in way and other.strip() in way and way.index(other.strip()) == way.index(one.strip()) + 1
        for way in WAYS.values()
    )


frames = st.lists(
    st.sampled_from(["be", "points", "on the line", "as before", ",", ".", "17", "(", ")", "\n"]),
    min_size=1,
    max_size=7,
)


@given(
    frames, st.sampled_from(sorted(WAYS)), st.integers(0, 6), st.integers(3, 18), st.sampled_from(["Let ", "- ", "("]),
    st.lists(st.integers(1, 200), max_size=4),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_what_counts_on_is_found_where_it_is(
    frame: list[str], way: str, start: int, turns: int, lead: str, cuts: list[int]
) -> None:
    said = WAYS[way][start : start + turns]
    body = " " + " ".join(frame) + ".\n"
    turned = [lead + word + body for word in said]
    before, after = "Nobody said so.\n", "Well.\n"
    text = before + "".join(turned) + after
    period = len(tokens(turned[0] + "?"))
    begin, end = len(tokens(before + "?")), len(tokens(before + "".join(turned) + "?"))
    runs = found(text, cuts)
    if len(said) < 3:
        return
    # nothing but the words that count may differ, so the run ends where the last turn does; it may begin a bit earlier
    assert any((p, e) == (period, end) and 0 <= begin - b < period for p, b, e, _ in runs), (runs, period, begin, end)


some = st.sampled_from(
    [
        "Let",
        "A",
        "B",
        "C",
        "D",
        "a",
        "b",
        "c",
        "be",
        "the",
        "I",
        "II",
        "III",
        "IV",
        "V",
        "one",
        "two",
        "three",
        "four",
        ".",
        "7",
        "\n",
    ]
)


@given(st.lists(some, min_size=1, max_size=300), st.lists(st.integers(1, 300), max_size=3))
@settings(max_examples=400, deadline=None)
def test_what_is_found_counts_on(said: list[str], cuts: list[int]) -> None:
    text = " ".join(said).replace("\n ", "\n") + " \n"
    token = tokens(text)
    for period, begin, end, letters in found(text, cuts):
        differ = [k for k in range(begin + period, end) if token[k] != token[k - period]]
        assert len(differ) >= 2
        assert all(next_to(token[k - period], token[k]) for k in differ)
        assert {b - a for a, b in itertools.pairwise(differ)} <= {period}
        assert letters == sum(len(word.strip()) for word in token[begin + period : end] if word.strip().isalpha())


HOST = "A quarrel about geometry, told by one who was there and who remembers little of it.\n\n"


@pytest.mark.parametrize(
    ("way", "turn"),
    [
        ("letters", "Let {} be a point on the same line as before. "),
        ("roman", "{}. The parties agree to the terms set out above.\n"),
        ("small roman", "({}) The parties agree to the terms set out above.\n"),
        ("words", "The {} rule is to follow the rules before it. "),
        ("ranks", "The {} time she looked, nobody was there. "),
        ("Words", "Step {}: turn the page and read on.\n"),
    ],
)
def test_ends_like_numbers(way: str, turn: str) -> None:
    """As of numbers: five turns and 120 letters are a loop at the end of a text, eight and 300 inside it."""
    flagged = {}
    for turns in range(2, 11):
        verdict = detect(HOST + "".join(turn.format(word) for word in WAYS[way][:turns]))
        flagged[turns] = verdict.looping
        if verdict.loop is not None:
            assert (verdict.reason, verdict.loop.kind, verdict.terminal) == ("counts_on", "counter", True)
            assert (
                -1 <= verdict.loop.start - len(HOST) <= 4
            )  # "The" at the beginning of a line is another symbol than behind a blank
            assert round(verdict.loop.repeats) == turns
    letters = {
        turns: sum(map(str.isalpha, "".join(turn.format(word) for word in WAYS[way][1:turns]))) for turns in flagged
    }
    assert [turns for turns in flagged if flagged[turns]] == [n for n in flagged if n >= 5 and letters[n] >= 120]
    assert 5 <= len([turns for turns in flagged if flagged[turns]]) <= 6
    after = "\n\nThat was all that he said, and then the lesson was over for everybody in the room.\n"
    for turns in flagged:
        verdict = detect(HOST + "".join(turn.format(word) for word in WAYS[way][:turns]) + after)
        assert verdict.looping == (turns >= 8 and letters[turns] >= 300)


def test_lists_that_say_something_in_each_item_are_none() -> None:
    animals = "ape bear cat dog eel fox goat hen ibis jay kite lynx mole newt owl pig quail rat seal toad"
    said = "".join(
        f"{letter} is for {animal}, and that is how it is.\n"
        for letter, animal in zip(WAYS["letters"], animals.split(), strict=False)
    )
    assert not detect(said).looping
    options = "".join(
        f"{k}. What is {k} and {k * 3 % 7}?\nA) {k}\nB) {k + 3}\nC) {k * 2}\nD) {k * 5}\n\n" for k in range(1, 9)
    )
    assert not detect(options).looping


def test_a_stream_says_so_at_the_same_symbol() -> None:
    draw, text = (
        random.Random(3),
        HOST + "".join(f"Let {letter} be a point on the same line as before. " for letter in WAYS["letters"][:12]),
    )
    stream, at, told = StreamDetector(Detector(in_full=True)), 0, []
    while at < len(text):
        step = draw.randint(1, 9)
        told.append(stream.feed(text[at : at + step]) is not None)
        at += step
        assert told[-1] == Detector(in_full=True).detect(text[:at]).looping
    assert not told[0]
    assert told[-1]
