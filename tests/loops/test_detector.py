"""Cases with the exact reason, kind and span; degenerate inputs; settings; calibration."""

from __future__ import annotations

import gc
import random
import sys

import numpy as np
import pytest

from loopguard.errors import InputError
from loopguard.loops.detector import REASONS, Detector, _room, detect
from loopguard.loops.settings import DetectorSettings

PROSE = (
    "The harbour was quiet when the ferry came in, and only two people stood on the pier. One of them held a letter that had "
    "travelled further than he ever would. Gulls argued over a crust of bread while the captain counted ropes twice.\n\n"
)
SENTENCE = "I will check the numbers once more before I answer. "
RNG = random.Random(3)
SALAD = [
    f"{a}{b}" for a in ("bla", "cor", "dim", "fen", "gol", "hur") for b in ("ba", "ce", "di", "fo", "gu", "ry", "sta")
]


def shuffled(rounds: int) -> str:
    rng = random.Random(7)
    pool = [
        "First we look at the left side. ",
        "Then the right side must be simplified. ",
        "Wait, that cannot be right! ",
        "Let me go back to the equation. ",
    ]
    return "".join("".join(rng.sample(pool, 4)) for _ in range(rounds))


LOOPING = [
    (
        "sentence",
        PROSE + SENTENCE * 9,
        "repeats_verbatim",
        "verbatim",
        len(PROSE),
        len(PROSE) + 9 * len(SENTENCE),
        52,
        True,
    ),
    (
        "cut",
        PROSE + (SENTENCE * 9)[:-11],
        "repeats_verbatim",
        "verbatim",
        len(PROSE),
        len(PROSE) + 9 * 52 - 11,
        52,
        True,
    ),
    ("from the start", "no, " * 100, "repeats_short", "verbatim", 0, 400, 4, True),
    ("recovered", SENTENCE * 12 + PROSE, "repeats_verbatim", "verbatim", 0, 12 * 52, 52, False),
    (
        "short at the end",
        PROSE + "Gang, Posse, Club, Crew. " * 5,
        "ends_repeating",
        "verbatim",
        len(PROSE),
        len(PROSE) + 125,
        25,
        True,
    ),
    ("dots", PROSE + "." * 400, "repeats_short", "verbatim", len(PROSE), len(PROSE) + 400, 1, True),
    ("newlines", PROSE + "\n" * 400, "repeats_short", "verbatim", len(PROSE) - 2, len(PROSE) + 400, 1, True),
    ("Chinese", "我们再检查一遍这个答案。" * 20, "repeats_verbatim", "verbatim", 0, 240, 12, True),
    ("emoji", "🙂" * 120, "repeats_short", "verbatim", 0, 120, 1, True),
    ("no spaces", PROSE + "nansansa" * 60, "repeats_short", "verbatim", len(PROSE), len(PROSE) + 480, 8, True),
    ("JSON string", '{"query": "' + "sort by price, " * 40 + '"}', "repeats_verbatim", "verbatim", 11, 611, 15, True),
]
NOT_LOOPING = {
    "prose": PROSE,
    "said twice": PROSE * 2,
    "said three times, then on": (PROSE * 3) + "And then the ferry left for the islands, slower than the tide had promised.",
    "rule": PROSE + "=" * 120 + "\n" + PROSE,
    "table": "| name | city |\n|---|---|\n" + "".join(f"| {w} | {v} |\n" for w, v in zip(SALAD, SALAD[::-1], strict=True)),
    "padded table": "| a" + " " * 600 + "|\n|" + "-" * 600 + "|\n| b" + " " * 600 + "|\n",
    "times table": "\n".join(f"{a} x {b} = {a * b}" for a in range(1, 13) for b in range(1, 13)),
    "primes": ", ".join(str(n) for n in range(2, 2500) if all(n % d for d in range(2, int(n**0.5) + 1))),
    "rows": "\n".join(f'{{"name": "{w}", "score": {RNG.randint(0, 999)}}}' for w in SALAD),
    "DNA": "".join(RNG.choice("ACGT") for _ in range(3000)),
    "tests": "\n".join(f"def test_{w}():\n    assert parse('{w[::-1]}') == {i * i % 101}\n" for i, w in enumerate(SALAD)),
}  # fmt: skip
DEGENERATE = {
    "empty": "", "one": "a", "two": "aa", "shorter than an n-gram": "a b c", "NUL": "\0", "NULs": "\0" * 50,
    "lone surrogate": "\ud800", "surrogates": "\udfff\ud800" * 9, "invalid bytes": b"\xff\xfe\x80",
    "continuations": b"\x80" * 5000,
    "lead bytes": b"\xf0" * 999, "no ids": [], "one id": [5], "negative ids": [-1, -1, -2], "huge ids": [2**70, -(2**90), 0],
    "bools": [True, False], "array": np.array([], np.int32), "planes": "".join(chr(p * 65536 + 65) for p in range(17)),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "reason", "kind", "start", "end", "period", "terminal"), LOOPING)
