"""The places of a pair against what decoding the cut tokens shows, and faults against the cut itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loopguard.errors import InputError
from loopguard.handover.check import Columns
from loopguard.handover.check_figures import least_max_length
from loopguard.handover.cuts import KeepStart
from loopguard.handover.measured import Measured, faults, measure
from loopguard.handover.pairs import PairRow, pair_of
from loopguard.handover.tokenizers_at_hand import Tokenizer, open_tokenizer
from loopguard.handover.trainer_views import TRAINERS, PairTokens, Trainer, common_prefix
from loopguard.records import Loop
from tests.handover.planted import row
from tests.handover.small_tokenizer import CHATML, STRICT, write_tokenizer

TRL = TRAINERS["trl"]
LETTERS = st.text("abc é東\U0001f600 \n.1", max_size=30)
COPY = st.text("abcé東\U0001f600 .12", min_size=1, max_size=12).filter(str.strip)
SLOW = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return open_tokenizer(str(write_tokenizer(tmp_path_factory.mktemp("model"), CHATML)))


@pytest.fixture(scope="module")
def stripping(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return open_tokenizer(str(write_tokenizer(tmp_path_factory.mktemp("model"), STRICT)))


def looped(lead: str, copy: str, copies: int) -> Loop:
    return Loop(
        kind="verbatim",
        terminal=True,
        start=len(lead),
        end=len(lead) + copies * len(copy),
        period=len(copy),
        repeats=float(copies),
    )


def places(
    tokenizer: Tokenizer, pair: PairRow, loop: Loop | None = None, trainer: Trainer = TRL
) -> tuple[Measured, PairTokens]:
    (tokens,) = trainer.prepare(tokenizer, [pair])
    if isinstance(tokens, InputError):
        raise tokens
    return measure(pair, tokens, tokenizer, chosen_loops=False, loop=loop, control=False), tokens


@SLOW
@given(lead=LETTERS, copy=COPY, copies=st.integers(2, 6), tail=LETTERS)
def test_a_loop_is_seen_from_the_token_on_that_completes_its_second_copy(
    tokenizer: Tokenizer, lead: str, copy: str, copies: int, tail: str
) -> None:
    text = lead + copy * copies + tail
    found, tokens = places(tokenizer, pair_of(1, row("?", "No.", text)), looped(lead, copy, copies))
    ids, before = tokens.rejected.ids, tokens.rejected.text.index(text)
    whole = before + len(lead) + 2 * len(copy)  # characters that must be there

    def characters(count: int) -> int:
        return len(tokenizer.core.decode(ids[:count], skip_special_tokens=False).rstrip("�"))

    assert characters(found.loop_seen) >= whole
    assert characters(found.loop_seen - 1) < whole
    assert characters(found.loop_start) > before + len(lead) or characters(found.loop_start - 1) <= before + len(lead)
    assert found.loop_start <= found.loop_seen


@SLOW
@given(lead=st.sampled_from(["", "  \n", "a "]), copy=COPY.map(str.strip).filter(bool))
def test_a_loop_is_found_where_the_template_takes_white_space_away(stripping: Tokenizer, lead: str, copy: str) -> None:
    copy = copy + " "
    text = f"{lead}{copy * 5}"
    found, tokens = places(stripping, pair_of(1, row("?", "No.", text)), looped(lead, copy, 5))
    shown = stripping.core.decode(tokens.rejected.ids[: found.loop_seen], skip_special_tokens=False)
    assert copy * 2 in shown + " "
    assert found.rejected_text > 0


@pytest.mark.parametrize("trainer", TRAINERS.values(), ids=TRAINERS)
@SLOW
@given(
    prompt=LETTERS,
    shared=LETTERS,
    chosen=LETTERS,
    rejected=LETTERS,
    copies=st.sampled_from([0, 3]),
    max_length=st.integers(1, 80),
)
def test_faults_are_what_the_cut_shows(
    tokenizer: Tokenizer,
    trainer: Trainer,
    prompt: str,
    shared: str,
    chosen: str,
    rejected: str,
    copies: int,
    max_length: int,
) -> None:
    lead, text = shared + rejected, shared + rejected + "abc 12. " * copies
    pair = pair_of(1, row(prompt, shared + chosen, text, rejected_truncated=True))
    try:
        found, tokens = places(tokenizer, pair, looped(lead, "abc 12. ", copies) if copies else None, trainer)
    except InputError as error:
        if trainer.name != "axolotl" or ((shared + chosen).strip() and text.strip()):
            raise AssertionError("only axolotl stops, and only at blank answers") from error
        return
    names, eos = set(faults(found, max_length, trainer)), tokenizer.eos_id
    cut = trainer.trained(tokens, max_length, eos)
    assert ("dropped" in names) == (cut is None)
    assert ("equal" in names) == (tokens.chosen.ids == tokens.rejected.ids)
    least = least_max_length(columns_of(found), trainer)["loops_seen_99%"]
    if copies:
        assert least is not None
        if max_length >= least:
            assert "loop_beyond_cut" not in names
        elif max_length == least - 1 or isinstance(trainer.cut, KeepStart):
            assert "loop_beyond_cut" in names
    if cut is None:
        return
    left, right = cut
    kept, *lengths = trainer.kept(found.prompt, found.chosen, found.rejected, max_length)
    assert lengths == [len(left), len(right)]
    assert left[:kept] == right[:kept] == tokens.chosen.ids[:kept]
    assert ("prompt_cut" in names) == (kept < found.prompt)
    assert bool(names & {"equal", "equal_after_cut"}) == (left == right)
    end_cut = left != tokens.chosen.ids if trainer.overwrites else eos not in left[kept:]
    assert ("chosen_end_cut" in names) == end_cut
    assert ("eos_after_cut_text" in names) == (eos in right[kept:])
    for side, ids, said in (("chosen", left, shared + chosen), ("rejected", right, text)):
        shown = tokenizer.core.decode(ids[kept:], skip_special_tokens=True)
        if trainer.name == "oumi" and not (said and said.startswith(shown) and f"empty_{side}" not in names):
            shown = shown[common_prefix(shown, "assistant\n") :]  # what opens the answer is trained with it
        if trainer.name == "axolotl" and not said.strip():
            continue  # found in the made-up message before it
        assert (not said.strip()) <= (f"empty_{side}" in names)
        if f"empty_{side}" in names:
            assert not shown.strip().rstrip("�").strip()
        else:
            assert shown
    if copies:
        shown = tokenizer.core.decode(right, skip_special_tokens=False)
        assert ("loop_beyond_cut" in names) == (
            lead + "abc 12. " * 2 not in shown + " " * (right == tokens.rejected.ids)
        )


def columns_of(*found: Measured) -> Columns:
    columns = Columns()
    for one in found:
        columns.add(one)
    return columns


@pytest.mark.parametrize(("trainer", "room"), [("trl", 1), ("openrlhf", 3)])
def test_a_pair_is_dropped_where_its_prompt_leaves_too_little_room(
    tokenizer: Tokenizer, trainer: str, room: int
) -> None:
    found, _ = places(tokenizer, pair_of(1, row("The river?", "Yes.", "No.")), trainer=TRAINERS[trainer])
    assert "dropped" in faults(found, found.prompt + room - 1, TRAINERS[trainer])
    assert "dropped" not in faults(found, found.prompt + room, TRAINERS[trainer])
    assert least_max_length(columns_of(found), TRAINERS[trainer])["no_pair_dropped"] == found.prompt + room


def test_a_loop_is_not_seen_where_its_pair_is_dropped(tokenizer: Tokenizer) -> None:
    """Two copies of one token need two; OpenRLHF wants three after the prompt."""
    trainer, pair = TRAINERS["openrlhf"], pair_of(1, row("The river?", "Yes.", "!" * 90))
    found, _ = places(tokenizer, pair, looped("", "!", 90), trainer)
    assert found.loop_seen == found.prompt + 2
    assert least_max_length(columns_of(found), trainer)["loops_seen_95%"] == found.prompt + 3
    assert "loop_beyond_cut" in faults(found, found.prompt + 2, trainer)
    assert "loop_beyond_cut" not in faults(found, found.prompt + 3, trainer)


@given(one=st.lists(st.integers(0, 1), max_size=40), other=st.lists(st.integers(0, 1), max_size=40))
def test_what_two_lists_begin_with(one: list[int], other: list[int]) -> None:
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    assert common_prefix(one, other) == length


def test_a_loop_that_the_template_leaves_out_has_no_place(tmp_path: Path) -> None:
    from tests.handover.small_tokenizer import FORGETFUL

    tokenizer = open_tokenizer(str(write_tokenizer(tmp_path / "model", FORGETFUL)))
    text = "<think>" + "and so on, " * 9 + "</think>Yes."
    found, _ = places(tokenizer, pair_of(1, row("?", "No.", text)), looped("<think>", "and so on, ", 9))
    assert (found.loop_start, found.loop_seen, found.rejected_text) == (0, -1, -1)
