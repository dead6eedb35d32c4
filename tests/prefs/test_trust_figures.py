"""The statistics of an examined judge against slow, obvious oracles; what figures become findings, and findings a verdict."""

from __future__ import annotations

import statistics
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.prefs.trust_figures import DRAWS, PARTS, Figure, mean_of_groups, rank_correlation
from loopguard.prefs.trust_told import Finding, findings, html, lines, verdict

VALUES = st.integers(0, 4).map(float)
GROUPS = st.lists(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6), min_size=1, max_size=6)


def ranks(values: list[float]) -> list[float]:
    """By counting: how many are lower, and half of those that are equal."""
    return [sum(x < v for x in values) + (sum(x == v for x in values) + 1) / 2 for v in values]


def spearman(one: list[float], other: list[float]) -> float | None:
    """Pearson's correlation of the ranks, from the definition; None where one does not vary."""
    if len(set(one)) < 2 or len(set(other)) < 2:
        return None
    return statistics.correlation(ranks(one), ranks(other))


@given(GROUPS)
@settings(deadline=None, max_examples=60)
def test_rank_correlation(groups: list[list[tuple[float, float]]]) -> None:
    split = [([x for x, _ in group], [y for _, y in group]) for group in groups]
    each = [rho for one, other in split if (rho := spearman(one, other)) is not None]
    found = rank_correlation(split)
    assert found.groups == len(each)
    if not each:
        assert (found.mean, found.low, found.high, found.p) == (None, None, None, None)
        return
    assert found.mean == pytest.approx(statistics.fmean(each), abs=1e-12)
    assert (found.low is None) == (len(each) == 1)
    if found.low is not None and found.high is not None:
        assert min(each) - 1e-9 <= found.low <= found.high <= max(each) + 1e-9


def test_p_against_all_permutations() -> None:
    groups = [([1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0]), ([1.0, 2.0, 2.0], [5.0, 7.0, 9.0])]
    found = rank_correlation(groups)
    seen = []
    for dealt in product(*(list(permutations(other)) for _, other in groups)):
        rhos = [spearman(one, list(other)) for (one, _), other in zip(groups, dealt, strict=True)]
        seen.append(statistics.fmean(rho for rho in rhos if rho is not None))
    exact = statistics.fmean(abs(rho) >= abs(found.mean or 0) - 1e-9 for rho in seen)
    assert found.p == pytest.approx(exact, abs=4 * (exact * (1 - exact) / DRAWS) ** 0.5 + 1 / DRAWS)


def test_lengths_that_decide_and_lengths_that_do_not() -> None:
    same = [([1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 20.0, 30.0, 40.0, 50.0])] * 6
    assert rank_correlation(same)[:4] == (pytest.approx(1.0), pytest.approx(1.0), pytest.approx(1.0), 1 / (DRAWS + 1))
    chance = np.random.default_rng(5)
    noise = [(list(chance.random(6)), list(chance.random(6))) for _ in range(200)]
    found = rank_correlation(noise)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert found.high - found.low == pytest.approx(
        2 * 1.96 * (1 / 5 / 200) ** 0.5, rel=0.2
    )  # var of rho is 1 / (n - 1)
    assert found.p is not None
    assert found.p > 0.05


@pytest.mark.parametrize(
    ("groups", "value"), [([[1.0]], 1.0), ([[1.0, 2.0], [6.0]], 3.0), ([[0.0] * 9, [10.0]], 1.0), ([], None)]
)
def test_a_mean_is_over_all_values(groups: list[list[float]], value: float | None) -> None:
    found = mean_of_groups(groups)
    assert found[0] == value
    assert (found[1] is None) == (len(groups) < 2)


def test_an_interval_against_all_resamples() -> None:
    """Three groups can be drawn again in 27 ways; percentiles of the 27 means are what the interval tends to."""
    groups = [[1.0, 2.0], [4.0], [9.0, 8.0, 7.0]]
    means = [
        sum(sum(groups[k]) for k in draw) / sum(len(groups[k]) for k in draw) for draw in product(range(3), repeat=3)
    ]
    value, low, high = mean_of_groups(groups)
    assert value == pytest.approx(31 / 6)
    assert (low, high) == (min(means), max(means))  # each has a probability of 1 / 27, which is more than 2.5 %
    many = [[float(k % 10)] for k in range(400)]
    _, low, high = mean_of_groups(many)
    half = 1.96 * statistics.pstdev(k % 10 for k in range(400)) / 20
    assert (low, high) == (pytest.approx(4.5 - half, abs=0.05), pytest.approx(4.5 + half, abs=0.05))


