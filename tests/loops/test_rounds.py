"""Ends that go round, against slow, obvious Python, and the outputs that only this rule tells."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.loops import rounds
from loopguard.loops.detector import Detector, detect
from loopguard.loops.grams import GRAM
from loopguard.loops.repetition import NUMBER, PIECE
from loopguard.loops.stream import StreamDetector

COST, LEAST = 6, 4
PLANS = [
    [
        "Plan A costs 12,000 and takes six weeks.",
        "With plan A we pay 12,000 and need six weeks.",
        "Plan A: 12,000, six weeks.",
    ],
    ["Plan B costs 19,000 and takes three weeks.", "With plan B it is 19,000 and three weeks."],
    ["If time matters most, B is better.", "For speed one would choose B.", "B is better when time is critical."],
    ["For cost one would choose A.", "A is better on a tight budget."],
    ["But we don't know the user's priority.", "The user has not told us which of the two matters more."],
    ["Wait, let me compare them once more.", "So I need to weigh the two plans again."],
]


def going_round(turns: int, seed: int = 1) -> str:
    draw = random.Random(seed)
    return "\n\n".join(" ".join(draw.choice(ways) for ways in PLANS) for _ in range(turns))


def earned(room: object, t: int) -> tuple[int, int]:
    """What symbol `t` earns, and what is new in it."""
    chain, back = room.chain[t : t + GRAM].tolist(), room.back[t : t + GRAM].tolist()  # type: ignore[attr-defined]
    weight, kind, values = int(room.weights[t]), int(room.kinds[t]), room.values  # type: ignore[attr-defined]
    copies, far = max(chain), next((far for far in back if far), 0)
    if copies == 0:
        if kind == NUMBER:
            return 0, LEAST
        return 0, 0 if weight == 0 else weight if kind == PIECE else max(weight, LEAST)
    if kind != NUMBER:
        return (weight if copies >= 2 else 0), 0
    if values[t] == values[t - far]:
        return 0, 0
    if t < 2 * far or room.symbols[t - 2 * far] != room.symbols[t]:  # type: ignore[attr-defined]
        return 0, LEAST
    step = abs((values[t] >> 5) - 2 * (values[t - far] >> 5) + (values[t - 2 * far] >> 5))
    return (weight if step == 0 and copies >= 2 else 0), min(LEAST, int(step).bit_length())


words = st.lists(
    st.sampled_from(["wait", "the plan", "costs 9", "is 7 or 8", "better.\n", "so", ",", "we know"]), max_size=8
)
texts = st.lists(words.map(" ".join), min_size=1, max_size=4).flatmap(
    lambda pool: st.lists(st.sampled_from([*pool, "new"]), max_size=30).map(" ".join)
)


@given(texts, st.integers(1, 400))
@settings(max_examples=300, deadline=None)
def test_the_end_is_worth_what_its_best_part_is(text: str, step: int) -> None:
    stream = StreamDetector(Detector(in_full=True))
    for at in range(0, len(text), step):
        stream.feed(text[at : at + step])
    state, room = stream._state, stream._room
    worth = [gain - COST * fresh for gain, fresh in (earned(room, t) for t in range(max(0, stream._count - GRAM + 1)))]
    best = max((sum(worth[t:]) for t in range(len(worth))), default=0)
    assert max(0, int(state[rounds.SCORE])) == max(0, best)
    if best > 0:
        begin = int(state[rounds.FROM])
        kinds, weights = room.kinds[begin : len(worth)], room.weights[begin : len(worth)]
        named = (kinds != NUMBER) & (weights > 0)
        assert sum(worth[begin:]) == best
        assert state[rounds.LETTERS] == weights[named].sum()
        assert state[rounds.MARKS] == (~named).sum()


def test_reasoning_that_goes_round() -> None:
    words_alone = Detector(sentence_again=1e6)
    verdicts = [words_alone.detect("Which plan is better? " + going_round(turns)) for turns in range(1, 40)]
    first = next(turns for turns, verdict in enumerate(verdicts, start=1) if verdict.looping)
    assert 8 <= first <= 14
    assert all(verdict.looping for verdict in verdicts[first - 1 :])
    alone = Detector(
        stretch_score=1e6, open_score=1e6, sentence_again=1e6
    )  # later than the stretches that earn from the fifth copy on
    found = alone.detect("Which plan is better? " + going_round(14))
    assert found.loop is not None
    assert (found.reason, found.loop.kind, found.loop.terminal) == ("ends_recycling", "near", True)
    assert found.loop.start < 200
    assert found.loop.end >= found.length - 60
    strict = Detector(stretch_score=1e6, open_score=1e6, round_score=1e6, sentence_again=1e6)
    assert not strict.detect("Which plan is better? " + going_round(14)).looping


def test_what_is_seen_from_the_fifth_copies_on_begins_with_the_first() -> None:
    text = "Which plan is better? " + going_round(14)
    late, early = Detector(sentence_again=1e6, round_score=1e6).detect(text), Detector(sentence_again=1e6).detect(text)
    assert [len(verdict.loops) for verdict in (late, early)] == [1, 1]
    assert late.loop
    assert early.loop
    assert late.loop.start > 1000
    assert early.loop.start < 100
    assert (late.loop.end, late.loop.period) == (early.loop.end, early.loop.period)


def test_prose_that_goes_on_is_none() -> None:
    """Inside a text no more than before: what follows says new things."""
    after = " ".join(f"Then {name} asked what the {thing} was for, and nobody knew." for name, thing in zip("ABCDEFGH", (
        "lantern", "orchard", "violin", "kettle", "harbour", "ledger", "mirror", "compass"), strict=True))  # fmt: skip
    turns = next(turns for turns in range(1, 40) if detect(going_round(turns)).looping)
    assert not detect(going_round(turns) + "\n\n" + after).looping


def test_a_song_whose_chorus_comes_three_times_is_none() -> None:
    lines = "We sail along the silver bay and never count the miles,\nThe lamps are lit in every house, the harbour smiles.\n"
    draw = random.Random(3)
    vowels = ["".join(draw.choices("abcdefghijklmnoprstuvw", k=6)) for _ in range(90)]
    verses = ["\n".join(" ".join(vowels[k * 30 + i * 6 : k * 30 + i * 6 + 6]) for i in range(4)) for k in range(3)]
    song = "\n\n".join(part for verse in verses for part in (verse, lines * 2))
    assert not detect(song).looping
    assert detect(song + lines * 3).looping
