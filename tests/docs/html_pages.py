"""A built page as its links, its loads and its anchors."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

LOADS = {"src", "srcset", "poster", "data", "action", "formaction", "background"}
"""Attributes whose address is asked for without a click, or by a form."""


class Page(HTMLParser):
    """One HTML file, read."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        """Where its anchors lead."""
        self.loads: list[str] = []
        """What a browser fetches when it shows the page."""
        self.ids: set[str] = set()
        self.words: list[str] = []
        self._hidden = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        self.loads += [value for name, value in given.items() if name in LOADS]
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.loads.append(given.get("href", ""))
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())
