"""The page in a real Chromium: nothing hostile happens, every control does what it says, nothing is asked of the network."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from loopguard.look import charts
from loopguard.look.page import report, svg
from loopguard.visible import visible
from tests.look import hostile
from tests.look.subjects import small, write_run

if TYPE_CHECKING:
    from tests.look.chromium import Browser

pytestmark = pytest.mark.slow
ESCAPE, DOWN, UP, ENTER = "\ue00c", "\ue015", "\ue013", "\ue007"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A hostile run, a hostile verdict file, two runs compared; each written once."""
    folder = tmp_path_factory.mktemp("pages")
    run = hostile.hostile_run(folder)
    verdicts = hostile.hostile_verdicts(folder)
    other = write_run(folder / "after", _cured())
    before = write_run(folder / "before", small())
    return {
        "run": report(run, out=folder / "run.html"),
        "verdicts": report(verdicts, out=folder / "verdicts.html", by=[f"col {hostile.IMAGE}"]),
        "compared": report(before, other, out=folder / "compared.html"),
    }


def _cured() -> list[object]:
    """`small`, but the first prompt loops no more and the second does."""
    from loopguard.prefs.outputs import Outcome
    from loopguard.records import Skip
    from tests.look.subjects import answer, looped

    first, second, third = small()
    clean = [
        answer(first.prompt, 0, "One."),
        answer(first.prompt, 1, "It is one."),
        answer(first.prompt, 2, "1", decoding="greedy"),
    ]
    looping = [*second.candidates[:2], looped(second.prompt, 2, "no, ", 40, decoding="greedy")]
    tie = Skip(status="skipped", reason="tie")
    changed = [(first.prompt, clean), (second.prompt, looping), (third.prompt, third.candidates)]
    return [Outcome(prompt=prompt, candidates=candidates, result=tie) for prompt, candidates in changed]


def quiet(browser: Browser, page: Path) -> None:
    """Nothing ran, nothing was logged, nothing but the file itself was asked for."""
    assert browser.js("return window.pwned") is None
    assert browser.logged() == []
    assert set(browser.requested()) <= {page.resolve().as_uri()}
    assert browser.count("img, iframe, object, embed, link, form, base") == 0
    assert browser.js("return [...document.scripts].map((s) => s.type)") == ["application/gzip+base64", ""]


# -- hostile text


