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


def test_plain_prose_needs_less() -> None:
    assert Detector().detect(PROSE).reason == "ends_recycling"
    assert Detector(plain_factor=1.0).detect(PROSE).reason == "clean"


def test_the_score_needed_is_the_factor_times_the_setting() -> None:
    for text, factor in ((SQL, "dense_factor"), (PROSE, "plain_factor")):
        plain = Detector(**{factor: 1.0}).detect(text).figures
        found = Detector().detect(text).figures
        assert found["open_score"] == plain["open_score"]
        ratio = {"dense_factor": 2.0, "plain_factor": 0.7}[factor]
        assert abs(found["loudness"] * ratio - plain["loudness"]) < 1e-5
