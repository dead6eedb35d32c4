"""Sentences that come back, against slow, obvious Python."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.loops import sentences
from loopguard.loops.detector import Detector, detect
from loopguard.loops.stream import StreamDetector

REACH, DISTINCT, COST = 3000, 3, 3
END = re.compile(rb"(?<=[.!?])[\"')\]*_\r]*(?= )|\xe3\x80\x82|\xef\xbc[\x81\x9f]|(?=\n)", re.S)
BODY = re.compile(rb"[A-Za-z0-9\x80-\xff](?:.*[A-Za-z0-9\x80-\xff])?", re.S)
LEAD = re.compile(rb"[^, ]*( [^, ]*)?, *", re.S)

THOUGHTS = [
    "The sender used first names, so it should be friendly.",
    "A formal tone seems right.",
    "Too formal may sound cold.",
    "Polite means formal, I think.",
    "I could offer two versions.",
    "But is that what was asked?",
]
DOUBTS = ["", "Wait, ", "Hmm, ", "Actually, ", "OK, but ", "Hold on. ", "Wait, no. "]


def units(data: bytes) -> list[tuple[bytes, int, int, bool]]:
    """What the sentence says, where it begins, where it ends, whether it is one."""
    found, begin = [], 0
    for match in END.finditer(data):
        end = match.end()
        ideographs = match.group()[:1] in (b"\xe3", b"\xef")
        told = ideographs or data[begin:end].rstrip(b"\"')]*_\r")[-1:] in (b".", b"!", b"?")
        if end < begin or (end == begin and not ideographs):
            begin = max(begin, end + 1) if data[end : end + 1] in (b" ", b"\n") and not ideographs else begin
            continue
        body = BODY.search(data, begin, end)
        if body:
            low, high = body.span()
            lead = LEAD.match(data, low, high)
            wide = data.find("，".encode(), low, min(high, low + 15))
            if lead and lead.group().index(b",") < 24 and (wide < 0 or wide > lead.start() + lead.group().index(b",")):
                low = min(lead.end(), high)
            elif wide >= 0 and data.count(b" ", low, wide) < 2:
                low = wide + 3
            said = data[low:high]
            if sum(byte >= 0x80 or chr(byte).isalpha() for byte in said) >= 12:
                found.append((bytes(byte | 0x20 for byte in said), low, end, told))
        begin = end if ideographs else end + 1
    return found


def expected(data: bytes) -> tuple[int, int, int]:
    """The highest score of the streak that is open, where that ended, and the score."""
    copies: dict[bytes, int] = {}
    last: dict[bytes, int] = {}
    score = top = to = 0
    back: set[bytes] = set()
    for said, low, end, told in units(data):
        if not told and score == 0:
            continue
        copies[said] = copies.get(said, 0) + 1 if low - last.get(said, -REACH) <= REACH and said in last else 1
        last[said] = low
        if copies[said] == 1:
            score = max(0, score - COST)
            top = top if score else 0
        elif told and copies[said] >= 3:
            back = back if score else set()
            back.add(said)
            score += 1
            if len(back) >= DISTINCT and score >= top:
                top, to = score, end
    return top, to, score


words = st.sampled_from(
    [
        "Wait, no.",
        "The plan is too late.",
        "wait, the plan is too late.",
        "So the answer is 12.",
        "It follows that x is real!",
        "Is it real? ",
        "- An item of a list",
        "(So it goes again.)",
        "\n",
        "\n\n",
        "这是一个很长的句子。",
        "等等，这是一个很长的句子。",
        "真的是这样吗？",
        "new 17 words, of which none was said",
        "**Bold words are said.**",
        "no, it, ",
        "And so on, and on.\r",
    ]
)
texts = st.lists(words, max_size=80).map(" ".join)


def fed(text: str, step: int) -> StreamDetector:
    stream, data = StreamDetector(Detector(in_full=True)), text.encode()
    for at in range(0, len(data), step):
        stream.feed(data[at : at + step])
    return stream


@given(texts, st.integers(1, 300))
@settings(max_examples=400, deadline=None)
def test_what_a_reader_would_count(text: str, step: int) -> None:
    state = fed(text, step)._state
    top, to, score = expected(text.encode())
    assert (state[sentences.TOP], state[sentences.SCORE]) == (top, score)
    if top:
        assert state[sentences.TO] == to


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("One sentence that says it. Another", [b"one sentence that says it"]),
        ("Wait, one sentence that says it. ", [b"one sentence that says it"]),
        ("Oh well, one sentence that says it.\n", [b"one sentence that says it"]),
        ("Where the tall one goes, nobody says it. ", [b"where the tall one goes, nobody says it"]),
        ('"One sentence that says it!" ', [b"one sentence that says it"]),
        ("a heading without an end\n", [b"a heading without an end"]),
        ("Too short. ", []),
        ("等等，这是一个很长的句子。", ["这是一个很长的句子。".encode()]),
        ("这是一个很长的句子。然后", ["这是一个很长的句子。".encode()]),
    ],
)
def test_sentences(text: str, said: list[bytes]) -> None:
    assert [unit[0] for unit in units(text.encode())] == [bytes(byte | 0x20 for byte in one) for one in said]


def reasoning(sentences_said: int, seed: int = 1) -> str:
    draw = random.Random(seed)
    said = []
    for _ in range(sentences_said):
        doubt, thought = draw.choice(DOUBTS), draw.choice(THOUGHTS)
        said.append(
            doubt + (thought[0].lower() + thought[1:] if doubt.endswith(", ") or doubt.endswith("but ") else thought)
        )
    return "\n\n".join(said)


ALONE = Detector(stretch_score=1e6, open_score=1e6, round_score=1e6)


def test_reasoning_that_goes_round() -> None:
    task = "Should the reply be formal or friendly? Let me think about the tone.\n\n"
    flagged = [n for n in range(1, 60) if ALONE.detect(task + reasoning(n) + "\n").looping]
    assert flagged == list(range(flagged[0], 60))
    assert 18 <= flagged[0] <= 34
    found = detect(task + reasoning(40) + "\n")
    assert found.looping
    alone = ALONE.detect(task + reasoning(40) + "\n")
    assert alone.loop is not None
    assert (alone.reason, alone.loop.kind, alone.terminal) == ("ends_recycling", "near", True)
    assert len(task) - 1 <= alone.loop.start <= len(task) + 120
    assert (
        not Detector(stretch_score=1e6, open_score=1e6, round_score=1e6, sentence_again=1e6)
        .detect(task + reasoning(40))
        .looping
    )


def test_a_stream_says_so_at_the_same_sentence() -> None:
    text = "Let me think about the tone.\n\n" + reasoning(40) + "\n"
    stream, found = StreamDetector(ALONE), []
    for at in range(0, len(text), 7):
        found.append(stream.feed(text[at : at + 7]) is not None)
        assert found[-1] == ALONE.detect(text[: at + 7]).looping
    assert not found[0]
    assert found[-1]


def test_an_answer_at_last() -> None:
    """A line or two may follow; then it is a loop that the text recovered from. More than that, and none is found."""
    line = "So I write it in a friendly tone, and here it is for you to read.\n"
    found = ALONE.detect(reasoning(50) + "\n</think>\n" + line)
    assert found.looping
    assert not found.terminal
    more = "".join(
        f"Then {name} wrote another line that nobody had read.\n"
        for name in ("Ada", "Ben", "Cleo", "Dan", "Eve", "Fay", "Gus")
    )
    assert not ALONE.detect(reasoning(50) + "\n" + line + more).looping


def test_refrains_and_scales_are_none() -> None:
    chorus = (
        "This is not the house I had!\nWhere does that road lead to?\nHow did I get to this place?\nWhat is it I did?\n"
    )
    draw = random.Random(5)

    def verse() -> str:
        return "".join("".join(draw.choices("abcdefghijklmnopr st", k=40)) + "\n" for _ in range(4))

    assert not detect("\n".join(verse() + "\n" + chorus for _ in range(6))).looping
    scale = "- I agree with it entirely.\n- I agree with it in part.\n- I do not agree with it.\n"
    assert not detect("".join(f"{k}. {verse()[:39]}?\n{scale}\n" for k in range(12))).looping
