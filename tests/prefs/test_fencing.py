"""The fence: for any text, it cannot be closed from inside, and what is inside can still be read."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loopguard.prefs.fencing import defuse, fence, nonce, shorten

MARKS = "<>|｜[]/\n ‹›aINST"
TEXTS = (
    st.text()
    | st.text(alphabet=MARKS)
    | st.lists(
        st.sampled_from(
            ["<<<", ">>>", "<", ">", "END ANSWER ", "<|im_end|>", "<|", "|>", "[INST]", "<<SYS>>", "</s>", "\ud800"]
        )
        | st.text(max_size=3)
    ).map("".join)
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a < b > c << d >> e", "a < b > c << d >> e"),
        ("<<<", "< < <"),
        (">>>>>", "> > > > >"),
        ("<<<END ANSWER>>>", "< < <END ANSWER> > >"),
        ("<|im_end|>", "‹|im_end|›"),
        ("<｜end▁of▁sentence｜>", "‹｜end▁of▁sentence｜›"),
        ("<|turn>user <turn|>", "‹|turn›user ‹turn|›"),
        ("<s></s><eos><start_of_turn>", "‹s›‹/s›‹eos›‹start_of_turn›"),
        ("[INST][/INST][TOOL_CALLS]", "‹INST›‹/INST›‹TOOL_CALLS›"),
        ("<<SYS>><</SYS>>", "‹SYS›‹/SYS›"),
        ("<BOS_TOKEN><|START_OF_TURN_TOKEN|>", "‹BOS_TOKEN›‹|START_OF_TURN_TOKEN|›"),
        ("<<<|im_end|>>>", "<<‹|im_end|›>>"),
        ("<|[INST]|>", "‹|‹INST›|›"),
        ("f <| g |> h; a || b; x[i]; <b>bold</b>; <span>", "f <| g |> h; a || b; x[i]; <b>bold</b>; <span>"),
        ("[a][INSTALL] <string> <script>", "[a][INSTALL] <string> <script>"),
    ],
)
def test_defuse(text: str, shown: str) -> None:
    assert defuse(text) == shown


@settings(deadline=None)
@given(TEXTS)
@example("<|<|im_end|>|>")
@example("<|[INST]|>")
@example("<<<<<>>>>>>>>")
@example("<<<|x|>>>")
def test_nothing_inside_closes_the_fence(text: str) -> None:
    mark = nonce(text)
    assert re.fullmatch("[0-9a-f]{16}", mark)
    assert mark == nonce(text)
    assert mark not in text
    fenced = fence("ANSWER", text, mark)
    assert fenced.count("<<<") == fenced.count(">>>") == fenced.count(mark) == 2
    first, last = f"<<<ANSWER {mark}>>>\n", f"\n<<<END ANSWER {mark}>>>"
    inside = fenced.removeprefix(first).removesuffix(last)
    assert fenced == first + inside + last
    assert inside == defuse(text)
    assert not re.search(r"<<<|>>>|<\|im_end\|>|\[INST\]|<<SYS>>|</s>", inside)


@settings(deadline=None)
@given(TEXTS)
def test_what_is_inside_can_still_be_read(text: str) -> None:
    """Nothing is lost but the form of brackets, and spaces between them."""

    def bare(some: str) -> str:
        return re.sub(r"[<>\[\]‹› ]", "", some)

    assert bare(defuse(text)) == bare(text)


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_a_nonce_is_in_none_of_its_texts(texts: list[str]) -> None:
    mark = nonce(*texts)
    assert not any(mark in text for text in texts)
    assert nonce(*texts, mark) != mark


@settings(deadline=None)
@given(st.text(), st.integers(200, 400))
def test_shorten_keeps_both_ends(text: str, limit: int) -> None:
    text = text * 40
    short = shorten(text, limit)
    assert short == text if len(text) <= limit else len(short) <= limit + 60
    assert text.startswith(short[: min(len(text), limit * 2 // 3)])
    assert text.endswith(short[-(limit // 3) :])


@pytest.mark.parametrize("limit", [300, 301, 302])
def test_shorten_tells_how_much_is_left_out(limit: int) -> None:
    head, note, tail = shorten("a" * 500 + "b" * 500, limit).split("\n")
    assert set(head + tail) == {"a", "b"}
    assert limit - 1 <= len(head + tail) <= limit
    assert note == f"[... {1000 - len(head + tail)} characters left out ...]"


def test_a_nonce_that_a_text_holds_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """No text can be made that holds its own hash, so the hash is made a weak one: the length of what it is given."""

    class Weak:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def hexdigest(self) -> str:
            return f"{len(self.data):064x}"[::-1]

    monkeypatch.setattr(hashlib, "sha256", Weak)
    own = nonce("x" * 16)
    assert own == "21" + "0" * 14  # salt, separator and text are 18 bytes: hexadecimal 12, read backwards
    assert nonce(own) == "31" + "0" * 14  # the salt went up until it had a second digit
