"""Every control of the page is known here and clicked in a test: those that test_page.py does not click are clicked below."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loopguard.look.page import report
from tests.look.many import write_many
from tests.look.subjects import small, write_run
from tests.look.test_by_prompts import AFTER, BEFORE, KINDS, with_columns
from tests.look.test_compare import outcomes
from tests.look.test_page import ENTER, quiet
from tests.prefs.commands import loopguard as command

if TYPE_CHECKING:
    from tests.look.chromium import Browser

pytestmark = pytest.mark.slow

CONTROLS = {
    ".top a": "test_links",
    "#theme": "test_page.test_the_theme",
    "summary": "test_the_figures_unfold",
    "#search": "test_page.test_search_filters_and_sort",
    "#filters select": "test_page.test_search_filters_and_sort, test_filters_by_columns_of_the_prompts",
    "#sort": "test_page.test_search_filters_and_sort",
    "#list": "test_page.test_keys, test_enter_opens",
    "#list li[data-index]": "test_page.test_a_telephone",
    "#list li:not([data-index]) button": "test_n_more",
    "#detail": "test_page.test_keys",
    "#detail .back": "test_page.test_a_telephone",
    "#detail .fold": "test_page.test_folds",
}
"""Selector of a control -> where it is clicked."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Many prompts; a run with categories; two runs."""
    folder = tmp_path_factory.mktemp("controls")
    before = write_run(folder / "before", with_columns(outcomes(BEFORE)), columns=KINDS)
    after = write_run(folder / "after", with_columns(outcomes(AFTER)), columns=KINDS)
    many = write_many(folder / "many", 340)
    return {
        "many": report(many, out=folder / "many.html"),
        "columns": report(before, out=folder / "columns.html"),
        "compared": report(before, after, out=folder / "compared.html"),
        "small": report(write_run(folder / "small", small()), out=folder / "small.html"),
    }


@pytest.mark.parametrize("name", ["many", "columns", "compared", "small"])
def test_no_control_is_unknown(browser: Browser, pages: dict[str, Path], name: str) -> None:
    browser.open(pages[name])
    unknown = """
        const any = 'a, button, input, select, textarea, summary, [tabindex], [onclick], [role=button], [contenteditable]';
        return [...document.querySelectorAll(any)].filter((e) => !e.matches(arguments[0])).map((e) => e.outerHTML.slice(0, 200));
    """
    assert browser.js(unknown, ", ".join(CONTROLS)) == []
    if name == "many":
        absent = [selector for selector in CONTROLS if not browser.count(selector)]
        assert absent == []


def test_links(browser: Browser, pages: dict[str, Path]) -> None:
    """Each brings its section to the top, below the bar."""
    browser.open(pages["many"])
    links = browser.all(".top nav a")
    assert [link.text for link in links] == ["Loops", "Judge and pairs", "Read"]
    for link in links:
        link.click()
        name = link.get_attribute("href").rpartition("#")[2]
        assert 0 <= browser.js("return document.getElementById(arguments[0]).getBoundingClientRect().top", name) < 120
    browser.find(".top .brand").click()
    assert browser.js("return scrollY") < 60
    quiet(browser, pages["many"])


def test_the_figures_unfold(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["columns"])
    shown = "return document.querySelector('#loops-2 details table').checkVisibility()"
    assert browser.text("#loops-2 h3") == "Loop rate by category"
    assert browser.js(shown) is False
    browser.find("#loops-2 summary").click()
    assert browser.js(shown) is True
    assert browser.texts("#loops-2 td")[:5] == ["maths", "3", "4", "2", "0.75"]
    browser.find("#loops-2 summary").click()
    assert browser.js(shown) is False


def test_n_more(browser: Browser, pages: dict[str, Path]) -> None:
    """150 prompts at a time, until all are there; a click on the button chooses none of them."""
    browser.open(pages["many"])
    button = "#list li:not([data-index]) button"
    for there, rest in ((150, "190 more"), (300, "40 more")):
        assert browser.count("#list li[data-index]") == there
        assert browser.text(button) == rest
        browser.js("arguments[0].scrollIntoView()", browser.find(button))
        browser.find(button).click()
        assert browser.js("return document.querySelector('#list [aria-current]').dataset.index") == "0"
    assert browser.count("#list li[data-index]") == 340
    assert browser.count(button) == 0
    assert (
        browser.js("return new Set([...document.querySelectorAll('#list li')].map((e) => e.dataset.index)).size") == 340
    )
    quiet(browser, pages["many"])


