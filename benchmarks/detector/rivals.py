"""The loop rules others publish, as functions text or token ids -> bool, each with its source and its thresholds.

    python -m benchmarks.detector.rivals           # the list
    python -m benchmarks.detector.agreement        # each adapter against the project's own code, where that is at hand

Written from the published behaviour, not copied. A rule that watches a stream is asked here whether it would have fired
at any point of the finished output. Where speed allowed it the arithmetic is vectorised; the verdict stays the same.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# ---------------------------------------------------------------- rules on token ids


def _longest_run(same: NDArray[np.bool_]) -> int:
    """The longest stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], same.view(np.int8), [0]))))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def vllm(ids: Sequence[int], *, max_pattern_size: int, min_pattern_size: int, min_count: int) -> bool:
    """vLLM `RepetitionDetectionParams` (vllm/v1/core/sched/utils.py): min_count copies of a pattern at the tail.

    vLLM looks at the tail after every token, so it fires when at any position `min_count` copies of a pattern of
    `min_pattern_size` to `max_pattern_size` tokens stand in a row. A size below 1 is read as 1; `min_count` below 2 or
    `max_pattern_size` below 1 or below `min_pattern_size` switches it off.
    """
    smallest = max(1, min_pattern_size)
    if max_pattern_size <= 0 or min_count < 2 or smallest > max_pattern_size:
        return False
    tokens = np.asarray(ids)
    for size in range(smallest, max_pattern_size + 1):
        if size * min_count > len(tokens):
            return False
        if _longest_run(tokens[size:] == tokens[:-size]) >= size * (min_count - 1):
            return True
    return False


def ngram_count(ids: Sequence[int], *, n: int, k: int) -> bool:
    """An n-gram of `n` tokens that occurs at least `k` times, overlaps counted (arXiv 2512.12895: n = 30, k = 20)."""
    counts = Counter(zip(*(ids[i:] for i in range(n)), strict=False))
    return max(counts.values(), default=0) >= k


def ngram_fraction(items: Sequence[object], *, n: int, limit: float) -> bool:
    """Share of n-grams that are repeats, 1 - unique / total, above `limit`; fewer than `n` items: never.

    The penalty of arXiv 2502.03373, appendix C.2. open-r1 (`get_repetition_penalty_reward`) feeds lower-cased words,
    TRL's reward of the same name token ids. Both scale by it and set no threshold: .3 and .5 are ours.
    """
    total = len(items) - n + 1
    if total < 1:
        return False
    return 1 - len(set(zip(*(items[i:] for i in range(n)), strict=False))) / total > limit


def open_r1(text: str, *, n: int = 3, limit: float) -> bool:
    """`ngram_fraction` over the lower-cased words of the text, as open-r1 counts them."""
    return ngram_fraction(text.lower().split(), n=n, limit=limit)


# ---------------------------------------------------------------- compression


def zlib_ratio(text: str, *, limit: float) -> bool:
    """Bytes over compressed bytes above `limit` (Whisper `compression_ratio_threshold`: 2.4; zlib's default level)."""
    data = text.encode("utf-8", "surrogatepass")
    return len(data) / len(zlib.compress(data)) > limit


def slime(text: str) -> bool:
    """slime `has_repetition`: more than 10,000 characters, and the last 10,000 compress (level 9) more than tenfold."""
    if len(text) <= 10_000:
        return False
    tail = text[-10_000:].encode("utf-8", "surrogatepass")
    return len(tail) / len(zlib.compress(tail, 9)) > 10


# ---------------------------------------------------------------- Antidoom