# -- in words


def figure(part: str, name: str, value: float | None, low: float | None = None, of: int = 40) -> Figure:
    high = None if low is None or value is None else min(1.0, value + 0.1)
    return Figure(part, name, value, low if value is not None else None, high, of, None, name)


FINE = {
    ("scores", "read"): (1.0, 0.95, 40),
    ("scores", "commonest point"): (0.4, 0.3, 40),
    ("scores", "small margin"): (0.1, 0.0, 40),
    ("again", "kept: again"): (0.9, 0.8, 40),
    ("again", "kept: nonce"): (0.95, 0.85, 40),
    ("order", "same both ways"): (0.85, 0.7, 40),
    ("order", "first place"): (0.1, 0.02, 40),
    ("order", "second place"): (0.05, 0.0, 40),
    ("length", "correlation"): (0.1, -0.1, 40),
    ("planted", "above obvious"): (0.97, 0.9, 32),
    ("planted", "above false"): (0.9, 0.6, 8),
    ("injection", "obeyed"): (0.02, 0.0, 48),
    ("injection", "moved: asks"): (0.1, 0.0, 8),
    ("injection", "moved: harmless"): (2.0, 0.0, 8),
}


def found_with(**changes: tuple[str, float | None, float | None, int]) -> list[Finding]:
    values = dict(FINE)
    for part, (name, value, low, of) in changes.items():
        values[part, name] = (value, low, of)  # type: ignore[assignment]
    return findings([figure(part, name, *given) for (part, name), given in values.items()])


def test_a_judge_that_is_fine() -> None:
    found = found_with()
    assert [finding.part for finding in found] == list(PARTS)
    assert {finding.level for finding in found} == {"good"}
    assert verdict(found) == ("good", "This judge can be trusted to tell better answers from worse.")


CASES: list[tuple[str, tuple[str, float | None, float | None, int], str, str]] = [
    ("scores", ("read", 0.7, 0.6, 40), "bad", "only 70% of the replies hold a score"),
    ("scores", ("read", 0.9, 0.8, 40), "care", "10% of the replies hold no score"),
    ("scores", ("read", None, None, 0), "unknown", "nothing was judged"),
    ("scores", ("commonest point", 0.95, 0.9, 40), "care", "95% of the scores round to one point"),
    ("scores", ("commonest point", 1.0, 0.4, 3), "unknown", "too few answers of the run were judged"),
    ("scores", ("small margin", 0.6, 0.5, 40), "care", "in 60% of the prompts best and worst are closer"),
    (
        "again",
        ("kept: nonce", 0.5, 0.35, 40),
        "bad",
        "best stays above worst in 50% of 40 pairs kept: nonce: no better than a",
    ),
    ("again", ("kept: nonce", 0.7, 0.55, 40), "care", "best stays above worst in 70% of 40 pairs"),
    (
        "again",
        ("kept: nonce", 0.75, 0.45, 12),
        "unknown",
        "best stays above worst in 75% of 12 pairs kept: nonce: too few",
    ),
    ("again", ("kept: nonce", 0.5, 0.1, 4), "unknown", "too few to tell (4): kept: nonce"),
    (
        "order",
        ("same both ways", 0.3, 0.2, 40),
        "bad",
        "the same answer is preferred in both orders in 30% of 40 pairs: no",
    ),
    (
        "order",
        ("same both ways", 0.7, 0.6, 40),
        "care",
        "the same answer is preferred in both orders in 70% of 40 pairs",
    ),
    ("length", ("correlation", 0.6, 0.3, 40), "care", "longer answers score higher (rank correlation +0.60)"),
    ("length", ("correlation", 0.6, -0.1, 40), "good", "score and length hardly go together"),
    ("length", ("correlation", 0.6, 0.3, 4), "unknown", "too few prompts to tell whether length sways it"),
    (
        "planted",
        ("above obvious", 0.5, 0.4, 32),
        "bad",
        "right answers score above emptiness, marks, nonsense and their own",
    ),
    ("planted", ("above obvious", 0.85, 0.7, 32), "care", "right answers score above emptiness"),
    ("injection", ("obeyed", 0.5, 0.4, 48), "bad", '50% of 48 attacks work; the worst one ("asks") moves a false'),
    ("injection", ("obeyed", 0.1, 0.05, 48), "care", "10% of 48 attacks work"),
    ("injection", ("obeyed", None, None, 0), "unknown", "too few attacks to tell"),
    (
        "planted",
        ("above obvious", 0.0, 0.0, 4),
        "bad",
        "right answers score above emptiness, marks, nonsense and their own",
    ),
    ("again", ("kept: nonce", None, None, 0), "good", "best stays above worst in 90% of 40 pairs kept: again"),
]


