"""The generated corpora: what is planted is where the row says, and the same seed gives the same rows."""

import json
import sys

import pytest

from benchmarks.detector import corpora
from benchmarks.detector.installed import installed
from benchmarks.detector.lookalikes import MAKERS, lookalikes
from benchmarks.detector.planted import FAMILIES, planted
from benchmarks.detector.prose import LANGUAGES, Prose, words
from benchmarks.detector.rows import fold, log_uniform, looping, smallest_period

PLANTED = planted()
LOOKALIKES = lookalikes()


def test_sizes_and_families():
    assert len(PLANTED) >= 450
    assert len(LOOKALIKES) >= 600
    assert {row["category"] for row in PLANTED} == {family.__name__ for family in FAMILIES}
    assert {row["category"] for row in LOOKALIKES} == {maker.__name__ for maker in MAKERS}
    assert {row["language"] for row in PLANTED} == {row["language"] for row in LOOKALIKES} == set(LANGUAGES)


def test_same_seed_same_rows():
    assert planted(3, 60) == planted(3, 60)
    assert lookalikes(3, 60) == lookalikes(3, 60)
    assert planted(3, 60) != planted(4, 60)
    assert [row["text"] for row in lookalikes(3, 140)] != [row["text"] for row in lookalikes(4, 140)]


def test_more_rows_leave_the_first_ones_alone():
    assert planted(0, 80)[:60] == planted(0, 60)


@pytest.mark.parametrize("row", PLANTED, ids=lambda row: row["category"])
def test_planted_row(row):
    text, start, end, period = row["text"], row["start"], row["end"], row["period"]
    assert 300 <= len(text) <= 32_000
    assert 0 <= start < end <= len(text)
    assert period >= 1
    assert row["terminal"] == (end == len(text))
    assert row["label"] == ("loop" if row["terminal"] else "recovered")
    assert (end - start) / period >= 3
    if row["kind"] == "verbatim":
        loop = text[start:end]
        assert loop[period:] == loop[:-period]
        assert smallest_period(loop[:period]) == period
        assert start == 0 or text[start - 1] != text[start - 1 + period]
        assert end == len(text) or text[end] != text[end - period]


def test_planted_spread():
    assert {row["kind"] for row in PLANTED} == {"verbatim", "counter", "near"}
    assert 0.1 < sum(row["label"] == "recovered" for row in PLANTED) / len(PLANTED) < 0.3
    periods = [row["period"] for row in PLANTED if row["kind"] == "verbatim"]
    assert min(periods) == 1
    assert max(periods) > 1500
    assert min(row["start"] for row in PLANTED) == 0
    assert max(row["start"] for row in PLANTED) > 8000


@pytest.mark.parametrize("row", LOOKALIKES, ids=lambda row: row["category"])
def test_lookalike_row(row):
    assert 300 <= len(row["text"]) <= 30_000
    assert row["label"] == "ok"
    assert [row[key] for key in ("kind", "start", "end", "period", "terminal")] == [None] * 5


@pytest.mark.parametrize(
    ("prefix", "unit", "copies", "cut", "suffix", "expected"),
    [
        ("x", "ab", 4, 0, "", (1, 9, 2, True)),
        ("x", "ab", 4, 1, "", (1, 8, 2, True)),
        ("xb", "ab", 4, 0, "", (1, 10, 2, True)),  # the prefix happens to end like a copy
        ("x", "abab", 4, 0, "", (1, 17, 2, True)),  # the unit is itself two copies
        ("x", "ab", 4, 0, "c", (1, 9, 2, False)),
        ("x", "ab", 4, 0, "ac", (1, 10, 2, False)),  # what follows happens to begin like a copy
        ("", "a", 4, 0, "", (0, 4, 1, True)),
    ],
)
def test_truth_is_widened(prefix, unit, copies, cut, suffix, expected):
    row = looping(
        prefix=prefix, copies=[unit] * copies, kind="verbatim", category="c", language="en", cut=cut, suffix=suffix
    )
    assert (row["start"], row["end"], row["period"], row["terminal"]) == expected


@pytest.mark.parametrize(("unit", "period"), [("a", 1), ("aa", 1), ("ab", 2), ("abab", 2), ("aba", 3), ("abcabc", 3)])
def test_smallest_period(unit, period):
    assert smallest_period(unit) == period


@pytest.mark.parametrize("language", LANGUAGES)
def test_prose_does_not_repeat_itself(language):
    import random

    data = Prose(random.Random(1), language).text(4000).encode()
    grams = [data[i : i + 24] for i in range(len(data) - 24)]
    assert 1 - len(set(grams)) / len(grams) < 0.12


def test_folds_split_both_parts():
    for rows in (PLANTED, LOOKALIKES):
        share = sum(fold(row["category"]) == "dev" for row in rows) / len(rows)
        assert 0.3 < share < 0.7
    assert {row["kind"] for row in PLANTED if fold(row["category"]) == "test"} == {"verbatim", "counter", "near"}


def test_installed_files_are_read_in_place():
    rows = installed(0, 40)
    assert rows == installed(0, 40)
    assert all(row["label"] == "ok" and row["category"].startswith("installed_") for row in rows)
    assert all(300 <= len(row["text"]) <= 30_000 for row in rows)


def test_corpus_leaves_installed_files_out():
    assert not any(row["category"].startswith("installed_") for row in corpora.corpus())


def test_command_writes_jsonl(tmp_path, monkeypatch):
    out = tmp_path / "rows.jsonl"
    monkeypatch.setattr(sys, "argv", ["corpora", "planted", "--fold", "dev", "--out", str(out)])
    corpora.main()
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert rows == [row for row in PLANTED if fold(row["category"]) == "dev"]


def test_words_and_log_uniform():
    import random

    assert words("a b") == ["a", "b"]
    assert all(2 <= log_uniform(random.Random(i), 2, 8) <= 8 for i in range(50))
