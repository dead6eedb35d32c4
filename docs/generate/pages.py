"""The pages: every docs/**/*.md with its made parts filled in, and the README's figures.

A line `<!-- made: NAME ARGUMENT... -->` in a page stands for what `MAKERS[NAME](ARGUMENT...)` gives. In the README, which is
read without being built, the made part stands between two comments, and a test holds that it is what would be made.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from docs.generate import api, command, cure, field, figures, schemas, trainers, words

DOCS = Path(__file__).parents[1]
README = DOCS.parent / "README.md"

MAKERS: dict[str, Callable[..., str]] = {
    "accuracy": field.accuracy,
    "by-kind": field.by_kind,
    "sizes": field.sizes,
    "intervals": field.intervals,
    "readings": field.readings,
    "first-look": field.first_look,
    "measured": figures.measured,
    "machine": lambda: f"Measured on {figures.machine()}.",
    "cure": cure.table,
    "cure-training": cure.training,
    "cure-trials": cure.trials,
    "cure-again": cure.again,
    "command": command.reference,
    "recipe": schemas.recipe,
    "judge": schemas.judge,
    "detector-settings": schemas.detector_settings,
    "thresholds-in-short": schemas.thresholds_in_short,
    "signature": schemas.signature,
    "table": schemas.table_columns,
    "verdict-columns": schemas.verdict_columns,
    "shipped": schemas.shipped,
    "snippet": trainers.snippet_of,
    "columns": trainers.columns_of,
    "errors": words.errors,
    "exit-codes": words.exit_codes,
    "reasons": words.reasons,
    "skip-reasons": words.skip_reasons,
    "faults": words.faults,
    "notebooks": words.notebooks,
    "api": api.reference,
}

_MADE = re.compile(r"(?m)^<!-- made: (\S+)((?: \S+)*) -->$")
_IN_README = re.compile(r"(?s)(<!-- made by [^\n]*-->\n).*?(<!-- /made -->)")


def filled(text: str) -> str:
    """A page with every made part in its place. Raises KeyError for a maker that is not there."""
    return _MADE.sub(lambda match: MAKERS[match[1]](*match[2].split()), text)


def stage(out: Path) -> None:
    """All pages, filled in, in the folder `out`, which is made anew."""
    shutil.rmtree(out, ignore_errors=True)
    for page in sorted(DOCS.rglob("*.md")):
        target = out / page.relative_to(DOCS)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    for folder in ("assets",):
        shutil.copytree(DOCS / folder, out / folder)


def readme_figures() -> str:
    """What stands between the README's two comments."""
    rows = ("embedded", "server", "million", "vllm", "load", "scan", "detector")
    rules = field.accuracy(("loopguard", "trl(3)>.5", "zlib>4", "antidoom", "vllm(128,1,8)", "gopher"))
    return f"""\
On {figures.machine(rows)}; `make bench` measures again:

{figures.measured(rows)}

The detector against published rules, F1 (precision / recall):

{rules}

{field.sizes_in_short()}

{cure.in_short()}
"""


def with_figures(readme: str) -> str:
    """The README with its made part made."""
    return _IN_README.sub(lambda match: f"{match[1]}\n{readme_figures()}\n{match[2]}", readme)


def write_readme() -> None:
    """Put the figures of the raw results into README.md."""
    README.write_text(with_figures(README.read_text(encoding="utf-8")), encoding="utf-8")
