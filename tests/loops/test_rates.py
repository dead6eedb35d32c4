"""Loop rates by column: counts against a loop written out, intervals against the formula, and bad tables."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopguard import loop_rates, scan
from loopguard.errors import InputError
from loopguard.loops.statistics import Z95, Rate

LOOP = "Wait, let me check that again. " * 40


def test_rates_of_what_scan_gives() -> None:
    verdicts = scan([{"model": "a", "text": LOOP}, {"model": "a", "text": "Four."}, {"model": "b", "text": "Five."}])
    found = loop_rates(verdicts, by="model")
    assert found.columns == ["model", "looping", "total", "rate", "low", "high"]
    assert found.select("model", "looping", "total", "rate").rows() == [("a", 1, 2, 0.5), ("b", 0, 1, 0.0)]
    half, zero = math.sqrt(Z95**2 / (2 + Z95**2)) / 2, Z95**2 / (1 + Z95**2)  # Wilson's formula at 1 of 2 and at 0 of 1
    assert found["low"].to_list() == pytest.approx([0.5 - half, 0.0])
    assert found["high"].to_list() == pytest.approx([0.5 + half, zero])


ROWS = st.tuples(st.sampled_from(["a", "b", None]), st.integers(0, 2), st.sampled_from([True, False, None]))


@given(st.lists(ROWS, max_size=40))
def test_every_group_is_counted_as_by_hand(rows: list[tuple[str | None, int, bool | None]]) -> None:
    kinds = {"x": pl.String, "y": pl.Int64, "looping": pl.Boolean}
    by_hand: dict[tuple[str | None, int], Rate] = {}
    for x, y, looping in rows:
        rate = by_hand.setdefault((x, y), Rate())
        if looping is not None:
            rate.add(looping)
    found = loop_rates(pl.DataFrame(rows, schema=kinds, orient="row"), by=["x", "y"])
    assert {(row.pop("x"), row.pop("y")): row for row in found.to_dicts()} == {
        group: rate.as_dict() for group, rate in by_hand.items()
    }
    rates = [-1.0 if rate is None else rate for rate in found["rate"]]
    assert rates == sorted(rates, reverse=True)


def test_the_whole() -> None:
    assert loop_rates(scan([LOOP, "Four.", "Five.", ""])).row(0)[:3] == (1, 4, 0.25)
    assert loop_rates(pl.DataFrame(schema={"looping": pl.Boolean})).row(0) == (0, 0, None, 0.0, 1.0)


def test_tables_that_are_none() -> None:
    with pytest.raises(InputError, match="no column 'looping' in the table; it has text"):
        loop_rates(pl.DataFrame({"text": ["x"]}))
    with pytest.raises(InputError, match="no column 'modell' in the table; it has text, looping"):
        loop_rates(scan(["x"]).select("text", "looping"), by="modell")
    with pytest.raises(InputError, match="'looping' holds String, not truth values"):
        loop_rates(pl.DataFrame({"looping": ["yes"]}))


def test_a_column_named_twice_is_one_and_one_called_like_a_figure_is_none() -> None:
    table = pl.DataFrame({"looping": [True, False], "source_kind": ["a", "b"], "source_rate": [1, 2], "total": [3, 4]})
    for by in (["kind", "kind"], ["kind", "source_kind"]):
        assert loop_rates(table, by=by).select("kind", "looping").rows() == [("a", 1), ("b", 0)]
    assert loop_rates(table, by="rate").select("source_rate", "rate").rows() == [(1, 1.0), (2, 0.0)]
    with pytest.raises(InputError, match="'total' is a column of the result; rename that of the table to group by it"):
        loop_rates(table, by="total")
    with pytest.raises(InputError, match="no column 'looping' in the table; it has source_looping"):
        loop_rates(pl.DataFrame({"source_looping": [True]}))