def antidoom(
    text: str,
    *,
    min_repeats: int = 4,
    min_total: int = 60,
    max_period: int = 1024,
    sample_length: int = 16,
    interval: int = 128,
) -> bool:
    """Antidoom's documented rule (Liquid AI): at least 4 copies over at least 60 characters, period up to 1,024.

    Every 128 characters a sample of 16 is looked up: its next occurrence (that does not overlap it) and its last one
    before. Each distance is a candidate period; whole copies are then counted in both directions from the sample.
    """
    for at in range(0, len(text) - sample_length, interval) if len(text) >= min_total else ():
        sample = text[at : at + sample_length]
        for first, second in ((at, text.find(sample, at + sample_length)), (text.rfind(sample, 0, at), at)):
            period = second - first
            if min(first, second) < 0 or not 1 <= period <= max_period:
                continue
            copies = _copies(text, first, period)
            if copies >= min_repeats and copies * period >= min_total:
                return True
    return False


def _copies(text: str, start: int, period: int) -> int:
    """Whole copies of text[start : start + period] in a row, before and after included; 0 when it runs over the end."""
    unit, copies, at = text[start : start + period], 0, start
    if len(unit) < period:
        return 0
    while text[at : at + period] == unit:
        copies, at = copies + 1, at + period
    at = start - period
    while at >= 0 and text[at : at + period] == unit:
        copies, at = copies + 1, at - period
    return copies


# ---------------------------------------------------------------- Gopher

_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧"
_MARKS = ",:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪…—–" + _QUOTES
_ICONS = "\u2190-\u2bff\U0001f000-\U0001faff\u00a9\u00ae\u200d"
_FIRST = re.compile(rf"\.\.+|\+(?![0-9])|[§%=$£€¥{_ICONS}{re.escape(_MARKS)}]")
_LAST = re.compile(
    rf"(?:\.\.+|['’][sS]|(?<=[0-9])(?:\+|%|[$£€¥]|km|cm|mm|kg|mg|ms|MB|GB|m|g|l)|(?<=[0-9a-zа-яё%²+{re.escape(_MARKS)}-])\.|"
    rf"(?<=[A-Z][A-Z])\.|[{_ICONS}{re.escape(_MARKS)}])\Z"
)
_INSIDE = re.compile(
    r"(\.\.+|…|(?<=[0-9])[+*^-](?=[0-9-])|(?<=[a-zа-яё'\"])\.(?=[A-ZА-ЯЁ'\"])|(?<=[^\W\d_]),(?=[^\W\d_])|"
    r"(?<=[^\W\d_])(?:---?|[-–—~])(?=[^\W\d_])|(?<=[^\W_])[:<>=/](?=[^\W\d_]))"
)
GOPHER_TOP = ((2, 0.2), (3, 0.18), (4, 0.16))
GOPHER_DUPLICATE = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))


def split_words(text: str) -> list[str]:
    """Words and marks, about as spaCy's English tokenizer splits them for datatrove: marks come off both ends of what
    stands between spaces, and a few split it inside."""
    return [part for chunk in text.split() for part in _split_chunk(chunk)]


def _split_chunk(chunk: str) -> list[str]:
    head, tail = [], []
    while match := _FIRST.match(chunk):
        head.append(match.group())
        chunk = chunk[match.end() :]
    while match := _LAST.search(chunk):
        tail.append(match.group())
        chunk = chunk[: match.start()]
    return [*head, *(part for part in _INSIDE.split(chunk) if part), *reversed(tail)]


def _duplicates(parts: Sequence[str]) -> tuple[int, int]:
    """How many parts were there before, and their characters."""
    counts = Counter(parts)
    return len(parts) - len(counts), sum((count - 1) * len(part) for part, count in counts.items())


def _top_share(words: Sequence[str], n: int) -> int:
    """Characters of the most frequent n-gram joined by spaces, times its count; the first of equals."""
    counts = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    return next((len(gram) * count for gram, count in counts.most_common(1)), 0)


def _duplicate_ngram_characters(words: Sequence[str], n: int) -> int:
    """Characters of n-grams seen before; after such a one the next begins behind it."""
    seen: set[str] = set()
    characters = at = 0
    while at < len(words) - n + 1:
        gram = "".join(words[at : at + n])
        if gram in seen:
            characters, at = characters + len(gram), at + n
        else:
            seen.add(gram)
            at += 1
    return characters


