"""From judged candidates to pairs: every reason for none, ties, margins, trimming; and what holds of any candidates."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.prefs import pairing
from loopguard.prefs.pairing import SKIP_REASONS, make_pairs, merge_equal, trim
from loopguard.prefs.recipe import PairingSection
from loopguard.records import Candidate, Pair, Skip
from tests.prefs.made import PROMPT, candidate, clean, loop, looped

RULES = PairingSection()


def paired(candidates: Sequence[Candidate], *, judged: bool = True, **rules: Any) -> list[tuple[int, int, str]]:
    """(chosen, rejected, reason) of every pair."""
    pairs = make_pairs(PROMPT, merge_equal(candidates), PairingSection(**rules), judged=judged)
    assert isinstance(pairs, list), pairs
    assert [pair.pair_index for pair in pairs] == list(range(len(pairs)))
    assert all(pair.prompt is PROMPT for pair in pairs)
    return [(pair.chosen.index, pair.rejected.index, pair.reason) for pair in pairs]


def skipped(candidates: Sequence[Candidate], *, judged: bool = True, **rules: Any) -> tuple[str, str]:
    """(reason, detail) of a prompt without a pair."""
    skip = make_pairs(PROMPT, merge_equal(candidates), PairingSection(**rules), judged=judged)
    assert isinstance(skip, Skip), skip
    assert skip.status == "skipped"
    return skip.reason, skip.detail


CUT = {"finish_reason": "length"}
NO_SCORE = {"judge_error": "no score in 3 replies: 'I cannot'"}
SKIPS: list[tuple[str, list[Candidate], dict[str, Any], tuple[str, str]]] = [
    ("all loop", [loop(0, 5), loop(1, 6)], {}, ("all_looping", "")),
    (
        "the rest is empty",
        [loop(0, 5), candidate(1, ""), candidate(2, " ")],
        {},
        ("all_looping", "1 of 3 loop, the others are empty"),
    ),
    ("nobody speaks", [candidate(0, ""), candidate(1, " \n")], {}, ("all_empty", "")),
    ("only thinks", [candidate(0, "<think>\nHm", content="")], {}, ("all_empty", "")),
    ("no candidates", [], {}, ("all_empty", "")),
    ("all cut", [candidate(0, "a", 4, **CUT), candidate(1, "b", 2, **CUT)], {}, ("none_finished", "")),
    ("cut beside a loop", [candidate(0, "a", 4, **CUT), loop(1, 5)], {}, ("none_finished", "")),
    ("all equal", [candidate(0, "a", 4), candidate(1, "a"), candidate(2, "a\n")], {}, ("all_equal", "")),
    ("all equal, never judged", [candidate(0, "a"), candidate(1, "a")], {}, ("all_equal", "")),
    ("all equal, all cut", [candidate(0, "a", **CUT), candidate(1, "a", **CUT)], {}, ("all_equal", "")),
    ("one", [candidate(0, "a", 4)], {}, ("one_candidate", "")),
    ("one, the rest empty", [candidate(0, "a"), candidate(1, ""), candidate(2, "")], {}, ("one_candidate", "")),
    ("no judge", [candidate(0, "a"), candidate(1, "b")], {"judged": False}, ("no_judge", "")),
    (
        "no score",
        [candidate(0, "a", **NO_SCORE), candidate(1, "b", **NO_SCORE)],
        {},
        ("unscored", "no score in 3 replies: 'I cannot'"),
    ),
    (
        "no score to compare with",
        [candidate(0, "a", 3), candidate(1, "b", **NO_SCORE)],
        {},
        ("unscored", "no score in 3 replies: 'I cannot'"),
    ),
    ("no score for either that ended", [candidate(0, "a"), candidate(1, "b"), loop(2, 9)], {}, ("unscored", "")),
    ("tie", [candidate(0, "a", 3), candidate(1, "b", 3)], {}, ("tie", "best finished at 3.000, worst other at 3.000")),
    (
        "noise is a tie",
        [candidate(0, "a", 3), candidate(1, "b", 3 + 1e-12)],
        {"min_margin": 0.0},
        ("tie", "best finished at 3.000, worst other at 3.000"),
    ),
    (
        "better ones were cut off",
        [candidate(0, "a", 3), candidate(1, "b", 4, **CUT)],
        {},
        ("none_worse", "best finished at 3.000, worst other at 4.000"),
    ),
    ("close", [candidate(0, "a", 3.2), candidate(1, "b", 3)], {}, ("small_margin", "0.200 < 0.25")),
]


@pytest.mark.parametrize(("candidates", "given_", "expected"), [case[1:] for case in SKIPS], ids=[c[0] for c in SKIPS])
def test_no_pair(candidates: list[Candidate], given_: dict[str, Any], expected: tuple[str, str]) -> None:
    assert skipped(candidates, **given_) == expected


def test_every_reason_is_named_and_every_name_is_given() -> None:
    """The reasons that pairing gives are those of the table above; the others are the runner's and the second look's."""
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(pairing))) if isinstance(node, ast.Call)]
    texts = {
        leaf.value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "_skip"
        for leaf in ast.walk(call.args[0])
        if isinstance(leaf, ast.Constant)
    } | {"none_worse", "tie"}
    assert texts == {case[3][0] for case in SKIPS}
    assert set(SKIP_REASONS) == texts | {"prompt_too_long", "not_answered", "broken_row", "second_look"}
    assert all(SKIP_REASONS.values())


PAIRS: list[tuple[str, list[Candidate], dict[str, Any], list[tuple[int, int, str]]]] = [
    ("best against worst", [candidate(k, str(k), s) for k, s in enumerate([3, 1, 5])], {}, [(2, 1, "score")]),
    ("of equals the first", [candidate(k, str(k), s) for k, s in enumerate([1, 5, 1, 5])], {}, [(1, 0, "score")]),
    ("at the margin", [candidate(0, "a", 3.3), candidate(1, "b", 3.05)], {}, [(0, 1, "score")]),
    ("no margin", [candidate(0, "a", 3.01), candidate(1, "b", 3)], {"min_margin": 0.0}, [(0, 1, "score")]),
    (
        "worst first, as far as the margin goes",
        [candidate(k, str(k), s) for k, s in enumerate([2, 5, 4.9, 1, 4.75])],
        {"max_pairs_per_prompt": 9},
        [(1, 3, "score"), (1, 0, "score"), (1, 4, "score")],
    ),
    (
        "no more than wanted",
        [candidate(k, str(k), k) for k in range(6)],
        {"max_pairs_per_prompt": 2},
        [(5, 0, "score"), (5, 1, "score")],
    ),
    ("a cut one is rejected", [candidate(0, "a", 3), candidate(1, "b", 1, **CUT)], {}, [(0, 1, "score")]),
    (
        "a cut one is never chosen, nor rejected when better",
        [candidate(0, "a", 3), candidate(1, "b", 5, **CUT), candidate(2, "c", 1)],
        {"max_pairs_per_prompt": 9},
        [(0, 2, "score")],
    ),
    (
        "an empty one is no candidate",
        [candidate(0, "a", 3), candidate(1, ""), candidate(2, "c", 1)],
        {},
        [(0, 2, "score")],
    ),
    (
        "one without a score is left out",
        [candidate(0, "a", 3), candidate(1, "b", **NO_SCORE), candidate(2, "c", 1)],
        {"max_pairs_per_prompt": 9},
        [(0, 2, "score")],
    ),
    (
        "a loop is rejected whatever the judge says of it",
        [candidate(0, "a", 1), loop(1, 9, score=5), candidate(2, "b", 3)],
        {},
        [(2, 1, "loop")],
    ),
    ("a loop that ended by itself too", [candidate(0, "a", 1), loop(1, 9, finish_reason="stop")], {}, [(0, 1, "loop")]),
    (
        "the most wasteful loops, then the first",
        [candidate(0, "a", 1), loop(1, 5), loop(2, 9, unit="cd "), loop(3, 9)],
        {"max_pairs_per_prompt": 2},
        [(0, 2, "loop"), (0, 3, "loop")],
    ),
    (
        "nothing but loops where something loops",
        [candidate(0, "a", 5), candidate(1, "b", 1), loop(2, 5)],
        {"max_pairs_per_prompt": 9},
        [(0, 2, "loop")],
    ),
    (
        "equal loops are one",
        [candidate(0, "a", 5), loop(1, 5), loop(2, 5)],
        {"max_pairs_per_prompt": 9},
        [(0, 1, "loop")],
    ),
    (
        "loops that are equal once trimmed are one",
        [candidate(0, "a", 5), loop(1, 5), loop(2, 9), loop(3, 7, unit="cd ")],
        {"max_pairs_per_prompt": 3, "trim_loops": 2},
        [(0, 2, "loop"), (0, 3, "loop")],
    ),
    (
        "no judge: the first clean one",
        [loop(0, 5), candidate(1, "a"), candidate(2, "b")],
        {"judged": False},
        [(1, 0, "loop")],
    ),
    ("the only one that ended needs no score", [loop(0, 5), candidate(1, "a", **NO_SCORE)], {}, [(1, 0, "loop")]),
    (
        "scored before not scored",
        [loop(0, 5), candidate(1, "a", **NO_SCORE), candidate(2, "b", 1)],
        {},
        [(2, 0, "loop")],
    ),
    (
        "white space can be a loop too",
        [candidate(0, "Yes.", 3), loop(1, 99, unit="\n", lead="Yes.")],
        {},
        [(0, 1, "loop")],
    ),
]


@pytest.mark.parametrize(("candidates", "given_", "expected"), [case[1:] for case in PAIRS], ids=[c[0] for c in PAIRS])
def test_pairs(candidates: list[Candidate], given_: dict[str, Any], expected: list[tuple[int, int, str]]) -> None:
    assert paired(candidates, **given_) == expected


TRIMMED: list[tuple[str, Candidate, int, str]] = [
    ("whole", loop(0, 5, lead="So: "), 0, "So: ab ab ab ab ab "),
    ("two copies", loop(0, 5, lead="So: "), 2, "So: ab ab "),
    ("as many as there are", loop(0, 5, lead="So: "), 5, "So: ab ab ab ab ab "),
    ("more than there are", loop(0, 5, lead="So: "), 6, "So: ab ab ab ab ab "),
    ("what follows a recovered loop goes too", loop(0, 5, tail="The end."), 3, "ab ab ab "),
    ("and stays where the loop is short", loop(0, 5, tail="The end."), 5, "ab ab ab ab ab The end."),
    ("no loop", candidate(0, "ab ab ab ab"), 2, "ab ab ab ab"),
    ("never examined", candidate(0, "ab ab ab ab", verdict=None), 2, "ab ab ab ab"),
    (
        "not a whole number of copies",
        candidate(0, "x abababababa", verdict=looped("x abababababa", start=2, period=2, copies=5.5)),
        3,
        "x ababab",
    ),
    (
        "the worst of two",
        candidate(
            0,
            "aaaaaa bcbcbcbcbc",
            verdict=dataclasses.replace(
                looped("aaaaaa bcbcbcbcbc", period=1, copies=6),
                loops=(
                    *looped("aaaaaa", period=1, copies=6).loops,
                    *looped("aaaaaa bcbcbcbcbc", start=7, period=2, copies=5).loops,
                ),
            ),
        ),
        2,
        "aaaaaa bcbc",
    ),
    (
        "spans in tokens cut no text",
        candidate(0, "ab ab ab ab ", verdict=looped("ab ab ab ab ", period=1, copies=4, unit="tokens")),
        2,
        "ab ab ab ab ",
    ),
]


@pytest.mark.parametrize(("one", "copies", "text"), [case[1:] for case in TRIMMED], ids=[case[0] for case in TRIMMED])
def test_trim(one: Candidate, copies: int, text: str) -> None:
    assert trim(one, copies) == text


def only(candidates: Sequence[Candidate], **rules: Any) -> Pair:
    result = make_pairs(PROMPT, merge_equal(candidates), PairingSection(**rules))
    assert isinstance(result, list)
    (pair,) = result
    return pair


def test_a_trimmed_pair_says_so_and_has_no_margin() -> None:
    pair = only([candidate(0, "a", 4), loop(1, 5, lead="So: ")], trim_loops=2)
    assert (pair.rejected_text, pair.trimmed, pair.margin) == ("So: ab ab ", True, None)
    whole = only([candidate(0, "a", 4), loop(1, 5, lead="So: ")])
    assert (whole.rejected_text, whole.trimmed) == ("So: ab ab ab ab ab ", False)
    assert only([candidate(0, "a", 4), candidate(1, "b", 1.5)]).margin == 2.5


@pytest.mark.parametrize("text", ["So: ab ab", "So: ab ab "])
def test_a_loop_that_would_be_the_chosen_text_once_trimmed_stays_whole(text: str) -> None:
    pair = only([candidate(0, text, 4), loop(1, 5, lead="So: ")], trim_loops=2)
    assert (pair.rejected_text, pair.trimmed) == ("So: ab ab ab ab ab ", False)


@pytest.mark.parametrize(
    ("candidates", "merged"),
    [
        ([candidate(0, "a"), candidate(1, "b")], [None, None]),
        ([candidate(0, "a"), candidate(1, "a"), candidate(2, "a")], [None, 0, 0]),
        ([candidate(0, "a"), candidate(1, "\n a "), candidate(2, "A")], [None, 0, None]),
        ([candidate(0, "a  b"), candidate(1, "a b")], [None, None]),
        ([candidate(0, "a", **CUT), candidate(1, "a"), candidate(2, "a")], [1, None, 1]),
        ([candidate(0, "Yes."), loop(1, 9, unit="\n", lead="Yes.")], [None, None]),
        ([loop(0, 9, unit="\n", lead="Yes."), loop(1, 9, unit="\n", lead="Yes.")], [None, 0]),
        ([candidate(0, ""), candidate(1, " ")], [None, 0]),
    ],
)
def test_merge_equal(candidates: list[Candidate], merged: list[int | None]) -> None:
    assert [c.merged_into for c in merge_equal(candidates)] == merged


# What holds of any candidates. As in a run, whether a text loops is a function of the text: "ab " four times or more.

TEXTS = st.sampled_from(
    ["", " ", "a", "a ", "b", "ab ab", "ab ab ", "ab ab ab ", "ab " * 4, "ab " * 7, "x" + "ab " * 5, "ab " * 5 + "y"]
)


def examined(index: int, text: str, score: float | None, finish_reason: str, content: bool) -> Candidate:
    copies = text.count("ab ")
    start = text.find("ab ")
    tail = len(text) - start - 3 * copies
    verdict = looped(text, start=start, period=3, copies=copies, tail=tail) if copies >= 4 else clean(text)
    return candidate(index, text, score, finish_reason=finish_reason, verdict=verdict, content=text if content else "")


CANDIDATES = st.lists(
    st.tuples(
        TEXTS,
        st.none() | st.sampled_from([1.0, 1.1, 3.0, 3.25, 5.0]),
        st.sampled_from(["stop", "stop", "length", "unknown"]),
        st.sampled_from([True, True, True, False]),
    ),
    max_size=7,
).map(lambda rows: merge_equal([examined(index, *row) for index, row in enumerate(rows)]))
ANY_RULES = st.builds(
    PairingSection,
    max_pairs_per_prompt=st.integers(1, 4),
    min_margin=st.sampled_from([0.0, 0.25, 2.0]),
    trim_loops=st.sampled_from([0, 2, 3, 5]),
)


@settings(deadline=None)
@given(CANDIDATES, ANY_RULES, st.booleans())
def test_what_holds_of_any_pairs(candidates: list[Candidate], rules: PairingSection, judged: bool) -> None:
    result = make_pairs(PROMPT, candidates, rules, judged=judged)
    assert result == make_pairs(PROMPT, candidates, rules, judged=judged)
    if isinstance(result, Skip):
        assert result.reason in SKIP_REASONS
        return
    assert 1 <= len(result) <= rules.max_pairs_per_prompt
    assert len({pair.rejected_text for pair in result}) == len(result)
    for pair in result:
        assert not pair.chosen.looping
        assert pair.chosen.finish_reason == "stop"
        assert pair.chosen.content.strip()
        assert pair.chosen.text != pair.rejected_text
        assert pair.rejected.looping == any(c.looping for c in candidates) == (pair.reason == "loop")
        assert pair.rejected.text.startswith(pair.rejected_text)
        assert pair.chosen.merged_into is pair.rejected.merged_into is None
        if pair.reason == "score":
            assert pair.margin is not None
            assert pair.margin > 0
            assert pair.margin >= rules.min_margin
            assert pair.rejected_text.strip() != pair.chosen.text.strip()


@settings(deadline=None)
@given(CANDIDATES)
def test_what_holds_of_merged_candidates(candidates: list[Candidate]) -> None:
    by_index = {c.index: c for c in candidates}
    assert [c.index for c in candidates] == list(range(len(candidates)))
    standing = [(c.looping, c.text.strip()) for c in candidates if c.merged_into is None]
    assert len(standing) == len(set(standing))
    for c in candidates:
        if c.merged_into is not None:
            leader = by_index[c.merged_into]
            assert leader.merged_into is None
            assert (leader.looping, leader.text.strip()) == (c.looping, c.text.strip())
            assert leader.finished or not c.finished
    assert merge_equal([dataclasses.replace(c, merged_into=None) for c in candidates]) == candidates