def test_loops(name: str, text: str, reason: str, kind: str, start: int, end: int, period: int, terminal: bool) -> None:
    verdict = detect(text)
    loop = verdict.loop
    assert loop is not None
    assert (verdict.reason, loop.kind, loop.start, loop.end, loop.period) == (reason, kind, start, end, period)
    assert loop.terminal is terminal
    assert loop.repeats == pytest.approx((end - start) / period)


def test_near_loops() -> None:
    verdict = detect(PROSE + shuffled(14))
    assert (verdict.reason, verdict.loop.kind) == ("recycles", "near")  # type: ignore[union-attr]
    assert abs(verdict.onset - len(PROSE)) < 140  # type: ignore[operator]
    assert verdict.terminal


def test_counter() -> None:
    text = PROSE + "".join(f"{i}. Maritime Technology\n" for i in range(1, 80))
    verdict = detect(text)
    assert (verdict.reason, verdict.loop.kind, verdict.terminal) == ("counts_on", "counter", True)  # type: ignore[union-attr]
    assert abs(verdict.onset - len(PROSE)) <= 24  # type: ignore[operator]


def test_numbers_alone() -> None:
    assert detect(", ".join(str(5 * n) for n in range(400))).reason == "counts_on"


@pytest.mark.parametrize("name", NOT_LOOPING)
def test_look_alikes(name: str) -> None:
    verdict = detect(NOT_LOOPING[name])
    assert (verdict.looping, verdict.reason, verdict.loops) == (False, "clean", ())


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_inputs_give_a_verdict(name: str) -> None:
    verdict = detect(DEGENERATE[name])  # type: ignore[arg-type]
    assert verdict.reason in REASONS
    assert verdict.length == len(DEGENERATE[name]) or isinstance(DEGENERATE[name], bytes)
    assert detect(DEGENERATE[name] * 400 if not isinstance(DEGENERATE[name], np.ndarray) else []).reason in REASONS  # type: ignore[operator]


def test_bytes_and_text_agree() -> None:
    text = "привет, мир! " * 60
    assert detect(text) == detect(text.encode())


def test_ids_in_every_form() -> None:
    ids = [7, 8, 9, 4] * 60
    forms = (ids, tuple(ids), np.array(ids), np.array(ids, np.uint16))
    found = {(v.reason, v.loop.period, v.length) for v in map(detect, forms)}  # type: ignore[union-attr]
    assert found == {("repeats_verbatim", 4, 240)}
    assert detect(ids).unit == "tokens"


def test_ids_with_their_bytes_have_the_verdict_of_the_text() -> None:
    vocabulary = [b"The", b" harbour", b" is", b" quiet", b".", b" ", b"1", b"2", b". ", b"\xe4\xbd", b"\xa0"]
    ids = [0, 1, 2, 3, 4] + [5, 0, 1, 4] * 30
    text = b"".join(vocabulary[i] for i in ids)
    found, expected = Detector().detect_tokens(ids, vocabulary), detect(text)
    assert (found.looping, found.reason, found.unit, found.length) == (True, expected.reason, "tokens", len(ids))
    assert (found.loop.start, found.loop.end, found.loop.period) == (4, 125, 4)  # type: ignore[union-attr]
    assert Detector().detect_tokens([9, 10], vocabulary).reason == "clean"
    assert Detector().detect_tokens([], vocabulary).reason == "empty"


def test_batch_is_detect_on_each() -> None:
    rows = [text for _, text, *_ in LOOPING] + list(NOT_LOOPING.values()) + list(DEGENERATE.values())
    assert Detector().detect_batch(rows) == [detect(row) for row in rows]  # type: ignore[arg-type]
    assert Detector().detect_batch(rows * 40, threads=2) == [detect(row) for row in rows] * 40  # type: ignore[arg-type]


def test_a_verdict_does_not_depend_on_the_texts_before() -> None:
    room, texts = _room(1), [*(text for _, text, *_ in LOOPING), *NOT_LOOPING.values(), [7, 8] * 40, list(range(500))]
    expected = []
    for text in texts:
        room.told[0], room.tables[:] = 0, -1
        expected.append(detect(text))
    assert [detect(text) for text in texts] == expected
    room.told[0] = (1 << 30) - 5_000  # positions start again from nought in the midst of these texts
    assert [detect(text) for text in texts] == expected
    assert 0 < room.told[0] < 1 << 29


