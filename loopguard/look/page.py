"""`loopguard report`: one HTML file that needs no network and runs from disk.

The charts are static SVG (vl-convert): a bundle of Vega would be a megabyte of JavaScript and wants eval, a picture needs neither.
Their colours are attributes that the page's style sheet answers for, so the same picture is right in light and dark; the
label of a mark is shown under the pointer. The texts of models come as compressed JSON and are put on the page as text nodes
alone. A Content-Security-Policy admits the one script and the one style sheet of this package, by their hashes, and nothing else:
no network, no other script, no image, no form.
"""

from __future__ import annotations

import base64
import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopguard.counted import counted
from loopguard.errors import InputError, MissingExtra
from loopguard.files import write_text
from loopguard.look.browser import Packed, pack
from loopguard.look.charts import INSTALL, vegalite_version
from loopguard.look.headline import Tile, about, headline
from loopguard.look.panels import OF_EVERYTHING, Panel, automatic, panels
from loopguard.look.subject import Subject, open_subject
from loopguard.visible import visible

if TYPE_CHECKING:
    from loopguard.prefs.run import Run

NAME = "report.html"

_DRAWN = {"svg", "g", "path", "text", "tspan", "line", "rect", "circle", "defs", "clipPath", "title", "desc"}
"""Elements that a chart may have; anything else is not let into the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A panel on the page."""

    key: str
    title: str
    sentence: str
    svg: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    """The figures, as a table for who cannot see the picture; at most as many as are worth reading."""
    tall: bool = False
    """A chart of many rows, which takes the height of three others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Panels under one heading."""

    name: str
    title: str
    cards: list[Card]


def report(
    source: Run | Subject | str | Path,
    other: Run | Subject | str | Path | None = None,
    *,
    out: str | Path | None = None,
    by: Sequence[str] = (),
) -> Path:
    """Write the page of a run or a verdict file, or of two runs before and after, and say where it is.

    Args:
        source: a Run, its directory, or a verdict file (`loopguard scan --out`).
        other: a second run of the same prompts, after a training.
        out: the HTML file; report.html in the working directory if not given.
        by: columns to chart the loop rate by, beside those that go without saying.

    Raises:
        InputError: there is nothing to look at; a column that is not there.
        MissingExtra: altair or vl-convert-python is not installed.
        StorageError: the file cannot be written.
    """
    path = Path(out) if out is not None else Path(NAME)
    if path.is_dir():
        raise InputError(f"{path}: a folder; name a file in it: --out {path / NAME}")
    subject = open_subject(source)
    if other is not None:
        from loopguard.look.compare_page import compared

        write_text(path, compared(subject, open_subject(other), by))
    else:
        write_text(path, single(subject, by))
    return path


def single(subject: Subject, by: Sequence[str] = ()) -> str:
    """The page of one run or verdict file."""
    shown = list(panels(subject, by))
    of_everything = {make.__name__.replace("_", "-") for make in OF_EVERYTHING}
    loops = [panel for panel in shown if panel.key in of_everything or panel.key.startswith("rate")]
    sections = [Section(name="loops", title="Loops", cards=cards(loops))]
    if subject.source == "run":
        rest = [panel for panel in shown if panel not in loops]
        sections.append(Section(name="pairs", title="Judge and pairs", cards=cards(rest)))
    labels = [name for name in dict.fromkeys([*by, *automatic(subject)]) if name not in ("decoding", "temperature")]
    packed = pack(subject, labels) if subject.outputs.height else None
    kind = "run" if subject.source == "run" else "verdicts"
    return render(
        title=titled(subject), kind=kind, tiles=headline(subject), notes=subject.notes, sections=sections, packed=packed,
        selected=selected(packed, "prompts" if subject.source == "run" else "outputs"), about=about(subject),
    )  # fmt: skip


def titled(subject: Subject) -> str:
    """Its name, and how far it is where it is not finished."""
    if subject.so_far is None:
        return subject.name
    through, prompts = subject.so_far
    return f"{subject.name} · {subject.state}: {through:,} of {counted(prompts, 'prompt')}"


def selected(packed: Packed | None, what: str) -> str:
    """What can be read in the browser, and what not."""
    if packed is None:
        return "There are no outputs to read."
    if packed.shown == packed.total:
        return f"All {packed.total:,} {what} are here."
    wasteful = packed.shown - packed.random
    return (
        f"Shown: {packed.shown:,} of {packed.total:,} {what}: {wasteful:,} that waste most, of each reason and kind, and a random"
        f" sample of {packed.random:,}."
    )


def cards(shown: Iterable[Panel]) -> list[Card]:
    """Panels with their pictures drawn."""
    return [
        Card(
            key=panel.key,
            title=panel.title,
            sentence=panel.sentence,
            svg="" if panel.empty else svg(panel.draw(), panel.key),
            columns=tuple(panel.frame.columns),
            rows=[tuple(map(_cell, row)) for row in panel.frame.head(_MOST_ROWS).iter_rows()],
            tall=panel.key.startswith("rate") and panel.frame.height > _TALL,
        )
        for panel in shown
    ]


_MOST_ROWS = 120
_TALL = 12


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else visible(str(value))[:200]


def svg(chart: Any, key: str) -> str:
    """The picture, with a view box in place of a size, and ids that are its own, for the key. Raises MissingExtra."""
    try:
        import vl_convert
    except ImportError:
        raise MissingExtra(f"a report needs the package vl-convert-python: {INSTALL}") from None
    drawn = ET.fromstring(vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=vegalite_version()))
    key = "c" + hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:8]
    ids = {element.attrib["id"]: f"{key}-{k}" for k, element in enumerate(drawn.iter()) if "id" in element.attrib}
    for element in drawn.iter():
        tag = element.tag.removeprefix(_SVG)
        if tag not in _DRAWN or any(name.startswith("on") or "href" in name for name in element.attrib):
            raise ValueError(f"a chart with <{tag} {' '.join(element.attrib)}>")
        element.tag = tag
        element.attrib.pop("font-family", None)
        for name, value in element.attrib.items():
            if name == "id" or value.startswith("url(#"):
                old = value.removeprefix("url(#").removesuffix(")")
                element.attrib[name] = value.replace(old, ids[old])
    del drawn.attrib["height"], drawn.attrib["width"]
    return ET.tostring(drawn, encoding="unicode")


_SVG = "{http://www.w3.org/2000/svg}"


def render(
    *,
    title: str,
    kind: str,
    tiles: Sequence[Tile],
    notes: Sequence[str],
    sections: Sequence[Section],
    packed: Packed | None,
    selected: str,
    about: Sequence[tuple[str, str]],
) -> str:
    """The whole file."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["visible"] = lambda text: visible(str(text))
    style, script = asset("page.css"), asset("page.js")
    return environment.from_string(asset("page.html.j2")).render(
        title=title,
        kind=kind,
        tiles=tiles,
        notes=notes,
        sections=sections,
        packed=packed,
        selected=selected,
        about=about,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        drawn=Markup,
    )


def asset(name: str) -> str:
    """A file of the page, as it is in the package."""
    return resources.files("loopguard.look").joinpath("assets", name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
