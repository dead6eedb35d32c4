"""Lists whose items come back, against slow, obvious Python; look-alikes; what a table remembers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.loops import lists
from loopguard.loops.detector import Detector, detect

DISTINCT, COST = 3, 2
RULE = np.array([4, 6, 4, 3000, 40, DISTINCT, COST], np.int64)
LINE = re.compile(r"^([ \t\r]*)([-*•]|[0-9]{1,5}[.)])[ \t]+(.*)$")
ITEMS = ["Gang", "Posse", "Club", "Crew", "Troop  ", "no", "42", "Überfall", "Gang of four"]
marker = st.sampled_from(["- ", "* ", "• ", "1. ", "12) ", "  - ", "-", "+ ", ""])
lines = st.lists(
    st.tuples(marker, st.sampled_from(ITEMS)).map("".join) | st.sampled_from(["", "  ", "Then:"]), max_size=60
)


def oracle(text: str) -> tuple[int, int, int]:
    """Score, begin and end (bytes) of the best streak of items said for the third time or later."""
    best = (0, 0, 0)
    mark, score, begin, place = "", 0, 0, 0
    copies: dict[str, int] = {}
    streak: set[str] = set()
    for line in text.split("\n")[:-1]:
        low, place = place, place + len(line.encode()) + 1
        if not line.strip(" \t\r"):
            continue
        found = LINE.match(line)
        key = f"{len(found[1])}{found[2][-1]}" if found else "unmarked"
        if key != mark:
            mark, score, copies = key, 0, {}
        if found is None:
            continue
        item = found[3].rstrip(" \r")
        if sum(len(letter.encode()) for letter in item if letter.isalpha()) < 3:
            continue
        copies[item] = copies.get(item, 0) + 1
        if copies[item] == 1:
            score = max(0, score - COST)
        elif copies[item] >= 3:
            if score == 0:
                begin, streak = low, set()
            score += 1
            streak.add(item)
            if len(streak) >= DISTINCT and score >= best[0]:
                best = (score, begin, low + len(line.rstrip(" \r").encode()))
    return best


def read(text: str, cuts: list[int], table: np.ndarray) -> tuple[int, int, int]:
    """The same from the kernel, which reads the text in pieces."""
    data = np.frombuffer(text.encode(), np.uint8)
    state = np.zeros(lists.STATE, np.int64)
    at = 0
    for cut in [*sorted(min(cut, data.size) for cut in cuts), data.size]:
        lists.read_lines(at, cut, data, RULE, state, table)
        at = cut
    return tuple(int(state[lists.BEST + k]) for k in (lists.SCORE, lists.FROM, lists.TO))  # type: ignore[return-value]


@given(lines.map("\n".join), st.lists(st.integers(0, 900), max_size=5))
@settings(max_examples=400, deadline=None)
def test_the_best_streak(text: str, cuts: list[int]) -> None:
    table = lists.fresh_items()
    assert read(text, cuts, table) == oracle(text)
    assert read(text, [], table) == oracle(text)  # what an earlier text left in the table counts for nothing


GROUP = ["Gang", "Posse", "Clique", "Club", "Posse", "Crew", "Troop"]


def listed(names: list[str], marks: str = "- ") -> str:
    return "".join(f"{marks.replace('N', str(k))}{name}\n" for k, name in enumerate(names, start=1))


def test_spans_and_reason() -> None:
    rest = ["Crew", "Posse", "Gang", "Club", "Clique", "Troop", "Club", "Crew", "Gang"]  # no verbatim turn
    text = "Some names:\n\n" + listed(["Buddies", "Pals", *GROUP, *rest, *rest[::-1]], "N. ")
    verdict = detect(text)
    loop = verdict.loop
    assert loop is not None
    assert (verdict.reason, loop.kind, loop.terminal) == ("lists_again", "near", True)
    assert loop.start == text.index("4. Posse")  # the first copy of what is said for the third time first
    assert text[loop.start : loop.end].endswith("27. Crew")
    assert verdict.figures["loudness"] == pytest.approx(13 / 7, abs=1e-6)  # four in "rest", nine in its reverse


def test_it_takes_three_copies_of_five_items() -> None:
    twice, four = ["Anna", "Bela", "Cora", "Dora", "Emil", "Fritz", "Gisa", "Hans"], ["Anna", "Bela", "Cora", "Dora"]
    assert not detect(listed(twice * 2, "N. ")).looping
    assert detect(listed([*twice, *twice[::-1], *twice], "N. ")).reason in ("lists_again", "ends_recycling")
    steps = [four[k * k % 4 if k % 3 else (k + 1) % 4] for k in range(16)]
    assert not detect(listed(steps)).looping


def test_what_people_write() -> None:
    """A plan under a heading a day, a survey, levels of a list, answers: each heading or level begins a list of its own."""
    day = listed(["Push-ups", "Squats", "Plank", "Lunges", "Burpees", "Rest well", "Stretch", "Walk"])
    weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    assert (
        detect("".join(f"{name}:\n{name[:3]} is a good day.\n{day[k:]}" for k, name in enumerate(weekdays))).reason
        != "lists_again"
    )
    answers = ["Excellent", "Good", "Average", "Poor", "Very poor"]
    questions = ["the food", "the room", "the staff", "the pool", "the lobby", "the view", "the price", "the noise"]
    assert not detect(
        listed([line for q in questions for line in (f"How did you find {q} this time?", *answers)])
    ).looping
    nested = "".join(f"{k}. Visit {q}\n" + "".join(f"   - {a}\n" for a in answers) for k, q in enumerate(questions))
    assert detect(nested).reason != "lists_again"
    assert not detect(listed(["B", "C", "A", "D", "B", "B", "C"] * 6, "N. ")).looping


def test_a_list_is_remembered_up_to_a_bound() -> None:
    """Of 300 items said three times the first 128 are known again; a text is judged the same alone and in a batch."""
    names = [f"Name {chr(97 + k % 26)}{chr(97 + k // 26)}" for k in range(300)]
    data = np.frombuffer(listed(names * 3).encode(), np.uint8)
    state, table = np.zeros(lists.STATE, np.int64), lists.fresh_items()
    lists.read_lines(0, data.size, data, RULE, state, table)
    assert state[lists.BEST + lists.SCORE] == lists.ITEMS
    texts = [listed(names[k:] + GROUP * 4) for k in range(0, 300, 30)] + ["", listed(GROUP), listed(GROUP * 5)]
    assert Detector().detect_batch(texts) == [detect(text) for text in texts]
