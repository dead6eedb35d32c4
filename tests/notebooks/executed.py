"""A notebook executed in a kernel of its own, without a network, in an empty folder; and what its cells gave."""

from __future__ import annotations

import json
import os
import re
import resource
import sqlite3
import time
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from PIL import Image

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OFFLINE = Path(__file__).parent / "offline"
ATTEMPTS = "attempts.txt"
PATIENCE = 1800
"""Seconds for one cell: a busy machine is no fault of the notebook."""

MOST_TOKENS = 5_000
"""Of prompts and answers together, in one notebook on the embedded model: about a minute on 2 idle cores, where it reads and
writes some 90 tokens a second."""

Bundle = Mapping[str, Any]
"""MIME type -> what a cell showed in it."""


@dataclass(frozen=True, slots=True)
class Executed:
    """An executed notebook and the folder that it worked in."""

    notebook: Any
    folder: Path

    @property
    def code(self) -> list[Any]:
        """The code cells, in order."""
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]

    @property
    def bundles(self) -> list[Bundle]:
        """Everything that was displayed, in order."""
        return [output.data for cell in self.code for output in cell.outputs if "data" in output]

    @property
    def printed(self) -> str:
        """What went to stdout; stderr must stay empty."""
        streams = [output for cell in self.code for output in cell.outputs if output.output_type == "stream"]
        assert not [output.text for output in streams if output.name == "stderr"]
        return "".join(output.text for output in streams)

    def shown(self, kind: str) -> list[str]:
        """What was displayed in one MIME type, in order."""
        return [str(bundle[kind]) for bundle in self.bundles if kind in bundle]

    @property
    def said(self) -> str:
        """All sentences that cells computed: displayed Markdown, and what was printed."""
        return "\n\n".join([*self.shown("text/markdown"), self.printed])

    @property
    def charts(self) -> list[Image.Image]:
        """Charts, drawn as PNG: what every front end shows without a network."""
        return [Image.open(BytesIO(b64decode(png))).convert("RGB") for png in self.shown("image/png")]

    def tables(self, *columns: str) -> list[str]:
        """Displayed tables of polars with at least these columns, as HTML."""
        wanted = [f"<th>{name}</th>" for name in columns]
        tables = [html for html in self.shown("text/html") if 'class="dataframe"' in html]
        return [html for html in tables if all(name in html for name in wanted)]


@dataclass(frozen=True, slots=True)
class Spent:
    """What a notebook has asked of engines."""

    answers: int
    prompt_tokens: int
    """Of each answer, also where several came from one request: never less than what an engine read."""
    completion_tokens: int

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.prompt_tokens + self.completion_tokens


def spent(folder: Path) -> Spent:
    """Counted from the answers in every ledger below `folder`."""
    answers: list[dict[str, Any]] = []
    for ledger in sorted(folder.rglob("ledger.sqlite")):
        with sqlite3.connect(ledger) as connection:
            answers += [json.loads(row[0]) for row in connection.execute("SELECT answer FROM answers")]
        connection.close()
    tokens = [sum(answer.get(name, 0) for answer in answers) for name in ("prompt_tokens", "completion_tokens")]
    return Spent(len(answers), *tokens)


def pixels_of(chart: Image.Image, colour: str) -> int:
    """How many pixels of a chart have just this colour (#rrggbb): zero where its marks are not drawn."""
    wanted = tuple(bytes.fromhex(colour.removeprefix("#")))
    return sum(count for count, found in chart.getcolors(chart.width * chart.height) or [] if found == wanted)


def rows_of(table: str) -> int:
    """Rows of a displayed table, by the shape that polars writes above it."""
    found = re.search(r"shape: \(([\d_,]+), \d+\)", table)
    assert found, table[:200]
    return int(re.sub(r"\D", "", found[1]))


class Took(NamedTuple):
    """What one execution took; printed at the end of the tests, asserted nowhere."""

    seconds: float
    processor: float
    """Seconds of processor of the kernel, which holds the engine too."""
    spent: Spent


TOOK: dict[tuple[str, str], Took] = {}
"""By notebook and folder."""


def _processor_seconds() -> float:
    """Of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def execute(name: str, folder: Path, **environment: str) -> Executed:
    """Execute notebooks/NAME in `folder`. A cell that raises is an error of the test, with the cell's traceback.

    `environment` is added to this process's own, from which the variables that notebooks read are taken out.
    """
    from nbclient import NotebookClient

    own = {key: value for key, value in os.environ.items() if not key.startswith("LOOPGUARD_")}
    python_path = os.pathsep.join([str(OFFLINE), str(ROOT), *filter(None, [own.get("PYTHONPATH")])])
    added = {"PYTHONPATH": python_path, "LOOPGUARD_ATTEMPTS": str(folder / ATTEMPTS), "IPYTHONDIR": str(folder)}
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    client = NotebookClient(
        notebook, timeout=PATIENCE, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    before, started = _processor_seconds(), time.perf_counter()
    client.execute(env=own | added | environment)
    TOOK[name, folder.name] = Took(time.perf_counter() - started, _processor_seconds() - before, spent(folder))
    attempts = folder / ATTEMPTS
    assert not attempts.exists(), attempts.read_text(encoding="utf-8")
    return Executed(notebook, folder)