@pytest.mark.parametrize("collects", [True, False])
def test_many_outputs_leave_the_garbage_collector_as_it_was(collects: bool) -> None:
    seen, rows = [], ["a text"] * 1200

    class Told(list):  # type: ignore[type-arg]
        def __len__(self) -> int:
            seen.append(gc.isenabled())
            return 2

    before = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        Detector().detect_batch([*rows, Told([1, 2])])
        after = gc.isenabled()
    finally:
        (gc.enable if before else gc.disable)()
    assert (set(seen), after) == ({False}, collects)


def test_settings_by_name() -> None:
    assert Detector(min_wasted=900, open_wasted=900, open_score=900).detect(PROSE + SENTENCE * 9).looping is False
    assert Detector(settings=DetectorSettings(min_wasted=10)).settings.min_wasted == 10
    assert Detector().signature == "loopguard:0.1.0|rules:7|settings:default"
    assert Detector(reach=500).signature == "loopguard:0.1.0|rules:7|reach:500"
    with pytest.raises(InputError, match="did you mean min_wasted"):
        Detector(min_waste=3)
    with pytest.raises(InputError, match="above 0"):
        Detector(min_wasted=-1)
    with pytest.raises(InputError, match="whole number"):
        Detector(stretch_copies=2.5)


def noisy_text(rng: random.Random) -> str:
    """Clean text that repeats itself now and then, so that its loudness varies."""
    words = [rng.choice(SALAD) for _ in range(120)]
    return " ".join(words) + "\n" + "-" * rng.randint(0, 200) + "\n" + (" ".join(words[:9]) + "\n") * rng.randint(0, 7)


def test_calibration_bounds_the_share_flagged() -> None:
    rng = random.Random(1)
    for share in (0.02, 0.1):
        flagged = []
        for _ in range(20):
            detector = Detector(open_wasted=10, open_letters=10, min_wasted=40).calibrate(
                [noisy_text(rng) for _ in range(200)], max_flagged=share
            )
            flagged += [verdict.looping for verdict in detector.detect_batch(noisy_text(rng) for _ in range(200))]
        assert sum(flagged) / len(flagged) <= share * 1.25


def test_calibration_flags_exactly_what_is_louder() -> None:
    rng = random.Random(2)
    texts = [noisy_text(rng) for _ in range(99)]
    detector = Detector(open_wasted=10, min_wasted=40).calibrate(texts, max_flagged=0.05)
    assert sum(verdict.looping for verdict in detector.detect_batch(texts)) <= 4


def test_calibration_needs_enough_texts() -> None:
    with pytest.raises(InputError, match="at least 99 clean texts, got 98"):
        Detector().calibrate([PROSE] * 98)
    with pytest.raises(InputError, match="between 0 and 1"):
        Detector().calibrate([PROSE], max_flagged=2)


@pytest.mark.parametrize(("copies", "looping"), [(2, False), (3, False), (3.5, True), (4, True), (5, True)])
def test_a_long_sentence_loops_from_three_and_a_half_copies(copies: float, looping: bool) -> None:
    """DetectorSettings.min_copies, at its edge: said twice or three times is no loop."""
    words = [
        f"{first}{second}"
        for first in ("riv", "lam", "gar", "pap", "win")
        for second in ("er", "ope", "den", "ish", "ow")
    ]
    sentence = " " + " ".join(words) + "."
    text = (
        "Before it, something else was said." + sentence * int(copies) + sentence[: int(len(sentence) * (copies % 1))]
    )
    verdict = detect(text + " And then it went on to other things, which ended well.")
    assert verdict.looping is looping
    if looping:
        assert verdict.loops[0].kind == "verbatim"
        assert verdict.loops[0].repeats == pytest.approx(copies, abs=0.05)


def test_lone_surrogates_among_many() -> None:
    """Where pyarrow is loaded it lays strings out, and refuses lone surrogates."""
    import pyarrow

    assert pyarrow.__name__ in sys.modules
    texts = ["\ud800 x", "so it goes. " * 60, "", "h\u00e9 \ud83d"]
    assert Detector().detect_batch(texts) == [detect(text) for text in texts]


def test_a_counter_begins_where_rows_say_nothing_new() -> None:
    people = [
        ("Ada Byron", "London", "engines"),
        ("Emmy Noether", "Erlangen", "rings"),
        ("Lise Meitner", "Wien", "nuclei"),
    ]
    real = "".join(
        f'{{"id": {k}, "name": "{n}", "city": "{c}", "field": "{f}"}},\n' for k, (n, c, f) in enumerate(people, 1)
    )
    filler = "".join(
        f'{{"id": {k}, "name": "Person {k}", "city": "Town {k * 2}", "field": "fill this in"}},\n' for k in range(4, 40)
    )
    verdict = detect("[\n" + real + filler)
    assert verdict.reason == "counts_on"
    assert verdict.onset is not None
    assert abs(verdict.onset - len("[\n" + real)) <= filler.index("\n") + 1