def gopher(text: str, *, words: Callable[[str], list[str]] = split_words) -> bool:
    """The repetition filter of Gopher (arXiv 2112.11446, table A1) as datatrove's `GopherRepetitionFilter` runs it.

    True = the filter drops the text (it drops empty ones too). Duplicate paragraphs or lines above 30 % of them or 20 %
    of the characters; the top 2-, 3-, 4-gram above .20, .18, .16 of the characters; repeated 5- to 10-grams above .15
    down to .10.
    """
    if not text:
        return True
    for parts in (re.split(r"\n{2,}", text.strip()), re.split(r"\n+", text)):
        count, characters = _duplicates(parts)
        if count / len(parts) > 0.3 or characters / len(text) > 0.2:
            return True
    split = words(text)
    return any(_top_share(split, n) / len(text) > share for n, share in GOPHER_TOP) or any(
        _duplicate_ngram_characters(split, n) / len(text) > share for n, share in GOPHER_DUPLICATE
    )


# ---------------------------------------------------------------- Gemini CLI

_FENCE = "```"
_WS = r"[\t\n\v\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]"  # \s of JavaScript
_MARKDOWN = re.compile(
    rf"(^|\n)({_WS}*(\|[^\n\r\u2028\u2029]*\||[|+-]{{3,}})|{_WS}*[*+]{_WS}|{_WS}*[0-9]+\.{_WS}|#+{_WS}|>{_WS})"
)
_DIVIDER = re.compile(r"[+-_=*\u2500-\u257F]+")


class GeminiContent:
    """The content check of Gemini CLI's `LoopDetectionService`: a 50-character chunk 10 times, at most 250 apart.

    The chunk slides by one character. Of the last 10 occurrences the mean distance may be at most 5 chunks, and the
    texts between them may take at most `forms` different forms (5; None = not looked at, as in 2025). With `resets`,
    a piece of the stream that shows a table, list item, heading, quote, divider or code fence clears everything, and
    code blocks are not looked at; the regular expressions are JavaScript's as written there ([*-+] is * and +; the
    divider class runs from + to _). The last 5,000 characters are kept. Positions count UTF-16 units, as in
    JavaScript.
    """

    CHUNK, TIMES, HISTORY = 50, 10, 5000

    def __init__(self, *, resets: bool = True, forms: int | None = 5) -> None:
        self._resets, self._forms, self._in_code = resets, forms, False
        self._clear()

    def _clear(self) -> None:
        self._history, self._base, self._next = "", 0, 0
        self._seen: defaultdict[str, list[int]] = defaultdict(list)

    def feed(self, piece: str) -> bool:
        """Take the next piece of the stream, as UTF-16 units; True when it loops."""
        fences, divider = piece.count(_FENCE), _DIVIDER.fullmatch(piece) is not None
        if self._resets:
            if fences or divider or _MARKDOWN.search(piece):
                self._clear()
            was_in_code = self._in_code
            self._in_code ^= fences % 2 == 1
            if was_in_code or self._in_code or divider:
                return False
        self._history += piece
        dropped = max(0, len(self._history) - self.HISTORY)
        self._history, self._base = self._history[dropped:], self._base + dropped
        self._next = max(self._next, self._base)
        return any(self._chunk(at) for at in self._positions())

    def _positions(self) -> Iterable[int]:
        while self._next + self.CHUNK <= self._base + len(self._history):
            yield self._next
            self._next += 1

    def _chunk(self, at: int) -> bool:
        start = at - self._base
        seen = self._seen[self._history[start : start + self.CHUNK]]
        while seen and seen[0] < self._base:
            seen.pop(0)
        seen.append(at)
        recent = seen[-self.TIMES :]
        if len(recent) < self.TIMES or recent[-1] - recent[0] > 5 * self.CHUNK * (self.TIMES - 1):
            return False
        between = {self._history[a - self._base : b - self._base] for a, b in pairwise(recent)}
        return self._forms is None or len(between) <= self._forms