@pytest.mark.parametrize("name", ["run", "verdicts", "compared"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_happens(browser: Browser, pages: dict[str, Path], name: str, width: int) -> None:
    browser.open(pages[name], width=width)
    items = browser.count("#list li")
    for k in range(items):
        browser.js("document.querySelectorAll('#list li')[arguments[0]].click()", k)
        browser.js("document.querySelectorAll('#detail .fold').forEach((b) => b.click())")
        assert browser.js("return document.documentElement.scrollWidth") <= width
        browser.js("document.querySelector('#detail .back').click()")
    assert items >= 3
    browser.js("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.js("return document.documentElement.scrollWidth") <= width
    quiet(browser, pages[name])


def test_it_is_shown_as_it_is(browser: Browser, pages: dict[str, Path]) -> None:
    """Prompt, answers, loop, judge's words, names: to the letter, with what is invisible made visible."""
    browser.open(pages["run"])
    assert browser.text("h1") == hostile.NAME
    footer = browser.text("footer")
    assert visible(f"model {hostile.ALL}") in footer
    assert visible(f"judge {hostile.ALL}") in footer
    browser.driver.find_element("id", "search").send_keys("one <script>window")
    assert browser.count("#list li") == 1
    assert browser.text("#detail .prompt .body") == visible(f"One {hostile.ALL}")
    loop, chosen, empty = browser.texts("#detail .output .body")
    assert loop.startswith(visible(hostile.ALL) + "\n" + hostile.LOOP * 2 + "× 30")
    assert chosen == visible(hostile.ALL)
    assert empty == "(empty)"
    assert "␀" in chosen
    assert "\\u202e" in chosen
    assert browser.texts("#detail .output .tag") == ["rejected", "loop", "chosen"]
    browser.press(ESCAPE)
    browser.choose("#filter-reason", "no_score")
    assert visible(f"the judge said {hostile.ALL}")[:300] in browser.text("#detail .output header")
    assert browser.texts("#detail .output .body")[1] == "\ufffd half"


def test_a_line_of_a_megabyte_is_cut_and_says_so(browser: Browser, pages: dict[str, Path]) -> None:
    assert pages["run"].stat().st_size < 1_000_000
    browser.open(pages["run"])
    browser.driver.find_element("id", "search").send_keys("four xxx")
    assert "997,005 characters left out" in browser.texts("#detail .prompt .body")[1]
    loop = browser.text("#detail .output .body")
    assert "[… 399,300 more]" in loop
    assert "× 4" in loop


def test_the_policy_holds_what_text_nodes_would_not(browser: Browser, pages: dict[str, Path]) -> None:
    """Even markup that got onto the page would not run: the policy knows one script by its hash."""
    browser.open(pages["run"])
    browser.js("document.body.insertAdjacentHTML('beforeend', arguments[0])", hostile.IMAGE)
    browser.js(
        "const s = document.createElement('script'); s.textContent = 'window.pwned = 1'; document.body.append(s)"
    )
    browser.js("document.body.insertAdjacentHTML('beforeend', '<button id=evil onclick=\"window.pwned=1\">x</button>')")
    browser.js("document.getElementById('evil').click()")
    assert browser.js("return window.pwned") is None
    assert any("Content Security Policy" in line for line in browser.logged())


def test_a_chart_with_hostile_names_is_text(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["verdicts"])
    names = browser.texts("#loops-1 svg text")
    assert any(name.startswith("value <script>") for name in names)
    assert browser.text("#loops-1 h3") == f"Loop rate by col {hostile.IMAGE}"
    assert browser.count("svg script, svg foreignObject, svg a, svg image") == 0


# -- controls


def test_search_filters_and_sort(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["run"])
    assert browser.text("#count") == "7 of 7"
    assert browser.text("#read .said") == "All 7 prompts are here."

    browser.choose("#filter-kind", "counter")
    assert browser.text("#count") == "1 of 7"
    assert browser.text("#detail .prompt .body") == "One?"
    browser.choose("#filter-decoding", "sampled")  # the counter loop of that prompt is the greedy one
    assert browser.text("#count") == "0 of 7"
    assert browser.text("#detail").startswith("Nothing fits.")
    browser.choose("#filter-decoding", "greedy")
    assert browser.text("#count") == "1 of 7"
    browser.choose("#filter-kind", "any")
    browser.choose("#filter-decoding", "any")
    browser.choose("#filter-reason", "score")
    assert browser.text("#count") == "2 of 7"
    browser.choose("#filter-used", "rejected")
    assert browser.text("#count") == "2 of 7"
    browser.press(ESCAPE)
    assert browser.text("#count") == "7 of 7"
    assert browser.js("return [...document.querySelectorAll('#filters select')].every((s) => s.value === '')")

    browser.choose("#sort", "order of the file")
    assert [ask.split()[0] for ask in browser.texts("#list .ask")] == [
        "One?",
        "Two?",
        "Three?",
        "One",
        "Two",
        "Three",
        "Four",
    ]
    browser.choose("#sort", "largest margin")
    assert browser.texts("#list .ask")[0] == "Two?"
    browser.choose("#sort", "most wasted")
    assert browser.texts("#list .ask")[0].startswith("Four")
    quiet(browser, pages["run"])


def test_keys(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["run"])

    def current() -> int:
        return int(browser.js("return Number(document.querySelector('#list [aria-current]').dataset.index)"))

    assert current() == 0
    browser.press("j", "j")
    assert current() == 2
    browser.press("k")
    assert current() == 1
    browser.press("k", "k", "k")
    assert current() == 0
    browser.press(*"jjjjjjjjj")
    assert current() == 6
    browser.js("document.getElementById('list').focus()")
    browser.press(UP)
    assert current() == 5
    browser.press(DOWN)
    assert current() == 6
    browser.press("/")
    assert browser.js("return document.activeElement.id") == "search"
    browser.press("j", "k")
    assert browser.js("return document.activeElement.value") == "jk"
    assert browser.text("#count") == "0 of 7"
    browser.press(ESCAPE)
    assert browser.text("#count") == "7 of 7"
    assert browser.js("return document.activeElement.id") != "search"
    quiet(browser, pages["run"])


def test_folds(browser: Browser, pages: dict[str, Path]) -> None:
    """Two copies, the count; unfolded the whole text, each copy with its mark."""
    browser.open(pages["compared"])
    browser.driver.find_element("id", "search").send_keys("one?")
    fold = browser.find("#detail .fold")
    assert fold.text == "× 30"
    assert browser.texts("#detail mark.first") == ["go on. ", "1234567\n"]
    assert browser.js("return document.querySelector('#detail .copies').checkVisibility()") is False
    fold.click()
    assert browser.js("return document.querySelector('#detail .copies').checkVisibility()") is True
    assert fold.get_attribute("aria-expanded") == "true"
    copy = "const copy = document.querySelector('#detail .output .body').cloneNode(true)"
    whole = browser.js(f"{copy}; copy.querySelector('button').remove(); return copy.textContent")
    assert whole == "So: " + "go on. " * 30
    assert browser.count("#detail .output:first-of-type mark") >= 30
    fold.click()
    browser.driver.find_element("id", "search").send_keys(ENTER)
    browser.js("document.activeElement.blur()")
    browser.press("u")
    assert set(
        browser.js("return [...document.querySelectorAll('#detail .fold')].map((f) => f.getAttribute('aria-expanded'))")
    ) == {"true"}
    browser.press("u")
    assert set(
        browser.js("return [...document.querySelectorAll('#detail .fold')].map((f) => f.getAttribute('aria-expanded'))")
    ) == {"false"}


def test_the_theme(browser: Browser, pages: dict[str, Path]) -> None:
    colours = "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('svg text')).fill]"
    browser.open(pages["run"], scheme="light")
    light = browser.js(colours)
    browser.open(pages["run"], scheme="dark")
    dark = browser.js(colours)
    assert light[0] == "rgb(251, 251, 250)"
    assert dark[0] == "rgb(21, 24, 27)"
    assert light[1] != dark[1]
    button = browser.find("#theme")
    for label, seen in (("light", light), ("dark", dark), ("system", dark)):
        button.click()
        assert button.text == f"Theme: {label}"
        assert browser.js(colours) == seen
    quiet(browser, pages["run"])


def test_a_mark_says_what_it_is(browser: Browser, pages: dict[str, Path]) -> None:
    from selenium.webdriver import ActionChains

    browser.open(pages["run"])
    mark = browser.find("#loops-2 svg .mark-rect path, #loops-2 svg .mark-bar path")
    browser.js("arguments[0].scrollIntoView({block: 'center'})", mark)
    ActionChains(browser.driver).move_to_element(mark).perform()
    assert browser.js("return document.getElementById('tip').hidden") is False
    assert re.search(r"kind: \w+", browser.text("#tip"))
    ActionChains(browser.driver).move_to_element(browser.find("h1")).perform()
    assert browser.js("return document.getElementById('tip').hidden") is True


def test_a_telephone(browser: Browser, pages: dict[str, Path]) -> None:
    """First the list, then one prompt, then back."""
    browser.open(pages["run"], width=390, height=844)
    visible_ = "return document.querySelector(arguments[0]).checkVisibility()"
    assert browser.js(visible_, "#list")
    assert not browser.js(visible_, "#detail")
    browser.js("document.querySelector('#list li').click()")
    assert not browser.js(visible_, "#list")
    assert browser.js(visible_, "#detail")
    browser.find("#detail .back").click()
    assert browser.js(visible_, "#list")
    assert not browser.js(visible_, "#detail")
    sizes = browser.js("return [...document.querySelectorAll('svg text')].map((t) => t.getBoundingClientRect().height)")
    assert min(size for size in sizes if size) >= 9


def test_two_runs(browser: Browser, pages: dict[str, Path]) -> None:
    browser.open(pages["compared"])
    assert browser.text("h1") == "before → after"
    assert browser.texts(".tile b") == ["33.3 % → 33.3 %", "16.7 % → 0.0 %", "33.3 % → 33.3 %", "3"]
    assert sorted(browser.texts("#list .meta span:first-child")) == ["clean in both", "clean → loops", "loops → clean"]
    browser.choose("#filter-change", "loops → clean")
    assert browser.text("#count") == "1 of 3"
    assert browser.text("#detail .prompt .body") == "One?"
    assert browser.texts("#detail h4") == ["before: before", "after: after"]
    before, after = (browser.texts(f"#detail .two > div:nth-child({k}) .output .tag.loop") for k in (1, 2))
    assert (len(before), len(after)) == (2, 0)
    quiet(browser, pages["compared"])


def test_equal_runs_give_equal_bytes(pages: dict[str, Path], tmp_path: Path) -> None:
    again = report(pages["run"].parent / hostile.NAME, out=tmp_path / "again.html")
    assert again.read_bytes() == pages["run"].read_bytes()


def test_a_mean_without_an_interval_keeps_its_place() -> None:
    rows = [("9 to 58", None, None), ("64 to 98", 3.0, 4.0), ("200", 2.0, 3.0)]
    frame = pl.DataFrame(
        [{"group": name, "outputs": 4, "mean": 3.0, "low": low, "high": high} for name, low, high in rows],
        schema={"group": pl.String, "outputs": pl.Int64, "mean": pl.Float64, "low": pl.Float64, "high": pl.Float64},
    )
    drawn = ET.fromstring(svg(charts.means(frame, title="mean score", names="tokens"), "means"))
    names = [element.text for element in drawn.iter() if element.tag.endswith("text")]
    assert [name for name in names if name in ("9–58", "64–98", "200")] == ["9–58", "64–98", "200"]
