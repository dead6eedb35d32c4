"""Prose of few words, against slow, obvious Python."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.loops import few_words
from loopguard.loops.batch import Workspace, reset
from loopguard.loops.detector import Detector, detect
from loopguard.loops.stream import StreamDetector
from loopguard.loops.words import fresh_lexer, split

TOKEN = re.compile(r" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]|\s")


def expected(text: str) -> dict[str, int]:
    """The score at the end, and of the best stretch: score, from, to, marks, first symbol. Words of a letter or more in ASCII."""
    tokens = [(match.group(), match.start()) for match in TOKEN.finditer(text)][:-1]  # the last may go on
    last: dict[str, int] = {}
    copies: dict[str, int] = {}
    score = keeps = since = begun = marks = 0
    first = -1
    best = {"score": 0}
    for i, (token, start) in enumerate(tokens):
        word = token.strip()
        if not word.isalpha():
            if score > 0:
                marks += 1
                if token == "\n" and start and (text[start - 1].isalpha() or text[start - 1] == ","):
                    score -= 40
            continue
        known = token in last and start - last[token] <= 300
        copies[token], last[token] = (copies[token] + 1 if known else 1), start
        if known:
            since = since if keeps > 0 else i
            keeps = max(0, keeps) + len(word)
            gain = len(word) if copies[token] > 4 else 0
        else:
            gain = -3 * max(3, len(word))
            keeps = max(0, keeps + gain)
        if score <= 0:
            if gain <= 0:
                continue
            score, begun, first, marks = 0, i, -1, 0
        score += gain
        if score >= 60 and first < 0:
            first, strange = since, 0
            for k in range(since - 1, -1, -1):
                if strange == 2 or tokens[since][1] - tokens[k][1] > 300:
                    break
                if tokens[k][0].strip().isalpha():
                    back = start - last[tokens[k][0]] <= 300 and copies[tokens[k][0]] > 1
                    first, strange = (k, 0) if back else (first, strange + 1)
        if score > best["score"] and score >= 60:
            best = {"score": score, "from": begun, "to": i + 1, "marks": marks, "first": first}
    return best | {"now": max(0, score)}


def found(text: str, cuts: list[int]) -> dict[str, int]:
    """What the kernel says, of symbols in pieces."""
    data, room = np.frombuffer(text.encode(), np.uint8), Workspace(4096)
    reset(room.state, room.runs)
    count = split(
        0, data.size, data, room.symbols, room.values, room.kinds, room.weights, room.starts, lexer := fresh_lexer()
    )
    room.starts[count] = lexer[3]
    for high in sorted({cut for cut in cuts if cut < count} | {count}):
        few_words.weigh_words(high, data, room.symbols, room.kinds, room.weights, room.starts, room.state, room.words)
    state = room.state
    assert state[few_words.NEXT] == count
    best = {"score": int(state[few_words.BEST])}
    if best["score"]:
        of = {"from": few_words.FROM, "to": few_words.TO, "marks": few_words.MARKS, "first": few_words.FIRST}
        best |= {name: int(state[few_words.BEST + at]) for name, at in of.items()}
    return best | {"now": int(state[few_words.NOW])}


few = st.sampled_from(["again", "second", "third", "look", "check", "part", "Let us", "carefully."])
others = st.sampled_from([*"abcdefghijklmnopqrstuvwxyz"]).map(lambda letter: f"{letter}nother{letter}")
breaks = st.sampled_from([",\n", ".\n", "word\n", "12345", "\n"])
pieces = st.one_of(few, few, few, few, few, few, few, few, st.one_of(others, breaks))


@given(st.lists(pieces, min_size=1, max_size=400), st.lists(st.integers(1, 600), max_size=4))
@settings(max_examples=300, deadline=None)
def test_what_a_reader_would_count(said: list[str], cuts: list[int]) -> None:
    text = " ".join(said).replace("\n ", "\n") + " \n"
    assert found(text, cuts) == expected(text)


def test_the_oracle_sees_a_stretch() -> None:
    """Else the two could agree on nothing."""
    draw = random.Random(2)
    text = "Nobody knows where this begins. " + combined(draw, 20) + "Something else entirely follows now. "
    best = expected(text)
    assert best["score"] > best["now"] > 0
    assert text.find("Let") - 40 < [m.start() for m in TOKEN.finditer(text)][best["first"]] < text.find("Let") + 60


def combined(draw: random.Random, turns: int) -> str:
    """Sentences of four slots each: hardly one is said twice."""
    who, verb = ["Let me", "Let us", "I will"], ["look at", "go over", "check"]
    what, when = ["first", "second", "third"], ["again", "once more", "one more time"]
    said = [
        f"{draw.choice(who)} {draw.choice(verb)} the {draw.choice(what)} part {draw.choice(when)}. "
        for _ in range(turns)
    ]
    return "".join(said)


ALONE = Detector(stretch_score=1e6, open_score=1e6)

HOST = "The tides follow the Moon. Water nearest to it is pulled hardest, and two bulges form. "
AFTER = (
    "Sorting that out, harbours differ: narrow bays funnel water upward, whereas islands in deep ocean barely notice. Fishermen "
    "kept almanacs long before Newton explained why, written by monks who watched Bristol's quay every night for decades.\n"
)


def test_combinations_are_a_loop_from_some_turn_on() -> None:
    text = combined(random.Random(4), 60)
    ends = [match.end() for match in re.finditer(r"\. ", text)]
    flagged = [n for n, end in enumerate(ends, 1) if ALONE.detect(HOST + text[:end] + "\n").looping]
    assert {*range(26, 61)} <= {*flagged}
    assert flagged[0] >= 15  # a word that was not said for a while may take the verdict back once
    loop = detect(HOST + text + "\n").loop
    assert loop is not None
    assert (loop.kind, loop.terminal) == ("near", True)
    assert len(HOST) - 41 <= loop.start <= len(HOST) + 41  # a turn has 41 characters
    assert loop.end >= len(HOST + text) - 30


@pytest.mark.parametrize("turns", [40, 60])
def test_what_is_recovered_from(turns: int) -> None:
    text = HOST + combined(random.Random(6), turns) + "\n\n" + AFTER
    verdict = ALONE.detect(text)
    assert (verdict.reason, verdict.terminal) == ("recycles", False)
    assert not Detector(stretch_score=1e6, open_score=1e6, words_score=1e6, words_open=1e6).detect(text).looping
    assert verdict.loop is not None
    assert abs(verdict.loop.end - text.index("\n\n")) < 30


def test_a_stream_says_so_at_the_same_byte() -> None:
    text = HOST + combined(random.Random(8), 40) + "\n\n" + AFTER
    stream, told = StreamDetector(ALONE), []
    for at in range(0, len(text), 9):
        told.append(stream.feed(text[at : at + 9]) is not None)
        assert told[-1] == ALONE.detect(text[: at + 9]).looping
    assert not told[0]
    assert told[-1]


def test_thresholds_below_what_is_looked_for() -> None:
    """Where a stretch began is looked for from a score of 60 on; whoever asks for less is told where it earned first."""
    loose = Detector(stretch_score=1e6, open_score=1e6, round_score=1e6, words_score=1e6, words_open=1)
    before = HOST + combined(random.Random(10), 30)
    text, found = (
        before + 3 * AFTER + "Look at the moon and the sea, and at the sea and the moon, the moon and the sea.",
        0,
    )
    for end in range(len(before) + len(AFTER), len(text), 3):
        for loop in loose.detect(text[:end]).loops:
            found += len(before) < loop.start < loop.end <= end
            assert loop.start < loop.end <= end
    assert found > 0


def test_verse_and_tables_of_few_words_are_none() -> None:
    draw = random.Random(3)

    def verse() -> str:
        sounds = ["moo", "baa", "oink", "quack", "cluck"]
        return "".join(f"With a {draw.choice(sounds)} here and a {draw.choice(sounds)} there,\n" for _ in range(8))

    lines = "".join(f"And on that farm she had a {animal},\n{verse()}\n" for animal in ("cow", "pig", "sheep", "duck"))
    assert not ALONE.detect(lines).looping
    rows = "".join(
        f"| {draw.choice(['morning', 'evening'])} | {draw.choice(['red team', 'blue team'])} | {draw.choice(['home', 'away'])} |\n"
        for _ in range(60)
    )
    assert not ALONE.detect("| when | who | where |\n|---|---|---|\n" + rows).looping


def test_lines_of_verse_cost() -> None:
    draw = random.Random(7)
    said = combined(draw, 12)
    verse = "".join(f"{line[:-2]}{draw.choice([',', ''])}\n" for line in re.findall(r".*?\. ", combined(draw, 12)))
    told = found(said + verse + "\n", [])
    assert told == expected(said + verse + "\n")
    prose_only = found(said + verse.replace(",", "").replace("\n", ".\n") + "\n", [])
    assert prose_only["now"] - told["now"] > 12 * 40 / 2


def test_what_becomes_a_table_is_not_told_by_what_it_was() -> None:
    """The words are not looked at where symbols are narrow; a stream that has looked before says what a batch says."""
    text = HOST + combined(random.Random(12), 40) + "".join(f"{n % 7}; " for n in range(1500))
    stream, told = StreamDetector(ALONE), []
    for at in range(0, len(text), 90):
        told.append(stream.feed(text[at : at + 90]) is not None)
        assert told[-1] == ALONE.detect(text[: at + 90]).looping
    assert True in told
