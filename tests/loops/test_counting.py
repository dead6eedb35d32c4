"""Runs that go on but for one number, against slow, obvious Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.loops import counting
from loopguard.loops.detector import detect
from loopguard.loops.grams import GRAM
from loopguard.loops.repetition import NUMBER
from loopguard.loops.stream import StreamDetector

WORDS = ["add", "the sugar", "so", ".", "|", "5", "17", "18", "19", "\n", "x"]
some = st.lists(st.sampled_from(WORDS), max_size=12)


@st.composite
def counting_text(draw: st.DrawFn) -> str:
    """Turns of a few words with numbers that move by steps of their own, among other words."""
    turn = draw(st.lists(st.sampled_from([*WORDS, "{0}", "{1}"]), min_size=2, max_size=9))
    first, step = draw(st.integers(0, 20)), draw(st.sampled_from([0, 1, 1, 7]))
    other = draw(st.sampled_from([0, 2]))
    turns = [
        word.format(first + k * step, 900 - k * other) for k in range(draw(st.integers(1, 9))) for word in [*turn, "\n"]
    ]
    return " ".join([*draw(some), *turns, *draw(some), ""])


def different(moved: list[tuple[int, int]]) -> int:
    """How many numbers these are, (value, step) in their order: the same one stands in several places, and has moved on once
    where the turn began between two of them."""
    count, wrapped = 0, False
    for at, (number, step) in enumerate(moved):
        last, by = moved[at - 1] if at else (0, 0)
        if (number, step) == (last, by):
            continue
        if at and step == by and number == last + step and not wrapped:
            wrapped = True
            continue
        count += 1
    return count


def check_run(room: object, state: np.ndarray, where: int, count: int) -> None:
    """What is said of the run at `where` is what a reader of its symbols would say."""
    symbols, values, kinds, weights = (
        getattr(room, name)[:count].tolist() for name in ("symbols", "values", "kinds", "weights")
    )
    period, begin, end, letters, marks, moving = (int(value) for value in state[where : where + counting.MOVING + 1])
    if period == 0:
        return
    if end - begin < 2 * period:
        assert letters == -1
        return
    turn = range(begin - period, begin)

    def step(i: int) -> int:
        return (values[i] >> 5) - (values[i - period] >> 5)

    assert all(symbols[i] == symbols[i - period] for i in range(begin, end))
    numbers = [i for i in range(begin, end) if kinds[i] == NUMBER]
    assert all(step(i) == step(i - period) for i in numbers if i - period >= begin)
    assert moving == different([(values[i] >> 5, step(i)) for i in numbers if i - period in turn and step(i) != 0])
    assert letters == sum(weights[i] for i in range(begin, end) if kinds[i] != NUMBER)
    assert marks == sum(1 for i in range(begin, end) if kinds[i] == 0 and weights[i] == 0)
    if end < count:
        assert symbols[end] != symbols[end - period] or (
            kinds[end] == NUMBER and end - period >= begin and step(end) != step(end - period)
        )


@given(st.lists(counting_text(), max_size=3).map("".join))
@settings(max_examples=300, deadline=None)
def test_a_run_is_what_it_says(text: str) -> None:
    stream = StreamDetector()
    stream.feed(text)
    state, count = stream._state, stream._count
    check_run(stream._room, state, counting.NOW, count)
    check_run(stream._room, state, counting.LONGEST, count)
    assert state[counting.NOW + counting.PERIOD] == 0 or state[counting.NOW + counting.END] == count
    if state[counting.LONGEST + counting.PERIOD]:
        assert state[counting.LONGEST + counting.MOVING] == 1


@given(st.lists(st.sampled_from(["add", "the", "sugar", "to", "it"]), min_size=4, max_size=9), st.integers(3, 30))
@settings(max_examples=100, deadline=None)
def test_a_counter_is_followed_from_its_second_turn(words: list[str], turns: int) -> None:
    stream = StreamDetector()
    stream.feed("Here it is:\n" + "".join(f"{k}) {' '.join(words)}!\n" for k in range(7, 7 + turns)) + "end")
    state = stream._state
    period = len(words) + 4  # number, bracket, words, mark, line end
    assert state[counting.NOW + counting.PERIOD] % period == 0
    assert state[counting.NOW + counting.BEGIN] <= 4 + 2 * period + GRAM
    if state[counting.NOW + counting.PERIOD] == period:
        assert state[counting.NOW + counting.MOVING] == 1


def rows(words: str, turns: int) -> str:
    return "".join(f"{k}. {words}\n" for k in range(3, 3 + turns))


def test_how_many_letters_it_takes() -> None:
    """Of seventeen letters a turn 120 are there after the eighth at the end of a text, 300 after the eighteenth inside."""
    line = "Add the sugar, stir it."
    flagged = [k for k in range(2, 24) if detect("Stir:\n" + rows(line, k)).looping]
    assert flagged == list(range(9, 24))
    after = "\nThat was all there is to say about the matter, and nobody asked for more of it.\n"
    inside = [k for k in range(2, 24) if detect("Stir:\n" + rows(line, k) + after).looping]
    assert inside[0] > flagged[0]
    assert inside == list(range(inside[0], 24))


def test_spans_and_kind() -> None:
    verdict = detect("The plan is short.\n\n" + rows("Keep a steady pace and rest on Sunday.", 8))
    loop = verdict.loop
    assert loop is not None
    assert (verdict.reason, loop.kind, loop.terminal, loop.period) == ("counts_on", "counter", True, 43)
    assert abs(loop.start - 20) <= 4
    assert loop.end == 20 + len(rows("Keep a steady pace and rest on Sunday.", 8).rstrip())  # the last line may go on


def test_one_number_in_several_places() -> None:
    block = "".join(f"{k}. They sold the\n{k}.1 In spring, the\n{k}.2 On Sundays the\n\n" for k in range(2, 15))
    verdict = detect("A plan:\n\n" + block)
    assert (verdict.reason, verdict.loop and verdict.loop.kind) == ("counts_on", "counter")
    sums = "".join(f"Take {k} of the apples and {2 * k} of the pears on this fine day.\n" for k in range(2, 9))
    assert not detect(sums).looping


def test_what_only_looks_like_one() -> None:
    """Placeholders, output of a program, sums in which several numbers move, rows of a table: people and programs write them."""
    assert not detect(
        rows("Feature: [describe what the feature does and how it helps]", 6) + "Fill it in.\n" * 2
    ).looping
    assert not detect("```\n" + "".join(f"Answer is: {k}\n" for k in range(10)) + "```").looping
    assert not detect("".join(f"{95 - k} mod {24 - k} is {71}, so it does not divide.\n" for k in range(9))).looping
    assert not detect("".join(f"| 2021-12-{k:02} | ok | 0 | - | - |\n" for k in range(1, 15))).looping
