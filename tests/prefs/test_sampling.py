"""Which requests a prompt needs, with which seeds; and what text an answer is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.engines import Completion, Request
from loopguard.prefs.recipe import OutputSection, SamplingSection
from loopguard.prefs.sampling import as_one_text, base_seed, candidates_of, draws
from loopguard.records import Candidate, Prompt

PROMPT = Prompt.make("What is two and two?")
SEED = 1_355_296_841
"""The seed of PROMPT's first candidate: it must never change, or finished runs are asked again."""


def asked(**sampling: object) -> list[tuple[int, Request]]:
    return [(draw.first_index, draw.request) for draw in draws(PROMPT, SamplingSection(**sampling))]


def request(seed: int, n: int = 1, temperature: float = 0.8, top_p: float = 0.95, max_tokens: int = 1024) -> Request:
    messages = ({"role": "user", "content": "What is two and two?"},)
    return Request(
        messages=messages, temperature=temperature, top_p=top_p, max_tokens=max_tokens, seed=SEED + seed, n=n
    )


def greedy(seed: int, max_tokens: int = 1024) -> Request:
    return request(seed, temperature=0.0, top_p=1.0, max_tokens=max_tokens)


def test_five_and_one() -> None:
    assert asked() == [(0, request(0, n=5)), (5, greedy(5))]


def test_samples_alone_and_greedy_beside_one() -> None:
    assert asked(samples=2, greedy=False, top_p=1.0) == [(0, request(0, n=2, top_p=1.0))]
    assert asked(samples=1, max_tokens=64) == [(0, request(0, max_tokens=64)), (1, greedy(1, max_tokens=64))]


def test_a_list_of_temperatures_is_dealt_in_blocks() -> None:
    assert asked(temperature=[0.6, 0.9]) == [
        (0, request(0, n=3, temperature=0.6)),
        (3, request(3, n=2, temperature=0.9)),
        (5, greedy(5)),
    ]
    assert [r.n for _, r in asked(temperature=[0.7, 0.7])] == [5, 1]
    assert [(r.temperature, r.n) for _, r in asked(samples=4, temperature=[1.2, 0.3, 1.2], greedy=False)] == [
        (1.2, 2),
        (0.3, 1),
        (1.2, 1),
    ]


def test_seeds_stay_what_they_are() -> None:
    assert PROMPT.prompt_id == "d8e92192edac4654"
    assert base_seed(0, PROMPT.prompt_id) == SEED
    assert [base_seed(0, name) for name in ("a", "b", "")] == [1464262631, 235875581, 1415618796]
    assert [base_seed(n, "a") for n in (1, 2, -1)] == [1369646114, 1871466993, 2106425976]


@settings(deadline=None)
@given(st.integers(), st.lists(st.text(max_size=20), min_size=2, max_size=20, unique=True))
def test_seeds_fit_and_differ(seed: int, ids: list[str]) -> None:
    found = [base_seed(seed, name) for name in ids]
    assert all(0 <= one < 2**31 - 1024 for one in found)
    assert len(set(found)) == len(found)
    assert found == [base_seed(seed, name) for name in ids]
    assert base_seed(seed + 1, ids[0]) != found[0]


@settings(deadline=None)
@given(st.integers(1, 256), st.lists(st.sampled_from([0.3, 0.7, 1.0]), min_size=1, max_size=6), st.booleans())
def test_every_candidate_is_asked_for_once(samples: int, temperatures: list[float], with_greedy: bool) -> None:
    if samples + with_greedy < 2 or len(temperatures) > samples:
        return
    sampling = SamplingSection(samples=samples, temperature=temperatures, greedy=with_greedy)
    drawn = draws(PROMPT, sampling)
    seeds = [draw.request.seed + k for draw in drawn for k in range(draw.request.n)]  # type: ignore[operator]
    indices = [draw.first_index + k for draw in drawn for k in range(draw.request.n)]
    assert indices == list(range(samples + with_greedy))
    assert seeds == [SEED + index for index in indices]
    assert seeds[-1] < 2**31
    hot = [draw.request.temperature for draw in drawn for _ in range(draw.request.n)]
    assert hot == [*sampling.temperatures(), *([0.0] if with_greedy else [])]
    sizes = [sampling.temperatures().count(t) for t in set(temperatures)] if len(set(temperatures)) > 1 else [samples]
    assert sum(sizes) == samples


def test_candidates() -> None:
    first, last = draws(PROMPT, SamplingSection(samples=2))
    answers = [Completion(content="4", prompt_tokens=9, completion_tokens=1), Completion(content="", reasoning="Hm")]
    assert candidates_of(PROMPT, first, answers, OutputSection()) == [
        Candidate(
            prompt_id=PROMPT.prompt_id,
            index=index,
            decoding="sampled",
            temperature=0.8,
            top_p=0.95,
            seed=SEED + index,
            text=text,
            content=content,
            reasoning=reasoning,
            finish_reason="stop",
            prompt_tokens=tokens,
            completion_tokens=tokens // 9,
        )
        for index, text, content, reasoning, tokens in [
            (0, "4", "4", "", 9),
            (1, "<think>\nHm\n</think>\n\n", "", "Hm", 0),
        ]
    ]
    (one,) = candidates_of(PROMPT, last, [Completion(content="4", finish_reason="length")], OutputSection())
    assert (one.index, one.decoding, one.temperature, one.top_p, one.seed) == (2, "greedy", 0.0, 1.0, SEED + 2)
    assert one.finish_reason == "length"


@pytest.mark.parametrize(
    ("content", "reasoning", "finish_reason", "text"),
    [
        ("Four.", "", "stop", "Four."),
        ("", "", "stop", ""),
        ("Four.", "Hm.", "stop", "<think>\nHm.\n</think>\n\nFour."),
        ("Fo", "Hm.", "length", "<think>\nHm.\n</think>\n\nFo"),
        ("", "Hm.", "stop", "<think>\nHm.\n</think>\n\n"),
        ("", "Hm, hm, h", "length", "<think>\nHm, hm, h"),
        ("", "Hm, hm, h", "repetition", "<think>\nHm, hm, h"),
        ("<think>\nHm.\n</think>\n\nFour.", "", "stop", "<think>\nHm.\n</think>\n\nFour."),
    ],
)
def test_as_one_text(content: str, reasoning: str, finish_reason: str, text: str) -> None:
    answer = Completion(content=content, reasoning=reasoning, finish_reason=finish_reason)
    assert as_one_text(answer, OutputSection()) == text
    other = OutputSection(think_open="[", think_close="]")
    assert as_one_text(answer, other) == (
        text.replace("<think>\n", "[").replace("\n</think>\n\n", "]") if reasoning else text
    )
