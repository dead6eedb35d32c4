"""The site as built: nothing is loaded from elsewhere, every link and anchor leads somewhere, nothing of the code is left out."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer.main
from pydantic import BaseModel

import loopguard
from docs.generate.pages import README, filled, with_figures
from loopguard.cli import app
from loopguard.loops.settings import DetectorSettings
from loopguard.prefs.judging import JudgeSpec
from loopguard.prefs.recipe import EarlyStop, Recipe
from tests.docs.html_pages import Page

ELSEWHERE = re.compile(r"(?i)(https?:)?//")


@pytest.fixture(scope="session")
def built(site: Path) -> dict[Path, Page]:
    found = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    assert len(found) > 25
    return found


# -- the network


def test_a_page_loads_nothing_from_elsewhere(built: dict[Path, Page]) -> None:
    loads = {(path.name, load) for path, page in built.items() for load in page.loads}
    assert {load for _, load in loads if load.endswith((".css", ".js"))}  # the reader of pages sees what is loaded
    assert not [one for one in loads if ELSEWHERE.match(one[1])]


def test_a_stylesheet_loads_nothing_from_elsewhere(site: Path) -> None:
    sheets = [*site.rglob("*.css")]
    assert sheets
    for sheet in sheets:
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"""(?i)(url\(\s*["']?|@import\s*["'])(https?:)?//""", text), sheet


def test_a_script_in_a_page_names_no_address(built: dict[Path, Page]) -> None:
    for path in built:
        for script in re.findall(r"(?s)<script[^>]*>(.*?)</script>", path.read_text(encoding="utf-8")):
            assert not re.search(r"https?://", script), path


def test_the_theme_is_given_no_reason_to_fetch_its_extras(built: dict[Path, Page], site: Path) -> None:
    """mkdocs-material's bundle fetches mermaid from a CDN for a diagram and release numbers for a repository."""
    for path in built:
        assert not re.search(
            r'class="(mermaid|md-source)"|data-md-component="source"', path.read_text(encoding="utf-8")
        )


# -- links


def test_every_link_and_anchor_leads_somewhere(built: dict[Path, Page], site: Path) -> None:
    broken = []
    for path, page in built.items():
        for link in page.links:
            if ELSEWHERE.match(link) or link.startswith(("mailto:", "javascript:")):
                continue
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if path.name == "404.html":  # its links start at the server's root
                continue
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in built[target].ids):
                broken.append((path.name, link))
    assert not broken


def test_the_readme_links_to_pages_that_are_there() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README.read_text(encoding="utf-8"))
    assert len(links) > 15
    assert not [link for link in links if not ELSEWHERE.match(link) and not (README.parent / link).is_file()]


# -- nothing of the code is left out


def commands() -> dict[str, object]:
    """`loopguard`, `loopguard scan`, `loopguard judges list`, ...: each with its click command."""
    found: dict[str, object] = {}

    def walk(name: str, command: object) -> None:
        found[name] = command
        for inner, one in getattr(command, "commands", {}).items():
            walk(f"{name} {inner}", one)

    walk("loopguard", typer.main.get_command(app))
    return found


COMMANDS = commands()


def section(text: str, title: str) -> str:
    """A page's part under one heading, up to the next heading of any level."""
    match = re.search(rf"(?ms)^#+ {re.escape(title)}$\n(.*?)(?=^#+ |\Z)", text)
    assert match, f"no heading {title!r}"
    return match[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_is_in_the_reference(name: str, pages: Path) -> None:
    text = (pages / "reference" / "command.md").read_text(encoding="utf-8")
    if name != "loopguard":
        text = section(text, f"`{name}`")
    command = COMMANDS[name]
    assert " ".join((command.help or "").split())[:40] in " ".join(text.split()).replace("&#x27;", "'")  # type: ignore[attr-defined]
    for param in command.params:  # type: ignore[attr-defined]
        for flag in (
            [*param.opts, *param.secondary_opts] if param.param_type_name == "option" else [param.metavar or param.name]
        ):
            assert re.search(rf"[`{{ ]{re.escape(flag)}(?!\w)", text), flag
        if getattr(param, "help", None) and not param.hidden:
            assert " ".join(param.help.split())[:30].replace("'", "&#x27;") in text or param.help[:30] in text


def keys(model: type[BaseModel], name: str = "") -> list[tuple[str, str, str]]:
    """(section, key, description) of every key of a schema, inner sections included."""
    found = []
    for key, info in model.model_fields.items():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += keys(inner, f"{name}.{key}" if name else key)
        else:
            found.append((name, key, info.description or ""))
    return found


SCHEMAS = [
    *[("recipe", *key) for key in keys(Recipe)],
    *[("recipe", *key) for key in keys(EarlyStop, "sampling.early_stop")],
    *[("judge", *key) for key in keys(JudgeSpec)],
]


@pytest.mark.parametrize(("page", "table", "key", "description"), SCHEMAS, ids=[".".join(one[:3]) for one in SCHEMAS])
def test_every_key_is_in_the_reference(page: str, table: str, key: str, description: str, pages: Path) -> None:
    text = (pages / "reference" / f"{page}.md").read_text(encoding="utf-8")
    rows = section(text, f"[{table}]" if table else "Top level")
    row = re.search(rf"(?m)^\| `{key}` \| (.+) \| (.+) \| (.+) \|$", rows)
    assert row
    assert description
    assert row[3] == description.replace("|", "\\|")


@pytest.mark.parametrize("name", [name for name in loopguard.__all__ if name != "__version__"])
def test_every_public_name_is_in_the_reference_with_its_docstring(
    name: str, site: Path, built: dict[Path, Page]
) -> None:
    page = built[site / "reference" / "python.html"]
    assert f"loopguard.{name}" in page.ids
    first = " ".join((getattr(loopguard, name).__doc__ or "").split())[:30].replace("`", "")
    assert first
    assert first in page.text.replace("`", "")


def test_every_threshold_is_in_the_reference(pages: Path) -> None:
    rows = section((pages / "reference" / "detector.md").read_text(encoding="utf-8"), "Thresholds")
    assert re.findall(r"(?m)^\| `(\w+)` \| ([\d.]+) \|", rows) == [
        (name, f"{field.default:g}") for name, field in DetectorSettings.__dataclass_fields__.items()
    ]


def test_every_column_is_in_the_reference(pages: Path) -> None:
    from loopguard.prefs.outputs import schemas

    text = (pages / "reference" / "tables.md").read_text(encoding="utf-8")
    for name, schema in schemas().items():
        listed = re.findall(r"(?m)^\| `(\w+)` \| [\w ]+ \| \S", section(text, name.removesuffix(".parquet")))
        assert listed == schema.names


def test_every_error_and_reason_is_in_the_reference(pages: Path) -> None:
    from loopguard import errors
    from loopguard.handover.measured import FAULTS
    from loopguard.loops.detector import REASONS
    from loopguard.prefs.pairing import SKIP_REASONS

    classes = [name for name, one in vars(errors).items() if isinstance(one, type)]
    for page, names in {
        "reference/errors.md": classes,
        "reference/detector.md": REASONS,
        "reference/tables.md": SKIP_REASONS,
        "check.md": FAULTS,
    }.items():
        text = (pages / page).read_text(encoding="utf-8")
        assert names
        assert not [name for name in names if f"\n| `{name}` | " not in text]


def test_every_format_of_export_has_a_section_with_its_configuration(pages: Path) -> None:
    from loopguard.handover.formats import FORMATS
    from loopguard.handover.snippets import Facts, snippet

    text = (pages / "trainers.md").read_text(encoding="utf-8")
    for name, form in FORMATS.items():
        assert f"loopguard export runs/mine --format {name}\n" in text or f"--format {name} --tokenizer" in text
        assert form.consumer in text
        facts = Facts(folder=f"mine-{name}", data=form.data, max_length=1024, chosen=900, rejected=1200)
        assert all(config in text for config in snippet(name, facts).values())


# -- figures


def test_the_readme_has_the_figures_of_the_raw_results() -> None:
    """`python -m docs.generate --readme` puts them in."""
    text = README.read_text(encoding="utf-8")
    assert "| loopguard | 0." in text
    assert with_figures(text) == text


def test_a_page_that_names_an_unknown_maker_does_not_build() -> None:
    assert filled("no made part") == "no made part"
    with pytest.raises(KeyError, match="nothing"):
        filled("<!-- made: nothing -->")