def test_a_key_goes_on_beyond_what_is_drawn(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["many"])
    browser.js("document.querySelector('#list li[data-index=\"149\"]').click()")
    browser.press("j")
    assert browser.js("return document.querySelector('#list [aria-current]').dataset.index") == "150"
    assert browser.count("#list li[data-index]") == 300


def test_enter_opens(browser: Browser, pages: dict[str, Path]) -> None:
    """On a telephone the list makes room for the prompt that is chosen."""
    browser.open(pages["many"], width=390, height=844)
    visible = "return document.querySelector(arguments[0]).checkVisibility()"
    browser.press(ENTER)
    assert browser.js(visible, "#list"), "only where the list has the focus"
    browser.js("document.getElementById('list').focus()")
    browser.press("j", ENTER)
    assert not browser.js(visible, "#list")
    assert browser.js(visible, "#detail")
    asked = browser.js("return document.querySelector('#list li[data-index=\"1\"] .ask').textContent")
    assert browser.text("#detail .prompt .body").startswith(asked[:100])
    browser.find("#detail .back").click()
    assert browser.js(visible, "#list")


@pytest.mark.parametrize(("name", "counts"), [("columns", ("2 of 4", "1 of 4")), ("compared", ("2 of 4", "1 of 4"))])
def test_filters_by_columns_of_the_prompts(
    browser: Browser, pages: dict[str, Path], name: str, counts: tuple[str, str]
) -> None:
    browser.open(pages[name])
    browser.choose("#filter-about-category", "maths (2)")
    assert browser.text("#count") == counts[0]
    assert sorted(browser.texts("#list .ask")) == ["a", "b"]
    assert "category: maths" in browser.text("#detail .said")
    browser.choose("#filter-about-level", "1")
    assert browser.text("#count") == counts[1]
    assert browser.texts("#list .ask") == ["b"]
    browser.press("\ue00c")
    browser.find("#search").send_keys("code")
    assert sorted(browser.texts("#list .ask")) == ["c", "d"]
    quiet(browser, pages[name])


def test_a_column_of_any_name_has_its_own_values_alone(browser: Browser, tmp_path: Path) -> None:
    """`constructor` is a name that every object of the page's language has."""
    made = [
        dataclasses.replace(
            one, prompt=dataclasses.replace(one.prompt, columns={"constructor": value} if value else {})
        )
        for one, value in zip(outcomes(BEFORE), ["", "x", "y", "x"], strict=True)
    ]
    run = write_run(tmp_path / "run", made, columns={"constructor": "text"})
    browser.open(report(run, out=tmp_path / "page.html"))
    assert browser.texts("#filter-about-constructor option") == ["any", "x (2)", "y (1)"]
    browser.choose("#filter-about-constructor", "y (1)")
    assert browser.texts("#list .ask") == ["c"]


def test_open_hands_the_page_to_the_browser(tmp_path: Path) -> None:
    """BROWSER names a command: it gets the address of the file."""
    opener = tmp_path / "opener"
    opener.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/opened"\n')
    opener.chmod(0o755)
    run = write_run(tmp_path / "a run", small())
    done = command(
        "report", run, "--out", "a page.html", "--open", cwd=tmp_path, BROWSER=str(opener), PYTHONPATH=os.getcwd()
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "opened").read_text().strip() == (tmp_path / "a page.html").as_uri()


def test_open_where_there_is_no_browser(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", small())
    out = tmp_path / "page.html"
    done = command("report", run, "--out", out, "--open", BROWSER="/bin/false", PATH=str(tmp_path))
    assert done.returncode == 0
    assert done.stderr == f"no browser found here (BROWSER names one); the page is {out}\n"
    assert out.is_file()