def utf16_units(text: str) -> str:
    """The text with one character per UTF-16 unit, as JavaScript sees it."""
    units = np.frombuffer(text.encode("utf-16-le", "surrogatepass"), dtype="<u2").astype("<u4")
    return units.tobytes().decode("utf-32-le", "surrogatepass")


def gemini_cli(text: str, *, resets: bool = False, forms: int | None = None, piece: int = 100) -> bool:
    """`GeminiContent` over the text in pieces of `piece` UTF-16 units (how the service cuts its stream is not fixed).

    The defaults are the rule as it is quoted: a chunk 10 times within 5 lengths, in Markdown and code too. The size of
    the pieces then makes no difference. The service of 2026 has `resets=True, forms=5`.
    """
    units, check = utf16_units(text), GeminiContent(resets=resets, forms=forms)
    return any(check.feed(units[at : at + piece]) for at in range(0, len(units), piece))


# ---------------------------------------------------------------- the table


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of the table: how it is called, what it reads, where it comes from."""

    name: str
    reads: Literal["text", "ids"]
    source: str
    fires: Callable[..., bool]


RULES: tuple[Rule, ...] = (
    Rule(
        name="vllm(64,4,4)",
        reads="ids",
        source="vllm-project/vllm, RepetitionDetectionParams",
        fires=lambda ids: vllm(ids, max_pattern_size=64, min_pattern_size=4, min_count=4),
    ),
    Rule(
        name="vllm(128,1,8)",
        reads="ids",
        source="vllm-project/vllm, RepetitionDetectionParams",
        fires=lambda ids: vllm(ids, max_pattern_size=128, min_pattern_size=1, min_count=8),
    ),
    Rule(name="antidoom", reads="text", source="Liquid AI, Antidoom, repetition detector", fires=antidoom),
    Rule(
        name="ngram(30,20)",
        reads="ids",
        source="arXiv 2512.12895",
        fires=lambda ids: ngram_count(ids, n=30, k=20),
    ),
    Rule(
        name="gemini-cli",
        reads="text",
        source="google-gemini/gemini-cli, LoopDetectionService: 50 characters 10 times within 5x",
        fires=gemini_cli,
    ),
    Rule(
        name="gemini-cli(2026)",
        reads="text",
        source="google-gemini/gemini-cli, LoopDetectionService with resets and forms, pieces of 100",
        fires=lambda text: gemini_cli(text, resets=True, forms=5),
    ),
    Rule(
        name="zlib>2.4",
        reads="text",
        source="openai/whisper, compression_ratio_threshold",
        fires=lambda text: zlib_ratio(text, limit=2.4),
    ),
    Rule(name="zlib>4", reads="text", source="zlib ratio", fires=lambda text: zlib_ratio(text, limit=4)),
    Rule(name="slime", reads="text", source="THUDM/slime, has_repetition", fires=slime),
    Rule(
        name="open-r1(3)>.3",
        reads="text",
        source="huggingface/open-r1, get_repetition_penalty_reward",
        fires=lambda text: open_r1(text, limit=0.3),
    ),
    Rule(
        name="open-r1(3)>.5",
        reads="text",
        source="huggingface/open-r1, get_repetition_penalty_reward",
        fires=lambda text: open_r1(text, limit=0.5),
    ),
    Rule(
        name="trl(3)>.3",
        reads="ids",
        source="huggingface/trl, get_repetition_penalty_reward",
        fires=lambda ids: ngram_fraction(ids, n=3, limit=0.3),
    ),
    Rule(
        name="trl(3)>.5",
        reads="ids",
        source="huggingface/trl, get_repetition_penalty_reward",
        fires=lambda ids: ngram_fraction(ids, n=3, limit=0.5),
    ),
    Rule(name="gopher", reads="text", source="arXiv 2112.11446; huggingface/datatrove, defaults", fires=gopher),
)


def main() -> None:
    """List the rules."""
    for rule in RULES:
        print(f"{rule.name:20} {rule.reads:5} {rule.source}")


if __name__ == "__main__":
    main()
