"""Text to symbols: what a symbol is, and that blocks of bytes are taken as one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loopguard.loops.words import START, fresh_lexer, split

Symbols = list[tuple[int, int, int, int, bytes]]


def symbols_of(data: bytes, cuts: list[int]) -> Symbols:
    """(symbol, number, kind, weight, bytes) of each finished symbol, read in pieces that end at `cuts`."""
    size = len(data) + 1
    arrays = (
        np.zeros(size, np.uint64),
        np.zeros(size, np.int64),
        np.zeros(size, np.uint8),
        np.zeros(size, np.uint8),
        np.zeros(size, np.int64),
    )
    lexer, low, count = fresh_lexer(), 0, 0
    for high in cuts:
        count = split(low, high, np.frombuffer(data, np.uint8), *arrays, lexer)
        low = high
    begins = [*arrays[4][:count].tolist(), int(lexer[START])]
    rows = zip(*(array[:count].tolist() for array in arrays[:4]), strict=True)
    return [(*row, data[begin:end]) for row, begin, end in zip(rows, begins, begins[1:], strict=False)]


def at_once(data: bytes) -> Symbols:
    return symbols_of(data, [len(data)])


def one_by_one(data: bytes) -> Symbols:
    """No block of 64 bytes is ever there."""
    return symbols_of(data, list(range(1, len(data) + 1)))


words = ["a", "Z", "word", "Word", "WORD", "abcdefgh", "ABCDEFGH", "abcdefghijklmnopq", "é", "字", "ы", "😀", "1", "42"]
marks = [" ", "  ", "\n", ".", "|", "\x00", "@", "[", "`", "{"]
pieces = st.sampled_from([*words, *marks])
texts = st.lists(pieces, max_size=120).map(lambda parts: "".join(parts).encode())
anything = st.lists(st.sampled_from(b"azAZ@[`{ 1.\x80\xa9\xc3\xe5\xff"), max_size=200).map(bytes)


@given(st.one_of(texts, anything), st.data())
@settings(max_examples=600, deadline=None)
@example(b"ABCDEFGhijklmnopqrst ", None)
def test_cutting_changes_no_symbol(data: bytes, draw: st.DataObject | None) -> None:
    """Byte by byte nothing is ever read in blocks: the slow way is the oracle of the fast one."""
    cut = 0 if draw is None else draw.draw(st.integers(0, len(data)))
    assert at_once(data) == one_by_one(data) == symbols_of(data, [cut, len(data)])


SYMBOLS = [
    "a" * 16,
    "a" * 17,
    "A" * 16 + "b",
    "Ab" * 9,
    "1" * 15,
    "1" * 16,
    " " * 16,
    " " * 17,
    "  x",
    " 7",
    " .",
    " \n",
    " é",
    "é",
    "字",
    "\x7f",
]


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize("filler", ["of ", "a, ", "x\n", " 12"])
def test_a_symbol_anywhere_in_a_block(symbol: str, filler: str) -> None:
    for at in range(66):
        data = ((filler * 40)[:at] + symbol + filler * 60).encode()
        assert at_once(data) == one_by_one(data)


@given(st.lists(st.one_of(texts, anything), min_size=2, max_size=6))
@settings(max_examples=300, deadline=None)
@example(data=[b" ", b" \x80", b"  ", b"  \x80", b"a"])
def test_equal_symbols_have_equal_bytes(data: list[bytes]) -> None:
    meaning: dict[tuple[int, int], bytes] = {}
    for symbol, number, _, _, text in at_once(b"\n".join(data)):
        assert meaning.setdefault((symbol, number), text) == text


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Hello world, again!?", ["Hello", " world", ",", " again", "!"]),
        ("camelCase HTTPServer XMLHttp x", ["camel", "Case", " HTTPServer", " XMLHttp"]),
        ("a  b\n\nc 12,345 x", ["a", "  ", "b", "\n", "\n", "c", " 12", ",", "345"]),
        ("naïve été x", ["naïve", " été"]),
        ("你好 吗?", ["你", "好", " 吗"]),
        ("abcdefghijklmnopqr x", ["abcdefghijklmnop", "q", "r"]),
    ],
)
def test_what_a_symbol_is(text: str, parts: list[str]) -> None:
    """The last one is not finished, and so not given."""
    assert [symbol[-1].decode() for symbol in at_once(text.encode())] == parts
