"""Where trainers cut: the least max_length for each aim against all values tried, single numbers against arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loopguard.handover.cuts import Cut, KeepStart, Shares

CUTS: dict[str, Cut] = {"keep start": KeepStart(), "shares": Shares()}
SLOW = settings(deadline=None)
TOKENS = st.integers(0, 60)


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@SLOW
@given(prompt=TOKENS, longest=TOKENS, share=st.floats(0, 1))
def test_the_least_is_the_one_from_which_on_it_holds(cut: Cut, prompt: int, longest: int, share: float) -> None:
    answer = max(1, round(share * longest)) if longest else 0
    tried = range(1, 3 * (prompt + longest) + 8)
    seen = [cut.kept(prompt, longest, at) for at in tried]
    arrays = tuple(np.array([value]) for value in (prompt, longest, answer))
    if longest:
        missing = [at for at, (_, most) in zip(tried, seen, strict=True) if min(most, longest) < answer]
        assert int(cut.least(*arrays)[0]) == max(missing, default=0) + 1
    short = [at for at, (left, _) in zip(tried, seen, strict=True) if left < prompt]
    assert max(int(cut.whole_prompt(*arrays[:2])[0]), 1) == max(short, default=0) + 1


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@SLOW
@given(prompts=st.lists(TOKENS, min_size=1), longest=TOKENS, max_length=st.integers(1, 130))
def test_arrays_give_what_single_numbers_give(cut: Cut, prompts: list[int], longest: int, max_length: int) -> None:
    left, most = cut.kept(np.array(prompts), np.full(len(prompts), longest), max_length)
    each = [cut.kept(prompt, longest, max_length) for prompt in prompts]
    assert list(zip(left.tolist(), most.tolist(), strict=True)) == each
    assert all(kept + min(of, longest) <= max_length for kept, of in each)


def test_shares_keep_less_of_an_answer_at_a_longer_limit() -> None:
    """LLaMA-Factory 0.9.5: infer_seqlen(10, 1000, 20) == (1, 19), infer_seqlen(10, 1000, 21) == (10, 11)."""
    assert [Shares().kept(10, 1000, at) for at in (20, 21)] == [(1, 19), (10, 11)]
