"""A text with its loops marked and their repeats folded: for a notebook (HTML), a terminal, or `print`.

    loopguard.show(text)                  # examines it, and shows what it found
    loopguard.detect(text).show(text)     # shows a verdict that is there

Each loop is cut into its first copy, its second copy, a note of how many more there are, and nothing else; of the text around
it the nearest part is kept. Everything is escaped: nothing in an output becomes markup or an escape sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal, NamedTuple

from loopguard.visible import visible

if TYPE_CHECKING:
    from loopguard.records import Loop, Verdict

Role = Literal["text", "first", "copy", "folded", "left_out"]

_AROUND = 400
_COPY = 400
"""Characters (or tokens) shown of the text on either side of a loop, and of one copy."""

_STYLE = (
    "<style>"
    ".loopguard{font-size:.9em;max-width:60em;border:1px solid #8886;border-radius:6px;padding:.6em .8em;margin:.3em 0}"
    ".loopguard pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.5em 0 0;background:none;color:inherit}"
    ".loopguard mark{color:inherit;border-radius:3px;padding:0 1px}"
    ".loopguard mark.first{background:#f5c51855}.loopguard mark.copy{background:#e5484d4d}"
    ".loopguard .note{opacity:.65;font-style:italic}"
    ".loopguard b.loop{color:#d13438}.loopguard b.clean{color:#2e9e5b}"
    "</style>"
)
"""Translucent colours on the page's own: they read on white and on black."""


class Piece(NamedTuple):
    """A stretch of the text, or a note that stands for one."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A text and its verdict, ready to be looked at."""

    verdict: Verdict
    pieces: tuple[Piece, ...]

    def __str__(self) -> str:
        """One line with the verdict, an empty line, the text with ⟦loops⟧ in brackets."""
        return f"{headline(self.verdict)}\n\n{''.join(map(_plain, self.pieces))}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """For Jupyter."""
        body = "".join(map(_html, self.pieces))
        return f'{_STYLE}<div class="loopguard">{_head(self.verdict)}<pre>{body}</pre></div>'


def show(output: str | bytes | Sequence[int], verdict: Verdict | None = None) -> Shown:
    """The output with its loops marked; `verdict` is the default detector's if none is given.

    Positions of the verdict are characters of a text, or tokens where token ids are given.
    """
    if verdict is None:
        from loopguard.loops.detector import detect

        verdict = detect(output)
    whole = output.decode("utf-8", "replace") if isinstance(output, bytes | bytearray) else output
    return Shown(verdict, tuple(pieces(whole, verdict.loops)))


def pieces(output: str | Sequence[int], loops: Sequence[Loop]) -> Iterator[Piece]:
    """The output in order, with loops folded and control characters made visible.

    A loop that begins inside one before it is left to that one.
    """
    return (Piece(piece.role, visible(piece.text)) for piece in _pieces(output, loops) if piece.text)


def _pieces(output: str | Sequence[int], loops: Sequence[Loop]) -> Iterator[Piece]:
    at = 0
    for loop in sorted(loops, key=lambda loop: (loop.start, -loop.end)):
        if loop.start < at:
            continue
        yield from _around(output, at, loop.start, keep_head=at > 0 or not loops)
        at = min(loop.end, len(output))
        yield from _folded(output, loop, at)
    yield from _around(output, at, len(output), keep_head=True, keep_tail=not loops)


def _folded(output: str | Sequence[int], loop: Loop, end: int) -> Iterator[Piece]:
    period = max(1, loop.period)
    second = min(loop.start + period, end)
    third = min(second + period, end)
    yield Piece("first", _cut(output, loop.start, second))
    yield Piece("copy", _cut(output, second, third))
    if third < end:
        yield Piece("folded", f"[... and {(end - third) / period:,.1f} copies more ...]")


def _cut(output: str | Sequence[int], start: int, end: int) -> str:
    if end - start <= _COPY:
        return _text(output[start:end])
    return f"{_text(output[start : start + _COPY])} [... {_count(output, end - start - _COPY)} more ...] "


def _around(
    output: str | Sequence[int], start: int, end: int, *, keep_head: bool, keep_tail: bool = True
) -> Iterator[Piece]:
    """The text between loops: what is next to them is kept."""
    head, tail = _AROUND * keep_head, _AROUND * keep_tail
    if end - start <= head + tail:
        yield Piece("text", _text(output[start:end]))
        return
    yield Piece("text", _text(output[start : start + head]))
    yield Piece("left_out", f"[... {_count(output, end - start - head - tail)} left out ...]")
    yield Piece("text", _text(output[end - tail : end]) if tail else "")


def _count(output: str | Sequence[int], length: int) -> str:
    return f"{length:,} {'characters' if isinstance(output, str) else 'tokens'}"


def _text(part: str | Sequence[int]) -> str:
    return part if isinstance(part, str) else "".join(f"{int(token)} " for token in part)


def headline(verdict: Verdict) -> str:
    """The verdict in one line."""
    loop = verdict.loop
    if loop is None:
        return f"no loop ({verdict.reason}; {verdict.length:,} {verdict.unit})"
    end = "to the end" if loop.terminal else "left again"
    share = f"{verdict.wasted_fraction:.0%} of {verdict.length:,} {verdict.unit} wasted"
    where = f"{loop.repeats:.1f} copies of {loop.period:,} from {loop.start:,}, {end}"
    return f"{loop.kind} loop ({verdict.reason}): {where}; {share}"


def verdict_html(verdict: Verdict) -> str:
    """A verdict without its text, for Jupyter."""
    rows = "".join(
        f"<tr><td>{escape(loop.kind)}</td><td>{'terminal' if loop.terminal else 'recovered'}</td><td>{loop.start:,}</td>"
        f"<td>{loop.end:,}</td><td>{loop.period:,}</td><td>{loop.repeats:.1f}</td></tr>"
        for loop in verdict.loops
    )
    names = "".join(f"<th>{name}</th>" for name in ("kind", "end", "start", "end at", "period", "repeats"))
    table = f"<table><tr>{names}</tr>{rows}</table>" if rows else ""
    return f'{_STYLE}<div class="loopguard">{_head(verdict)}{table}</div>'


def _head(verdict: Verdict) -> str:
    kind = "loop" if verdict.looping else "clean"
    first, rest = (escape(part) for part in _parted(headline(verdict)))
    return f'<b class="{kind}">{first}</b>{rest}<br><span class="note">{escape(verdict.signature)}</span>'


def _parted(line: str) -> tuple[str, str]:
    at = line.index(" (")
    return line[:at], line[at:]


def _plain(piece: Piece) -> str:
    if piece.role in ("first", "copy"):
        return f"⟦{piece.text}⟧"
    return piece.text if piece.role == "text" else f" {piece.text} "


def _html(piece: Piece) -> str:
    text = escape(piece.text)
    if piece.role in ("first", "copy"):
        return f'<mark class="{piece.role}">{text}</mark>'
    return f'<span class="note"> {text} </span>' if piece.role in ("folded", "left_out") else text
