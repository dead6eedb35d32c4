"""A text with its loop marked: what is folded, what is kept, and that nothing in a text becomes markup."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest

import loopguard
from loopguard.loops.show import pieces
from loopguard.records import Loop
from tests.loops.outputs import CLEAN, PERIOD, TOKEN_LOOP


class Tags(HTMLParser):
    """The tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_loop_is_folded() -> None:
    text = "First. " + PERIOD * 30 + "Then it went on."
    loop = Loop(kind="verbatim", terminal=False, start=7, end=7 + 30 * len(PERIOD), period=len(PERIOD), repeats=30.0)
    assert list(pieces(text, [loop])) == [
        ("text", "First. "),
        ("first", PERIOD),
        ("copy", PERIOD),
        ("folded", "[... and 28.0 copies more ...]"),
        ("text", "Then it went on."),
    ]


def test_long_texts_and_long_periods_are_cut() -> None:
    text = "a" * 1000 + "b" * 1500 + "c" * 1000
    loop = Loop(kind="near", terminal=False, start=1000, end=2500, period=500, repeats=3.0)
    assert list(pieces(text, [loop])) == [
        ("left_out", "[... 600 characters left out ...]"),
        ("text", "a" * 400),
        ("first", "b" * 400 + " [... 100 characters more ...] "),
        ("copy", "b" * 400 + " [... 100 characters more ...] "),
        ("folded", "[... and 1.0 copies more ...]"),
        ("text", "c" * 400),
        ("left_out", "[... 600 characters left out ...]"),
    ]


def test_two_loops_and_one_inside_another() -> None:
    def loop(start: int, end: int) -> Loop:
        return Loop(kind="verbatim", terminal=False, start=start, end=end, period=2, repeats=(end - start) / 2)

    text = "0123456789" * 3
    roles = [role for role, _ in pieces(text, [loop(20, 26), loop(2, 10), loop(4, 8)])]
    assert roles == ["text", "first", "copy", "folded", "text", "first", "copy", "folded", "text"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("", "no loop (empty; 0 characters)\n\n"),
        (CLEAN, f"no loop (clean; {len(CLEAN)} characters)\n\n{CLEAN}"),
        ([1, 2, 3], "no loop (clean; 3 tokens)\n\n1 2 3 "),
    ],
)
def test_clean_outputs(output: str | list[int], expected: str) -> None:
    assert str(loopguard.show(output)) == repr(loopguard.show(output)) == expected


def test_tokens() -> None:
    assert "⟦5 6 7 8 9 10 11 12 ⟧⟦5 6 7 8 9 10 11 12 ⟧ [... and 48.0 copies more ...] " in str(
        loopguard.show(TOKEN_LOOP)
    )


def test_a_verdict_shows_its_text() -> None:
    text = PERIOD * 30
    verdict = loopguard.detect(text)
    assert str(verdict.show(text)) == str(loopguard.show(text))
    assert str(verdict.show(text.encode())) == str(loopguard.show(text))
    assert verdict.reason in str(verdict.show(text))


HOSTILE = "</pre></div><script>alert('x')</script><img src=x onerror=\"alert(1)\"> &amp; \x1b[2J \u202e \0 "


def test_nothing_becomes_markup() -> None:
    text = HOSTILE + (PERIOD + HOSTILE) * 30 + HOSTILE
    page = loopguard.show(text)._repr_html_()
    found = Tags(page)
    assert found.seen == {"style", "div", "b", "br", "span", "pre", "mark"}
    assert found.open == []
    assert "\x1b" not in page + str(loopguard.show(text))
    assert "\u202e" not in page
    body = html.unescape(re.sub(r"<[^>]*>", "", page))
    assert HOSTILE.replace("\x1b", "␛").replace("\u202e", "\\u202e").replace("\0", "␀") in body


def test_a_verdict_alone_is_a_table() -> None:
    verdict = loopguard.detect("First. " + PERIOD * 30)
    page = verdict._repr_html_()
    assert Tags(page).seen == {"style", "div", "b", "br", "span", "table", "tr", "th", "td"}
    assert f"<td>{verdict.loops[0].period}</td>" in page
    assert html.escape(verdict.signature) in page
    assert "table" not in Tags(loopguard.detect(CLEAN)._repr_html_()).seen


def test_invalid_utf8() -> None:
    assert "\ufffd" in str(loopguard.show(b"\xff\xfe" + PERIOD.encode() * 30))
