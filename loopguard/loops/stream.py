"""The same verdict while the text is still coming: feed it symbol by symbol, token by token, or in pieces of any size.

    stream = StreamDetector()
    for piece in answer:
        if stream.feed(piece):
            break

The kernels are those of the batch and carry their state from call to call, so after every call the verdict is the one that
`Detector.detect` gives on what has been fed so far. Until the first look (glance.py) finds something, nothing else is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loopguard.errors import InputError
from loopguard.loops import batch, rules
from loopguard.loops.counting import count_on
from loopguard.loops.detector import Detector, Tokens, to_ids, to_utf8
from loopguard.loops.few_words import weigh_words, worth_weighing
from loopguard.loops.glance import LONGEST, glance, room_for
from loopguard.loops.grams import GRAM, WINDOW, enter
from loopguard.loops.lists import read_lines
from loopguard.loops.ordinals import count_in_words
from loopguard.loops.repetition import advance
from loopguard.loops.rounds import go_round
from loopguard.loops.sentences import read_sentences
from loopguard.loops.settings import DetectorSettings
from loopguard.loops.words import START, WORD, fresh_lexer, split
from loopguard.records import Verdict

_STRIDE = 1024


class StreamDetector:
    """Watches one output grow. Amortised constant time for each symbol; about 50 bytes of memory for each byte or token.

    With `remember`, memory is bounded: when more than that many bytes or tokens are held, all but the last quarter is
    forgotten. From then on the verdict is that on what is held (positions go on counting from the start of the output).
    """

    def __init__(self, settings: DetectorSettings | Detector | None = None, *, remember: int | None = None) -> None:
        """Settings, or a Detector whose settings are taken; InputError when `remember` is below 4 windows."""
        self.detector = settings if isinstance(settings, Detector) else Detector(settings=settings)
        if remember is not None and remember < 4 * WINDOW:
            raise InputError(f"remember must be at least {4 * WINDOW} bytes or tokens, not {remember}")
        self._remember = remember
        self._unit = ""
        self._dropped = 0
        self._start()

    def _start(self) -> None:
        # bytes or ids that are held, how many of them were examined, the symbols that those are, bytes whose characters are counted
        self._held = self._read = self._count = self._checked = 0
        self._examined = self.detector.enough == 0
        self._data = np.zeros(256, np.uint8)
        self._room = batch.Workspace(256)
        self._room.look[:] = 0
        self._bits = batch.table_bits(256)
        self._lexer = fresh_lexer()
        self._state, self._runs = batch.fresh_state()
        self._loops = np.zeros((rules.LOOPS, rules.LOOP), np.int64)
        self._before = np.zeros(2, np.int64)

    def feed(self, symbols: str | bytes | int | Tokens) -> Verdict | None:
        """Take the next piece; the verdict if what has come so far loops, else None. InputError when text and ids are mixed."""
        if isinstance(symbols, str | bytes | bytearray | memoryview):
            self._as("characters")
            self._take_text(np.frombuffer(to_utf8(symbols), np.uint8))
        else:
            self._as("tokens")
            self._take_tokens(to_ids([symbols] if isinstance(symbols, int) else symbols))
        found = self._judge()
        if self._remember is not None and self._held > self._remember:
            self._forget(self._held - self._remember // 4)
        return found

    @property
    def verdict(self) -> Verdict:
        """The verdict on what has been fed so far, looping or not."""
        return self._judge(always=True) or Verdict(looping=False, reason="empty")

    def _as(self, unit: str) -> None:
        if self._unit not in ("", unit):
            raise InputError(f"this stream was fed {self._unit} before: text and token ids cannot be mixed")
        self._unit = unit

    def _grow(self, size: int) -> None:
        """Room for `size` symbols; the n-grams so far are entered anew in larger tables."""
        if size <= self._room.longest:
            return
        old, count = self._room, self._count
        self._room = batch.Workspace(max(size, 2 * old.longest))
        for new, kept in zip(self._room.arrays()[:-1], old.arrays()[:-1], strict=True):
            new[: kept.size] = kept
        for kept in ("items", "sentences", "words", "ordinals"):
            setattr(self._room, kept, getattr(old, kept))
        bits = batch.table_bits(self._room.longest)
        if bits == self._bits:
            self._room.tables = old.tables
            return
        self._bits = bits
        enter(self._room.symbols, self._room.values, self._room.grams, GRAM - 1, count, self._room.tables, bits, 0)

    def _take_text(self, data: NDArray[np.uint8]) -> None:
        low, high = self._held, self._held + data.size
        if high > self._data.size:
            self._data = np.concatenate([self._data, np.zeros(max(self._data.size, data.size), np.uint8)])
            self._before = np.concatenate([self._before, np.zeros(self._data.size // _STRIDE + 2, np.int64)])
        self._data[low:high] = data
        self._held = high
        while self._checked + _STRIDE <= high:
            block = self._data[self._checked : self._checked + _STRIDE]
            at = self._checked // _STRIDE
            self._before[at + 1] = self._before[at] + batch.characters(block, _STRIDE)
            self._checked += _STRIDE
        if not self._must():
            return
        low, self._read = self._read, high
        self._grow(high + 1)
        room = self._room
        count = split(
            low, high, self._data, room.symbols, room.values, room.kinds, room.weights, room.starts, self._lexer
        )
        room.starts[count] = self._lexer[START]
        done = self._count
        self._advance(count)
        count_on(done, count, room.symbols, room.values, room.kinds, room.weights, room.back, self._state)
        read = room.symbols, room.values, room.kinds, room.weights, room.starts
        go_round(count, *read, room.back, room.chain, self.detector.rule, self._state)
        read_lines(low, high, self._data, self.detector.rule, self._state, room.items)
        read_sentences(high, self._data, self.detector.rule, self._state, room.sentences)
        if worth_weighing(count, room.starts, self._state):
            words = room.symbols, room.kinds, room.weights, room.starts
            weigh_words(count, self._data, *words, self._state, room.words)
        count_in_words(count, room.symbols, room.values, room.kinds, room.weights, self._state, room.ordinals)

    def _must(self) -> bool:
        """Whether the first look at what is held finds enough for it to be examined; from then on all of it is."""
        if not self._examined:
            seen, look, enough = self._room.seen, self._room.look, self.detector.enough
            self._examined = glance(self._held, self._data, seen, room_for(LONGEST), 1, look, enough)
        return self._examined

    def _take_tokens(self, ids: NDArray[np.uint64]) -> None:
        low, high = self._held, self._held + ids.size
        self._grow(high + 1)
        room = self._room
        room.symbols[low:high] = ids
        room.values[low:high] = 0
        room.kinds[low:high] = WORD
        room.weights[low:high] = batch.TOKEN_LETTERS
        room.starts[low : high + 1] = np.arange(low, high + 1) * batch.TOKEN_BYTES
        self._held = high
        self._examined = True
        self._advance(high)

    def _advance(self, count: int) -> None:
        rule = self.detector.rule
        read: Any = advance
        read(self._count, count, *self._room.arrays(), self._bits, 0, rule, self._state, self._runs)
        self._count = count

    def _judge(self, always: bool = False) -> Verdict | None:
        text = self._unit == "characters"
        size = self._held if text else self._held * batch.TOKEN_BYTES
        if not self._examined and not always:
            return None
        found, loud = rules.judge(
            self._count,
            size,
            self._data[:size] if text else self._data[:0],
            self._room.starts,
            self._room.again,
            self.detector.limits,
            self._state,
            self._runs,
            self._loops,
        )
        if not found and not always:
            return None
        row = np.zeros(batch.FIGURES, np.int64)
        length = self._characters(size) if text else self._held
        batch.fill_figures(size, length, self._count, found, loud, self._state, self._runs, row)
        loops = [self._in_units(loop) for loop in self._loops[:found].tolist()]
        row[batch.LENGTH] += self._dropped
        return self.detector.verdict(row.tolist(), loops, self._unit or "characters")

    def _in_units(self, loop: list[int]) -> list[int]:
        start, end, once = loop[rules.START], loop[rules.END], loop[rules.START] + loop[rules.PERIOD]
        if self._unit == "characters":
            start, end, once = self._characters(start), self._characters(end), self._characters(once)
        else:
            start, end, once = (at // batch.TOKEN_BYTES for at in (start, end, once))
        loop[rules.PERIOD] = max(1, once - start)
        loop[rules.START], loop[rules.END] = start + self._dropped, end + self._dropped
        return loop

    def _characters(self, high: int) -> int:
        """Characters before byte `high`, from the count kept for every 1,024 bytes."""
        at = high // _STRIDE
        return int(self._before[at]) + batch.characters(self._data[at * _STRIDE :], high - at * _STRIDE)

    def _forget(self, drop: int) -> None:
        """Begin again with all but the first `drop` bytes or tokens."""
        if self._unit == "characters":
            while drop < self._held and (self._data[drop] & 0xC0) == 0x80:
                drop += 1
            kept = self._data[drop : self._held].copy()
            self._dropped += self._characters(drop)
            self._start()
            self._take_text(kept)
        else:
            ids = self._room.symbols[drop : self._held].copy()
            self._dropped += drop
            self._start()
            self._take_tokens(ids)


def watch(pieces: Sequence[Any], settings: DetectorSettings | None = None) -> tuple[int, Verdict] | None:
    """Feed pieces until they loop: (how many were fed, the verdict), or None if they never do."""
    stream = StreamDetector(settings)
    for fed, piece in enumerate(pieces, start=1):
        verdict = stream.feed(piece)
        if verdict is not None:
            return fed, verdict
    return None
