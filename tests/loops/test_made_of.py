"""What a stretch is made of decides how much of it is a loop: prose needs less, rows that each say something new need more."""

from __future__ import annotations

from loopguard.loops.detector import Detector

NAMES = [
    "alpha",
    "bravo",
    "cedar",
    "delta",
    "eagle",
    "falcon",
    "garnet",
    "harbor",
    "island",
    "jungle",
    "kettle",
    "lantern",
    "meadow",
    "nectar",
    "orchid",
    "pepper",
    "quartz",
    "ribbon",
    "saddle",
    "timber",
]
SQL = "".join(
    f"CREATE FUNCTION {name}_in(cstring) RETURNS {name} AS 'MODULE_PATHNAME', '{name}_in' LANGUAGE C STRICT IMMUTABLE;\n"
    f"ALTER FUNCTION {name}_in(cstring) SET (parallel = 'safe', cost = '1', rows = '0', leakproof = 'on');\n"
    for name in NAMES
)
PROSE = "".join(
    f"The committee met on {name} and agreed that the river wall would be raised before the winter storms arrive. "
    for name in NAMES[:8]
)


def test_rows_that_each_say_something_new_need_more() -> None:
    assert Detector().detect(SQL).reason == "clean"
    assert Detector(dense_factor=1.0).detect(SQL).reason == "ends_recycling"


def test_numbers_without_words_need_more() -> None:
    """What a sieve writes down: all numbers, then those that are left, four times."""
    left = [
        " ".join(str(n) for n in range(2, 121) if all(n % q or n == q for q in (2, 3, 5, 7) if q <= p))
        for p in (2, 3, 5, 7)
    ]
    sieve = "\n".join(["Write down the numbers:", " ".join(map(str, range(2, 201))), *left, "These are the primes."])
    assert Detector().detect(sieve).reason == "clean"
    assert Detector(dense_factor=1.0).detect(sieve).reason == "counts_on"


def test_plain_prose_needs_less() -> None:
    assert Detector(words_open=1e6).detect(PROSE).reason == "ends_recycling"
    assert Detector(words_open=1e6, plain_factor=1.0).detect(PROSE).reason == "clean"


def test_the_score_needed_is_the_factor_times_the_setting() -> None:
    for text, factor in ((SQL, "dense_factor"), (PROSE, "plain_factor")):
        plain = Detector(words_open=1e6, words_score=1e6, **{factor: 1.0}).detect(text).figures
        found = Detector(words_open=1e6, words_score=1e6).detect(text).figures
        assert found["open_score"] == plain["open_score"]
        ratio = {"dense_factor": 2.0, "plain_factor": 0.7}[factor]
        assert abs(found["loudness"] * ratio - plain["loudness"]) < 1e-5


WAY = (
    "Past the tannery the road bends north, and whoever walks it in October smells apples before any orchard comes in sight. "
    "A carter once told me that his horse refused that corner for years. Nobody knew why. Then a flood laid bare an old well, "
    "and filling it took eleven loads of gravel. Since then children race each other down the slope, geese follow them, and the "
    "baker, who complains about everything, has put a bench outside his shop so that tired grandmothers may watch. On feast "
    "days somebody brings a fiddle. Rain rarely lasts here."
)
END = " Then he stopped all at once, sat down and thought about what was still to be done before dusk."
SONG = (
    "Oh, the river runs down to the harbour\n"
    "And the bells ring aloud in the town\n"
    "We shall dance till tomorrow is older\n"
    "While the lamps of your market burn down\n"
)


def test_a_long_way_round_is_a_loop_on_fewer_copies() -> None:
    text = WAY * 2 + WAY[: len(WAY) * 2 // 5] + END
    found = Detector().detect(text)
    assert (found.reason, found.loop.kind, found.loop.start, found.loop.period) == (
        "repeats_verbatim",
        "verbatim",
        0,
        len(WAY),
    )
    assert round(found.loop.repeats, 1) == 2.4
    assert Detector(few_copies=2.6).detect(text).reason == "clean"
    assert Detector(few_wasted=1000).detect(text).reason == "clean"
    assert Detector().detect(WAY * 2 + WAY[: len(WAY) // 5] + END).reason == "clean"


def test_a_second_version_is_no_loop() -> None:
    assert Detector().detect(WAY * 2 + END).reason == "clean"


def test_what_is_sung_three_times_is_no_loop() -> None:
    assert (
        Detector().detect("Come, all of you!\n" + SONG * 3 + "So they sang, and went home in the rain.").reason
        == "clean"
    )
    assert Detector().detect("Come, all of you!\n" + SONG * 3).reason == "clean"


def test_a_short_period_needs_200_bytes_and_ten_times_as_many_in_a_table() -> None:
    def around(middle: str) -> str:
        return f"Mick pays for the lessons. {middle} That makes twenty dollars an hour."

    assert Detector().detect(around("to " * 72)).reason == "repeats_short"
    assert Detector().detect(around("to " * 60)).reason == "clean"
    assert Detector().detect(around("-" * 260)).reason == "repeats_short"
    assert Detector().detect(f"| name | value |\n|------|{'-' * 1200}|\n| left | right |\n").reason == "clean"