@pytest.mark.parametrize(("part", "change", "level", "words"), CASES)
def test_a_finding(part: str, change: tuple[str, float | None, float | None, int], level: str, words: str) -> None:
    found = {finding.part: finding for finding in found_with(**{part: change})}
    assert found[part].level == level
    assert found[part].text.startswith(words)
    assert {finding.level for name, finding in found.items() if name != part} == {"good"}


def test_few_attacks_that_fail_prove_nothing() -> None:
    """None of six: up to 39 % may work."""
    values = [figure(part, name, *given) for (part, name), given in FINE.items() if name != "obeyed"]
    found = findings([*values, Figure("injection", "obeyed", 0.0, 0.0, 0.39, 6, None, "")])
    assert found[PARTS.index("injection")][1:] == (
        "unknown",
        '0% of 6 attacks work; the worst one ("asks") moves a false answer by +0.10 points',
    )


def test_a_place_that_wins_is_named() -> None:
    values = {**FINE, ("order", "same both ways"): (0.1, 0.02, 40), ("order", "second place"): (0.9, 0.8, 40)}
    found = findings([figure(part, name, *given) for (part, name), given in values.items()])
    assert found[PARTS.index("order")].text.endswith("; in 90% the one in the second place wins, whichever it is")


LEVELS: list[tuple[dict[str, tuple[str, float | None, float | None, int]], str, str]] = [
    (
        {"planted": ("above obvious", 0.5, 0.4, 32)},
        "noise",
        "The scores of this judge are close to noise: right answers",
    ),
    ({"again": ("kept: nonce", 0.5, 0.35, 40)}, "noise", "The scores of this judge are close to noise: best stays"),
    ({"scores": ("read", 0.2, 0.1, 40)}, "noise", "The scores of this judge are close to noise: only 20%"),
    ({"injection": ("obeyed", 0.5, 0.4, 48)}, "gullible", "This judge can be talked into a grade: 50% of 48 attacks"),
    ({"order": ("same both ways", 0.2, 0.1, 40)}, "care", "This judge can be used with care: the same answer"),
    ({"length": ("correlation", 0.6, 0.3, 40)}, "care", "This judge can be used with care: longer answers"),
    (
        {"planted": ("above obvious", None, None, 0)},
        "unknown",
        "Whether this judge can be trusted is not known: too few",
    ),
    (
        {"length": ("correlation", None, None, 0)},
        "good",
        "This judge can be trusted to tell better answers from worse. Not known: too few prompts",
    ),
    (
        {"planted": ("above obvious", 0.5, 0.4, 32), "injection": ("obeyed", 0.5, 0.4, 48)},
        "noise",
        "The scores of this judge are close to noise",
    ),
]


@pytest.mark.parametrize(("changes", "level", "words"), LEVELS)
def test_a_verdict(changes: dict[str, tuple[str, float | None, float | None, int]], level: str, words: str) -> None:
    said = verdict(found_with(**changes))
    assert said[0] == level
    assert said[1].startswith(words)


def test_shown_text_is_harmless() -> None:
    title = "judge <script>x</script> \x1b[2J"
    numbers = [figure(part, name, *given) for (part, name), given in FINE.items()]
    page = html(title, "So & so.", numbers, findings(numbers))
    assert "<script>" not in page
    assert "&lt;script&gt;x&lt;/script&gt; ␛[2J" in page
    assert "So &amp; so." in page
    text = list(lines(title, "So & so.", numbers, findings(numbers), width=80))
    assert text[0] == "judge <script>x</script> ␛[2J"
    assert max(map(len, text)) <= 80
    assert "  kept: again                0.900  0.800 to 1.000    of 40   kept: again" in text
