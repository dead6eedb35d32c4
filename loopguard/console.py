"""Where results go and how they look: tables, texts of models, loops marked in them.

Where there is no terminal nothing is wrapped or cut, so that `grep` finds what it looks for; where there is no colour a loop
stands in ⟦brackets⟧.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loopguard.loops.show import Piece
from loopguard.visible import visible

WIDEST = 1_000
"""Characters in a line of a table where there is no terminal."""

_COLOURS = {"first": "bold yellow", "copy": "bold red", "folded": "italic dim", "left_out": "italic dim"}


def out() -> Console:
    """Where results go: stdout, without colour unless it is a terminal."""
    return Console(highlight=False)


def err() -> Console:
    """Where progress and errors go: stderr."""
    return Console(stderr=True, highlight=False)


def plain_table(*, title: str = "", head: bool = True) -> Table:
    """A table without a frame, two blanks between columns; texts of columns fold, they are never cut."""
    return Table(
        title=Text(visible(title), "bold") if title else None,
        title_justify="left",
        box=SIMPLE_HEAD if head else None,
        show_header=head,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1 if head else 2, 0, 0),
    )


def put(table: Table, console: Console) -> None:
    """Print a table. Where there is no terminal it is as wide as it needs to be, and no line ends in blanks."""
    if console.is_terminal:
        console.print(table)
        return
    console.width = WIDEST
    console.width = max(1, console.measure(table).maximum, len(str(table.title or "")))
    with console.capture() as held:
        console.print(table)
    put_raw(Text("\n".join(line.rstrip() for line in held.get().splitlines())), console)


def put_raw(text: Text, console: Console) -> None:
    """Print text whose lines stay whole, also on a terminal: what models wrote, what is there to be pasted."""
    console.print(text, soft_wrap=True)


def marked(shown: Iterable[Piece], console: Console) -> Text:
    """An output with its loop in colour, or in ⟦brackets⟧ where there is none."""
    coloured = console.color_system is not None and not console.no_color
    text = Text()
    for role, piece in shown:
        note = f" {piece} " if role in ("folded", "left_out") else piece
        bare = f"⟦{piece}⟧" if role in ("first", "copy") else note
        text.append(note if coloured else bare, style=_COLOURS.get(role, "") if coloured else "")
    return text


def loop_in_words(kind: str, terminal: bool, repeats: float) -> str:
    """`verbatim loop, to the end, x 1,587.5`."""
    return f"{kind} loop, {'to the end' if terminal else 'left again'}, x {repeats:,.1f}"
